//! The page for people, at `/`: a fixed table of files, compiled in.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
            IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use reqwest::Url;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

/// Where the page learns what it cannot know when it is compiled.
const CONFIG: &str = "/page/config.json";

/// Each file: its path, its media type, its bytes.
macro_rules! files {
    ($($path:literal $mime:ident $file:literal)*) => {
        [$(($path, $mime, include_bytes!(concat!("../web/", $file)).as_slice())),*]
    };
}

/// Everything but [`CONFIG`].
const FILES: [(&str, &str, &[u8]); 23] = files! {
    "/" HTML "index.html"
    "/page/icon.svg" SVG "icon.svg"
    "/page/style.css" CSS "style.css"
    "/page/main.js" JS "main.js"
    "/page/api.js" JS "api.js"
    "/page/fabric.js" JS "fabric.js"
    "/page/people.js" JS "people.js"
    "/page/realtime.js" JS "realtime.js"
    "/page/session.js" JS "session.js"
    "/page/state.js" JS "state.js"
    "/page/window.js" JS "window.js"
    "/page/view/canvas.js" JS "view/canvas.js"
    "/page/view/channels.js" JS "view/channels.js"
    "/page/view/completion.js" JS "view/completion.js"
    "/page/view/composer.js" JS "view/composer.js"
    "/page/view/dialog.js" JS "view/dialog.js"
    "/page/view/dom.js" JS "view/dom.js"
    "/page/view/files.js" JS "view/files.js"
    "/page/view/members.js" JS "view/members.js"
    "/page/view/messages.js" JS "view/messages.js"
    "/page/view/panels.js" JS "view/panels.js"
    "/page/view/turn.js" JS "view/turn.js"
    "/page/vendor/socket.io.esm.min.js" JS "vendor/socket.io.esm.min.js"
};

/// The page, as one guild node serves it.
#[derive(Debug)]
pub(super) struct Page {
    files: Vec<File>,
    policy: HeaderValue,
}

#[derive(Debug)]
struct File {
    path: &'static str,
    mime: &'static str,
    body: Bytes,
    tag: HeaderValue,
}

impl File {
    fn new(path: &'static str, mime: &'static str, body: Bytes) -> Self {
        let tag = format!(
            "\"{}\"",
            BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&body))
        );
        Self {
            path,
            mime,
            body,
            // These digits are what a header's value can be.
            tag: HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }
}

impl Page {
    /// The page of a node whose Center browsers reach at `center_url`.
    pub(super) fn new(center_url: &str) -> Self {
        let config = json!({ "centerUrl": center_url.trim_end_matches('/') }).to_string();
        let fixed = FILES.map(|(path, mime, body)| File::new(path, mime, Bytes::from_static(body)));
        let mut files = Vec::from(fixed);
        files.push(File::new(CONFIG, JSON, config.into()));
        Self {
            files,
            policy: policy(center_url),
        }
    }

    /// The answer to a request for one of its files; `None` for everything else.
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Response> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let file = self.files.iter().find(|file| file.path == path)?;
        let known = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .any(|tags| knows(tags, &file.tag));
        let mut answer = Response::default();
        let marks = answer.headers_mut();
        marks.insert(ETAG, file.tag.clone());
        // Kept by browsers, and asked about at each use: a newer node may serve other files.
        marks.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        marks.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        marks.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        marks.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(answer);
        }
        marks.insert(CONTENT_TYPE, HeaderValue::from_static(file.mime));
        marks.insert(CONTENT_LENGTH, HeaderValue::from(file.body.len()));
        if method == Method::GET {
            *answer.body_mut() = Body::from(file.body.clone());
        }
        Some(answer)
    }
}

/// Whether a browser that holds what `tags` name holds the file with `tag`.
fn knows(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    tags.as_bytes().split(|byte| *byte == b',').any(|held| {
        let held = held.trim_ascii();
        held == b"*" || held.strip_prefix(b"W/").unwrap_or(held) == tag.as_bytes()
    })
}

