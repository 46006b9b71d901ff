//! Two plugins of one account: the second waits, says so, and goes on when the first is killed.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::time::Duration;

use selvedge_tests::{PATIENCE, caller::Caller, fabric::Fabric};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Calls `list_channels` until what it says is as wanted.
async fn until(caller: &mut Caller, wanted: impl Fn(&Result<serde_json::Value, String>) -> bool) {
    let said = async {
        loop {
            let said = caller.call("list_channels", json!({})).await.unwrap();
            if wanted(&said) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, said).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_plugin_waits_for_the_end_of_the_first() {
    let mut fabric = Fabric::start().await.unwrap();
    let mut first = fabric.start_caller().await.unwrap();
    let lobby = loop {
        let create = json!({"name": "lobby", "x_type": "general"});
        match first.call("create_channel", create).await.unwrap() {
            Ok(channel) => break channel,
            Err(why) => assert!(why.contains("no guild is known yet"), "{why}"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    let in_it = |said: &Result<serde_json::Value, String>| {
        said.as_ref()
            .is_ok_and(|said| said["channels"][0]["live"] == true)
    };
    until(&mut first, in_it).await;
    let mut second = fabric.start_caller().await.unwrap();
    let waits = |said: &Result<serde_json::Value, String>| {
        said.as_ref()
            .is_err_and(|why| why.contains("this account is served by process "))
    };
    until(&mut second, waits).await;
    drop(first);
    until(&mut second, in_it).await;
    let send = json!({"channel_id": lobby["channel_id"], "content": "here"});
    second.call("send", send).await.unwrap().unwrap();
    fabric.stop().await.unwrap();
}
