//! The processes of agents and guilds: how one begins, how it is killed, and what follows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use selvedge_core::{
    Rng, Wall,
    guild::{Config as GuildConfig, Guild, io as guild_io},
    http::{CallId, Failure},
    id::{AgentId, UserId},
    plugin::{
        agent::Agent,
        config::{Config, Profile},
        defect::Planted,
        io::{HostEvent, Input},
        login_gate::{self, LoginGate},
    },
    ws::{self, Closed},
};
use serde_json::Value;

use super::{AgentSite, COMMIT, Caller, Event, GuildSite, START, Target, Who, World, id};
use crate::{
    center::Registered,
    disk::Disk,
    host::{self, Host},
    net::{End, Loss},
    oracle::{Seen, troubles::Lasting},
    script::Head,
    store::Store,
    story::Party,
};

/// How every agent of a script is configured, but for its name.
pub(super) fn plugin_config(head: &Head) -> Result<Config, String> {
    let name = head.agents.first().map_or("", String::as_str);
    let config = Config {
        profile: head.profile,
        ..Config::new(id(AgentId::new(name), name)?)
    };
    if head.config.is_empty() {
        return Ok(config);
    }
    let mut written = serde_json::to_value(config).map_err(|error| error.to_string())?;
    if let Value::Object(fields) = &mut written {
        for (name, value) in &head.config {
            if !fields.contains_key(name) {
                return Err(format!("the plugin's configuration has no `{name}`"));
            }
            fields.insert(name.clone(), value.clone());
        }
    }
    serde_json::from_value(written).map_err(|error| error.to_string())
}

/// Whether the hosts say when a turn is done.
pub(super) fn says_done(head: &Head) -> bool {
    match head.profile {
        Profile::Claude => true,
        Profile::Plexum => head.turns,
    }
}

/// Which guilds are older.
pub(super) fn older_guilds(head: &Head) -> impl Iterator<Item = usize> + '_ {
    let guilds = head.guilds.iter().enumerate();
    let older = guilds.filter(|(_, name)| head.older_guilds.contains(name));
    older.map(|(guild, _)| guild)
}

impl AgentSite {
    /// The agents of a script.
    pub(super) fn all(
        head: &Head,
        config: &Config,
        rng: &Rng,
        planted: Planted,
    ) -> Result<Vec<Self>, String> {
        let new = |name: &String| {
            let disk = Disk::default();
            // A single agent draws what it always drew.
            let rng = match head.agents.first() == Some(name) {
                true => rng.fork("agent"),
                false => rng.fork(&format!("agent {name}")),
            };
            let config = Config {
                agent_id: id(AgentId::new(name), name)?,
                ..config.clone()
            };
            let kept = disk.kept().clone();
            Ok(Self {
                user: id(UserId::new(name), name)?,
                machine: Agent::with_defect(config, kept, rng.clone(), planted),
                rng,
                life: 1,
                alive: true,
                began: START,
                disk,
                host: Host::new(Duration::from_millis(head.turn_ms), says_done(head)),
                tickets: Vec::new(),
                refuses_logins: false,
                granted: BTreeSet::new(),
                notes: BTreeMap::new(),
                dials: 0,
                posts: 0,
                open_max: 0,
            })
        };
        head.agents.iter().map(new).collect()
    }
}

impl GuildSite {
    /// The guilds of a script.
    pub(super) fn all(head: &Head, registered: &[Registered], rng: &Rng) -> Vec<Self> {
        let new = |(index, known): (usize, &Registered)| {
            let config = GuildConfig {
                deaf_on_expired_token: head.deaf_on_expired_token,
                ..GuildConfig::new(known.node.clone(), known.guild.clone())
            };
            let rng = match index == 0 || head.same_ids {
                true => rng.fork("guild"),
                false => rng.fork(&format!("guild {}", known.guild)),
            };
            Self {
                machine: Guild::new(config.clone(), rng.clone(), Vec::new()),
                is_older: older_guilds(head).any(|older| older == index),
                is_reticent: head
                    .guilds
                    .get(index)
                    .is_some_and(|name| head.reticent_guilds.contains(name)),
                config,
                rng,
                life: 1,
                alive: true,
                store: Store::default(),
                backup: Store::default(),
                clock: 0,
                fails_introspections: 0,
                commit: COMMIT,
                dialed: VecDeque::new(),
                rush_max: 0,
            }
        };
        registered.iter().enumerate().map(new).collect()
    }
}

