//! What can go wrong at the client: who is at fault, and what to do.

use selvedge_core::socketio;

use super::{Answer, Unsent};
use crate::{http, tls::TlsError};

/// Why no socket was opened. The caller is at fault, or the machine it runs on; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL cannot be used.
    #[error("the URL {0}")]
    Url(&'static str),
    /// A header's name or value cannot stand in HTTP. The value is not told: it may be a secret.
    #[error("the header {0:?} has a name or a value that HTTP does not allow")]
    Header(String),
    /// The name of the namespace.
    #[error("{0:?} is not the name of a namespace: `/`, or `/` and a name without a comma")]
    Namespace(String),
    /// The namespace is open on this connection already; use that socket, or close it before.
    #[error("the namespace {0} is open on this connection already")]
    Duplicate(String),
    /// More namespaces than [`Builder::namespaces_max`](super::Builder::namespaces_max).
    #[error("too many namespaces are open on this connection; raise namespaces_max")]
    TooManyNamespaces,
    /// No transport is allowed.
    #[error("no transport is allowed; name at least one")]
    NoTransport,
    /// The proxy's URL.
    #[error("the proxy is not of the form http://[user:password@]host[:port]")]
    Proxy,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] http::SetupError),
    /// There is no tokio runtime.
    #[error("there is no tokio runtime here; open the socket within one")]
    NoRuntime,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The connection was closed from this side, with its last socket.
    #[error("the connection was closed with its last socket; connect anew")]
    Closed,
}

/// Why something was not sent. The server has seen nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The caller's fault: a reserved name, arguments that are no tuple or do not serialise, or
    /// more attachments than a packet can have.
    #[error("it cannot be encoded: {0}")]
    Encode(#[source] serde_json::Error),
    /// The namespace is not joined, and nothing is kept for it: the buffer is off, the emission is
    /// volatile, or the server has ended the membership ([`Sender::rejoin`](super::Sender::rejoin)
    /// begins anew). For an answer: the connection that asked is gone.
    #[error("the namespace is not joined")]
    NotConnected,
    /// Larger than the server takes (`maxPayload`, 1 MB by default): it would end the connection.
    /// Send less at a time, or raise `maxHttpBufferSize` there.
    #[error("larger than the server takes; send less at a time")]
    TooLarge,
    /// Too much waits already: for the namespace to be joined, or for a server that is slow to take
    /// it. Try again later, or raise [`Builder::buffer`](super::Builder::buffer).
    #[error("too much waits to be sent already; try again later")]
    BufferFull,
    /// It is volatile, and the server is slow to read.
    #[error("the server is slow to read, and a volatile event does not wait")]
    Busy,
    /// The socket or the connection was closed from this side.
    #[error("the socket is closed")]
    Closed,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was not sent.
    #[error("not sent: {0}")]
    Unsent(#[from] EmitError),
    /// Too many calls wait for their answers;
    /// see [`Builder::calls_max`](super::Builder::calls_max). It was not sent.
    #[error("not sent: too many calls are waiting for their answers")]
    TooMany,
    /// The server did not answer in time. It may have seen the event.
    #[error("the server did not answer in time")]
    Timeout,
    /// The connection or the membership ended before the answer. The server may have seen the
    /// event.
    #[error("the connection ended before the answer")]
    Disconnected,
}

impl From<Unsent> for EmitError {
    fn from(why: Unsent) -> Self {
        match why {
            Unsent::TooLarge => Self::TooLarge,
            Unsent::BufferFull => Self::BufferFull,
            // The others are no outcome of an emission as it is handed over.
            Unsent::NotConnected
            | Unsent::Expired
            | Unsent::TooMany
            | Unsent::Duplicate
            | Unsent::BadJson => Self::NotConnected,
        }
    }
}

/// How the machine's end of a call reads here.
pub(super) fn answered(result: Result<Answer, socketio::CallError>) -> Result<Answer, CallError> {
    result.map_err(|why| match why {
        socketio::CallError::Timeout => CallError::Timeout,
        socketio::CallError::Disconnected => CallError::Disconnected,
        // Only events are ever called.
        socketio::CallError::NotConnected | socketio::CallError::NotAnEvent => {
            EmitError::NotConnected.into()
        }
        socketio::CallError::TooMany => CallError::TooMany,
        socketio::CallError::TooLarge => EmitError::TooLarge.into(),
        socketio::CallError::BufferFull => EmitError::BufferFull.into(),
    })
}
