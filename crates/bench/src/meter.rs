//! CPU time and memory of processes, from `/proc`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::engine::load::as_f64;

/// A process and its descendants (a server may fork workers).
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    root: u32,
}

/// CPU time consumed so far, by two clocks: the scheduler's is exact but forgets threads that ended, the kernel's
/// tick count (10 ms steps) forgets nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    scheduler_ns: u64,
    ticks_ns: u64,
    /// Time that threads were ready to run and had no core.
    waited_ns: u64,
}

/// Duration of a tick in `/proc/PID/stat`, in nanoseconds.
fn tick_ns() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

impl Cpu {
    /// CPU time between two readings in microseconds.
    pub(crate) fn between_us(from: Self, to: Self) -> f64 {
        let exact = to.scheduler_ns.saturating_sub(from.scheduler_ns);
        let ticks = to.ticks_ns.saturating_sub(from.ticks_ns);
        // More ticks than the error of two readings: threads have ended in between, so the exact clock missed them.
        let ns = if ticks > exact + 2 * tick_ns() { ticks } else { exact };
        as_f64(ns) / 1000.0
    }
}

impl Cpu {
    /// Time between two readings spent waiting for a core, in microseconds: what others on this machine took away.
    pub(crate) fn waited_us(from: Self, to: Self) -> f64 {
        as_f64(to.waited_ns.saturating_sub(from.waited_ns)) / 1000.0
    }
}

impl Processes {
    pub(crate) fn of(root: u32) -> Self {
        Self { root }
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self { root: std::process::id() }
    }

    /// CPU time of all threads so far. This process's children are not its own work.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut total = Cpu::default();
        for pid in self.pids() {
            let one = cpu_of(pid).with_context(|| format!("reading the CPU time of process {pid}"));
            match one {
                Ok(one) => {
                    total.scheduler_ns += one.scheduler_ns;
                    total.ticks_ns += one.ticks_ns;
                    total.waited_ns += one.waited_ns;
                }
                Err(e) if pid == self.root => return Err(e),
                Err(_) => {}
            }
        }
        Ok(total)
    }

    /// Resident memory in KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64> {
        let mut total = 0;
        for pid in self.pids() {
            total += rss_of(pid).with_context(|| format!("reading the memory of process {pid}"))?;
        }
        Ok(total)
    }

    /// All thread ids.
    pub(crate) fn threads(&self) -> Vec<u32> {
        self.pids().into_iter().flat_map(|pid| numbers(&format!("/proc/{pid}/task"))).collect()
    }

    fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.root];
        if self.root == std::process::id() {
            return pids;
        }
        let mut next = 0;
        while let Some(&pid) = pids.get(next) {
            next += 1;
            for thread in numbers(&format!("/proc/{pid}/task")) {
                let children = format!("/proc/{pid}/task/{thread}/children");
                let children = fs::read_to_string(children).unwrap_or_default();
                pids.extend(children.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
            }
        }
        pids
    }
}

fn numbers(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(PathBuf::from(dir)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn cpu_of(pid: u32) -> Result<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = ticks(&stat).context("unreadable /proc/PID/stat")?;
    let mut cpu = Cpu { ticks_ns: ticks * tick_ns(), ..Cpu::default() };
    for thread in numbers(&format!("/proc/{pid}/task")) {
        // A thread that has just ended has no file any more.
        let line = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).unwrap_or_default();
        let mut fields = line.split_whitespace().map(|ns| ns.parse().unwrap_or(0));
        cpu.scheduler_ns += fields.next().unwrap_or(0);
        cpu.waited_ns += fields.next().unwrap_or(0);
    }
    Ok(cpu)
}

/// User and system time: fields 14 and 15, counted behind the command's closing parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let fields = stat.get(stat.rfind(')')? + 1..)?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn rss_of(pid: u32) -> Result<u64> {
    for file in ["smaps_rollup", "status"] {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        if let Some(kib) = rss_line(&text) {
            return Ok(kib);
        }
    }
    bail!("no resident size for process {pid}")
}

fn rss_line(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("Rss:").or_else(|| l.strip_prefix("VmRSS:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn stat_with_a_hostile_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 70 30 5 6 20 0 1 0 12345 1 1";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("42 (cut"), None);
    }

    #[test]
    fn resident_size_of_both_files() {
        assert_eq!(rss_line("55d0 - 7ffc\nRss:      1234 kB\nPss: 1 kB\n"), Some(1234));
        assert_eq!(rss_line("Name:\tx\nVmRSS:\t  77 kB\n"), Some(77));
    }

    #[test]
    fn own_work_is_counted() {
        let own = Processes::own();
        let before = own.cpu().unwrap();
        let mut sum = 0u64;
        let mut spent = 0.0;
        while spent < 30_000.0 {
            sum = sum.wrapping_mul(31).wrapping_add(7);
            if sum.is_multiple_of(1024) {
                std::thread::yield_now();
            }
            spent = Cpu::between_us(before, own.cpu().unwrap());
        }
        assert!(own.rss_kib().unwrap() > 100);
        assert!(!own.threads().is_empty());
    }

    #[test]
    fn ended_threads_fall_back_to_ticks() {
        let from = Cpu { scheduler_ns: 500, ticks_ns: 0, waited_ns: 0 };
        let to = Cpu { scheduler_ns: 0, ticks_ns: 90_000_000, waited_ns: 0 };
        assert!((Cpu::between_us(from, to) - 90_000.0).abs() < 1e-9);
    }
}
