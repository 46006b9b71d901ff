//! What the guild does for a socket: its CONNECT, and the events that it sends.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

use crate::{
    engineio::sessions::SessionId,
    fabric::realtime::{
        self, AckError, Activity, ChannelRef, Entry, JOIN_CHANNEL, JoinAck, LEAVE_CHANNEL, OFFLINE,
        PRESENCE, Presence, Status, TYPING,
    },
    guild::{Guild, auth::Verdict, effect::Effect, io::Output, presence},
    id::{ChannelId, UserId},
    secret::Secret,
    socketio::event::Event,
    time::Time,
};

/// Every event of a client.
pub(super) const EVENTS: [&str; 4] = [JOIN_CHANNEL, LEAVE_CHANNEL, TYPING, PRESENCE];

impl Guild {
    /// It is known whose CONNECT this is, or that it is nobody's.
    pub(super) fn on_connect_verdict(
        &mut self,
        now: Time,
        token: &Secret,
        verdict: &Verdict,
        session: SessionId,
        out: &mut Vec<Output>,
    ) {
        if !self.sockets.is_asking(session, token) {
            return;
        }
        let wall = self.clock.wall(now);
        let expired = || {
            let deaf = self.config.deaf_on_expired_token;
            let remembered = self.auth.remembered(token).filter(|_| deaf)?;
            remembered.expired(wall).then(|| remembered.clone())
        };
        let identity = match verdict {
            Verdict::Good(identity) => Some(identity.clone()),
            Verdict::Dead => expired(),
            Verdict::Unavailable => {
                return self
                    .sockets
                    .refuse(now, session, realtime::UNAVAILABLE, out);
            }
        };
        match identity {
            Some(identity) => self
                .sockets
                .admit(now, session, identity, &self.config.limits, out),
            None => self
                .sockets
                .refuse(now, session, realtime::UNAUTHORIZED, out),
        }
    }

    /// A socket has sent an event. It is judged by the token it connected with.
    pub(super) fn on_event(
        &mut self,
        now: Time,
        session: SessionId,
        event: &Event,
        out: &mut Vec<Output>,
    ) {
        let Some(identity) = self.sockets.identity(session) else {
            return;
        };
        let user = identity.author.id.clone();
        let known = EVENTS.contains(&event.name());
        let expired = identity.expired(self.clock.wall(now));
        if known && expired && self.config.deaf_on_expired_token {
            return;
        }
        // Behind a store that does not answer, events would pile up without end.
        let waiting = self.journal.effects() + self.rewakes.held();
        let is_full = waiting >= self.config.limits.effects_max;
        if is_full || !self.sockets.may_send(now, session) {
            return self.sockets.close(now, session, out);
        }
        let body = match event.name() {
            _ if known && expired => Err(AckError::TokenExpired),
            JOIN_CHANNEL => match self.on_join(now, session, &user, event, out) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            LEAVE_CHANNEL => self.on_leave(now, session, &user, event, out),
            TYPING => self.on_typing(now, session, &user, event, out),
            PRESENCE => self.on_presence(now, &user, event, out),
            _ => Err(AckError::BadRequest),
        };
        if let Some(ack) = event.ack() {
            let body = JoinAck {
                ok: body.is_ok(),
                last_seq: body.ok().flatten(),
                error: body.err(),
            };
            self.after(now, Effect::Ack(session, ack, body), out);
        }
    }

    /// The ack comes with the entry.
    fn on_join(
        &mut self,
        now: Time,
        session: SessionId,
        user: &UserId,
        event: &Event,
        out: &mut Vec<Output>,
    ) -> Result<(), AckError> {
        let (Entry {
            channel_id: id,
            fresh,
        },) = event.args().map_err(|_| AckError::BadRequest)?;
        let channel = self.state.channel(&id).ok_or(AckError::NotFound)?;
        if !channel.members.contains_key(user) {
            return Err(AckError::Forbidden);
        }
        let enter = Effect::Enter {
            session,
            ack: event.ack(),
            last_seq: channel.row.last_seq,
            channel: id,
            fresh,
        };
        self.after(now, enter, out);
        Ok(())
    }

    /// Leaving is idempotent, but only members are told how far a channel has come.
    fn on_leave(
        &mut self,
        now: Time,
        session: SessionId,
        user: &UserId,
        event: &Event,
        out: &mut Vec<Output>,
    ) -> Result<Option<u64>, AckError> {
        let id = channel_of(event)?;
        let channel = self.state.channel(&id).ok_or(AckError::NotFound)?;
        let member = channel.members.contains_key(user);
        let last_seq = member.then_some(channel.row.last_seq);
        self.after(now, Effect::Exit(session, id), out);
        Ok(last_seq)
    }

    /// Whoever is in the channel's room hears of it, unless it is too much.
    fn on_typing(
        &mut self,
        now: Time,
        session: SessionId,
        user: &UserId,
        event: &Event,
        out: &mut Vec<Output>,
    ) -> Result<Option<u64>, AckError> {
        let id = channel_of(event)?;
        let channel = self.state.channel(&id).ok_or(AckError::NotFound)?;
        if !channel.members.contains_key(user) {
            return Err(AckError::Forbidden);
        }
        if self.sockets.may_chatter(now, session) {
            let typing = Activity {
                channel_id: id,
                user_id: user.clone(),
                occurred_at: self.clock.wall(now),
            };
            self.after(now, Effect::Typing(typing), out);
        }
        Ok(None)
    }

    /// Whoever shares a channel with the user hears of it.
    fn on_presence(
        &mut self,
        now: Time,
        user: &UserId,
        event: &Event,
        out: &mut Vec<Output>,
    ) -> Result<Option<u64>, AckError> {
        let (Status { status },) = event.args().map_err(|_| AckError::BadRequest)?;
        if !presence::is_status(&status) {
            return Err(AckError::BadRequest);
        }
        if self.presences.set(now, user, &status) {
            self.tell_presence(now, user.clone(), status, out);
        }
        Ok(None)
    }

    /// A user whose last socket has ended is not as it said any more.
    pub(super) fn on_user_gone(&mut self, now: Time, user: UserId, out: &mut Vec<Output>) {
        if self.presences.end(&user) {
            self.tell_presence(now, user, OFFLINE.to_owned(), out);
        }
    }

    pub(super) fn tell_presence(
        &mut self,
        now: Time,
        user_id: UserId,
        status: String,
        out: &mut Vec<Output>,
    ) {
        let presence = Presence {
            user_id,
            status,
            occurred_at: self.clock.wall(now),
        };
        self.after(now, Effect::Presence(presence), out);
    }
}

fn channel_of(event: &Event) -> Result<ChannelId, AckError> {
    let (ChannelRef { channel_id },) = event.args().map_err(|_| AckError::BadRequest)?;
    Ok(channel_id)
}
