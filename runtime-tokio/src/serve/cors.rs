//! Which origins of browsers may use a server.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
            HOST, ORIGIN, VARY,
        },
    },
    response::Response,
};

/// The headers that a page may set at every server.
const HEADERS: &str = "authorization, content-type";

/// The origins that may use a server. Requests without an `Origin` are not from a browser's page
/// and always pass.
#[derive(Clone, Debug)]
pub(crate) struct Cors {
    allowed: Allowed,
    /// Whether pages may send their visitor's cookies along.
    credentials: bool,
    /// What they may set in their requests.
    headers: HeaderValue,
}

#[derive(Clone, Debug)]
enum Allowed {
    Any,
    /// And whichever has the host that the request names.
    Listed(Vec<String>),
}

impl Cors {
    /// From a list with commas; an empty one allows every origin. The origin `null`, of a desktop
    /// app's `file://` page, is always allowed, and so are the server's own: that of `public_url`, and
    /// whichever has the host that the request names.
    pub(crate) fn new(list: &str, public_url: Option<&str>) -> Self {
        let origins = list.split(',').filter(|origin| !origin.trim().is_empty());
        let mut listed: Vec<_> = origins.map(normal).collect();
        if listed.is_empty() {
            return Self::of(Allowed::Any);
        }
        listed.extend(["null"].into_iter().chain(public_url).map(normal));
        Self::of(Allowed::Listed(listed))
    }

    /// The origins in `listed`, and those that have the server's own host.
    pub(crate) fn own(listed: &[String]) -> Self {
        let listed = listed.iter().map(|origin| normal(origin));
        Self::of(Allowed::Listed(listed.collect()))
    }

    const fn of(allowed: Allowed) -> Self {
        Self {
            allowed,
            credentials: false,
            headers: HeaderValue::from_static(HEADERS),
        }
    }

    /// Lets pages send credentials along, where their origin is looked at, and more headers than
    /// those that every server takes.
    pub(crate) fn with(mut self, credentials: bool, headers: &[HeaderName]) -> Self {
        self.credentials = credentials && !self.is_any();
        let more = headers.iter().flat_map(|name| [", ", name.as_str()]);
        let all = [HEADERS].into_iter().chain(more).collect::<String>();
        // Names of headers are what a header's value can be.
        self.headers = HeaderValue::try_from(all).unwrap_or(self.headers);
        self
    }

    /// Whether a request with these headers comes from an origin that is allowed.
    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str().map(normal) else {
            return matches!(self.allowed, Allowed::Any);
        };
        match &self.allowed {
            Allowed::Any => true,
            Allowed::Listed(listed) => listed.contains(&origin) || has_host(&origin, headers),
        }
    }

    const fn is_any(&self) -> bool {
        match self.allowed {
            Allowed::Any => true,
            Allowed::Listed(_) => false,
        }
    }

    /// The answer to a browser that asks before it sends the request itself.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        self.mark(headers, &mut answer);
        if self.allows(headers) {
            for (name, value) in [
                (
                    ACCESS_CONTROL_ALLOW_METHODS,
                    HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"),
                ),
                (ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone()),
                (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
            ] {
                answer.headers_mut().insert(name, value);
            }
        }
        Some(answer)
    }

    /// Marks an answer to a request with these headers as readable, where its origin is allowed.
    pub(crate) fn mark(&self, headers: &HeaderMap, answer: &mut Response) {
        let Some(origin) = headers.get(ORIGIN) else {
            return;
        };
        let marks = answer.headers_mut();
        if !self.is_any() {
            marks.append(VARY, HeaderValue::from_static("Origin"));
        }
        if self.allows(headers) {
            let allowed = if self.is_any() {
                HeaderValue::from_static("*")
            } else {
                origin.clone()
            };
            marks.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            marks.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("retry-after"),
            );
            if self.credentials {
                marks.insert(
                    ACCESS_CONTROL_ALLOW_CREDENTIALS,
                    HeaderValue::from_static("true"),
                );
            }
        }
    }
}

/// An origin as it is compared.
fn normal(origin: &str) -> String {
    origin.trim().trim_end_matches('/').to_ascii_lowercase()
}

/// Whether an origin has the host and port that the request names. Where the scheme's own port is
/// meant, browsers leave it out on both sides.
fn has_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").map(|(_, host)| host);
    host.is_some_and(|host| own.is_some_and(|own| own.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        headers.insert(
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("POST"),
        );
        headers
    }

    fn allowed(list: &str, origin: &'static str) -> Option<String> {
        let headers = headers(origin);
        let answer = Cors::new(list, None)
            .preflight(&Method::OPTIONS, &headers)
            .unwrap();
        assert_eq!(
            answer.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS),
            answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
        );
        let origin = answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(origin.to_str().unwrap().to_owned())
    }

    #[test]
    fn an_empty_list_allows_all_and_null_is_always_allowed() {
        let list = "https://chat.example/, http://localhost:5173";
        assert_eq!(allowed("", "https://a.example"), Some("*".into()));
        assert_eq!(allowed(" , ", "null"), Some("*".into()));
        assert_eq!(allowed(list, "null"), Some("null".into()));
        assert_eq!(
            allowed(list, "https://chat.example"),
            Some("https://chat.example".into())
        );
        assert_eq!(allowed(list, "https://chat.example.evil"), None);
        assert!(Cors::new(list, None).allows(&HeaderMap::new()));
        assert!(
            Cors::new(list, None)
                .preflight(&Method::GET, &headers("null"))
                .is_none()
        );
    }

    #[test]
    fn credentials_and_headers_are_for_origins_that_are_allowed() {
        let marks = |cors: &Cors, origin| {
            let answer = cors.preflight(&Method::OPTIONS, &headers(origin)).unwrap();
            let mark = |name| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
            (
                mark(ACCESS_CONTROL_ALLOW_CREDENTIALS),
                mark(ACCESS_CONTROL_ALLOW_HEADERS),
            )
        };
        let (yes, more) = (
            Some("true".to_owned()),
            Some("authorization, content-type, x-team".to_owned()),
        );
        let team = [HeaderName::from_static("x-team")];
        let listed = Cors::own(&["https://a.example".into()]);
        let plain = Some(HEADERS.to_owned());
        assert_eq!(marks(&listed, "https://a.example"), (None, plain));
        let listed = listed.with(true, &team);
        assert_eq!(marks(&listed, "https://a.example"), (yes, more.clone()));
        assert_eq!(marks(&listed, "https://b.example"), (None, None));
        // Any page of the web could use its visitor's account then.
        let any = Cors::new("", None).with(true, &team);
        assert_eq!(marks(&any, "https://a.example"), (None, more));
    }

    #[test]
    fn a_page_of_the_same_host_is_the_servers_own() {
        let cors = Cors::own(&["https://Chat.example/".into()]);
        let guilds = Cors::new("https://chat.example", Some("https://Public.example/"));
        for (origin, host, allowed) in [
            ("https://a.example", "a.example", true),
            ("http://a.example:81", "A.example:81", true),
            ("http://a.example:81", "a.example", false),
            ("https://b.example", "a.example", false),
            ("https://chat.example", "a.example", true),
            ("null", "null", false),
        ] {
            let mut headers = headers(origin);
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(cors.allows(&headers), allowed, "{origin} at {host}");
            let guilds = guilds.allows(&headers);
            assert_eq!(guilds, allowed || origin == "null", "{origin} at {host}");
        }
        let public = headers("https://public.example");
        assert!(guilds.allows(&public) && !cors.allows(&public));
    }
}
