//! The plugin's limits as a seed draws them: tiny ones too, so that none is out of reach.

use std::time::Duration;

use selvedge_core::Rng;
use serde_json::Value;

use super::{log_between, written};
use crate::script::Head;

/// Numbers: the least and the most that is drawn.
const NUMBERS: [(&str, u64, u64); 6] = [
    ("dedup_max", 3, 100),
    ("waiting_max", 2, 50),
    ("waiting_agent_max", 3, 100),
    ("backfill_max", 2, 50),
    ("context_max", 1, 10),
    ("attempts_max", 1, 4),
];

/// Spans in milliseconds.
const SPANS: [(&str, u64, u64); 10] = [
    ("session_ttl", 5_000, 480_000),
    ("login_patience", 2_000, 10_000),
    ("step_timeout", 2_000, 10_000),
    ("rotation_timeout", 5_000, 30_000),
    ("push_patience", 1_000, 10_000),
    ("listing_every", 5_000, 60_000),
    ("gap_patience", 10, 1_000),
    ("turn_timeout", 5_000, 600_000),
    ("receipt_patience", 10_000, 120_000),
    ("send_patience", 5_000, 60_000),
];

/// Draws which limits are not as by default, and what they are.
pub(super) fn draw(rng: &mut Rng, head: &mut Head) {
    // Where the loop guard strikes, less is owed, and so less is seen.
    if rng.chance(7, 8) {
        head.config
            .insert("loop_turns".to_string(), Value::from(100_000));
    }
    if rng.chance(1, 3) {
        return;
    }
    for (name, least, most) in NUMBERS {
        if rng.chance(1, 4) {
            let number = log_between(rng, least, most);
            head.config.insert(name.to_string(), Value::from(number));
        }
    }
    for (name, least, most) in SPANS {
        if rng.chance(1, 5) {
            let span = Duration::from_millis(log_between(rng, least, most));
            head.config.insert(name.to_string(), written(span));
        }
    }
    if rng.chance(1, 5) {
        let span = Duration::from_millis(log_between(rng, 50, 2_000));
        head.config.insert("coalesce".to_string(), written(span));
    }
}

/// Draws whether only some may wake the agents, and who.
pub(super) fn allow(rng: &mut Rng, people: &[&str], head: &mut Head) {
    if !rng.chance(1, 20) {
        return;
    }
    let users = people.iter().map(|who| (*who).to_string());
    let users = users.chain(head.agents.iter().cloned());
    let users: Vec<Value> = users
        .filter(|_| rng.chance(2, 3))
        .map(Value::from)
        .collect();
    head.config
        .insert("allow_users".to_string(), Value::from(users));
}

/// Draws how soon agents that answer each other tire of it.
pub(super) fn tire(rng: &mut Rng, head: &mut Head) {
    let turns = log_between(rng, 2, 20);
    head.config
        .insert("loop_turns".to_string(), Value::from(turns));
}
