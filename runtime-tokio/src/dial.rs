//! Opens WebSockets: TCP, then the proxy, then TLS, then the handshake.

mod head;

use std::{io, sync::Arc};

use reqwest::{Url, header::HeaderMap};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, client::IntoClientRequest as _, protocol::Role},
};

use self::head::Head;
use crate::{
    descriptors,
    proxy::{self, Proxy},
    report::{advised, chain, clipped},
    tls,
    ws::{self, ReadAhead},
};

/// Where a guild node takes Engine.IO connections: path and query.
const TARGET: (&str, &str) = ("/socket.io/", "EIO=4&transport=websocket");

/// The largest message and the largest frame that a guild may send. A push holds one message or
/// one canvas of at most 1 MiB, which JSON can make six times as long; a guild that sends more
/// would fill our memory, and its connection is closed.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The longest head of a proxy's answer.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// A byte stream of any kind.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// What a dialed WebSocket runs over.
pub type Stream = ReadAhead<Box<dyn Duplex>>;

/// Why no WebSocket was opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The origin is not one that can be dialed.
    #[error("`{0}` is not an http or https origin; correct the guild's base URL")]
    Origin(String),
    /// The URL is not one that can be dialed.
    #[error("the URL is not of http, https, ws or wss with a host; correct it")]
    Url,
    /// No TCP connection to the server.
    #[error("no connection to {0}")]
    Connect(String, #[source] io::Error),
    /// No TCP connection to the proxy.
    #[error("no connection to the proxy {0}")]
    ConnectProxy(String, #[source] io::Error),
    /// The proxy does not know the credentials, or was given none.
    #[error("the proxy {0} wants other credentials")]
    ProxyCredentials(String),
    /// The proxy did not open a tunnel for another reason.
    #[error("the proxy {0} did not open a tunnel: {1}")]
    Tunnel(String, String),
    /// TLS failed.
    #[error("TLS with {0} failed")]
    Tls(String, #[source] io::Error),
    /// The server answered with something else than a WebSocket.
    #[error("answered {0} instead of opening a WebSocket")]
    Refused(u16),
    /// The handshake broke.
    #[error("the WebSocket handshake failed: {0}")]
    Handshake(String),
}

impl DialError {
    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::ConnectProxy(..) => Some(proxy::ABSENT),
            Self::ProxyCredentials(_) => Some(proxy::CREDENTIALS),
            Self::Tunnel(..) => Some(proxy::NO_TUNNEL),
            Self::Tls(_, error) => tls::advice(error),
            Self::Connect(_, error) => descriptors::advice(error),
            // The first two say it themselves.
            Self::Origin(_) | Self::Url | Self::Refused(_) | Self::Handshake(_) => None,
        }
    }

    /// The step that failed, why, and what to do about it where that is known.
    pub fn words(&self) -> String {
        advised(&chain(self), self.advice())
    }
}

/// Dials; every connection shares its TLS configuration and proxy.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Arc<ClientConfig>,
    proxy: Option<Arc<Proxy>>,
}

impl Dialer {
    /// A dialer with the process's TLS configuration and proxy.
    pub fn new(tls: Arc<ClientConfig>, proxy: Option<Proxy>) -> Self {
        let proxy = proxy.map(Arc::new);
        Self { tls, proxy }
    }

