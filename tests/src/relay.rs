//! Carries bytes both ways between two streams, and keeps what the client said.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};

/// How much is kept of what clients say: the heads of their requests are within it.
const HEARD_MAX: usize = 4 << 20;

/// What clients have said, in the order of its arrival.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    /// As text, in lower case: names of headers come in any.
    pub fn text(&self) -> String {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).to_lowercase()
    }

    pub(crate) fn keep(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = HEARD_MAX.saturating_sub(heard.len());
        heard.extend(bytes.iter().take(room));
    }
}

/// Relays until both sides have ended, or one of them breaks.
///
/// # Errors
///
/// Where one breaks; the other is closed then.
pub(crate) async fn relay(
    client: impl AsyncRead + AsyncWrite,
    server: impl AsyncRead + AsyncWrite,
    heard: &Heard,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = from_client.read(&mut buffer).await?;
            let bytes = buffer.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                return to_server.shutdown().await;
            }
            heard.keep(bytes);
            to_server.write_all(bytes).await?;
            to_server.flush().await?;
        }
    };
    let down = async {
        copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(up, down).map(|_| ())
}
