//! The slash commands of a host in the catalogue of a guild, over the real plugin and a real node.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;

use rustix::process::{Signal, kill_process};
use selvedge_core::{http::Method, plugin::commands};
use selvedge_tests::{PATIENCE, caller::Caller, fabric::Fabric};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep, timeout};

/// Waits until the guild has this catalogue.
async fn has(fabric: &mut Fabric, wanted: &Value) {
    let has = async {
        while fabric
            .ask(Method::Get, "/api/commands", None)
            .await
            .unwrap()
            != *wanted
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, has).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_there_again_after_the_guild_was_away_and_bad_ones_change_nothing() {
    let mut fabric = Fabric::start().await.unwrap();
    let mut plugin = fabric.plugin_for("plexum").await.unwrap();
    plugin.env("SELVEDGE_AGENT__0__SYNC_COMMANDS", "true");
    let mut host = Caller::start(plugin.into()).await.unwrap();
    let help =
        json!([{"name": "help", "description": "what \u{e9}verything does", "options": [1]}]);
    let told = json!({"commands": help});
    host.tell(commands::METHOD, told).await.unwrap();
    has(&mut fabric, &help).await;

    let bad = json!({"commands": [{"description": "nameless"}]});
    host.tell(commands::METHOD, bad).await.unwrap();
    host.logged("commands[0]: expected an object")
        .await
        .unwrap();
    has(&mut fabric, &help).await;

    let other = Some(json!([]));
    fabric
        .ask(Method::Put, "/api/commands", other)
        .await
        .unwrap();
    fabric.kill_guild().await.unwrap();
    fabric.start_guild().await.unwrap();
    has(&mut fabric, &help).await;
    fabric.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_to_bring_them_from_now_on_is_told_what_the_host_said_before() {
    let mut fabric = Fabric::start().await.unwrap();
    let plugin = fabric.plugin_for("plexum").await.unwrap();
    let mut host = Caller::start(plugin.into()).await.unwrap();
    let help = json!([{"name": "help", "description": "what everything does"}]);
    let told = json!({"commands": help});
    host.tell(commands::METHOD, told).await.unwrap();
    host.logged("the host's commands are ignored")
        .await
        .unwrap();
    let config = fabric.store_path().with_file_name("selvedge.toml");
    let before = fs::read_to_string(&config).unwrap();
    // The agent is the last section of the file.
    fs::write(&config, format!("{before}sync_commands = true\n")).unwrap();
    kill_process(host.id(), Signal::HUP).unwrap();
    host.logged("restarted: echo").await.unwrap();
    has(&mut fabric, &help).await;

    fs::write(&config, before).unwrap();
    kill_process(host.id(), Signal::HUP).unwrap();
    host.logged("restarted: echo").await.unwrap();
    let more = json!({"commands": []});
    host.tell(commands::METHOD, more).await.unwrap();
    host.logged("the host's commands are ignored")
        .await
        .unwrap();
    has(&mut fabric, &help).await;
    fabric.stop().await.unwrap();
}
