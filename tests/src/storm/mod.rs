//! The storm: people post in many channels while the network between plugin and guild does its worst,
//! and plugin and guild are killed. What must hold in the end is in [`mod@judge`].

mod guild;
mod host;
pub mod judge;
#[cfg(test)]
mod judge_tests;
pub mod ledger;
mod people;
mod stage;
mod talk;

use std::{path::PathBuf, sync::Arc, time::Duration};

use selvedge_core::{Time, rng::Rng};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

pub use self::guild::Kind;
use self::{
    host::Life,
    judge::{Evidence, Posted, Verdict, judge},
    ledger::Ledger,
    stage::Stage,
};
use crate::{fabric::Fault, faults::Tally};

/// How long a killed guild stays away.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));
/// How long a killed plugin does.
const GONE: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(2));
/// How long nothing at all may happen after the storm before the rest is given up. A connection that is
/// half open is noticed after 45 s, and reading and joining may be waited for in turn.
const STUCK: Duration = Duration::from_secs(120);
/// How long it is watched in the end whether anything comes twice.
const LINGER: Duration = Duration::from_secs(3);
/// How often it is told how things stand.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often the evidence is judged.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// How bad a storm is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which guild.
    pub guild: Kind,
    /// How many messages people post altogether.
    pub messages: usize,
    /// In how many channels.
    pub channels: usize,
    /// For how long.
    pub length: Duration,
    /// How often the plugin is killed.
    pub plugin_kills: usize,
    /// How often the guild is killed.
    pub guild_kills: usize,
    /// What everything is drawn from.
    pub seed: u64,
    /// The folder of stores, logs and configuration.
    pub folder: PathBuf,
    /// Where plugin and guild write down what they see; each life in a folder of its own.
    pub record: Option<PathBuf>,
}

/// What has come of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the judge says.
    pub verdict: Verdict,
    /// What the network has done.
    pub tally: Tally,
}

/// Runs a storm, and judges it. `None` where there is no Node for its guild.
///
/// # Errors
///
/// Where something does not start, or ends by itself.
pub async fn storm(plan: &Plan, say: impl Fn(&str)) -> Result<Option<Outcome>, Fault> {
    let rng = Rng::from_number(plan.seed);
    let Some(mut stage) = Stage::start(plan, &rng).await? else {
        return Ok(None);
    };
    let ledger = Ledger::new(stage.clock);
    // A guild that tells neither where a channel stands nor where a membership began has its channels
    // before the plugin comes; with ours the plugin is told of each.
    let before = plan.guild == Kind::Nest;
    if before {
        stage.create(plan.channels).await?;
    }
    let mut life = stage.start_plugin(0, &ledger, &rng).await?;
    if !before {
        stage.create(plan.channels).await?;
    }
    stage.live(&life).await?;
    let began = stage.clock.now();
    say(&format!(
        "seed {}: {} channels are live, and the storm begins",
        plan.seed, plan.channels
    ));
    let mut posting = JoinSet::new();
    for talk in stage.talks(plan) {
        let people = Arc::clone(&stage.people);
        let rng = rng.fork(&format!("talk {}", posting.len()));
        posting.spawn(talk.hold(people, plan.length, rng));
    }
    stage.network.iter().for_each(|faults| faults.storm(true));
    let mut dates = dates(plan, &rng, began);
    let mut posted: Vec<Posted> = Vec::new();
    let mut lives = 1;
    let mut told = began;
    while stage.clock.now().since(began) < plan.length {
        while let Some(talk) = posting.try_join_next() {
            posted.extend(talk??);
        }
        let now = stage.clock.now();
        while let Some((at, victim)) = dates.last().filter(|(at, _)| *at <= now).copied() {
            dates.pop();
            let mut rng = rng.fork(&format!("{victim:?} at {at:?}"));
            match victim {
                Victim::Plugin => {
                    life.kill().await?;
                    sleep(rng.between(GONE.0, GONE.1)).await;
                    life = stage.start_plugin(lives, &ledger, &rng).await?;
                    lives += 1;
                }
                Victim::Guild => {
                    stage.guild.kill().await?;
                    sleep(rng.between(AWAY.0, AWAY.1)).await;
                    stage.guild.restart().await?;
                }
            }
        }
        if now.since(told) >= TELL_EVERY {
            told = now;
            say(&stage.progress(began, &ledger));
        }
        sleep(Duration::from_millis(20)).await;
    }
    stage.network.iter().for_each(|faults| faults.storm(false));
    say("the storm is over");
    let verdict = settle(&stage, &ledger, &mut posting, posted, &life, began, &say).await?;
    life.finish().await?;
    Ok(Some(Outcome {
        verdict,
        tally: stage.tally.clone(),
    }))
}

/// Waits until everything is right, or nothing more happens.
async fn settle(
    stage: &Stage,
    ledger: &Ledger,
    posting: &mut JoinSet<Result<Vec<Posted>, Fault>>,
    mut posted: Vec<Posted>,
    life: &Life,
    began: Time,
    say: &impl Fn(&str),
) -> Result<Verdict, Fault> {
    let clock = stage.clock;
    let (mut happened, mut seen) = (clock.now(), ledger.len());
    let mut told = clock.now();
    let mut right_since = None;
    loop {
        sleep(JUDGE_EVERY).await;
        let before = posted.len();
        while let Some(talk) = posting.try_join_next() {
            posted.extend(talk??);
        }
        let now = clock.now();
        if ledger.len() != seen || posted.len() != before {
            (happened, seen) = (now, ledger.len());
        }
        if now.since(told) >= TELL_EVERY {
            told = now;
            say(&stage.progress(began, ledger));
        }
        let stuck = now.since(happened) >= STUCK;
        let evidence = Evidence {
            agent: stage.agent.to_string(),
            channels: timeout(STUCK, stage.heard()).await??,
            posted: posted.clone(),
            entries: ledger.entries(),
        };
        let mut verdict = judge(&evidence);
        if verdict.duplicates > 0 {
            // Waiting does not mend that.
            return Ok(verdict);
        }
        if posting.is_empty() && verdict.violations.is_empty() {
            let since = *right_since.get_or_insert(now);
            if now.since(since) >= LINGER {
                return Ok(verdict);
            }
        } else {
            right_since = None;
        }
        if stuck {
            if !posting.is_empty() {
                let left = posting.len();
                let why = format!("in {left} channels people are still waiting");
                verdict.violations.push(why);
            }
            let status = life.pending().await;
            verdict
                .violations
                .push(format!("nothing happens any more; {status}"));
            return Ok(verdict);
        }
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Plugin,
    Guild,
}

/// When what is killed, the last one first: each kind in equal parts of the storm, at a drawn moment of
/// its part.
fn dates(plan: &Plan, rng: &Rng, began: Time) -> Vec<(Time, Victim)> {
    let mut rng = rng.fork("kills");
    let mut dates = Vec::new();
    for (kills, victim) in [
        (plan.plugin_kills, Victim::Plugin),
        (plan.guild_kills, Victim::Guild),
    ] {
        let Ok(parts) = u32::try_from(kills) else {
            continue;
        };
        for part in 0..parts {
            let length = plan.length / parts;
            let from = length * part + length / 5;
            let at = rng.between(from, from + length * 3 / 5);
            dates.push((began + at, victim));
        }
    }
    dates.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    dates
}
