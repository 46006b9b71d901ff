//! A post to a thousand sockets of a room: how long it takes to each of them, and how many deliveries
//! there can be in a second, for a guild, the public server, `socketioxide` and the npm server.
//!
//! Each is a process of its own, and all are there from the beginning to the end; this process has
//! the sockets. In each round, every one of them has its turn. A delivery that is lost ends it all.
//! With names as arguments, as they stand in the tables, only these take part.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and fails where it cannot run"
)]

use std::{env, path::Path, time::Duration};

use selvedge_core::fabric::types::XType;
use selvedge_tests::fan_out::{Alone, Burst, Crowd, Kind, Pace, Server, alone, burst, paced};
use tokio::task::LocalSet;

const SOCKETS: usize = 1_000;

const ROUNDS: usize = 5;

/// How many posts are made one at a time in a round, and what lies between two of them.
const POSTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// For how long as many posts as possible are made in a round; in a channel where nobody is, half as
/// long.
const BURST: Duration = Duration::from_secs(3);

/// The first is compared with the others.
const KINDS: [Kind; 7] = [
    Kind::Guild(XType::General),
    Kind::Recorded(XType::General),
    Kind::Guild(XType::Discuss),
    Kind::Recorded(XType::Discuss),
    Kind::Selvedge,
    Kind::Socketioxide,
    Kind::Npm,
];

/// A server, its sockets, and what was measured of it in each round.
struct Subject {
    kind: Kind,
    server: Server,
    crowd: Crowd,
    paces: Vec<Pace>,
    bursts: Vec<Burst>,
    alones: Vec<Alone>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, run());
}

async fn run() {
    // Cargo adds an option of its own.
    let names: Vec<_> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let takes_part = |kind: &Kind| names.is_empty() || names.contains(&kind.name());
    let mut subjects = Vec::new();
    for kind in KINDS.into_iter().filter(takes_part) {
        subjects.push(Subject::start(kind).await);
    }
    // The first round warms up.
    for round in 0..=ROUNDS {
        for subject in &mut subjects {
            subject.play(round > 0).await;
        }
    }
    print(&subjects);
}

impl Subject {
    async fn start(kind: Kind) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_fan-out-server"));
        let server = Server::start(kind, program, SOCKETS).await;
        let server = server.expect("a server").expect("Node");
        let crowd = Crowd::enter(&server, SOCKETS).await.expect("a crowd");
        Self {
            kind,
            server,
            crowd,
            paces: Vec::new(),
            bursts: Vec::new(),
            alones: Vec::new(),
        }
    }

    async fn play(&mut self, counts: bool) {
        let Self { server, crowd, .. } = self;
        let pace = paced(server, crowd, POSTS, PAUSE).await.expect("posts");
        let burst = burst(server, crowd, BURST).await.expect("posts");
        let alone = alone(server, crowd, BURST / 2).await.expect("posts");
        println!(
            "{:<16} {pace:.1?} {burst:.1?} {alone:.1?}",
            self.kind.name()
        );
        if counts {
            self.paces.push(pace);
            self.bursts.push(burst);
            self.alones.extend(alone);
        }
    }
}

/// What stands in the middle of all rounds.
fn middle<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut all: Vec<_> = rounds.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn print(subjects: &[Subject]) {
    println!(
        "{ROUNDS} rounds, {SOCKETS} sockets; ms from a post to a socket, {POSTS} posts one at a time"
    );
    println!("| | first | p50 | p99 | max |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for Subject { kind, paces, .. } in subjects {
        let ms = |of: fn(&Pace) -> Duration| middle(paces, |pace| of(pace).as_secs_f64() * 1e3);
        let (first, p50) = (ms(|pace| pace.first), ms(|pace| pace.p50));
        let (p99, max) = (ms(|pace| pace.p99), ms(|pace| pace.max));
        let name = kind.name();
        println!("| {name} | {first:.1} | {p50:.1} | {p99:.1} | {max:.1} |");
    }
    println!("\nposts as fast as they are taken; µs of processor time for each delivery");
    println!("| | deliveries/s | ratio | server | this process | bytes |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for Subject { kind, bursts, .. } in subjects {
        let rate = middle(bursts, |burst| burst.rate);
        let us = |of: fn(&Burst) -> Duration| middle(bursts, |burst| of(burst).as_secs_f64() * 1e6);
        let (server, crowd) = (us(|burst| burst.server), us(|burst| burst.crowd));
        let bytes = middle(bursts, |burst| burst.bytes as f64);
        let first = subjects.first().map_or(&[][..], |first| &first.bursts);
        let ratios: Vec<_> = first.iter().zip(bursts).collect();
        let ratio = middle(&ratios, |(first, other)| first.rate / other.rate);
        let name = kind.name();
        println!("| {name} | {rate:.0} | {ratio:.2} | {server:.1} | {crowd:.1} | {bytes} |");
    }
    println!("\nposts in a channel where nobody is");
    println!("| | posts/s | µs for each |");
    println!("| --- | ---: | ---: |");
    for Subject { kind, alones, .. } in subjects.iter().filter(|of| !of.alones.is_empty()) {
        let rate = middle(alones, |alone| alone.rate);
        let us = middle(alones, |alone| alone.server.as_secs_f64() * 1e6);
        println!("| {} | {rate:.0} | {us:.0} |", kind.name());
    }
}
