//! Files: what is kept about one, and the rules of who may upload, attach and read it.
//!
//! The machine never sees what is in a file. It names one, says how much may be taken, and is told
//! when it is on the disk; only then is there a fact about it.

use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::{
        routes::{AttachmentRef, FILES},
        types::Attachment,
    },
    guild::{channel::By, config::Limits, fact::Fact, refusal::Refusal, state::State},
    id::{ChannelId, FileId, UserId},
    time::Wall,
};

/// The longest name of a file in bytes of UTF-8: what the file systems of its readers take.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest media type in bytes; RFC 6838, section 4.2, allows two names of 127.
const MIME_BYTES_MAX: usize = 255;
/// What a file is where nothing better is known.
const OCTETS: &str = "application/octet-stream";

/// A file in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// The file; also its name on the disk.
    pub id: FileId,
    /// Who uploaded it.
    pub owner: UserId,
    /// What the uploader called it, without a path: untrusted text.
    pub name: String,
    /// Its media type as the uploader gave it, in the form `type/subtype`.
    pub mime: String,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was uploaded.
    pub created_at: Wall,
}
canonical!(struct FileRow { id, owner, name, mime, bytes, created_at });

impl FileRow {
    /// The file as it stands on the wire. Its `url` is a path at the guild's origin.
    pub fn on_wire(&self) -> Attachment {
        Attachment {
            id: self.id.as_str().to_owned(),
            name: self.name.clone(),
            mime: self.mime.clone(),
            bytes: self.bytes,
            url: format!("{FILES}/{}", self.id),
        }
    }

    /// Whether it may not be read any more.
    pub fn is_expired(&self, limits: &Limits, wall: Wall) -> bool {
        wall >= self.created_at + limits.file_life
    }
}

/// A file that has come in whole, as its uploader describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// What the uploader called it: anything.
    pub name: Option<String>,
    /// The media type that the uploader gave it: anything.
    pub mime: Option<String>,
    /// Its length.
    pub bytes: u64,
}

/// Whether `user` may upload one more file.
///
/// # Errors
///
/// 409 where the guild's files, or the user's own, take all the room they may.
pub fn may_upload(state: &State, limits: &Limits, user: &UserId) -> Result<(), Refusal> {
    has_room(state, limits, user, 0)
}

/// The file is on the disk.
///
/// # Errors
///
/// 409 where there is no room for it after all.
pub fn receive(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    id: FileId,
    received: &Received,
) -> Result<Vec<Fact>, Refusal> {
    has_room(state, limits, &by.author.id, received.bytes)?;
    Ok(vec![Fact::File(FileRow {
        id,
        owner: by.author.id.clone(),
        name: name(received.name.as_deref().unwrap_or_default()),
        mime: mime(received.mime.as_deref().unwrap_or_default()),
        bytes: received.bytes,
        created_at: by.wall,
    })])
}

fn has_room(state: &State, limits: &Limits, user: &UserId, bytes: u64) -> Result<(), Refusal> {
    let (total, own) = (state.files_total(), state.files_of(user));
    let full = |whose: &str| {
        Refusal::new(
            409,
            format!(
                "{whose} take all the room that there is for files: wait until old ones expire, \
                 or have the limit raised"
            ),
        )
    };
    if total.files >= limits.files_max || total.bytes.saturating_add(bytes) > limits.files_bytes_max
    {
        return Err(full("the guild's files"));
    }
    if own.bytes.saturating_add(bytes) > limits.files_per_user_bytes_max {
        return Err(full("your files"));
    }
    Ok(())
}