impl World {
    /// Whether this process of an agent is the one that runs.
    pub(super) fn lives(&self, agent: usize, life: u64) -> bool {
        let site = self.agents.get(agent);
        site.is_some_and(|site| site.alive && site.life == life)
    }

    /// Whether this process of a guild is the one that runs.
    pub(super) fn guild_lives(&self, guild: usize, life: u64) -> bool {
        let site = self.guilds.get(guild);
        site.is_some_and(|site| site.alive && site.life == life)
    }

    /// What the host does at its start.
    pub(super) fn begin_host(&mut self, agent: usize) {
        let turns = self.script.head.profile == Profile::Plexum && self.script.head.turns;
        let begins = [
            (Duration::ZERO, HostEvent::Ready { turns }),
            (host::LISTS_TOOLS, HostEvent::ToolsListed),
        ];
        for (after, event) in begins {
            self.schedule_agent(after, agent, Input::Host(event));
        }
    }

    /// Something happens to the process of an agent that runs now.
    pub(super) fn schedule_agent(&mut self, after: Duration, agent: usize, input: Input) {
        if let Some(site) = self.agents.get(agent) {
            let life = site.life;
            self.schedule(after, Event::Agent { agent, life, input });
        }
    }

    /// Something happens to the process of a guild that runs now.
    pub(super) fn schedule_guild(&mut self, after: Duration, guild: usize, input: guild_io::Input) {
        if let Some(site) = self.guilds.get(guild) {
            let life = site.life;
            self.schedule(after, Event::Guild { guild, life, input });
        }
    }

    /// Every agent that is meant.
    pub(super) fn agents_of(&self, target: Target) -> impl Iterator<Item = usize> + use<> {
        let all = 0..self.agents.len();
        all.filter(move |agent| target.agent.is_none_or(|it| it == *agent))
    }

    /// Every guild that is meant.
    pub(super) fn guilds_of(&self, target: Target) -> impl Iterator<Item = usize> + use<> {
        let all = 0..self.guilds.len();
        all.filter(move |guild| target.guild.is_none_or(|it| it == *guild))
    }

    /// The plugin and its host are gone between two instructions, with all that was on its way to them.
    pub(super) fn kill(&mut self, target: Target, commits: bool) {
        for agent in self.agents_of(target) {
            let Some(site) = self.agents.get_mut(agent).filter(|site| site.alive) else {
                continue;
            };
            site.alive = false;
            site.life += 1;
            let kept = site.disk.kill(commits);
            site.host.kill();
            let tickets = std::mem::take(&mut site.tickets);
            self.cover("plugin killed");
            self.tell(|teller, at| teller.process(at, Party::Agent(agent), false));
            self.lasting(Target::agent(agent), Lasting::AgentDown, true);
            self.due.set(Who::Agent(agent), None);
            for (ticket, _) in tickets {
                self.step_gate(login_gate::Input::Done(ticket));
            }
            for changes in kept {
                let changes = &changes;
                self.oracle.saw(self.now, &Seen::Kept { agent, changes });
                self.tell(|teller, at| teller.kept(at, agent, changes));
            }
            self.oracle.saw(self.now, &Seen::Killed { agent });
            let links: Vec<_> = self
                .net
                .links()
                .filter(|link| link.agent == agent)
                .collect();
            for link in links {
                self.break_off(link, End::Guild, "the plugin was killed");
            }
        }
        if target.agent.is_none() {
            self.gate = LoginGate::new(LoginGate::IN_FLIGHT);
        }
    }

    /// A backup takes the place of what plugins have kept since, where they do not run.
    pub(super) fn restore_disks(&mut self, target: Target) {
        for agent in self.agents_of(target) {
            if let Some(site) = self.agents.get_mut(agent).filter(|site| !site.alive) {
                site.disk.restore();
                let kept = site.disk.kept();
                self.oracle
                    .saw(self.now, &Seen::DiskRestored { agent, kept });
                self.cover("disk restored");
            }
        }
    }

    /// The host is gone: its plugin ends in order, and both start again.
    pub(super) fn lose_host(&mut self, agent: usize, commits: bool, down: Duration) {
        self.cover("host crashed");
        // A process that ends closes whatever it has.
        let links: Vec<_> = self.net.links().collect();
        for link in links.into_iter().filter(|link| link.agent == agent) {
            self.net.mar(link);
        }
        self.step_agent(agent, Some(Input::Shutdown));
        self.kill(Target::agent(agent), commits);
        self.schedule(down, Event::Revive(agent));
    }

