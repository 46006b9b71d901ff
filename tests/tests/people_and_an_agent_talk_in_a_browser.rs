//! The page of the guild node, in a real browser, against real servers and a real agent.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use selvedge_tests::{fabric::Fabric, npm};
use serde_json::json;
use tokio::{process::Command, sync::mpsc, time::timeout};

/// Where Debian puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";
const BOBS_PASSWORD: &str = "correct horse battery staple";
/// More than the page holds at a time.
const OLD_LINES: usize = 330;
/// How long the whole round may take: a browser on a busy machine is slow.
const ROUND_PATIENCE: Duration = Duration::from_secs(240);

/// Whether there is a browser; in CI there must be one.
fn has_browser() -> bool {
    let there = Path::new(CHROMIUM).is_file();
    if !there {
        let ci = env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!ci, "no {CHROMIUM} found, and in CI nothing is skipped");
        // Past the macros, whose output of a test that passes nobody sees.
        let _ = writeln!(io::stderr(), "skipped: no {CHROMIUM} found");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_and_an_agent_hold_a_round() {
    let Some(script) = npm::command_in("browser", "round.mjs").filter(|_| has_browser()) else {
        return;
    };
    let mut fabric = Fabric::start().await.unwrap();
    fabric.add_person("bob", BOBS_PASSWORD).await.unwrap();
    let (events, mut seen) = mpsc::channel(1_024);
    let agent = fabric.start_agent(Stdio::null(), events).await.unwrap();
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let archive = fabric.create("archive", "report", &agent).await.unwrap();
    for line in 1..=OLD_LINES {
        let line = format!("line {line}.");
        fabric.post(&archive, &line).await.unwrap();
    }
    let wanted = json!({
        "url": format!("http://127.0.0.1:{}/", fabric.ports().1),
        "alice": { "key": fabric.alice_key() },
        "bob": { "password": BOBS_PASSWORD },
        "old": OLD_LINES,
        "agentId": fabric.agent(),
        "chromium": CHROMIUM,
        "shots": env::var("SELVEDGE_BROWSER_SHOTS").ok(),
    });
    let output = Command::from(script)
        .arg(wanted.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(ROUND_PATIENCE, output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    agent.shutdown().await;
    fabric.stop().await.unwrap();
}
