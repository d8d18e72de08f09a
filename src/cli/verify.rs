//! `invigil verify`: verifies a hand-in receipt.

use std::{fs::File, io::Read as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use invigil_domain::receipt::{self, SIZE_MAX};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The receipt, from `GET /api/v1/attempts/{id}/receipt`
    #[arg(value_name = "RECEIPT.json")]
    receipt: PathBuf,
    /// The engine's public key, from `GET /api/v1/receipts/key`; without it, the
    /// receipt is verified only with the key that the receipt names
    #[arg(long, value_name = "BASE64")]
    key: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.receipt.display();
    let key = args
        .key
        .as_deref()
        .map(receipt::parse_public_key)
        .transpose()?;
    let mut text = String::new();
    // A byte over the limit suffices for the error that names the limit.
    File::open(&args.receipt)
        .and_then(|file| file.take(SIZE_MAX as u64 + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {path}"))?;
    let verified = receipt::verify_receipt(&text, key.as_ref())?;
    super::print_text(&format!("{}\n", receipt::describe_receipt(&verified)))?;
    Ok(ExitCode::SUCCESS)
}
