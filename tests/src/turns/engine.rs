//! The turn engine itself, under the names of the tests.

use selvedge_core::{
    Rng,
    guild::turn::{Refused, Turn, Wake},
    id::{MessageId, UserId},
};

use super::{Engine, No, Post, User, View};

/// The engine with its generator.
#[derive(Clone, Debug)]
pub struct Real {
    /// The turns.
    pub turn: Turn,
    /// What shuffles.
    pub rng: Rng,
}

/// A user's id, which is as good as any.
#[expect(clippy::expect_used, reason = "it is an id")]
pub fn user_id(user: User) -> UserId {
    UserId::new(&format!("u{user}")).expect("an id")
}

#[expect(clippy::expect_used, reason = "it is an id")]
fn post_id(post: Post) -> MessageId {
    MessageId::new(&format!("m{post}")).expect("an id")
}

fn number<T: std::str::FromStr + Default>(id: &str) -> T {
    id.get(1..)
        .and_then(|id| id.parse().ok())
        .unwrap_or_default()
}

fn numbers<'u>(users: impl IntoIterator<Item = &'u UserId>) -> Vec<User> {
    users
        .into_iter()
        .map(|user| number(user.as_str()))
        .collect()
}

fn no(refused: Refused) -> No {
    match refused {
        Refused::Idle => No::Idle,
        Refused::NotCurrent => No::NotCurrent,
        Refused::Superseded => No::Superseded,
    }
}

impl Engine for Real {
    fn new(order: &[User], bypass: &[User]) -> Self {
        let order = order.iter().copied().map(user_id).collect();
        let bypass = bypass.iter().copied().map(user_id).collect();
        Self {
            turn: Turn::new(order, bypass),
            rng: Rng::from_number(1),
        }
    }

    fn message(&mut self, by: User, mentions: &[User], post: Post) {
        let mentions: Vec<_> = mentions.iter().copied().map(user_id).collect();
        let rng = &mut self.rng;
        self.turn
            .message(rng, &user_id(by), &mentions, post_id(post));
    }

    fn no_reply(&mut self, by: User, answers: Option<Post>) -> Result<(), No> {
        let answers = answers.map(post_id);
        let rng = &mut self.rng;
        self.turn
            .no_reply(rng, &user_id(by), answers.as_ref())
            .map_err(no)
    }

    fn force_proceed(&mut self, answers: Option<Post>) -> Result<(), No> {
        let answers = answers.map(post_id);
        let rng = &mut self.rng;
        self.turn.force_proceed(rng, answers.as_ref()).map_err(no)
    }

    fn set_bypass(&mut self, user: User, bypass: bool) {
        if bypass {
            self.turn.move_to_bypass(&mut self.rng, &user_id(user));
        } else {
            self.turn.move_back(&user_id(user));
        }
    }

    fn join(&mut self, user: User) {
        self.turn.join(user_id(user));
    }

    fn leave(&mut self, user: User) {
        self.turn.leave(&mut self.rng, &user_id(user));
    }

    fn ack(&mut self, by: User, post: Post) -> Result<bool, No> {
        self.turn.ack(&user_id(by), &post_id(post)).map_err(no)
    }

    fn wakes_on_entry(&self, user: User) -> bool {
        self.turn.wakes_on_entry(&user_id(user))
    }

    fn close(&mut self) {
        self.turn.close();
    }

    fn delete(&mut self, post: Post) {
        self.turn.delete(&post_id(post));
    }

    fn rewake(&mut self, post: Post) {
        self.turn.rewake(post_id(post));
    }

    fn pass_unasked(&mut self) {
        self.turn.pass_unasked(&mut self.rng);
    }

    fn view(&self) -> View {
        let turn = &self.turn;
        let stack = turn.stack();
        View {
            order: numbers(turn.order()),
            bypass: numbers(turn.bypass()),
            spoken: numbers(turn.spoken()),
            done: numbers(turn.done()),
            stack: stack
                .into_iter()
                .map(|(users, at)| (numbers(users), at))
                .collect(),
            wake: match turn.wake() {
                Some(Wake::Sent { message, acked, .. }) => Some((number(message.as_str()), *acked)),
                Some(Wake::Due) | None => None,
            },
        }
    }
}
