//! Liveness: once the faults have ended, every message that woke an agent is accounted for, and no
//! channel hangs on one.
//!
//! A message is accounted for when it was handed over, or counted in `skipped`. What did not wake the
//! agent is recorded, and nothing is owed about it.

use std::{collections::BTreeSet, time::Duration};

use selvedge_core::id::MessageId;

use super::{
    Breach, Place, View,
    because::About,
    ledger::{Channel, Stay, Stored},
    tell,
};

/// How long after it was posted, after the last fault there, or after the last sign of work in its
/// channel, a message may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is still owed by the agents that are `present` in a guild, in words; an error where nobody
/// is working on it.
///
/// # Errors
///
/// With the first debt of a channel in which nothing happens any more.
pub(super) fn owed(
    view: View<'_>,
    present: &BTreeSet<(usize, usize)>,
) -> Result<Option<String>, Breach> {
    let mut owed = None;
    for (agent, guild) in present {
        for (id, channel) in view.ledger.channels(*guild) {
            let place = (*agent, *guild, id.clone());
            let Some(why) = debt(view, &place, channel) else {
                continue;
            };
            if !works(view, &place, channel) {
                return Err(Breach {
                    rule: "nothing is lost, nothing hangs",
                    at: view.now,
                    why,
                    about: About::place(*agent, *guild, id),
                });
            }
            owed = Some(why);
        }
    }
    Ok(owed)
}

/// Whether something may still happen there by itself.
fn works(view: View<'_>, place: &Place, channel: &Channel) -> bool {
    let (agent, guild, _) = place;
    let struck = view.troubles.struck(*agent, *guild);
    let mut last = channel.last_at.max(struck);
    if channel.x_type.takes_turns() {
        last = last.max(channel.speaks_since);
    }
    if let Some(work) = view.works.of(place) {
        last = last.max(work.busy_until()).max(work.asked);
    }
    last + PATIENCE > view.now
}

fn debt(view: View<'_>, place: &Place, channel: &Channel) -> Option<String> {
    let (agent, guild, id) = place;
    let user = view.setup.agents.get(*agent)?;
    if channel.x_type.takes_turns() {
        let waits = channel.speaker.as_ref() == Some(user) && !view.works.is_unknown(place);
        return waits.then(|| format!("channel {id} waits for {user}, and {user} for nothing"));
    }
    let stay = channel.stay(user)?;
    let lost = lost(view, place, channel, stay);
    let work = view.works.of(place);
    if work.is_some_and(|work| work.guarded) {
        return None;
    }
    if view.forgets_wakes(*guild, channel) {
        return None;
    }
    // What was left out is told with the next turn, and nothing wakes the agent there any more.
    let newest = channel.messages.values().next_back();
    let newest = newest.and_then(|id| view.ledger.message(*guild, id));
    let wakes =
        |newest: &Stored| newest.woken.contains(user) && view.setup.allows(&newest.author, id);
    if view.leaves_out(channel) && !newest.is_some_and(wakes) {
        return None;
    }
    let skipped = work.map_or(0, |work| work.skipped);
    let first = lost.first()?;
    (lost.len() as u64 > skipped).then(|| {
        format!(
            "{} woke {user} and never reached its host; {} such messages, {skipped} counted as \\
             skipped",
            tell(view.ledger, *guild, first),
            lost.len()
        )
    })
}

fn lost<'v>(view: View<'v>, place: &Place, channel: &'v Channel, stay: Stay) -> Vec<&'v MessageId> {
    let (agent, guild, _) = place;
    let owed = |message: &Stored| {
        let user = view.setup.agents.get(*agent);
        user.is_some_and(|user| message.woken.contains(user))
            && stay.has(message.seq)
            && message.deleted.is_none()
    };
    let messages = channel.messages.values();
    messages
        .filter(|id| view.ledger.message(*guild, id).is_some_and(owed))
        .filter(|id| view.works.is_owed(*agent, *guild, id))
        .filter(|id| !view.works.is_handed(*agent, *guild, id))
        .collect()
}
