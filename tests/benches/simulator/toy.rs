//! The toy scene on the simulator's timeline: clients that ask a server, wait for its answer, pause
//! and ask again.

use std::time::Duration;

use selvedge_core::{
    Rng, Time,
    machine::{Machine, Wakeup, step},
};
use selvedge_sim::timeline::Timeline;

/// How many clients there are.
pub(crate) const CLIENTS: usize = 8;
/// How long a client pauses.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// The least and the greatest latency, each way.
pub(crate) const LATENCY: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_millis(5));

/// Asks with a number, takes the next number for its answer, and pauses.
struct Client {
    number: u64,
    ask_at: Option<Time>,
}

impl Machine for Client {
    type Input = u64;
    type Output = u64;

    fn handle(&mut self, now: Time, answer: u64, _: &mut Vec<u64>) {
        assert_eq!(answer, self.number + 1, "the server counts");
        self.number = answer;
        self.ask_at = Some(now + PAUSE);
    }

    fn tick(&mut self, now: Time, out: &mut Vec<u64>) {
        if self.ask_at.take_if(|at| *at <= now).is_some() {
            out.push(self.number);
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        self.ask_at.map(|at| Wakeup { at, why: "pause" })
    }
}

struct Server;

impl Machine for Server {
    type Input = (usize, u64);
    type Output = (usize, u64);

    fn handle(&mut self, _: Time, (from, number): (usize, u64), out: &mut Vec<(usize, u64)>) {
        out.push((from, number + 1));
    }

    fn tick(&mut self, _: Time, _: &mut Vec<(usize, u64)>) {}

    fn next_wakeup(&self) -> Option<Wakeup> {
        None
    }
}

enum Event {
    Due(usize),
    Asked(usize, u64),
    Answered(usize, u64),
}

/// Runs it for so long in virtual time, and says how many messages arrived and pauses ended.
pub(crate) fn run(scene: Duration) -> u64 {
    let start = Time::from_millis(1);
    let (end, mut now) = (start + scene, start);
    let mut rng = Rng::from_number(1);
    let mut timeline = Timeline::default();
    let mut server = Server;
    let mut clients: Vec<Client> = Vec::new();
    for client in 0..CLIENTS {
        clients.push(Client {
            number: 0,
            ask_at: Some(start),
        });
        timeline.put(start, Event::Due(client));
    }
    let (mut asks, mut answers) = (Vec::new(), Vec::new());
    let mut events = 0;
    while let Some(at) = timeline.next_at().filter(|at| *at <= end) {
        now = now.max(at);
        let Some(event) = timeline.pop_due(now) else {
            break;
        };
        events += 1;
        let (client, input) = match event {
            Event::Due(client) => (client, None),
            Event::Answered(client, number) => (client, Some(number)),
            Event::Asked(client, number) => {
                step(&mut server, now, Some((client, number)), &mut answers);
                for (to, number) in answers.drain(..) {
                    let latency = rng.between(LATENCY.0, LATENCY.1);
                    timeline.put(now + latency, Event::Answered(to, number));
                }
                continue;
            }
        };
        let Some(machine) = clients.get_mut(client) else {
            continue;
        };
        if let Some(wakeup) = step(machine, now, input, &mut asks) {
            timeline.put(wakeup.at, Event::Due(client));
        }
        for number in asks.drain(..) {
            let latency = rng.between(LATENCY.0, LATENCY.1);
            timeline.put(now + latency, Event::Asked(client, number));
        }
    }
    events
}
