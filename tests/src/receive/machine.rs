//! The agents' machines alone: what a message costs them, with everybody around them answering at once.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use selvedge_core::{
    Rng, Secret, Time,
    fabric::center::{Grant, Session, User},
    http::{Method, Response},
    id::{AgentId, GuildId, NodeId, UserId},
    plugin::{
        agent::Agent,
        config::Config,
        io::{HostEvent, Input, Output},
        kept::Kept,
    },
    step,
    ws::{Action, ConnId, Event, Frame},
};
use serde_json::json;

use super::wire::{Asked, asked, channel, frame};
use crate::fabric::Fault;

/// How many frames an agent is given before what it has asked for is answered: a turn of the driver.
const RUN: usize = 64;

/// How much time goes by between two such runs: a thousand messages of an agent take 16 ms.
const PAUSE: Duration = Duration::from_millis(1);

/// What is different between two of them.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// How many agents there are.
    pub agents: usize,
    /// How many channels each is in.
    pub channels: usize,
    /// How many ids of messages each remembers.
    pub dedup: usize,
}

/// Agents that are live, on one thread.
pub struct Driven {
    agents: Vec<Driver>,
    next: usize,
}

/// One agent, with all that it asks for.
struct Driver {
    agent: Agent,
    now: Time,
    conn: ConnId,
    rooms: Vec<(String, u64)>,
    room: usize,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    woken: usize,
}

impl Driven {
    /// Agents that have joined all their channels.
    ///
    /// # Errors
    ///
    /// Where one does not come so far.
    pub fn new(curve: Curve) -> Result<Self, Fault> {
        let agents = (0..curve.agents).map(|number| Driver::new(number, curve));
        Ok(Self {
            agents: agents.collect::<Result<_, _>>()?,
            next: 0,
        })
    }

    /// Wakes them by so many messages, one agent after the other; how long that took the thread.
    ///
    /// # Errors
    ///
    /// Where one is lost.
    pub fn wake(&mut self, messages: usize) -> Result<Duration, Fault> {
        let mut took = Duration::ZERO;
        let mut left = messages;
        while left > 0 {
            let run = RUN.min(left);
            let next = self.next;
            self.next = (next + 1) % self.agents.len();
            let driver = self.agents.get_mut(next).ok_or("no agents")?;
            let frames: Vec<_> = (0..run).map(|_| driver.next_frame()).collect();
            let before = thread_time();
            driver.wake(frames)?;
            took += thread_time() - before;
            left -= run;
        }
        Ok(took)
    }
}

impl Driver {
    fn new(number: usize, curve: Curve) -> Result<Self, Fault> {
        let mut config = Config::new(AgentId::new(&format!("agent-{number}")).ok_or("an id")?);
        config.dedup_max = curve.dedup;
        // As of the plugin's bench.
        config.listing_every = Duration::from_secs(24 * 60 * 60);
        let rng = Rng::from_number(number as u64);
        let mut driver = Self {
            agent: Agent::new(config, Kept::default(), rng),
            now: Time::from_micros(1_700_000_000_000_000),
            conn: ConnId(0),
            rooms: (0..curve.channels)
                .map(|number| (channel(number), 0))
                .collect(),
            room: 0,
            inputs: vec![Input::Host(HostEvent::Ready { turns: false })],
            outputs: Vec::new(),
            woken: 0,
        };
        step(&mut driver.agent, driver.now, None, &mut driver.outputs);
        driver.settle()?;
        let live = driver
            .agent
            .guilds()
            .any(|(_, is_live, of)| is_live && of == curve.channels);
        live.then_some(driver)
            .ok_or_else(|| "an agent is not live".into())
    }

    fn next_frame(&mut self) -> Frame {
        let room = self.room;
        self.room = (room + 1) % self.rooms.len();
        let frame = self.rooms.get_mut(room).map(|(name, seq)| {
            *seq += 1;
            frame(name, *seq)
        });
        Frame::Text(frame.unwrap_or_default().into())
    }

    fn wake(&mut self, frames: Vec<Frame>) -> Result<(), Fault> {
        self.now = self.now + PAUSE;
        let wanted = self.woken + frames.len();
        let conn = self.conn;
        let events = frames.into_iter().map(Event::Frame);
        self.inputs
            .extend(events.map(|event| Input::Transport(conn, event)));
        self.settle()?;
        match self.woken == wanted {
            true => Ok(()),
            false => Err(format!("woken {} times, not {wanted}", self.woken).into()),
        }
    }

    /// Steps until there is nothing to answer.
    fn settle(&mut self) -> Result<(), Fault> {
        loop {
            for output in std::mem::take(&mut self.outputs) {
                self.answer(output)?;
            }
            if self.inputs.is_empty() {
                return Ok(());
            }
            for input in std::mem::take(&mut self.inputs) {
                step(&mut self.agent, self.now, Some(input), &mut self.outputs);
            }
        }
    }

    fn answer(&mut self, output: Output) -> Result<(), Fault> {
        match output {
            Output::Login(id) => {
                self.inputs.push(Input::Admitted(id));
                self.inputs.push(Input::LoggedIn(id, Ok(session()?)));
            }
            Output::Claim(id, _) => self.inputs.push(Input::Claimed(id, Ok(()))),
            Output::Dial { conn, .. } => {
                self.conn = conn;
                self.inputs.push(Input::Dialed(conn, Ok(())));
                self.say(r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#.into());
            }
            Output::Transport(_, Action::Send(Frame::Text(text))) => match asked(&text) {
                Some(Asked::Connect) => self.say(r#"40/realtime,{"sid":"n"}"#.into()),
                Some(Asked::Event(number, _)) => {
                    self.say(format!(
                        r#"43/realtime,{number}[{{"ok":true,"lastSeq":0}}]"#
                    ));
                }
                None => {}
            },
            Output::Http { id, request, .. } => {
                if request.method != Method::Get || !request.target.contains("/channels?") {
                    return Err(format!("an agent asks for {}", request.target).into());
                }
                let rows = self.rooms.iter().map(|(name, _)| {
                    json!({ "id": name, "name": name, "xType": "general", "lastSeq": 0, "joinedSeq": 0 })
                });
                let body = rows.collect::<serde_json::Value>().to_string();
                self.inputs.push(Input::Http(
                    id,
                    Ok(Response {
                        status: 200,
                        retry_after: None,
                        body: body.into(),
                    }),
                ));
            }
            Output::Store(id, _) => self.inputs.push(Input::Stored(id, Ok(()))),
            Output::Notify(inbound) => {
                self.woken += inbound.messages.len();
                let written = HostEvent::Written(inbound.turn_id);
                self.inputs.push(Input::Host(written));
            }
            Output::Transport(..)
            | Output::HangUp(_)
            | Output::Forget(_)
            | Output::Answer { .. }
            | Output::Note(_) => {}
        }
        Ok(())
    }

    fn say(&mut self, text: String) {
        let event = Event::Frame(Frame::Text(text.into()));
        self.inputs.push(Input::Transport(self.conn, event));
    }
}

fn session() -> Result<Session, Fault> {
    Ok(Session {
        user: User {
            id: UserId::new("u_self").ok_or("an id")?,
            name: "self".into(),
        },
        grants: vec![Grant {
            node_id: NodeId::new("node").ok_or("an id")?,
            guild_id: GuildId::new("local").ok_or("an id")?,
            base_url: Some("http://127.0.0.1:7002".into()),
            token: Secret::new("token"),
            life: Duration::from_secs(24 * 60 * 60),
        }],
    })
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(number(now.tv_sec)) + Duration::from_nanos(number(now.tv_nsec))
}
