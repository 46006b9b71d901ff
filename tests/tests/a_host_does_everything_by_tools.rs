//! Every tool of the plugin, called by a host over MCP, and what the guild then says.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeSet;

use selvedge_core::http::Method;
use selvedge_tests::{caller::Caller, fabric::Fabric};
use serde_json::{Value, json};

/// A Fabric, and a host whose plugin is connected to it.
struct Scene {
    fabric: Fabric,
    caller: Caller,
    called: BTreeSet<String>,
}

impl Scene {
    async fn start() -> Self {
        let mut fabric = Fabric::start().await.unwrap();
        let caller = fabric.start_caller().await.unwrap();
        Self {
            fabric,
            caller,
            called: BTreeSet::new(),
        }
    }

    /// Calls a tool that succeeds.
    async fn call(&mut self, name: &str, arguments: Value) -> Value {
        let told = self.called(name, arguments).await;
        assert!(told.is_ok(), "{name}: {told:?}");
        told.unwrap()
    }

    /// Calls a tool that fails: its words.
    async fn fails(&mut self, name: &str, arguments: Value) -> String {
        self.called(name, arguments).await.unwrap_err()
    }

    async fn called(&mut self, name: &str, arguments: Value) -> Result<Value, String> {
        self.called.insert(name.to_owned());
        self.caller.call(name, arguments).await.unwrap()
    }

    /// What the guild says to alice.
    async fn get(&mut self, target: &str) -> Value {
        self.ask(Method::Get, target, None).await
    }

    async fn ask(&mut self, method: Method, target: &str, body: Option<Value>) -> Value {
        self.fabric.ask(method, target, body).await.unwrap()
    }

