//! `invigil verify`: says whether a hand-in receipt is genuine.

use std::{fs::File, io::Read as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use invigil::domain::receipt::{self, SIZE_MAX};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// As `GET /api/v1/attempts/{id}/receipt` gave it
    #[arg(value_name = "RECEIPT.json")]
    receipt: PathBuf,
    /// The engine's public key, as `GET /api/v1/receipts/key` gives it; without
    /// it the receipt is only compared with the key that it names itself
    #[arg(long, value_name = "BASE64")]
    key: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.receipt.display();
    let key = args.key.as_deref().map(receipt::parse_key).transpose()?;
    let mut text = String::new();
    // One byte over the limit is enough for the fault that names it.
    File::open(&args.receipt)
        .and_then(|file| file.take(SIZE_MAX as u64 + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {path}"))?;
    let verified = receipt::verify(&text, key.as_ref())?;
    super::print(&format!("{}\n", receipt::describe(&verified)))?;
    Ok(ExitCode::SUCCESS)
}
