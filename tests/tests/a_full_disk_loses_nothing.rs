//! A plugin whose store cannot grow: a real process, whose files the system lets have no more bytes.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{process::Command, time::Duration};

use rustix::process::{Resource, Rlimit, prlimit};
use selvedge::{http::Client, tls};
use selvedge_core::{
    http::{Method, Request},
    id::ChannelId,
    plugin::inbound::Inbound,
};
use selvedge_tests::{
    PATIENCE,
    caller::Caller,
    fabric::{Fabric, free_port},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// A plugin that tells how it does, and where.
struct Plugin {
    caller: Caller,
    client: Client,
    status: String,
}

impl Plugin {
    async fn start(fabric: &mut Fabric) -> Self {
        let listen = format!("127.0.0.1:{}", free_port().unwrap());
        let plugin = fabric.plugin_for("plexum").await.unwrap();
        // A write beyond the limit is an error then, and not the end of the process.
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        shell.arg(plugin.get_program()).args(plugin.get_args());
        let set = plugin.get_envs();
        shell.envs(set.filter_map(|(name, value)| Some((name, value?))));
        shell.env("SELVEDGE_STATUS__LISTEN", &listen);
        Self {
            caller: Caller::start(shell.into()).await.unwrap(),
            client: Client::new(&tls::client_config(None).unwrap(), None).unwrap(),
            status: format!("http://{listen}"),
        }
    }

    /// Whether its files can have more bytes.
    fn has_room(&self, room: bool) {
        let limit = Rlimit {
            current: (!room).then_some(0),
            maximum: None,
        };
        prlimit(Some(self.caller.id()), Resource::Fsize, limit).unwrap();
    }

    async fn get(&self, target: &str) -> Option<(u16, String)> {
        let request = Request {
            method: Method::Get,
            target: target.into(),
            bearer: None,
            body: Vec::new().into(),
        };
        let answer = self.client.send(&self.status, request).await.ok()?;
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        Some((answer.status, body))
    }

    /// Waits until it is ready, or is not: what it says then.
    async fn until_ready(&self, wanted: u16) -> String {
        let ready = async {
            loop {
                match self.get("/readyz").await {
                    Some((status, words)) if status == wanted => return words,
                    Some(_) | None => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        timeout(PATIENCE, ready).await.unwrap()
    }

    /// The agent answers the turn after so many others, and ends it.
    async fn answers(&mut self, channel: &ChannelId, before: usize) -> Inbound {
        let inbound = self.caller.inbound_in(channel.as_str(), before).await;
        let inbound = inbound.unwrap();
        let content = format!("echo: {}", inbound.messages[0].content);
        let send = json!({"channel_id": channel.as_str(), "content": content});
        self.call("send", send).await;
        let turn = json!({"turn_id": inbound.turn_id.as_str()});
        self.call("turn_done", turn).await;
        inbound
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.caller.call(tool, arguments).await.unwrap().unwrap()
    }
}

fn content(inbound: &Inbound) -> &str {
    assert_eq!(inbound.messages.len(), 1);
    &inbound.messages[0].content
}

#[tokio::test(flavor = "multi_thread")]
async fn no_turn_begins_while_nothing_can_be_kept_and_all_of_them_do_afterwards() {
    let mut fabric = Fabric::start().await.unwrap();
    let mut plugin = Plugin::start(&mut fabric).await;
    plugin.until_ready(200).await;
    let create = json!({"name": "lobby", "x_type": "general", "is_public": true});
    let created = plugin.call("create_channel", create).await;
    let channel = ChannelId::new(created["channel_id"].as_str().unwrap()).unwrap();
    let join = format!("/api/channels/{channel}/join");
    fabric.ask(Method::Post, &join, None).await.unwrap();
    fabric.post(&channel, "one").await.unwrap();
    let first = plugin.answers(&channel, 0).await;
    assert_eq!(content(&first), "one");

    plugin.has_room(false);
    fabric.post(&channel, "two").await.unwrap();
    fabric.post(&channel, "three").await.unwrap();
    let why = plugin.until_ready(503).await;
    let words = "agent echo begins no turn, since nothing can be kept for ";
    assert!(why.starts_with(words), "{why}");
    assert!(why.contains("plugin.sqlite"), "{why}");
    let (_, report) = plugin.get("/status").await.unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["agents"][0]["store"]["why"].is_string(), "{report}");
    let (_, metrics) = plugin.get("/metrics").await.unwrap();
    let series = "selvedge_agent_store_works{agent=\"echo\"} 0\n";
    assert!(metrics.contains(series), "{metrics}");
    // Tools work on, and a call's answer is behind whatever was handed over before.
    let send = json!({"channel_id": channel.as_str(), "content": "no room here"});
    plugin.call("send", send).await;
    let waiting = plugin.call("list_pending", json!({})).await;
    let early = timeout(
        Duration::ZERO,
        plugin.caller.inbound_in(channel.as_str(), 1),
    );
    assert!(early.await.is_err(), "no turn begins: {waiting}");

    plugin.has_room(true);
    plugin.until_ready(200).await;
    for (turn, wanted) in [(1, "two"), (2, "three")] {
        let next = plugin.answers(&channel, turn).await;
        assert_eq!((content(&next), next.redelivered), (wanted, false));
    }

    // It is killed while it cannot keep anything: the next one hands over what this one could not.
    plugin.has_room(false);
    fabric.post(&channel, "four").await.unwrap();
    plugin.until_ready(503).await;
    plugin.caller.kill().await.unwrap();
    let mut plugin = Plugin::start(&mut fabric).await;
    let mut next = plugin.answers(&channel, 0).await;
    if content(&next) == "three" {
        // Its end was not kept: it is the same turn, and the guild knows its answer.
        assert!(next.redelivered);
        next = plugin.answers(&channel, 1).await;
    }
    assert_eq!((content(&next), next.redelivered), ("four", false));

    let all = fabric.history(&channel, 0).await.unwrap();
    let told = all.iter().map(|message| message.content.as_str());
    let told: Vec<_> = told.filter(|told| told.starts_with("echo: ")).collect();
    let once = ["one", "two", "three", "four"];
    assert_eq!(told, once.map(|content| format!("echo: {content}")));
    fabric.stop().await.unwrap();
}
