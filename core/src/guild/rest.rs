//! The REST side: a request to a typed call, and the checks of its body.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use bytes::Bytes;

use crate::{
    canonical,
    fabric::routes::{self, PREFIX},
    guild::{
        config::Limits,
        mention::{ID_CHARS_MAX, is_id},
        refusal::Refusal,
    },
    http::{Method, Request},
    id::{ChannelId, FileId, GuildId, MessageId, UserId},
    secret::Secret,
};

/// The longest target that is looked at, in bytes: no call needs a tenth of it.
const TARGET_BYTES_MAX: usize = 4_096;
/// As much as is said about a body that does not parse: the peer's own words may be in it.
pub(super) const FAULT_CHARS_MAX: usize = 300;
/// The parameter that carries a token where a browser can set no header.
pub(super) const ACCESS_TOKEN: &str = "access_token";
/// The messages of a page where the call does not say.
const PAGE_DEFAULT: u64 = 50;

/// What is asked for. Bodies are read when it is known who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// How the node is.
    Health,
    /// The caller's channels, or all public ones.
    ListChannels {
        /// The guild meant; the token's where absent.
        guild: Option<GuildId>,
        /// Whether public channels are meant.
        public: bool,
    },
    /// Make a channel.
    CreateChannel(Bytes),
    /// Read a channel's fields.
    ReadChannel(ChannelId),
    /// Change a channel's fields.
    UpdateChannel(ChannelId, Bytes),
    /// Become a member.
    Join(ChannelId),
    /// Be a member no more.
    Leave(ChannelId),
    /// List the members.
    ListMembers(ChannelId),
    /// Make somebody a member.
    AddMember(ChannelId, Bytes),
    /// End somebody's membership.
    RemoveMember(ChannelId, UserId),
    /// Read a page of history.
    History {
        /// The channel.
        channel: ChannelId,
        /// Only messages after this `seq`.
        after: Option<u64>,
        /// Only messages before this `seq`.
        before: Option<u64>,
        /// At most this many.
        limit: u64,
    },
    /// Post a message.
    Post(ChannelId, Bytes),
    /// Change the text of a message.
    Edit(MessageId, Bytes),
    /// Blank a message.
    Delete(MessageId),
    /// Read a channel's canvas.
    ReadCanvas(ChannelId),
    /// Pin a document to a channel.
    ShareCanvas(ChannelId, Bytes),
    /// Change the pinned document.
    UpdateCanvas(ChannelId, Bytes),
    /// Take the pinned document away.
    RemoveCanvas(ChannelId),
    /// Read the catalogue of slash commands.
    ListCommands,
    /// Replace the catalogue of slash commands.
    ReplaceCommands(Bytes),
    /// Upload a file: the body is not looked at here.
    Upload,
    /// Read a file.
    ReadFile(FileId),
    /// Read whose turn it is.
    ReadTurn(ChannelId),
    /// Say whether a member speaks only when mentioned.
    SetBypass(ChannelId, Bytes),
    /// Say that a wake has arrived.
    Ack(ChannelId, Bytes),
}
canonical!(
    enum Call {
        Health,
        ListChannels { guild, public },
        CreateChannel(body),
        ReadChannel(channel),
        UpdateChannel(channel, body),
        Join(channel),
        Leave(channel),
        ListMembers(channel),
        AddMember(channel, body),
        RemoveMember(channel, user),
        History { channel, after, before, limit },
        Post(channel, body),
        Edit(message, body),
        Delete(message),
        ReadCanvas(channel),
        ShareCanvas(channel, body),
        UpdateCanvas(channel, body),
        RemoveCanvas(channel),
        ListCommands,
        ReplaceCommands(body),
        Upload,
        ReadFile(file),
        ReadTurn(channel),
        SetBypass(channel, body),
        Ack(channel, body),
    }
);

/// Every path below the prefix, `*` for any one segment, and what is served there.
pub(super) const ROUTES: [(&str, &[Method]); 16] = {
    use Method::{Delete, Get, Patch, Post, Put};
    [
        ("health", &[Get]),
        ("channels", &[Get, Post]),
        ("channels/*", &[Get, Patch]),
        ("channels/*/join", &[Post]),
        ("channels/*/leave", &[Post]),
        ("channels/*/members", &[Get, Post]),
        ("channels/*/members/*", &[Delete]),
        ("channels/*/messages", &[Get, Post]),
        ("channels/*/canvas", &[Get, Put, Patch, Delete]),
        ("channels/*/turn", &[Get]),
        ("channels/*/turn/bypass", &[Post]),
        ("channels/*/ack", &[Post]),
        ("messages/*", &[Patch, Delete]),
        ("commands", &[Get, Put]),
        ("files", &[Post]),
        ("files/*", &[Get]),
    ]
};

