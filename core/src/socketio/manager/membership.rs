//! One namespace that the application wants.

use super::{Auth, recovery::Recovery};
use crate::{canonical, link::backoff::Backoff, request::RequestId, time::Time};

/// How far a namespace is, and what outlives the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) stage: Stage,
    pub(super) recovery: Recovery,
    /// The waits after refusals.
    pub(super) refusals: Backoff,
}
canonical!(struct Membership { stage, recovery, refusals });

/// ```text
///           connection is up          answered         `40`
///   Wanted ─────────────────► Asked ────────► Joining ──────► Joined
///     ▲  ▲                      │ no auth        │ `44`
///     │  └──── Refused ◄────────┴────────────────┘
///     │  wait is over
///     └── from any of them, when the connection is lost
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be joined as soon as there is a connection.
    Wanted,
    /// The auth for it is asked for.
    Asked(RequestId<Auth>),
    /// The client has been told to join it.
    Joining,
    Joined,
    /// To be asked for again at that moment.
    Refused {
        until: Time,
    },
}
canonical!(
    enum Stage {
        Wanted,
        Asked(id),
        Joining,
        Joined,
        Refused { until },
    }
);
