//! The connections of a guild's link: what is joined and heard on each, when one is replaced, and
//! what its end means.

use super::GuildLink;
use crate::{
    canonical,
    fabric::{
        realtime::{Entry, JoinAck},
        session::{Command, Join, NoAck, Realtime},
    },
    id::ChannelId,
    link,
    machine::{Wakeup, earliest},
    plugin::{
        defect::Defect,
        hearing::Hearing,
        io::Output,
        joins::{Failure, Hint, Joined, Joins},
        note::Note,
        sequence::Sequence,
        shared::Shared,
        token::{Life, TokenNumber},
    },
    request::RequestId,
    rng::Rng,
    time::Time,
    ws::ConnId,
};
use alloc::{string::String, vec::Vec};

/// The token of a dial, and how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) token: TokenNumber,
    pub(super) life: Life,
}
canonical!(struct Ticket { life; - token });

impl Ticket {
    /// When the connection is to be replaced: between 75 and 85 % of the token's life, so that the
    /// agents of a guild do not all come at once.
    fn draw_rotation(&self, rng: &mut Rng) -> Time {
        let percent = |percent| self.life.span / 100 * percent;
        self.life.since + rng.between(percent(75), percent(85))
    }
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    ticket: Ticket,
    /// When it is to be replaced.
    rotate_at: Option<Time>,
    /// Its joins, once it is up.
    joins: Option<Joins>,
    pub(super) hearing: Hearing,
}
canonical!(struct Connection { ticket, rotate_at, joins, hearing });

impl Connection {
    /// When its token dies.
    pub(super) fn token_end(&self) -> Time {
        self.ticket.life.end()
    }

    fn is_joined(&self, channel: &ChannelId) -> bool {
        let joins = self.joins.as_ref();
        joins.is_some_and(|joins| joins.is_joined(channel))
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        let joins = self.joins.as_ref()?;
        earliest([joins.next_wakeup(), self.hearing.next_wakeup()])
    }
}

impl GuildLink {
    /// Whether the channel's room is entered.
    pub(in crate::plugin) fn is_joined(&self, channel: &ChannelId) -> bool {
        self.conns.values().any(|conn| conn.is_joined(channel))
    }

    pub(super) fn on_dial(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        if let Some(ticket) = self.ticket.take() {
            let connection = Connection {
                rotate_at: Some(ticket.draw_rotation(&mut self.rotations)),
                ticket,
                joins: None,
                hearing: Hearing::default(),
            };
            self.conns.insert(conn, connection);
        }
        let origin = self.origin.clone();
        out.push(Output::Dial { conn, origin });
    }

