//! The bodies of REST calls: read, and checked as far as that needs no state.

use alloc::{format, string::String, vec::Vec};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    fabric::{
        bodies::{AddMember, CreateChannel, EditMessage, ShareCanvas, UpdateCanvas, UpdateChannel},
        routes::PostBody,
        turns::{Ack, SetBypass},
    },
    guild::{
        config::Limits,
        mention::is_id,
        refusal::Refusal,
        rest::{FAULT_CHARS_MAX, checked},
    },
    id::{MessageId, UserId},
};

/// The longest nonce in Unicode scalar values.
const NONCE_CHARS_MAX: usize = 128;
/// The longest title of a canvas in Unicode scalar values.
const TITLE_CHARS_MAX: usize = 200;

/// The body of `POST /channels`.
///
/// # Errors
///
/// 400 with the field that is wrong.
pub fn create(body: &[u8]) -> Result<CreateChannel, Refusal> {
    let body: CreateChannel = object(body)?;
    user_ids("memberUserIds", &body.member_user_ids)?;
    user_ids("wakeMapping", &body.wake_mapping)?;
    user_ids("bypass", &body.bypass)?;
    Ok(body)
}

/// The body of `PATCH /channels/{id}`.
///
/// # Errors
///
/// 400 with the field that is wrong.
pub fn update(body: &[u8]) -> Result<UpdateChannel, Refusal> {
    let body: UpdateChannel = object(body)?;
    user_ids(
        "wakeMapping",
        body.wake_mapping.as_deref().unwrap_or_default(),
    )?;
    Ok(body)
}

/// The user in the body of `POST /channels/{id}/members`.
///
/// # Errors
///
/// 400 with the field that is wrong.
pub fn member(body: &[u8]) -> Result<UserId, Refusal> {
    let AddMember { user_id } = object(body)?;
    checked(user_id.as_str(), "userId")?;
    Ok(user_id)
}

/// The new text in the body of `PATCH /messages/{id}`.
///
/// # Errors
///
/// 400 with the field that is wrong, 413 where the text is too long.
pub fn edit(body: &[u8], limits: &Limits) -> Result<String, Refusal> {
    let EditMessage { content } = object(body)?;
    text(&content, limits)?;
    Ok(content)
}

/// The body of `PUT /channels/{id}/canvas`.
///
/// # Errors
///
/// 400 with the field that is wrong, 413 where the document is too long.
pub fn share(body: &[u8], limits: &Limits) -> Result<ShareCanvas, Refusal> {
    let body: ShareCanvas = object(body)?;
    fits(Some(&body.title), Some(&body.content), limits)?;
    Ok(body)
}

/// The body of `PATCH /channels/{id}/canvas`.
///
/// # Errors
///
/// 400 with the field that is wrong, 413 where the document is too long.
pub fn canvas(body: &[u8], limits: &Limits) -> Result<UpdateCanvas, Refusal> {
    let body: UpdateCanvas = object(body)?;
    fits(body.title.as_ref(), body.content.as_ref(), limits)?;
    Ok(body)
}

/// The text in the body of `PUT /commands`: a JSON array of objects, which are not looked into.
///
/// # Errors
///
/// 400 where it is something else, 413 where there are too many.
pub fn commands(body: &[u8], limits: &Limits) -> Result<String, Refusal> {
    let commands: Vec<&RawValue> = json(body)?;
    if let Some(at) = commands.iter().position(|it| !it.get().starts_with('{')) {
        return Err(Refusal::bad(format!("[{at}]: must be an object")));
    }
    if commands.len() > limits.commands_max {
        return Err(Refusal::new(
            413,
            format!("a guild has at most {} commands", limits.commands_max),
        ));
    }
    String::from_utf8(body.to_vec()).map_err(|_| Refusal::bad("the body: not UTF-8"))
}

/// The body of `POST /channels/{id}/turn/bypass`.
///
/// # Errors
///
/// 400 with the field that is wrong.
pub fn set_bypass(body: &[u8]) -> Result<SetBypass, Refusal> {
    let body: SetBypass = object(body)?;
    checked(body.user_id.as_str(), "userId")?;
    Ok(body)
}

/// The message in the body of `POST /channels/{id}/ack`.
///
/// # Errors
///
/// 400 with the field that is wrong.
pub fn ack(body: &[u8]) -> Result<MessageId, Refusal> {
    let Ack { message_id } = object(body)?;
    checked(message_id.as_str(), "messageId")?;
    Ok(message_id)
}

fn fits(title: Option<&String>, content: Option<&String>, limits: &Limits) -> Result<(), Refusal> {
    if title.is_some_and(|title| title.chars().count() > TITLE_CHARS_MAX) {
        return Err(Refusal::bad(format!(
            "title: at most {TITLE_CHARS_MAX} characters"
        )));
    }
    if content.is_some_and(|content| content.len() > limits.canvas_bytes_max) {
        return Err(Refusal::new(
            413,
            format!("content: longer than {} bytes", limits.canvas_bytes_max),
        ));
    }
    Ok(())
}

/// Whether a message may be so long.
fn text(content: &str, limits: &Limits) -> Result<(), Refusal> {
    if content.chars().count() > limits.message_chars_max {
        return Err(Refusal::new(
            413,
            format!(
                "content: longer than {} characters; split the message",
                limits.message_chars_max
            ),
        ));
    }
    Ok(())
}

