//! A recording of an agent as a scripted trace: what people and the network did, told again.
//!
//! It has what the agent got to see, at the moments at which it did. In the world of the trace the host
//! repeats what it is told, and the guild, Center and the people are those of the simulator: so what is
//! reported shows again where it came of what was said and of what befell the connections, and the trace can
//! be shortened by hand or by `selvedge-sim shrink`. People and channels get names by number, since their
//! ids are the guild's; what was said is told as it is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
};

use selvedge_core::{
    Time,
    engineio::packet::{self as engineio, Packet as Carrier},
    fabric::{
        center::Session,
        realtime::{self, Membership},
        types::{Channel, Message, XType},
    },
    id::{ChannelId, GuildId, MessageId, UserId},
    plugin::{
        agent::Agent,
        io::{Input, LoginFailure, Output},
    },
    socketio::packet::{self as socketio, Packet},
    ws::{Action, Closed, ConnId, Event, Frame},
};
use serde_json::Value;

use crate::{
    fault::LoginFault,
    replay::{ReplayError, Replayed, Watch, replay_agent},
    script::{Act, Deed, Expect, Head, Line, Script, Strike},
};

/// What the agent is called in a trace.
const AGENT: &str = "echo";

/// How long the world has before the recording begins, in milliseconds: until its links are live.
const SETTLING_MS: u64 = 5_000;

/// How much earlier than it is heard of a channel is made, in milliseconds: what is said there at once must
/// not come too early.
const MAKING_MS: u64 = 1_000;

/// When it is asked what came of it all, after the end.
const PATIENCE_MS: u64 = 60_000;

/// Tells the segments of an agent's recording, in order, as one trace; and how the replay of each went.
///
/// # Errors
///
/// Where one cannot be read, or is none of an agent.
pub fn retell<R: BufRead>(
    name: &str,
    segments: impl IntoIterator<Item = R>,
) -> Result<(Script, Vec<Replayed>), ReplayError> {
    let mut teller = Teller::default();
    let mut went = Vec::new();
    for segment in segments {
        went.push(replay_agent(segment, &mut teller)?);
    }
    Ok((teller.script(name), went))
}

/// A channel of the trace.
struct Place {
    name: String,
    guild: Option<GuildId>,
    x_type: XType,
    wakes: Vec<UserId>,
    /// When it was made; 0 for those that were there before.
    at: u64,
    writers: BTreeSet<UserId>,
}

/// A message that stands in one of them.
struct Said {
    at: u64,
    channel: ChannelId,
    author: UserId,
    seq: u64,
    content: String,
}

/// Gathers what a trace is made of.
#[derive(Default)]
struct Teller {
    began: Option<Time>,
    /// Milliseconds since then, in the trace.
    now: u64,
    me: Option<UserId>,
    /// By their origins, which are dialed.
    guilds: BTreeMap<String, GuildId>,
    /// Where connections lead that are dialed or open.
    conns: BTreeMap<ConnId, Option<GuildId>>,
    /// Guilds of which the last dial failed.
    unreachable: BTreeSet<Option<GuildId>>,
    channels: BTreeMap<ChannelId, Place>,
    said: BTreeMap<MessageId, Said>,
    /// What befell it, in a guild or in all of them.
    strikes: Vec<(u64, Option<GuildId>, &'static str, Strike)>,
    /// What was done in channels besides.
    done: Vec<(u64, ChannelId, Doing)>,
    handed: Vec<MessageId>,
    /// How far the guild's clock is behind the time of the trace, in milliseconds.
    clock: Option<i64>,
}

enum Doing {
    Edit(UserId, String),
    Delete(UserId),
    Leave,
    Return,
}

impl Watch<Agent> for Teller {
    fn before(&mut self, now: Time, input: Option<&Input>) {
        let began = *self.began.get_or_insert(now);
        let since = u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX);
        self.now = since.saturating_add(SETTLING_MS);
        if let Some(input) = input {
            self.hear(input);
        }
    }

