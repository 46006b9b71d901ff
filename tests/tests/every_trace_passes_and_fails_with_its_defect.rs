//! Every scripted trace passes as the plugin is, fails with its planted defect, and runs the same
//! each time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::path::{Path, PathBuf};

use selvedge_core::plugin::defect::{Defect, Planted};
use selvedge_sim::{
    script::Script,
    world::{Report, World},
};

fn traces() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/traces");
    let mut traces: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    traces.sort();
    assert!(!traces.is_empty());
    traces
}

fn script(trace: &Path) -> Script {
    Script::parse(&std::fs::read_to_string(trace).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", trace.display()))
}

fn run(script: &Script, planted: Planted) -> Report {
    World::new(script.clone(), planted).unwrap().run()
}

#[test]
fn every_trace_passes_as_the_plugin_is() {
    for trace in traces() {
        let report = run(&script(&trace), Planted::default());
        let end = report.log.split_at(report.log.len().saturating_sub(40)).1;
        assert!(
            report.failures.is_empty(),
            "{}: {:#?}\n{}",
            trace.display(),
            report.failures,
            end.join("\n")
        );
    }
}

#[test]
fn every_trace_fails_with_its_defect() {
    for trace in traces() {
        let script = script(&trace);
        let report = run(&script, Planted::new(script.defect().unwrap().unwrap()));
        assert!(
            !report.failures.is_empty(),
            "{} does not notice its defect",
            trace.display()
        );
    }
}

#[test]
fn every_defect_has_its_trace() {
    for defect in Defect::ALL {
        let has_trace = traces()
            .iter()
            .any(|trace| script(trace).defect().unwrap() == Some(defect));
        assert!(has_trace, "no trace is about `{}`", defect.name());
    }
}

#[test]
fn the_same_trace_runs_the_same_each_time_and_another_seed_differently() {
    for trace in traces() {
        let script = script(&trace);
        let first = run(&script, Planted::default());
        let again = run(&script, Planted::default());
        assert_eq!(first, again, "{}", trace.display());
        let mut other = script;
        other.head.seed += 1;
        assert_ne!(
            first.hash,
            run(&other, Planted::default()).hash,
            "{}",
            trace.display()
        );
    }
}
