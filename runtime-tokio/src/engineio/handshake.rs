//! What a request wants of a server of Engine.IO sessions, or why it is refused.

use axum::http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use selvedge_core::Secret;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::serve::cors::Cors;

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To poll, for a session or for a new one.
    Poll { sid: Option<Secret> },
    /// To post to a session.
    Post { sid: Secret },
    /// To open a WebSocket, for a session or for a new one.
    Socket {
        sid: Option<Secret>,
        accept: HeaderValue,
        /// With binary messages as base64 in text.
        base64: bool,
    },
}

/// Why a request is refused, as Engine.IO numbers it. Code 1, `Session ID unknown`, is not among
/// them: the machine knows the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TransportUnknown = 0,
    BadMethod = 2,
    BadRequest = 3,
    Forbidden = 4,
    UnsupportedVersion = 5,
}

impl Refused {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            Self::TransportUnknown
            | Self::BadMethod
            | Self::BadRequest
            | Self::UnsupportedVersion => 400,
        }
    }
}

impl Wanted {
    /// Checks a request in the official server's order: the transport, then for a request without a
    /// session the method, whether a WebSocket can be opened, who may, and the version. With a
    /// session, that server does not look at the version.
    pub(super) fn of(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        cors: &Cors,
    ) -> Result<Self, Refused> {
        let query = uri.query().unwrap_or_default();
        let value = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let is_polling = match value("transport") {
            Some("polling") => true,
            Some("websocket") => false,
            Some(_) | None => return Err(Refused::TransportUnknown),
        };
        // Ours need no percent-encoding; one that was encoded all the same is unknown.
        let sid = value("sid").filter(|sid| !sid.is_empty()).map(Secret::new);
        if sid.is_none() && method != Method::GET {
            return Err(Refused::BadMethod);
        }
        let accept = match is_polling {
            true => None,
            false => Some(accept(method, headers)?),
        };
        if !cors.allows(headers) {
            return Err(Refused::Forbidden);
        }
        if sid.is_none() && value("EIO") != Some("4") {
            return Err(Refused::UnsupportedVersion);
        }
        match (accept, sid) {
            (Some(accept), sid) => Ok(Self::Socket {
                sid,
                accept,
                base64: value("b64").is_some_and(|it| !it.is_empty()),
            }),
            (None, sid) if method == Method::GET => Ok(Self::Poll { sid }),
            (None, Some(sid)) if method == Method::POST => Ok(Self::Post { sid }),
            (None, _) => Err(Refused::BadRequest),
        }
    }
}

/// The answer to the key of a WebSocket handshake (RFC 6455, section 4.2.1).
fn accept(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Refused> {
    let wants = |name, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    match key {
        Some(key)
            if key.len() == 24
                && method == Method::GET
                && wants(CONNECTION, "upgrade")
                && wants(UPGRADE, "websocket")
                && wants(SEC_WEBSOCKET_VERSION, "13") =>
        {
            HeaderValue::from_str(&derive_accept_key(key)).map_err(|_| Refused::BadRequest)
        }
        Some(_) | None => Err(Refused::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(method: &str, query: &str, headers: &HeaderMap) -> Result<Wanted, Refused> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri = format!("/engine.io/?{query}").parse().unwrap();
        Wanted::of(
            &method,
            &uri,
            headers,
            &Cors::new("https://a.example", None),
        )
    }

    fn socket() -> HeaderMap {
        [
            (CONNECTION, "keep-alive, Upgrade"),
            (UPGRADE, "WebSocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .into_iter()
        .collect()
    }

    #[test]
    fn a_request_says_what_it_wants() {
        let plain = HeaderMap::new();
        let sid = Some(Secret::new("x"));
        assert_eq!(
            wanted("GET", "EIO=4&transport=polling&t=abc", &plain),
            Ok(Wanted::Poll { sid: None })
        );
        assert_eq!(
            wanted("GET", "transport=polling&EIO=4&sid=x", &plain),
            Ok(Wanted::Poll { sid: sid.clone() })
        );
        assert_eq!(
            wanted("POST", "EIO=4&transport=polling&sid=x", &plain),
            Ok(Wanted::Post {
                sid: Secret::new("x")
            })
        );
        for (query, sid, base64) in [
            ("", None, false),
            ("&sid=x", sid.clone(), false),
            ("&sid=x&b64=1", sid, true),
            ("&b64=0", None, true),
            ("&b64=", None, false),
            ("&b64", None, false),
        ] {
            // The sample of RFC 6455.
            let accept = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            assert_eq!(
                wanted(
                    "GET",
                    &format!("EIO=4&transport=websocket{query}"),
                    &socket()
                ),
                Ok(Wanted::Socket {
                    sid,
                    accept,
                    base64
                })
            );
        }
    }

    #[test]
    fn the_first_thing_that_is_wrong_is_named() {
        let mut foreign = socket();
        let origin = HeaderValue::from_static("https://b.example");
        foreign.insert(axum::http::header::ORIGIN, origin);
        let mut keyless = socket();
        keyless.remove(SEC_WEBSOCKET_KEY);
        let plain = HeaderMap::new();
        use Refused as R;
        for (method, query, headers, why) in [
            ("PUT", "", &plain, R::TransportUnknown),
            ("GET", "EIO=4&transport=abc", &plain, R::TransportUnknown),
            ("POST", "EIO=3&transport=polling", &foreign, R::BadMethod),
            ("PUT", "EIO=4&transport=polling&sid=", &plain, R::BadMethod),
            ("GET", "EIO=3&transport=websocket", &keyless, R::BadRequest),
            (
                "POST",
                "transport=websocket&sid=x",
                &socket(),
                R::BadRequest,
            ),
            ("GET", "EIO=3&transport=websocket", &foreign, R::Forbidden),
            (
                "GET",
                "EIO=4&transport=polling&sid=x",
                &foreign,
                R::Forbidden,
            ),
            (
                "GET",
                "EIO=abc&transport=polling",
                &plain,
                R::UnsupportedVersion,
            ),
            (
                "GET",
                "transport=websocket",
                &socket(),
                R::UnsupportedVersion,
            ),
            (
                "PUT",
                "EIO=4&transport=polling&sid=x",
                &plain,
                R::BadRequest,
            ),
        ] {
            assert_eq!(wanted(method, query, headers), Err(why), "{method} {query}");
        }
    }
}
