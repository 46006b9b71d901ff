//! The turn engine of a channel under its rules: what can happen to it and what can be seen of it,
//! a model to compare it with, and what must hold after every step.

pub mod conversation;
pub mod engine;
pub mod model;

/// A user, by number.
pub type User = u8;

/// A message, by number: they are numbered as they are posted.
pub type Post = u32;

/// Why a command or an ack is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// Nobody speaks.
    Idle,
    /// Somebody else speaks.
    NotCurrent,
    /// It answers what is no longer the waking message.
    Superseded,
}

/// What can be seen of a channel's turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The speaking order.
    pub order: Vec<User>,
    /// Who speaks only when mentioned, sorted.
    pub bypass: Vec<User>,
    /// Who has posted in this round, sorted.
    pub spoken: Vec<User>,
    /// The newest message's author and who has passed since, sorted.
    pub done: Vec<User>,
    /// The frames, the root first: speakers and cursor. Empty where the channel is idle.
    pub stack: Vec<(Vec<User>, usize)>,
    /// The waking message and whether it was acked; `None` where there is none, or not yet.
    pub wake: Option<(Post, bool)>,
}

impl View {
    /// Who is to speak.
    pub fn current(&self) -> Option<User> {
        let (speakers, cursor) = self.stack.last()?;
        speakers.get(*cursor).copied()
    }

    /// Whether somebody is to speak, and has not been woken with a message yet.
    pub fn is_due(&self) -> bool {
        !self.stack.is_empty() && self.wake.is_none()
    }
}

/// The verbs of the rules. Whoever acts is a member, unless it says otherwise.
pub trait Engine: Clone + std::fmt::Debug {
    /// A channel whose members speak in `order`, those in `bypass` left out.
    fn new(order: &[User], bypass: &[User]) -> Self;
    /// A message is posted. Rules 1, 2, 3 and 7.
    fn message(&mut self, by: User, mentions: &[User], post: Post);
    /// `/no-reply`. Rule 4.
    ///
    /// # Errors
    ///
    /// Where it is refused.
    fn no_reply(&mut self, by: User, answers: Option<Post>) -> Result<(), No>;
    /// `/force-proceed`, by any member. Rule 5.
    ///
    /// # Errors
    ///
    /// Where it is refused.
    fn force_proceed(&mut self, answers: Option<Post>) -> Result<(), No>;
    /// A member speaks only when mentioned from now on, or in its turn again. Rule 8.
    fn set_bypass(&mut self, user: User, bypass: bool);
    /// Somebody becomes a member. Rule 9.
    fn join(&mut self, user: User);
    /// Somebody is a member no more. Rule 9.
    fn leave(&mut self, user: User);
    /// The wake has arrived. Rule 10.
    ///
    /// # Errors
    ///
    /// Where it is refused.
    fn ack(&mut self, by: User, post: Post) -> Result<bool, No>;
    /// Whether a user who enters the channel's room is to be woken again. Rule 10.
    fn wakes_on_entry(&self, user: User) -> bool;
    /// The channel is closed. Rule 11.
    fn close(&mut self);
    /// A message is deleted.
    fn delete(&mut self, post: Post);
    /// The speaker is woken with a message that was read for it.
    fn rewake(&mut self, post: Post);
    /// There is no message that the speaker could be woken with.
    fn pass_unasked(&mut self);
    /// What can be seen.
    fn view(&self) -> View;
    /// What an end of a round in the next step will make of the order, for a model that does not
    /// draw itself.
    fn foretell(&mut self, _: &[User]) {}
}
