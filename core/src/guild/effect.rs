//! What follows from facts: answers, pushes, and the rooms that sockets are in.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    canonical,
    engineio::sessions::SessionId,
    fabric::{
        realtime::{Activity, JoinAck, Membership, Presence},
        types::{self, Canvas, Message},
    },
    guild::{fact::Fact, file::FileRow, state::State},
    http::{CallId, Response},
    id::{ChannelId, FileId, GuildId, UserId},
    socketio::AckId,
};

/// Something that others see, once the store has committed what it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A call is answered.
    Respond(CallId, Response),
    /// A call is answered with a file.
    Deliver(CallId, Box<FileRow>),
    /// A file is taken from the disk.
    Discard(FileId),
    /// `message.created` goes to the channel's room, to each with its own `wakeup`.
    Created {
        /// The message.
        message: Box<Message>,
        /// Who is woken by it, in order.
        woken: Vec<UserId>,
    },
    /// `message.updated`, or `message.deleted` where it was deleted, goes to the channel's room.
    Amended(Box<Message>),
    /// `canvas.updated` goes to the channel's room.
    Shared(Box<Canvas>),
    /// `canvas.removed` goes to the channel's room.
    Unshared(Activity),
    /// `typing` goes to the channel's room.
    Typing(Activity),
    /// `presence` goes to the rooms of all channels of the user.
    Presence(Presence),
    /// `message.created` goes once more to the user's sockets in the channel's room, to wake it.
    Rewoken {
        /// The message, with what wakes.
        message: Box<Message>,
        /// Who is woken.
        user: UserId,
    },
    /// `channel.updated` goes to the channel's room, to each with its own `joinedSeq`.
    Updated(Box<types::Channel>),
    /// `channel.joined` goes to the user's room.
    Joined(Membership),
    /// The user's sockets leave the channel's room, then `channel.left` goes to the user's room.
    Left(Membership),
    /// A socket enters a channel's room, and its event is acknowledged.
    Enter {
        /// The socket.
        session: SessionId,
        /// The channel.
        channel: ChannelId,
        /// What to acknowledge with the newest message's `seq`, if anything.
        ack: Option<AckId>,
        /// That `seq`.
        last_seq: u64,
        /// Whether the user's process knows of no wake there.
        fresh: bool,
    },
    /// A socket leaves a channel's room.
    Exit(SessionId, ChannelId),
    /// A socket's event is acknowledged.
    Ack(SessionId, AckId, JoinAck),
}
canonical!(
    enum Effect {
        Respond(call, response),
        Deliver(call, file),
        Discard(file),
        Created { message, woken },
        Amended(message),
        Shared(canvas),
        Unshared(removal),
        Typing(activity),
        Presence(presence),
        Rewoken { message, user },
        Updated(channel),
        Joined(membership),
        Left(membership),
        Enter { session, channel, ack, last_seq, fresh },
        Exit(session, channel),
        Ack(session, ack, body),
    }
);

/// The pushes that follow from `facts`, which are not applied to `state` yet.
pub(super) fn pushes(
    state: &State,
    guild: &GuildId,
    wall: crate::time::Wall,
    facts: &[Fact],
) -> Vec<Effect> {
    let membership = |channel: &ChannelId, user: &UserId, x_type| Membership {
        channel_id: channel.clone(),
        user_id: user.clone(),
        x_type,
        occurred_at: Some(wall),
    };
    // The kinds of the channels that these very facts create.
    let created = |id: &ChannelId| {
        facts.iter().find_map(|fact| {
            let Fact::Channel(row) = fact else {
                return None;
            };
            (row.id == *id).then_some(row.x_type)
        })
    };
    let mut effects = Vec::new();
    for fact in facts {
        match fact {
            Fact::Channel(row) => {
                if let Some(channel) = state.channel(&row.id) {
                    let mut channel = channel.clone();
                    channel.row = row.clone();
                    effects.push(Effect::Updated(Box::new(channel.on_wire(guild, None))));
                }
            }
            Fact::Member(row) => {
                let channel = state.channel(&row.channel);
                if channel.is_none_or(|channel| !channel.members.contains_key(&row.user)) {
                    let x_type = channel.map(|channel| channel.row.x_type);
                    let x_type = x_type.or_else(|| created(&row.channel));
                    effects.push(Effect::Joined(membership(&row.channel, &row.user, x_type)));
                }
            }
            Fact::NoMember { channel, user } => {
                let x_type = state.channel(channel).map(|channel| channel.row.x_type);
                effects.push(Effect::Left(membership(channel, user, x_type)));
            }
            Fact::Posted { message, woken } => effects.push(Effect::Created {
                message: message.clone(),
                woken: woken.clone(),
            }),
            Fact::Amended(message) => effects.push(Effect::Amended(message.clone())),
            Fact::Canvas(canvas) => effects.push(Effect::Shared(canvas.clone())),
            Fact::NoCanvas(removal) => effects.push(Effect::Unshared(removal.clone())),
            Fact::NoFile(id) => effects.push(Effect::Discard(id.clone())),
            // What is shown of them goes to one user alone, or is asked for.
            Fact::Commands(_)
            | Fact::File(_)
            | Fact::Turn { .. }
            | Fact::Rewoken { .. }
            | Fact::Commanded { .. } => {}
        }
    }
    effects
}
