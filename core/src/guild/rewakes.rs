//! Waking a speaker with an older message: the message is read from the store, since the state holds
//! no history, and the ack of a join that leads to it waits.
//!
//! At most one read is under way in a channel. Whatever is decided about the channel meanwhile asks
//! for it anew, so that what was read is what is true.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    engineio::sessions::SessionId,
    fabric::{
        realtime::{AckError, JoinAck},
        types::Message,
    },
    guild::{
        Guild,
        effect::Effect,
        io::{Load, Loaded, Output, Query, Question, Unavailable},
        node::LoadFor,
        state::State,
        turn::Turn,
        turns,
    },
    id::{ChannelId, UserId},
    machine::Wakeup,
    request::RequestId,
    rng::Rng,
    socketio::AckId,
    time::Time,
};

/// How long after a read that failed it is tried again: often enough for people who wait, and seldom
/// enough for a disk that is in trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// The speakers who are to be woken with what is being read, by channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rewakes {
    /// What shuffles the orders of channels.
    pub(super) rng: Rng,
    open: BTreeMap<ChannelId, Rewake>,
    /// When to read again.
    again: Deadlines<ChannelId>,
    /// How many acks wait.
    held: usize,
}
canonical!(struct Rewakes { open, again, held; - rng });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rewake {
    /// The current speaker.
    user: UserId,
    /// `None` while a failed one is waiting to be tried again.
    read: Option<RequestId<Load>>,
    /// The joins whose acks wait.
    joins: Vec<(SessionId, AckId)>,
}
canonical!(struct Rewake { user, read, joins });

impl Rewakes {
    /// What was due when the store was written, to be read at the first tick.
    pub(super) fn new(rng: Rng, state: &State) -> Self {
        let mut rewakes = Self {
            rng,
            open: BTreeMap::new(),
            again: Deadlines::default(),
            held: 0,
        };
        for channel in state.channels() {
            if let Some(user) = channel.turn.as_ref().and_then(Turn::due) {
                let rewake = Rewake {
                    user: user.clone(),
                    read: None,
                    joins: Vec::new(),
                };
                rewakes.put(channel.row.id.clone(), rewake);
                rewakes.again.set(channel.row.id.clone(), Some(Time::ZERO));
            }
        }
        rewakes
    }

    /// How many acks wait.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Whether each is being read for, or is to be.
    #[cfg(test)]
    pub(super) fn each_goes_on(&self) -> bool {
        let paused = self.open.values().filter(|it| it.read.is_none()).count();
        let held: usize = self.open.values().map(|it| it.joins.len()).sum();
        paused == self.again.len() && held == self.held
    }

    /// Forgets everything that is read and waits.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.again = Deadlines::default();
        self.held = 0;
    }

    /// When to read again.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        self.again.earliest().map(|at| Wakeup {
            at,
            why: "read what wakes a speaker again",
        })
    }

    fn put(&mut self, channel: ChannelId, rewake: Rewake) {
        self.held += rewake.joins.len();
        self.open.insert(channel, rewake);
    }

    fn take(&mut self, channel: &ChannelId) -> Option<Rewake> {
        let rewake = self.open.remove(channel)?;
        self.held -= rewake.joins.len();
        self.again.set(channel.clone(), None);
        Some(rewake)
    }
}

impl Guild {
    /// Facts about these channels were handed to the store; in some, with true, messages.
    pub(super) fn after_facts(
        &mut self,
        now: Time,
        touched: BTreeMap<ChannelId, bool>,
        out: &mut Vec<Output>,
    ) {
        for (channel, posted) in touched {
            let before = self.rewakes.take(&channel);
            if let Some(id) = before.as_ref().and_then(|rewake| rewake.read)
                && self.loads.answer(id).is_some()
            {
                out.push(Output::Forget(Question::Load(id)));
            }
            let wanted = self.turn(&channel).and_then(|turn| {
                // A message wakes by itself. Without one, who has entered still waits.
                let entered = before.as_ref().filter(|_| !posted);
                let entered = entered.map(|rewake| &rewake.user);
                let entered = entered.filter(|user| turn.wakes_on_entry(user));
                turn.due().or(entered).cloned()
            });
            let joins = before.map_or_else(Vec::new, |rewake| match &wanted {
                Some(user) if rewake.user == *user => rewake.joins,
                Some(_) | None => {
                    self.release(now, &channel, rewake.joins, out);
                    Vec::new()
                }
            });
            if let Some(user) = wanted {
                self.read(now, channel, user, joins, out);
            }
        }
    }

    /// The process behind a socket that is about to enter a channel's room has never been there: what its user
    /// has acked is not known any more.
    pub(super) fn forget_ack(&mut self, session: SessionId, channel: &ChannelId) {
        if let Some(identity) = self.sockets.identity(session)
            && !self.sockets.is_in(session, channel)
        {
            self.state.forget_ack(channel, &identity.author.id);
        }
    }

