//! What another process takes, from `/proc`.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// Linux counts processor time in hundredths of a second, whatever its kernel
/// was built with.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used up to now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, user and system.
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    /// Of the process with this id.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
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
        us / precise(count.max(1))
    }

    /// Kilobytes of memory for each of `count`, since `before`.
    pub(crate) fn kb_each(self, before: Self, count: u32) -> f64 {
        let bytes = self.rss_bytes.saturating_sub(before.rss_bytes);
        precise(bytes) / 1_024.0 / f64::from(count.max(1))
    }
}

/// A count as a fraction can hold it; counts of a run are far from where it
/// could not.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run stay under 2^52"
)]
pub(crate) const fn precise(count: u64) -> f64 {
    count as f64
}

/// `utime` and `stime`, the fields 14 and 15. The second, a name in parentheses,
/// may hold anything.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
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
        assert_eq!(rss_kb("Name:\tx\nVmRSS:\t  2048 kB\n"), Some(2_048));
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 100_000);
    }
}
