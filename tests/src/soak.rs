//! The two long runs: through the life of a token, and through kills of the guild. CI runs the
//! second in a shorter form; `selvedge-soak` runs both in full.

use std::{process::Stdio, time::Duration};

use selvedge_core::{fabric::types::Message, id::ChannelId};
use tokio::{sync::mpsc, time::sleep};

use crate::{
    PATIENCE,
    fabric::{Fabric, Fault, answers},
};

/// How long the answer to a post may take while nothing is wrong.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a killed guild stays away.
const AWAY: Duration = Duration::from_secs(2);
/// Within what time of its return a post must be answered.
const BACK: Duration = Duration::from_secs(15);
/// How often a post is made while nobody answers yet.
const KNOCK: Duration = Duration::from_millis(250);

/// Posts every `every` for `length`, and demands that each post is answered, once.
///
/// # Errors
///
/// At the first post that is not.
pub async fn steady(
    length: Duration,
    every: Duration,
    mut say: impl FnMut(&str),
) -> Result<(), Fault> {
    let mut fabric = Fabric::start().await?;
    let (events_in, mut events) = mpsc::channel(1_024);
    let agent = fabric.start_agent(Stdio::inherit(), events_in).await?;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let channel = fabric.create("general", "general", &agent).await?;
    let clock = fabric.clock();
    let (start, mut slowest, mut posts) = (clock.now(), Duration::ZERO, 0_u64);
    while clock.now().since(start) < length {
        let posted = clock.now();
        let message = fabric.post(&channel, &format!("post {posts}")).await?;
        if fabric.reply(&message, ANSWER).await?.is_none() {
            let at = posted.since(start).as_secs();
            return Err(format!("post {posts} at {at} s was not answered in {ANSWER:?}").into());
        }
        slowest = slowest.max(clock.now().since(posted));
        posts += 1;
        if posts.is_multiple_of(6) {
            let minutes = clock.now().since(start).as_secs_f64() / 60.0;
            say(&format!(
                "{minutes:5.1} min: {posts} posts answered, the slowest in {slowest:?}"
            ));
        }
        sleep(every).await;
    }
    let (answered, doubled) = count(&fabric.history(&channel, 0).await?);
    say(&format!(
        "{posts} posts, {answered} answered, {doubled} answered more than once"
    ));
    agent.shutdown().await;
    fabric.stop().await?;
    if answered != posts || doubled > 0 {
        return Err("not every post was answered exactly once".into());
    }
    Ok(())
}

/// Kills the guild `times` times, `every` apart, and demands each time that a post is answered
/// within 15 s of its return, and that no post is ever answered twice.
///
/// # Errors
///
/// At the first time that it is not.
pub async fn kills(times: u32, every: Duration, mut say: impl FnMut(&str)) -> Result<(), Fault> {
    let mut fabric = Fabric::start().await?;
    let (events_in, mut events) = mpsc::channel(1_024);
    let agent = fabric.start_agent(Stdio::inherit(), events_in).await?;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let channel = fabric.create("general", "general", &agent).await?;
    let clock = fabric.clock();
    for kill in 1..=times {
        let round = clock.now();
        let message = fabric
            .post(&channel, &format!("before kill {kill}"))
            .await?;
        fabric
            .reply(&message, PATIENCE)
            .await?
            .ok_or("a post before a kill was not answered")?;
        fabric.kill_guild().await?;
        sleep(AWAY).await;
        fabric.start_guild().await?;
        let returned = clock.now();
        let knocks = knock(&mut fabric, &channel, kill).await?;
        let back = clock.now().since(returned);
        say(&format!(
            "kill {kill}: answered {back:?} after the guild's return, post {knocks}"
        ));
        sleep(every.saturating_sub(clock.now().since(round))).await;
    }
    let (answered, doubled) = count(&fabric.history(&channel, 0).await?);
    say(&format!(
        "{times} kills, {answered} posts answered, {doubled} answered more than once"
    ));
    agent.shutdown().await;
    fabric.stop().await?;
    if doubled > 0 {
        return Err("a post was answered more than once".into());
    }
    Ok(())
}

/// Posts until one is answered: how many posts that took.
async fn knock(fabric: &mut Fabric, channel: &ChannelId, kill: u32) -> Result<u32, Fault> {
    let since = fabric.clock().now();
    for knock in 1.. {
        let message = fabric
            .post(channel, &format!("after kill {kill}, {knock}"))
            .await?;
        if fabric.reply(&message, KNOCK).await?.is_some() {
            return Ok(knock);
        }
        if fabric.clock().now().since(since) >= BACK {
            break;
        }
    }
    Err(format!("nothing was answered in {BACK:?} after kill {kill}").into())
}

/// How many messages are answered, and how many of them more than once.
fn count(history: &[Message]) -> (u64, u64) {
    let answers_to = |message: &Message| {
        history
            .iter()
            .filter(|reply| answers(reply, &message.id))
            .count()
    };
    history
        .iter()
        .map(answers_to)
        .fold((0, 0), |(once, more), answers| {
            (once + u64::from(answers > 0), more + u64::from(answers > 1))
        })
}
