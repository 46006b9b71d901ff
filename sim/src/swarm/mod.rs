//! The swarm: draws a script from a seed, with the size of its world, the plugin's limits, what people
//! do, and which faults there are and how often.
//!
//! Each concern draws from a generator of its own, so that a change to one leaves the others as they
//! were.

mod changes;
mod faults;
mod limits;
mod people;
mod rare;
mod restores;

use std::time::Duration;

use selvedge_core::{Rng, plugin::config::Profile};

pub use self::faults::Fault;
use self::people::Cast;
use crate::script::{Act, Head, Line, Script, Strike, numbered};

/// How large a world is; what is `None` is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Size {
    /// How many agents.
    pub agents: Option<usize>,
    /// How many guilds, all of which every agent belongs to.
    pub guilds: Option<usize>,
    /// How many channels in each guild.
    pub channels: Option<usize>,
    /// How many messages people post, in all guilds together.
    pub messages: Option<usize>,
}

/// What is drawn, and what is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How large the world is.
    pub size: Size,
    /// The faults that there may be. Of these a seed draws some.
    pub faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: Size::default(),
            faults: Fault::ALL.to_vec(),
        }
    }
}

/// The script of a seed.
pub fn script(seed: u64, options: &Options) -> Script {
    let mut size = options.size;
    let rng = Rng::from_number(seed).fork("swarm");
    let mut head = Head::named(&format!("seed {seed}"), "drawn");
    head.seed = seed;
    draw_head(&mut rng.fork("head"), &size, &mut head);
    let mut crowd = rng.fork("crowd");
    let is_crowd = options.faults.contains(&Fault::CrashGuild)
        && size == Size::default()
        && crowd.chance(1, 40);
    if is_crowd {
        gather(&mut crowd, &mut size, &mut head);
    }
    limits::draw(&mut rng.fork("limits"), &mut head);
    limits::allow(&mut rng.fork("allow"), &people::PEOPLE, &mut head);
    let mut older = rng.fork("older");
    head.older_guilds.clone_from(&head.guilds);
    head.older_guilds.retain(|_| older.chance(1, 6));
    let span = log_between(&mut rng.fork("span"), 20_000, 900_000);
    let cast = Cast::draw(&mut rng.fork("cast"), &head, &size);
    let mut special = rng.fork("rare");
    let may_be = |fault: &Fault| options.faults.contains(fault);
    let is_rare = !is_crowd
        && rare::NEEDS.iter().all(may_be)
        && size == Size::default()
        && special.chance(1, 12);
    let rare = match is_rare {
        true => rare::draw(&mut special, &cast, &mut head),
        false => vec![],
    };
    let last = rare.iter().map(Line::at).max().unwrap_or_default();
    let span = span.max(u64::try_from(last.as_millis()).unwrap_or(u64::MAX));
    let mut lines = cast.lines(&rng.fork("people"), &size, span);
    lines.extend(rare);
    let mut on: Vec<Fault> = options.faults.clone();
    // To the other hosts what is written has arrived.
    on.retain(|fault| *fault != Fault::LoseNotifications || head.profile == Profile::Claude);
    let mut which = rng.fork("which");
    // Few faults at once reach deeper, many at once are the worst case.
    let of = 1 + which.below(8);
    on.retain(|_| which.chance(1, of));
    if is_rare {
        // Whatever else goes wrong hides it.
        on.retain(|_| special.chance(1, 16));
    }
    alone(&mut rng.fork("alone"), &mut on);
    if !on.contains(&Fault::RestoreDisk) {
        // What a disk has lost such a guild would not tell again.
        let mut reticent = rng.fork("reticent");
        head.reticent_guilds.clone_from(&head.guilds);
        head.reticent_guilds.retain(|_| reticent.chance(1, 6));
    }
    if on.contains(&Fault::Chat) && cast.pairs().next().is_some() {
        limits::tire(&mut rng.fork("tire"), &mut head);
    }
    if is_crowd {
        // What is said much to many takes them longer than anybody waits.
        on.retain(|fault| *fault != Fault::Flood);
        let at = crowd.below(span);
        let crash = Strike::CrashGuild {
            commits: true,
            told: true,
            down: log_between(&mut crowd, 20, 20_000),
        };
        lines.push(Line::Act {
            at,
            who: "network".to_string(),
            agent: None,
            guild: None,
            r#do: Act::Strike(crash),
        });
    }
    for fault in on {
        let mut rng = rng.fork(fault.name());
        let every = log_between(&mut rng, span / 20, span);
        let mut at = rng.below(every.max(1));
        while at < span {
            lines.extend(fault.strike(&mut rng, &cast, at, span));
            at += 1 + rng.below(2 * every.max(1));
        }
    }
    lines.sort_by_key(Line::at);
    lines.push(Line::Act {
        at: span,
        who: "network".to_string(),
        agent: None,
        guild: None,
        r#do: Act::Strike(Strike::Quiet),
    });
    Script { head, lines }
}