    fn after(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Dial { conn, origin } => {
                    self.conns.insert(*conn, self.guilds.get(origin).cloned());
                }
                Output::HangUp(conn) | Output::Transport(conn, Action::Close) => {
                    self.conns.remove(conn);
                }
                Output::Notify(inbound) if !inbound.redelivered => {
                    let ids = inbound.messages.iter().map(|message| message.id.clone());
                    self.handed.extend(ids);
                }
                Output::Notify(_)
                | Output::Login(_)
                | Output::Transport(_, Action::Send(_))
                | Output::Http { .. }
                | Output::Claim(..)
                | Output::Store(..)
                | Output::Forget(_)
                | Output::Answer { .. }
                | Output::Note(_) => {}
            }
        }
    }
}

impl Teller {
    fn hear(&mut self, input: &Input) {
        match input {
            Input::LoggedIn(_, Ok(session)) => self.log_in(session),
            Input::LoggedIn(_, Err(failure)) => {
                let how = match failure {
                    LoginFailure::Refused { status, .. } => LoginFault::Status(*status),
                    LoginFailure::Unavailable(_) => LoginFault::Unreachable,
                };
                self.strike("center", None, Strike::FailLogins { logins: 1, how });
            }
            Input::Dialed(conn, result) => {
                let guild = self.conns.get(conn).cloned().flatten();
                let changes = match result {
                    Ok(()) => self.unreachable.remove(&guild),
                    Err(_) => self.unreachable.insert(guild.clone()),
                };
                if changes {
                    self.strike("network", guild, Strike::RefuseDials(result.is_err()));
                }
            }
            Input::Transport(conn, Event::Closed(how)) => {
                if let Some(guild) = self.conns.remove(conn) {
                    let strike = match how {
                        Closed::Peer { .. } => Strike::Close,
                        Closed::Broken(_) | Closed::TooLarge | Closed::Overrun => Strike::Reset,
                    };
                    self.strike("network", guild, strike);
                }
            }
            Input::Transport(conn, Event::Frame(frame)) => {
                let guild = self.conns.get(conn).cloned().flatten();
                self.read(guild.as_ref(), frame);
            }
            Input::Http(_, Ok(response)) => {
                if let Ok(json) = serde_json::from_slice(&response.body) {
                    self.look_through(None, &json);
                }
            }
            Input::Stored(_, Err(_)) => self.strike("disk", None, Strike::FailCommits(1)),
            Input::Admitted(_)
            | Input::Http(_, Err(_))
            | Input::Stored(_, Ok(()))
            | Input::Claimed(..)
            | Input::Host(_)
            | Input::Shutdown => {}
        }
    }

    fn log_in(&mut self, session: &Session) {
        self.me = Some(session.user.id.clone());
        for grant in &session.grants {
            if let Some(origin) = &grant.base_url {
                self.guilds.insert(origin.clone(), grant.guild_id.clone());
            }
        }
    }

    fn strike(&mut self, who: &'static str, guild: Option<GuildId>, strike: Strike) {
        self.strikes.push((self.now, guild, who, strike));
    }

    fn read(&mut self, guild: Option<&GuildId>, frame: &Frame) {
        let Ok(Carrier::Message(Frame::Text(text))) = engineio::decode(frame.clone()) else {
            return;
        };
        let Ok(Packet::Event { event, .. }) = socketio::decode(text) else {
            return;
        };
        match event.name() {
            realtime::MESSAGE_CREATED => {
                if let Ok((message,)) = event.args::<(Message,)>() {
                    // A new wake may be the first that is heard of an old message.
                    if message.rewake != Some(true) {
                        let at = i64::try_from(self.now).unwrap_or(i64::MAX);
                        self.clock = Some(at.saturating_sub(message.created_at.as_millis()));
                    }
                    self.tell(guild, message);
                }
            }
            realtime::MESSAGE_UPDATED => {
                if let Ok((message,)) = event.args::<(Message,)>() {
                    self.amend(message, Doing::Edit);
                }
            }
            realtime::MESSAGE_DELETED => {
                if let Ok((message,)) = event.args::<(Message,)>() {
                    self.amend(message, |author, _| Doing::Delete(author));
                }
            }
            name @ (realtime::CHANNEL_JOINED | realtime::CHANNEL_LEFT) => {
                if let Ok((membership,)) = event.args::<(Membership,)>()
                    && Some(&membership.user_id) == self.me.as_ref()
                {
                    self.change(guild, &membership, name == realtime::CHANNEL_JOINED);
                }
            }
            _ => {}
        }
    }

