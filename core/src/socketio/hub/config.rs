//! How a hub behaves, and its limits.

use alloc::collections::BTreeSet;
use core::time::Duration;

use crate::{
    canonical,
    engineio::sessions,
    socketio::{Namespace, server},
};

/// How a hub behaves. Begin with the default, and set what is to be different.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The namespaces that there are; only `/` by default. A client that asks for another one is
    /// refused without a question.
    pub namespaces: BTreeSet<Namespace>,
    /// What the sessions may hold together.
    pub sessions: sessions::Limits,
    /// How each connection behaves.
    pub connection: server::Config,
    /// How many sockets can wait for admission; 1,000 by default. One more is refused at once: each
    /// may cost a look at a token or a database.
    pub admissions_max: usize,
    /// How long a socket waits for admission; 20 s by default. After that it is refused.
    pub admission_patience: Duration,
    /// The longest auth of a CONNECT, in bytes; 65,536 by default. A client that sends a longer one is
    /// refused. Embedders keep it for as long as the socket is in, so this bounds what each can make
    /// them hold; tokens are far shorter.
    pub auth_bytes_max: usize,
    /// How many rooms one socket can be in; 1,000 by default. Rooms follow from what clients ask
    /// for, so this bounds what one of them can make the hub remember.
    pub rooms_max: usize,
    /// Whether a client whose connection was lost can come back and be taken for the same; off by
    /// default, as in the official server.
    pub recovery: Option<Recovery>,
}
canonical!(
    struct Config {
        namespaces,
        sessions,
        connection,
        admissions_max,
        admission_patience,
        auth_bytes_max,
        rooms_max,
        recovery,
    }
);

impl Default for Config {
    fn default() -> Self {
        Self {
            namespaces: [Namespace::root()].into(),
            sessions: sessions::Limits::default(),
            connection: server::Config::default(),
            admissions_max: 1_000,
            admission_patience: Duration::from_secs(20),
            auth_bytes_max: 1 << 16,
            rooms_max: 1_000,
            recovery: None,
        }
    }
}

/// For how long, and with how much behind, a client can come back. Begin with the default, and set
/// what is to be different.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How long a lost socket is kept, and how long an event; 2 min by default, as in the official
    /// server.
    pub max_age: Duration,
    /// How many events are kept for each namespace; 10,000 by default. For one more the oldest
    /// goes, and with it the recovery of whoever has not seen it.
    pub log_events_max: usize,
    /// How many bytes they may have together, with whom they are for; 10,000,000 by default.
    pub log_bytes_max: usize,
    /// How many lost sockets are kept; 10,000 by default. For one more, the oldest goes.
    pub parked_max: usize,
}
canonical!(
    struct Recovery {
        max_age,
        log_events_max,
        log_bytes_max,
        parked_max,
    }
);

impl Default for Recovery {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(2 * 60),
            log_events_max: 10_000,
            log_bytes_max: 10_000_000,
            parked_max: 10_000,
        }
    }
}
