//! Which pages of browsers may use a server.

use axum::http::HeaderName;

use crate::serve::cors;

/// The origins whose pages may use a server.
///
/// A browser names the origin of the page in its requests. A request that names one that is not
/// allowed is refused with Engine.IO's code 4, `Forbidden`, so that a foreign page can neither read
/// nor open a WebSocket with its visitor's cookies. A request that names none is not a browser's,
/// or comes from a page of the server itself, and passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Pages that have the server's own host, as the request names it: the default. Behind a proxy
    /// that changes `Host`, list the public origin instead.
    #[default]
    Own,
    /// These as well, each such as `https://chat.example` or `http://localhost:5173`.
    Listed(Vec<String>),
    /// Every page of the web.
    Any,
}

/// What browsers let pages do that may use a server and are not of its own origin.
///
/// It is about the requests of HTTP long-polling alone: a browser opens a WebSocket without a question,
/// with its visitor's cookies and without headers of the page.
///
/// ```
/// use axum::http::HeaderName;
/// use selvedge::socketio::server::{Cors, Namespace, Origins, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), selvedge::socketio::server::StartError> {
/// // For `io(url, { withCredentials: true, extraHeaders: { "x-team": "blue" } })` in a page of
/// // https://chat.example.
/// let server = Server::builder()
///     .origins(Origins::Listed(vec!["https://chat.example".into()]))
///     .cors(Cors::new().credentials().header(HeaderName::from_static("x-team")))
///     .namespace("/", Namespace::new())
///     .start()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    pub(crate) credentials: bool,
    pub(super) headers: Vec<HeaderName>,
}

impl Cors {
    /// Pages may send the headers `authorization` and `content-type`, and no credentials.
    pub const fn new() -> Self {
        Self {
            credentials: false,
            headers: Vec::new(),
        }
    }

    /// Pages may send their visitor's credentials for this server along, cookies above all (the
    /// official client: `withCredentials`). Not with [`Origins::Any`]: any page of the web could act
    /// for its visitors then.
    #[must_use]
    pub const fn credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// Pages may send this header too (the official client: `extraHeaders`).
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }
}

impl From<&Origins> for cors::Cors {
    fn from(origins: &Origins) -> Self {
        match origins {
            Origins::Own => Self::own(&[]),
            Origins::Listed(listed) => Self::own(listed),
            Origins::Any => Self::new("", None),
        }
    }
}
