//! One guild of an agent: its link, its channels, and the way of a message through the filters.

pub(in crate::plugin) mod channels;
mod connections;
mod history;
mod messages;
mod restored;
mod resume;
mod speaker;
mod status;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{mem, time::Duration};

use connections::{Connection, Ticket};

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::{
        realtime::{self, Membership as Pushed, Status},
        session::{Command, Event, Realtime},
        types::{Channel as Listed, Message},
    },
    id::{ChannelId, GuildId},
    link::{self, Authorize, AuthorizeFailure, Link},
    machine::{Machine as _, Wakeup, earliest, step},
    plugin::{
        account::Token,
        catch_up::CatchUp,
        channel::Channel,
        chronicle::Chronicle,
        defect::Defect,
        io::{Http, Output},
        kept::KeptChannel,
        membership::Membership,
        note::Note,
        shared::{DEAD, Shared},
        turns::Place,
    },
    request::RequestId,
    rng::Rng,
    small_map::SmallMap,
    socketio,
    time::Time,
    ws::ConnId,
};

/// How many messages are kept that arrive before the first listing tells of their channels. Further
/// ones are dropped, oldest first.
const EARLY_MAX: usize = 1_000;

/// How many channels are read at a time. A guild that puts the agent into thousands of channels at
/// once is not asked thousands of questions at once.
const READS_MAX: usize = 16;

/// The longest wait of a planted defect: a day.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The link to one guild, with everything that is known of its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuildLink {
    number: u32,
    pub(super) id: GuildId,
    link: Link<Realtime>,
    /// The link's question for a token, while it waits for a login, and the connection that is to be
    /// replaced.
    authorize: Option<(RequestId<Authorize>, Option<ConnId>)>,
    /// What the next dial is made with.
    ticket: Option<Ticket>,
    /// The connections that were dialed: two during a rotation, and otherwise one at most.
    conns: SmallMap<ConnId, Connection>,
    origin: String,
    pub(super) membership: Membership,
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    /// What an earlier process knew of channels that are not known to this one yet.
    kept: BTreeMap<ChannelId, KeptChannel>,
    /// When to read the history of a channel.
    unheard: Deadlines<ChannelId>,
    /// Requests for the history of a channel.
    histories: BTreeMap<ChannelId, RequestId<Http>>,
    /// When to ask for the fields of a channel whose kind is not known.
    unknown: Deadlines<ChannelId>,
    /// Those of them for which there was no token when they were to be asked for.
    unasked: BTreeSet<ChannelId>,
    /// Requests for the fields of a channel.
    reads: BTreeMap<ChannelId, RequestId<Http>>,
    early: VecDeque<(ConnId, Message)>,
    catch_up: CatchUp,
    /// Whether a listing has ever been answered: a channel that appears later is a new one.
    met: bool,
    rng: Rng,
    /// Draws when connections are replaced.
    rotations: Rng,
    /// Why there is no connection, as last said.
    down: String,
    /// Why a connection was not replaced, as last said.
    not_replaced: String,
    /// What could not be read of the listing, as last said.
    unread: Option<String>,
    /// The token of a listing was refused already.
    refused: bool,
    /// What is told of the link.
    pub(super) chronicle: Chronicle,
}
canonical!(struct GuildLink {
    id, link, authorize, ticket, conns, membership, channels, kept, unheard, histories, unknown, unasked,
    reads, early, catch_up, met, refused;
    - number, origin, rng, rotations, down, not_replaced, unread, chronicle
});

impl GuildLink {
    /// A guild, with its channels as an earlier process knew them if any has listed it.
    pub(super) fn new(
        number: u32,
        id: GuildId,
        kept: Option<BTreeMap<ChannelId, KeptChannel>>,
        shared: &Shared,
        rng: &Rng,
    ) -> Self {
        let config = &shared.config;
        let realtime = Realtime {
            planted: shared.planted,
            ..Realtime::new(Arc::default(), config.step_timeout, config.join_acks)
        };
        let mut backoff = config.backoff.clone();
        if shared.planted.is(Defect::DoublesForEver) {
            backoff.most = FOR_EVER;
        }
        let link = link::Config {
            step_timeout: config.step_timeout,
            rotation_timeout: config.rotation_timeout,
            backoff,
            first_conn: u64::from(number) << 32,
        };
        let draws = match shared.planted.is(Defect::WaitsAlike) {
            true => Rng::from_number(0),
            false => rng.fork(id.as_str()),
        };
        Self {
            link: Link::new(link, realtime, draws),
            number,
            id,
            authorize: None,
            ticket: None,
            conns: SmallMap::default(),
            origin: String::new(),
            membership: Membership::new(config.listing_every),
            channels: BTreeMap::new(),
            catch_up: CatchUp::new(shared.kept.alive_at.filter(|_| kept.is_some())),
            met: kept.is_some(),
            kept: kept.unwrap_or_default(),
            unheard: Deadlines::default(),
            histories: BTreeMap::new(),
            unknown: Deadlines::default(),
            unasked: BTreeSet::new(),
            reads: BTreeMap::new(),
            early: VecDeque::new(),
            rng: rng.fork("history"),
            rotations: rng.fork("rotations"),
            down: String::new(),
            not_replaced: String::new(),
            unread: None,
            refused: false,
            chronicle: Chronicle::default(),
        }
    }

