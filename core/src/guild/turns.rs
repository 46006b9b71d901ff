//! The rules of channels that take turns: what commands, acks and bypass lead to, and what everything
//! else that happens in such a channel does to its turns.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec, vec::Vec};

use crate::{
    fabric::{
        routes::PostBody,
        turns::{self, Command, CommandDone, Frame, Phase, SetBypass},
    },
    guild::{
        answer,
        channel::{By, as_member, may_post, readable},
        fact::Fact,
        refusal::Refusal,
        state::{Channel, State},
        turn::{Refused, Turn, Wake},
    },
    http::Response,
    id::{ChannelId, MessageId, UserId},
    rng::Rng,
};

/// Lets `facts` drive the turns of their channels: a message gets its speaker to wake, and what the
/// turns have become is returned, to be made true behind them. Facts that a rule of turns has decided
/// drive nothing.
pub(super) fn follow(state: &State, rng: &mut Rng, facts: &mut [Fact]) -> Vec<Fact> {
    let mut turns = BTreeMap::new();
    for fact in facts {
        if let Some(channel) = fact.channel()
            && let Some(before) = of(state, channel)
        {
            let turn = turns.entry(channel.clone());
            drive(turn.or_insert_with(|| before.clone()), rng, fact);
        }
    }
    let changed = |(channel, turn): &(ChannelId, Turn)| of(state, channel) != Some(turn);
    let changed = turns.into_iter().filter(changed);
    changed
        .map(|(channel, turn)| turn_fact(channel, turn))
        .collect()
}

fn drive(turn: &mut Turn, rng: &mut Rng, fact: &mut Fact) {
    match fact {
        Fact::Channel(row) if row.closed => turn.close(),
        Fact::Member(row) => turn.join(row.user.clone()),
        Fact::NoMember { user, .. } => turn.leave(rng, user),
        Fact::Posted { message, woken } => {
            let id = message.id.clone();
            turn.message(rng, &message.author.id, &message.mentions, id);
            *woken = turn.current().cloned().into_iter().collect();
        }
        Fact::Amended(message) if message.deleted_at.is_some() => turn.delete(&message.id),
        Fact::Channel(_)
        | Fact::Amended(_)
        | Fact::Canvas(_)
        | Fact::NoCanvas(_)
        | Fact::Commands(_)
        | Fact::File(_)
        | Fact::NoFile(_)
        | Fact::Turn { .. }
        | Fact::Rewoken { .. }
        | Fact::Commanded { .. } => {}
    }
}

/// The channels that take turns among those of `facts`, and whether a message was posted there.
pub(super) fn touched(state: &State, facts: &[Fact]) -> BTreeMap<ChannelId, bool> {
    let mut touched = BTreeMap::new();
    for fact in facts {
        if let Some(channel) = fact.channel()
            && of(state, channel).is_some()
        {
            let posted = matches!(fact, Fact::Posted { .. });
            *touched.entry(channel.clone()).or_default() |= posted;
        }
    }
    touched
}

/// A post that is a command.
pub(super) fn command(
    state: &State,
    rng: &mut Rng,
    by: By<'_>,
    channel: &ChannelId,
    command: Command,
    body: &PostBody,
) -> Result<Vec<Fact>, Refusal> {
    let mut turn = taken(may_post(state, channel, &by.author.id)?)?.clone();
    let reply_to = body.reply_to_id.as_ref();
    match command {
        Command::NoReply => turn.no_reply(rng, &by.author.id, reply_to),
        Command::ForceProceed => turn.force_proceed(rng, reply_to),
    }
    .map_err(refusal)?;
    let mut facts = vec![turn_fact(channel.clone(), turn)];
    facts.extend(body.nonce.clone().map(|nonce| Fact::Commanded {
        author: by.author.id.clone(),
        nonce,
        channel: channel.clone(),
        command,
        at: by.wall,
    }));
    Ok(facts)
}

/// What a command of `user` is answered, also when it comes again under its nonce.
pub(super) fn done(
    state: &State,
    channel: &ChannelId,
    user: &UserId,
    command: Command,
) -> Response {
    match as_member(state, channel, user).and_then(taken) {
        Ok(turn) => answer::json(
            201,
            &CommandDone {
                ok: true,
                command,
                turn: on_wire(turn),
            },
        ),
        Err(refusal) => refusal.response(),
    }
}