/// The files that a message of `by` carries, each once.
///
/// # Errors
///
/// 400 for a file that is not there any more, or that somebody else uploaded: attaching it would
/// let the channel read it.
pub fn attach(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    wanted: &[AttachmentRef],
) -> Result<Vec<Attachment>, Refusal> {
    let mut attached: Vec<Attachment> = Vec::new();
    for (place, AttachmentRef { id }) in wanted.iter().enumerate() {
        let file = FileId::new(id)
            .and_then(|id| state.file(&id))
            .filter(|file| file.owner == by.author.id && !file.is_expired(limits, by.wall))
            .ok_or_else(|| {
                Refusal::bad(format!(
                    "attachments[{place}].id: you have no file `{id}`; upload it first"
                ))
            })?;
        if attached.iter().all(|other| other.id != *id) {
            attached.push(file.on_wire());
        }
    }
    Ok(attached)
}

/// The file, if it can be read by anybody.
///
/// # Errors
///
/// 404 where there is none, or none any more.
pub fn existing<'s>(
    state: &'s State,
    limits: &Limits,
    wall: Wall,
    id: &FileId,
) -> Result<&'s FileRow, Refusal> {
    let file = state.file(id);
    file.filter(|file| !file.is_expired(limits, wall))
        .ok_or_else(|| Refusal::new(404, format!("there is no file `{id}`, or none any more")))
}

/// Whether `reader`, who did not upload the file, may read it: as a member of one of the channels
/// where a live message carries it.
///
/// # Errors
///
/// 403 where it may not.
pub fn may_read(state: &State, reader: &UserId, channels: &[ChannelId]) -> Result<(), Refusal> {
    let is_member = |id: &ChannelId| {
        let channel = state.channel(id);
        channel.is_some_and(|channel| channel.members.contains_key(reader))
    };
    if channels.iter().any(is_member) {
        return Ok(());
    }
    Err(Refusal::new(
        403,
        "a file is for whoever uploaded it, and for the members of channels where a message \
         carries it",
    ))
}

/// The last part of what a client calls a path, without what no file system or header takes. Browsers
/// write a quotation mark of a form's file name as `%22`, and a line's end as `%0D%0A` (HTML, section
/// "Multipart form data"), and nothing else that way.
fn name(given: &str) -> String {
    let given = given
        .replace("%22", "\"")
        .replace("%0D", "")
        .replace("%0A", "");
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let printable = last.chars().filter(|char| !char.is_control());
    let mut name = String::new();
    for char in printable {
        if name.len() + char.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        name.push(char);
    }
    match name.trim() {
        "" | "." | ".." => "file".into(),
        name => name.into(),
    }
}

/// The media type without its parameters (RFC 9110, section 8.3.1), if it is one.
fn mime(given: &str) -> String {
    let essence = given.split(';').next().unwrap_or_default().trim();
    let is_token = |text: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(is_allowed)
    };
    match essence.split_once('/') {
        Some((kind, subtype))
            if essence.len() <= MIME_BYTES_MAX && is_token(kind) && is_token(subtype) =>
        {
            essence.to_ascii_lowercase()
        }
        Some(_) | None => OCTETS.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for (given, kept) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\a\\b.txt", "b.txt"),
            ("/", "file"),
            ("..", "file"),
            ("a/..", "file"),
            (" ", "file"),
            ("", "file"),
            ("a\u{0}b\r\nc", "abc"),
            ("my %22odd%22%0D%0A %25.txt", "my \"odd\" %25.txt"),
            ("übung \"1\".md", "übung \"1\".md"),
        ] {
            assert_eq!(name(given), kept, "{given:?}");
        }
        assert_eq!(name(&"ü".repeat(200)), "ü".repeat(127));
    }

    #[test]
    fn a_media_type_is_one_or_none() {
        for (given, kept) in [
            ("image/PNG", "image/png"),
            ("text/plain; charset=utf-8", "text/plain"),
            ("text/html\r\nX: y", OCTETS),
            ("", OCTETS),
            ("text", OCTETS),
            ("/", OCTETS),
            ("a/b/c", OCTETS),
            ("text/ü", OCTETS),
        ] {
            assert_eq!(mime(given), kept, "{given:?}");
        }
        assert_eq!(mime(&format!("a/{}", "b".repeat(300))), OCTETS);
    }
}
