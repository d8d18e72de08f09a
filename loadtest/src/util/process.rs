//! Processor time and memory of another process, from `/proc`.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// Unit of processor time in `/proc`: a hundredth of a second, in every build of
/// Linux.
const TICK: Duration = Duration::from_millis(10);

/// Processor time and memory that a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessUsage {
    /// Processor time, user and system.
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
}

impl ProcessUsage {
    /// Reads the usage of the process with this id.
    pub(crate) fn of_process(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        let stat = stat.with_context(|| format!("read the state of process {pid}"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.with_context(|| format!("read the status of process {pid}"))?;
        let ticks = cpu_ticks(&stat).context("find the processor time in /proc")?;
        let rss_kb = rss_kb(&status).context("find VmRSS in /proc")?;
        Ok(Self {
            cpu: TICK * ticks,
            rss_bytes: rss_kb * 1_024,
        })
    }

    /// Microseconds of processor time for each of `count`, since `before`.
    pub(crate) fn cpu_us_each(self, before: Self, count: u64) -> f64 {
        let us = self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6;
        us / to_f64(count.max(1))
    }

    /// Kilobytes of memory for each of `count`, since `before`.
    pub(crate) fn kb_each(self, before: Self, count: u32) -> f64 {
        let bytes = self.rss_bytes.saturating_sub(before.rss_bytes);
        to_f64(bytes) / 1_024.0 / f64::from(count.max(1))
    }
}

/// Returns the processor time of a server with a process for each connection: its own,
/// that of its children, and that of ended children.
pub(crate) fn cpu_of_family(parent: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{parent}/stat"));
    let stat = stat.with_context(|| format!("read the state of process {parent}"))?;
    let own = cpu_ticks(&stat).context("find the processor time in /proc")?;
    let ended = sum_ticks(&stat, 13).context("find the processor time in /proc")?;
    let mut all = own + ended;
    for entry in fs::read_dir("/proc").context("list the processes")? {
        // A process that ends meanwhile is no error.
        let stat = entry.map(|entry| fs::read_to_string(entry.path().join("stat")));
        let Ok(Ok(stat)) = stat else { continue };
        if parent_of(&stat) == Some(parent) {
            all += cpu_ticks(&stat).unwrap_or(0);
        }
    }
    Ok(TICK * all)
}

/// Converts a count; counts of a run are small enough to be exact.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run stay under 2^52"
)]
pub(crate) const fn to_f64(count: u64) -> f64 {
    count as f64
}

/// Sum of `utime` and `stime`, the fields 14 and 15.
fn cpu_ticks(stat: &str) -> Option<u32> {
    sum_ticks(stat, 11)
}

/// Returns the sum of two fields. `first` counts from the third field, the first one
/// after the name, which stands in parentheses and may have any characters.
fn sum_ticks(stat: &str, first: usize) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(first);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parent_of(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

fn rss_kb(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 10 0 0 0 120 34 0 0 20 0 3 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(154));
        assert_eq!(parent_of(stat), Some(1));
        assert_eq!(rss_kb("Name:\tx\nVmRSS:\t  2048 kB\n"), Some(2_048));
    }

    #[test]
    fn this_process_uses_something() {
        let usage = ProcessUsage::of_process(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 100_000);
    }
}
