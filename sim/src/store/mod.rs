//! A model of a guild's disk: what was committed survives a kill, what is being written may or may
//! not.

mod read;

use std::collections::{BTreeMap, VecDeque};

use selvedge_core::{
    Wall, canonical,
    fabric::{
        turns::Command,
        types::{Canvas, Message},
    },
    guild::{fact::Fact, io, state::State},
    id::{ChannelId, MessageId, UserId},
    request::RequestId,
};

/// Messages in the order in which they were committed, commands that had a nonce, and the canvas of
/// each channel.
#[derive(Clone, Debug, Default)]
pub struct Store {
    writing: VecDeque<(RequestId<io::Store>, Vec<Fact>)>,
    state: State,
    channels: BTreeMap<ChannelId, BTreeMap<u64, Row>>,
    places: BTreeMap<MessageId, (ChannelId, u64)>,
    nonces: BTreeMap<(UserId, String), MessageId>,
    commands: BTreeMap<(UserId, String), Commanded>,
    canvases: BTreeMap<ChannelId, Canvas>,
}
canonical!(unsaved struct Store { writing, state, channels, places, nonces, commands, canvases });

/// A message, who is woken by it, and the id of the wake where it came later.
#[derive(Clone, Debug)]
struct Row {
    message: Message,
    woken: Vec<(UserId, Option<String>)>,
}
canonical!(unsaved struct Row { message, woken });

#[derive(Clone, Debug)]
struct Commanded {
    channel: ChannelId,
    command: Command,
    at: Wall,
}
canonical!(unsaved struct Commanded { channel, command, at });

impl Store {
    /// A transaction is being written.
    pub fn write(&mut self, id: RequestId<io::Store>, facts: Vec<Fact>) {
        self.writing.push_back((id, facts));
    }

    /// The oldest transaction is committed.
    pub fn commit(&mut self) -> Option<(RequestId<io::Store>, Vec<Fact>)> {
        let (id, facts) = self.writing.pop_front()?;
        for fact in &facts {
            self.state.apply(fact);
            self.keep(fact);
        }
        Some((id, facts))
    }

    /// The process is killed: what is being written is lost, or given back to be committed all the
    /// same.
    pub fn kill(&mut self, commits: bool) {
        if !commits {
            self.writing.clear();
        }
    }

    /// How many transactions are being written.
    pub fn writing(&self) -> usize {
        self.writing.len()
    }

    /// What the next process finds.
    pub fn rows(&self) -> Vec<Fact> {
        let mut rows = Vec::new();
        for channel in self.state.channels() {
            rows.push(Fact::Channel(channel.row.clone()));
            rows.extend(channel.members.values().cloned().map(Fact::Member));
            let turn = channel.turn.iter().cloned().map(Box::new);
            rows.extend(turn.map(|turn| Fact::Turn {
                channel: channel.row.id.clone(),
                turn,
            }));
        }
        rows
    }

    fn keep(&mut self, fact: &Fact) {
        match fact {
            Fact::Posted { message, woken } => {
                let message = (**message).clone();
                let place = (message.channel_id.clone(), message.seq);
                self.places.insert(message.id.clone(), place);
                if let Some(nonce) = message.nonce.clone() {
                    let by = (message.author.id.clone(), nonce);
                    self.nonces.insert(by, message.id.clone());
                }
                let woken = woken.iter().map(|user| (user.clone(), None)).collect();
                let rows = self.channels.entry(message.channel_id.clone()).or_default();
                rows.insert(message.seq, Row { message, woken });
            }
            Fact::Amended(newer) => {
                if let Some(row) = self.row_mut(&newer.id) {
                    row.message.clone_from(newer);
                }
            }
            Fact::Canvas(canvas) => {
                let channel = canvas.channel_id.clone();
                self.canvases.insert(channel, (**canvas).clone());
            }
            Fact::NoCanvas(removal) => {
                self.canvases.remove(&removal.channel_id);
            }
            Fact::Rewoken {
                message,
                user,
                wake_id,
                ..
            } => {
                if let Some(row) = self.row_mut(message) {
                    row.woken = vec![(user.clone(), Some(wake_id.clone()))];
                }
            }
            Fact::Commanded {
                author,
                nonce,
                channel,
                command,
                at,
            } => {
                let by = (author.clone(), nonce.clone());
                let done = Commanded {
                    channel: channel.clone(),
                    command: *command,
                    at: *at,
                };
                self.commands.insert(by, done);
            }
            Fact::Channel(_)
            | Fact::Member(_)
            | Fact::NoMember { .. }
            | Fact::Commands(_)
            | Fact::File(_)
            | Fact::NoFile(_)
            | Fact::Turn { .. } => {}
        }
    }

    fn row_mut(&mut self, id: &MessageId) -> Option<&mut Row> {
        let (channel, seq) = self.places.get(id)?;
        self.channels.get_mut(channel)?.get_mut(seq)
    }

    /// Everything that was ever posted.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        let rows = self.channels.values().flat_map(BTreeMap::values);
        rows.map(|row| &row.message)
    }

    /// A message.
    pub fn message(&self, id: &MessageId) -> Option<&Message> {
        let (channel, seq) = self.places.get(id)?;
        let row = self.channels.get(channel)?.get(seq)?;
        Some(&row.message)
    }

    /// The newest message of an author in a channel that is not deleted.
    pub fn newest_of(&self, channel: &ChannelId, author: &UserId) -> Option<&Message> {
        let rows = self.channels.get(channel)?.values().rev();
        rows.map(|row| &row.message)
            .find(|message| message.author.id == *author && message.deleted_at.is_none())
    }

    /// Channels, members and turns as they are committed.
    pub fn state(&self) -> &State {
        &self.state
    }
}
