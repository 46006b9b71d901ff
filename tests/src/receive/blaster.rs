//! A guild that says as much as it can: a bare WebSocket server.

use std::{cell::Cell, collections::VecDeque, rc::Rc, time::Duration};

use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify, mpsc},
    time::{interval, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, Utf8Bytes},
};

use super::{
    front,
    wire::{Asked, asked, channel, frame},
};
use crate::fabric::Fault;

/// How many messages a socket is given at a time at the most.
const RUN_MAX: usize = 64;

/// How often a socket is pinged.
const PING_EVERY: Duration = Duration::from_secs(25);

/// The packet that opens Engine.IO, with that span.
const OPEN: &str =
    r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1000000}"#;

type Sink = Rc<Mutex<SplitSink<WebSocketStream<TcpStream>, Message>>>;

/// Who is to be there before anything is said.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How many sockets.
    pub sockets: usize,
    /// How many channels there are. Every socket gets what is said in all of them.
    pub channels: usize,
    /// Whether each socket is to enter the room of each channel first.
    pub joins: bool,
}

/// What a blaster is told: lines of its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Say so many messages to each socket, with at most so many under way in all (0: any number), and
    /// so many a second (0: as many as can be).
    Say {
        messages: usize,
        window: usize,
        rate: usize,
    },
    /// So many messages have arrived, in all.
    Got(usize),
}

impl Order {
    pub(super) fn line(self) -> String {
        match self {
            Self::Say {
                messages,
                window,
                rate,
            } => format!("say {messages} {window} {rate}\n"),
            Self::Got(all) => format!("got {all}\n"),
        }
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let what = words.next()?;
        let mut number = || words.next()?.parse().ok();
        match what {
            "say" => Some(Self::Say {
                messages: number()?,
                window: number()?,
                rate: number()?,
            }),
            "got" => Some(Self::Got(number()?)),
            _ => None,
        }
    }
}

/// A guild with its sockets. It says its port, `ready` once its crowd is there, and stops when its
/// standard input ends.
pub struct Blaster {
    crowd: Crowd,
    sinks: Vec<Sink>,
    /// The names of the channels, and what was said in each to every socket.
    rooms: Vec<(String, u64)>,
    /// The room that is next.
    next: usize,
    /// How many messages were said in all, and how many of them have arrived.
    said: usize,
    got: Rc<Cell<usize>>,
    heard: Rc<Notify>,
}

