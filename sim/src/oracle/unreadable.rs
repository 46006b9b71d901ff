//! Unreadable: a connection on which something came that is none of the protocol's is given up.

use selvedge_core::canonical;

use super::{Rule, Seen, View};

/// What such a frame was meant to be, nobody knows: it may have been a message.
#[derive(Clone, Debug)]
pub(super) struct Unreadable;
canonical!(
    unsaved struct Unreadable {}
);

impl Rule for Unreadable {
    fn name(&self) -> &'static str {
        "what cannot be read ends a connection"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::PassedOver { agent, guild } = seen else {
            return Ok(());
        };
        let user = view.setup.agents.get(*agent);
        Err(format!(
            "{} was sent a frame by guild {guild} that is none of the protocol's, and keeps the connection",
            user.map(ToString::to_string).unwrap_or_default()
        ))
    }
}
