//! The claim of one process to an account: no two serve it at a time.

use alloc::{format, string::String};

use crate::{
    canonical,
    id::UserId,
    plugin::io::Claim as Kind,
    request::{RequestId, Requests},
    time::Time,
};

/// Asks for the account once, and knows whether it may be served.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Claim {
    asked: Requests<Kind, ()>,
    state: State,
}
canonical!(struct Claim { asked, state });

#[derive(Clone, Debug, PartialEq, Eq, Default)]
enum State {
    #[default]
    Unasked,
    Asked,
    Held,
    /// By whom it is held.
    Elsewhere(String),
}
canonical!(
    enum State {
        Unasked,
        Asked,
        Held,
        Elsewhere(by),
    }
);

impl Claim {
    /// The question to ask, now that it is known who the account is; once.
    pub fn ask(&mut self, now: Time, user: &UserId) -> Option<(RequestId<Kind>, UserId)> {
        if self.state != State::Unasked {
            return None;
        }
        self.state = State::Asked;
        Some((self.asked.ask(now, None, ()), user.clone()))
    }

    /// The account is this process's, or another one's; whether that was asked.
    pub fn on_answer(&mut self, id: RequestId<Kind>, answer: Result<(), String>) -> bool {
        if self.asked.answer(id).is_none() {
            return false;
        }
        self.state = match answer {
            Ok(()) => State::Held,
            Err(by) => State::Elsewhere(by),
        };
        true
    }

    /// Whether the account may be served.
    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// By whom it is served, where that is another process.
    pub fn served_by(&self) -> Option<&str> {
        match &self.state {
            State::Unasked | State::Asked | State::Held => None,
            State::Elsewhere(by) => Some(by),
        }
    }

    /// Why a tool cannot be served, where another process holds the account.
    pub fn refusal(&self) -> Option<String> {
        self.served_by().map(|by| {
            format!("this account is served by {by}: end that one; until then nothing is done here")
        })
    }

    /// Gives the question up.
    pub fn withdraw(&mut self) -> Option<RequestId<Kind>> {
        self.asked.withdraw(|()| true).map(|(id, ())| id)
    }
}
