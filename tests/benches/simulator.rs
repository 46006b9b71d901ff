//! How fast the simulator is: its worlds, and a toy scene beside the same one in `turmoil`.
//!
//! The time is the thread's processor time. Within a round every subject has its turn; the tables
//! show medians, and ratios within each round.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and fails where it cannot run"
)]

#[path = "simulator/toy.rs"]
mod toy;
#[path = "simulator/toy_in_turmoil.rs"]
mod toy_in_turmoil;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    run::{run_script, run_seed},
    script::Script,
    swarm::{Fault, Options, Size},
    world::Report,
};

const ROUNDS: usize = 7;
/// How many random worlds a round runs.
const SEEDS: u64 = 200;
/// How long the toy scene lasts, in virtual time.
const SCENE: Duration = Duration::from_secs(20);

fn main() {
    let plain = ordinary();
    let mut worlds = vec![Worlds::default(), Worlds::default()];
    let mut toys = Vec::new();
    for _ in 0..ROUNDS {
        let [ordinary, random] = worlds.as_mut_slice() else {
            unreachable!("there are two");
        };
        ordinary.measure(|| vec![run_script(plain.clone(), Planted::default(), 0)]);
        random.measure(|| {
            let options = Options {
                size: Size::default(),
                faults: Fault::ALL.to_vec(),
            };
            let seeds = 0..SEEDS;
            seeds
                .map(|seed| run_seed(seed, &options, Planted::default(), 0))
                .collect()
        });
        let here = timed(|| toy::run(SCENE));
        let there = timed(|| toy_in_turmoil::run(SCENE));
        toys.push((here, there));
    }

    println!("| worlds | machine steps a second | inputs and outputs a second | times real time |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, mut world) in ["one agent, ordinary traffic", "random, all faults"]
        .into_iter()
        .zip(worlds)
    {
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} |",
            median(&mut world.steps),
            median(&mut world.events),
            median(&mut world.speeds)
        );
    }

    let each = |pick: fn(&(Counted, Counted)) -> f64| toys.iter().map(pick).collect::<Vec<_>>();
    println!();
    println!("| toy scene | events | events a second | ratio |");
    println!("| --- | ---: | ---: | ---: |");
    let (here, there) = toys.first().expect("a round");
    println!(
        "| turmoil | {} | {:.0} | 1.0 |",
        there.events,
        median(&mut each(|(_, there)| there.rate()))
    );
    println!(
        "| selvedge's timeline | {} | {:.0} | {:.1} |",
        here.events,
        median(&mut each(|(here, _)| here.rate())),
        median(&mut each(|(here, there)| here.rate() / there.rate()))
    );
}

/// An hour in which somebody says something to an agent every twenty seconds.
fn ordinary() -> Script {
    let mut lines = vec![
        r#"{"trace":"an ordinary hour","report":"nothing"}"#.to_owned(),
        r#"{"at":0,"who":"alice","do":{"create":{"name":"general","x_type":"general","members":["echo"]}}}"#
            .to_owned(),
    ];
    for post in 1..=180 {
        let at = post * 20_000;
        lines.push(format!(
            r#"{{"at":{at},"who":"alice","do":{{"post":{{"channel":"general","content":"what about number {post}?"}}}}}}"#
        ));
    }
    Script::parse(&lines.join("\n")).expect("a script")
}

/// What was measured of runs.
#[derive(Default)]
struct Worlds {
    steps: Vec<f64>,
    events: Vec<f64>,
    speeds: Vec<f64>,
}

impl Worlds {
    fn measure(&mut self, run: impl FnOnce() -> Vec<Result<Report, String>>) {
        let begun = reading();
        let reports = run();
        let took = (reading() - begun).as_secs_f64();
        let (mut steps, mut events, mut virtual_time) = (0, 0, Duration::ZERO);
        for report in reports {
            let report = report.expect("a run");
            assert!(report.failures.is_empty(), "{:?}", report.failures);
            steps += report.steps;
            events += report.events;
            virtual_time += report.virtual_time;
        }
        self.steps.push(steps as f64 / took);
        self.events.push(events as f64 / took);
        self.speeds.push(virtual_time.as_secs_f64() / took);
    }
}

/// So many events in so much time.
struct Counted {
    events: u64,
    took: Duration,
}

impl Counted {
    fn rate(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }
}

fn timed(run: impl FnOnce() -> u64) -> Counted {
    let begun = reading();
    let events = run();
    let took = reading() - begun;
    Counted { events, took }
}

fn reading() -> Duration {
    let read = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(read).expect("a clock that is not before its beginning")
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    *values.get(values.len() / 2).expect("a round")
}
