//! A backup of the plugin's store, made while it runs, and its way back: a real process, a real guild.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{fs, time::Duration};

use selvedge::store::plugin::look;
use selvedge_core::{http::Method, id::ChannelId, plugin::inbound::Inbound};
use selvedge_tests::{PATIENCE, caller::Caller, fabric::Fabric};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// The agent answers the turn after so many others of this process, and ends it.
async fn answers(caller: &mut Caller, channel: &ChannelId, before: usize) -> Inbound {
    let inbound = caller.inbound_in(channel.as_str(), before).await.unwrap();
    let last = inbound.messages.last().unwrap();
    let content = format!("echo: {}", last.content);
    let send = json!({"channel_id": channel.as_str(), "content": content});
    caller.call_when_connected("send", &send).await.unwrap();
    let turn = json!({"turn_id": inbound.turn_id.as_str()});
    caller.call("turn_done", turn).await.unwrap().unwrap();
    inbound
}

/// Waits until the store knows of no turn that is open.
async fn settled(fabric: &Fabric) {
    let settled = async {
        loop {
            let found = look(&fabric.store_path()).await.unwrap();
            let mut kept = found.agents.iter();
            if kept.all(|(_, kept)| kept.turns.is_empty()) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, settled).await.unwrap();
}

fn contents(inbound: &Inbound) -> Vec<&str> {
    let messages = inbound.messages.iter();
    messages.map(|message| message.content.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_since_the_backup_is_not_answered_again() {
    let mut fabric = Fabric::start().await.unwrap();
    let mut caller = fabric.start_caller().await.unwrap();
    let create = json!({"name": "lobby", "x_type": "general", "is_public": true});
    let created = caller
        .call_when_connected("create_channel", &create)
        .await
        .unwrap();
    let channel = ChannelId::new(created["channel_id"].as_str().unwrap()).unwrap();
    let join = format!("/api/channels/{channel}/join");
    fabric.ask(Method::Post, &join, None).await.unwrap();
    fabric.post(&channel, "one").await.unwrap();
    answers(&mut caller, &channel, 0).await;
    settled(&fabric).await;

    let said = fabric.store(&["backup", "backup.sqlite"]).await.unwrap();
    assert!(said.unwrap().contains("backup.sqlite is a copy of "));
    let again = fabric.store(&["backup", "backup.sqlite"]).await.unwrap();
    assert!(again.unwrap_err().contains("exists"), "never written over");
    for (turn, content) in [(1, "two"), (2, "three")] {
        fabric.post(&channel, content).await.unwrap();
        answers(&mut caller, &channel, turn).await;
    }
    let restore = ["restore", "backup.sqlite"];
    let refused = fabric.store(&restore).await.unwrap().unwrap_err();
    let holder = format!("process {} of this machine uses it", caller.id());
    assert!(refused.contains(&holder), "{refused}");
    caller.kill().await.unwrap();

    // The disk has lost the store, and somebody posts while the plugin is away.
    fs::write(fabric.store_path(), "what is left of a store").unwrap();
    fabric.post(&channel, "four").await.unwrap();
    let restored = fabric.store(&restore).await.unwrap().unwrap();
    assert!(restored.contains(".before-restore"), "{restored}");
    let mut caller = fabric.start_caller().await.unwrap();
    let missed = answers(&mut caller, &channel, 0).await;
    assert_eq!((contents(&missed), missed.recovered), (vec!["four"], true));
    fabric.post(&channel, "five").await.unwrap();
    let next = answers(&mut caller, &channel, 1).await;
    assert_eq!((contents(&next), next.recovered), (vec!["five"], false));
    caller.kill().await.unwrap();

    fabric.post(&channel, "six").await.unwrap();
    let restore = ["restore", "--from-now", "backup.sqlite"];
    fabric.store(&restore).await.unwrap().unwrap();
    let mut caller = fabric.start_caller().await.unwrap();
    loop {
        let listed = caller
            .call_when_connected("list_channels", &json!({}))
            .await
            .unwrap();
        if listed["channels"][0]["live"] == true {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    fabric.post(&channel, "seven").await.unwrap();
    let next = answers(&mut caller, &channel, 0).await;
    assert_eq!(contents(&next), ["seven"]);

    let all = fabric.history(&channel, 0).await.unwrap();
    let told = all.iter().map(|message| message.content.as_str());
    let told: Vec<_> = told.filter(|told| told.starts_with("echo: ")).collect();
    let once = ["one", "two", "three", "four", "five", "seven"];
    assert_eq!(told, once.map(|content| format!("echo: {content}")));
    fabric.stop().await.unwrap();
}
