//! What took part in a run, for whoever reads its report later.

use super::{args::Args, process::run};

/// A line for the machine and for each program that tells its version.
pub(super) async fn all(args: &Args) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut versions = vec![format!("{cores} cores")];
    let bin = std::path::absolute(&args.bin).unwrap_or_else(|_| args.bin.clone());
    let mongodb = args.mongodb(&bin);
    let programs = [
        Some(bin.display().to_string()),
        Some("psql".to_owned()),
        Some("redis-server".to_owned()),
        mongodb.map(|program| program.display().to_string()),
    ];
    for program in programs.into_iter().flatten() {
        // One that does not tell is named all the same.
        let said = run(&program, &["--version"], &[]).await.unwrap_or_default();
        let said = said.lines().next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        versions.push(format!("{name}: {}", said.trim()));
    }
    versions
}