/// The methods that are served at a path, as the header `Allow` has them; `None` for an unknown path.
/// What answers `GET` answers `HEAD`.
pub fn allowed(path: &str) -> Option<String> {
    let path = path.strip_prefix(PREFIX)?.strip_prefix('/')?;
    let segments: Vec<_> = path.split('/').collect();
    let (_, methods) = ROUTES.iter().find(|(route, _)| leads(route, &segments))?;
    let head = if methods.contains(&Method::Get) {
        "HEAD, "
    } else {
        ""
    };
    Some(format!("{head}{}", listed(methods, ", ")))
}

fn leads(route: &str, segments: &[&str]) -> bool {
    let mut route = route.split('/');
    segments
        .iter()
        .all(|segment| route.next().is_some_and(|it| it == "*" || it == *segment))
        && route.next().is_none()
}

fn listed(methods: &[Method], between: &str) -> String {
    let methods: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
    methods.join(between)
}

/// Finds out what a request asks for.
///
/// # Errors
///
/// 404 for an unknown path, 405 for another method on a known one, 400 for a path or query that
/// does not decode or has a bad value, 413 for a body over the limit.
pub fn parse(request: &Request, limits: &Limits) -> Result<Call, Refusal> {
    if request.target.len() > TARGET_BYTES_MAX {
        return Err(Refusal::bad(format!(
            "the path and query are longer than {TARGET_BYTES_MAX} bytes"
        )));
    }
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let unknown = || {
        Refusal::new(
            404,
            format!("there is nothing at {path}; see the list of calls"),
        )
    };
    let path = path
        .strip_prefix(PREFIX)
        .and_then(|path| path.strip_prefix('/'))
        .ok_or_else(unknown)?;
    let segments = path
        .split('/')
        .map(|segment| decoded(segment, false))
        .collect::<Result<Vec<_>, _>>()?;
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();

    let methods = ROUTES
        .iter()
        .find(|(route, _)| leads(route, &segments))
        .map(|(_, methods)| *methods)
        .ok_or_else(unknown)?;
    if !methods.contains(&request.method) {
        return Err(Refusal::new(
            405,
            format!(
                "{} is not served here, only {}",
                request.method.as_str(),
                listed(methods, " and ")
            ),
        ));
    }
    let body_max = body_bytes_max(path, limits);
    if request.body.len() > body_max {
        return Err(Refusal::new(
            413,
            format!("the body is longer than {body_max} bytes"),
        ));
    }
    let body = request.body.clone();
    use Method::{Get, Patch, Put};
    Ok(match (request.method, segments.as_slice()) {
        (_, ["health"]) => Call::Health,
        (Get, ["channels"]) => list_channels(query)?,
        (_, ["channels"]) => Call::CreateChannel(body),
        (Get, ["channels", id]) => Call::ReadChannel(channel_id(id)?),
        (_, ["channels", id]) => Call::UpdateChannel(channel_id(id)?, body),
        (_, ["channels", id, "join"]) => Call::Join(channel_id(id)?),
        (_, ["channels", id, "leave"]) => Call::Leave(channel_id(id)?),
        (Get, ["channels", id, "members"]) => Call::ListMembers(channel_id(id)?),
        (_, ["channels", id, "members"]) => Call::AddMember(channel_id(id)?, body),
        (_, ["channels", id, "members", user]) => {
            let user = checked(user, "userId").map(UserId::new)?;
            Call::RemoveMember(channel_id(id)?, user.ok_or_else(unknown)?)
        }
        (Get, ["channels", id, "messages"]) => history(channel_id(id)?, query, limits)?,
        (_, ["channels", id, "messages"]) => Call::Post(channel_id(id)?, body),
        (Get, ["channels", id, "canvas"]) => Call::ReadCanvas(channel_id(id)?),
        (Put, ["channels", id, "canvas"]) => Call::ShareCanvas(channel_id(id)?, body),
        (Patch, ["channels", id, "canvas"]) => Call::UpdateCanvas(channel_id(id)?, body),
        (_, ["channels", id, "canvas"]) => Call::RemoveCanvas(channel_id(id)?),
        (Patch, ["messages", id]) => Call::Edit(message_id(id)?, body),
        (_, ["messages", id]) => Call::Delete(message_id(id)?),
        (Get, ["commands"]) => Call::ListCommands,
        (_, ["commands"]) => Call::ReplaceCommands(body),
        (_, ["files"]) => Call::Upload,
        (_, ["files", id]) => {
            let id = checked(id, "fileId").map(FileId::new)?;
            Call::ReadFile(id.ok_or_else(unknown)?)
        }
        (_, ["channels", id, "turn"]) => Call::ReadTurn(channel_id(id)?),
        (_, ["channels", id, "turn", "bypass"]) => Call::SetBypass(channel_id(id)?, body),
        (_, ["channels", id, "ack"]) => Call::Ack(channel_id(id)?, body),
        _ => return Err(unknown()),
    })
}

