//! `invigil config`: prints the effective settings.

use std::process::ExitCode;

use invigil::config::Config;

pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    super::print_text(&config.to_masked_toml())?;
    Ok(ExitCode::SUCCESS)
}