    /// The number of the guild that a connection belongs to.
    pub(super) fn of_conn(conn: ConnId) -> u32 {
        u32::try_from(conn.0 >> 32).unwrap_or(u32::MAX)
    }

    /// The number that connections and places carry.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn place(&self, channel: &ChannelId) -> Place {
        (self.number, channel.clone())
    }

    pub(super) fn is_live(&self) -> bool {
        self.link.is_live()
    }

    /// Steps the link and does what it says.
    pub(super) fn step_link(
        &mut self,
        now: Time,
        input: Option<link::Input<Realtime>>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        // What follows from one step comes only when all of it is said.
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut said = Vec::new();
            self.chronicle.on_input(now, input.as_ref());
            step(&mut self.link, now, input, &mut said);
            for output in said {
                self.chronicle.on_output(now, &output);
                let then = self.on_link(now, output, shared, out);
                inputs.extend(then.map(Some));
            }
        }
    }

    /// Does what the link says; gives back what it is to hear then.
    fn on_link(
        &mut self,
        now: Time,
        output: link::Output<Realtime>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) -> Option<link::Input<Realtime>> {
        match output {
            link::Output::Authorize { id, replaces } => {
                self.authorize = Some((id, replaces));
                return self.authorized(now, shared);
            }
            link::Output::Forget(_) => self.authorize = None,
            link::Output::Dial(conn) => self.on_dial(conn, out),
            link::Output::HangUp(conn) => out.push(Output::HangUp(conn)),
            link::Output::Transport(conn, action) => out.push(Output::Transport(conn, action)),
            link::Output::Up(conn) => {
                self.on_up(now, conn, shared);
                let is_next = self.link.next_up() == Some(conn);
                if is_next && shared.planted.is(Defect::ClosesTooEarly) {
                    return Some(link::Input::Live(conn));
                }
            }
            link::Output::Event(conn, Event::Joined(id, answer)) => {
                let why = self.on_joined(now, conn, id, answer, shared, out)?;
                return Some(link::Input::Rotate(conn, why));
            }
            link::Output::Event(conn, Event::Push(event)) => {
                self.on_push(now, conn, &event, shared, out);
            }
            link::Output::Replaced {
                old, why, lived, ..
            } => {
                self.on_replaced(now, old, shared, out);
                let guild = self.id.clone();
                out.push(Output::Note(Note::Rotated { guild, why, lived }));
            }
            link::Output::NotReplaced { new, end, retry_in } => {
                self.on_end(new, end.unauthorized, shared, out);
                if shared.planted.is(Defect::GivesUpTheOld) && self.is_expired(now) {
                    self.cut(now, shared, out);
                }
                if self.not_replaced != end.why {
                    self.not_replaced.clone_from(&end.why);
                    out.push(Output::Note(Note::NotRotated {
                        guild: self.id.clone(),
                        why: end.why,
                        retry_in,
                    }));
                }
            }
            link::Output::Down {
                conn,
                end,
                lived,
                retry_in,
            } => {
                self.on_end(conn, end.unauthorized, shared, out);
                if lived.is_some() || self.down != end.why {
                    self.down.clone_from(&end.why);
                    let guild = self.id.clone();
                    out.push(Output::Note(Note::Down {
                        guild,
                        why: end.why,
                        lived,
                        retry_in,
                    }));
                }
                if retry_in.is_none() && shared.planted.is(Defect::DropsTheNext) {
                    self.cut(now, shared, out);
                }
                return self.on_down(now, shared);
            }
        }
        None
    }

    /// There may be a token now: the link gets it, if it waits for one.
    pub(super) fn on_token(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        self.membership.on_token(now);
        for (id, state) in &mut self.channels {
            state.sequence.backfill().on_token(now);
            self.unheard.set(id.clone(), state.sequence.read_at());
        }
        for channel in mem::take(&mut self.unasked) {
            self.read_later(now, &channel, Duration::ZERO);
        }
        if let Some(authorized) = self.authorized(now, shared) {
            self.step_link(now, Some(authorized), shared, out);
        }
    }

    /// The answer to the link's question for a token, if there is one. A token that replaces another
    /// one dies later than that, and later than now.
    fn authorized(&mut self, now: Time, shared: &mut Shared) -> Option<link::Input<Realtime>> {
        let (id, replaces) = self.authorize?;
        let replaced = replaces.and_then(|conn| self.conns.get(&conn));
        let beyond = replaced.map(|conn| conn.token_end().max(now));
        let answer = match shared.account.token(now, &self.id, beyond) {
            Token::Wait => return None,
            Token::Fresh {
                token,
                origin,
                life,
                number,
            } => match shared.origin(&self.id, origin) {
                Some(origin) => {
                    self.origin = origin;
                    self.ticket = Some(Ticket {
                        token: number,
                        life,
                    });
                    Ok(token)
                }
                None => {
                    let guild = self.id.clone();
                    let why = Note::NoOrigin { guild }.to_string();
                    Err(AuthorizeFailure::Denied(why))
                }
            },
            Token::NoAccess => {
                let guild = self.id.clone();
                let why = Note::NoAccess { guild }.to_string();
                Err(AuthorizeFailure::Denied(why))
            }
            Token::Dead => Err(AuthorizeFailure::Unavailable(DEAD.to_string())),
        };
        self.authorize = None;
        Some(link::Input::Authorized(id, answer))
    }

    /// A login failed.
    pub(super) fn on_login_failed(
        &mut self,
        now: Time,
        why: &str,
        denied: bool,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.membership.on_login_failed(now);
        let Some((id, _)) = self.authorize.take() else {
            return;
        };
        let why = format!("no login: {why}");
        let failure = if denied {
            AuthorizeFailure::Denied(why)
        } else {
            AuthorizeFailure::Unavailable(why)
        };
        self.step_link(
            now,
            Some(link::Input::Authorized(id, Err(failure))),
            shared,
            out,
        );
    }

    fn on_push(
        &mut self,
        now: Time,
        conn: ConnId,
        event: &socketio::event::Event,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        if shared.planted.is(Defect::DropsEarlyEvents) && !self.membership.has_listed() {
            return;
        }
        let outcome = match event.name() {
            realtime::MESSAGE_CREATED => event
                .args::<(Message,)>()
                .map(|(message,)| self.on_pushed(now, conn, message, shared, out)),
            realtime::MESSAGE_UPDATED => event
                .args::<(Message,)>()
                .map(|(message,)| self.on_edited(now, message, shared)),
            realtime::MESSAGE_DELETED => event
                .args::<(Message,)>()
                .map(|(message,)| self.on_deleted(now, message, shared)),
            realtime::CHANNEL_UPDATED => event
                .args::<(Listed,)>()
                .map(|(listed,)| self.on_fields(now, &listed, shared, out)),
            realtime::CHANNEL_JOINED => event
                .args::<(Pushed,)>()
                .map(|(pushed,)| self.on_joined_push(now, &pushed, shared, out)),
            realtime::CHANNEL_LEFT => event
                .args::<(Pushed,)>()
                .map(|(pushed,)| self.on_left_push(now, &pushed, shared, out)),
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            out.push(Output::Note(Note::BadPush {
                guild: self.id.clone(),
                event: event.name().to_string(),
                why: error.to_string(),
            }));
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        if self
            .link
            .next_wakeup()
            .is_some_and(|wakeup| wakeup.at <= now)
        {
            self.step_link(now, None, shared, out);
        }
        if self.membership.listing_due(now) {
            self.list(now, shared, out);
        }
        self.tend(now, shared, out);
        if self.may_read(shared)
            && let Some(id) = self.unheard.pop_due(now)
        {
            self.read_history(now, &id, shared, out);
        }
        if self.reads.len() < READS_MAX
            && let Some(channel) = self.unknown.pop_due(now)
        {
            self.read(now, channel, shared, out);
        }
        if let Some(conn) = self.ready() {
            self.go_live(now, conn, shared, out);
        }
    }

    /// Tells the guild how the agent is, once it hears everything there.
    pub(super) fn say_presence(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        let status = match shared.activity.is_busy() {
            true => realtime::BUSY,
            false => realtime::ONLINE,
        };
        let status = status.to_string();
        if self.is_live() {
            self.say(now, Command::Presence(Status { status }), shared, out);
        }
    }

    /// Asks the session of the connection for something whose answer does not matter.
    pub(super) fn say(
        &mut self,
        now: Time,
        command: Command,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        if let Some(conn) = self.link.up() {
            self.step_link(now, Some(link::Input::Command(conn, command)), shared, out);
        }
    }

    /// When there is something to do.
    pub(super) fn next_wakeup(&self, shared: &Shared) -> Option<Wakeup> {
        earliest([
            self.ready().map(|_| Wakeup {
                at: Time::ZERO,
                why: "live",
            }),
            self.link.next_wakeup(),
            self.next_to_tend(),
            self.membership.next_wakeup(),
            self.catch_up.next_wakeup(),
            self.unheard
                .earliest()
                .filter(|_| self.may_read(shared))
                .map(|at| Wakeup {
                    at,
                    why: "history to be read",
                }),
            self.unknown
                .earliest()
                .filter(|_| self.reads.len() < READS_MAX)
                .map(|at| Wakeup {
                    at,
                    why: "channel to be read",
                }),
        ])
    }
}