fn draw_head(rng: &mut Rng, size: &Size, head: &mut Head) {
    let count = |rng: &mut Rng, given: Option<usize>, most: u64| {
        // A world of one is the commonest.
        given.unwrap_or_else(|| 1 + rng.below(1 + rng.clone().below(most)) as usize)
    };
    let agents = count(rng, size.agents, 3);
    let guilds = count(rng, size.guilds, 2);
    head.agents = numbered(agents);
    head.guilds = (1..=guilds)
        .map(|number| format!("guild-{number}"))
        .collect();
    head.same_ids = rng.chance(1, 4);
    head.token_life_ms = log_between(rng, 20_000, 900_000);
    head.deaf_on_expired_token = rng.chance(1, 4);
    if rng.chance(1, 4) {
        head.profile = Profile::Claude;
    }
    head.turns = rng.chance(3, 4);
    head.turn_ms = log_between(rng, 1, 5_000);
    let least = rng.below(20);
    head.latency_ms = (least, least + log_between(rng, 1, 300));
}

/// What comes back from a backup is disaster enough: nothing else goes wrong in such a world. Most of the
/// time it does not.
fn alone(rng: &mut Rng, on: &mut Vec<Fault>) {
    for disaster in [Fault::RestoreGuild, Fault::RestoreDisk] {
        if on.contains(&disaster) {
            match rng.chance(1, 4) {
                true => on.retain(|fault| *fault == disaster),
                false => on.retain(|fault| *fault != disaster),
            }
        }
    }
}

/// Makes a world one of many agents, in one guild where little is said.
fn gather(rng: &mut Rng, size: &mut Size, head: &mut Head) {
    head.agents = numbered(8 + rng.below(9) as usize);
    head.guilds.truncate(1);
    size.channels = Some(1 + rng.below(2) as usize);
    size.messages = Some(1 + rng.below(8) as usize);
}

/// A number of which each order of magnitude is equally likely.
fn log_between(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let low = low.max(1);
    let doublings = high.max(low).div_euclid(low).ilog2();
    let base = low << rng.below(u64::from(doublings) + 1);
    (base + rng.below(base)).min(high)
}

/// A span as the plugin's configuration writes it.
fn written(span: Duration) -> serde_json::Value {
    serde_json::to_value(span).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Deed;

    #[test]
    fn the_same_seed_draws_the_same_script_and_it_can_be_read_back() {
        for seed in 0..200 {
            let first = script(seed, &Options::default());
            assert_eq!(first, script(seed, &Options::default()));
            let read = Script::parse(&first.write().unwrap()).unwrap();
            assert_eq!(first, read, "seed {seed}");
        }
    }

    #[test]
    fn what_is_given_is_not_drawn() {
        let size = Size {
            agents: Some(5),
            guilds: Some(3),
            channels: Some(2),
            messages: Some(17),
        };
        let faults = vec![];
        let script = script(1, &Options { size, faults });
        assert_eq!((script.head.agents.len(), script.head.guilds.len()), (5, 3));
        let count = |is: fn(&Act) -> bool| {
            let acts = script.lines.iter().filter_map(|line| match line {
                Line::Act { r#do, .. } => Some(r#do),
                Line::Expect { .. } => None,
            });
            acts.filter(|act| is(act)).count()
        };
        assert_eq!(
            count(|act| matches!(act, Act::Deed(Deed::Create { .. }))),
            6
        );
        assert_eq!(count(|act| matches!(act, Act::Deed(Deed::Post { .. }))), 17);
        assert_eq!(count(|act| matches!(act, Act::Strike(_))), 1, "their end");
    }
}
