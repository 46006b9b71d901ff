//! What a process costs, as `/proc` has it.

use std::{fs, time::Duration};

use crate::fabric::Fault;

/// The unit of the processor times in `/proc`, which is the same on every machine.
const TICK: Duration = Duration::from_millis(10);

/// What a process has of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Processor time so far, as user and in the system.
    pub cpu: Duration,
    /// Memory in use, in KiB.
    pub rss: u64,
    /// The most that it ever was, in KiB.
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Cost {
    /// That of the process with this id.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub fn of(process: u32) -> Result<Self, Fault> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            let number = number.and_then(|number| number.parse().ok());
            number.ok_or_else(|| format!("{name} is not told"))
        };
        Ok(Self {
            cpu: cpu(&process.to_string())?,
            rss: field("VmRSS:")?,
            peak: field("VmHWM:")?,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count(),
        })
    }
}

/// The processor time of a process, as user and in the system, by its place in `/proc`.
pub(crate) fn cpu(process: &str) -> Result<Duration, Fault> {
    let account = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program may hold anything.
    let (_, account) = account.rsplit_once(')').ok_or("no account")?;
    let times = account.split_whitespace().skip(11).take(2);
    let ticks = times.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}
