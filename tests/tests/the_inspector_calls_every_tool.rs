//! The command line of the MCP inspector: it lists the plugin's tools and calls every one of them, each
//! in a process of its own, and the guild says what came of it.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    process::Stdio,
};

use selvedge_core::{http::Method, id::ChannelId};
use selvedge_tests::{
    PATIENCE,
    fabric::{Fabric, free_port},
    npm,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const INSPECTOR: &str =
    "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
/// What makes each call wait until the plugin is ready for it.
const READY: &str = "ready.mjs";
/// How many tools the plugin has.
const TOOLS: usize = 23;

/// What a call waits for.
#[derive(Clone, Copy)]
enum Awaited {
    /// The plugin is connected.
    Live,
    /// And a turn runs.
    Turn,
}

struct Scene {
    fabric: Fabric,
    /// What the inspector keeps from one call to the next: its compiled code.
    home: TempDir,
    called: BTreeSet<String>,
}

impl Scene {
    async fn ask(&mut self, method: Method, target: &str, body: Option<Value>) -> Value {
        self.fabric.ask(method, target, body).await.unwrap()
    }

    /// What the guild says to alice.
    async fn get(&mut self, target: &str) -> Value {
        self.ask(Method::Get, target, None).await
    }

    /// The newest message in a channel.
    async fn last(&mut self, channel: &str) -> Value {
        let page = self.get(&format!("/api/channels/{channel}/messages")).await;
        page["messages"].as_array().unwrap().last().unwrap().clone()
    }

    /// What the inspector prints when it is asked this of the plugin.
    async fn inspected(&mut self, awaited: Awaited, asked: &[&str]) -> Value {
        let plugin = self.fabric.plugin_for("plexum").await.unwrap();
        let status = format!("127.0.0.1:{}", free_port().unwrap());
        let awaited = match awaited {
            Awaited::Live => "live",
            Awaited::Turn => "turn",
        };
        let text = |word: &OsStr| word.to_str().unwrap().to_owned();
        let ready = npm::command_in("hosts", READY).unwrap();
        let mut args: Vec<String> = ready.get_args().map(text).collect();
        args.extend([format!("http://{status}"), awaited.to_owned()]);
        args.push(text(plugin.get_program()));
        args.extend(plugin.get_args().map(text));
        let given = plugin.get_envs();
        let given = given.map(|(name, value)| (text(name), text(value.unwrap())));
        let mut env: BTreeMap<_, _> = given.collect();
        env.insert("SELVEDGE_STATUS__LISTEN".to_owned(), status);
        let plugin = json!({"command": text(ready.get_program()), "args": args, "env": env});
        let servers = json!({"mcpServers": {"fabric": plugin}});

        let home = self.home.path();
        let file = home.join("servers.json");
        fs::write(&file, servers.to_string()).unwrap();
        let mut inspector = npm::host(INSPECTOR).unwrap();
        inspector.args(["--cli", "--server", "fabric", "--config"]);
        inspector.arg(&file).args(asked).current_dir(home);
        inspector.envs([
            ("HOME", home.as_os_str()),
            ("NODE_COMPILE_CACHE", home.join("compiled").as_os_str()),
            ("MCP_INSPECTOR_SECRET_STORE", "memory".as_ref()),
        ]);
        let output = inspector.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let answer = serde_json::from_slice(&output.stdout);
        answer.map_err(|error| format!("{error}: {said}")).unwrap()
    }

    /// Calls a tool, which succeeds.
    async fn call_at(&mut self, awaited: Awaited, name: &str, arguments: Value) -> Value {
        self.called.insert(name.to_owned());
        let arguments = arguments.to_string();
        let call = ["--method", "tools/call", "--tool-name", name];
        let asked = [&call[..], &["--tool-args-json", &arguments]].concat();
        let answer = self.inspected(awaited, &asked).await;
        assert_ne!(answer["isError"], true, "{name}: {answer}");
        answer["structuredContent"].clone()
    }

    async fn call(&mut self, name: &str, arguments: Value) -> Value {
        self.call_at(Awaited::Live, name, arguments).await
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A public channel with alice in it.
async fn lobby(scene: &mut Scene) -> String {
    let create = json!({"name": "lobby", "x_type": "general", "is_public": true});
    let lobby = text(&scene.call("create_channel", create).await["channel_id"]);
    let join = format!("/api/channels/{lobby}/join");
    scene.ask(Method::Post, &join, None).await;
    let listed = scene.call("list_channels", json!({})).await;
    assert_eq!(listed["channels"][0]["channel_id"], *lobby);
    let seen = scene
        .call("get_channel", json!({"channel_id": lobby}))
        .await;
    assert_eq!(seen["member_count"], 2);
    lobby
}

async fn members(scene: &mut Scene, lobby: &str) {
    let members = scene
        .call("list_members", json!({"channel_id": lobby}))
        .await;
    let echo = scene.fabric.agent().to_owned();
    let mut ids = members["members"].as_array().unwrap().iter();
    let alice = ids.find(|member| member["user_id"] != *echo).unwrap();
    let alice = text(&alice["user_id"]);

    let news = json!({"name": "news", "xType": "report", "isPublic": true});
    let news = text(&scene.ask(Method::Post, "/api/channels", Some(news)).await["id"]);
    let at_news = json!({"channel_id": news});
    for (tool, there) in [("join_channel", 2), ("leave_channel", 1)] {
        assert_eq!(scene.call(tool, at_news.clone()).await["changed"], true);
        let members = scene.get(&format!("/api/channels/{news}/members")).await;
        assert_eq!(members.as_array().unwrap().len(), there, "{tool}");
    }

    let private = json!({"name": "private", "x_type": "report"});
    let private = text(&scene.call("create_channel", private).await["channel_id"]);
    let add = json!({"channel_id": private, "user_ids": [alice]});
    assert_eq!(
        scene.call("add_members", add).await["added"],
        json!([alice])
    );
    scene
        .call("close_channel", json!({"channel_id": private}))
        .await;
    let closed = scene.get(&format!("/api/channels/{private}")).await;
    assert_eq!(closed["closed"], true);

    let topic =
        json!({"channel_id": lobby, "topic": "tea", "user_ids": [alice], "opening": "Green?"});
    let discussion = text(&scene.call("start_discussion", topic).await["channel_id"]);
    let opening = text(&scene.last(&discussion).await["content"]);
    assert_eq!(opening, format!("Green?\n\norigin: {lobby}"));
    let end = json!({"channel_id": discussion, "summary": "Green."});
    scene.call("end_discussion", end).await;
    assert_eq!(scene.last(lobby).await["content"], "Green.");
}

async fn messages(scene: &mut Scene, lobby: &str) {
    let send = json!({"channel_id": lobby, "content": "helo"});
    let sent = scene.call("send", send).await;
    assert_eq!(scene.last(lobby).await["id"], sent["message_id"]);
    let at = |more: Value| {
        let mut at = json!({"channel_id": lobby, "message_id": sent["message_id"]});
        at.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        at
    };
    scene
        .call("edit_message", at(json!({"content": "hello"})))
        .await;
    assert_eq!(scene.last(lobby).await["content"], "hello");
    let history = scene
        .call("get_history", json!({"channel_id": lobby, "limit": 1}))
        .await;
    assert_eq!(history["messages"][0]["content"], "hello");
    scene.call("delete_message", at(json!({}))).await;
    assert_eq!(scene.last(lobby).await["content"], "");

    fs::write(scene.fabric.files().join("plan.md"), "# Plan").unwrap();
    let file = scene.call("upload_file", json!({"path": "plan.md"})).await;
    let send = json!({"channel_id": lobby, "content": "", "attachments": [file["file_id"]]});
    scene.call("send", send).await;
    let attached = scene.last(lobby).await["attachments"][0]["id"].clone();
    assert_eq!(attached, file["file_id"]);
    let download = json!({"file_id": attached});
    let saved = scene.call("download_file", download).await;
    assert_eq!(fs::read_to_string(text(&saved["path"])).unwrap(), "# Plan");
}

async fn canvas(scene: &mut Scene, lobby: &str) {
    let pinned = format!("/api/channels/{lobby}/canvas");
    let at_lobby = json!({"channel_id": lobby});
    let share = json!({"channel_id": lobby, "format": "md", "title": "Plan", "content": "# One"});
    scene.call("share_canvas", share).await;
    assert_eq!(scene.get(&pinned).await["content"], "# One");
    let update = json!({"channel_id": lobby, "content": "# Two"});
    scene.call("update_canvas", update).await;
    assert_eq!(scene.get(&pinned).await["content"], "# Two");
    let read = scene.call("get_canvas", at_lobby.clone()).await;
    assert_eq!(read["content"], "# Two");
    scene.call("remove_canvas", at_lobby).await;
    assert!(scene.fabric.ask(Method::Get, &pinned, None).await.is_err());
}

/// In a discussion the guild waits for the agent's post or pass: each way to end a turn gives it one.
async fn turns(scene: &mut Scene) {
    let echo = scene.fabric.agent().to_owned();
    let body = json!({"name": "plans", "xType": "discuss", "memberUserIds": [echo]});
    let plans = text(&scene.ask(Method::Post, "/api/channels", Some(body)).await["id"]);
    let turn = format!("/api/channels/{plans}/turn");
    let id = ChannelId::new(&plans).unwrap();

    scene.fabric.post(&id, "tea?").await.unwrap();
    assert_eq!(scene.get(&turn).await["currentSpeaker"], *echo);
    let pending = scene
        .call_at(Awaited::Turn, "list_pending", json!({}))
        .await;
    assert_eq!(pending["channels"][0]["channel_id"], *plans);
    // The process has ended since, and the next one goes on with the turn.
    let open = json!({"turn_id": pending["channels"][0]["turn_id"]});
    scene.call_at(Awaited::Turn, "turn_done", open).await;
    idle(scene, &turn).await;

    scene.fabric.post(&id, "coffee?").await.unwrap();
    assert_eq!(scene.get(&turn).await["currentSpeaker"], *echo);
    let at_plans = json!({"channel_id": plans});
    scene.call_at(Awaited::Turn, "no_reply", at_plans).await;
    idle(scene, &turn).await;
}

/// Nobody has to speak in a channel any more. A process that ended before it could say so leaves that to
/// the next one.
async fn idle(scene: &mut Scene, turn: &str) {
    let since = scene.fabric.clock().now();
    while scene.get(turn).await["phase"] != "idle" {
        let waited = scene.fabric.clock().now().since(since);
        assert!(waited < PATIENCE);
        let pending = scene.call("list_pending", json!({})).await;
        assert_eq!(pending["channels"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_is_listed_and_does_what_it_says() {
    if npm::host(INSPECTOR).is_none() {
        return;
    }
    let fabric = Fabric::start().await.unwrap();
    let mut scene = Scene {
        fabric,
        home: tempfile::tempdir().unwrap(),
        called: BTreeSet::new(),
    };
    let listed = scene
        .inspected(Awaited::Live, &["--method", "tools/list"])
        .await;
    let listed = listed["tools"].as_array().unwrap();
    let listed: BTreeSet<String> = listed.iter().map(|tool| text(&tool["name"])).collect();
    assert_eq!(listed.len(), TOOLS);
    let lobby = lobby(&mut scene).await;
    members(&mut scene, &lobby).await;
    messages(&mut scene, &lobby).await;
    canvas(&mut scene, &lobby).await;
    turns(&mut scene).await;
    assert_eq!(scene.called, listed);
    scene.fabric.stop().await.unwrap();
}
