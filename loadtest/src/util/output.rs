//! Output of results: a table for people, JSON for programs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde::Serialize;

/// Prints a result as a table or as JSON.
pub(crate) fn print_result<T: Serialize>(
    json: bool,
    result: &T,
    title: &str,
    rows: &[(&str, String)],
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(result)?
    } else {
        format_table(title, rows)
    };
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints the progress of a run to standard error.
pub(crate) fn print_progress(text: &str) {
    // Standard error may be closed.
    writeln!(io::stderr().lock(), "{text}").ok();
}

fn format_table(title: &str, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = title.to_owned();
    for (name, value) in rows {
        write!(text, "\n  {name:<width$}  {value:>14}").expect("writing to a string cannot fail");
    }
    text
}
