//! Everybody who receives, with a blaster each, and what a turn costs them.

use std::{path::Path, time::Duration};

use selvedge::clock::Clock;
use tokio::{process::Command, time::timeout};

use super::{
    CHANNEL_WINDOW, WINDOW,
    blaster::{Crowd, Order},
    pipe::Plugin,
    process::Process,
    readers::Reader,
};
use crate::{PATIENCE, cost::Cost, fabric::Fault, npm};

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program of ours with one connection.
    Reader(Reader),
    /// `rust_socketio`, whose events are taken as its JSON values.
    RustSocketio,
    /// The official client from npm.
    Npm,
    /// `selvedge plugin` with so many agents.
    Plugin(usize),
}

impl Kind {
    /// As it is called in a table.
    pub fn name(self) -> String {
        match self {
            Self::Reader(Reader::Bare) => "tungstenite, counted".into(),
            Self::Reader(Reader::Typed) => "tungstenite, typed".into(),
            Self::Reader(Reader::Client) => "selvedge, the client".into(),
            Self::RustSocketio => "rust_socketio".into(),
            Self::Npm => "socket.io-client".into(),
            Self::Plugin(1) => "selvedge, an agent".into(),
            Self::Plugin(agents) => format!("selvedge, {agents} agents"),
        }
    }
}

/// A turn of a receiver: a number of messages, and what they have cost it.
#[derive(Clone, Debug)]
pub struct Turn {
    /// How many there were.
    pub messages: usize,
    /// From the order to say them to the last one's arrival.
    pub took: Duration,
    /// Processor time of the process that received them.
    pub cpu: Duration,
    /// The most memory that it ever had, in KiB.
    pub peak: u64,
    /// How long each took from its making to the host, in nanoseconds; of the plugin alone, in order of
    /// length.
    pub latencies: Vec<u64>,
}

/// One who receives, and the blaster that it is connected with.
pub struct Receiver {
    kind: Kind,
    crowd: Crowd,
    messages: usize,
    /// How many messages were said to each socket, and the sum of their `seq`.
    said: u64,
    seqs: u64,
    /// How many have arrived, in all.
    got: usize,
    blaster: Process,
    end: End,
}

/// Where messages arrive.
enum End {
    Peer(Process),
    Plugin(Plugin),
}

impl Receiver {
    /// Starts both, with so many channels and messages a turn; `program` is `receive-peer`, `rust` the
    /// client of `rust_socketio`. `None` where one is from npm and there is no Node.
    ///
    /// # Errors
    ///
    /// Where one of them does not start.
    pub async fn start(
        kind: Kind,
        [program, rust]: [&Path; 2],
        channels: usize,
        messages: usize,
    ) -> Result<Option<Self>, Fault> {
        let (sockets, joins) = match kind {
            Kind::Plugin(agents) => (agents, true),
            Kind::Reader(_) | Kind::RustSocketio | Kind::Npm => (1, false),
        };
        let crowd = Crowd {
            sockets,
            channels,
            joins,
        };
        let mut blast = Command::new(program);
        blast.args(["blast", &sockets.to_string(), &channels.to_string()]);
        blast.args(joins.then_some("--joins"));
        let mut blaster = Process::start(blast)?;
        let port = blaster.says("").await?;
        let end = match kind {
            Kind::Reader(reader) => {
                let mut read = Command::new(program);
                read.args(["read", reader.name()]);
                End::Peer(peer(read, &port, messages)?)
            }
            Kind::RustSocketio => End::Peer(peer(Command::new(rust), &port, messages)?),
            Kind::Npm => match npm::command("receive.mjs") {
                Some(command) => End::Peer(peer(command.into(), &port, messages)?),
                None => return Ok(None),
            },
            Kind::Plugin(agents) => End::Plugin(Plugin::start(port.parse()?, agents).await?),
        };
        blaster.says("ready").await?;
        Ok(Some(Self {
            kind,
            crowd,
            messages,
            said: 0,
            seqs: 0,
            got: 0,
            blaster,
            end,
        }))
    }

    /// The messages of a turn, as fast as they are taken.
    ///
    /// # Errors
    ///
    /// Where one is lost, or comes twice.
    pub async fn blast(&mut self) -> Result<Turn, Fault> {
        let window = match self.kind {
            Kind::Plugin(_) => WINDOW.min(CHANNEL_WINDOW * self.crowd.channels),
            Kind::Reader(_) | Kind::RustSocketio | Kind::Npm => 0,
        };
        self.play(self.messages, window, 0).await
    }

    /// So many messages of a second each, to the plugin.
    ///
    /// # Errors
    ///
    /// As of [`blast`](Self::blast).
    pub async fn pace(&mut self, messages: usize, rate: usize) -> Result<Turn, Fault> {
        self.play(messages, 0, rate).await
    }

    async fn play(&mut self, messages: usize, window: usize, rate: usize) -> Result<Turn, Fault> {
        let clock = Clock::start();
        let (before, began) = (self.cost()?, clock.now());
        let order = Order::Say {
            messages,
            window,
            rate,
        };
        self.blaster.tell(&order.line()).await?;
        let before_seqs = self.seqs;
        for _ in 0..messages {
            self.seqs += self.said / self.crowd.channels as u64 + 1;
            self.said += 1;
        }
        let mut latencies = Vec::new();
        match &mut self.end {
            End::Peer(peer) => {
                let sum: u64 = peer.says("done").await?.parse()?;
                let counts_only = self.kind == Kind::Reader(Reader::Bare);
                let right = if counts_only { 0 } else { self.seqs };
                agree(sum, right)?;
            }
            End::Plugin(plugin) => {
                let wanted = messages * self.crowd.sockets;
                let (mut got, mut seqs) = (0, 0);
                while got < wanted {
                    let arrived = timeout(PATIENCE, plugin.next()).await;
                    let arrived = arrived
                        .map_err(|_| format!("{got} messages of {wanted} have arrived"))??;
                    got += arrived.messages;
                    seqs += arrived.seqs;
                    if rate > 0 {
                        latencies.push(arrived.took);
                    }
                    if window > 0 && !plugin.has_more() {
                        let order = Order::Got(self.got + got);
                        self.blaster.tell(&order.line()).await?;
                    }
                }
                self.got += got;
                agree(seqs, (self.seqs - before_seqs) * self.crowd.sockets as u64)?;
            }
        }
        latencies.sort_unstable();
        let (after, took) = (self.cost()?, clock.now().since(began));
        Ok(Turn {
            messages: messages * self.crowd.sockets,
            took,
            cpu: after.cpu - before.cpu,
            peak: after.peak,
            latencies,
        })
    }

    fn cost(&self) -> Result<Cost, Fault> {
        match &self.end {
            End::Peer(peer) => peer.cost(),
            End::Plugin(plugin) => plugin.cost(),
        }
    }
}

fn agree(sum: u64, right: u64) -> Result<(), Fault> {
    match sum == right {
        true => Ok(()),
        false => Err(format!("the messages' numbers are {sum} in sum, and not {right}").into()),
    }
}

/// Somebody who reads from the blaster at that port.
fn peer(mut command: Command, port: &str, messages: usize) -> Result<Process, Fault> {
    // The npm client is in production where it is measured.
    command.env("NODE_ENV", "production");
    command.args([port, &messages.to_string()]);
    Process::start(command)
}