impl Blaster {
    /// Serves on a free port of loopback, in a `LocalSet`.
    ///
    /// # Errors
    ///
    /// Where there is no port, or a socket breaks.
    pub async fn run(crowd: Crowd) -> Result<(), Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        say(&listener.local_addr()?.port().to_string());
        let (sockets_in, mut sockets) = mpsc::unbounded_channel();
        tokio::spawn(front::receive(listener, crowd.channels, sockets_in));
        let (asked_in, mut all_asked) = mpsc::unbounded_channel();
        let mut sinks = Vec::new();
        let mut missing = crowd.sockets * if crowd.joins { crowd.channels } else { 1 };
        while missing > 0 {
            tokio::select! {
                biased;
                Some(tcp) = sockets.recv() => sinks.push(open(tcp, crowd.joins, asked_in.clone()).await?),
                Some(()) = all_asked.recv() => missing -= 1,
            }
        }
        say("ready");
        let mut blaster = Self {
            crowd,
            sinks,
            rooms: (0..crowd.channels)
                .map(|number| (channel(number), 0))
                .collect(),
            next: 0,
            said: 0,
            got: Rc::default(),
            heard: Rc::default(),
        };
        blaster.obey().await
    }

    async fn obey(&mut self) -> Result<(), Fault> {
        let (orders_in, mut orders) = mpsc::unbounded_channel();
        let (got, heard) = (Rc::clone(&self.got), Rc::clone(&self.heard));
        tokio::task::spawn_local(async move {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match Order::read(&line) {
                    Some(Order::Got(all)) => {
                        got.set(all);
                        heard.notify_one();
                    }
                    Some(say) => {
                        // Whoever obeys is there for as long as there are lines.
                        let _ = orders_in.send(say);
                    }
                    None => break,
                }
            }
        });
        while let Some(order) = orders.recv().await {
            if let Order::Say {
                messages,
                window,
                rate,
            } = order
            {
                match rate {
                    0 => self.blast(messages, window).await?,
                    rate => self.pace(messages, rate).await?,
                }
            }
        }
        Ok(())
    }

    /// As many as can be.
    async fn blast(&mut self, messages: usize, window: usize) -> Result<(), Fault> {
        let window = if window == 0 { usize::MAX } else { window };
        let run = (window / self.crowd.sockets).clamp(1, RUN_MAX);
        let mut left = messages;
        while left > 0 {
            let run = run.min(left);
            let seqs: VecDeque<_> = (0..run).map(|_| self.next_message()).collect();
            for sink in &self.sinks {
                while self.said + run > self.got.get().saturating_add(window) {
                    self.heard.notified().await;
                }
                let mut sink = sink.lock().await;
                for (room, seq) in &seqs {
                    let Some((name, _)) = self.rooms.get(*room) else {
                        continue;
                    };
                    sink.feed(text(frame(name, *seq))).await?;
                }
                sink.flush().await?;
                self.said += run;
            }
            left -= run;
            // Where nobody is behind, nothing above has waited.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// So many in a second: each when it is its turn.
    async fn pace(&mut self, messages: usize, rate: usize) -> Result<(), Fault> {
        let mut tick = interval(Duration::from_secs(1) / u32::try_from(rate)?);
        for _ in 0..messages {
            tick.tick().await;
            let (room, seq) = self.next_message();
            for sink in &self.sinks {
                if let Some((name, _)) = self.rooms.get(room) {
                    sink.lock().await.send(text(frame(name, seq))).await?;
                }
            }
            self.said += self.sinks.len();
        }
        Ok(())
    }

    /// The room of the next message, and its number there.
    fn next_message(&mut self) -> (usize, u64) {
        let room = self.next;
        self.next = (room + 1) % self.rooms.len();
        let seq = self.rooms.get_mut(room).map_or(0, |(_, seq)| {
            *seq += 1;
            *seq
        });
        (room, seq)
    }
}

/// Opens a WebSocket, and answers what its client asks from then on; `asks` is told when it has got
/// in, or of each room that it has entered.
async fn open(tcp: TcpStream, joins: bool, asks: mpsc::UnboundedSender<()>) -> Result<Sink, Fault> {
    let socket = tokio_tungstenite::accept_async(tcp).await?;
    let (mut sink, stream) = socket.split();
    sink.send(text(OPEN.to_owned())).await?;
    let sink = Rc::new(Mutex::new(sink));
    let (answers, pings) = (Rc::clone(&sink), Rc::clone(&sink));
    tokio::task::spawn_local(async move {
        // Whoever is gone is missed by whoever counts.
        let _ = answer(stream, answers, joins, asks).await;
    });
    tokio::task::spawn_local(async move {
        loop {
            sleep(PING_EVERY).await;
            if pings.lock().await.send(text("2".to_owned())).await.is_err() {
                return;
            }
        }
    });
    Ok(sink)
}

async fn answer(
    mut stream: SplitStream<WebSocketStream<TcpStream>>,
    sink: Sink,
    joins: bool,
    asks: mpsc::UnboundedSender<()>,
) -> Result<(), Fault> {
    while let Some(message) = stream.next().await {
        let Message::Text(frame) = message? else {
            continue;
        };
        let Some(what) = asked(&frame) else { continue };
        let (said, counts) = match what {
            Asked::Connect => (r#"40/realtime,{"sid":"n"}"#.to_owned(), !joins),
            Asked::Event(number, channel) => {
                let ack = format!(r#"43/realtime,{number}[{{"ok":true,"lastSeq":0}}]"#);
                (ack, joins && channel.is_some())
            }
        };
        sink.lock().await.send(text(said)).await?;
        if counts {
            // Nobody counts any more once all are there.
            let _ = asks.send(());
        }
    }
    Ok(())
}

fn text(text: String) -> Message {
    Message::Text(Utf8Bytes::from(text))
}

#[expect(clippy::print_stdout, reason = "whoever started it reads this")]
fn say(line: &str) {
    println!("{line}");
}
