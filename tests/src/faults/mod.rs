//! A network that misbehaves: a TCP proxy before a server, for REST and WebSockets alike, whose faults
//! are drawn from a seed.
//!
//! Each connection has a generator of its own, so that what happens to it does not depend on the others.
//! In calm weather everything passes.

mod fault;
mod line;
mod tally;

use std::{io, time::Duration};

use selvedge_core::rng::Rng;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use self::line::Line;
pub use self::{fault::Kind, tally::Tally};
use crate::port::Port;

/// How long the door is open in a storm between two times that it is shut.
const OPEN: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(20));
/// How long it is shut.
const SHUT: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));

/// What a proxy is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1 of the server.
    pub server: u16,
    /// Whether what a client has said still reaches the server after it was held, when the client
    /// itself is gone meanwhile. A guild without nonces cannot tell such a post from a second one.
    pub late: bool,
}

/// A running proxy. Dropping it closes its port and all of its connections.
#[derive(Debug)]
pub struct Faults {
    port: u16,
    stormy: watch::Sender<bool>,
    tally: Tally,
    task: JoinHandle<()>,
}

impl Faults {
    /// Starts one, in calm weather.
    ///
    /// # Errors
    ///
    /// Where there is no free port.
    pub fn start(options: Options, rng: &Rng, tally: Tally) -> io::Result<Self> {
        let door = Port::keep()?;
        let listener = door.listen()?;
        let (stormy, weather) = watch::channel(false);
        let port = door.number();
        let host = Host {
            options,
            rng: rng.clone(),
            weather,
            tally: tally.clone(),
            served: 0,
            lines: JoinSet::new(),
        };
        let task = tokio::spawn(host.serve(door, listener, rng.fork("door")));
        Ok(Self {
            port,
            stormy,
            tally,
            task,
        })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Begins to misbehave, or ends it. What is held then goes on in a while; what is swallowed never
    /// does.
    pub fn storm(&self, stormy: bool) {
        self.stormy.send_replace(stormy);
    }

    /// What it has done so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What serves the clients.
struct Host {
    options: Options,
    rng: Rng,
    weather: watch::Receiver<bool>,
    tally: Tally,
    served: u64,
    lines: JoinSet<()>,
}

impl Host {
    async fn serve(mut self, door: Port, mut listener: TcpListener, mut rng: Rng) {
        loop {
            let weather = self.weather.clone();
            tokio::select! {
                biased;
                () = shut(&mut rng, weather) => {}
                () = self.accept_all(&listener) => {}
            }
            drop(listener);
            self.tally.count(Kind::Refusal);
            sleep(rng.between(SHUT.0, SHUT.1)).await;
            // The system may take a moment to give the port back.
            listener = loop {
                match door.listen() {
                    Ok(listener) => break listener,
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            };
        }
    }

    async fn accept_all(&mut self, listener: &TcpListener) {
        loop {
            tokio::select! {
                biased;
                Some(_) = self.lines.join_next() => {}
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        self.carry(client);
                    }
                }
            }
        }
    }

    fn carry(&mut self, client: TcpStream) {
        self.served += 1;
        let line = Line {
            options: self.options.clone(),
            rng: self.rng.fork(&format!("line {}", self.served)),
            weather: self.weather.clone(),
            tally: self.tally.clone(),
        };
        self.lines.spawn(line.carry(client));
    }
}

/// Waits until the door is to be shut.
async fn shut(rng: &mut Rng, mut weather: watch::Receiver<bool>) {
    loop {
        fault::storm(&mut weather).await;
        sleep(rng.between(OPEN.0, OPEN.1)).await;
        if *weather.borrow() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
