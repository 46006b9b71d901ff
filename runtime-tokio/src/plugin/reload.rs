//! Another configuration for running agents: those that it leaves as they are notice nothing.

use std::{collections::BTreeMap, fmt};

use futures::future::join_all;
use selvedge_core::{
    id::AgentId,
    plugin::{io::Input, status::AgentStatus},
};
use tokio::time::timeout;

use super::{Member, Plugin, SHUTDOWN_PATIENCE, Shared, StartError};
use crate::config::Config;

/// What a configuration has changed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Changes {
    /// Agents that go on with what they have.
    pub kept: Vec<AgentId>,
    /// Agents that are new.
    pub started: Vec<AgentId>,
    /// Agents that were stopped and started with other settings.
    pub restarted: Vec<AgentId>,
    /// Agents that are no more.
    pub stopped: Vec<AgentId>,
    /// Keys whose new values wait for the next start of the process.
    pub waiting: Vec<&'static str>,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} agent(s) go on untouched", self.kept.len())?;
        for (what, agents) in [
            ("started", &self.started),
            ("restarted", &self.restarted),
            ("stopped", &self.stopped),
        ] {
            if !agents.is_empty() {
                let names: Vec<&str> = agents.iter().map(AgentId::as_str).collect();
                write!(f, "; {what}: {}", names.join(", "))?;
            }
        }
        if !self.waiting.is_empty() {
            let keys = self.waiting.join(", ");
            write!(f, "; only at the next start of the plugin: {keys}")?;
        }
        Ok(())
    }
}

impl Plugin {
    /// Goes over to `config`. Agents whose settings are equal keep their machines and connections; the
    /// others are stopped, which is said where a turn of theirs is cut off with it, and started if they
    /// are still there. What agents share, such as the proxy, is the settings of each.
    ///
    /// # Errors
    ///
    /// Where TLS or HTTP cannot be set up; then nothing has changed.
    pub async fn reload(&mut self, config: &Config) -> Result<Changes, StartError> {
        let (config, waiting) = self.taken(config);
        let mut shared = None;
        let roots = super::roots(&config);
        if !self.reaches_as(&config) || roots != self.roots {
            let (http, dialer) = super::reach(&config)?;
            shared = Some(Shared {
                http,
                dialer,
                center_url: config.center_url.as_str().into(),
                ..self.shared.clone()
            });
        }
        let mut seeds = BTreeMap::new();
        for agent in &config.agents {
            seeds.insert(&agent.config.agent_id, super::seed()?);
        }
        // From here on nothing fails.
        let mut changes = Changes {
            waiting,
            ..Changes::default()
        };
        let report = self.shared.desk.report().await;
        let mut ends = Vec::new();
        for (id, member) in std::mem::take(&mut self.members) {
            let wanted = config
                .agents
                .iter()
                .find(|agent| agent.config.agent_id == id);
            if shared.is_none() && wanted == Some(&member.agent) {
                changes.kept.push(id.clone());
                self.members.insert(id, member);
                continue;
            }
            let status = report.agents.iter().find(|told| told.agent_id == id);
            for words in status.map(cut_off).unwrap_or_default() {
                tracing::warn!(agent = id.as_str(), "{words}");
            }
            ends.push(self.end(id.clone(), member, wanted.is_some()));
            match wanted {
                Some(_) => changes.restarted.push(id),
                None => changes.stopped.push(id),
            }
        }
        join_all(ends).await;
        if let Some(shared) = shared {
            self.shared = shared;
        }
        self.config = config.clone();
        self.roots = roots;
        self.say_who_syncs();
        for agent in &config.agents {
            let id = &agent.config.agent_id;
            if self.members.contains_key(id) {
                continue;
            }
            if !changes.restarted.contains(id) {
                changes.started.push(id.clone());
            }
            if let Some(seed) = seeds.remove(id) {
                self.hire(agent, seed);
            }
        }
        Ok(changes)
    }

    /// Whether Center and guilds are reached as before.
    fn reaches_as(&self, config: &Config) -> bool {
        let old = &self.config;
        (&old.center_url, &old.ca_file, &old.proxy)
            == (&config.center_url, &config.ca_file, &config.proxy)
    }

