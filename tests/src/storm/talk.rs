//! What people say in one channel.

use std::{sync::Arc, time::Duration};

use selvedge_core::{
    fabric::types::XType,
    id::{ChannelId, UserId},
    rng::Rng,
};
use tokio::time::sleep;

use super::{judge::Posted, people::People};
use crate::fabric::Fault;

/// How often somebody's answer is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The posts in one channel.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) channel: ChannelId,
    pub(super) x_type: XType,
    /// How many posts.
    pub(super) posts: usize,
    /// Who posts, in turn.
    pub(super) by: Vec<String>,
    /// Who is meant, where that is said.
    pub(super) agent: UserId,
}

impl Talk {
    /// Posts everything, spread over this time, with an author after the other. Where users take turns,
    /// a newer message takes the place of an older one that is not answered: there everybody waits for
    /// the answer.
    pub(super) async fn hold(
        self,
        people: Arc<People>,
        length: Duration,
        mut rng: Rng,
    ) -> Result<Vec<Posted>, Fault> {
        let began = people.clock.now();
        let parts = u32::try_from(self.posts)?;
        let mut all = Vec::new();
        for (number, by) in (0..parts).zip(self.by.iter().cycle()) {
            // The last part is left for what comes late.
            let from = length * number / (parts + 1);
            let at = began + rng.between(from, from + length / (parts + 1));
            sleep(at.since(people.clock.now())).await;
            let takes_turns = self.x_type.takes_turns();
            let content = if takes_turns {
                format!("<@{}> post {number}", self.agent)
            } else {
                format!("post {number}")
            };
            let posted = people.post(by, &self.channel, number, content).await?;
            if takes_turns {
                self.answered(&people, by, &posted).await;
            }
            all.push(posted);
        }
        Ok(all)
    }

    /// Waits until a post is answered.
    async fn answered(&self, people: &People, by: &str, posted: &Posted) {
        loop {
            if let Ok(said) = people.history(by, &self.channel).await {
                let post = said.iter().find(|said| said.content == posted.content);
                let id = post.map(|post| &post.id);
                if said
                    .iter()
                    .any(|said| id.is_some() && said.reply_to_id.as_ref() == id)
                {
                    return;
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
