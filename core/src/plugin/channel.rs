//! One channel of an agent: its kind, its sequence, what waits for either, and its context.

use alloc::{collections::VecDeque, string::String, vec::Vec};

use crate::{
    canonical,
    fabric::types::{Channel as Listed, Message, XType},
    id::{TurnId, UserId},
    plugin::{
        context::Context,
        defect::{Defect, Planted},
        gate::LoopGuard,
        kept::{KeptChannel, TurnRecord},
        progress::Progress,
        replay::Replay,
        sequence::{Released, Sequence},
    },
    time::{Time, Wall},
    ws::ConnId,
};

/// How many messages wait for the channel's kind to become known. Further ones are dropped, oldest
/// first; they are old by the time the guild has answered.
const HELD_MAX: usize = 1_000;

/// What an agent knows of a channel that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Channel {
    /// Its name, as last told.
    pub name: String,
    /// Its kind, once the guild has told it.
    pub x_type: Option<XType>,
    /// What has been heard.
    pub sequence: Sequence,
    /// What has been finished.
    pub progress: Progress,
    /// What an earlier process has begun.
    pub replay: Replay,
    /// What was said without waking the agent.
    pub context: Context,
    /// Who answers whom too often.
    pub guard: LoopGuard,
    /// Whether somebody else was seen posting as this account; said once.
    pub foreign_posts: bool,
    /// Whether the store was seen to be older than the channel; said once.
    pub older_store: bool,
    /// The newest wake that was not a new message.
    pub wake_id: Option<String>,
    /// A wake with a message that was heard, which came before it was known whether the guild is still the
    /// same.
    pub early_wake: Option<(ConnId, Message)>,
    /// Whom the guild wakes there, in channels with a list of them.
    pub wake_mapping: Vec<UserId>,
    /// Whether a join was answered in this process.
    pub entered: bool,
    /// The membership began under our eyes: everything since then is for the agent.
    is_new: bool,
    /// When its membership began, where a push has told and the guild does not tell at which message.
    since: Option<Moment>,
    held: VecDeque<Message>,
}
canonical!(struct Channel {
    name, x_type, sequence, progress, replay, context, guard, foreign_posts,
    older_store, wake_id, early_wake, wake_mapping, entered, is_new, since,
    held
});

/// The moment at which a membership began, by the guild's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    at: Wall,
    /// The newest `seq` that there was when that was first known: what comes behind it is newer, whatever
    /// its date. Clocks jump.
    until: Option<u64>,
}
canonical!(struct Moment { at, until });

impl Channel {
    /// A channel of the very first listing, or one whose membership began later.
    pub fn new(is_new: bool) -> Self {
        Self {
            is_new,
            ..Self::default()
        }
    }

    /// A channel that an earlier process has been in, with the turns that it left open there, all of
    /// whose turns have come as far as `passed`.
    pub fn resume(kept: KeptChannel, open: Vec<(TurnId, TurnRecord)>, passed: u64) -> Self {
        let mut channel = Self {
            replay: Replay::new(&kept, open),
            ..Self::default()
        };
        channel.replay.pass_over(passed);
        channel
            .sequence
            .resume(channel.replay.start(), channel.replay.end());
        channel.progress = Progress::resume(kept);
        channel
    }

    /// The guild has told which messages there are: gives back what is in order. A channel begins at
    /// its newest message; a new one where the membership began. Where the guild does not tell that,
    /// a dm begins at its first message, since that is what made it, and another channel at the moment
    /// at which its membership began, where that is known.
    pub fn on_numbers(&mut self, now: Time, listed: &Listed) -> Released {
        if let Some(joined) = listed.joined_seq {
            self.sequence.not_before(joined);
            self.since = None;
        }
        let began = match listed.x_type {
            XType::Dm => Some(0),
            XType::General
            | XType::Work
            | XType::Report
            | XType::Discuss
            | XType::Triage
            | XType::Custom => self.since.map(|_| 0).or(listed.last_seq),
        };
        let start = match self.is_new {
            true => listed.joined_seq.or(began),
            false => listed.last_seq,
        };
        let released = match start {
            Some(seq) => self.sequence.start(now, seq),
            None if self.is_new => {
                self.is_new = false;
                self.sequence.start_if_joined(now)
            }
            None => Released::default(),
        };
        self.sequence.on_listed(now, listed.last_seq);
        released
    }

    /// A push has told when the membership began.
    pub fn on_membership(&mut self, began: Option<Wall>) {
        if self.is_new {
            self.since = began.map(|at| Moment { at, until: None });
        }
    }

