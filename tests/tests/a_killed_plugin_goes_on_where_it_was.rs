//! A plugin that is killed at a bad moment: a real process, a real guild, a real store.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use selvedge_core::{
    fabric::types::Message, http::Method, id::ChannelId, plugin::inbound::Inbound,
};
use selvedge_tests::{caller::Caller, fabric::Fabric};
use serde_json::{Value, json};

/// A Fabric with a channel in which alice and the agent are.
struct Scene {
    fabric: Fabric,
    channel: ChannelId,
}

impl Scene {
    async fn start() -> (Self, Caller) {
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
        (Self { fabric, channel }, caller)
    }

    async fn posts(&mut self, content: &str) -> Message {
        self.fabric.post(&self.channel, content).await.unwrap()
    }

    /// The inbound after so many others of this process.
    async fn inbound(&self, caller: &mut Caller, before: usize) -> Inbound {
        let channel = self.channel.as_str();
        caller.inbound_in(channel, before).await.unwrap()
    }

    /// Kills the plugin and starts it again.
    async fn kill(&mut self, caller: Caller) -> Caller {
        caller.kill().await.unwrap();
        self.fabric.start_caller().await.unwrap()
    }

    /// The agent answers the last message of a turn.
    async fn answers(&self, caller: &mut Caller, inbound: &Inbound) -> Value {
        let last = inbound.messages.last().unwrap();
        let send = json!({
            "channel_id": self.channel.as_str(), "reply_to": last.id.as_str(),
            "content": format!("echo: {}", last.content),
        });
        caller.call_when_connected("send", &send).await.unwrap()
    }

    /// What the agent has posted in the channel.
    async fn posted(&mut self) -> Vec<String> {
        let all = self.fabric.history(&self.channel, 0).await.unwrap();
        let agent = self.fabric.agent();
        let own = all
            .iter()
            .filter(|message| message.author.id.as_str() == agent);
        own.map(|message| message.content.clone()).collect()
    }
}

async fn done(caller: &mut Caller, inbound: &Inbound) {
    let turn = json!({"turn_id": inbound.turn_id.as_str()});
    caller.call("turn_done", turn).await.unwrap().unwrap();
}

/// What was handed over, in words.
fn told(inbound: &Inbound) -> (Vec<&str>, u32, bool) {
    let messages = inbound.messages.iter();
    let messages = messages.map(|message| message.content.as_str());
    (messages.collect(), inbound.attempt, inbound.redelivered)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_turn_it_offers_the_turn_again_and_then_what_came_meanwhile() {
    let (mut scene, mut caller) = Scene::start().await;
    scene.posts("tea?").await;
    scene.posts("or coffee?").await;
    let first = scene.inbound(&mut caller, 0).await;
    assert_eq!(told(&first), (vec!["tea?"], 1, false));
    caller.kill().await.unwrap();
    scene.posts("hello?").await;
    let mut caller = scene.fabric.start_caller().await.unwrap();
    let again = scene.inbound(&mut caller, 0).await;
    assert_eq!(told(&again), (vec!["tea?"], 2, true));
    assert_eq!(again.turn_id, first.turn_id);
    scene.answers(&mut caller, &again).await;
    done(&mut caller, &again).await;
    for (turn, content) in [(1, "or coffee?"), (2, "hello?")] {
        let next = scene.inbound(&mut caller, turn).await;
        assert_eq!(told(&next), (vec![content], 1, false));
        scene.answers(&mut caller, &next).await;
        done(&mut caller, &next).await;
    }
    let posted = scene.posted().await;
    assert_eq!(posted, ["echo: tea?", "echo: or coffee?", "echo: hello?"]);
    scene.fabric.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_answer_it_says_nothing_twice() {
    let (mut scene, mut caller) = Scene::start().await;
    scene.posts("tea?").await;
    let first = scene.inbound(&mut caller, 0).await;
    let sent = scene.answers(&mut caller, &first).await;
    let mut caller = scene.kill(caller).await;
    let again = scene.inbound(&mut caller, 0).await;
    assert_eq!(told(&again), (vec!["tea?"], 2, true));
    let repeated = scene.answers(&mut caller, &again).await;
    assert_eq!(repeated["message_id"], sent["message_id"]);
    assert_eq!(scene.posted().await, ["echo: tea?"]);
    done(&mut caller, &again).await;
    // The next turn begins only with a record that is committed after the end of this one.
    scene.posts("and now?").await;
    let next = scene.inbound(&mut caller, 1).await;
    done(&mut caller, &next).await;
    scene.posts("well?").await;
    scene.inbound(&mut caller, 2).await;
    let mut caller = scene.kill(caller).await;
    let last = scene.inbound(&mut caller, 0).await;
    assert_eq!(
        told(&last),
        (vec!["well?"], 2, true),
        "nothing that is over"
    );
    scene.fabric.stop().await.unwrap();
}
