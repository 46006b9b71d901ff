//! The settle probe: from a state on nothing goes wrong and nobody says anything more, and everything
//! must come to rest with nothing owed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use selvedge_core::Time;

use super::{agent::ONLY, choice::Choice, world::World};
use crate::oracle::{Breach, because::About};

/// How long that may take, in virtual time: as long as coming back and, after that, what is owed.
const WITHIN: Duration = Duration::from_secs(240);
/// How many events that may take: many times what it takes.
const EVENTS_MAX: usize = 20_000;

/// The states of which it is known that they settle, and how long that takes.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// In milliseconds: there are as many of them as states.
    known: BTreeMap<u128, u32>,
    /// How many events were delivered.
    pub(super) events: u64,
}

/// What happens on the way.
pub(super) type OnTheWay<'w> = &'w mut dyn FnMut(&World, Choice);

impl Settled {
    /// How many states are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether a world settles; it is left where that is known.
    ///
    /// # Errors
    ///
    /// With the rule that is broken on the way, or at its end.
    pub(super) fn probe(&mut self, world: &mut World, told: OnTheWay<'_>) -> Result<(), Breach> {
        let mut way: Vec<(u128, Time)> = Vec::new();
        let began = world.now;
        let mut rest = Duration::ZERO;
        for event in 0.. {
            let hash = world.hash_of_present();
            if let Some(known) = self.known.get(&hash) {
                rest = Duration::from_millis(u64::from(*known));
                break;
            }
            way.push((hash, world.now));
            let mut choices = Vec::new();
            world.deliverable(&mut choices);
            let choice = match choices.first() {
                Some(choice) => *choice,
                None if world.is_settled()? => break,
                None => Choice::Fire,
            };
            if event >= EVENTS_MAX {
                return Err(unsettled(world, format!("after {event} events more")));
            }
            if world.now.since(began) > WITHIN {
                return Err(unsettled(world, format!("after {WITHIN:?} more")));
            }
            told(world, choice);
            world.take(choice);
            self.events += 1;
            if let Some(breach) = world.breach() {
                return Err(breach.clone());
            }
        }
        let end = world.now;
        if end.since(began) + rest > WITHIN {
            return Err(unsettled(world, format!("after {WITHIN:?} more")));
        }
        for (hash, at) in way {
            let lasts = (end.since(at) + rest).as_millis();
            self.known
                .insert(hash, u32::try_from(lasts).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}

fn unsettled(world: &World, when: String) -> Breach {
    let why = match world.is_live() {
        true => format!("{when} something is still going on, and nothing is owed"),
        false => format!("{when} the agent is not live"),
    };
    Breach {
        rule: "every link comes back",
        at: world.now,
        why,
        about: About::default(),
    }
}

impl World {
    fn is_live(&self) -> bool {
        let agent = self.agent.as_ref();
        agent.is_some_and(|agent| {
            let mut guilds = agent.guilds();
            guilds.next().is_some_and(|(_, live, _)| live)
        })
    }

    /// Whether nothing is owed any more; an error where it never will come.
    pub(super) fn is_settled(&self) -> Result<bool, Breach> {
        let present = BTreeSet::from([(ONLY, ONLY)]);
        let owed = self.oracle.owed(self.now, &present)?;
        Ok(owed.is_none() && self.is_live())
    }
}