    pub(crate) const fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }

    /// Opens the WebSocket of Engine.IO at `origin`. It takes as long as it takes: whoever dials
    /// has the patience, and drops the future.
    ///
    /// # Errors
    ///
    /// Where any step fails, in words for the log.
    pub async fn dial(&self, origin: &str) -> Result<WebSocketStream<Stream>, DialError> {
        let wrong = || DialError::Origin(origin.to_owned());
        let mut url = Url::parse(origin).map_err(|_| wrong())?;
        let (path, query) = TARGET;
        url.set_path(path);
        url.set_query(Some(query));
        let opened = self.open(&url, &HeaderMap::new(), MESSAGE_BYTES_MAX).await;
        opened.map_err(|error| {
            if matches!(error, DialError::Url) {
                wrong()
            } else {
                error
            }
        })
    }

    /// Opens a WebSocket at `url`, whose scheme may be that of HTTP or of WebSocket, with `headers`
    /// in its handshake. The peer may send messages of at most `message_bytes_max`. As
    /// [`dial`](Self::dial), it takes as long as it takes.
    ///
    /// # Errors
    ///
    /// Where any step fails, in words for the log: without path, query and headers.
    pub async fn open(
        &self,
        url: &Url,
        headers: &HeaderMap,
        message_bytes_max: usize,
    ) -> Result<WebSocketStream<Stream>, DialError> {
        let secure = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(DialError::Url),
        };
        let host = url.host_str().ok_or(DialError::Url)?;
        let port = url
            .port_or_known_default()
            .unwrap_or(if secure { 443 } else { 80 });
        let authority = format!("{host}:{port}");
        let tcp = self.connect(host, port, &authority).await?;
        let mut stream: Box<dyn Duplex> = if secure {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|_| DialError::Url)?;
            let tls = TlsConnector::from(Arc::clone(&self.tls))
                .connect(name, tcp)
                .await
                .map_err(|error| DialError::Tls(authority.clone(), error))?;
            Box::new(tls)
        } else {
            Box::new(tcp)
        };
        let scheme = if secure { "wss" } else { "ws" };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let query = url.query().map_or_else(String::new, |it| format!("?{it}"));
        let mut request = format!("{scheme}://{authority}{}{query}", url.path())
            .into_client_request()
            .map_err(|error| DialError::Handshake(chain(&error)))?;
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        let config = Some(ws::config(message_bytes_max));
        let (reader, writer) = tokio::io::split(&mut stream);
        let mut handshake = tokio::io::join(Head::new(reader), writer);
        match client_async_with_config(request, &mut handshake, config).await {
            Ok(_) => {}
            Err(tungstenite::Error::Http(answer)) => {
                return Err(DialError::Refused(answer.status().as_u16()));
            }
            Err(error) => return Err(DialError::Handshake(chain(&error))),
        }
        let (head, _) = handshake.into_inner();
        let stream = ReadAhead::after(head.into_rest(), stream);
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, config).await)
    }

    /// A TCP connection to the server, or a tunnel to it.
    async fn connect(
        &self,
        host: &str,
        port: u16,
        authority: &str,
    ) -> Result<TcpStream, DialError> {
        let Some(proxy) = &self.proxy else {
            let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
            return tcp
                .and_then(without_delay)
                .map_err(|error| DialError::Connect(authority.to_owned(), error));
        };
        let mut tcp = TcpStream::connect(proxy.address())
            .await
            .and_then(without_delay)
            .map_err(|error| DialError::ConnectProxy(proxy.url(), error))?;
        tunnel(&mut tcp, proxy, authority).await?;
        Ok(tcp)
    }
}

/// Frames are small and each one matters now.
fn without_delay(tcp: TcpStream) -> io::Result<TcpStream> {
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Asks the proxy for a tunnel: RFC 9110, section 9.3.6.
async fn tunnel(tcp: &mut TcpStream, proxy: &Proxy, authority: &str) -> Result<(), DialError> {
    let failed = |why: String| DialError::Tunnel(proxy.url(), why);
    let broken = |error: io::Error| failed(error.to_string());
    let authorization = proxy
        .authorization()
        .map(|value| format!("Proxy-Authorization: {}\r\n", value.expose()))
        .unwrap_or_default();
    let ask = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\r\n");
    tcp.write_all(ask.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the head belongs to the server.
        head.push(tcp.read_u8().await.map_err(broken)?);
        if head.len() > HEAD_BYTES_MAX {
            return Err(failed("its answer has no end".into()));
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    if status.len() == 3 && status.starts_with('2') {
        Ok(())
    } else if status == "407" {
        Err(DialError::ProxyCredentials(proxy.url()))
    } else {
        let line = head.lines().next().unwrap_or_default();
        Err(failed(format!("it answered `{}`", clipped(line, 80))))
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
