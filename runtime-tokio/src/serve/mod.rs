//! The serving side: an embedded Center and an embedded guild node, each on its own address.
//!
//! [`start_center`] serves accounts and tokens from one SQLite file; [`start_guild`] drives the
//! guild machine of `selvedge-core` over HTTP and WebSocket, with its own SQLite file. Both listen
//! on port 0 where asked to, and end with their `shutdown`. What they share: `http` (accept loop,
//! whole requests and answers), `cors`, `jwt` and `random`.

pub(crate) mod call;
pub mod center;
mod center_client;
pub(crate) mod cors;
mod disk;
mod front;
pub mod guild;
pub(crate) mod http;
mod idle;
mod jwt;
mod page;
pub(crate) mod random;
pub(crate) mod shared;
mod stall;
mod world;

use std::{io, net::SocketAddr, path::PathBuf};

pub use center::{CenterOptions, NewUser, RunningCenter, start_center};
pub use guild::{GuildOptions, RunningGuild, start_guild};
use tokio::net::TcpListener;

use crate::store::StoreError;

/// Why a server does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {addr}: {source}; free the port or name another one")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder beside the database cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A recording was asked for and cannot be made.
    #[error(
        "cannot record into {path}: {source}; name a folder that can be written, or leave --record out"
    )]
    Record {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The caller gave something unusable.
    #[error("{0}")]
    Input(String),
    /// Center refused the guild node.
    #[error(
        "Center at {center_url} refuses this guild node: {why}; check \
         FABRIC_BACKEND_GUILD_CENTER_API_KEY and FABRIC_BACKEND_GUILD_NODE_ID"
    )]
    Refused {
        /// Whom it asked.
        center_url: String,
        /// Center's words.
        why: String,
    },
    /// The system has no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Random(String),
    /// A machine could not go on.
    #[error("the guild node has stopped: {0}; start it again once the cause is gone")]
    Fatal(String),
    /// A bug of ours.
    #[error("{0}; please report this as a bug of Selvedge")]
    Bug(String),
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| ServeError::Listen { addr, source })
}
