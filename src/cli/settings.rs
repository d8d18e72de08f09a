//! `invigil config`: the effective configuration.

use std::process::ExitCode;

use invigil::config::Config;

pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    super::print(&config.to_masked_toml())?;
    Ok(ExitCode::SUCCESS)
}
