//! One guild of an agent: its link, its channels, and the way of a message through the filters.

mod channels;
mod history;
mod messages;

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use history::HISTORIES_MAX;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::{
        realtime::{self, Membership as Pushed, Status},
        session::{Command, Event, Join, Realtime},
        types::{Channel as Listed, Message},
    },
    id::{ChannelId, GuildId},
    link::{self, Authorize, AuthorizeFailure, Link},
    machine::{Machine as _, Wakeup, earliest, step},
    plugin::{
        account::Token,
        catch_up::CatchUp,
        channel::Channel,
        io::{Http, Output},
        membership::Membership,
        note::Note,
        shared::{DEAD, Shared},
        token::SessionNumber,
        turns::Place,
    },
    request::{RequestId, Requests},
    rng::Rng,
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

/// The link to one guild, with everything that is known of its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuildLink {
    number: u32,
    pub(super) id: GuildId,
    link: Link<Realtime>,
    /// The link's question for a token, while it waits for a login.
    authorize: Option<RequestId<Authorize>>,
    /// The session that the present dial's token came from.
    session: SessionNumber,
    origin: String,
    pub(super) membership: Membership,
    joins: Requests<Join, ChannelId>,
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    /// When to read the history of a channel.
    unheard: Deadlines<ChannelId>,
    /// Requests for the history of a channel.
    histories: BTreeMap<ChannelId, RequestId<Http>>,
    /// When to ask for the fields of a channel whose kind is not known.
    unknown: Deadlines<ChannelId>,
    /// Requests for the fields of a channel.
    reads: BTreeMap<ChannelId, RequestId<Http>>,
    early: VecDeque<Message>,
    catch_up: CatchUp,
    /// Whether a listing has ever been answered: a channel that appears later is a new one.
    met: bool,
    rng: Rng,
    /// Why there is no connection, as last said.
    down: String,
    /// What could not be read of the listing, as last said.
    unread: Option<String>,
    /// The token of a listing was refused already.
    refused: bool,
}
canonical!(struct GuildLink {
    id, link, authorize, membership, joins, channels, unheard, histories, unknown, reads, early, catch_up,
    met,
    refused;
    - number, session, origin, rng, down, unread
});