    /// Another process takes the place of the one that was killed: with its disk, and nothing else.
    pub(super) fn start(&mut self, target: Target) {
        for agent in self.agents_of(target) {
            let config = match plugin_config(&self.script.head) {
                Ok(config) => config,
                Err(why) => return self.fail(why),
            };
            let planted = self.planted;
            let Some(site) = self.agents.get_mut(agent).filter(|site| !site.alive) else {
                continue;
            };
            let Some(agent_id) = AgentId::new(site.user.as_str()) else {
                continue;
            };
            let config = Config { agent_id, ..config };
            let rng = site.rng.fork(&(site.life - 1).to_string());
            site.machine = Agent::with_defect(config, site.disk.kept().clone(), rng, planted);
            site.alive = true;
            site.began = self.now;
            self.due.set(Who::Agent(agent), Some(self.now));
            self.tell(|teller, at| teller.process(at, Party::Agent(agent), true));
            self.begin_host(agent);
            self.lasting(Target::agent(agent), Lasting::AgentDown, false);
        }
    }

    /// A guild node is gone between two instructions; its clients hear of it, or do not.
    pub(super) fn kill_guild(&mut self, guild: usize, commits: bool, told: bool) {
        let Some(site) = self.guilds.get_mut(guild).filter(|site| site.alive) else {
            return;
        };
        site.alive = false;
        site.life += 1;
        site.store.kill(commits);
        self.cover("guild killed");
        self.tell(|teller, at| teller.process(at, Party::Guild(guild), false));
        self.lasting(Target::guild(guild), Lasting::GuildDown, true);
        self.due.set(Who::Guild(guild), None);
        while let Some(site) = self.guilds.get_mut(guild)
            && let Some((_, facts)) = site.store.commit()
        {
            let facts = &facts;
            self.oracle.saw(self.now, &Seen::Committed { guild, facts });
            self.tell(|teller, at| teller.committed(at, guild, facts));
        }
        let links: Vec<_> = self
            .net
            .links()
            .filter(|link| link.guild == guild)
            .collect();
        for link in links {
            match told {
                true => self.break_off(link, End::Agent, "the guild is gone"),
                false => self.net.lose(link, Loss::Everything),
            }
        }
        let left: Vec<_> = self
            .callers
            .iter()
            .filter(|(_, (of, _))| *of == guild)
            .map(|(call, _)| *call)
            .collect();
        for call in left {
            self.hang_up_on(call);
        }
    }

    /// Another process takes the place of the guild node that was killed.
    pub(super) fn start_guild(&mut self, guild: usize) {
        let Some(site) = self.guilds.get_mut(guild).filter(|site| !site.alive) else {
            return;
        };
        let rng = site.rng.fork(&site.life.to_string());
        site.machine = Guild::new(site.config.clone(), rng, site.store.rows());
        site.alive = true;
        self.tell(|teller, at| teller.process(at, Party::Guild(guild), true));
        self.lasting(Target::guild(guild), Lasting::GuildDown, false);
        self.tell_time(guild);
    }

    /// A guild reads its wall clock.
    pub(super) fn tell_time(&mut self, guild: usize) {
        let wall = self.wall();
        let Some(site) = self.guilds.get(guild).filter(|site| site.alive) else {
            return;
        };
        let wall = Wall::from_millis(wall.as_millis().saturating_add(site.clock));
        self.step_guild(guild, Some(guild_io::Input::Clock(wall)));
    }

    /// A call whose guild is gone.
    pub(super) fn hang_up_on(&mut self, call: CallId) {
        if let Some((
            _,
            Caller::Agent {
                agent,
                life,
                id,
                posts,
                ..
            },
        )) = self.callers.remove(&call)
        {
            let answer = Err(Failure::Broken("connection reset".into()));
            let after = self.net.latency();
            let event = Event::Answer {
                agent,
                life,
                id,
                answer,
                posts,
            };
            self.schedule(after, event);
        }
    }

    /// A connection that ends, as its end is told.
    pub(super) fn broken(why: &'static str) -> ws::Event {
        ws::Event::Closed(Closed::Broken(why.into()))
    }
}
