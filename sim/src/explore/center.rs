//! The simplest Center: a token says itself whose it is and when it dies.

use selvedge_core::{
    Secret, Wall,
    fabric::center::Introspection,
    id::{GuildId, UserId},
};

/// What the tokens of agents begin with; anything else is a person's, and lives for ever.
const OF_AGENT: &str = "agent-";

/// The token of the agent's login of that number.
pub(super) fn token(number: u64, expires: Wall) -> Secret {
    Secret::new(&format!("{OF_AGENT}{number}-{}", expires.as_millis()))
}

/// When a token dies.
pub(super) fn expires(token: &str) -> Option<Wall> {
    let (_, millis) = token.strip_prefix(OF_AGENT)?.split_once('-')?;
    millis.parse().ok().map(Wall::from_millis)
}

/// Whose a token is; `person`'s where it is not `agent`'s.
pub(super) fn introspect(
    wall: Wall,
    token: &Secret,
    guild: &GuildId,
    agent: &UserId,
    person: &UserId,
) -> Introspection {
    let expires = expires(token.expose());
    let user = match expires {
        Some(_) => agent,
        None => person,
    };
    let active = expires.is_none_or(|expires| expires > wall);
    Introspection {
        active,
        user_id: active.then(|| user.clone()),
        name: active.then(|| user.to_string()),
        guild_id: active.then(|| guild.clone()),
        expires_at: expires.filter(|_| active),
    }
}