    /// Somebody's newest message in a channel was changed; of an older one a trace cannot tell.
    fn amend(&mut self, message: Message, doing: impl FnOnce(UserId, String) -> Doing) {
        let (author, channel) = (message.author.id, message.channel_id);
        let of_author = |said: &&Said| said.channel == channel && said.author == author;
        let newest = self
            .said
            .values()
            .filter(of_author)
            .map(|said| said.seq)
            .max();
        if newest == Some(message.seq) && self.me.as_ref() != Some(&author) {
            let doing = doing(author, message.content);
            self.done.push((self.now, channel, doing));
        }
    }

    fn change(&mut self, guild: Option<&GuildId>, membership: &Membership, is_member: bool) {
        let id = membership.channel_id.clone();
        if self.channels.contains_key(&id) {
            let doing = match is_member {
                true => Doing::Return,
                false => Doing::Leave,
            };
            self.done.push((self.now, id, doing));
        } else if is_member {
            let at = self.now.saturating_sub(MAKING_MS);
            let place = self.place(guild, id);
            place.at = at;
            place.x_type = membership.x_type.unwrap_or(place.x_type);
        }
    }

    /// Channels and messages in an answer, wherever they stand in it.
    fn look_through(&mut self, guild: Option<&GuildId>, json: &Value) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| self.look_through(guild, item)),
            Value::Object(fields) if fields.contains_key("xType") => {
                if let Ok(channel) = serde_json::from_value::<Channel>(json.clone()) {
                    let place = self.place(channel.guild_id.as_ref().or(guild), channel.id);
                    place.x_type = channel.x_type;
                    place.wakes = channel.wake_mapping;
                }
            }
            Value::Object(fields) if fields.contains_key("seq") => {
                if let Ok(message) = serde_json::from_value::<Message>(json.clone()) {
                    self.tell(guild, message);
                }
            }
            Value::Object(fields) => {
                fields
                    .values()
                    .for_each(|field| self.look_through(guild, field));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn place(&mut self, guild: Option<&GuildId>, id: ChannelId) -> &mut Place {
        let number = self.channels.len() + 1;
        self.channels.entry(id).or_insert_with(|| Place {
            name: format!("channel-{number}"),
            guild: guild.cloned(),
            x_type: XType::General,
            wakes: Vec::new(),
            at: 0,
            writers: BTreeSet::new(),
        })
    }

    /// A message, which was posted when the guild says, as far as the guild's clock is known.
    fn tell(&mut self, guild: Option<&GuildId>, message: Message) {
        if self.me.as_ref() == Some(&message.author.id) || message.deleted_at.is_some() {
            return;
        }
        let posted = self.clock.and_then(|clock| {
            u64::try_from(message.created_at.as_millis().saturating_add(clock)).ok()
        });
        // What was posted before the recording began is posted as it begins.
        let at = posted.unwrap_or(self.now).min(self.now).max(SETTLING_MS);
        let guild = message.guild_id.as_ref().or(guild);
        let place = self.place(guild, message.channel_id.clone());
        place.writers.insert(message.author.id.clone());
        let at = at.max(place.at);
        self.said.entry(message.id).or_insert(Said {
            at,
            channel: message.channel_id,
            author: message.author.id,
            seq: message.seq,
            content: message.content,
        });
    }

    /// The trace of what was gathered.
    fn script(self, name: &str) -> Script {
        let mut names = Names::new(&self);
        let mut head = Head::named(
            name,
            "A recording of production, told by what the agent saw.",
        );
        head.guilds = names.guilds.values().cloned().collect();
        if head.guilds.is_empty() {
            head.guilds = vec!["guild-1".to_owned()];
        }
        let end = self.now.saturating_add(PATIENCE_MS);
        let mut lines = Vec::new();
        for place in self.channels.values() {
            let mut members = vec![AGENT.to_owned()];
            members.extend(place.writers.iter().map(|user| names.person(user)));
            let creator = names.creator(place);
            members.retain(|member| *member != creator);
            let deed = Deed::Create {
                name: place.name.clone(),
                x_type: place.x_type,
                members,
                wakes: place
                    .wakes
                    .iter()
                    .filter_map(|user| names.known(user))
                    .collect(),
                bypass: Vec::new(),
            };
            lines.push(act(
                place.at,
                creator,
                names.guild(place.guild.as_ref()),
                deed,
            ));
        }
        let mut said: Vec<_> = self.said.values().collect();
        said.sort_by_key(|said| (said.at, said.seq));
        let mut contents = BTreeMap::new();
        for (id, message) in &self.said {
            contents.insert(id, names.text(&message.content));
        }
        for message in said {
            if let Some(place) = self.channels.get(&message.channel) {
                let deed = Deed::Post {
                    channel: place.name.clone(),
                    content: names.text(&message.content),
                };
                lines.push(act(message.at, names.person(&message.author), None, deed));
            }
        }
        for (at, channel, doing) in self.done {
            if let Some(place) = self.channels.get(&channel) {
                lines.push(names.doing(at, place, doing));
            }
        }
        for (at, guild, who, strike) in self.strikes {
            lines.push(Line::Act {
                at,
                who: who.to_owned(),
                agent: None,
                guild: names.guild(guild.as_ref()),
                r#do: Act::Strike(strike),
            });
        }
        let handed = self
            .handed
            .iter()
            .filter_map(|id| contents.get(id).cloned());
        let is_live = self.unreachable.is_empty();
        for expect in [Expect::Live(is_live), Expect::Delivered(handed.collect())] {
            lines.push(Line::Expect {
                at: end,
                agent: None,
                expect,
            });
        }
        // What happened at once stays in the order in which it was told.
        lines.sort_by_key(Line::at);
        Script { head, lines }
    }
}

