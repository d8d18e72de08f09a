//! The machine and program versions of a run, for its report.

use super::{args::Args, process::run_program};

/// Returns a line for the machine and for each program.
pub(super) async fn collect_versions(args: &Args) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut versions = vec![format!("{cores} cores")];
    let bin = std::path::absolute(&args.bin).unwrap_or_else(|_| args.bin.clone());
    let mongodb = args.mongodb_program(&bin);
    let programs = [
        Some(bin.display().to_string()),
        Some("psql".to_owned()),
        Some("redis-server".to_owned()),
        mongodb.map(|program| program.display().to_string()),
    ];
    for program in programs.into_iter().flatten() {
        // A program without a version is still named.
        let said = run_program(&program, &["--version"], &[])
            .await
            .unwrap_or_default();
        let said = said.lines().next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        versions.push(format!("{name}: {}", said.trim()));
    }
    versions
}