/// The token that a request is judged by: its bearer, or, where a browser can set no header, the
/// parameter `access_token` of a file.
pub(super) fn token(asked: &Call, request: &Request) -> Option<Secret> {
    if request.bearer.is_some() || !matches!(asked, Call::ReadFile(_)) {
        return request.bearer.clone();
    }
    let (_, query) = request.target.split_once('?')?;
    let parameters = parameters(query).ok()?;
    parameters
        .get(ACCESS_TOKEN)
        .map(|token| Secret::new(token.as_str()))
}

/// The longest body that a call to `path` may have, in bytes: what the machine refuses without
/// looking at it, so that nobody needs to read more.
pub fn body_bytes_max(path: &str, limits: &Limits) -> usize {
    if path.ends_with("/canvas") {
        // JSON that escapes all but ASCII takes at most three times the bytes; the rest is for the
        // title and the names of the fields.
        limits
            .canvas_bytes_max
            .saturating_mul(3)
            .saturating_add(8 * 1024)
    } else {
        limits.body_bytes_max
    }
}

fn list_channels(query: &str) -> Result<Call, Refusal> {
    let query = parameters(query)?;
    let guild = match query.get("guildId") {
        Some(id) => GuildId::new(checked(id, "guildId")?),
        None => None,
    };
    let public = match query.get("public").map(String::as_str) {
        Some("true") => true,
        Some("false") | None => false,
        Some(_) => return Err(Refusal::bad("public: must be true or false")),
    };
    Ok(Call::ListChannels { guild, public })
}

fn history(channel: ChannelId, query: &str, limits: &Limits) -> Result<Call, Refusal> {
    let query = parameters(query)?;
    let number = |name: &str| match query.get(name) {
        Some(text) => match text.parse::<u64>() {
            // The store's integers are signed.
            Ok(number) if i64::try_from(number).is_ok() => Ok(Some(number)),
            Ok(_) | Err(_) => Err(Refusal::bad(format!(
                "{name}: must be a whole number from 0 to 9223372036854775807"
            ))),
        },
        None => Ok(None),
    };
    let limit = number("limit")?.unwrap_or(PAGE_DEFAULT);
    if limit == 0 {
        return Err(Refusal::bad("limit: must be at least 1"));
    }
    Ok(Call::History {
        channel,
        after: number("afterSeq")?,
        before: number("beforeSeq")?,
        limit: limit.min(limits.page_max),
    })
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    let id = checked(text, "messageId")?;
    MessageId::new(id).ok_or_else(|| Refusal::bad("messageId: must not be empty"))
}

fn channel_id(text: &str) -> Result<ChannelId, Refusal> {
    let id = checked(text, "channelId")?;
    ChannelId::new(id).ok_or_else(|| Refusal::bad("channelId: must not be empty"))
}

/// `id`, if it is one that a client may write.
pub(super) fn checked<'a>(id: &'a str, field: &str) -> Result<&'a str, Refusal> {
    if is_id(id) {
        Ok(id)
    } else {
        Err(Refusal::bad(format!(
            "{field}: must have 1 to {ID_CHARS_MAX} letters, digits, _ or -"
        )))
    }
}

/// The parameters of a query; of a repeated one the last.
fn parameters(query: &str) -> Result<BTreeMap<String, String>, Refusal> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name, true)?, decoded(value, true)?))
        })
        .collect()
}

