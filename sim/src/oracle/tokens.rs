//! Tokens: nothing is asked with a token that has expired.

use std::time::Duration;

use selvedge_core::{Wall, canonical};

use super::{Rule, Seen, View};

/// How long a dial and the handshake behind it may take, from the moment at which the token was fresh.
const DIAL: Duration = Duration::from_secs(20);

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
        match seen {
            Seen::Requested {
                agent,
                request,
                expires,
                wall,
                ..
            } => expired(*expires, *wall, Duration::ZERO).map_err(|ago| {
                format!(
                    "{} asked {} with a token that had expired {ago:?} before",
                    user(agent).unwrap_or_default(),
                    request.target
                )
            }),
            Seen::Presented {
                agent,
                expires,
                wall,
            } => expired(*expires, *wall, DIAL).map_err(|ago| {
                format!(
                    "{} connected with a token that had expired {ago:?} before",
                    user(agent).unwrap_or_default()
                )
            }),
            Seen::Committed { .. }
            | Seen::Notified { .. }
            | Seen::TurnOver { .. }
            | Seen::NoReply { .. }
            | Seen::Sent { .. }
            | Seen::Dialed { .. }
            | Seen::Answered { .. }
            | Seen::LoggingIn { .. }
            | Seen::Kept { .. }
            | Seen::Live { .. }
            | Seen::Parked { .. }
            | Seen::Asked { .. }
            | Seen::HostReady { .. }
            | Seen::ToolsListed { .. }
            | Seen::Killed { .. } => Ok(()),
        }
    }
}

fn expired(expires: Option<Wall>, wall: Wall, grace: Duration) -> Result<(), Duration> {
    match expires {
        Some(expires) if expires + grace < wall => Err(wall.since(expires)),
        Some(_) | None => Ok(()),
    }
}