impl GuildLink {
    pub(super) fn new(number: u32, id: GuildId, shared: &Shared, rng: &Rng) -> Self {
        let config = &shared.config;
        let realtime = Realtime {
            client: Arc::default(),
            join_patience: config.step_timeout,
            join_acks: config.join_acks,
        };
        let link = link::Config {
            step_timeout: config.step_timeout,
            backoff: config.backoff.clone(),
            first_conn: u64::from(number) << 32,
        };
        Self {
            link: Link::new(link, realtime, rng.fork(id.as_str())),
            number,
            id,
            authorize: None,
            session: 0,
            origin: String::new(),
            membership: Membership::new(config.listing_every),
            joins: Requests::default(),
            channels: BTreeMap::new(),
            unheard: Deadlines::default(),
            histories: BTreeMap::new(),
            unknown: Deadlines::default(),
            reads: BTreeMap::new(),
            early: VecDeque::new(),
            catch_up: CatchUp::default(),
            met: false,
            rng: rng.fork("history"),
            down: String::new(),
            unread: None,
            refused: false,
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
        let mut said = Vec::new();
        // Only when all is said: what the old connection still says must not follow its end.
        let mut reconnect = None;
        step(&mut self.link, now, input, &mut said);
        for output in said {
            match output {
                link::Output::Authorize(id) => {
                    self.authorize = Some(id);
                    self.on_token(now, shared, out);
                }
                link::Output::Forget(_) => self.authorize = None,
                link::Output::Dial(conn) => {
                    out.push(Output::Dial {
                        conn,
                        origin: self.origin.clone(),
                    });
                }
                link::Output::HangUp(conn) => out.push(Output::HangUp(conn)),
                link::Output::Transport(conn, action) => {
                    out.push(Output::Transport(conn, action));
                }
                link::Output::Up => {
                    self.membership.on_up(now);
                    self.catch_up.on_up(now);
                }
                link::Output::Event(Event::Joined(id, answer)) => {
                    reconnect = self.on_joined(now, id, answer, shared, out).or(reconnect);
                }
                link::Output::Event(Event::Push(event)) => self.on_push(now, &event, shared, out),
                link::Output::Down {
                    end,
                    lived,
                    retry_in,
                } => {
                    if end.unauthorized {
                        shared.account.invalidate(self.session);
                    }
                    self.on_down(now, shared, out);
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
                }
            }
        }
        if let Some(why) = reconnect {
            self.step_link(now, Some(link::Input::Reconnect(why)), shared, out);
        }
    }

    /// There may be a token now: the link gets it, if it waits for one.
    pub(super) fn on_token(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        self.membership.on_token(now);
        for (id, state) in &mut self.channels {
            state.sequence.backfill().on_token(now);
            self.unheard.set(id.clone(), state.sequence.read_at());
        }
        let Some(id) = self.authorize else { return };
        let answer = match shared.account.token(now, &self.id) {
            Token::Wait => return,
            Token::Fresh {
                token,
                origin,
                session,
            } => match shared.origin(&self.id, origin) {
                Some(origin) => {
                    self.origin = origin;
                    self.session = session;
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
        self.step_link(now, Some(link::Input::Authorized(id, answer)), shared, out);
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
        let Some(id) = self.authorize.take() else {
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

    fn on_down(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        self.membership.on_down();
        let held = self.catch_up.on_down(now);
        self.release(now, held, shared);
        self.joins = Requests::default();
        self.unheard = Deadlines::default();
        while let Some(id) = self.histories.keys().next().cloned() {
            self.forget_history(&id, shared, out);
        }
        self.early.clear();
        for channel in self.channels.values_mut() {
            channel.sequence.on_down();
        }
    }

    fn on_push(
        &mut self,
        now: Time,
        event: &socketio::event::Event,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let outcome = match event.name() {
            realtime::MESSAGE_CREATED => event
                .args::<(Message,)>()
                .map(|(message,)| self.on_message(now, message, shared, out)),
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
        while let Some(channel) = self.membership.join_due(now) {
            let id = self.joins.ask(now, None, channel.clone());
            let join = link::Input::Command(Command::Join(id, channel));
            self.step_link(now, Some(join), shared, out);
        }
        while self.histories.len() < HISTORIES_MAX
            && let Some(id) = self.unheard.pop_due(now)
        {
            self.read_history(now, &id, shared, out);
        }
        while self.reads.len() < READS_MAX
            && let Some(channel) = self.unknown.pop_due(now)
        {
            self.read(now, channel, shared, out);
        }
        if self.can_go_live() {
            self.step_link(now, Some(link::Input::Live), shared, out);
            self.catch_up.on_live();
            self.say_presence(now, shared, out);
            self.down.clear();
            let (guild, channels) = (self.id.clone(), self.membership.len());
            out.push(Output::Note(Note::Live { guild, channels }));
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

    /// Asks the session for something whose answer does not matter.
    pub(super) fn say(
        &mut self,
        now: Time,
        command: Command,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.step_link(now, Some(link::Input::Command(command)), shared, out);
    }

    fn can_go_live(&self) -> bool {
        self.membership.is_settled() && !self.link.is_live()
    }

    /// When there is something to do.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        earliest([
            self.can_go_live().then_some(Wakeup {
                at: Time::ZERO,
                why: "live",
            }),
            self.link.next_wakeup(),
            self.membership.next_wakeup(),
            self.catch_up.next_wakeup(),
            self.unheard
                .earliest()
                .filter(|_| self.histories.len() < HISTORIES_MAX)
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
