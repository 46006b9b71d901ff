//! The steps of the jobs: how each is asked, and what its answer leads to.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde::{Deserialize, de::DeserializeOwned};

use super::discussion::{self, Opening, Summary};
use crate::{
    canonical,
    fabric::{
        bodies::{AddMember, CreateChannel, UpdateChannel},
        routes::{self, Paging},
        types::{Canvas, Channel, Member, Message, Page},
    },
    http::Request,
    id::{ChannelId, FileId, UserId},
    plugin::{
        outbox,
        tools::{Ask, MEMBERS_SHOWN_MAX, PAGE_BYTES_MAX, ToolAnswer},
        transfer::Transfer,
        tries::Terms,
    },
    secret::Secret,
};

/// On what terms is read, and is made so what may be so already.
static SAFE: Terms = Terms {
    repeats: true,
    forbidden: "the account may not do that",
    absent: "the guild knows no such thing",
    conflict: "that cannot be done as things stand",
    too_large: "that is too long for the guild",
    unknown: "it is not known whether it was done; the same call can be made again",
    undone: "nothing was changed",
};

/// On what terms is made what would be there twice.
static ONCE: Terms = Terms {
    repeats: false,
    forbidden: SAFE.forbidden,
    absent: SAFE.absent,
    conflict: SAFE.conflict,
    too_large: SAFE.too_large,
    unknown: "it is not known whether it was made; look at list_channels before you call again",
    undone: "nothing was made",
};

/// On what terms files go up and come down: one that went up twice is there twice until it expires.
static FILE: Terms = Terms {
    absent: "the guild has no such file (any more)",
    too_large: "the file is larger than the guild takes",
    unknown: SAFE.unknown,
    undone: "no file was transferred",
    ..SAFE
};

/// All of them.
pub(in crate::plugin) const TERMS: [&Terms; 3] = [&SAFE, &ONCE, &FILE];

/// One request of a job, with what is needed to go on from its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The only one of its job.
    Ask(ChannelId, Ask),
    /// Make a channel.
    Create(CreateChannel),
    /// Upload a file of this machine.
    Upload {
        /// Where it is.
        path: String,
        /// What it is to be called.
        name: Option<String>,
    },
    /// Download a file to this machine.
    Download {
        /// Which.
        file: FileId,
        /// What it is to be called.
        name: Option<String>,
    },
    /// Make one user a member; others follow.
    Add {
        /// Of what.
        channel: ChannelId,
        /// Who.
        user: UserId,
        /// Who follows, the last one first.
        rest: Vec<UserId>,
        /// Who was made one.
        added: Vec<UserId>,
        /// Who was one already.
        already: Vec<UserId>,
    },
    /// Make the channel of a discussion.
    Found(CreateChannel, Opening),
    /// Post the first message of a discussion.
    Open(ChannelId, Opening),
    /// Find out where a discussion came from.
    Trace {
        /// The discussion.
        channel: ChannelId,
        /// Whose first message is believed.
        me: UserId,
        /// What is posted in the end.
        summary: Summary,
    },
    /// Close a discussion.
    Conclude {
        /// The discussion.
        channel: ChannelId,
        /// Where its summary is posted.
        origin: ChannelId,
        /// What is posted in the end.
        summary: Summary,
    },
    /// Post the summary of a discussion, which is closed.
    Report(ChannelId, Summary),
}
canonical!(
    enum Step {
        Ask(channel, ask),
        Create(body),
        Upload { path, name },
        Download { file, name },
        Add { channel, user, rest, added, already },
        Found(body, opening),
        Open(channel, opening),
        Trace { channel, me, summary },
        Conclude { channel, origin, summary },
        Report(channel, summary),
    }
);

/// What follows a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another one.
    Step(Step),
    /// Nothing: this is the tool's answer.
    Done(ToolAnswer),
}

