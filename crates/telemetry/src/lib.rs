//! Logs and metrics, for operators.
//!
//! Logs go to standard error, for people or as one JSON object a line. An error
//! is logged once, where it is handled, with its whole chain. Answers, tokens,
//! names, e-mail and network addresses are never logged.

pub mod metrics;

use std::{error::Error, fmt::Write as _, io};

use tracing_subscriber::EnvFilter;

/// Format and level of the log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Lines or JSON.
    pub format: LogFormat,
    /// A filter directive of `tracing-subscriber`.
    pub level: String,
}

/// Form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// A JSON object for machines.
    Json,
}

/// Starts logging for the whole process.
///
/// # Errors
/// Fails if logging was started before.
pub fn init_logging(log: &LogSettings) -> Result<(), Box<dyn Error + Send + Sync>> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.level))
        .with_writer(io::stderr);
    match log.format {
        LogFormat::Text => subscriber.with_ansi(false).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
}

/// Returns an error and its causes in one line.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("writing to a string cannot fail");
        source = cause.source();
    }
    text
}
