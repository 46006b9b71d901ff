//! The commands of `selvedge-sim`.

pub(crate) mod defects;
pub(crate) mod explore;
pub(crate) mod pictures;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod shrink;
pub(crate) mod trace;

use std::time::Duration;

use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use selvedge_sim::swarm::{Fault, Options, Size};

/// What is drawn, and what is given.
#[derive(Debug, Args)]
pub(crate) struct Drawn {
    /// How many agents; drawn where it is not given.
    #[arg(long)]
    agents: Option<usize>,
    /// How many guilds; drawn where it is not given.
    #[arg(long)]
    guilds: Option<usize>,
    /// How many channels each guild has; drawn where it is not given.
    #[arg(long)]
    channels: Option<usize>,
    /// How many messages people post; drawn where it is not given.
    #[arg(long)]
    messages: Option<usize>,
    /// The faults that there may be: `all`, `none`, or names with commas between.
    #[arg(long, default_value = "all")]
    faults: String,
}

impl Drawn {
    /// The same for the swarm.
    fn options(&self) -> Result<Options, String> {
        let named = |name: &str| {
            let mut all = Fault::ALL.into_iter();
            all.find(|fault| fault.name() == name).ok_or_else(|| {
                let known: Vec<&str> = Fault::ALL.into_iter().map(Fault::name).collect();
                format!(
                    "there is no fault `{name}`; there are: {}",
                    known.join(", ")
                )
            })
        };
        let faults = match self.faults.as_str() {
            "all" => Fault::ALL.to_vec(),
            "none" => vec![],
            names => names.split(',').map(named).collect::<Result<_, _>>()?,
        };
        Ok(Options {
            size: Size {
                agents: self.agents,
                guilds: self.guilds,
                channels: self.channels,
                messages: self.messages,
            },
            faults,
        })
    }

    /// The options that differ from the defaults, as they are written on the command line.
    fn written(&self) -> String {
        let mut written = String::new();
        for (name, given) in [
            ("agents", self.agents),
            ("guilds", self.guilds),
            ("channels", self.channels),
            ("messages", self.messages),
        ] {
            if let Some(given) = given {
                written.push_str(&format!(" --{name} {given}"));
            }
        }
        if self.faults != "all" {
            written.push_str(&format!(" --faults {}", self.faults));
        }
        written
    }
}

/// A clock for telling how fast a run is; nothing in a run sees it.
#[derive(Debug)]
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(reading())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        reading().saturating_sub(self.0)
    }
}

fn reading() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "progress is not part of the result")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}