/// Whose turn it is, for whoever may read the channel's fields.
pub(super) fn read(
    state: &State,
    channel: &ChannelId,
    reader: &UserId,
) -> Result<turns::Turn, Refusal> {
    taken(readable(state, channel, reader)?).map(on_wire)
}

/// A member says whether a member speaks only when mentioned.
pub(super) fn set_bypass(
    state: &State,
    rng: &mut Rng,
    by: By<'_>,
    channel: &ChannelId,
    SetBypass { user_id, bypass }: SetBypass,
) -> Result<Vec<Fact>, Refusal> {
    let found = as_member(state, channel, &by.author.id)?;
    let mut turn = taken(found)?.clone();
    if !found.members.contains_key(&user_id) {
        return Err(Refusal::new(
            404,
            format!("userId: `{user_id}` is not a member of this channel; add it first"),
        ));
    }
    let changed = if bypass {
        turn.move_to_bypass(rng, &user_id)
    } else {
        turn.move_back(&user_id)
    };
    let fact = changed.then(|| turn_fact(channel.clone(), turn));
    Ok(fact.into_iter().collect())
}

/// The current speaker says that its wake arrived: whether that is so, and what changes.
pub(super) fn ack(
    state: &State,
    by: By<'_>,
    channel: &ChannelId,
    message: &MessageId,
) -> Result<(bool, Vec<Fact>), Refusal> {
    let before = taken(as_member(state, channel, &by.author.id)?)?;
    let mut turn = before.clone();
    let acked = turn.ack(&by.author.id, message).map_err(refusal)?;
    let fact = (turn != *before).then(|| turn_fact(channel.clone(), turn));
    Ok((acked, fact.into_iter().collect()))
}

/// The speaker of a channel is woken with an older message: what changes, who that is, and the id of
/// the wake. `None` where nobody has the turn.
pub(super) fn rewake(
    mut turn: Turn,
    channel: &ChannelId,
    message: &MessageId,
) -> Option<(Vec<Fact>, UserId, String)> {
    let user = turn.current()?.clone();
    let number = turn.rewake(message.clone())?.0;
    let wake_id = format!("{channel}-w{number}");
    let rewoken = Fact::Rewoken {
        channel: channel.clone(),
        message: message.clone(),
        user: user.clone(),
        wake_id: wake_id.clone(),
    };
    let facts = vec![turn_fact(channel.clone(), turn), rewoken];
    Some((facts, user, wake_id))
}

pub(super) fn turn_fact(channel: ChannelId, turn: Turn) -> Fact {
    Fact::Turn {
        channel,
        turn: Box::new(turn),
    }
}

fn of<'s>(state: &'s State, channel: &ChannelId) -> Option<&'s Turn> {
    state.channel(channel)?.turn.as_ref()
}

fn taken(channel: &Channel) -> Result<&Turn, Refusal> {
    channel.turn.as_ref().ok_or_else(|| {
        Refusal::new(
            409,
            "users take turns in discuss and work channels only, and this is none",
        )
    })
}

fn refusal(refused: Refused) -> Refusal {
    let words = match refused {
        Refused::Idle => "nobody has the turn: the next message starts a round",
        Refused::NotCurrent => "it is not your turn: read whose it is at the channel's turn",
        Refused::Superseded => {
            "replyToId: that is no longer the message that the current speaker was woken with"
        }
    };
    Refusal::new(409, words)
}

fn on_wire(turn: &Turn) -> turns::Turn {
    let current = turn.current();
    let wake = match (current, turn.wake()) {
        (Some(user), Some(Wake::Sent { message, acked, .. })) => Some(turns::Wake {
            user_id: user.clone(),
            message_id: message.clone(),
            acked: *acked,
        }),
        (_, Some(Wake::Sent { .. } | Wake::Due) | None) => None,
    };
    let frames = turn.stack().into_iter();
    turns::Turn {
        phase: match current {
            Some(_) => Phase::Active,
            None => Phase::Idle,
        },
        current_speaker: current.cloned(),
        order: turn.order().to_vec(),
        bypass: turn.bypass().iter().cloned().collect(),
        stack: frames
            .map(|(speakers, cursor)| Frame {
                speakers: speakers.to_vec(),
                cursor,
            })
            .collect(),
        wake,
    }
}
