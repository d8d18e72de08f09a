//! The report as Markdown, for people.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;

use super::ChaosReport;

impl ChaosReport {
    /// Writes everything but the log of single faults.
    pub(in super::super) fn write_markdown(&self, path: &Path) -> anyhow::Result<()> {
        let text = self.to_markdown().context("format the report")?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    fn to_markdown(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        writeln!(text, "# {}\n", self.title())?;
        let verdict = if self.is_good() {
            "nothing was lost, and nothing done twice"
        } else {
            "**there are violations**"
        };
        writeln!(
            text,
            "Verdict: {verdict}.\n\n```sh\n{}\n```\n",
            self.command
        )?;
        for version in &self.versions {
            writeln!(text, "- {version}")?;
        }
        let staff = self.staff_done.iter();
        let staff = staff.map(|(action, count)| (*action, count.to_string()));
        for (title, rows) in [
            ("fault", self.fault_rows()),
            ("figure", self.figure_rows()),
            ("staff command done", staff.collect()),
        ] {
            writeln!(text, "\n| {title} | |\n| --- | ---: |")?;
            for (name, value) in rows {
                writeln!(text, "| {name} | {value} |")?;
            }
        }
        writeln!(
            text,
            "\nThe longest time without `saved` was that of {}, until {:.0} s after the start.",
            self.longest_without_saved_who, self.longest_without_saved_until_s
        )?;
        if !self.violations.is_empty() {
            writeln!(text, "\nViolations:\n")?;
        }
        for violation in &self.violations {
            writeln!(text, "- {violation}")?;
        }
        Ok(text)
    }
}
