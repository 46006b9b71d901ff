//! The turn engine: whose turn it is in a channel where users take turns.
//!
//! The rules have numbers, which stand at the verbs:
//!
//! 1. activation from idle; 2. speaking; 3. queue-jump; 4. `/no-reply`; 5. `/force-proceed`;
//! 6. the end of a round; 7. mentions; 8. bypass; 9. membership; 10. acks; 11. closing.

mod frame;

use alloc::{collections::BTreeSet, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canon::{Canon, Canonical},
    canonical,
    id::{MessageId, UserId},
    rng::Rng,
    snapshot,
};
use frame::Frame;

/// The most frames of mentions over the root frame. Each costs up to the whole membership in the
/// channel's row; a conversation that is nested deeper is not followed by people either.
pub const MENTIONS_MAX: usize = 4;

/// The turns of one channel: a part, one row of the store.
///
/// Its verbs are what can happen in a channel, each with the number of its rule. Whoever acts is a
/// member; a verb about somebody else changes nothing. After each look at [`due`](Self::due): a
/// speaker who got the turn without a new message has to be woken with an older one, which the
/// owner reads and tells with [`rewake`](Self::rewake).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The members in the order in which they speak, without those in `bypass`.
    order: Vec<UserId>,
    /// The members who speak only when mentioned.
    bypass: BTreeSet<UserId>,
    /// Who has posted in this round, in whatever frame.
    spoken: BTreeSet<UserId>,
    /// The newest message's author, and everybody who has passed since it.
    done: BTreeSet<UserId>,
    phase: Phase,
    /// How many wakes had an id of their own.
    wakes: u64,
}
// The ids of wakes tell no states apart; the next one is not an exception.
canonical!(struct Turn { order, bypass, spoken, done, phase; - wakes });

/// Whether somebody has the turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// Nobody has: the next message starts a round.
    Idle,
    /// The current speaker has.
    Active(Active),
}
canonical!(
    enum Phase {
        Idle,
        Active(active),
    }
);

/// The stack of frames, and what the current speaker was woken with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Active {
    /// The cursor of the root frame, whose speakers are the order itself.
    root: usize,
    /// The frames of mentions above it, the top one last.
    mentions: Vec<Frame>,
    wake: Wake,
}
canonical!(struct Active { root, mentions, wake });

/// What the current speaker was woken with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wake {
    /// Nothing yet: it has to be read.
    Due,
    /// A message.
    Sent {
        /// The waking message.
        message: MessageId,
        /// The id of this wake, where it is not the message's own.
        wake_id: Option<WakeId>,
        /// Whether the speaker has said that the wake arrived.
        acked: bool,
    },
}
canonical!(enum Wake { Due, Sent { message, wake_id, acked } });

/// The id of a wake that came later than its message, unique within its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WakeId(pub u64);

impl Canonical for WakeId {
    fn canonical(&self, canon: &mut Canon) {
        canon.id("wake", self.0);
    }
}
snapshot!(struct WakeId(number));

/// Why a command or an ack is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nobody has the turn.
    Idle,
    /// Somebody else has the turn.
    NotCurrent,
    /// It answers a message that is no longer the waking message.
    Superseded,
}

impl Turn {
    /// An idle channel: `members` in the order in which they are to speak, without those in
    /// `bypass`, which names members only.
    pub fn new(members: Vec<UserId>, bypass: BTreeSet<UserId>) -> Self {
        let speaks = |user: &UserId| !bypass.contains(user);
        Self {
            order: members.into_iter().filter(speaks).collect(),
            bypass,
            spoken: BTreeSet::new(),
            done: BTreeSet::new(),
            phase: Phase::Idle,
            wakes: 0,
        }
    }

