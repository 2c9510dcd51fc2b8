//! Who runs on which core.

use std::io;
use std::process::{Child, Command};

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of server and generator; `None` where there is only one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores(Option<(usize, usize)>);

impl Cores {
    /// Chooses two cores among those this process may use, and moves this process to the generator's.
    pub(crate) fn choose(server: Option<usize>, generator: Option<usize>) -> Result<Self> {
        let allowed = sched_getaffinity(None).context("reading the CPU affinity")?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
        let server = server.or_else(|| cores.first().copied());
        let generator = generator.or_else(|| cores.iter().copied().find(|&core| Some(core) != server));
        let pair = server.zip(generator);
        if let Some((_, generator)) = pair {
            pin(None, generator).with_context(|| format!("pinning to core {generator}"))?;
        }
        Ok(Self(pair))
    }

    /// Starts a process on the server's core. Affinity is inherited, so that its threads find nothing else.
    pub(crate) fn spawn(self, command: &mut Command) -> Result<Child> {
        let Some((server, generator)) = self.0 else { return Ok(command.spawn()?) };
        pin(None, server)?;
        let child = command.spawn();
        pin(None, generator)?;
        Ok(child?)
    }

    /// Moves the threads of a running server to its core.
    pub(crate) fn adopt(self, threads: &[u32]) -> Result<()> {
        let Some((server, _)) = self.0 else { return Ok(()) };
        for &thread in threads {
            let pid = i32::try_from(thread).ok().and_then(Pid::from_raw);
            pin(pid, server).with_context(|| format!("pinning thread {thread}"))?;
        }
        Ok(())
    }
}

fn pin(pid: Option<Pid>, core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(pid, &set)?)
}
