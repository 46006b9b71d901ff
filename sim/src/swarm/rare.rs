//! Worlds in which something rare happens: what some mistakes need comes together too seldom by chance.

use std::time::Duration;

use selvedge_core::{Rng, fabric::types::XType, plugin::config::Profile};
use serde_json::Value;

use super::{
    Fault, log_between,
    people::{Cast, deed, pick},
    written,
};
use crate::{
    fault::RestFault,
    script::{Act, Deed, Head, Line, Strike},
};

/// Who is with an agent in a channel of their own.
const WHO: &str = "alice";
/// When everybody has met, in milliseconds.
const MET: u64 = 4_000;

/// What is rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rare {
    /// An agent comes into a channel before a guild has answered its first listing.
    Early,
    /// The same, of a slow guild, and the plugin is killed before it has heard where the channel begins.
    KilledEarly,
    /// An agent whose host shows no sign of a message is taken out of the channel, and let in again.
    LeftUnheard,
    /// An agent has left a channel and joined it again, and its guild wakes it with what it has answered.
    JoinedAgain,
    /// The plugin is killed during a turn that has messages before and behind some that were left out.
    LeftOut,
}

const ALL: [Rare; 5] = [
    Rare::Early,
    Rare::KilledEarly,
    Rare::LeftUnheard,
    Rare::JoinedAgain,
    Rare::LeftOut,
];

/// What goes wrong in them: there are none where one of these may not be drawn.
pub(super) const NEEDS: [Fault; 6] = [
    Fault::Crash,
    Fault::Rest,
    Fault::SlowRest,
    Fault::Membership,
    Fault::Flood,
    Fault::Recant,
];

/// Draws one of the rare things, and makes the world one in which it can happen.
pub(super) fn draw(rng: &mut Rng, cast: &Cast, head: &mut Head) -> Vec<Line> {
    let (Some(agent), Some(guild)) = (cast.agent(rng), cast.guild(rng)) else {
        return vec![];
    };
    let special = Special { agent, guild };
    // Limits that leave messages out, or end turns early, leave nothing to be seen.
    head.config.retain(|name, _| name == "loop_turns");
    match pick(rng, &ALL) {
        Some(Rare::Early) => special.early(rng, head),
        Some(Rare::KilledEarly) => special.killed_early(rng),
        Some(Rare::LeftUnheard) => special.left_unheard(rng, head),
        Some(Rare::JoinedAgain) => special.joined_again(rng, head),
        Some(Rare::LeftOut) => special.left_out(rng, head),
        None => vec![],
    }
}

/// Whom it happens to, and where.
struct Special {
    agent: String,
    guild: String,
}

impl Special {
    fn early(&self, rng: &mut Rng, head: &Head) -> Vec<Line> {
        let at = rng.below(10 * head.latency_ms.1 + 50);
        let kinds = [XType::General, XType::Dm];
        let kind = pick(rng, &kinds).copied().unwrap_or(XType::Dm);
        let asks = at + MET + rng.below(20_000);
        vec![self.create(at, kind), self.post(asks, "say early")]
    }

    fn killed_early(&self, rng: &mut Rng) -> Vec<Line> {
        let slow = log_between(rng, 500, 4_000);
        let at = 100 + rng.below(slow);
        let killed = slow + 1_200 + rng.below(3_000);
        let asks = killed + 500 + rng.below(2_000);
        let hangs = Strike::FailRest {
            requests: 1,
            how: RestFault::HangRequest,
        };
        vec![
            self.strike(0, Strike::DelayRest(slow)),
            self.strike(at.saturating_sub(50), hangs),
            self.create(at, XType::General),
            self.strike(slow, Strike::DelayRest(0)),
            self.strike(killed, Strike::Kill { commits: true }),
            self.post(asks, "say while it is away"),
            self.strike(asks + 500 + rng.below(2_000), Strike::Start),
        ]
    }