    /// Who has the turn; `None` where the channel is idle.
    pub fn current(&self) -> Option<&UserId> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Active(Active { root, mentions, .. }) => match mentions.last() {
                Some(frame) => frame.current(),
                None => self.order.get(*root),
            },
        }
    }

    /// What the current speaker was woken with; `None` where the channel is idle.
    pub fn wake(&self) -> Option<&Wake> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Active(active) => Some(&active.wake),
        }
    }

    /// The current speaker, where it has not been woken yet.
    pub fn due(&self) -> Option<&UserId> {
        match self.wake()? {
            Wake::Due => self.current(),
            Wake::Sent { .. } => None,
        }
    }

    /// The members in the order in which they speak.
    pub fn order(&self) -> &[UserId] {
        &self.order
    }

    /// The members who speak only when mentioned.
    pub fn bypass(&self) -> &BTreeSet<UserId> {
        &self.bypass
    }

    /// Who has posted in this round, in whatever frame.
    pub fn spoken(&self) -> &BTreeSet<UserId> {
        &self.spoken
    }

    /// The newest message's author, and everybody who has passed since it.
    pub fn done(&self) -> &BTreeSet<UserId> {
        &self.done
    }

    /// The frames, the root first, each with its speakers and its cursor; none where the channel is
    /// idle.
    pub fn stack(&self) -> Vec<(&[UserId], usize)> {
        match &self.phase {
            Phase::Idle => Vec::new(),
            Phase::Active(Active { root, mentions, .. }) => {
                let root = core::iter::once((self.order(), *root));
                root.chain(mentions.iter().map(Frame::view)).collect()
            }
        }
    }

    /// Rules 1, 2, 3 and 7: `author` posts `message`, which mentions these users in this order, and
    /// whoever is current afterwards is woken with it.
    ///
    /// In an idle channel it starts a round behind its author (1). Of the current speaker it ends
    /// the turn (2). Of anybody else it leaves the turn where it is and uses up the author's slot
    /// of this round (3). Then the members it mentions are asked before the order goes on (7).
    pub fn message(
        &mut self,
        rng: &mut Rng,
        author: &UserId,
        mentions: &[UserId],
        message: MessageId,
    ) {
        if !self.is_member(author) {
            return;
        }
        self.done = BTreeSet::from([author.clone()]);
        self.spoken.insert(author.clone());
        let wake = Wake::Sent {
            message,
            wake_id: None,
            acked: false,
        };
        match &mut self.phase {
            Phase::Idle => {
                self.phase = Phase::Active(Active {
                    root: self.slot_after(author),
                    mentions: Vec::new(),
                    wake,
                });
            }
            Phase::Active(active) => active.wake = wake,
        }
        let found = self.seek(rng);
        if !self.push_mentions(author, mentions) && !found {
            self.pause();
        }
    }

    /// Rule 4, `/no-reply`: the current speaker passes.
    ///
    /// # Errors
    ///
    /// Where `by` is not current, or where it answers a message that is no longer the waking one.
    pub fn no_reply(
        &mut self,
        rng: &mut Rng,
        by: &UserId,
        reply_to: Option<&MessageId>,
    ) -> Result<(), Refused> {
        match self.current() {
            None => Err(Refused::Idle),
            Some(current) if current != by => Err(Refused::NotCurrent),
            Some(_) => self.force_proceed(rng, reply_to),
        }
    }

    /// Rule 5, `/force-proceed`: any member passes for the current speaker.
    ///
    /// # Errors
    ///
    /// Where nobody is current, or where it answers a message that is no longer the waking one.
    pub fn force_proceed(
        &mut self,
        rng: &mut Rng,
        reply_to: Option<&MessageId>,
    ) -> Result<(), Refused> {
        match self.wake() {
            None => return Err(Refused::Idle),
            Some(Wake::Due) if reply_to.is_some() => return Err(Refused::Superseded),
            Some(Wake::Sent { message, .. }) if reply_to.is_some_and(|it| it != message) => {
                return Err(Refused::Superseded);
            }
            Some(Wake::Due | Wake::Sent { .. }) => {}
        }
        self.pass_unasked(rng);
        Ok(())
    }

    /// The current speaker passes, as by `/no-reply`: also where there is no message that it could
    /// be woken with.
    pub fn pass_unasked(&mut self, rng: &mut Rng) {
        self.done.extend(self.current().cloned());
        self.go_on(rng);
    }

    /// Rule 8: `user` speaks only when mentioned from now on. Mentions that were made before stay,
    /// also where it is current by one. False where nothing changes.
    pub fn move_to_bypass(&mut self, rng: &mut Rng, user: &UserId) -> bool {
        let is_current = self.current() == Some(user);
        if !self.remove_from_order(user) {
            return false;
        }
        self.bypass.insert(user.clone());
        if is_current && self.current() != Some(user) {
            self.go_on(rng);
        }
        true
    }

    /// Rule 8: `user` speaks in its turn again, after everybody else. False where nothing changes.
    pub fn move_back(&mut self, user: &UserId) -> bool {
        let is_back = self.bypass.remove(user);
        if is_back {
            self.order.push(user.clone());
        }
        is_back
    }

    /// Rule 9: `user` is a member from now on, and speaks after everybody else.
    pub fn join(&mut self, user: UserId) {
        if !self.is_member(&user) {
            self.order.push(user);
        }
    }

    /// Rule 9: `user` is a member no more.
    pub fn leave(&mut self, rng: &mut Rng, user: &UserId) {
        let is_current = self.current() == Some(user);
        self.remove_from_order(user);
        self.bypass.remove(user);
        self.spoken.remove(user);
        self.done.remove(user);
        if let Phase::Active(active) = &mut self.phase {
            active
                .mentions
                .iter_mut()
                .for_each(|frame| frame.remove(user));
        }
        if is_current {
            self.go_on(rng);
        }
    }

    /// Rule 10: `by` says that the wake with `message` has arrived. False where that is not the
    /// waking message.
    ///
    /// # Errors
    ///
    /// Where `by` is not current.
    pub fn ack(&mut self, by: &UserId, message: &MessageId) -> Result<bool, Refused> {
        match self.current() {
            None => return Err(Refused::Idle),
            Some(current) if current != by => return Err(Refused::NotCurrent),
            Some(_) => {}
        }
        Ok(match &mut self.phase {
            Phase::Active(Active {
                wake:
                    Wake::Sent {
                        message: waking,
                        acked,
                        ..
                    },
                ..
            }) if waking == message => {
                *acked = true;
                true
            }
            Phase::Active(_) | Phase::Idle => false,
        })
    }

    /// Rule 10: whether the wake has arrived is asked anew. Either side may have lost what was answered, if its
    /// disk was restored from a backup.
    pub fn forget_ack(&mut self) {
        if let Phase::Active(Active {
            wake: Wake::Sent { acked, .. },
            ..
        }) = &mut self.phase
        {
            *acked = false;
        }
    }

    /// Rule 10: whether `user`, one of whose sockets enters the channel's room, has to be woken
    /// again, because it is current and has not acked.
    pub fn wakes_on_entry(&self, user: &UserId) -> bool {
        self.current() == Some(user)
            && match self.wake() {
                Some(Wake::Sent { acked, .. }) => !acked,
                Some(Wake::Due) | None => true,
            }
    }

    /// The current speaker is woken with `message`, the newest one that it has not written itself.
    /// `None` where the channel is idle.
    pub fn rewake(&mut self, message: MessageId) -> Option<WakeId> {
        let Phase::Active(active) = &mut self.phase else {
            return None;
        };
        let wake_id = WakeId(self.wakes);
        self.wakes += 1;
        active.wake = Wake::Sent {
            message,
            wake_id: Some(wake_id),
            acked: false,
        };
        Some(wake_id)
    }

    /// A message was deleted: a speaker who was woken with it has to be woken with another.
    pub fn delete(&mut self, deleted: &MessageId) {
        if let Phase::Active(active) = &mut self.phase
            && let Wake::Sent { message, .. } = &active.wake
            && message == deleted
        {
            active.wake = Wake::Due;
        }
    }

    /// Rule 11: the channel is closed.
    pub fn close(&mut self) {
        self.pause();
    }

    fn is_member(&self, user: &UserId) -> bool {
        self.bypass.contains(user) || self.order.contains(user)
    }

    /// Rule 1: where the root frame's cursor starts.
    fn slot_after(&self, author: &UserId) -> usize {
        let slot = self.order.iter().position(|user| user == author);
        let next = slot.map_or(0, |slot| slot + 1);
        if next < self.order.len() { next } else { 0 }
    }

    /// Rule 7: asks the members whom a message mentions, its author left out; false where there are
    /// none, or no frame more is allowed.
    fn push_mentions(&mut self, author: &UserId, mentions: &[UserId]) -> bool {
        let mut speakers = Vec::new();
        for user in mentions {
            if user != author && self.is_member(user) && !speakers.contains(user) {
                speakers.push(user.clone());
            }
        }
        match &mut self.phase {
            Phase::Active(active)
                if !speakers.is_empty() && active.mentions.len() < MENTIONS_MAX =>
            {
                active.mentions.push(Frame::new(speakers));
                true
            }
            Phase::Active(_) | Phase::Idle => false,
        }
    }

    /// Takes a user out of the order, with the root frame's cursor staying where it is; false where
    /// it is not in there.
    fn remove_from_order(&mut self, user: &UserId) -> bool {
        let Some(slot) = self.order.iter().position(|it| it == user) else {
            return false;
        };
        self.order.remove(slot);
        if let Phase::Active(active) = &mut self.phase
            && slot < active.root
        {
            active.root -= 1;
        }
        true
    }

    /// The turn passes on without a new message.
    fn go_on(&mut self, rng: &mut Rng) {
        if !self.seek(rng) {
            self.pause();
        } else if let Phase::Active(active) = &mut self.phase {
            active.wake = Wake::Due;
        }
    }

    /// Finds the next speaker from the cursor of the top frame on (the same, where it can still be
    /// asked). Whoever is done is passed over in every frame, and in the root frame whoever has
    /// spoken in this round; a frame that has come to its end is left for the one below, and a
    /// round for the next (rule 6). False where everybody is done.
    fn seek(&mut self, rng: &mut Rng) -> bool {
        let Phase::Active(active) = &mut self.phase else {
            return false;
        };
        let done = &self.done;
        while let Some(frame) = active.mentions.last_mut() {
            frame.skip(|user| done.contains(user));
            if frame.current().is_some() {
                return true;
            }
            active.mentions.pop();
        }
        loop {
            match self.order.get(active.root) {
                Some(user) if done.contains(user) || self.spoken.contains(user) => active.root += 1,
                Some(_) => return true,
                None if self.order.iter().all(|user| done.contains(user)) => return false,
                // Somebody is not done, and in the next round nobody has spoken.
                None => {
                    shuffle(&mut self.order, rng);
                    self.spoken.clear();
                    active.root = 0;
                }
            }
        }
    }

    fn pause(&mut self) {
        self.phase = Phase::Idle;
        self.spoken.clear();
        self.done.clear();
    }
}

/// Puts an order into a random one in which its last user is not the first, each of those equally
/// likely.
fn shuffle(order: &mut [UserId], rng: &mut Rng) {
    let last = order.last().cloned();
    rng.shuffle(order);
    if order.first() == last.as_ref()
        && let Some(others @ 1..) = order.len().checked_sub(1)
    {
        order.swap(0, 1 + rng.below(others as u64) as usize);
    }
}

#[cfg(test)]
mod tests;
