//! How the agent does, put together from its parts.

use alloc::{borrow::ToOwned as _, collections::BTreeMap};

use super::{Agent, Phase};
use crate::{
    id::ChannelId,
    plugin::{
        status::{AgentState, AgentStatus, Reports, Trouble, millis},
        turns::Work,
    },
    time::Time,
};

impl Reports for Agent {
    fn status(&self, now: Time) -> AgentStatus {
        let shared = &self.shared;
        let (state, stopped) = match &self.phase {
            Phase::Running => (AgentState::Running, None),
            Phase::Stopped(why) => (AgentState::Stopped, Some(why)),
            Phase::Shut => (AgentState::Shut, None),
        };
        let mut work: BTreeMap<u32, BTreeMap<&ChannelId, Work>> = BTreeMap::new();
        let mut waiting = 0;
        for (place, queue) in shared.turns.work(now, &shared.config) {
            waiting += queue.waiting;
            work.entry(place.0).or_default().insert(&place.1, queue);
        }
        let mut parked: BTreeMap<u32, BTreeMap<&ChannelId, u64>> = BTreeMap::new();
        for (number, _, record) in shared.records.parked() {
            let channels = parked.entry(number).or_default();
            *channels.entry(&record.channel).or_default() += 1;
        }
        let all_parked = parked.values().flat_map(BTreeMap::values).sum();
        let mut absent = shared.config.guilds.clone().unwrap_or_default();
        absent.retain(|guild| !self.numbers.contains_key(guild));
        let guilds = self.guilds.iter().map(|(number, guild)| {
            let work = work.remove(number).unwrap_or_default();
            let parked = parked.remove(number).unwrap_or_default();
            guild.status(now, work, &parked)
        });
        AgentStatus {
            why: stopped.or(self.no_login.as_ref()).cloned(),
            served_by: self.claim.served_by().map(str::to_owned),
            store: shared.journal.trouble().map(|(why, since)| Trouble {
                why: why.to_owned(),
                ms_ago: millis(now.since(since)),
            }),
            user_id: shared.account.user().cloned(),
            waiting,
            parked: all_parked,
            calls: (shared.outbox.len() + shared.jobs.len()) as u64,
            absent: absent.into_iter().collect(),
            guilds: guilds.collect(),
            ..AgentStatus::of(shared.config.agent_id.clone(), state)
        }
    }
}
