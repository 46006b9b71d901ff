//! The ledger: what the guilds stored, kept so that the rules can ask about it.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_core::{
    Time, Wall, canonical,
    fabric::types::{Message, XType},
    guild::fact::Fact,
    id::{ChannelId, MessageId, UserId},
    plugin::inbound::InboundMessage,
};

/// What every guild stored.
#[derive(Clone, Debug)]
pub struct Ledger {
    guilds: Vec<Guild>,
}
canonical!(unsaved struct Ledger { guilds });

#[derive(Clone, Debug, Default)]
struct Guild {
    channels: BTreeMap<ChannelId, Channel>,
    messages: BTreeMap<MessageId, Stored>,
    /// What there was of both when the guild was backed up.
    backup: Option<Box<Self>>,
}
// Nothing is backed up in a search.
canonical!(unsaved struct Guild { channels, messages; - backup });

/// A channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What it is called.
    pub name: String,
    /// Its kind.
    pub x_type: XType,
    /// The newest `seq`.
    pub last_seq: u64,
    /// When that was posted, or the channel was made.
    pub last_at: Time,
    /// Whether nobody can post.
    pub closed: bool,
    /// Whom it wakes, in triage and custom channels.
    pub wakes: Vec<UserId>,
    /// Whether it has ever woken others.
    pub wakes_anew: bool,
    /// Who has the turn.
    pub speaker: Option<UserId>,
    /// Since when.
    pub speaks_since: Time,
    /// Its messages in order.
    pub messages: BTreeMap<u64, MessageId>,
    stays: BTreeMap<UserId, Vec<Stay>>,
}
canonical!(unsaved struct Channel {
    name, x_type, last_seq, last_at, closed, wakes, wakes_anew, speaker, speaks_since, messages, stays
});

/// One membership of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The newest `seq` before it.
    pub after: u64,
    /// The last `seq` of it; `None` while it lasts.
    pub until: Option<u64>,
    /// When it ended.
    pub ended: Option<Time>,
}
canonical!(unsaved struct Stay { after, until, ended });

impl Stay {
    /// Whether a message fell into it.
    pub fn has(&self, seq: u64) -> bool {
        seq > self.after && self.until.is_none_or(|until| seq <= until)
    }
}

/// A message.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its channel.
    pub channel: ChannelId,
    /// Its position there.
    pub seq: u64,
    /// Who wrote it.
    pub author: UserId,
    /// The text as it was posted.
    pub content: String,
    /// The author's nonce.
    pub nonce: Option<String>,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// When it was posted, by the guild's clock.
    pub created_at: Wall,
    /// When it was committed.
    pub at: Time,
    /// Who was woken by it when it was posted.
    pub woken: BTreeSet<UserId>,
    /// Who was woken with it later.
    pub rewoken: BTreeSet<UserId>,
    /// When it was deleted.
    pub deleted: Option<Time>,
    /// When its text was changed last, and what it is since then.
    pub edited: Option<(Time, String)>,
}
// No rule of a search asks when something was posted, or what it answers.
canonical!(unsaved struct Stored {
    channel, seq, author, content, nonce, woken, rewoken, deleted, edited; - at, created_at, reply_to
});

impl Ledger {
    /// For so many guilds.
    pub fn new(guilds: usize) -> Self {
        Self {
            guilds: (0..guilds).map(|_| Guild::default()).collect(),
        }
    }

    /// A guild has committed a fact.
    pub fn apply(&mut self, now: Time, guild: usize, fact: &Fact) {
        let Some(guild) = self.guilds.get_mut(guild) else {
            return;
        };
        match fact {
            Fact::Channel(row) => {
                let new = || Channel {
                    name: row.name.clone(),
                    x_type: row.x_type,
                    last_seq: row.last_seq,
                    last_at: now,
                    closed: false,
                    wakes: row.wake_mapping.clone(),
                    wakes_anew: false,
                    speaker: None,
                    speaks_since: now,
                    messages: BTreeMap::new(),
                    stays: BTreeMap::new(),
                };
                let channel = guild.channels.entry(row.id.clone()).or_insert_with(new);
                channel.closed = row.closed;
                channel.wakes_anew |= channel.wakes != row.wake_mapping;
                channel.wakes.clone_from(&row.wake_mapping);
            }
            Fact::Member(row) => {
                if let Some(channel) = guild.channels.get_mut(&row.channel) {
                    let stays = channel.stays.entry(row.user.clone()).or_default();
                    if stays.last().is_none_or(|last| last.until.is_some()) {
                        let after = row.joined_seq;
                        stays.push(Stay {
                            after,
                            until: None,
                            ended: None,
                        });
                    }
                }
            }
            Fact::NoMember { channel, user } => {
                if let Some(channel) = guild.channels.get_mut(channel)
                    && let Some(last) = channel
                        .stays
                        .get_mut(user)
                        .and_then(|stays| stays.last_mut())
                {
                    last.until = Some(channel.last_seq);
                    last.ended.get_or_insert(now);
                }
            }
            Fact::Posted { message, woken } => guild.on_posted(now, message, woken),
            Fact::Amended(message) => {
                if let Some(known) = guild.messages.get_mut(&message.id) {
                    match message.deleted_at {
                        Some(_) => known.deleted = known.deleted.or(Some(now)),
                        None => known.edited = Some((now, message.content.clone())),
                    }
                }
            }
            Fact::Rewoken { message, user, .. } => {
                if let Some(known) = guild.messages.get_mut(message) {
                    known.rewoken.insert(user.clone());
                }
            }
            Fact::Turn { channel, turn } => {
                if let Some(channel) = guild.channels.get_mut(channel)
                    && channel.speaker.as_ref() != turn.current()
                {
                    channel.speaker = turn.current().cloned();
                    channel.speaks_since = now;
                }
            }
            Fact::Canvas(_)
            | Fact::NoCanvas(_)
            | Fact::Commands(_)
            | Fact::File(_)
            | Fact::NoFile(_)
            | Fact::Commanded { .. } => {}
        }
    }

