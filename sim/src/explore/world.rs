//! A world that can be copied and recognised: the real machines, and the simplest models between them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use selvedge_core::{
    Canonical, Machine as _, Rng, Time, Wall,
    canon::Canon,
    canonical_hash, earliest,
    guild::{Config as GuildConfig, Guild, io as guild_io},
    http::{CallId, Failure, Request, Response},
    id::{AgentId, ChannelId, GuildId, NodeId, UserId},
    plugin::{
        agent::Agent,
        config::Config,
        io::{Http, Login},
    },
    request::RequestId,
    ws::ConnId,
};

use super::{host::Host, piece::Piece, scene::Scene, wire::Wire};
use crate::{
    disk::Disk,
    oracle::{Breach, Oracle, Setup},
    store::Store,
};

/// Where virtual time begins.
const START: Time = Time::from_millis(1_767_225_600_000);
/// Whatever number the guild is given begins here, so that it is none of the agent's.
pub(super) const OF_GUILD: u64 = 1 << 48;

/// What does not change.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) scene: Scene,
    pub(super) config: Config,
    pub(super) guild: GuildConfig,
    pub(super) agent: UserId,
    pub(super) person: UserId,
    rng: Rng,
}

/// A state of the search. What is chosen to happen next is carried out whole, with all that happens
/// within a process at once: only what crosses a network, a disk or the host's mind is chosen.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) fixed: Rc<Fixed>,
    pub(super) now: Time,
    /// `None` where its process was killed.
    pub(super) agent: Option<Piece<Agent>>,
    pub(super) guild: Option<Piece<Guild>>,
    pub(super) disk: Piece<Disk>,
    pub(super) store: Piece<Store>,
    pub(super) host: Piece<Host>,
    pub(super) oracle: Piece<Oracle>,
    /// The channels, once they are made.
    pub(super) channels: Rc<Vec<ChannelId>>,
    /// Reads of the guild that wait for so many transactions.
    pub(super) loads: VecDeque<(usize, RequestId<guild_io::Load>, guild_io::Query)>,
    pub(super) login: Option<RequestId<Login>>,
    pub(super) dials: Vec<ConnId>,
    pub(super) wires: Vec<Wire>,
    /// Requests on their way; nobody waits for those of a process that was killed.
    pub(super) requests: Vec<(Option<RequestId<Http>>, Request)>,
    pub(super) callers: BTreeMap<CallId, Option<RequestId<Http>>>,
    pub(super) answers: Vec<(RequestId<Http>, Result<Response, Failure>)>,
    pub(super) next: Next,
    pub(super) left: Left,
}

/// What is numbered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Next {
    pub(super) life: u64,
    pub(super) guild_life: u64,
    pub(super) token: u64,
    pub(super) conn: u64,
    pub(super) call: u64,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) posts: usize,
    pub(super) faults: u32,
    pub(super) firings: u32,
}

/// A name that cannot be wrong.
fn named<T>(id: Option<T>) -> Result<T, String> {
    id.ok_or_else(|| "the scene has a name that is no id".to_owned())
}

impl World {
    /// The world of a scene, before anything has happened in it.
    pub(super) fn new(scene: Scene) -> Result<Self, String> {
        let config = Config::new(named(AgentId::new("robin"))?);
        let agent = named(UserId::new("robin"))?;
        let guild_id = named(GuildId::new("g"))?;
        let setup = Setup {
            agents: vec![agent.clone()],
            guilds: vec![guild_id.clone()],
            older: BTreeSet::new(),
            config: config.clone(),
            says_done: true,
            latency: Duration::ZERO,
            token_life: scene.token_life,
        };
        let left = Left {
            posts: scene.messages,
            faults: scene.faults,
            firings: scene.firings,
        };
        Ok(Self {
            now: START,
            agent: None,
            guild: None,
            disk: Piece::new(Disk::default()),
            store: Piece::new(Store::default()),
            host: Piece::new(Host::new(scene.answers)),
            oracle: Piece::new(Oracle::without_time(setup)),
            channels: Rc::default(),
            loads: VecDeque::new(),
            login: None,
            dials: Vec::new(),
            wires: Vec::new(),
            requests: Vec::new(),
            callers: BTreeMap::new(),
            answers: Vec::new(),
            next: Next::default(),
            left,
            fixed: Rc::new(Fixed {
                scene,
                config,
                guild: GuildConfig::new(named(NodeId::new("node"))?, guild_id),
                agent,
                person: named(UserId::new("ann"))?,
                rng: Rng::from_number(0).steady(),
            }),
        })
    }

