//! The rules of what the store alone holds: editing and deleting messages, and the canvas.
//!
//! Pure functions like those of [`channel`](crate::guild::channel), which also take what the store
//! has. No facts means that everything is as it was asked to be already.

use alloc::{boxed::Box, format, string::String, vec, vec::Vec};

use crate::{
    fabric::{
        bodies::{ShareCanvas, UpdateCanvas},
        realtime::Activity,
        types::{Canvas, Message},
    },
    guild::{
        channel::{By, as_member},
        config::Limits,
        fact::Fact,
        refusal::Refusal,
        state::State,
    },
    id::{ChannelId, MessageId, UserId},
};

/// Whether `by` may change `message` now.
///
/// # Errors
///
/// 404 where there is none, 403 for everybody but its author as a member of its channel, 409 after
/// the window for edits.
pub fn own(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    id: &MessageId,
    message: Option<Box<Message>>,
) -> Result<Box<Message>, Refusal> {
    let Some(message) = message else {
        return Err(Refusal::new(404, format!("there is no message `{id}`")));
    };
    as_member(state, &message.channel_id, &by.author.id)?;
    if message.author.id != by.author.id {
        return Err(Refusal::new(
            403,
            "only the author of a message may edit or delete it",
        ));
    }
    // Whatever has happened to it already may happen again.
    if message.deleted_at.is_none() && by.wall > message.created_at + limits.edit_window {
        return Err(Refusal::new(
            409,
            format!(
                "a message can be edited and deleted for {} minutes after it was posted; post a \
                 correction",
                limits.edit_window.as_secs() / 60
            ),
        ));
    }
    Ok(message)
}

/// The message gets another text, whose names are resolved.
///
/// # Errors
///
/// 409 where the message is deleted, 400 where nothing would be left of it.
pub fn edit(
    by: By<'_>,
    message: &Message,
    (content, mentions): (String, Vec<UserId>),
) -> Result<Vec<Fact>, Refusal> {
    if message.deleted_at.is_some() {
        return Err(Refusal::new(409, "the message was deleted"));
    }
    if content.trim().is_empty() && message.attachments.is_empty() {
        return Err(Refusal::bad(
            "content: must not be empty; delete the message instead",
        ));
    }
    if content == message.content && mentions == message.mentions {
        return Ok(Vec::new());
    }
    Ok(vec![Fact::Amended(Box::new(Message {
        content,
        mentions,
        edited_at: Some(by.wall),
        ..message.clone()
    }))])
}

/// The message is blanked; its row stays.
pub fn delete(by: By<'_>, message: &Message) -> Vec<Fact> {
    if message.deleted_at.is_some() {
        return Vec::new();
    }
    vec![Fact::Amended(Box::new(Message {
        content: String::new(),
        mentions: Vec::new(),
        attachments: Vec::new(),
        deleted_at: Some(by.wall),
        ..message.clone()
    }))]
}

/// A member pins a document to the channel, in place of the former one.
///
/// # Errors
///
/// 404 and 403 as for every call about a channel.
pub fn share(
    state: &State,
    by: By<'_>,
    channel: &ChannelId,
    body: ShareCanvas,
) -> Result<Vec<Fact>, Refusal> {
    as_member(state, channel, &by.author.id)?;
    let ShareCanvas {
        format,
        title,
        content,
    } = body;
    Ok(vec![Fact::Canvas(Box::new(Canvas {
        channel_id: channel.clone(),
        format,
        title,
        content,
        shared_by: by.author.id.clone(),
        created_at: by.wall,
        updated_at: by.wall,
    }))])
}

/// The sharer changes the canvas.
///
/// # Errors
///
/// 404 where there is none, 403 for everybody but its sharer as a member of its channel.
pub fn update(
    state: &State,
    by: By<'_>,
    channel: &ChannelId,
    canvas: Option<Box<Canvas>>,
    body: UpdateCanvas,
) -> Result<Vec<Fact>, Refusal> {
    as_member(state, channel, &by.author.id)?;
    let Some(canvas) = canvas else {
        return Err(no_canvas(channel));
    };
    shared_by(&canvas, &by.author.id)?;
    let UpdateCanvas {
        format,
        title,
        content,
    } = body;
    let mut changed = canvas.clone();
    changed.format = format.unwrap_or(changed.format);
    changed.title = title.unwrap_or(changed.title);
    changed.content = content.unwrap_or(changed.content);
    if changed == canvas {
        return Ok(Vec::new());
    }
    changed.updated_at = by.wall;
    Ok(vec![Fact::Canvas(changed)])
}

/// The sharer takes the canvas away.
///
/// # Errors
///
/// 403 for everybody but its sharer as a member of its channel.
pub fn remove(
    state: &State,
    by: By<'_>,
    channel: &ChannelId,
    canvas: Option<&Canvas>,
) -> Result<Vec<Fact>, Refusal> {
    as_member(state, channel, &by.author.id)?;
    let Some(canvas) = canvas else {
        return Ok(Vec::new());
    };
    shared_by(canvas, &by.author.id)?;
    Ok(vec![Fact::NoCanvas(Activity {
        channel_id: channel.clone(),
        user_id: by.author.id.clone(),
        occurred_at: by.wall,
    })])
}

/// That a channel has no canvas.
pub fn no_canvas(channel: &ChannelId) -> Refusal {
    Refusal::new(
        404,
        format!("channel `{channel}` has no canvas; share one with PUT"),
    )
}

fn shared_by(canvas: &Canvas, user: &UserId) -> Result<(), Refusal> {
    if canvas.shared_by == *user {
        return Ok(());
    }
    Err(Refusal::new(
        403,
        format!(
            "the canvas was shared by `{}`, who alone may change it or take it away; share \
             another one with PUT",
            canvas.shared_by
        ),
    ))
}
