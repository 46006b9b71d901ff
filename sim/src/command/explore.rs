//! `selvedge-sim explore`: every order of events and every placement of faults in a small world.

use std::time::Duration;

use clap::{Args, ValueEnum};
use selvedge_core::{fabric::types::XType, plugin::defect::Planted};
use selvedge_sim::{
    explore::{Found, Progress, Scene, Start, Terms, Walked, explore, walk},
    run::hushed,
    script,
};

use super::{Stopwatch, say, tell};

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);
/// How many lines of a settle probe are shown.
const LINES: usize = 60;

/// Walks every order of events and every placement of faults in a small world.
#[derive(Debug, Args)]
pub(crate) struct Explore {
    /// How many channels there are.
    #[arg(long, default_value_t = 1)]
    channels: usize,
    /// Their kind.
    #[arg(long, default_value = "general")]
    kind: Kind,
    /// How many messages a person posts, in one channel after the other.
    #[arg(long, default_value_t = 2)]
    messages: usize,
    /// Hosts end turns without an answer.
    #[arg(long)]
    mute: bool,
    /// How many faults there are at most.
    #[arg(long, default_value_t = 1)]
    faults: u32,
    /// The horizon: how many timers fire at most.
    #[arg(long, default_value_t = 2)]
    firings: u32,
    /// Begins before the first start of the plugin, and not with an agent that is live.
    #[arg(long)]
    cold: bool,
    /// How long tokens live, in seconds.
    #[arg(long, default_value_t = 900)]
    token_life: u64,
    /// Switches a fix of the plugin off.
    #[arg(long)]
    defect: Option<String>,
    /// The memory that may be taken, in MiB: the search stops there.
    #[arg(long, default_value_t = 2_048)]
    memory: u64,
    /// How many states are kept whole at most; the others are made again when their time comes.
    #[arg(long, default_value_t = 100_000)]
    keep: usize,
    /// Of so many states that are recognised again one is compared with that for which it is taken:
    /// whether the same follows from both. 0 for none.
    #[arg(long, default_value_t = 0)]
    compare: u64,
    /// Stops after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Goes one way again, as a violation names it, and tells each step.
    #[arg(long)]
    path: Option<String>,
}

/// A kind of channels.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    General,
    Dm,
    Discuss,
    Work,
}

impl Kind {
    const fn x_type(self) -> XType {
        match self {
            Self::General => XType::General,
            Self::Dm => XType::Dm,
            Self::Discuss => XType::Discuss,
            Self::Work => XType::Work,
        }
    }
}

impl Explore {
    pub(crate) fn carry_out(&self) -> Result<bool, String> {
        let scene = self.scene()?;
        match &self.path {
            Some(path) => {
                let way = path.split(',').filter(|number| !number.is_empty());
                let way: Result<Vec<u16>, _> = way.map(str::parse).collect();
                let way = way.map_err(|error| format!("--path: {error}"))?;
                let walked = hushed(|| walk(scene, &way))?;
                for line in &walked.lines {
                    say(line);
                }
                Ok(tell_end(&walked))
            }
            None => hushed(|| self.search(scene)),
        }
    }

    fn scene(&self) -> Result<Scene, String> {
        let planted = match &self.defect {
            Some(name) => Planted::new(script::named(name).map_err(|error| error.to_string())?),
            None => Planted::default(),
        };
        Ok(Scene {
            channels: self.channels,
            x_type: self.kind.x_type(),
            messages: self.messages,
            answers: !self.mute,
            faults: self.faults,
            firings: self.firings,
            start: match self.cold {
                true => Start::Cold,
                false => Start::Live,
            },
            token_life: Duration::from_secs(self.token_life),
            planted,
        })
    }

    fn search(&self, scene: Scene) -> Result<bool, String> {
        let terms = Terms {
            kept_max: self.keep,
            compare_every: self.compare,
        };
        let (watch, before) = (Stopwatch::start(), resident());
        let (mut told, mut stopped) = (Duration::ZERO, "");
        let found = explore(scene.clone(), terms, &mut |progress| {
            let elapsed = watch.elapsed();
            if elapsed > told + PROGRESS {
                told = elapsed;
                tell(&speed(progress, elapsed));
            }
            if resident() > self.memory << 20 {
                stopped = "stopped by the memory cap";
            } else if self.seconds.is_some_and(|most| elapsed.as_secs() >= most) {
                stopped = "stopped by the time cap";
            }
            stopped.is_empty()
        })?;
        let elapsed = watch.elapsed();
        say(&speed(&found.progress, elapsed));
        let bytes = resident().saturating_sub(before);
        say(&format!(
            "{:.0} bytes a state, the kept ones and what is known of the settled ones included; {} MiB",
            bytes as f64 / found.progress.unique as f64,
            resident() >> 20,
        ));
        if let Some(violation) = &found.violation {
            let way: Vec<String> = violation.way.iter().map(u16::to_string).collect();
            let walked = walk(scene, &violation.way)?;
            self.tell_violation(&way, &walked);
        } else {
            say(&self.verdict(&found, stopped));
        }
        Ok(found.violation.is_none())
    }

    fn verdict(&self, found: &Found, stopped: &str) -> String {
        let horizon = format!("{} faults and {} firings", self.faults, self.firings);
        match found.complete {
            true => format!("complete: no rule is broken within {horizon}"),
            false => format!("{stopped}, and no rule is broken so far"),
        }
    }

    fn tell_violation(&self, way: &[String], walked: &Walked) {
        let steps = way.len();
        for line in walked.lines.iter().take(steps + 1) {
            say(line);
        }
        let rest = walked.lines.len().saturating_sub(steps + 1);
        if rest > LINES {
            say(&format!("… {} steps …", rest - LINES));
        }
        let skip = (steps + 1).max(walked.lines.len().saturating_sub(LINES));
        for line in walked.lines.iter().skip(skip) {
            say(line);
        }
        tell_end(walked);
        say(&format!(
            "again: selvedge-sim explore{} --path {}",
            self.written(),
            way.join(",")
        ));
    }

    /// The options of the scene, as they are written on the command line.
    fn written(&self) -> String {
        let mut written = format!(
            " --channels {} --kind {} --messages {} --faults {} --firings {} --token-life {}",
            self.channels,
            format!("{:?}", self.kind).to_lowercase(),
            self.messages,
            self.faults,
            self.firings,
            self.token_life,
        );
        for (flag, set) in [(" --mute", self.mute), (" --cold", self.cold)] {
            if set {
                written.push_str(flag);
            }
        }
        if let Some(defect) = &self.defect {
            written.push_str(&format!(" --defect {defect}"));
        }
        written
    }
}

fn tell_end(walked: &Walked) -> bool {
    match &walked.breach {
        Some(breach) => say(&format!("broken {}: {}", breach.rule, breach.why)),
        None => say("no rule is broken"),
    }
    walked.breach.is_none()
}

fn speed(progress: &Progress, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-6);
    format!(
        "{} states, {} unique, depth {}, {} waiting, {} of them kept; {:.0} unique states a second; \
         settle probes: {} events, {} states; {} compared; {:.1} s",
        progress.steps,
        progress.unique,
        progress.depth,
        progress.waiting,
        progress.kept,
        progress.unique as f64 / seconds,
        progress.settling,
        progress.settled,
        progress.compared,
        seconds,
    )
}

/// The memory that this process takes, in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}