    /// Every channel is to be joined on this connection too.
    pub(super) fn on_up(&mut self, now: Time, conn: ConnId, shared: &Shared) {
        if self.conns.values().all(|conn| conn.joins.is_none()) {
            if !(shared.planted.is(Defect::ListsOnce) && self.membership.has_listed()) {
                self.membership.on_up(now);
            }
            self.catch_up.on_up(now);
        }
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.joins = Some(Joins::new(now, self.membership.channels()));
        }
    }

    /// A join was answered. With a reason where the connection is no good any more.
    pub(super) fn on_joined(
        &mut self,
        now: Time,
        conn: ConnId,
        id: RequestId<Join>,
        answer: Result<JoinAck, NoAck>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) -> Option<String> {
        let connection = self.conns.get_mut(&conn)?;
        match connection.joins.as_mut()?.on_answer(now, id, answer) {
            Joined::Stale => None,
            Joined::Ok(channel, last_seq) => {
                connection.hearing.on_joined(now, &channel, last_seq);
                self.on_room(now, conn, &channel, last_seq, shared, out);
                None
            }
            Joined::Failed(channel, Failure { why, hint }) => {
                let token = connection.ticket.token;
                out.push(Output::Note(Note::JoinFailed {
                    guild: self.id.clone(),
                    channel,
                    why: why.clone(),
                }));
                match hint {
                    Hint::None => None,
                    Hint::NoMember => {
                        self.membership.relist(now);
                        None
                    }
                    Hint::TokenExpired => {
                        shared.account.invalidate(token);
                        Some(why)
                    }
                    Hint::Unheard => Some(why).filter(|_| !shared.planted.is(Defect::JoinsForEver)),
                }
            }
        }
    }

    /// A channel's room was entered on a connection, perhaps as on another one before.
    fn on_room(
        &mut self,
        now: Time,
        conn: ConnId,
        channel: &ChannelId,
        last_seq: Option<u64>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let again = self.is_joined_besides(conn, channel);
        let state = self.channels.entry(channel.clone()).or_default();
        state.entered = true;
        if shared.planted.is(Defect::StartsAtTheJoin) {
            state.sequence = Sequence::default();
        }
        let released = if again {
            state.on_joined_again(now + shared.config.gap_patience, last_seq)
        } else {
            // The listing came while another connection was up, which may have been deaf since.
            let mut up = self.conns.values().filter(|conn| conn.joins.is_some());
            if up.nth(1).is_some() {
                self.membership.relist(now);
            }
            let released = state.on_joined(now, last_seq, shared.planted);
            if shared.planted.is(Defect::TrustsNumbers) {
                state.sequence.trust(now);
            }
            released
        };
        self.catch_up(now, channel, shared);
        self.pass_on(now, channel, released, shared, out);
    }

    fn is_joined_besides(&self, conn: ConnId, channel: &ChannelId) -> bool {
        let mut others = self.conns.iter().filter(|(other, _)| **other != conn);
        others.any(|(_, other)| other.is_joined(channel))
    }

    /// The agent is in a channel: its room is to be entered on every connection.
    pub(super) fn enter_rooms(&mut self, now: Time, channel: &ChannelId) {
        for connection in self.conns.values_mut() {
            if let Some(joins) = &mut connection.joins {
                joins.enter(now, channel);
            }
            connection.hearing.forget(channel);
        }
    }

    /// The agent is not in a channel any more.
    pub(super) fn leave_rooms(
        &mut self,
        now: Time,
        channel: &ChannelId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let mut conns = Vec::new();
        for (conn, connection) in self.conns.iter_mut() {
            if let Some(joins) = &mut connection.joins {
                joins.leave(channel);
                conns.push(*conn);
            }
            connection.hearing.forget(channel);
        }
        for conn in conns {
            let leave = link::Input::Command(conn, Command::Leave(channel.clone()));
            self.step_link(now, Some(leave), shared, out);
        }
    }

    /// The guild, which was asked at `asked_at`, has messages of a channel up to `last_seq`: whether
    /// the connections hear of them is to be seen.
    pub(super) fn on_told(
        &mut self,
        now: Time,
        channel: &ChannelId,
        asked_at: Time,
        last_seq: u64,
        shared: &Shared,
    ) {
        if shared.planted.is(Defect::TrustsSilence) {
            return;
        }
        let patience = shared.config.push_patience;
        for connection in self.conns.values_mut() {
            let hearing = &mut connection.hearing;
            hearing.on_told(now, channel, asked_at, last_seq, patience);
        }
    }

    /// Does what is due on the connections.
    pub(super) fn tend(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            while let Some((id, channel)) = self.join_due(now, conn) {
                let state = self.channels.get(&channel);
                let entry = Entry {
                    fresh: state.is_none_or(|state| !state.entered),
                    channel_id: channel,
                };
                let join = link::Input::Command(conn, Command::Join(id, entry));
                self.step_link(now, Some(join), shared, out);
            }
            while let Some(channel) = self.deaf(now, conn) {
                self.chronicle.on_deaf();
                let guild = self.id.clone();
                let why = "the guild does not push to it".into();
                out.push(Output::Note(Note::Deaf { guild, channel }));
                self.step_link(now, Some(link::Input::Rotate(conn, why)), shared, out);
            }
        }
        // Not one that has yet to replace another: it may have come with a token of the same age.
        if let Some(conn) = self.link.up()
            && let Some(connection) = self.conns.get_mut(&conn)
            && connection.rotate_at.take_if(|at| *at <= now).is_some()
        {
            let why = "its token is near its end".into();
            self.step_link(now, Some(link::Input::Rotate(conn, why)), shared, out);
        }
    }

    fn join_due(&mut self, now: Time, conn: ConnId) -> Option<(RequestId<Join>, ChannelId)> {
        self.conns.get_mut(&conn)?.joins.as_mut()?.join_due(now)
    }

    fn deaf(&mut self, now: Time, conn: ConnId) -> Option<ChannelId> {
        self.conns.get_mut(&conn)?.hearing.deaf(now)
    }

    /// When [`tend`](Self::tend) has something to do.
    pub(super) fn next_to_tend(&self) -> Option<Wakeup> {
        let conns = self.conns.values();
        let conns = conns.filter_map(Connection::next_wakeup);
        let present = self.link.up().and_then(|conn| self.conns.get(&conn));
        earliest([
            conns.min_by_key(|wakeup| wakeup.at),
            present.and_then(|conn| conn.rotate_at).map(|at| Wakeup {
                at,
                why: "token near its end",
            }),
        ])
    }

    /// The connection that may be called live now: the only one once every channel is tried, and one
    /// that replaces another once nothing is lost with that.
    pub(super) fn ready(&self) -> Option<ConnId> {
        if !self.membership.has_listed() {
            return None;
        }
        let joins = |conn: ConnId| self.conns.get(&conn)?.joins.as_ref();
        let up = self.link.up()?;
        let present = joins(up)?;
        if let Some(next) = self.link.next_up()
            && joins(next)?.cover(present)
        {
            return Some(next);
        }
        (present.is_settled() && !self.link.is_live()).then_some(up)
    }

    /// Everything is heard on a connection.
    pub(super) fn go_live(
        &mut self,
        now: Time,
        conn: ConnId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let was_live = self.is_live();
        self.step_link(now, Some(link::Input::Live(conn)), shared, out);
        self.say_presence(now, shared, out);
        if !was_live {
            self.catch_up.on_live();
            shared.kept.alive_at = Some(now);
            shared.keep_agent(now);
            shared.commands.on_live(now, self.number);
            self.down.clear();
            self.not_replaced.clear();
            let (guild, channels) = (self.id.clone(), self.membership.len());
            out.push(Output::Note(Note::Live { guild, channels }));
        }
    }

    /// A connection was replaced, and has ended. What it may not have heard is listed soon.
    pub(super) fn on_replaced(
        &mut self,
        now: Time,
        old: ConnId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.not_replaced.clear();
        self.on_end(Some(old), false, shared, out);
        self.membership.relist(now);
    }

    /// A connection has ended, where it was made at all.
    pub(super) fn on_end(
        &mut self,
        conn: Option<ConnId>,
        unauthorized: bool,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some((conn, ended)) = conn.and_then(|conn| self.conns.remove_entry(&conn)) else {
            return;
        };
        if unauthorized && !shared.planted.is(Defect::KeepsRefusedTokens) {
            shared.account.invalidate(ended.ticket.token);
        }
        if ended.joins.is_none() {
            return;
        }
        self.early.retain(|(by, _)| *by != conn);
        let channels: Vec<ChannelId> = self.channels.keys().cloned().collect();
        for channel in channels {
            let joined = self.is_joined(&channel);
            if let Some(state) = self.channels.get_mut(&channel) {
                state.on_conn_end(conn, joined, shared.planted);
            }
            if !joined {
                self.forget_history(&channel, shared, out);
            }
            self.touch(&channel);
        }
    }

    /// The link's connection is gone. Where another one was being made, that takes its place, and
    /// any token will do for it.
    pub(super) fn on_down(
        &mut self,
        now: Time,
        shared: &mut Shared,
    ) -> Option<link::Input<Realtime>> {
        if self.conns.values().all(|conn| conn.joins.is_none()) {
            self.membership.on_down();
            let held = self.catch_up.on_down(now);
            self.release(now, held, shared);
        } else {
            self.membership.relist(now);
        }
        let (id, replaces) = self.authorize?;
        replaces?;
        self.authorize = Some((id, None));
        self.authorized(now, shared)
    }

    /// Whether the token of the connection is dead.
    pub(super) fn is_expired(&self, now: Time) -> bool {
        let present = self.link.up().and_then(|conn| self.conns.get(&conn));
        present.is_some_and(|conn| conn.token_end() <= now)
    }

    /// Closes whatever there is and begins anew: what no link does that is sound.
    pub(super) fn cut(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        self.step_link(now, Some(link::Input::Rest), shared, out);
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            self.on_end(Some(conn), false, shared, out);
        }
        self.on_down(now, shared);
        self.step_link(now, Some(link::Input::Wake), shared, out);
    }
}
