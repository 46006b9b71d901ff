//! The page of the guild node, in a real browser, against real servers and a real agent.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    env,
    process::{self, Stdio},
    time::Duration,
};

use selvedge_tests::{
    browser::{self, CHROMIUM},
    fabric::Fabric,
    npm,
};
use serde_json::{Value, json};
use tokio::{process::Command, sync::mpsc, time::timeout};

const BOBS_PASSWORD: &str = "correct horse battery staple";
/// More than the page holds at a time.
const OLD_LINES: usize = 330;
/// How long a script may take: a browser on a busy machine is slow.
const ROUND_PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn two_people_and_an_agent_hold_a_round() {
    let Some(script) = npm::command_in("browser", "round.mjs").filter(|_| browser::is_there())
    else {
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
    let wanted = json!({ "old": OLD_LINES, "agentId": fabric.agent() });
    play(script, &fabric, wanted).await;
    agent.shutdown().await;
    fabric.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_at_the_page_is_kept_and_goes_where_they_meant_it() {
    two_people_play("care.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_is_fresh_and_stays_where_one_reads() {
    two_people_play("reading.mjs").await;
}

/// Runs a script that needs no agent, with some people who never log in.
async fn two_people_play(script: &str) {
    let Some(script) = npm::command_in("browser", script).filter(|_| browser::is_there()) else {
        return;
    };
    let fabric = Fabric::start().await.unwrap();
    for name in ["bob", "carol", "a,b", "u_abc"] {
        fabric.add_person(name, BOBS_PASSWORD).await.unwrap();
    }
    play(script, &fabric, json!({})).await;
    fabric.stop().await.unwrap();
}

/// Runs a script against that fabric; it is told where everything is, and what `wanted` says.
async fn play(script: process::Command, fabric: &Fabric, mut wanted: Value) {
    wanted["url"] = format!("http://127.0.0.1:{}/", fabric.ports().1).into();
    wanted["alice"] = json!({ "key": fabric.alice_key() });
    wanted["bob"] = json!({ "password": BOBS_PASSWORD });
    wanted["chromium"] = CHROMIUM.into();
    wanted["shots"] = env::var("SELVEDGE_BROWSER_SHOTS").ok().into();
    let output = Command::from(script)
        .arg(wanted.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(ROUND_PATIENCE, output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
}
