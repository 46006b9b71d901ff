//! Random worlds break no rule, run the same each time, and show a planted defect.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use selvedge_core::plugin::defect::{Defect, Planted};
use selvedge_sim::{
    run::{hushed, run_script, run_seed},
    script::Script,
    shrink::shrink,
    swarm::{self, Options},
    world::Report,
};

/// How many lines are shown of a run that breaks a rule.
const LINES: usize = 40;

fn run(seed: u64, planted: Planted, lines_max: usize) -> Report {
    run_seed(seed, &Options::default(), planted, lines_max).unwrap()
}

#[test]
fn a_hundred_seeds_break_no_rule() {
    for seed in 0..100 {
        let report = run(seed, Planted::default(), 0);
        if let Some(failure) = report.failures.first() {
            let lines = run(seed, Planted::default(), LINES).log.join("\n");
            panic!("seed {seed}: {failure}\n{lines}");
        }
    }
}

#[test]
fn the_same_seed_runs_the_same_each_time_whether_it_is_watched_or_not() {
    for seed in 0..10 {
        let first = run(seed, Planted::default(), 0);
        assert_eq!(first, run(seed, Planted::default(), 0), "seed {seed}");
        let watched = run(seed, Planted::default(), LINES);
        assert_eq!(first.hash, watched.hash, "seed {seed}");
        assert_ne!(first.hash, run(seed + 1, Planted::default(), 0).hash);
    }
}

#[test]
fn a_planted_defect_is_found_and_its_script_made_small() {
    let planted = Planted::new(Defect::StartsAtTheJoin);
    let found =
        hushed(|| (0..200).find_map(|seed| run(seed, planted, 0).breach.map(|it| (seed, it))));
    let (seed, breach) = found.unwrap();
    let script = swarm::script(seed, &Options::default());
    let small = shrink(script.clone(), planted).unwrap();
    assert!(small.lines.len() < script.lines.len());
    assert_eq!((small.head.agents.len(), small.head.guilds.len()), (1, 1));
    let again = run_script(small.clone(), planted, 0)
        .unwrap()
        .breach
        .unwrap();
    assert_eq!(again.rule, breach.rule);
    let sound = run_script(small, Planted::default(), 0).unwrap();
    assert_eq!(sound.breach, None);
}

/// Whoever does something asks how much waits, so the last line is needed, and with it the channel
/// that it is about.
#[test]
fn what_is_left_of_a_script_breaks_nothing_but_the_rule() {
    let text = r#"{"trace":"t","report":"r","defect":"queues_everything","config":{"waiting_agent_max":3}}
{"at":0,"who":"alice","do":{"create":{"name":"general","x_type":"general","members":["echo"]}}}
{"at":0,"who":"alice","do":{"create":{"name":"other","x_type":"general","members":["bob"]}}}
{"at":5000,"who":"alice","do":{"post":{"channel":"general","content":"hang on"}}}
{"at":6000,"who":"alice","do":{"flood":{"channel":"general","content":"hush","messages":9,"every":10}}}
{"at":9000,"who":"alice","do":{"post":{"channel":"other","content":"hush"}}}
"#;
    let planted = Planted::new(Defect::QueuesEverything);
    let small = shrink(Script::parse(text).unwrap(), planted).unwrap();
    let report = run_script(small, planted, 0).unwrap();
    assert_eq!(report.breach.unwrap().rule, "within its bounds");
    assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
}