    /// What is taken of a configuration: all but what is set up once for a process, and which of that
    /// is different.
    fn taken(&self, config: &Config) -> (Config, Vec<&'static str>) {
        let old = &self.config;
        let files = |config: &Config| (config.files.clone(), config.files_bytes_max);
        let keys = [
            ("[host] profile", old.profile != config.profile),
            ("[store] path", old.store != config.store),
            ("[record]", old.record != config.record),
            ("[files]", files(old) != files(config)),
            ("[plugin] logins_max", old.logins_max != config.logins_max),
        ];
        let waiting = keys.into_iter().filter(|(_, differs)| *differs);
        let mut taken = Config {
            profile: old.profile,
            store: old.store.clone(),
            record: old.record.clone(),
            files: old.files.clone(),
            files_bytes_max: old.files_bytes_max,
            logins_max: old.logins_max,
            ..config.clone()
        };
        for agent in &mut taken.agents {
            agent.config.profile = old.profile;
        }
        (taken, waiting.map(|(key, _)| key).collect())
    }

    /// Ends one agent: it says goodbye to its guilds, but for no longer than at the end of all.
    fn end(
        &self,
        id: AgentId,
        mut member: Member,
        is_wanted: bool,
    ) -> impl Future<Output = ()> + use<> {
        let (host, desk) = (self.shared.host.clone(), self.shared.desk.clone());
        let inbox = host.detach(&id);
        async move {
            let goodbye = async {
                if let Some(inbox) = inbox {
                    // An agent that is gone needs no goodbye.
                    let _ = inbox.send(Input::Shutdown).await;
                    drop(inbox);
                    let _ = (&mut member.task).await;
                }
            };
            if timeout(SHUTDOWN_PATIENCE, goodbye).await.is_err() {
                tracing::debug!(
                    agent = id.as_str(),
                    "not every connection was closed in time"
                );
            }
            if !member.task.is_finished() {
                member.task.abort();
                let _ = (&mut member.task).await;
            }
            if !is_wanted {
                host.dismiss(&id);
                desk.leave(&id);
            }
        }
    }
}

/// What an agent that is stopped now leaves undone.
fn cut_off(status: &AgentStatus) -> Vec<String> {
    let mut cut_off = Vec::new();
    for guild in &status.guilds {
        for channel in &guild.busy {
            if let Some(turn) = &channel.turn {
                cut_off.push(format!(
                    "turn {} of channel {} of guild {} is cut off with the agent, which the new \
                     configuration stops: it is handed over again when the agent is there again",
                    turn.turn_id, channel.channel_id, guild.guild_id
                ));
            }
        }
    }
    if status.waiting > 0 {
        cut_off.push(format!(
            "{} message(s) that wait for a turn are left in their channels by the agent, which the new \
             configuration stops: they are read from there when it is there again",
            status.waiting
        ));
    }
    cut_off
}

#[cfg(test)]
mod tests {
    use selvedge_core::{
        id::{ChannelId, GuildId, TurnId},
        plugin::status::{AgentState, ChannelStatus, GuildStatus, LinkStatus, TurnStatus},
    };

    use super::*;

    fn id(text: &str) -> AgentId {
        AgentId::new(text).unwrap()
    }

    #[test]
    fn a_turn_or_a_message_that_is_cut_off_is_said() {
        let mut status = AgentStatus::of(id("a"), AgentState::Running);
        assert_eq!(cut_off(&status), [""; 0]);
        status.waiting = 3;
        let turn = TurnStatus {
            turn_id: TurnId::new("t_1").unwrap(),
            age_ms: 5,
        };
        let channel = ChannelStatus {
            channel_id: ChannelId::new("c").unwrap(),
            name: String::new(),
            joined: true,
            heard: None,
            lag: 0,
            waiting: 3,
            turn: Some(turn),
            parked: 0,
        };
        status.guilds = vec![GuildStatus {
            guild_id: GuildId::new("g").unwrap(),
            link: LinkStatus::default(),
            channels: 1,
            joined: 1,
            busy: vec![channel],
        }];
        let [turn, waiting] = cut_off(&status).try_into().unwrap();
        assert!(
            turn.starts_with("turn t_1 of channel c of guild g is cut off"),
            "{turn}"
        );
        assert!(waiting.starts_with("3 message(s) that wait"), "{waiting}");
    }

    #[test]
    fn changes_are_one_sentence() {
        let changes = Changes {
            kept: vec![id("a")],
            started: vec![id("b"), id("c")],
            stopped: vec![id("d")],
            waiting: vec!["[store] path"],
            ..Changes::default()
        };
        assert_eq!(
            changes.to_string(),
            "1 agent(s) go on untouched; started: b, c; stopped: d; only at the next start of the \
             plugin: [store] path"
        );
    }
}
