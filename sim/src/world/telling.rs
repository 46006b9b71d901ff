//! What a world tells of itself where somebody wants to look at it; otherwise nothing is told, and that
//! costs nothing.

use std::time::Duration;

use super::{START, World};
use crate::{
    oracle::because::About,
    story::{Story, Teller},
};

impl World {
    /// The same world, which takes down what happens: ask for its [`story`](Self::story) after the
    /// run.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.teller = Some(Box::new(Teller::new(&self.script.head)));
        self
    }

    /// The story of the run so far; `None` where nothing was taken down.
    pub fn story(&mut self) -> Option<Story> {
        let teller = self.teller.take()?;
        let failures = self.all_failures();
        let breach = self.oracle.breaches().first();
        let (end, about, broken) = match (breach, &self.failed) {
            (_, Some((at, about))) => {
                let why = failures.first().map_or("", String::as_str);
                (*at, about.clone(), Some(("what is expected", why)))
            }
            (Some(breach), None) => {
                let broken = (breach.rule, breach.why.as_str());
                (breach.at, self.oracle.about(breach), Some(broken))
            }
            (None, None) => (self.now, About::default(), None),
        };
        let about = (about.agent, about.guild, about.message.as_ref());
        Some(teller.finish(end.since(START), failures.clone(), broken, about))
    }

    /// Tells something that happens now, where anybody listens.
    pub(super) fn tell(&mut self, what: impl FnOnce(&mut Teller, Duration)) {
        let at = self.now.since(START);
        if let Some(teller) = &mut self.teller {
            what(teller, at);
        }
    }
}
