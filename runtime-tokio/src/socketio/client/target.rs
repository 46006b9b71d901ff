//! Where a connection goes: URL and headers, of one attempt.

use std::{fmt, sync::Arc};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use selvedge_core::Secret;

use super::OpenError;

/// Where to connect, for one attempt: what [`Builder::prepare`](super::Builder::prepare) finds out.
///
/// Its `Debug` shows neither the query nor a header's value: both may hold secrets.
#[derive(Clone)]
pub struct Dial {
    url: String,
    headers: Vec<(String, Secret)>,
}

impl Dial {
    /// The URL, by the rules of [`Client::connect`](super::Client::connect).
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: Vec::new(),
        }
    }

    /// Adds a header to every request of the attempt. One of the same name is replaced.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), Secret::new(value)));
        self
    }

    /// What to dial, with the path of Engine.IO.
    pub(super) fn target(&self, path: &str) -> Result<Arc<Target>, OpenError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bad = || OpenError::Header(name.clone());
            let key = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let base = base(&self.url, path).map_err(OpenError::Url)?;
        Ok(Arc::new(Target { base, headers }))
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Url::parse(&self.url).map(|url| url.origin().ascii_serialization());
        f.debug_struct("Dial")
            .field("url", &url.unwrap_or_default())
            .field("headers", &self.headers)
            .finish()
    }
}

/// The URL of Engine.IO, with the scheme of HTTP.
fn base(url: &str, path: &str) -> Result<Url, &'static str> {
    let mut url = Url::parse(url).map_err(|_| "is none; it begins with http:// or https://")?;
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => return Err("is not of http, https, ws or wss"),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has credentials in it, where they are easily logged; use a header");
    }
    if !matches!(url.path(), "" | "/") {
        return Err("has a path; set the server's with path(), a namespace with namespace()");
    }
    if url.set_scheme(scheme).is_err() {
        return Err("cannot be one of HTTP");
    }
    url.set_fragment(None);
    url.set_path(path);
    Ok(url)
}

/// What the requests and WebSockets of one attempt have in common.
pub(super) struct Target {
    base: Url,
    pub(super) headers: HeaderMap,
}

impl Target {
    /// The URL of a request, of the session `sid` if there is one.
    pub(super) fn url(&self, transport: &str, sid: Option<&str>) -> Url {
        let mut url = self.base.clone();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("EIO", "4");
            query.append_pair("transport", transport);
            if let Some(sid) = sid {
                query.append_pair("sid", sid);
            }
        }
        url
    }

    /// Scheme, host and port, for the log.
    pub(super) fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.origin()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_keeps_its_query_and_gets_path_transport_and_session() {
        let dial = Dial::new("wss://example.org:8443?room=a%20b").header("X-Key", "hunter2");
        let target = dial.target("/live/").unwrap();
        assert_eq!(
            target.url("polling", Some("a&b")).as_str(),
            "https://example.org:8443/live/?room=a%20b&EIO=4&transport=polling&sid=a%26b"
        );
        assert_eq!(
            target.url("websocket", None).query(),
            Some("room=a%20b&EIO=4&transport=websocket")
        );
        assert_eq!(target.headers["x-key"], "hunter2");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let dial = Dial::new("https://example.org?token=hunter2").header("X-Key", "hunter2");
        let target = dial.target("/socket.io/").unwrap();
        let bad = Dial::new("https://example.org").header("X-Key", "hunter2\n");
        let error = bad.target("/").unwrap_err();
        for shown in [
            format!("{dial:?}"),
            format!("{target:?}"),
            format!("{error:?} {error}"),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_server_is_told_apart() {
        for (url, words) in [
            ("example.org", "begins with http"),
            ("ftp://example.org", "not of http"),
            ("https://me:word@example.org", "credentials"),
            ("https://example.org/chat", "namespace()"),
        ] {
            let error = Dial::new(url)
                .target("/socket.io/")
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}