    /// Whether it begins at a moment, and not at a message.
    pub fn has_moment(&self) -> bool {
        self.since.is_some()
    }

    /// Whether a message is older than the membership, as far as a moment tells.
    pub fn is_before(&self, message: &Message) -> bool {
        self.since.is_some_and(|since| {
            let may_be = since.until.is_none_or(|until| message.seq <= until);
            may_be && message.created_at < since.at
        })
    }

    /// The join was answered with the newest `seq`, where the guild tells it. The guild may have been
    /// restored from a backup while it was away.
    pub fn on_joined(&mut self, now: Time, last_seq: Option<u64>, planted: Planted) -> Released {
        if let Some(last) = last_seq {
            self.start_at_newest(now, last);
        }
        if let Some(anchor) = self.progress.anchor()
            && !planted.is(Defect::ForgetsAfterRestore)
        {
            let newest = self.progress.newest();
            let by = newest.filter(|_| !planted.is(Defect::LooksBehindTurns));
            let by = by.unwrap_or_else(|| anchor.clone());
            self.sequence.doubt(anchor.clone(), by);
        }
        self.sequence.on_joined(now, last_seq)
    }

    /// A connection has ended; `joined` tells whether the channel is joined on another one. A guild that
    /// was restored from a backup may give the ids of its wakes anew.
    pub fn on_conn_end(&mut self, conn: ConnId, joined: bool, planted: Planted) {
        self.sequence.on_conn_end(conn, joined);
        if !joined {
            self.early_wake = None;
            if !planted.is(Defect::RemembersWakes) {
                self.wake_id = None;
            }
        }
    }

    /// The join was answered on a second connection; what is missing is read at `at`.
    pub fn on_joined_again(&mut self, at: Time, last_seq: Option<u64>) -> Released {
        self.sequence.on_joined_again(at, last_seq)
    }

    /// The guild was asked for the newest message, and this is its `seq`.
    pub fn on_newest(&mut self, now: Time, last: u64) -> Released {
        self.start_at_newest(now, last);
        self.sequence.on_newest(now, last)
    }

    /// Nothing is in order before the join was answered.
    fn start_at_newest(&mut self, now: Time, last: u64) {
        if let Some(since) = &mut self.since {
            since.until.get_or_insert(last);
        }
        if !self.is_new {
            self.sequence.start(now, last);
        }
    }

    /// Whether it is not known yet from where on messages are for the agent.
    pub fn waits_for_start(&self) -> bool {
        self.is_new && self.sequence.heard().is_none()
    }

    /// Whether it is a new one of which nothing is kept that tells where it begins.
    pub fn is_yet_to_begin(&self) -> bool {
        self.is_new && self.progress.anchor().is_none()
    }

    /// Whether a message that came without a word on whom it wakes must wake `user`: what a guild
    /// says in its pushes alone, as far as the channel tells it. Where users take turns the current
    /// speaker is woken too, whom the guild has to be asked for.
    pub fn derive_wakeup(&self, user: &UserId, message: &Message) -> bool {
        match self.x_type {
            Some(XType::General | XType::Dm) => true,
            Some(XType::Report) | None => false,
            Some(XType::Triage | XType::Custom) if !self.wake_mapping.is_empty() => {
                self.wake_mapping.contains(user)
            }
            Some(XType::Triage | XType::Custom | XType::Discuss | XType::Work) => {
                message.mentions.contains(user)
            }
        }
    }

    /// The guild has told the channel's fields: gives back what waited for them.
    pub fn on_fields(&mut self, listed: &Listed) -> Vec<Message> {
        self.name.clone_from(&listed.name);
        self.wake_mapping.clone_from(&listed.wake_mapping);
        self.on_kind(listed.x_type)
    }

    /// The channel's kind is known: gives back what waited for it.
    pub fn on_kind(&mut self, x_type: XType) -> Vec<Message> {
        self.x_type = Some(x_type);
        core::mem::take(&mut self.held).into()
    }

    /// Keeps a message until the channel's kind is known.
    pub fn hold(&mut self, message: Message) {
        self.held.push_back(message);
        if self.held.len() > HELD_MAX {
            self.held.pop_front();
        }
    }

    /// A message was edited or deleted: it may still wait for the channel's kind or behind a gap.
    pub fn amend(&mut self, newer: &Message) {
        self.sequence.amend(newer);
        self.replay.amend(newer);
        let early = self.early_wake.iter_mut().map(|(_, early)| early);
        let held = self.held.iter_mut().chain(early);
        for held in held.filter(|held| held.id == newer.id) {
            held.amend(newer);
        }
    }

    /// Whether messages wait for the channel's kind.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }
}
