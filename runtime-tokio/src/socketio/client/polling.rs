//! HTTP long-polling: one request, one whole answer.

use std::sync::OnceLock;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use selvedge_core::{engineio::transport::Answer, http::Failure};

use super::target::Target;
use crate::{
    dial::Dialer,
    http::{self, SetupError},
    report::chain,
};

/// The requests of one client: one pool of connections, which is made with the first of them.
///
/// There is no limit of time here, other than for making a connection: a poll is answered when the
/// server has something to say, after `pingInterval` at the latest, which may be any span. The
/// machine has the patience for each request, by the numbers of the server's handshake, and gives up
/// what takes longer; then the request is dropped, and its connection with it.
#[derive(Debug)]
pub(super) struct Polling {
    /// It takes some KiB, and where WebSockets get through it is never needed.
    client: OnceLock<reqwest::Client>,
    body_bytes_max: usize,
}

/// What to ask for.
#[derive(Debug)]
pub(super) enum Ask {
    Get,
    Post(Bytes),
}

impl Polling {
    /// To poll by the TLS configuration and the proxy of a dialer.
    pub(super) fn new(dialer: &Dialer, body_bytes_max: usize) -> Result<Self, SetupError> {
        // What cannot be used is told now.
        let _ = http::builder(dialer.tls(), dialer.proxy())?;
        Ok(Self {
            client: OnceLock::new(),
            body_bytes_max,
        })
    }

    fn client(&self, dialer: &Dialer) -> Result<&reqwest::Client, SetupError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = http::builder(dialer.tls(), dialer.proxy())?.build()?;
        // Of two that are made at the same time, the first is kept.
        Ok(self.client.get_or_init(|| client))
    }

    /// Sends one request and reads the whole answer.
    pub(super) async fn exchange(
        &self,
        dialer: &Dialer,
        target: &Target,
        sid: Option<&str>,
        ask: Ask,
    ) -> Result<Answer, Failure> {
        let client = self.client(dialer);
        let client = client.map_err(|error| Failure::Unreachable(chain(&error).into()))?;
        let url = target.url("polling", sid);
        let request = match ask {
            Ask::Get => client.get(url),
            Ask::Post(body) => client
                .post(url)
                .header(CONTENT_TYPE, "text/plain;charset=UTF-8")
                .body(body),
        };
        let request = request.headers(target.headers.clone());
        let answer = http::sent(request, dialer.proxy()).await?;
        Ok(Answer {
            status: answer.status().as_u16(),
            body: http::read_within(answer, self.body_bytes_max).await?,
        })
    }
}
