//! Asks a plugin over and over how its links do.

use std::{collections::BTreeMap, time::Duration};

use selvedge::{
    clock::Clock,
    http::Client,
    status::{self, Report},
};
use selvedge_core::{
    Time,
    http::{Method, Request},
    id::{AgentId, GuildId},
    plugin::status::{GuildStatus, LinkState},
};
use tokio::time::{sleep, timeout};

use crate::{
    PATIENCE,
    fabric::{Fault, answer},
};

/// How often a plugin is asked: each answer costs it some processor time.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often it is tried at first.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often each link has become live.
pub(super) type Lives = BTreeMap<(AgentId, GuildId), u64>;

/// What was seen until every link was live.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How many dials there were, of all links.
    pub(super) dials: u64,
    /// How many in the second that had the most.
    pub(super) dials_a_second: f64,
    /// How many links were live, second by second.
    pub(super) live: Vec<usize>,
}

/// Whoever asks.
pub(super) struct Watch {
    client: Client,
    clock: Clock,
    origin: String,
}

impl Watch {
    /// Waits until the plugin tells anything at `origin`.
    pub(super) async fn start(client: Client, clock: Clock, origin: &str) -> Result<Self, Fault> {
        let watch = Self {
            client,
            clock,
            origin: origin.to_owned(),
        };
        timeout(PATIENCE, async {
            while watch.report().await.is_err() {
                sleep(LOOK_EVERY).await;
            }
        })
        .await?;
        Ok(watch)
    }

    /// How the plugin does.
    pub(super) async fn report(&self) -> Result<Report, Fault> {
        let request = Request {
            method: Method::Get,
            target: status::PATH.into(),
            bearer: None,
            body: bytes::Bytes::new(),
        };
        answer(&self.client, &self.origin, request).await
    }

    /// Waits until so many links are live, each once more than `before` at least.
    pub(super) async fn until_live(
        &self,
        links: usize,
        before: &Lives,
        most: Duration,
    ) -> Result<Seen, Fault> {
        let begun = self.clock.now();
        let mut seen = Seen::default();
        let mut last: Option<(Time, u64)> = None;
        loop {
            let report = self.report().await?;
            let (now, made) = (self.clock.now(), dials(&report));
            if let Some((then, earlier)) = last {
                let more = made.saturating_sub(earlier);
                let rate = more as f64 / now.since(then).as_secs_f64();
                seen.dials += more;
                seen.dials_a_second = seen.dials_a_second.max(rate);
            }
            last = Some((now, made));
            let live = live_again(&report, before);
            seen.live.push(live);
            if live == links {
                return Ok(seen);
            }
            if now.since(begun) > most {
                let problems = report.problems();
                let first: Vec<_> = problems.iter().take(5).collect();
                let words = format!("{live} of {links} links are live after {most:?}: {first:?}");
                return Err(words.into());
            }
            sleep(ASK_EVERY).await;
        }
    }
}

fn links(report: &Report) -> impl Iterator<Item = (&AgentId, &GuildStatus)> {
    report.agents.iter().flat_map(|agent| {
        let guilds = agent.guilds.iter();
        guilds.map(move |guild| (&agent.agent_id, guild))
    })
}

/// How often each link has become live so far.
pub(super) fn lives(report: &Report) -> Lives {
    links(report)
        .map(|(agent, guild)| ((agent.clone(), guild.guild_id.clone()), guild.link.lives))
        .collect()
}

fn live_again(report: &Report, before: &Lives) -> usize {
    let is_back = |(agent, guild): &(&AgentId, &GuildStatus)| {
        let key = ((*agent).clone(), guild.guild_id.clone());
        let before = before.get(&key).copied().unwrap_or_default();
        guild.link.state == LinkState::Live && guild.link.lives > before
    };
    links(report).filter(is_back).count()
}

/// How many dials have been made and have ended, or led to a live link.
fn dials(report: &Report) -> u64 {
    let of = |guild: &GuildStatus| {
        let link = &guild.link;
        let ends = &link.ends;
        link.lives + link.rotations + ends.dial + ends.refused + ends.handshake + ends.joining
    };
    links(report).map(|(_, guild)| of(guild)).sum()
}