    /// A socket enters a channel's room: a speaker who has not acked is woken again, before the ack.
    pub(super) fn enter(
        &mut self,
        now: Time,
        session: SessionId,
        channel: ChannelId,
        (ack, last_seq): (Option<AckId>, u64),
        out: &mut Vec<Output>,
    ) {
        let is_new = self.sockets.enter(session, channel.clone());
        let identity = self.sockets.identity(session).filter(|_| is_new);
        let speaker = identity
            .map(|identity| &identity.author.id)
            .filter(|user| {
                self.turn(&channel)
                    .is_some_and(|it| it.wakes_on_entry(user))
            })
            .cloned();
        match (speaker, ack) {
            (Some(user), ack) => {
                let join = ack.map(|ack| (session, ack));
                match self.rewakes.take(&channel) {
                    Some(mut rewake) if rewake.read.is_some() => {
                        rewake.joins.extend(join);
                        self.rewakes.put(channel, rewake);
                    }
                    // Whoever has come is not made to wait for a read that has failed before.
                    Some(_) | None => {
                        self.read(now, channel, user, join.into_iter().collect(), out);
                    }
                }
            }
            (None, Some(ack)) => {
                let body = joined(last_seq);
                self.sockets.acknowledge(now, session, ack, &body, out);
            }
            (None, None) => {}
        }
    }

    /// The store has read the message for a channel's speaker, or could not.
    pub(super) fn on_rewake_read(
        &mut self,
        now: Time,
        channel: ChannelId,
        loaded: Result<Loaded, Unavailable>,
        out: &mut Vec<Output>,
    ) {
        let Some(rewake) = self.rewakes.take(&channel) else {
            return;
        };
        match loaded {
            Ok(Loaded::Message(Some(message))) => {
                self.rewake(now, &channel, *message, rewake.joins, out);
            }
            Ok(Loaded::Message(None)) => {
                if let Some(mut turn) = self.turn(&channel).cloned() {
                    turn.pass_unasked(&mut self.rewakes.rng);
                    let facts = alloc::vec![turns::turn_fact(channel.clone(), turn)];
                    let effects = self.apply(now, &facts);
                    self.write(now, facts, effects, out);
                }
                self.release(now, &channel, rewake.joins, out);
            }
            Ok(
                Loaded::Page(_) | Loaded::Canvas(_) | Loaded::Channels(_) | Loaded::Command { .. },
            )
            | Err(Unavailable(_)) => {
                // Pushes reach a socket that knows that it is in the room.
                self.release(now, &channel, rewake.joins, out);
                let again = Rewake {
                    user: rewake.user,
                    read: None,
                    joins: Vec::new(),
                };
                self.rewakes.put(channel.clone(), again);
                self.rewakes.again.set(channel, Some(now + PAUSE));
            }
        }
    }

    /// Reads again where that is due.
    pub(super) fn read_again(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(channel) = self.rewakes.again.pop_due(now) {
            if let Some(Rewake { user, joins, .. }) = self.rewakes.take(&channel) {
                self.read(now, channel, user, joins, out);
            }
        }
    }

    fn rewake(
        &mut self,
        now: Time,
        channel: &ChannelId,
        mut message: Message,
        joins: Vec<(SessionId, AckId)>,
        out: &mut Vec<Output>,
    ) {
        let turn = self.turn(channel).cloned();
        let woken = turn.and_then(|turn| turns::rewake(turn, channel, &message.id));
        if let Some((facts, user, wake_id)) = woken {
            message.wakeup = Some(true);
            message.rewake = Some(true);
            message.wake_id = Some(wake_id);
            let mut effects = self.apply(now, &facts);
            effects.push(Effect::Rewoken {
                message: Box::new(message),
                user,
            });
            self.write(now, facts, effects, out);
        }
        self.release(now, channel, joins, out);
    }

    /// Reads what `user` is to be woken with.
    fn read(
        &mut self,
        now: Time,
        channel: ChannelId,
        user: UserId,
        joins: Vec<(SessionId, AckId)>,
        out: &mut Vec<Output>,
    ) {
        let query = Query::Newest {
            channel: channel.clone(),
            not_by: user.clone(),
        };
        let read = self.load(now, query, LoadFor::Rewake(channel.clone()), out);
        let rewake = Rewake {
            user,
            read: Some(read),
            joins,
        };
        self.rewakes.put(channel, rewake);
    }

    /// Acknowledges joins behind everything that was decided, and says how far the channel has come
    /// with it: the sockets were in the room meanwhile, unless their user is no member any more.
    fn release(
        &mut self,
        now: Time,
        channel: &ChannelId,
        joins: Vec<(SessionId, AckId)>,
        out: &mut Vec<Output>,
    ) {
        for (session, ack) in joins {
            let identity = self.sockets.identity(session);
            let found = self.state.channel(channel).filter(|channel| {
                identity.is_some_and(|it| channel.members.contains_key(&it.author.id))
            });
            let body = match found {
                Some(channel) => joined(channel.row.last_seq),
                None => JoinAck {
                    ok: false,
                    last_seq: None,
                    error: Some(AckError::Forbidden),
                },
            };
            self.after(now, Effect::Ack(session, ack, body), out);
        }
    }

    fn turn(&self, channel: &ChannelId) -> Option<&Turn> {
        self.state.channel(channel)?.turn.as_ref()
    }
}

fn joined(last_seq: u64) -> JoinAck {
    JoinAck {
        ok: true,
        last_seq: Some(last_seq),
        error: None,
    }
}
