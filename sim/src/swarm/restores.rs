//! Backups: a guild or a plugin comes back with what it had some time ago.

use selvedge_core::Rng;

use super::{
    log_between,
    people::{Cast, deed},
};
use crate::script::{Act, Deed, Line, Strike};

/// How long before a guild is restored its agents are away, where they are.
const AWAY: u64 = 1_000;
/// The least that the restoring of a guild takes: an id that is given anew is known by its date, which a guild
/// may tell rounded.
const RESTORE_LEAST: u64 = 3_000;

/// A guild is backed up at `at`, and restored at `later`. Half of the time no agent is there before people
/// have written in each of its channels: perhaps as much as it had before.
pub(super) fn guild(
    rng: &mut Rng,
    cast: &Cast,
    (at, later, span): (u64, u64, u64),
    down: u64,
) -> Vec<Line> {
    let Some(guild) = cast.guild(rng) else {
        return vec![];
    };
    let line = |at: u64, strike: Strike| strikes(at.min(span), None, Some(&guild), strike);
    let down = down.max(RESTORE_LEAST);
    let restore = Strike::RestoreGuild { down };
    let mut lines = vec![line(at, Strike::BackUpGuild), line(later, restore)];
    if rng.chance(1, 2) {
        let back = later + down + log_between(rng, 2_000, 60_000);
        lines.push(line(
            later.saturating_sub(AWAY).max(at),
            Strike::RefuseDials(true),
        ));
        lines.push(line(later.saturating_sub(AWAY).max(at), Strike::Reset));
        lines.push(line(back, Strike::RefuseDials(false)));
        for place in cast.places.iter().filter(|place| place.guild == guild) {
            let Some(who) = place.people.first() else {
                continue;
            };
            let writes = Deed::Flood {
                channel: place.name.clone(),
                content: format!("say since the backup of {at},"),
                messages: log_between(rng, 1, 30),
                every: rng.below(50),
            };
            lines.push(deed((later + down + 500).min(span), who, None, writes));
        }
    }
    lines
}

/// The disk of a plugin is backed up at `at`, and lost at `later`: the backup takes its place.
pub(super) fn disk(
    rng: &mut Rng,
    cast: &Cast,
    (at, later, span): (u64, u64, u64),
    down: u64,
) -> Vec<Line> {
    let Some(agent) = cast.agent(rng) else {
        return vec![];
    };
    let commits = rng.chance(1, 2);
    let strikes = [
        (at, Strike::BackUp),
        (later, Strike::Kill { commits }),
        (later, Strike::Restore),
        (later + down, Strike::Start),
    ];
    let strikes = strikes.into_iter();
    strikes
        .map(|(at, strike)| self::strikes(at.min(span), Some(&agent), None, strike))
        .collect()
}

fn strikes(at: u64, agent: Option<&String>, guild: Option<&String>, strike: Strike) -> Line {
    Line::Act {
        at,
        who: "network".to_string(),
        agent: agent.cloned(),
        guild: guild.cloned(),
        r#do: Act::Strike(strike),
    }
}
