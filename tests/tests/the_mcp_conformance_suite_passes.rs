//! The official conformance suite of MCP for servers, which speaks streamable HTTP alone: its scenarios
//! that need no tools, resources or prompts made for it.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use selvedge_core::id::AgentId;
use selvedge_tests::{npm, over_http::OverHttp};
use serde_json::Value;

const SUITE: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";

/// The scenarios.
const SCENARIOS: [&str; 5] = [
    "server-initialize",
    "ping",
    "logging-set-level",
    "tools-list",
    "dns-rebinding-protection",
];

/// Plays a scenario against a server, and gives back its checks. `None` where there is no Node.
fn play(scenario: &str, url: &str) -> Option<Vec<Value>> {
    let mut suite = npm::host(SUITE)?;
    let results = tempfile::tempdir().unwrap();
    suite.args([
        "server",
        "--url",
        url,
        "--scenario",
        scenario,
        "--output-dir",
    ]);
    let output = suite.arg(results.path()).stdin(Stdio::null()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let checks = checks(results.path());
    let checks = checks.ok_or_else(|| format!("{scenario} was not played: {said}"));
    let checks = fs::read(checks.unwrap()).unwrap();
    Some(serde_json::from_slice(&checks).unwrap())
}

/// The one file of results.
fn checks(results: &Path) -> Option<PathBuf> {
    let played = fs::read_dir(results).unwrap().next()?.unwrap();
    Some(played.path().join("checks.json"))
}

/// What there is to say against a scenario: that it checked nothing, or which checks did not succeed.
fn faults(checks: &[Value]) -> Vec<String> {
    if checks.is_empty() {
        return vec!["nothing was checked".to_owned()];
    }
    let bad = checks.iter().filter(|check| check["status"] != "SUCCESS");
    bad.map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_passes_that_needs_nothing_of_its_own() {
    let server = OverHttp::start(AgentId::new("echo")).await.unwrap();
    for scenario in SCENARIOS {
        let Some(checks) = play(scenario, &server.url()) else {
            return;
        };
        assert_eq!(faults(&checks), Vec::<String>::new(), "{scenario}");
        println!("{scenario}: {} checks passed", checks.len());
    }
}

/// The plugin as it is built for use speaks with its host on standard input and output alone.
#[test]
fn the_plugin_itself_cannot_be_reached_over_http() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (manifest, has) in [
        ("Cargo.toml", false),
        ("runtime-tokio/Cargo.toml", false),
        ("tests/Cargo.toml", true),
    ] {
        let text = fs::read_to_string(root.join(manifest)).unwrap();
        assert_eq!(text.contains("streamable-http"), has, "{manifest}");
    }
}

/// A scenario that cannot pass is seen to fail: the plugin has no tool of that suite.
#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_that_fails_is_noticed() {
    let server = OverHttp::start(AgentId::new("echo")).await.unwrap();
    if let Some(checks) = play("tools-call-simple-text", &server.url()) {
        assert_ne!(faults(&checks), Vec::<String>::new());
    }
}
