//! Results for people, a table that fits a screen, and for programs, JSON.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde::Serialize;

/// Prints a result in the one form or the other.
pub(crate) fn print<T: Serialize>(
    json: bool,
    result: &T,
    title: &str,
    rows: &[(&str, String)],
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(result)?
    } else {
        table(title, rows)
    };
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Says how far a run is; not part of the result.
pub(crate) fn progress(text: &str) {
    // Nobody may be looking.
    writeln!(io::stderr().lock(), "{text}").ok();
}

fn table(title: &str, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = title.to_owned();
    for (name, value) in rows {
        write!(text, "\n  {name:<width$}  {value:>14}").expect("writing to a string cannot fail");
    }
    text
}
