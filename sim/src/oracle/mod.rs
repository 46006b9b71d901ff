//! The oracle: it sees what guilds stored, what hosts got and what went over the network, knows nothing
//! of the plugin's insides, and says which rule is broken.
//!
//! A rule a file. [`Ledger`] is what the guilds stored, [`Works`] what the hosts got, [`Troubles`] what
//! has gone wrong between them; liveness is asked for once the faults have ended, all other rules after
//! every step.

pub mod because;
pub mod ledger;
pub mod troubles;
pub mod work;

mod as_it_stands;
mod as_told;
mod bounds;
mod caught_up;
mod dialing;
mod hanging_up;
mod in_time;
mod liveness;
mod loops;
mod membership;
mod offered_again;
mod once;
mod one_turn;
mod order;
mod passes;
mod posts;
mod reading;
mod ready;
mod refused;
mod requests;
mod rotating;
mod rounds;
mod spread;
mod storms;
mod tokens;
mod unreadable;
mod waking;
mod window;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use selvedge_core::{
    Canonical, Time, Wall, canonical,
    guild::fact::Fact,
    http::{Failure, Request, Response},
    id::{ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::{
        config::{Config, Profile},
        inbound::Inbound,
        io::Http,
        kept::{Change, Kept},
        tools::SentMessage,
    },
    request::RequestId,
};

use self::{
    because::About,
    ledger::{Channel, Ledger},
    troubles::{Lasting, Trouble, Troubles},
    work::Works,
};
use crate::net::Held;

/// A channel as one agent has it: which agent, which guild, which channel.
pub type Place = (usize, usize, ChannelId);

/// Something that can be seen from outside.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A guild has committed facts.
    Committed {
        /// Which guild.
        guild: usize,
        /// What.
        facts: &'a [Fact],
    },
    /// An agent's host was handed a turn.
    Notified {
        /// Which agent.
        agent: usize,
        /// In which guild.
        guild: usize,
        /// The turn.
        inbound: &'a Inbound,
    },
    /// A host says that a turn is over.
    TurnOver {
        /// Which agent.
        agent: usize,
        /// Which turn.
        turn: &'a TurnId,
    },
    /// A host says that the turn of a channel is over and gets no answer.
    NoReply {
        /// Where.
        place: Place,
    },
    /// A host was told that its message stands in a channel.
    Sent {
        /// Where.
        place: Place,
        /// The message.
        message: &'a SentMessage,
    },
    /// An agent dials, and has so many connections to that guild now.
    Dialed {
        /// Which agent.
        agent: usize,
        /// Which guild.
        guild: usize,
        /// The new one included.
        open: usize,
    },
    /// An agent gives up a connection that, as far as it knows, has not ended.
    LetGo {
        /// Which agent.
        agent: usize,
        /// To which guild.
        guild: usize,
        /// The connection.
        held: &'a Held,
        /// The others that it has to the guild.
        others: &'a [Held],
    },
    /// A turn was lost on its way to a host that had been handed it.
    Unheard {
        /// Where.
        place: Place,
        /// Which turn.
        turn: &'a TurnId,
    },
    /// A guild wakes an agent with an older message: the push is on its way to it, or is lost.
    Rewoken {
        /// Where.
        place: Place,
        /// Whether it arrives.
        arrives: bool,
    },
    /// A host calls a tool that names a channel.
    Named {
        /// Where.
        place: Place,
    },
    /// An agent presents a token at CONNECT.
    Presented {
        /// Which agent.
        agent: usize,
        /// To which guild.
        guild: usize,
        /// When the token dies; `None` where it was taken back.
        expires: Option<Wall>,
        /// Center's clock.
        wall: Wall,
        /// The other connections that it has to the guild.
        others: &'a [Held],
    },
    /// An agent sends a REST request.
    Requested {
        /// Which agent.
        agent: usize,
        /// To which guild.
        guild: usize,
        /// Answered by [`Answered`](Self::Answered), if ever.
        id: RequestId<Http>,
        /// What.
        request: &'a Request,
        /// When its token dies; `None` where it was taken back.
        expires: Option<Wall>,
        /// Center's clock.
        wall: Wall,
    },
    /// An agent's REST request is answered, or fails.
    Answered {
        /// Which agent.
        agent: usize,
        /// Which.
        id: RequestId<Http>,
        /// With what.
        answer: &'a Result<Response, Failure>,
    },
    /// An agent's login is sent, and so many are under way.
    LoggingIn {
        /// Which agent.
        agent: usize,
        /// Of that agent, this one included.
        at_once: usize,
        /// Of all agents.
        under_way: usize,
    },
    /// An agent's disk has committed a batch.
    Kept {
        /// Which agent.
        agent: usize,
        /// What.
        changes: &'a [Change],
    },
    /// An agent says that it is live in a guild.
    Live {
        /// Which agent.
        agent: usize,
        /// Where.
        guild: usize,
    },
    /// An agent says that it was live in a guild, and has no connection to it any more.
    Down {
        /// Which agent.
        agent: usize,
        /// Where.
        guild: usize,
    },
    /// An agent was sent a frame that is none of the protocol's, and keeps the connection.
    PassedOver {
        /// Which agent.
        agent: usize,
        /// By which guild.
        guild: usize,
    },
    /// A guild pushes to an agent that it is a member of a channel, or is not any more.
    Told {
        /// Where.
        place: Place,
        /// Whether it is.
        member: bool,
    },
    /// An agent says that it is a member of a channel, or is not any more.
    Member {
        /// Where.
        place: Place,
        /// Whether it is.
        member: bool,
    },
    /// An agent says that it has parked a turn.
    Parked {
        /// Which agent.
        agent: usize,
        /// Which.
        turn: &'a TurnId,
    },
    /// An agent was asked how it does.
    Asked {
        /// Which agent.
        agent: usize,
        /// How many messages wait in all its channels.
        waiting: u64,
    },
    /// A host is initialised.
    HostReady {
        /// Whose.
        agent: usize,
    },
    /// A host has asked for the list of tools.
    ToolsListed {
        /// Whose.
        agent: usize,
    },
    /// An agent's process was killed.
    Killed {
        /// Which agent.
        agent: usize,
    },
    /// A backup was put in the place of an agent's disk, between two processes.
    DiskRestored {
        /// Which agent.
        agent: usize,
        /// What the next process finds.
        kept: &'a Kept,
    },
    /// What a guild has stored by now was copied.
    GuildBackedUp {
        /// Which guild.
        guild: usize,
    },
    /// That copy was put in the place of what the guild had stored.
    GuildRestored {
        /// Which guild.
        guild: usize,
    },
}