/// The body of `POST /channels/{id}/messages`.
///
/// # Errors
///
/// 400 with the field that is wrong, 413 where the text is too long.
pub fn post(body: &[u8], limits: &Limits) -> Result<PostBody, Refusal> {
    let body: PostBody = object(body)?;
    text(&body.content, limits)?;
    if body.attachments.len() > limits.attachments_max {
        return Err(Refusal::bad(format!(
            "attachments: at most {}; post another message for the rest",
            limits.attachments_max
        )));
    }
    if body.content.trim().is_empty() && body.attachments.is_empty() {
        return Err(Refusal::bad(
            "content: must not be empty without attachments",
        ));
    }
    if let Some(nonce) = &body.nonce
        && !(1..=NONCE_CHARS_MAX).contains(&nonce.chars().count())
    {
        return Err(Refusal::bad(format!(
            "nonce: must have 1 to {NONCE_CHARS_MAX} characters"
        )));
    }
    for (place, file) in body.attachments.iter().enumerate() {
        checked(&file.id, &format!("attachments[{place}].id"))?;
    }
    if let Some(id) = body.reply_to_id.as_ref().map(MessageId::as_str) {
        checked(id, "replyToId")?;
    }
    Ok(body)
}

/// Reads a JSON object. A list would be taken for the fields in their order.
fn object<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Refusal::bad("the body: must be an object"));
    }
    json(body)
}

/// Reads a JSON body; the refusal names the field that is wrong.
fn json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json);
    let fault = match read {
        Ok(value) => match json.end() {
            Ok(()) => return Ok(value),
            Err(fault) => format!("the body: {fault}"),
        },
        Err(fault) => match fault.path().iter().next() {
            Some(_) => format!("{}: {}", fault.path(), fault.inner()),
            None => format!("the body: {}", fault.inner()),
        },
    };
    Err(Refusal::bad(
        fault.chars().take(FAULT_CHARS_MAX).collect::<String>(),
    ))
}

fn user_ids(field: &str, users: &[UserId]) -> Result<(), Refusal> {
    for (index, user) in users.iter().enumerate() {
        if !is_id(user.as_str()) {
            checked(user.as_str(), &format!("{field}[{index}]"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_body_is_told_which_field_is_wrong() {
        let fault = |body: &str| create(body.as_bytes()).unwrap_err().message;
        let id = "x".repeat(65);
        for (body, words) in [
            ("", "the body: EOF"),
            ("[]", "the body: must be an object"),
            (
                r#" ["c","general",true,[],[],[]]"#,
                "the body: must be an object",
            ),
            ("{}", "missing field `xType`"),
            (r#"{"xType":"other"}"#, "xType: unknown variant `other`"),
            (
                r#"{"xType":"dm","memberUserIds":["a",3]}"#,
                "memberUserIds[1]: ",
            ),
            (
                r#"{"xType":"dm","memberUserIds":["a",""]}"#,
                "memberUserIds[1]: ",
            ),
            (
                r#"{"xType":"dm","memberUserIds":["a","b c"]}"#,
                "memberUserIds[1]: must have",
            ),
            (
                &format!(r#"{{"xType":"dm","wakeMapping":["{id}"]}}"#),
                "wakeMapping[0]: must have",
            ),
            (r#"{"xType":"dm"} {}"#, "the body: trailing"),
            ("{\"xType\":\"\u{0}\"}", "xType: "),
        ] {
            assert!(fault(body).contains(words), "{body} gives {}", fault(body));
        }
        let long = format!(r#"{{"xType":"{}"}}"#, "é".repeat(9_000));
        assert_eq!(fault(&long).chars().count(), FAULT_CHARS_MAX);

        let fault = |body: &str| {
            let refusal = post(body.as_bytes(), &Limits::default()).unwrap_err();
            (refusal.status, refusal.message)
        };
        let limit = "ü".repeat(8_000);
        assert!(
            post(
                format!(r#"{{"content":"{limit}"}}"#).as_bytes(),
                &Limits::default()
            )
            .is_ok()
        );
        for (body, status, words) in [
            (r#"{"content":"\n "}"#, 400, "content: "),
            (&format!(r#"{{"content":"{limit}x"}}"#), 413, "content: "),
            (r#"{"content":"x","nonce":""}"#, 400, "nonce: "),
            (r#"{"content":"x","replyToId":"a b"}"#, 400, "replyToId: "),
            (
                r#"{"content":"x","attachments":[{"id":"a/b"}]}"#,
                400,
                "attachments[0].id: ",
            ),
            (
                r#"{"content":"x","attachments":[{"id":1}]}"#,
                400,
                "attachments[0].id: ",
            ),
        ] {
            let (given, fault) = fault(body);
            assert_eq!(given, status, "{body}");
            assert!(fault.contains(words), "{body} gives {fault}");
        }
        let member = |body: &str| member(body.as_bytes()).unwrap_err().message;
        assert!(member(r#"{"userId":{}}"#).contains("userId: "));
        assert!(member(r#"{"userId":"<@x>"}"#).contains("userId: "));
    }
}
