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

/// Processor time of a server that has a process for each connection: its own, that
/// of the processes which it has started, and that of those which have ended.
pub(crate) fn cpu_of_family(parent: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{parent}/stat"));
    let stat = stat.with_context(|| format!("read the state of process {parent}"))?;
    let own = cpu_ticks(&stat).context("find the processor time in /proc")?;
    let ended = ticks(&stat, 13).context("find the processor time in /proc")?;
    let mut all = own + ended;
    for entry in fs::read_dir("/proc").context("list the processes")? {
        // One that ends meanwhile is gone, and no fault.
        let stat = entry.map(|entry| fs::read_to_string(entry.path().join("stat")));
        let Ok(Ok(stat)) = stat else { continue };
        if parent_of(&stat) == Some(parent) {
            all += cpu_ticks(&stat).unwrap_or(0);
        }
    }
    Ok(TICK * all)
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

/// `utime` and `stime`, the fields 14 and 15.
fn cpu_ticks(stat: &str) -> Option<u32> {
    ticks(stat, 11)
}

/// The sum of two fields, counted from the third, which comes first behind the
/// name. That stands in parentheses and may hold anything.
fn ticks(stat: &str, first: usize) -> Option<u32> {
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
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 100_000);
    }
}
