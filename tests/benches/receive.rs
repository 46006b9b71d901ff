//! Receiving: how many messages a second get through a bare reader, clients of Socket.IO and the whole
//! plugin to its host, what they cost, how long each takes, and what that depends on.
//!
//! Everybody is a process of its own, and all are there from the beginning to the end; in each round,
//! every one of them has its turn. A message that is lost ends it all. With names as arguments, as
//! they stand in the tables, only these take part.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and fails where it cannot run"
)]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use selvedge_tests::receive::{Curve, Driven, Kind, Reader, Receiver, Turn};
use tokio::task::LocalSet;

const ROUNDS: usize = 3;

/// How many messages a turn has, and over how many channels they are spread.
const MESSAGES: usize = 300_000;
const CHANNELS: usize = 1_000;

/// The pace at which latency is measured, for how many messages, and over how many channels.
const RATE: usize = 1_000;
const PACED: usize = 20_000;
const PACED_CHANNELS: usize = 100;

/// The first is compared with the others.
const KINDS: [Kind; 6] = [
    Kind::Reader(Reader::Typed),
    Kind::Reader(Reader::Bare),
    Kind::Reader(Reader::Client),
    Kind::Plugin(1),
    Kind::RustSocketio,
    Kind::Npm,
];

/// How many of something there are in a row of the curves, and how many rounds they have.
const STEPS: [usize; 4] = [1, 10, 100, 1_000];
const CURVE_ROUNDS: usize = 15;
const CURVE_MESSAGES: usize = 12_800;

struct Subject {
    kind: Kind,
    receiver: Receiver,
    turns: Vec<Turn>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    // Cargo adds an option of its own.
    let names: Vec<_> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let takes_part = |name: &str| names.is_empty() || names.iter().any(|of| of == name);
    LocalSet::new().block_on(&runtime, async {
        through_everybody(takes_part).await;
        if takes_part("latency") {
            latency().await;
        }
        if takes_part("agents and channels") {
            agents_and_channels().await;
        }
    });
    if takes_part("curves") {
        curves();
    }
}

/// The client of `rust_socketio`, which is not of this workspace; none where it cannot be built.
fn rust_socketio() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-socketio");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-socketio");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--release", "--target-dir"]);
    build.arg(&target).current_dir(folder);
    let built = build.status().is_ok_and(|status| status.success());
    built.then(|| target.join("release/selvedge-rust-socketio"))
}

async fn start(kind: Kind, rust: &Path, channels: usize, messages: usize) -> Receiver {
    let program = Path::new(env!("CARGO_BIN_EXE_receive-peer"));
    let receiver = Receiver::start(kind, [program, rust], channels, messages).await;
    receiver.expect("a receiver").expect("Node")
}

async fn through_everybody(takes_part: impl Fn(&str) -> bool) {
    let mut subjects = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| takes_part(&kind.name())) {
        let rust = match kind {
            Kind::RustSocketio => rust_socketio(),
            Kind::Reader(_) | Kind::Npm | Kind::Plugin(_) => Some(PathBuf::new()),
        };
        let Some(rust) = rust else {
            println!("{} cannot be built: it needs OpenSSL", kind.name());
            continue;
        };
        subjects.push(Subject {
            kind,
            receiver: start(kind, &rust, CHANNELS, MESSAGES).await,
            turns: Vec::new(),
        });
    }
    // The first round warms up.
    for round in 0..=ROUNDS {
        for Subject {
            receiver, turns, ..
        } in &mut subjects
        {
            let turn = receiver.blast().await.expect("all messages");
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    let Some(first) = subjects.first() else {
        return;
    };
    println!("{ROUNDS} rounds of {MESSAGES} messages, over {CHANNELS} channels\n");
    println!("| | messages/s | ratio | s of processor for a million | ratio | peak, MiB |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for Subject { kind, turns, .. } in &subjects {
        let rates = rates(turns);
        let costs = costs(turns);
        let rate = ratio(&rates, &self::rates(&first.turns));
        let cost = ratio(&costs, &self::costs(&first.turns));
        let peak = turns.last().map_or(0, |turn| turn.peak) as f64 / 1024.0;
        let (name, rates, costs) = (kind.name(), middle(&rates), middle(&costs));
        println!("| {name} | {rates:.0} | {rate:.2} | {costs:.2} | {cost:.2} | {peak:.1} |");
    }
}

async fn latency() {
    let mut receiver = start(Kind::Plugin(1), Path::new(""), PACED_CHANNELS, PACED).await;
    // The first round warms up.
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let turn = receiver.pace(PACED, RATE).await.expect("all messages");
        if round > 0 {
            rounds.push(turn.latencies);
        }
    }
    println!(
        "\n{ROUNDS} rounds of {PACED} messages, {RATE} a second over {PACED_CHANNELS} channels\n"
    );
    println!("| from its making to the host, ms | p50 | p99 | p99.9 | max |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let of = |thousandth: usize| {
        let of_rounds = rounds.iter().map(|all| {
            let at = (all.len() * thousandth).div_ceil(1_000).max(1) - 1;
            all.get(at).copied().unwrap_or_default() as f64 / 1e6
        });
        middle(&of_rounds.collect::<Vec<_>>())
    };
    let (p50, p99, p999, most) = (of(500), of(990), of(999), of(1_000));
    println!("| selvedge, an agent | {p50:.2} | {p99:.2} | {p999:.2} | {most:.2} |");
}

