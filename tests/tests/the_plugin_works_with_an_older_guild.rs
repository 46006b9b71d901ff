//! The plugin with a guild that lacks whatever only some deployments have: on npm's NestJS, over real
//! sockets.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use selvedge_tests::{
    caller::Caller,
    nest::{Nest, answer, done},
};
use serde_json::json;

/// A guild with a channel that the agent has joined. `None` where there is no Node.
async fn joined(join_acks: bool) -> Option<(Nest, Caller)> {
    let mut nest = Nest::start(join_acks).await.unwrap()?;
    nest.wish(&json!({"create": "c"})).await;
    let caller = nest.start_caller().await.unwrap();
    nest.saw(&json!({"joined": "echo", "channel": "c"})).await;
    Some((nest, caller))
}

/// Each of these is a turn of its own, after so many others, and is answered.
async fn answers(nest: &mut Nest, caller: &mut Caller, before: usize, contents: &[&str]) {
    for (turn, content) in contents.iter().enumerate() {
        let inbound = caller.inbound_in("c", before + turn).await.unwrap();
        let told: Vec<&str> = inbound
            .messages
            .iter()
            .map(|it| it.content.as_str())
            .collect();
        assert_eq!(told, [*content]);
        answer(caller, &inbound).await.unwrap();
        let said = format!("echo: {content}");
        nest.saw(&json!({"stored": said, "by": "echo"})).await;
        done(caller, &inbound).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_joins_hears_and_answers() {
    let Some((mut nest, mut caller)) = joined(true).await else {
        return;
    };
    nest.posts("c", "tea?", 1).await;
    answers(&mut nest, &mut caller, 0, &["tea?"]).await;
    assert_eq!(nest.posted("c").await, ["echo: tea?"]);
    nest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_during_a_reconnect_is_read_back() {
    let Some((mut nest, mut caller)) = joined(true).await else {
        return;
    };
    nest.posts("c", "one", 1).await;
    answers(&mut nest, &mut caller, 0, &["one"]).await;
    nest.wish(&json!({"cut": true})).await;
    for content in ["two", "three", "four"] {
        nest.posts("c", content, 0).await;
    }
    nest.saw(&json!({"joined": "echo", "channel": "c"})).await;
    answers(&mut nest, &mut caller, 1, &["two", "three", "four"]).await;
    nest.stop().await;
}

/// The guild knows no `afterSeq`, and the newest messages are not those that are missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_before_newer_messages_is_read_back() {
    let Some((mut nest, mut caller)) = joined(true).await else {
        return;
    };
    nest.posts("c", "one", 1).await;
    answers(&mut nest, &mut caller, 0, &["one"]).await;
    nest.wish(&json!({"mute": 2})).await;
    for (content, heard) in [("two", 0), ("three", 0), ("four", 1), ("five", 1)] {
        nest.posts("c", content, heard).await;
    }
    let missed = ["two", "three", "four", "five"];
    answers(&mut nest, &mut caller, 1, &missed).await;
    nest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_refused_leads_to_a_login() {
    let Some((mut nest, mut caller)) = joined(true).await else {
        return;
    };
    nest.posts("c", "hello?", 1).await;
    answers(&mut nest, &mut caller, 0, &["hello?"]).await;
    nest.wish(&json!({"revoke": true})).await;
    nest.wish(&json!({"cut": true})).await;
    nest.posts("c", "tea?", 0).await;
    nest.saw(&json!({"refused": "socket"})).await;
    nest.saw(&json!({"login": "echo"})).await;
    nest.saw(&json!({"joined": "echo", "channel": "c"})).await;
    answers(&mut nest, &mut caller, 1, &["tea?"]).await;
    nest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_leads_to_a_login() {
    let Some((mut nest, mut caller)) = joined(true).await else {
        return;
    };
    nest.posts("c", "tea?", 1).await;
    let inbound = caller.inbound_in("c", 0).await.unwrap();
    nest.wish(&json!({"revoke": true})).await;
    answer(&mut caller, &inbound).await.unwrap();
    nest.saw(&json!({"refused": "request"})).await;
    nest.saw(&json!({"login": "echo"})).await;
    assert_eq!(nest.posted("c").await, ["echo: tea?"]);
    nest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acks_a_join_is_taken_as_done() {
    let Some((mut nest, mut caller)) = joined(false).await else {
        return;
    };
    nest.posts("c", "tea?", 1).await;
    answers(&mut nest, &mut caller, 0, &["tea?"]).await;
    nest.wish(&json!({"cut": true})).await;
    nest.posts("c", "coffee?", 0).await;
    nest.saw(&json!({"joined": "echo", "channel": "c"})).await;
    answers(&mut nest, &mut caller, 1, &["coffee?"]).await;
    nest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_whose_answer_is_lost_does_not_appear_twice() {
    let Some((mut nest, mut caller)) = joined(true).await else {
        return;
    };
    nest.posts("c", "tea?", 1).await;
    let inbound = caller.inbound_in("c", 0).await.unwrap();
    nest.wish(&json!({"lose": 1})).await;
    let sent = answer(&mut caller, &inbound).await.unwrap();
    assert_eq!(sent.get("already_posted"), Some(&json!(true)), "{sent}");
    assert_eq!(nest.posted("c").await, ["echo: tea?"]);
    nest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_is_handed_over_again_says_nothing_twice() {
    let Some((mut nest, mut caller)) = joined(true).await else {
        return;
    };
    nest.posts("c", "tea?", 1).await;
    let inbound = caller.inbound_in("c", 0).await.unwrap();
    answer(&mut caller, &inbound).await.unwrap();
    caller.kill().await.unwrap();
    let mut caller = nest.start_caller().await.unwrap();
    let again = caller.inbound_in("c", 0).await.unwrap();
    assert!(again.redelivered);
    assert_eq!(again.turn_id, inbound.turn_id);
    let sent = answer(&mut caller, &again).await.unwrap();
    assert_eq!(sent.get("already_posted"), Some(&json!(true)), "{sent}");
    assert_eq!(nest.posted("c").await, ["echo: tea?"]);
    nest.stop().await;
}