    /// What two states have in common that are taken for one.
    pub(super) fn hash(&self) -> u128 {
        canonical_hash(self, self.now)
    }

    /// The same without what may still go wrong and be said: nothing of that happens while a world
    /// settles.
    pub(super) fn hash_of_present(&self) -> u128 {
        canonical_hash(&Present(self), self.now)
    }

    /// The generator of a process.
    pub(super) fn rng(&self, label: &str, life: u64) -> Rng {
        self.fixed.rng.fork(&format!("{label} {life}"))
    }

    /// Everybody's wall clock.
    pub(super) fn wall(&self) -> Wall {
        Wall::from_millis(i64::try_from(self.now.as_micros() / 1_000).unwrap_or(i64::MAX))
    }

    /// How much time has gone by.
    pub(super) fn since_start(&self) -> Duration {
        self.now.since(START)
    }

    /// What the next timer is for.
    pub(super) fn why_fires(&self) -> &'static str {
        let agent = self.agent.as_ref().and_then(|agent| agent.next_wakeup());
        let guild = self.guild.as_ref().and_then(|guild| guild.next_wakeup());
        earliest([agent, guild]).map_or("none", |wakeup| wakeup.why)
    }

    /// When the next timer fires.
    pub(super) fn next_firing(&self) -> Option<Time> {
        let agent = self.agent.as_ref().and_then(|agent| agent.next_wakeup());
        let guild = self.guild.as_ref().and_then(|guild| guild.next_wakeup());
        earliest([agent, guild]).map(|wakeup| wakeup.at)
    }

    /// The earliest timer fires, and every other one of that moment.
    pub(super) fn fire(&mut self) {
        let Some(at) = self.next_firing() else {
            return;
        };
        self.now = self.now.max(at);
        self.step_guild(None);
        self.step_agent(None);
    }

    /// The first rule that is broken.
    pub(super) fn breach(&self) -> Option<&Breach> {
        self.oracle.breaches().first()
    }
}

/// A world without what may still happen.
struct Present<'w>(&'w World);

impl Canonical for Present<'_> {
    fn canonical(&self, canon: &mut Canon) {
        let World {
            fixed: _,
            now,
            agent,
            guild,
            disk,
            store,
            host,
            oracle,
            channels: _,
            loads,
            login,
            dials,
            wires,
            requests,
            callers,
            answers,
            next,
            left: _,
        } = self.0;
        // What lies between the processes names the questions first: its order is the one of choices.
        login.canonical(canon);
        dials.canonical(canon);
        wires.canonical(canon);
        requests.canonical(canon);
        callers.canonical(canon);
        canon.number(answers.len() as u64);
        for (id, answer) in answers {
            id.canonical(canon);
            match answer {
                Ok(response) => (0_u8, response).canonical(canon),
                Err(failure) => (1_u8, failure).canonical(canon),
            }
        }
        canon.number(loads.len() as u64);
        for (behind, id, query) in loads {
            (behind, id).canonical(canon);
            canon.bytes(format!("{query:?}").as_bytes());
        }
        for life in [&agent.is_some(), &guild.is_some()] {
            life.canonical(canon);
        }
        if let Some(agent) = agent {
            agent.feed(*now, canon);
        }
        if let Some(guild) = guild {
            guild.feed(*now, canon);
        }
        disk.feed(*now, canon);
        store.feed(*now, canon);
        host.feed(*now, canon);
        oracle.feed(*now, canon);
        // Numbers that become part of names; those of calls do not.
        let Next {
            life,
            guild_life,
            token,
            conn,
            call: _,
        } = next;
        (*life, *guild_life, *token, *conn).canonical(canon);
    }
}

impl Canonical for World {
    fn canonical(&self, canon: &mut Canon) {
        let Left {
            posts,
            faults,
            firings,
        } = self.left;
        (posts, faults, firings).canonical(canon);
        Present(self).canonical(canon);
    }
}
