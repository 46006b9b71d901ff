//! What a guild node knows: its channels and who is a member of which.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use crate::{
    canonical,
    fabric::types::{self, Author},
    guild::{
        fact::{ChannelRow, Fact, MemberRow},
        file::FileRow,
        turn::Turn,
    },
    id::{ChannelId, FileId, GuildId, UserId},
};

/// The state that the rules read. It is changed by facts alone, so that the rows of a store, read
/// back as facts, restore it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    channels: BTreeMap<ChannelId, Channel>,
    users: BTreeMap<UserId, User>,
    /// The catalogue of slash commands, as it was written: a JSON array, or nothing yet.
    commands: String,
    files: BTreeMap<FileId, FileRow>,
    /// What the files of each user take.
    files_of: BTreeMap<UserId, Taken>,
    files_total: Taken,
}
canonical!(struct State { channels, users, commands, files, files_of, files_total });

/// The room that files take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many there are.
    pub files: usize,
    /// Their length together.
    pub bytes: u64,
}
canonical!(struct Taken { files, bytes });

impl Taken {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: u64) {
        self.files -= 1;
        self.bytes -= bytes;
    }
}

/// A channel and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The channel's fields.
    pub row: ChannelRow,
    /// The memberships, by user.
    pub members: BTreeMap<UserId, MemberRow>,
    /// Whose turn it is, where users take turns.
    pub turn: Option<Turn>,
}
canonical!(struct Channel { row, members, turn });

/// A user who is a member somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    channels: BTreeSet<ChannelId>,
}
canonical!(struct User { name, channels });

impl State {
    /// The state that the rows of a store say, but for who has acked.
    pub fn from_rows(rows: &[Fact]) -> Self {
        let mut state = Self::default();
        let is_channel = |fact: &&Fact| matches!(fact, Fact::Channel(_));
        rows.iter()
            .filter(is_channel)
            .for_each(|fact| state.apply(fact));
        rows.iter()
            .filter(|fact| !is_channel(fact))
            .for_each(|fact| state.apply(fact));
        let turns = state.channels.values_mut();
        turns
            .filter_map(|channel| channel.turn.as_mut())
            .for_each(Turn::forget_ack);
        state
    }

    /// The current speaker of a channel is asked anew whether its wake has arrived, if that is `user`.
    pub fn forget_ack(&mut self, channel: &ChannelId, user: &UserId) {
        let channel = self.channels.get_mut(channel);
        if let Some(turn) = channel.and_then(|channel| channel.turn.as_mut())
            && turn.current() == Some(user)
        {
            turn.forget_ack();
        }
    }