/// What does not change during a run.
#[derive(Debug)]
pub struct Setup {
    /// The accounts of the agents.
    pub agents: Vec<UserId>,
    /// The guilds.
    pub guilds: Vec<GuildId>,
    /// Which of them do not say in history whom a message wakes.
    pub older: BTreeSet<usize>,
    /// How every agent is configured.
    pub config: Config,
    /// Whether the hosts say when a turn is done.
    pub says_done: bool,
    /// How long something is on its way at most.
    pub latency: Duration,
    /// How long tokens live.
    pub token_life: Duration,
}

impl Setup {
    /// How long a turn may be seen as running without a word of the host.
    pub fn turn_most(&self, takes_turns: bool) -> Duration {
        match self.config.profile {
            Profile::Plexum if !self.says_done && !takes_turns => Duration::ZERO,
            Profile::Plexum | Profile::Claude => self.config.turn_timeout,
        }
    }

    /// Whether so few messages are remembered that one may be forgotten while a guild can still wake
    /// an agent with it.
    pub const fn forgets(&self) -> bool {
        self.config.dedup_max < 1_000
    }

    /// Whether a limit is so small that messages may be left out.
    pub fn skips(&self) -> bool {
        let Config {
            backfill_max,
            waiting_max,
            waiting_agent_max,
            ..
        } = self.config;
        backfill_max < 200 || waiting_max < 1_000 || waiting_agent_max < 10_000
    }

    /// Whether a message may wake an agent at all, as the agents are configured.
    pub fn allows(&self, author: &UserId, channel: &ChannelId) -> bool {
        let users = self.config.allow_users.as_ref();
        let channels = self.config.allow_channels.as_ref();
        users.is_none_or(|users| users.contains(author))
            && channels.is_none_or(|channels| channels.contains(channel))
    }

    /// Whose account an agent is.
    pub fn is_agent(&self, user: &UserId) -> bool {
        self.agents.contains(user)
    }
}

/// What a rule knows besides what it sees.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// When.
    pub now: Time,
    /// What does not change.
    pub setup: &'a Setup,
    /// What the guilds stored.
    pub ledger: &'a Ledger,
    /// What the hosts got.
    pub works: &'a Works,
    /// What has gone wrong.
    pub troubles: &'a Troubles,
}

impl View<'_> {
    /// Whether messages of a channel may be left out: there were more than are read at once, or the
    /// limits are small.
    fn leaves_out(&self, channel: &Channel) -> bool {
        self.setup.skips() || channel.messages.len() > self.setup.config.backfill_max as usize
    }

    /// Whether history may name others than a message woke: where it does not say whom it wakes, that
    /// is whom the channel wakes when it is read.
    fn forgets_wakes(&self, guild: usize, channel: &Channel) -> bool {
        channel.wakes_anew && self.setup.older.contains(&guild)
    }
}

/// One rule. What it remembers of what it saw is part of a state of an exhaustive search, but for counts
/// that grow with every way.
pub trait Rule: std::fmt::Debug + Canonical {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// The same rule with the same memory.
    fn copy(&self) -> Box<dyn Rule>;

    /// Something was seen.
    ///
    /// # Errors
    ///
    /// Where the rule is broken: what is the case and should not be.
    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String>;
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub rule: &'static str,
    /// When.
    pub at: Time,
    /// What is the case and should not be.
    pub why: String,
    /// Whom and what it is about.
    pub about: About,
}

