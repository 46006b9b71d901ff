//! The processes of the plugin and its host: how one begins, how it is killed, and what follows.

use std::time::Duration;

use selvedge_core::{
    Rng,
    id::AgentId,
    plugin::{
        agent::Agent,
        config::{Config, Profile},
        io::{HostEvent, Input},
    },
};

use super::{AGENT, Caller, Event, World, id};
use crate::{host, net::End, script::Head};

/// How the agent of a trace is configured.
pub(super) fn agent_config(head: &Head) -> Result<Config, String> {
    Ok(Config {
        profile: head.profile,
        ..Config::new(id(AgentId::new(AGENT), AGENT)?)
    })
}

impl World {
    /// What the host does at its start.
    pub(super) fn begin_host(&mut self) {
        let claude = self.script.head.profile == Profile::Claude;
        let begins = [
            (Duration::ZERO, HostEvent::Ready { turns: !claude }),
            (host::LISTS_TOOLS, HostEvent::ToolsListed),
        ];
        for (at, event) in begins {
            self.schedule(at, Event::Agent(Input::Host(event)));
        }
    }

    /// The plugin and its host are gone between two instructions, with all that was on its way to them.
    pub(super) fn kill(&mut self, commits: bool) {
        self.alive = false;
        self.disk.kill(commits);
        self.host.kill();
        self.heap.retain(|_, event| match event {
            Event::Agent(_) | Event::Dialed { .. } | Event::Reset(_) | Event::Commit => false,
            Event::Frame { to, .. } => *to == End::Guild,
            Event::Guild(_) | Event::Script(_) | Event::Wall => true,
        });
        for caller in self.callers.values_mut() {
            if matches!(caller, Caller::Agent(_)) {
                *caller = Caller::Nobody;
            }
        }
        for link in self.net.links() {
            self.break_off(link, End::Guild, "the plugin was killed");
        }
    }

    /// Another process takes the place of the one that was killed: with its disk, and nothing else.
    pub(super) fn start(&mut self) {
        let config = match agent_config(&self.script.head) {
            Ok(config) => config,
            Err(why) => return self.fail(why),
        };
        let rng = Rng::from_number(self.script.head.seed);
        let rng = rng.fork("agent").fork(&self.lives.to_string());
        self.agent = Agent::with_defect(config, self.disk.kept(), rng, self.planted);
        self.lives += 1;
        self.alive = true;
        self.began = self.now;
        self.begin_host();
    }
}