    /// Makes a fact true. A fact about a channel that is not there changes nothing.
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Channel(row) => match self.channels.get_mut(&row.id) {
                Some(channel) => channel.row = row.clone(),
                None => {
                    let channel = Channel {
                        row: row.clone(),
                        members: BTreeMap::new(),
                        turn: None,
                    };
                    self.channels.insert(row.id.clone(), channel);
                }
            },
            Fact::Member(row) => {
                let Some(channel) = self.channels.get_mut(&row.channel) else {
                    return;
                };
                channel.members.insert(row.user.clone(), row.clone());
                let user = self.users.entry(row.user.clone()).or_insert_with(|| User {
                    name: String::new(),
                    channels: BTreeSet::new(),
                });
                user.name.clone_from(&row.name);
                user.channels.insert(row.channel.clone());
            }
            Fact::NoMember { channel, user } => {
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.members.remove(user);
                }
                if let Some(entry) = self.users.get_mut(user) {
                    entry.channels.remove(channel);
                    if entry.channels.is_empty() {
                        self.users.remove(user);
                    }
                }
            }
            Fact::Posted { message, .. } => {
                if let Some(channel) = self.channels.get_mut(&message.channel_id) {
                    channel.row.last_seq = message.seq;
                }
            }
            Fact::Commands(text) => self.commands.clone_from(text),
            Fact::File(row) => {
                self.forget_file(&row.id);
                let own = self.files_of.entry(row.owner.clone()).or_default();
                own.add(row.bytes);
                self.files_total.add(row.bytes);
                self.files.insert(row.id.clone(), row.clone());
            }
            Fact::NoFile(id) => self.forget_file(id),
            Fact::Turn { channel, turn } => {
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.turn = Some((**turn).clone());
                }
            }
            // The store alone has what messages and canvases say, who was woken, and nonces.
            Fact::Amended(_)
            | Fact::Canvas(_)
            | Fact::NoCanvas(_)
            | Fact::Rewoken { .. }
            | Fact::Commanded { .. } => {}
        }
    }

    fn forget_file(&mut self, id: &FileId) {
        let Some(row) = self.files.remove(id) else {
            return;
        };
        self.files_total.remove(row.bytes);
        if let Some(own) = self.files_of.get_mut(&row.owner) {
            own.remove(row.bytes);
            if own.files == 0 {
                self.files_of.remove(&row.owner);
            }
        }
    }

    /// A file.
    pub fn file(&self, id: &FileId) -> Option<&FileRow> {
        self.files.get(id)
    }

    /// All files, by id.
    pub fn files(&self) -> impl Iterator<Item = &FileRow> {
        self.files.values()
    }

    /// What all files take.
    pub const fn files_total(&self) -> Taken {
        self.files_total
    }

    /// What the files that `user` has uploaded take.
    pub fn files_of(&self, user: &UserId) -> Taken {
        self.files_of.get(user).copied().unwrap_or_default()
    }

    /// A channel.
    pub fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.channels.get(id)
    }

    /// All channels, by id.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// How many channels there are.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// The channels that `user` is a member of, by id.
    pub fn channels_of(&self, user: &UserId) -> impl Iterator<Item = &Channel> {
        self.users
            .get(user)
            .into_iter()
            .flat_map(|user| &user.channels)
            .filter_map(|id| self.channels.get(id))
    }

    /// How many channels `user` is a member of.
    pub fn channel_count_of(&self, user: &UserId) -> usize {
        self.users.get(user).map_or(0, |user| user.channels.len())
    }

    /// The name of a user who is a member somewhere.
    pub fn name_of(&self, user: &UserId) -> Option<&str> {
        self.users.get(user).map(|user| user.name.as_str())
    }

    /// The catalogue of slash commands: the text of a JSON array, or nothing where none was ever
    /// written.
    pub fn commands(&self) -> &str {
        &self.commands
    }

    /// The memberships of `author` that show another name than its own, renamed.
    pub fn renamed(&self, author: &Author) -> Vec<Fact> {
        self.channels_of(&author.id)
            .filter_map(|channel| channel.members.get(&author.id))
            .filter(|row| row.name != author.name)
            .map(|row| {
                Fact::Member(MemberRow {
                    name: author.name.clone(),
                    ..row.clone()
                })
            })
            .collect()
    }
}

impl Channel {
    /// The channel as `reader` sees it; as a stranger sees it where there is none.
    pub fn on_wire(&self, guild: &GuildId, reader: Option<&UserId>) -> types::Channel {
        let ChannelRow {
            id,
            name,
            x_type,
            is_public,
            closed,
            wake_mapping,
            last_seq,
            created_at: _,
        } = self.row.clone();
        types::Channel {
            id,
            guild_id: Some(guild.clone()),
            name,
            x_type,
            is_public,
            closed,
            last_seq: Some(last_seq),
            joined_seq: reader.and_then(|reader| self.joined_seq(reader)),
            member_count: self.members.len() as u64,
            wake_mapping,
        }
    }

    /// The last `seq` before the membership of `user`.
    pub fn joined_seq(&self, user: &UserId) -> Option<u64> {
        self.members.get(user).map(|row| row.joined_seq)
    }

    /// The members as they stand in a listing, by user id.
    pub fn members_on_wire(&self) -> Vec<types::Member> {
        let speaks_when_mentioned = |user| {
            let turn = self.turn.as_ref();
            turn.is_some_and(|turn| turn.bypass().contains(user))
        };
        let members = self.members.values();
        members
            .map(|row| types::Member {
                id: row.user.clone(),
                name: row.name.clone(),
                bypass: speaks_when_mentioned(&row.user),
                joined_at: row.joined_at,
                status: None,
            })
            .collect()
    }
}
