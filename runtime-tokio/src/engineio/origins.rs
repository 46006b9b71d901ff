//! Which pages of browsers may use a server.

use crate::serve::cors::Cors;

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

impl From<&Origins> for Cors {
    fn from(origins: &Origins) -> Self {
        match origins {
            Origins::Own => Self::own(&[]),
            Origins::Listed(listed) => Self::own(listed),
            Origins::Any => Self::new(""),
        }
    }
}
