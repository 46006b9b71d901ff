//! Those who receive on one connection: a bare reader, one that decodes, and the client.

use std::{convert::Infallible, str::FromStr};

use futures::{SinkExt as _, StreamExt as _};
use selvedge::socketio::{Client, Signal, client::Transport};
use selvedge_core::fabric::realtime::{MESSAGE_CREATED, NAMESPACE};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::wire::{EVENT, Message};
use crate::fabric::Fault;

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A bare WebSocket whose frames are counted.
    Bare,
    /// A bare WebSocket whose frames are decoded to a struct that borrows from them.
    Typed,
    /// The public client; each event is asked for the same struct.
    Client,
}

impl Reader {
    /// As it is named to the program `receive-peer`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Typed => "typed",
            Self::Client => "client",
        }
    }
}

impl FromStr for Reader {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Bare, Self::Typed, Self::Client];
        let found = all.into_iter().find(|reader| reader.name() == name);
        found.ok_or_else(|| format!("no reader is called {name}"))
    }
}

/// Reads what the blaster at a port of loopback says, and says `done` and the sum of all `seq`
/// whenever it has so many more; a bare reader does not know the sum.
///
/// # Errors
///
/// Where the connection ends, or something else comes.
pub async fn read(reader: Reader, port: u16, messages: u64) -> Result<(), Fault> {
    let mut count = Count {
        messages,
        got: 0,
        sum: 0,
    };
    match reader {
        Reader::Bare => bare(port, |_| Ok(0), &mut count).await,
        Reader::Typed => bare(port, |frame| Ok(decode(frame)?.seq), &mut count).await,
        Reader::Client => client(port, &mut count).await,
    }
}

struct Count {
    /// How many there are in a turn.
    messages: u64,
    got: u64,
    sum: u64,
}

impl Count {
    fn add(&mut self, seq: u64) {
        self.got += 1;
        self.sum += seq;
        if self.got == self.messages {
            say(self.sum);
            self.got = 0;
        }
    }
}

#[expect(clippy::print_stdout, reason = "whoever started it reads this")]
fn say(sum: u64) {
    println!("done {sum}");
}

fn decode(json: &str) -> Result<Message<'_>, Fault> {
    let (event, message): (&str, _) = serde_json::from_str(json)?;
    match event {
        MESSAGE_CREATED => Ok(message),
        other => Err(format!("an event {other}").into()),
    }
}

async fn bare(
    port: u16,
    seq: impl Fn(&str) -> Result<u64, Fault>,
    count: &mut Count,
) -> Result<(), Fault> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = tokio_tungstenite::client_async(url, tcp).await?;
    let auth = json!({ "token": "t" });
    let connect = format!("40{NAMESPACE},{auth}");
    socket.send(Frame::text(connect)).await?;
    while let Some(frame) = socket.next().await {
        let Frame::Text(frame) = frame? else { continue };
        match frame.strip_prefix(EVENT) {
            Some(json) => count.add(seq(json)?),
            None if frame == "2" => socket.send(Frame::text("3")).await?,
            None => {}
        }
    }
    Err("the blaster has hung up".into())
}

async fn client(port: u16, count: &mut Count) -> Result<(), Fault> {
    let url = format!("http://127.0.0.1:{port}");
    let mut socket = Client::connect(&url)
        .transports([Transport::WebSocket])
        .namespace(NAMESPACE)
        .auth(|| async { Ok::<_, Infallible>(json!({ "token": "t" })) })
        .open()?;
    while let Some(signal) = socket.next().await {
        if let Signal::Event(event) = &signal
            && event.name() == MESSAGE_CREATED
        {
            let (message,): (Message<'_>,) = event.args()?;
            count.add(message.seq);
        } else if !matches!(signal, Signal::Connected { .. }) {
            return Err(format!("{signal:?}").into());
        }
    }
    Err("the client has ended".into())
}