    /// Waits until the plugin has logged in: the tools are there before.
    async fn connected(&mut self) -> Value {
        loop {
            let create = json!({"name": "lobby", "x_type": "general", "is_public": true});
            match self.called("create_channel", create).await {
                Ok(channel) => return channel,
                Err(why) => assert!(why.contains("no guild is known yet"), "{why}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The channel that everything begins in, with the agent and alice: their ids.
struct Lobby {
    id: String,
    echo: String,
    alice: String,
}

async fn meet(scene: &mut Scene) -> Lobby {
    let echo = scene.fabric.agent().to_owned();
    let lobby = text(&scene.connected().await["channel_id"]);
    let target = format!("/api/channels/{lobby}/join");
    let alice = scene.ask(Method::Post, &target, None).await;
    assert_eq!(alice["changed"], true);
    let members = scene
        .call("list_members", json!({"channel_id": lobby}))
        .await;
    assert_eq!(members["omitted"], 0);
    let ids = members["members"].as_array().unwrap();
    let alice = ids.iter().find(|member| member["user_id"] != echo).unwrap();
    let alice = text(&alice["user_id"]);
    Lobby {
        id: lobby,
        echo,
        alice,
    }
}

async fn channels(scene: &mut Scene, Lobby { id: lobby, .. }: &Lobby) {
    let seen = scene
        .call("get_channel", json!({"channel_id": lobby}))
        .await;
    assert_eq!(
        (&seen["name"], &seen["x_type"], &seen["member_count"]),
        (&json!("lobby"), &json!("general"), &json!(2))
    );
    let listed = scene.call("list_channels", json!({})).await;
    assert_eq!(listed["channels"][0]["channel_id"], *lobby);

    let news = json!({"name": "news", "xType": "report", "isPublic": true});
    let news = scene.ask(Method::Post, "/api/channels", Some(news)).await;
    let news = text(&news["id"]);
    let at_news = json!({"channel_id": news});
    let joined = scene.call("join_channel", at_news.clone()).await;
    assert_eq!(joined["changed"], true);
    let again = scene.call("join_channel", at_news.clone()).await;
    assert_eq!(again["changed"], false);
    let left = scene.call("leave_channel", at_news.clone()).await;
    assert_eq!(left["changed"], true);
    let target = format!("/api/channels/{news}/members");
    let members = scene.get(&target).await;
    assert_eq!(members.as_array().unwrap().len(), 1, "{members}");
}

/// A private channel that is closed in the end.
async fn members(scene: &mut Scene, Lobby { echo, alice, .. }: &Lobby) {
    let private = json!({"name": "private", "x_type": "report"});
    let private = scene.call("create_channel", private).await;
    let private = text(&private["channel_id"]);
    let add = json!({"channel_id": private, "user_ids": [alice, echo]});
    let added = scene.call("add_members", add).await;
    assert_eq!(added, json!({"added": [alice], "already": [echo]}));
    let wrong = json!({"channel_id": private, "user_ids": ["bob", "not an id"]});
    let why = scene.fails("add_members", wrong).await;
    assert!(why.ends_with("made members before that: bob"), "{why}");

    let closed = json!({"channel_id": private});
    assert_eq!(scene.call("close_channel", closed).await["closed"], true);
    let late = json!({"channel_id": private, "content": "late"});
    let why = scene.fails("send", late).await;
    assert!(why.contains("the channel is closed"), "{why}");
}

async fn messages(scene: &mut Scene, Lobby { id: lobby, .. }: &Lobby) {
    let sent = json!({"channel_id": lobby, "content": "helo"});
    let sent = scene.call("send", sent).await;
    let edit = json!({"channel_id": lobby, "message_id": sent["message_id"], "content": "hello"});
    let edited = scene.call("edit_message", edit).await;
    assert_eq!(edited["content"], "hello");
    let other = json!({"channel_id": lobby, "content": "gone"});
    let other = scene.call("send", other).await;
    let delete = json!({"channel_id": lobby, "message_id": other["message_id"]});
    assert_eq!(scene.call("delete_message", delete).await["done"], true);
    let history = scene.get(&format!("/api/channels/{lobby}/messages")).await;
    assert_eq!(history["messages"][0]["content"], "hello");
    assert_eq!(history["messages"][1]["content"], "");
    let page = json!({"channel_id": lobby, "limit": 1});
    let page = scene.call("get_history", page).await;
    assert_eq!(
        (&page["first_seq"], &page["has_more"]),
        (&json!(2), &json!(true))
    );
    let before = json!({"channel_id": lobby, "limit": 1, "before_seq": page["first_seq"]});
    let page = scene.call("get_history", before).await;
    assert_eq!(page["messages"][0]["content"], "hello");
    assert_eq!(page["has_more"], false);
}

async fn files(scene: &mut Scene, Lobby { id: lobby, .. }: &Lobby) {
    let folder = scene.fabric.files();
    std::fs::write(folder.join("plan.md"), "# Plan").unwrap();
    let why = scene
        .fails("upload_file", json!({"path": "/etc/hostname"}))
        .await;
    assert!(why.contains("other folders are not read"), "{why}");
    let upload = json!({"path": "plan.md", "name": "our plan.md"});
    let file = scene.call("upload_file", upload).await;
    let known = (&file["name"], &file["mime"], &file["bytes"]);
    assert_eq!(
        known,
        (&json!("our plan.md"), &json!("text/markdown"), &json!(6))
    );
    let send = json!({"channel_id": lobby, "content": "", "attachments": [file["file_id"]]});
    scene.call("send", send).await;
    let history = scene.get(&format!("/api/channels/{lobby}/messages")).await;
    let last = history["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["attachments"][0]["id"], file["file_id"]);
    let download = json!({"file_id": file["file_id"]});
    let saved = scene.call("download_file", download).await;
    let path = text(&saved["path"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# Plan");
    let expected = folder.join(format!("{}-our_plan.md", text(&file["file_id"])));
    assert_eq!(
        std::path::Path::new(&path),
        expected.canonicalize().unwrap()
    );
    let why = scene
        .fails("download_file", json!({"file_id": "nowhere"}))
        .await;
    assert!(why.contains("no such file"), "{why}");
}

async fn canvas(
    scene: &mut Scene,
    Lobby {
        id: lobby, echo, ..
    }: &Lobby,
) {
    let at_lobby = json!({"channel_id": lobby});
    let canvas = format!("/api/channels/{lobby}/canvas");
    let share = json!({"channel_id": lobby, "format": "md", "title": "Plan", "content": "# One"});
    assert_eq!(scene.call("share_canvas", share).await["shared_by"], *echo);
    let update = json!({"channel_id": lobby, "content": "# Two"});
    scene.call("update_canvas", update).await;
    let pinned = scene.get(&canvas).await;
    assert_eq!(
        (&pinned["title"], &pinned["content"]),
        (&json!("Plan"), &json!("# Two"))
    );
    let read = scene.call("get_canvas", at_lobby.clone()).await;
    assert_eq!(read["content"], "# Two");
    assert_eq!(
        scene.call("remove_canvas", at_lobby.clone()).await["done"],
        true
    );
    let why = scene.fails("get_canvas", at_lobby.clone()).await;
    assert!(why.contains("knows no such thing"), "{why}");
}

async fn turns(scene: &mut Scene, Lobby { id: lobby, .. }: &Lobby) {
    let post = json!({"content": "are you there?"});
    scene
        .ask(
            Method::Post,
            &format!("/api/channels/{lobby}/messages"),
            Some(post),
        )
        .await;
    let turn = scene.caller.woken_in(lobby).await.unwrap();
    let pending = scene.call("list_pending", json!({})).await;
    assert_eq!(pending["channels"][0]["turn_id"], turn.as_str());
    scene.call("turn_done", json!({"turn_id": turn})).await;
    let pending = scene.call("list_pending", json!({})).await;
    assert_eq!(pending["channels"], json!([]));
    scene.call("no_reply", json!({"channel_id": lobby})).await;
}

async fn discussion(
    scene: &mut Scene,
    Lobby {
        id: lobby, alice, ..
    }: &Lobby,
) {
    let start = json!({"session_id": format!("s_fab_{lobby}"), "topic": "tea",
        "user_ids": [alice], "opening": "Green or black?"});
    let discussion = scene.call("start_discussion", start).await;
    let discussion = text(&discussion["channel_id"]);
    let channel = scene.get(&format!("/api/channels/{discussion}")).await;
    assert_eq!(
        (&channel["xType"], &channel["name"]),
        (&json!("discuss"), &json!("tea"))
    );
    let end = json!({"channel_id": discussion, "summary": "Green."});
    let ended = scene.call("end_discussion", end).await;
    assert_eq!(ended["posted_in"], *lobby);
    let channel = scene.get(&format!("/api/channels/{discussion}")).await;
    assert_eq!(channel["closed"], true);
    let history = scene.get(&format!("/api/channels/{lobby}/messages")).await;
    let last = history["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"], "Green.");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_does_in_the_guild_what_it_says() {
    let mut scene = Scene::start().await;
    let lobby = meet(&mut scene).await;
    channels(&mut scene, &lobby).await;
    members(&mut scene, &lobby).await;
    messages(&mut scene, &lobby).await;
    files(&mut scene, &lobby).await;
    canvas(&mut scene, &lobby).await;
    turns(&mut scene, &lobby).await;
    discussion(&mut scene, &lobby).await;
    let tools = scene.caller.ask("tools/list", json!({})).await.unwrap();
    let tools = tools["tools"].as_array().unwrap();
    let all: BTreeSet<String> = tools.iter().map(|tool| text(&tool["name"])).collect();
    assert_eq!(scene.called, all);
    scene.fabric.stop().await.unwrap();
}