impl Step {
    /// On what terms it is tried.
    pub fn terms(&self) -> &'static Terms {
        match self {
            Self::Create(_) | Self::Found(..) => &ONCE,
            Self::Upload { .. } | Self::Download { .. } => &FILE,
            Self::Open(..) | Self::Report(..) => &outbox::TERMS,
            Self::Ask(..) | Self::Add { .. } | Self::Trace { .. } | Self::Conclude { .. } => &SAFE,
        }
    }

    /// The file that goes with it.
    pub fn file(&self) -> Option<Transfer> {
        match self {
            Self::Upload { path, name } => Some(Transfer::Up {
                path: path.clone(),
                name: name.clone(),
            }),
            Self::Download { name, .. } => Some(Transfer::Down { name: name.clone() }),
            Self::Ask(..)
            | Self::Create(_)
            | Self::Add { .. }
            | Self::Found(..)
            | Self::Open(..)
            | Self::Trace { .. }
            | Self::Conclude { .. }
            | Self::Report(..) => None,
        }
    }

    /// How it is asked.
    ///
    /// # Errors
    ///
    /// Where a body does not serialise, which is a bug of its type.
    pub fn request(&self, token: Secret) -> routes::Written {
        match self {
            Self::Ask(channel, ask) => request(token, channel, ask),
            Self::Create(body) | Self::Found(body, _) => routes::create_channel(token, body),
            Self::Upload { .. } => Ok(routes::upload(token)),
            Self::Download { file, .. } => Ok(routes::read_file(token, file)),
            Self::Add { channel, user, .. } => {
                let user_id = user.clone();
                routes::add_member(token, channel, &AddMember { user_id })
            }
            Self::Open(channel, opening) => routes::post_message(token, channel, &opening.body()),
            Self::Trace { channel, .. } => {
                let first = Paging {
                    after: Some(0),
                    // Also a guild that does not know where to begin answers the first one.
                    before: Some(2),
                    limit: 1,
                };
                Ok(routes::history(token, channel, first))
            }
            Self::Conclude { channel, .. } => close(token, channel),
            Self::Report(channel, summary) => routes::post_message(token, channel, &summary.body()),
        }
    }

    /// What its answer leads to.
    ///
    /// # Errors
    ///
    /// Where the answer cannot be read, or says that the job cannot go on.
    pub fn follow(&self, body: &[u8]) -> Result<Next, String> {
        match self {
            Self::Ask(_, ask) => answer(ask, body).map(Next::Done),
            Self::Create(_) => Ok(Next::Done(ToolAnswer::Channel(read(body)?))),
            Self::Upload { .. } => Ok(Next::Done(ToolAnswer::Uploaded(read(body)?))),
            Self::Download { .. } => Ok(Next::Done(ToolAnswer::Downloaded(read(body)?))),
            Self::Add {
                channel,
                user,
                rest,
                added,
                already,
            } => {
                let (mut added, mut already) = (added.clone(), already.clone());
                let side = if changed(body)? {
                    &mut added
                } else {
                    &mut already
                };
                side.push(user.clone());
                Ok(match rest.split_last() {
                    None => Next::Done(ToolAnswer::Added { added, already }),
                    Some((user, rest)) => Next::Step(Self::Add {
                        channel: channel.clone(),
                        user: user.clone(),
                        rest: rest.to_vec(),
                        added,
                        already,
                    }),
                })
            }
            Self::Found(_, opening) => {
                let Channel { id, .. } = read(body)?;
                Ok(Next::Step(Self::Open(id, opening.clone())))
            }
            Self::Open(channel, _) => {
                let message: Message = read(body)?;
                Ok(Next::Done(ToolAnswer::Started {
                    channel: channel.clone(),
                    message: message.id,
                }))
            }
            Self::Trace {
                channel,
                me,
                summary,
            } => {
                let origin = discussion::origin(&read(body)?, me).ok_or_else(|| {
                    "its first message, which this account has not written by start_discussion, \
                     does not say where it came from: call again with post_to; nothing was changed"
                        .to_string()
                })?;
                Ok(Next::Step(Self::Conclude {
                    channel: channel.clone(),
                    origin,
                    summary: summary.clone(),
                }))
            }
            Self::Conclude {
                origin, summary, ..
            } => Ok(Next::Step(Self::Report(origin.clone(), summary.clone()))),
            Self::Report(channel, _) => {
                let message: Message = read(body)?;
                Ok(Next::Done(ToolAnswer::Ended {
                    channel: channel.clone(),
                    message: message.id,
                    seq: message.seq,
                }))
            }
        }
    }

    /// What the steps before it have done, in words.
    pub fn done(&self) -> Option<String> {
        match self {
            Self::Add { added, .. } if !added.is_empty() => {
                let names: Vec<&str> = added.iter().map(UserId::as_str).collect();
                Some(format!("made members before that: {}", names.join(", ")))
            }
            Self::Open(channel, _) => Some(format!(
                "the channel {channel} was made for the discussion: post its first message with \
                 send instead of calling again"
            )),
            Self::Report(channel, _) => Some(format!(
                "the discussion is closed, and its summary is missing in {channel}: post it there \
                 with send"
            )),
            Self::Ask(..)
            | Self::Create(_)
            | Self::Upload { .. }
            | Self::Download { .. }
            | Self::Add { .. }
            | Self::Found(..)
            | Self::Trace { .. }
            | Self::Conclude { .. } => None,
        }
    }
}