/// The whole plugin with more agents and channels.
async fn agents_and_channels() {
    println!("\nthe whole plugin, {} messages\n", MESSAGES / 10);
    println!("| | messages/s | s of processor for a million | peak, MiB |");
    println!("| --- | ---: | ---: | ---: |");
    let channels = STEPS.map(|channels| (1, channels));
    let agents = STEPS.map(|agents| (agents, 10));
    for (agents, channels) in channels.into_iter().chain(agents) {
        let messages = MESSAGES / 10 / agents;
        let kind = Kind::Plugin(agents);
        let mut receiver = start(kind, Path::new(""), channels, messages).await;
        receiver.blast().await.expect("all messages");
        let mut turns = Vec::new();
        for _ in 0..ROUNDS {
            turns.push(receiver.blast().await.expect("all messages"));
        }
        let peak = turns.last().map_or(0, |turn| turn.peak) as f64 / 1024.0;
        let (rate, cost) = (middle(&rates(&turns)), middle(&costs(&turns)));
        println!("| {agents} agents, {channels} channels | {rate:.0} | {cost:.2} | {peak:.1} |");
    }
}

fn curves() {
    const ONE: Curve = Curve {
        agents: 1,
        channels: 10,
        dedup: 5_000,
    };
    let channels = STEPS.map(|channels| Curve { channels, ..ONE });
    curve("channels of an agent", STEPS, channels);
    let agents = STEPS.map(|agents| Curve { agents, ..ONE });
    curve("agents of ten channels", STEPS, agents);
    let remembered = [1, 50, 500, 5_000];
    let dedup = remembered.map(|dedup| Curve { dedup, ..ONE });
    curve("messages in dedup", remembered, dedup);
}

/// The machines alone, with so many of something in each row.
fn curve<const N: usize>(what: &str, steps: [usize; N], curves: [Curve; N]) {
    let mut rows: Vec<_> = curves
        .map(|curve| (Driven::new(curve).expect("agents"), Vec::new()))
        .into();
    // The first round warms up.
    for round in 0..=CURVE_ROUNDS {
        for (driven, times) in &mut rows {
            let took = driven.wake(CURVE_MESSAGES).expect("all messages");
            if round > 0 {
                times.push(CURVE_MESSAGES as f64 / took.as_secs_f64());
            }
        }
    }
    println!("\n| {what} | messages/s | ratio |");
    println!("| ---: | ---: | ---: |");
    let first = rows
        .first()
        .map(|(_, times)| times.clone())
        .unwrap_or_default();
    for (step, (_, times)) in steps.iter().zip(&rows) {
        let (rate, ratio) = (middle(times), ratio(times, &first));
        println!("| {step} | {rate:.0} | {ratio:.2} |");
    }
}

fn rates(turns: &[Turn]) -> Vec<f64> {
    let each = turns
        .iter()
        .map(|turn| turn.messages as f64 / turn.took.as_secs_f64());
    each.collect()
}

/// Seconds of processor time for a million messages.
fn costs(turns: &[Turn]) -> Vec<f64> {
    let cost = |turn: &Turn| turn.cpu.as_secs_f64() * 1e6 / turn.messages as f64;
    turns.iter().map(cost).collect()
}

/// What stands in the middle of all rounds.
fn middle(rounds: &[f64]) -> f64 {
    let mut all = rounds.to_vec();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// The middle of what it is to the first in each round.
fn ratio(rounds: &[f64], first: &[f64]) -> f64 {
    let ratios: Vec<_> = rounds
        .iter()
        .zip(first)
        .map(|(of, first)| of / first)
        .collect();
    middle(&ratios)
}
