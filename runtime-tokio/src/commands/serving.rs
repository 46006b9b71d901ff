//! What the serving commands share: their errors, and how they speak and end.

use std::{
    future::Future,
    io::{self, Write as _},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{http::SetupError, serve::ServeError, tls::TlsError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A setting is missing or unusable.
    #[error("{name} {problem}; {wanted}")]
    Setting {
        /// The setting.
        name: String,
        /// What is wrong, and where it was looked for.
        problem: String,
        /// What was expected.
        wanted: String,
    },
    /// A server does not start, or ended.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no HTTP client.
    #[error(transparent)]
    Http(#[from] SetupError),
    /// The terminal or the signals of the process cannot be used.
    #[error("the process cannot use its terminal or its signals: {0}")]
    Io(#[from] io::Error),
}

/// Says something to whoever ran the command.
pub(super) fn say(words: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{words}")?;
    out.flush()
}

/// The wishes of whoever runs the process that it ends.
pub(super) struct Wishes {
    terminate: Signal,
    interrupt: Signal,
}

impl Wishes {
    /// From now on a signal does not end the process by itself.
    pub(super) fn heed() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for `ended`, or until the process is asked to end: `None`.
    pub(super) async fn or<T>(&mut self, ended: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wish() => None,
            ended = ended => Some(ended),
        }
    }

    /// Says goodbye, unless the process is asked once more: then it ends at once. What was answered
    /// is durable without a goodbye.
    pub(super) async fn farewell<T>(mut self, goodbye: impl Future<Output = T>) -> T {
        match self.or(goodbye).await {
            Some(result) => result,
            None => std::process::exit(1),
        }
    }

    async fn wish(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