fn act(at: u64, who: String, guild: Option<String>, deed: Deed) -> Line {
    Line::Act {
        at,
        who,
        agent: None,
        guild,
        r#do: Act::Deed(deed),
    }
}

/// What users and guilds are called in a trace.
struct Names {
    me: Option<UserId>,
    people: BTreeMap<UserId, String>,
    guilds: BTreeMap<GuildId, String>,
}

impl Names {
    fn new(teller: &Teller) -> Self {
        let all: BTreeSet<_> = teller.guilds.values().cloned().collect();
        let named = |(guild, number): (GuildId, u32)| (guild, format!("guild-{number}"));
        Self {
            me: teller.me.clone(),
            people: BTreeMap::new(),
            guilds: all.into_iter().zip(1..).map(named).collect(),
        }
    }

    fn person(&mut self, user: &UserId) -> String {
        if self.me.as_ref() == Some(user) {
            return AGENT.to_owned();
        }
        let number = self.people.len() + 1;
        let name = self.people.entry(user.clone());
        name.or_insert_with(|| format!("person-{number}")).clone()
    }

    /// Somebody who is in the trace.
    fn known(&self, user: &UserId) -> Option<String> {
        match self.me.as_ref() == Some(user) {
            true => Some(AGENT.to_owned()),
            false => self.people.get(user).cloned(),
        }
    }

    /// Who has made a channel: somebody who writes there.
    fn creator(&mut self, place: &Place) -> String {
        match place.writers.first() {
            Some(user) => self.person(user),
            None => "person-0".to_owned(),
        }
    }

    /// Named where there is more than one.
    fn guild(&self, guild: Option<&GuildId>) -> Option<String> {
        let name = self.guilds.get(guild?)?;
        (self.guilds.len() > 1).then(|| name.clone())
    }

    /// A text with its mentions of those who have other ids in a trace.
    fn text(&mut self, content: &str) -> String {
        let me = self.me.iter().map(|me| (me.as_str(), AGENT));
        let people = self.people.iter();
        let people = people.map(|(id, name)| (id.as_str(), name.as_str()));
        me.chain(people)
            .fold(content.to_owned(), |text, (id, name)| {
                text.replace(&format!("<@{id}>"), &format!("<@{name}>"))
            })
    }

    fn doing(&mut self, at: u64, place: &Place, doing: Doing) -> Line {
        let (channel, user) = (place.name.clone(), AGENT.to_owned());
        let (who, deed) = match doing {
            Doing::Edit(user, content) => {
                let content = self.text(&content);
                (self.person(&user), Deed::Edit { channel, content })
            }
            Doing::Delete(user) => (self.person(&user), Deed::Delete { channel }),
            Doing::Leave => (self.creator(place), Deed::Remove { channel, user }),
            Doing::Return => (self.creator(place), Deed::Add { channel, user }),
        };
        act(at, who, None, deed)
    }
}
