//! The rules of the turn engine, sentence by sentence. Users have one letter.

mod changes;
mod rules;
mod wakes;

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::*;
use crate::{canonical_hash, time::Time};

/// A channel that takes turns, and how many messages it has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Channel {
    turn: Turn,
    rng: Rng,
    messages: u64,
}

fn user(name: char) -> UserId {
    UserId::new(&name.to_string()).unwrap()
}

fn users(names: &str) -> Vec<UserId> {
    names.chars().map(user).collect()
}

fn message(number: u64) -> MessageId {
    MessageId::new(&format!("m{number}")).unwrap()
}

fn names<'u>(users: impl IntoIterator<Item = &'u UserId>) -> String {
    users.into_iter().map(UserId::as_str).collect()
}

impl Channel {
    /// Members in their order, then the bypass members.
    fn of(order: &str, bypass: &str) -> Self {
        let members = users(&format!("{order}{bypass}"));
        Self {
            turn: Turn::new(members, users(bypass).into_iter().collect()),
            rng: Rng::from_number(1),
            messages: 0,
        }
    }

    /// A post and whom it mentions.
    fn posts(&mut self, author: char, mentions: &str) {
        self.messages += 1;
        let id = message(self.messages);
        let rng = &mut self.rng;
        self.turn.message(rng, &user(author), &users(mentions), id);
    }

    /// `/no-reply`, one after another.
    fn pass(&mut self, names: &str) {
        for name in names.chars() {
            let passed = self.turn.no_reply(&mut self.rng, &user(name), None);
            assert_eq!(passed, Ok(()), "{name} passes");
        }
    }

    fn leaves(&mut self, name: char) {
        self.turn.leave(&mut self.rng, &user(name));
    }

    fn moves_to_bypass(&mut self, name: char) -> bool {
        self.turn.move_to_bypass(&mut self.rng, &user(name))
    }

    /// Who is to speak; nobody in an idle channel.
    fn speaker(&self) -> String {
        names(self.turn.current())
    }

    /// The frames, the root first, with `>` before the user at the cursor.
    fn stack(&self) -> Vec<String> {
        let frames = self.turn.stack().into_iter();
        frames
            .map(|(speakers, cursor)| {
                let (behind, ahead) = speakers.split_at(cursor);
                format!("{}>{}", names(behind), names(ahead))
            })
            .collect()
    }

    fn order(&self) -> String {
        names(self.turn.order())
    }

    fn done(&self) -> String {
        names(self.turn.done())
    }

    fn spoken(&self) -> String {
        names(self.turn.spoken())
    }

    /// The number of the waking message and whether it was acked.
    fn wake(&self) -> Option<(u64, bool)> {
        match self.turn.wake()? {
            Wake::Due => None,
            Wake::Sent { message, acked, .. } => {
                let number = message.as_str().strip_prefix('m').unwrap();
                Some((number.parse().unwrap(), *acked))
            }
        }
    }
}
