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
