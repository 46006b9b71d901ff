//! What the last attempts to connect have come to: which transport is next, and when to give up.

use core::num::NonZeroU32;

use super::{Config, Transports};
use crate::canonical;

/// How an attempt begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    WebSocket,
    Polling { upgrade: bool },
}
canonical!(
    enum Start {
        WebSocket,
        Polling { upgrade },
    }
);

/// The attempts of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempts {
    transports: Transports,
    max: Option<NonZeroU32>,
    /// How many in a row have failed.
    failed: u32,
    /// The next one begins with the other transport.
    swapped: bool,
    /// One is under way, and has not come to the handshake.
    opening: bool,
}
canonical!(struct Attempts { failed, swapped, opening; - transports, max });

impl Attempts {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            transports: config.transports,
            max: config.attempts_max,
            failed: 0,
            swapped: false,
            opening: false,
        }
    }

    /// How the present attempt begins, or the next one where there is none.
    pub(super) fn start(&self) -> Start {
        match (self.transports, self.swapped) {
            (Transports::WebSocket, _)
            | (Transports::WebSocketPolling, false)
            | (Transports::PollingWebSocket, true) => Start::WebSocket,
            (Transports::Polling, _) => Start::Polling { upgrade: false },
            (Transports::PollingWebSocket, false) | (Transports::WebSocketPolling, true) => {
                Start::Polling { upgrade: true }
            }
        }
    }

    pub(super) fn on_dial(&mut self) {
        self.opening = true;
    }

    pub(super) fn on_handshake(&mut self) {
        self.opening = false;
    }

    /// The connection has ended, or the attempt has come to nothing. Says whether that was one
    /// attempt too many.
    pub(super) fn on_down(&mut self, was_live: bool) -> bool {
        self.swapped ^= self.opening;
        self.opening = false;
        self.failed = if was_live {
            0
        } else {
            self.failed.saturating_add(1)
        };
        let is_last = self.max.is_some_and(|max| self.failed >= max.get());
        if is_last {
            self.failed = 0;
        }
        is_last
    }

    /// Nothing is wanted of the server any more.
    pub(super) fn on_rest(&mut self) {
        self.failed = 0;
        self.opening = false;
    }
}