/// Percent-decodes a segment of a path, or a name or value of a query, where `+` is a space.
fn decoded(text: &str, query: bool) -> Result<String, Refusal> {
    let plain = if query {
        routes::decoded(&text.replace('+', " "))
    } else {
        routes::decoded(text)
    };
    plain.ok_or_else(|| undecodable(text))
}

fn undecodable(text: &str) -> Refusal {
    let text: String = text.chars().take(FAULT_CHARS_MAX).collect();
    Refusal::bad(format!(
        "`{text}` is not percent-encoded UTF-8: write % as %25, and every other byte that is not \
         a letter, a digit or one of -._~ as % and two hexadecimal digits"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, target: &str) -> Result<Call, u16> {
        let request = Request {
            method,
            target: target.into(),
            bearer: None,
            body: Bytes::new(),
        };
        parse(&request, &Limits::default()).map_err(|refusal| refusal.status)
    }

    fn channel(id: &str) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    #[test]
    fn paths_and_methods_lead_to_calls() {
        use Method::{Delete, Get, Patch, Post, Put};
        assert_eq!(ask(Get, "/api/health"), Ok(Call::Health));
        assert_eq!(ask(Get, "/api/health?x"), Ok(Call::Health));
        assert_eq!(ask(Post, "/api/health"), Err(405));
        assert_eq!(ask(Get, "/health"), Err(404));
        assert_eq!(ask(Get, "/apihealth"), Err(404));
        assert_eq!(ask(Get, "/api"), Err(404));
        assert_eq!(ask(Get, "/api/"), Err(404));
        assert_eq!(ask(Get, "/api/channels/"), Err(400));
        assert_eq!(ask(Get, ""), Err(404));
        assert_eq!(
            ask(Get, "/api/channels/%63%31"),
            Ok(Call::ReadChannel(channel("c1")))
        );
        assert_eq!(ask(Get, "/api/channels/a%2Fb"), Err(400));
        assert_eq!(ask(Get, "/api/channels/%zz"), Err(400));
        assert_eq!(ask(Get, "/api/channels/%f"), Err(400));
        assert_eq!(ask(Get, "/api/channels/%ff"), Err(400));
        assert_eq!(ask(Put, "/api/channels/c1"), Err(405));
        assert_eq!(
            ask(Patch, "/api/channels/c1"),
            Ok(Call::UpdateChannel(channel("c1"), Bytes::new()))
        );
        assert_eq!(
            ask(Delete, "/api/channels/c1/members/u-1"),
            Ok(Call::RemoveMember(
                channel("c1"),
                UserId::new("u-1").unwrap()
            ))
        );
        assert_eq!(ask(Delete, "/api/channels/c1/members"), Err(405));
        assert_eq!(
            ask(Post, "/api/channels/c1/join"),
            Ok(Call::Join(channel("c1")))
        );
        assert_eq!(ask(Get, "/api/channels/c1/nothing"), Err(404));
    }

    #[test]
    fn queries_are_decoded_and_checked() {
        let get = |query: &str| ask(Method::Get, &format!("/api/channels/c1/messages?{query}"));
        let page = |after, before, limit| {
            Ok(Call::History {
                channel: channel("c1"),
                after,
                before,
                limit,
            })
        };
        assert_eq!(get(""), page(None, None, 50));
        assert_eq!(
            get("after%53eq=3&limit=999&x=%20"),
            page(Some(3), None, 200)
        );
        assert_eq!(get("beforeSeq=9&limit=1"), page(None, Some(9), 1));
        for bad in [
            "limit=0",
            "limit=",
            "afterSeq=-1",
            "beforeSeq=1e3",
            "afterSeq=9223372036854775808",
            "x=%",
        ] {
            assert_eq!(get(bad), Err(400), "{bad}");
        }
        assert_eq!(
            ask(Method::Get, "/api/channels?guildId=g1&public=true"),
            Ok(Call::ListChannels {
                guild: GuildId::new("g1"),
                public: true
            })
        );
        assert_eq!(ask(Method::Get, "/api/channels?guildId=a+b"), Err(400));
        assert_eq!(ask(Method::Get, "/api/channels?public=1"), Err(400));
        assert_eq!(
            ask(Method::Get, &format!("/api/{}", "x".repeat(5_000))),
            Err(400)
        );
    }
}
