//! An HTTP proxy that tells whom it served: tunnels by CONNECT, and plain requests in absolute form.
//!
//! It takes every host for this machine, whatever it is called. A test that names its server by
//! what nobody can resolve, `guild.invalid` say, knows that nothing went around the proxy.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::relay::{Heard, relay};

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Something that the proxy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// It opened a tunnel to this authority.
    Tunnel(String),
    /// It passed a request for this URL on.
    Request(String),
    /// It answered a request itself, with this status.
    Refused(u16),
}

/// A running proxy. Dropping it closes its port, and leaves its tunnels open.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Desk {
    /// What it wants to read in `Proxy-Authorization`.
    wanted: Option<String>,
    refusal: Mutex<Option<u16>>,
    served: Mutex<Vec<Served>>,
    heard: Heard,
}

impl Proxy {
    /// Starts one that wants these credentials, `user:password`, of everybody; or none.
    ///
    /// # Panics
    ///
    /// Where there is no free port.
    pub async fn start(credentials: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let desk = Arc::new(Desk {
            wanted: credentials.map(|it| format!("basic {}", BASE64_STANDARD.encode(it))),
            refusal: Mutex::default(),
            served: Mutex::default(),
            heard: Heard::default(),
        });
        let shared = Arc::clone(&desk);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let desk = Arc::clone(&shared);
                // Whoever breaks off is not served, and sees that.
                tokio::spawn(async move { desk.serve(tcp).await });
            }
        });
        Self { port, desk, task }
    }

    /// Its URL, without credentials.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its URL with credentials, which are percent-encoded as a URL wants them.
    pub fn url_with(&self, credentials: &str) -> String {
        format!("http://{credentials}@127.0.0.1:{}", self.port)
    }

    /// Answers every request with this status from now on; `None`: serves again.
    ///
    /// # Panics
    ///
    /// If a connection has panicked.
    pub fn refuse(&self, status: Option<u16>) {
        *self.desk.refusal.lock().unwrap() = status;
    }

    /// What it has done since this was last asked.
    ///
    /// # Panics
    ///
    /// If a connection has panicked.
    pub fn served(&self) -> Vec<Served> {
        std::mem::take(&mut self.desk.served.lock().unwrap())
    }

    /// What clients have said to the servers, through tunnels and in requests that were passed on.
    pub fn heard(&self) -> &Heard {
        &self.desk.heard
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The head of a request, without its end.
struct Head {
    method: String,
    target: String,
    headers: Vec<String>,
}

impl Head {
    async fn read(tcp: &mut TcpStream) -> io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // Byte by byte: what follows belongs to the server.
            head.push(tcp.read_u8().await?);
            if head.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("a head without end"));
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().lines().map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        let mut words = first.split(' ').map(str::to_owned);
        Ok(Self {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            headers: lines.collect(),
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Desk {
    async fn serve(&self, mut tcp: TcpStream) -> io::Result<()> {
        let head = Head::read(&mut tcp).await?;
        let given = head.header("proxy-authorization").unwrap_or_default();
        let known = self
            .wanted
            .as_ref()
            .is_none_or(|it| it.eq_ignore_ascii_case(given));
        let refusal = *self.refusal.lock().unwrap();
        if let Some(status) = refusal.or_else(|| (!known).then_some(407)) {
            return self.refuse(tcp, status).await;
        }
        if head.method == "CONNECT" {
            return self.tunnel(tcp, head.target).await;
        }
        let Some((authority, path)) = absolute(&head.target) else {
            return self.refuse(tcp, 400).await;
        };
        self.note(Served::Request(head.target.clone()));
        let mut server = here(authority).await?;
        // One request a connection, so that each is seen here.
        let mut request = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", head.method);
        for line in &head.headers {
            let name = line
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            if !matches!(
                name.as_str(),
                "proxy-authorization" | "proxy-connection" | "connection"
            ) {
                request.push_str(line);
                request.push_str("\r\n");
            }
        }
        request.push_str("\r\n");
        self.heard.keep(request.as_bytes());
        server.write_all(request.as_bytes()).await?;
        relay(tcp, server, &self.heard).await
    }

    async fn tunnel(&self, mut tcp: TcpStream, authority: String) -> io::Result<()> {
        let server = here(&authority).await;
        let Ok(server) = server else {
            return self.refuse(tcp, 502).await;
        };
        self.note(Served::Tunnel(authority));
        tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
        relay(tcp, server, &self.heard).await
    }

    async fn refuse(&self, mut tcp: TcpStream, status: u16) -> io::Result<()> {
        self.note(Served::Refused(status));
        let answer = format!(
            "HTTP/1.1 {status} No\r\nProxy-Authenticate: Basic realm=\"test\"\r\nContent-Length: \
             0\r\nConnection: close\r\n\r\n"
        );
        tcp.write_all(answer.as_bytes()).await?;
        tcp.shutdown().await?;
        // A body that was not read would make the system reset the connection.
        tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await?;
        Ok(())
    }

    fn note(&self, served: Served) {
        self.served.lock().unwrap().push(served);
    }
}

/// The authority, and the path with its query, of `http://authority/path`.
fn absolute(target: &str) -> Option<(&str, &str)> {
    let rest = target.strip_prefix("http://")?;
    rest.split_at_checked(rest.find('/')?)
}

/// The port of an authority, on this machine: over IPv6 where it names a literal of that.
async fn here(authority: &str) -> io::Result<TcpStream> {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let host = if host == "[::1]" { "::1" } else { "127.0.0.1" };
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