    /// A guild's disk is copied.
    pub fn back_up(&mut self, guild: usize) {
        if let Some(guild) = self.guilds.get_mut(guild) {
            guild.backup = None;
            guild.backup = Some(Box::new(guild.clone()));
        }
    }

    /// That copy takes the place of the disk. What was posted since is known, and stands nowhere; who was
    /// woken once more since may have heard of it, though the guild knows no more of that.
    pub fn restore(&mut self, now: Time, guild: usize) {
        let Some(guild) = self.guilds.get_mut(guild) else {
            return;
        };
        let backup = guild.backup.as_deref().cloned().unwrap_or_default();
        guild.channels = backup.channels;
        for (id, mut stored) in backup.messages {
            let known = guild.messages.get(&id);
            let same = known.filter(|known| known.created_at == stored.created_at);
            stored
                .rewoken
                .extend(same.into_iter().flat_map(|known| known.rewoken.clone()));
            guild.messages.insert(id, stored);
        }
        for channel in guild.channels.values_mut() {
            channel.speaks_since = now;
            channel.last_at = now;
        }
    }

    /// The channels of a guild.
    pub fn channels(&self, guild: usize) -> impl Iterator<Item = (&ChannelId, &Channel)> {
        let guild = self.guilds.get(guild).into_iter();
        guild.flat_map(|guild| &guild.channels)
    }

    /// The channels of all guilds.
    pub fn all_channels(&self) -> impl Iterator<Item = (usize, &ChannelId, &Channel)> {
        let guilds = self.guilds.iter().enumerate();
        guilds.flat_map(|(guild, known)| {
            let channels = known.channels.iter();
            channels.map(move |(id, channel)| (guild, id, channel))
        })
    }

    /// A channel.
    pub fn channel(&self, guild: usize, id: &ChannelId) -> Option<&Channel> {
        self.guilds.get(guild)?.channels.get(id)
    }

    /// Whether a message is still there, though its text may be gone: a guild that was restored from a
    /// backup has lost what was posted since.
    pub fn stands(&self, guild: usize, id: &MessageId) -> bool {
        let place = self.message(guild, id).and_then(|known| {
            let channel = self.channel(guild, &known.channel)?;
            channel.messages.get(&known.seq)
        });
        place == Some(id)
    }

    /// Whether a guild that was restored from a backup has lost what a host is told. It may have given its id
    /// anew.
    pub fn has_lost(&self, guild: usize, told: &InboundMessage) -> bool {
        let known = self.message(guild, &told.id);
        known.is_some_and(|known| {
            known.created_at != told.created_at || !self.stands(guild, &told.id)
        })
    }

    /// A message, wherever it stands or stood.
    pub fn message(&self, guild: usize, id: &MessageId) -> Option<&Stored> {
        self.guilds.get(guild)?.messages.get(id)
    }
}

impl Guild {
    fn on_posted(&mut self, now: Time, message: &Message, woken: &[UserId]) {
        if let Some(channel) = self.channels.get_mut(&message.channel_id) {
            channel.last_seq = message.seq;
            channel.last_at = now;
            channel.messages.insert(message.seq, message.id.clone());
        }
        let stored = Stored {
            channel: message.channel_id.clone(),
            seq: message.seq,
            author: message.author.id.clone(),
            content: message.content.clone(),
            nonce: message.nonce.clone(),
            reply_to: message.reply_to_id.clone(),
            created_at: message.created_at,
            at: now,
            woken: woken.iter().cloned().collect(),
            rewoken: BTreeSet::new(),
            deleted: None,
            edited: None,
        };
        self.messages.insert(message.id.clone(), stored);
    }
}

impl Channel {
    /// The memberships of a user, the last one last.
    pub fn stays(&self, user: &UserId) -> &[Stay] {
        self.stays.get(user).map_or(&[], Vec::as_slice)
    }

    /// The membership of a user that lasts.
    pub fn stay(&self, user: &UserId) -> Option<Stay> {
        let last = self.stays(user).last().copied();
        last.filter(|stay| stay.until.is_none())
    }

    /// Who is a member.
    pub fn members(&self) -> impl Iterator<Item = &UserId> {
        let lasting = |stays: &&Vec<Stay>| stays.last().is_some_and(|stay| stay.until.is_none());
        let stays = self.stays.iter();
        stays
            .filter(move |(_, stays)| lasting(stays))
            .map(|(user, _)| user)
    }
}