fn request(token: Secret, channel: &ChannelId, ask: &Ask) -> routes::Written {
    Ok(match ask {
        Ask::Fields => routes::read_channel(token, channel),
        Ask::Members => routes::list_members(token, channel),
        Ask::History(paging) => routes::history(token, channel, *paging),
        Ask::Join => routes::join(token, channel),
        Ask::Leave => routes::leave(token, channel),
        Ask::Close => close(token, channel)?,
        Ask::Edit(message, body) => routes::edit_message(token, message, body)?,
        Ask::Delete(message) => routes::delete_message(token, message),
        Ask::Canvas => routes::read_canvas(token, channel),
        Ask::ShareCanvas(body) => routes::share_canvas(token, channel, body)?,
        Ask::UpdateCanvas(body) => routes::update_canvas(token, channel, body)?,
        Ask::RemoveCanvas => routes::remove_canvas(token, channel),
    })
}

fn close(token: Secret, channel: &ChannelId) -> Result<Request, serde_json::Error> {
    let body = UpdateChannel {
        closed: Some(true),
        ..UpdateChannel::default()
    };
    routes::update_channel(token, channel, &body)
}

fn answer(ask: &Ask, body: &[u8]) -> Result<ToolAnswer, String> {
    Ok(match ask {
        Ask::Fields | Ask::Close => ToolAnswer::Channel(read(body)?),
        Ask::Members => {
            let mut members: Vec<Member> = read(body)?;
            let omitted = members.len().saturating_sub(MEMBERS_SHOWN_MAX);
            members.truncate(MEMBERS_SHOWN_MAX);
            ToolAnswer::Members { members, omitted }
        }
        Ask::History(paging) => ToolAnswer::History(fitting(read(body)?, paging.after.is_some())),
        Ask::Join | Ask::Leave => ToolAnswer::Changed(changed(body)?),
        Ask::Edit(..) => ToolAnswer::Message(read::<Box<Message>>(body)?),
        Ask::Canvas | Ask::ShareCanvas(_) | Ask::UpdateCanvas(_) => {
            ToolAnswer::Canvas(read::<Box<Canvas>>(body)?)
        }
        Ask::Delete(_) | Ask::RemoveCanvas => ToolAnswer::Done,
    })
}

/// As much of a page as fits into an answer, and at least one message: from its beginning where it
/// goes `forward`, else from its end.
fn fitting(mut page: Page, forward: bool) -> Page {
    let mut room = PAGE_BYTES_MAX;
    let mut fits = |message: &Message| {
        let left = room.checked_sub(message.content.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let kept = if forward {
        page.messages.iter().take_while(|it| fits(it)).count()
    } else {
        page.messages.iter().rev().take_while(|it| fits(it)).count()
    };
    let kept = kept.max(1);
    if kept < page.messages.len() {
        page.has_more = true;
        if forward {
            page.messages.truncate(kept);
        } else {
            page.messages.drain(..page.messages.len() - kept);
        }
    }
    page
}

/// Whether a membership has changed; a guild that does not tell has changed it.
fn changed(body: &[u8]) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Told {
        changed: Option<bool>,
    }
    read(body).map(|told: Told| told.changed.unwrap_or(true))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("the guild has done it, but its answer cannot be read: {error}"))
}