/// All rules, and what they share.
#[derive(Clone, Debug)]
pub struct Oracle {
    setup: Arc<Setup>,
    ledger: Ledger,
    works: Works,
    troubles: Troubles,
    rules: Vec<Box<dyn Rule>>,
    breaches: Vec<Breach>,
}
canonical!(unsaved struct Oracle { ledger, works, troubles, rules; - setup, breaches });

impl Clone for Box<dyn Rule> {
    fn clone(&self) -> Self {
        self.copy()
    }
}

impl Oracle {
    /// For a run that begins.
    pub fn new(setup: Setup) -> Self {
        let mut oracle = Self::without_time(setup);
        oracle.rules.extend([
            Box::new(hanging_up::HangingUp) as Box<dyn Rule>,
            Box::<in_time::InTime>::default(),
            Box::<offered_again::OfferedAgain>::default(),
            Box::<caught_up::CaughtUp>::default(),
            Box::<rotating::Rotating>::default(),
            Box::<rounds::Rounds>::default(),
            Box::<as_it_stands::AsItStands>::default(),
            Box::<dialing::Dialing>::default(),
            Box::new(unreadable::Unreadable),
            Box::<as_told::AsTold>::default(),
            Box::<loops::Loops>::default(),
            Box::<reading::Reading>::default(),
            Box::<spread::Spread>::default(),
        ]);
        oracle
    }

    /// For a search in which time stands still, or something is as late as it likes, and which says
    /// nothing of troubles: without the rules of what is late and of connections.
    pub fn without_time(setup: Setup) -> Self {
        let ledger = Ledger::new(setup.guilds.len());
        Self {
            rules: vec![
                Box::<order::Order>::default(),
                Box::<once::Once>::default(),
                Box::<one_turn::OneTurn>::default(),
                Box::new(membership::Membership),
                Box::<waking::Waking>::default(),
                Box::<bounds::Bounds>::default(),
                Box::<tokens::Tokens>::default(),
                Box::<posts::Posts>::default(),
                Box::<passes::Passes>::default(),
                Box::<ready::Ready>::default(),
                Box::<storms::Storms>::default(),
                Box::<refused::Refused>::default(),
            ],
            works: Works::default(),
            troubles: Troubles::default(),
            setup: Arc::new(setup),
            ledger,
            breaches: Vec::new(),
        }
    }

    /// Something was seen.
    pub fn saw(&mut self, now: Time, seen: &Seen<'_>) {
        if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                self.ledger.apply(now, *guild, fact);
            }
        } else if let Seen::GuildBackedUp { guild } = seen {
            self.ledger.back_up(*guild);
        } else if let Seen::GuildRestored { guild } = seen {
            self.ledger.restore(now, *guild);
        }
        self.works.saw(now, &self.setup, &self.ledger, seen);
        // What waited when its guild lost it may be handed over, and nothing can be said of it.
        if let Seen::Notified { guild, inbound, .. } = seen {
            let mut told = inbound.messages.iter().chain(&inbound.context);
            if told.any(|told| self.ledger.has_lost(*guild, told)) {
                return;
            }
        }
        let view = View {
            now,
            setup: &self.setup,
            ledger: &self.ledger,
            works: &self.works,
            troubles: &self.troubles,
        };
        for rule in &mut self.rules {
            if let Err(why) = rule.saw(view, seen) {
                let rule = rule.name();
                let about = About::of(seen);
                let at = now;
                self.breaches.push(Breach {
                    rule,
                    at,
                    why,
                    about,
                });
            }
        }
    }

    /// Faults have ended, and so has the time for coming back: what is still owed by the agents that
    /// are `present` in a guild. Nothing where everything is done; an error where it will not come.
    ///
    /// # Errors
    ///
    /// With the first debt that nobody is working on.
    pub fn owed(
        &self,
        now: Time,
        present: &BTreeSet<(usize, usize)>,
    ) -> Result<Option<String>, Breach> {
        let view = View {
            now,
            setup: &self.setup,
            ledger: &self.ledger,
            works: &self.works,
            troubles: &self.troubles,
        };
        liveness::owed(view, present)
    }

    /// Something goes wrong between an agent and a guild until then.
    pub fn strike(&mut self, now: Time, way: (usize, usize), until: Time, trouble: Trouble) {
        self.troubles.strike(now, &self.setup, way, until, trouble);
    }

    /// Something is wrong between an agent and a guild from now on, or is not any more.
    pub fn last(&mut self, now: Time, way: (usize, usize), what: Lasting, lasts: bool) {
        self.troubles.last(now, way, what, lasts);
    }

    /// What does not change.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The rules that are broken so far.
    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    /// Something else is broken.
    pub fn breach(&mut self, breach: Breach) {
        self.breaches.push(breach);
    }

    /// What the guilds stored.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Names a message in a sentence.
fn tell(ledger: &Ledger, guild: usize, id: &MessageId) -> String {
    match ledger.message(guild, id) {
        Some(known) => format!(
            "message {} of {} (`{}`)",
            known.seq, known.channel, known.content
        ),
        None => format!("message {id}"),
    }
}
