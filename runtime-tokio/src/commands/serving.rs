//! What the serving commands share: their errors, and how they speak and end.

use std::{
    future::Future,
    io::{self, Write as _},
};

use tokio::signal::unix::{SignalKind, signal};

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

/// Waits for `ended`, or until the process is asked to end: `None`.
pub(super) async fn until_asked<T>(ended: impl Future<Output = T>) -> io::Result<Option<T>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        biased;
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = ended => Some(ended),
    })
}
