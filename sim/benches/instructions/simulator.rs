//! Runs of the simulator, and what a step of a machine costs in them.

use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    run::{run_script, run_seed},
    script::Script,
    swarm::{Fault, Options, Size},
    world::Report,
};

use crate::counted;

/// How many messages are said.
const MESSAGES: u64 = 60;
/// How many random worlds there are.
const SEEDS: u64 = 5;

/// Runs, counted; how many steps the machines took.
fn steps(mut run: impl FnMut() -> Result<Report, String>) -> u64 {
    let mut report = None;
    counted(&mut || report = Some(run()));
    let report = report.expect("a run").expect("a script");
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    report.steps
}

/// Somebody says something to an agent every twenty seconds.
pub(crate) fn ordinary() -> u64 {
    let mut lines = vec![
        r#"{"trace":"ordinary","report":"nothing"}"#.to_owned(),
        r#"{"at":0,"who":"alice","do":{"create":{"name":"general","x_type":"general","members":["echo"]}}}"#
            .to_owned(),
    ];
    for post in 1..=MESSAGES {
        let at = post * 20_000;
        lines.push(format!(
            r#"{{"at":{at},"who":"alice","do":{{"post":{{"channel":"general","content":"what about number {post}?"}}}}}}"#
        ));
    }
    let script = Script::parse(&lines.join("\n")).expect("a script");
    steps(|| run_script(script.clone(), Planted::default(), 0))
}

pub(crate) fn all_faults() -> u64 {
    let options = Options {
        size: Size::default(),
        faults: Fault::ALL.to_vec(),
    };
    let run = |seed| steps(|| run_seed(seed, &options, Planted::default(), 0));
    (0..SEEDS).map(run).sum()
}