    fn left_unheard(&self, rng: &mut Rng, head: &mut Head) -> Vec<Line> {
        head.profile = Profile::Claude;
        let asks = MET + rng.below(10_000);
        let left = asks + 1_000 + rng.below(110_000);
        let again = left + log_between(rng, 100, 5_000);
        vec![
            self.create(rng.below(20), XType::General),
            self.post(asks, "hang on"),
            self.remove(left),
            self.add(again),
        ]
    }

    fn joined_again(&self, rng: &mut Rng, head: &Head) -> Vec<Line> {
        let asks = MET + rng.below(5_000);
        let left = asks + 2 * head.turn_ms + 2_000 + rng.below(5_000);
        let again = left + 500 + rng.below(3_000);
        let killed = again + 1_500 + rng.below(5_000);
        let asks_more = killed + 100 + rng.below(2_000);
        let recants = asks_more + 100 + rng.below(800);
        let recant = Deed::Delete {
            channel: self.channel(),
        };
        vec![
            self.create(rng.below(20), XType::Discuss),
            self.post(asks, "say which colour"),
            self.remove(left),
            self.add(again),
            self.strike(killed, Strike::Kill { commits: true }),
            self.post(asks_more, "say whether anybody is there"),
            deed(recants, WHO, None, recant),
            self.strike(recants + 200 + rng.below(5_000), Strike::Start),
        ]
    }

    fn left_out(&self, rng: &mut Rng, head: &mut Head) -> Vec<Line> {
        let (waiting, turn) = (20 + rng.below(40), 2_000 + rng.below(3_000));
        let gathered = 50 + rng.below(500);
        (head.profile, head.turns, head.turn_ms) = (Profile::Plexum, true, turn);
        head.config
            .insert("waiting_max".to_string(), Value::from(waiting));
        head.config.insert(
            "coalesce".to_string(),
            written(Duration::from_millis(gathered)),
        );
        let at = MET + rng.below(5_000);
        // A turn has at most twenty, and the last one those that wait when nothing more comes.
        let last = at + gathered + turn * (waiting + 1).div_ceil(20);
        let flood = Deed::Flood {
            channel: self.channel(),
            content: "hush, line".to_string(),
            messages: waiting + 25 + rng.below(30),
            every: rng.below(10),
        };
        let asks = at + gathered + turn + 500 + rng.below(turn / 2);
        let killed = last - turn / 2 + rng.below(2 * turn);
        vec![
            self.create(rng.below(20), XType::General),
            deed(at, WHO, None, flood),
            self.post(asks, "say whether anybody is there"),
            self.strike(killed, Strike::Kill { commits: true }),
            self.strike(killed + 500 + rng.below(2_000), Strike::Start),
        ]
    }

    fn channel(&self) -> String {
        format!("{}-rare", self.guild)
    }

    fn create(&self, at: u64, x_type: XType) -> Line {
        let does = Deed::Create {
            name: self.channel(),
            x_type,
            members: vec![self.agent.clone()],
            wakes: vec![],
            bypass: vec![],
        };
        deed(at, WHO, Some(&self.guild), does)
    }

    fn post(&self, at: u64, content: &str) -> Line {
        let post = Deed::Post {
            channel: self.channel(),
            content: content.to_string(),
        };
        deed(at, WHO, None, post)
    }

    fn add(&self, at: u64) -> Line {
        let (channel, user) = (self.channel(), self.agent.clone());
        deed(at, WHO, None, Deed::Add { channel, user })
    }

    fn remove(&self, at: u64) -> Line {
        let (channel, user) = (self.channel(), self.agent.clone());
        deed(at, WHO, None, Deed::Remove { channel, user })
    }

    fn strike(&self, at: u64, strike: Strike) -> Line {
        Line::Act {
            at,
            who: "network".to_string(),
            agent: Some(self.agent.clone()),
            guild: Some(self.guild.clone()),
            r#do: Act::Strike(strike),
        }
    }
}
