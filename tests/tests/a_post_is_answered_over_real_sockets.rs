//! The main job, end to end: real processes, real sockets, a real host.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

use selvedge_tests::{PATIENCE, binary, fabric::Fabric, soak};
use serde_json::Value;
use tokio::sync::mpsc;

fn demo() -> Output {
    Command::new(binary::selvedge())
        .arg("demo")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn the_demo_takes_three_messages_all_the_way_without_a_terminal() {
    let output = demo();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(line["ok"], true);
    assert_eq!(line["silent_in_report"], true);
    let roundtrips = line["roundtrips_ms"].as_array().unwrap();
    assert_eq!(roundtrips.len(), 2);
    assert!(
        roundtrips
            .iter()
            .all(|ms| ms.as_f64().is_some_and(|ms| ms > 0.0)),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_channel_wakes_whom_it_should() {
    let mut fabric = Fabric::start().await.unwrap();
    let (events, mut seen) = mpsc::channel(1_024);
    let agent = fabric.start_agent(Stdio::null(), events).await.unwrap();
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let mut posted = Vec::new();
    for (x_type, answered) in [
        ("report", false),
        ("triage", false),
        ("custom", false),
        ("general", true),
        ("dm", true),
    ] {
        let channel = fabric.create(x_type, x_type, &agent).await.unwrap();
        posted.push((fabric.post(&channel, "hello").await.unwrap(), answered));
    }
    // The ones that are answered were posted last: by then the others would have been.
    for (message, answered) in posted.iter().rev() {
        let patience = if *answered { PATIENCE } else { Duration::ZERO };
        let reply = fabric.reply(message, patience).await.unwrap();
        assert_eq!(reply.is_some(), *answered, "{message:?}");
    }
    agent.shutdown().await;
    fabric.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guild_killed_with_sigkill_is_answered_again_and_nothing_twice() {
    let mut said = Vec::new();
    let result = soak::kills(2, Duration::ZERO, |line| said.push(line.to_owned())).await;
    assert!(result.is_ok(), "{result:?} {said:#?}");
    assert_eq!(said.len(), 3, "{said:#?}");
}