/// What the page may do: nothing but run its own files, and speak with its node and with Center.
/// `'self'` covers the node's WebSocket. A pinned HTML document is held to it too, in a frame without
/// scripts, where the styles and `data:` images of its own need it; and to a narrower one that the page
/// gives it, so that it loads nothing.
fn policy(center_url: &str) -> HeaderValue {
    let center = Url::parse(center_url)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
         connect-src 'self' {center}; img-src 'self' blob: data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    // An origin in ASCII is what a header's value can be.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// From its release on npm; its licence stands beside it.
    const SOCKET_IO_SHA256: &str =
        "771c3872e7d9bf81020615fda67ef0fd2aa61fcaf1990100714a46fa2c39f8a1";

    fn page() -> Page {
        Page::new("https://center.example:8443/fabric/")
    }

    fn ask(method: Method, path: &str, known: Option<&HeaderValue>) -> Option<Response> {
        let mut headers = HeaderMap::new();
        if let Some(known) = known {
            headers.insert(IF_NONE_MATCH, known.clone());
        }
        page().answer(&method, path, &headers)
    }

    #[test]
    fn the_page_may_only_run_itself_and_ask_its_node_and_center() {
        let answer = ask(Method::GET, "/", None).unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        for (name, value) in [
            (CONTENT_TYPE, HTML),
            (CACHE_CONTROL, "no-cache"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                 connect-src 'self' https://center.example:8443; img-src 'self' blob: data:; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
        ] {
            assert_eq!(answer.headers()[&name], value, "{name}");
        }
    }

    #[tokio::test]
    async fn the_page_learns_where_center_is() {
        let answer = ask(Method::GET, CONFIG, None).unwrap();
        let body = to_bytes(answer.into_body(), 1 << 10).await.unwrap();
        assert_eq!(
            body,
            r#"{"centerUrl":"https://center.example:8443/fabric"}"#
        );
    }

    #[tokio::test]
    async fn who_holds_a_file_is_not_sent_it_again() {
        for (path, ..) in FILES {
            let tag = ask(Method::GET, path, None).unwrap().headers()[ETAG].clone();
            let text = tag.to_str().unwrap();
            for (known, status) in [
                (text.to_owned(), 304),
                (format!("\"x\", W/{text}"), 304),
                ("*".to_owned(), 304),
                ("\"x\"".to_owned(), 200),
            ] {
                let known = HeaderValue::try_from(known).unwrap();
                let answer = ask(Method::GET, path, Some(&known)).unwrap();
                assert_eq!(answer.status(), status, "{path} {known:?}");
                let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
                assert_eq!(body.is_empty(), status == 304, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn a_head_tells_the_length_and_nothing_else_is_served() {
        let answer = ask(Method::HEAD, "/page/style.css", None).unwrap();
        let length = include_bytes!("../web/style.css").len();
        assert_eq!(answer.headers()[CONTENT_LENGTH], length.to_string());
        assert!(to_bytes(answer.into_body(), 1).await.unwrap().is_empty());
        for path in [
            "",
            "/page",
            "/page/",
            "/page/../main.js",
            "/index.html",
            "/api",
            "//",
        ] {
            assert!(ask(Method::GET, path, None).is_none(), "{path}");
        }
        assert!(ask(Method::POST, "/", None).is_none());
        assert!(ask(Method::OPTIONS, "/", None).is_none());
    }

    #[test]
    fn the_client_of_socket_io_is_the_released_one() {
        let vendored = include_bytes!("../web/vendor/socket.io.esm.min.js");
        let sum: String = Sha256::digest(vendored)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(sum, SOCKET_IO_SHA256);
        let note = include_str!("../web/vendor/README.md");
        assert!(note.contains(SOCKET_IO_SHA256), "{note}");
    }
}
