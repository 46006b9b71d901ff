//! Who asks to be let in, and how that is refused.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, HeaderValue, Request, Uri, request::Parts},
};
use bytestring::ByteString;
use selvedge_core::socketio::{
    Namespace as Name,
    hub::{self, Identity},
};
use serde::{Deserialize, Serialize};

/// The HTTP request that a connection began with: of its path, query and headers there are at most
/// [`Builder::headers_max`](super::Builder::headers_max). Its `Debug` shows neither query nor headers:
/// both may hold secrets.
#[derive(Clone)]
pub struct Handshake {
    uri: Uri,
    headers: HeaderMap,
    remote_addr: Option<SocketAddr>,
}

impl Handshake {
    pub(super) fn of(head: &Parts) -> Self {
        let info = head.extensions.get::<ConnectInfo<SocketAddr>>();
        Self {
            uri: head.uri.to_string().parse().unwrap_or_default(),
            headers: detached(&head.headers),
            remote_addr: info.map(|ConnectInfo(addr)| *addr),
        }
    }

    /// How much of a request would be kept, in bytes.
    pub(super) fn bytes<B>(request: &Request<B>) -> usize {
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
        let target = request.uri().path_and_query();
        target.map_or(0, |target| target.as_str().len()) + headers.sum::<usize>()
    }

    /// Its path and query. The `sid` of the connection does not stand in it.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its headers.
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A parameter of its query, as it is written there: still percent-encoded.
    pub fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.uri.query().unwrap_or_default().split('&');
        pairs
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// From where it came, if the server knows: with `axum`, serve the router's
    /// `into_make_service_with_connect_info::<SocketAddr>()`. Behind a proxy this is the proxy.
    pub const fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }
}

/// A copy that does not keep the buffer alive which the request was read into: that is larger by
/// far, and a connection can last for days.
fn detached(headers: &HeaderMap) -> HeaderMap {
    let mut copied = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            copied.append(name.clone(), copy);
        }
    }
    copied
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.uri.path())
            .field("remote_addr", &self.remote_addr)
            .finish_non_exhaustive()
    }
}

/// What a client sent along when it asked to be let in.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) namespace: Name,
    pub(super) auth: Option<ByteString>,
    pub(super) handshake: Option<Arc<Handshake>>,
}

/// Without the auth.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("namespace", &self.namespace)
            .field("handshake", &self.handshake)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    pub(super) fn raw_auth(&self) -> &str {
        self.auth.as_deref().unwrap_or("{}")
    }

    pub(super) fn auth<'a, T: Deserialize<'a>>(&'a self) -> Result<T, AuthError> {
        let mut json = serde_json::Deserializer::from_str(self.raw_auth());
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            // The error's own words may hold a part of the auth.
            let (line, column) = (error.inner().line(), error.inner().column());
            let path = error.path();
            AuthError(format!(
                "`{path}` is missing or not of its kind (line {line}, column {column})"
            ))
        })
    }
}

/// The auth of a client has not the shape that was asked for. The client is at fault. Its words name
/// the place and nothing of what stands there.
#[derive(Debug, thiserror::Error)]
#[error("the auth is not as it should be: {0}")]
pub struct AuthError(String);

/// A client asks to be let into a namespace.
///
/// What it has sent along is limited before anybody is asked: its auth to
/// [`Builder::auth_max`](super::Builder::auth_max), its request to
/// [`Builder::headers_max`](super::Builder::headers_max). How many can ask at once, and for how long, is
/// [`Config::admissions_max`](super::hub::Config::admissions_max) and
/// [`Builder::admission_patience`](super::Builder::admission_patience).
#[derive(Debug)]
pub struct Admission {
    pub(super) credentials: Credentials,
    pub(super) former: Option<Former>,
}

impl Admission {
    /// The namespace that it asks for.
    pub fn namespace(&self) -> &str {
        self.credentials.namespace.as_str()
    }

    /// The auth that it sent with its CONNECT; an empty object where it sent none.
    ///
    /// # Errors
    ///
    /// Where it has another shape. The error is a [`Refusal`] by `?`.
    pub fn auth<'a, T: Deserialize<'a>>(&'a self) -> Result<T, AuthError> {
        self.credentials.auth()
    }

    /// The JSON text of that auth, always an object.
    pub fn raw_auth(&self) -> &str {
        self.credentials.raw_auth()
    }

    /// The request that its connection began with.
    pub fn handshake(&self) -> Option<&Handshake> {
        self.credentials.handshake.as_deref()
    }

    /// What the client was before, where its connection was lost and it could go on with that: with
    /// the rooms of that socket, and what it has missed. Whether it does is for the answer to say:
    /// see [`Admitted`]. That it knows the socket's secret does not say that it is the same user.
    pub const fn former(&self) -> Option<&Former> {
        self.former.as_ref()
    }
}

/// A socket whose connection was lost, as the client says that wants to go on with it.
#[derive(Clone, Debug)]
pub struct Former(pub(super) hub::Former);

impl Former {
    /// Its id, as [`Id::as_str`](super::Id::as_str).
    pub fn id(&self) -> &str {
        &self.0.sid
    }

    /// The user that it was let in as, if it was [as one](Admitted::user).
    pub fn user(&self) -> Option<&str> {
        match &self.0.identity {
            Identity::User(name) => Some(name),
            Identity::Stranger | Identity::Bearer => None,
        }
    }
}

/// As whom a client is let in. It matters where clients can come back
/// ([`Builder::recovery`](super::Builder::recovery)): only with a word of this does one go on with
/// what it had before.
///
/// ```
/// use selvedge::socketio::server::{Admission, Admitted, Refusal};
///
/// async fn admit(request: Admission) -> Result<Admitted, Refusal> {
///     let token = request.auth::<serde_json::Value>()?;
///     let user = user_of(&token).ok_or_else(|| Refusal::new("unauthorized"))?;
///     Ok(Admitted::user(user))
/// }
/// # fn user_of(_: &serde_json::Value) -> Option<String> { None }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted(pub(super) Identity);

impl Admitted {
    /// As this user. A client goes on only with what the same user had: the same words here, such as
    /// the id of the account.
    pub fn user(user: impl Into<String>) -> Self {
        Self(Identity::User(user.into().into()))
    }

    /// As whoever shows the secret of a lost socket: a client goes on with what that one had,
    /// whatever it says of itself now. So it is in a namespace that lets everybody in.
    pub const fn bearer() -> Self {
        Self(Identity::Bearer)
    }

    /// As somebody new, whatever the client was before. This is what `()` says.
    pub const fn stranger() -> Self {
        Self(Identity::Stranger)
    }
}

impl From<()> for Admitted {
    fn from((): ()) -> Self {
        Self::stranger()
    }
}

/// What a client is told that is not let in: the official client gets it as `connect_error`.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub(super) message: String,
    pub(super) data: Option<String>,
}

impl Refusal {
    /// A refusal in words for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// With data for the client, which the official one has as `error.data`. What does not
    /// serialise is left out.
    #[must_use]
    pub fn data(mut self, data: impl Serialize) -> Self {
        match serde_json::to_string(&data) {
            Ok(data) => self.data = Some(data),
            Err(error) => tracing::error!(%error, "the data of a refusal does not serialise"),
        }
        self
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        tracing::debug!(%error, "a client is refused");
        Self::new("invalid auth")
    }
}
