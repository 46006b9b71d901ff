//! Which origins of browsers may use a server.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
        },
    },
    response::Response,
};

/// The origins that may use a server. Requests without an `Origin` are not from a browser's page
/// and always pass.
#[derive(Clone, Debug)]
pub(crate) struct Cors {
    origins: Vec<String>,
}

impl Cors {
    /// From a list with commas; an empty one allows every origin. The origin `null`, of a desktop
    /// app's `file://` page, is always allowed.
    pub(crate) fn new(list: &str) -> Self {
        let origins = list.split(',').map(str::trim);
        Self {
            origins: origins
                .filter(|origin| !origin.is_empty())
                .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
                .collect(),
        }
    }

    /// Whether a request with these headers comes from an origin that is allowed.
    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else {
            return true;
        };
        self.origins.is_empty()
            || origin == "null"
            || origin.to_str().is_ok_and(|origin| {
                let origin = origin.to_ascii_lowercase();
                self.origins.contains(&origin)
            })
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
                    "GET, POST, PUT, PATCH, DELETE",
                ),
                (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
                (ACCESS_CONTROL_MAX_AGE, "600"),
            ] {
                answer
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
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
        if !self.origins.is_empty() {
            marks.append(VARY, HeaderValue::from_static("Origin"));
        }
        if self.allows(headers) {
            let allowed = if self.origins.is_empty() {
                HeaderValue::from_static("*")
            } else {
                origin.clone()
            };
            marks.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            marks.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("retry-after"),
            );
        }
    }
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
        let answer = Cors::new(list)
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
        assert!(Cors::new(list).allows(&HeaderMap::new()));
        assert!(
            Cors::new(list)
                .preflight(&Method::GET, &headers("null"))
                .is_none()
        );
    }
}
