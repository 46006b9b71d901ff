//! `selvedge-sim run`: random seeds, until a rule is broken.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, time::Duration};

use clap::Args;
use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    run::{hushed, run_seed},
    script, swarm,
    world::Report,
};

use super::{Drawn, Stopwatch, pictures::Pictures, say, tell};

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);
/// How many lines of what happened are shown where a rule is broken.
const LINES: usize = 25;
/// How long such a line may be.
const LINE_CHARS: usize = 400;

/// Runs random seeds.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Which seeds, `A..B` without `B`.
    #[arg(long, value_parser = seeds)]
    seeds: Range<u64>,
    #[command(flatten)]
    drawn: Drawn,
    /// Switches a fix of the plugin off.
    #[arg(long)]
    defect: Option<String>,
    /// Prints the last so many lines of what happened in every seed.
    #[arg(long, default_value_t = 0)]
    log: usize,
    /// Prints nothing but the hash of each seed.
    #[arg(long)]
    hash: bool,
    /// Goes on behind a broken rule, and prints one line for each.
    #[arg(long)]
    all: bool,
    /// Writes the script of the last seed that was run to this file, which `trace` runs.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Of the last seed.
    #[command(flatten)]
    pictures: Pictures,
}

/// Reads `A..B`.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write it as A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

/// What all seeds came to.
#[derive(Debug, Default)]
struct Total {
    seeds: u64,
    broken: u64,
    steps: u64,
    events: u64,
    messages: usize,
    virtual_time: Duration,
    coverage: BTreeMap<&'static str, u64>,
    rules: BTreeMap<&'static str, u64>,
}

impl Run {
    pub(crate) fn carry_out(&self) -> Result<bool, String> {
        hushed(|| self.run())
    }

    fn run(&self) -> Result<bool, String> {
        let options = self.drawn.options()?;
        let planted = match &self.defect {
            Some(name) => Planted::new(script::named(name).map_err(|error| error.to_string())?),
            None => Planted::default(),
        };
        let (mut total, watch) = (Total::default(), Stopwatch::start());
        let mut told = Duration::ZERO;
        for seed in self.seeds.clone() {
            let report = run_seed(seed, &options, planted, self.log)?;
            total.add(&report);
            if self.hash {
                say(&format!("{seed} {:016x}", report.hash));
            }
            for line in &report.log {
                say(line);
            }
            if let Some(failure) = report.failures.first() {
                if !self.all {
                    self.tell_broken(seed, failure, &report, planted)?;
                    break;
                }
                say(&format!("{failure} (seed {seed}, step {})", report.steps));
            }
            if watch.elapsed() > told + PROGRESS {
                told = watch.elapsed();
                tell(&total.speed(told));
            }
        }
        if self.write.is_some() || self.pictures.any() {
            let last = (self.seeds.start + total.seeds).saturating_sub(1);
            let script = swarm::script(last, &options);
            if let Some(file) = &self.write {
                let text = script.write().map_err(|error| error.to_string())?;
                std::fs::write(file, text).map_err(|error| error.to_string())?;
            }
            self.pictures.make(&script, planted)?;
        }
        if !self.hash {
            total.tell(watch.elapsed());
        }
        Ok(total.broken == 0)
    }

    /// The seed in which a rule is broken, and how to see it again.
    fn tell_broken(
        &self,
        seed: u64,
        failure: &str,
        report: &Report,
        planted: Planted,
    ) -> Result<(), String> {
        say(failure);
        say(&format!("seed {seed}, step {}", report.steps));
        let options = self.drawn.options()?;
        let again = run_seed(seed, &options, planted, LINES)?;
        for line in &again.log {
            say(&line.chars().take(LINE_CHARS).collect::<String>());
        }
        let defect = self.defect.as_ref();
        let defect = defect.map_or(String::new(), |name| format!(" --defect {name}"));
        let drawn = self.drawn.written();
        say(&format!(
            "again: selvedge-sim run --seeds {seed}..{}{drawn}{defect} --log 1000",
            seed + 1,
        ));
        say(&format!("small: selvedge-sim shrink {seed}{drawn}{defect}"));
        Ok(())
    }
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.broken += u64::from(!report.failures.is_empty());
        self.steps += report.steps;
        self.events += report.events;
        self.messages += report.messages;
        self.virtual_time += report.virtual_time;
        for (what, times) in &report.coverage {
            *self.coverage.entry(what).or_default() += times;
        }
        if let Some(breach) = &report.breach {
            *self.rules.entry(breach.rule).or_default() += 1;
        }
    }

    fn speed(&self, real: Duration) -> String {
        let seconds = real.as_secs_f64().max(1e-6);
        format!(
            "{} seeds, {} broken; {:.0} steps and {:.0} events a second, {:.0} times real time",
            self.seeds,
            self.broken,
            self.steps as f64 / seconds,
            self.events as f64 / seconds,
            self.virtual_time.as_secs_f64() / seconds,
        )
    }

    fn tell(&self, real: Duration) {
        say(&self.speed(real));
        say(&format!(
            "{} steps, {} messages, {:.0} s of virtual time in {:.1} s",
            self.steps,
            self.messages,
            self.virtual_time.as_secs_f64(),
            real.as_secs_f64()
        ));
        let coverage = self.coverage.iter();
        let coverage: Vec<_> = coverage
            .map(|(what, times)| format!("{what} {times}"))
            .collect();
        say(&format!("covered: {}", coverage.join(", ")));
        for (rule, times) in &self.rules {
            say(&format!("broken in {times} seeds: {rule}"));
        }
    }
}
