//! How far a client is with a namespace.

use alloc::vec::Vec;

use super::asking::Asking;
use crate::{Secret, canonical, socketio::event::Event, time::Time};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// To be joined when the connection is open.
    Wanted { asking: Asking },
    /// CONNECT is sent. What arrives before its answer is kept.
    Joining {
        expires_at: Time,
        pid: Option<Secret>,
        early: Vec<Event>,
    },
    /// CONNECT is sent, and not wanted any more. To say so before the answer would make the server
    /// close the connection. It may be wanted again after that.
    Leaving {
        expires_at: Time,
        again: Option<Asking>,
    },
    /// The server has admitted this client.
    Joined,
}
canonical!(
    enum Membership {
        Wanted { asking },
        Joining { expires_at, pid, early },
        Leaving { expires_at, again },
        Joined,
    }
);
