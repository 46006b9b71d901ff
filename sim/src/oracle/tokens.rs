//! Tokens: nothing is asked with a token that has expired.

use std::time::Duration;

use selvedge_core::{Wall, canonical};

use super::{Rule, Seen, View};

/// How long a dial and the handshake behind it may take, from the moment at which the token was fresh.
const DIAL: Duration = Duration::from_secs(20);

/// How much of its life a token has left at least, or a fifth of that.
const MARGIN: Duration = Duration::from_secs(60);
/// How long Center's answer may be on its way: a session ages from there.
const ANSWER: Duration = Duration::from_secs(1);

/// A request leaves at once with the token it is given; a CONNECT leaves when its connection stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens;
canonical!(
    unsaved struct Tokens {}
);

impl Rule for Tokens {
    fn name(&self) -> &'static str {
        "fresh tokens"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        let user = |agent: &usize| view.setup.agents.get(*agent).map(ToString::to_string);
        if let Seen::Requested {
            agent,
            request,
            expires,
            wall,
            ..
        } = seen
        {
            let most = view.setup.config.session_ttl + ANSWER + view.setup.latency;
            expired(*expires, *wall, Duration::ZERO).map_err(|ago| {
                format!(
                    "{} asked {} with a token that had expired {ago:?} before",
                    user(agent).unwrap_or_default(),
                    request.target
                )
            })?;
            match expires.map(|expires| (age(view, expires, *wall), expires.since(*wall))) {
                Some((_, left)) if left < MARGIN.min(view.setup.token_life / 5) => Err(format!(
                    "{} asked {} with a token that had {left:?} left",
                    user(agent).unwrap_or_default(),
                    request.target
                )),
                Some((age, _)) if age > most => Err(format!(
                    "{} asked {} with a token of a session that was {age:?} old",
                    user(agent).unwrap_or_default(),
                    request.target
                )),
                Some(_) | None => Ok(()),
            }
        } else if let Seen::Presented {
            agent,
            expires,
            wall,
            ..
        } = seen
        {
            expired(*expires, *wall, DIAL).map_err(|ago| {
                format!(
                    "{} connected with a token that had expired {ago:?} before",
                    user(agent).unwrap_or_default()
                )
            })
        } else {
            Ok(())
        }
    }
}

/// How old a token is.
fn age(view: View<'_>, expires: Wall, wall: Wall) -> Duration {
    let left = expires.since(wall);
    view.setup.token_life.saturating_sub(left)
}

fn expired(expires: Option<Wall>, wall: Wall, grace: Duration) -> Result<(), Duration> {
    match expires {
        Some(expires) if expires + grace < wall => Err(wall.since(expires)),
        Some(_) | None => Ok(()),
    }
}
