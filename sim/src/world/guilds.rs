//! The guilds of a world: what happens to them, and how what they ask for is carried out.

use std::time::Duration;

use selvedge_core::{
    engineio::sessions::{Arrival, Effect},
    guild::{
        fact::Fact,
        io::{Input, Output, Unavailable},
    },
    id::UserId,
    step,
};

use super::{Event, Moment, Target, Who, World, agents::CENTER};
use crate::{net::End, oracle::Seen, path::take};

/// How long after it has stopped by itself a guild node is started again.
const RESTART: Duration = Duration::from_secs(2);

impl World {
    /// Something happens to a guild, or its deadline has come.
    pub(super) fn step_guild(&mut self, guild: usize, input: Option<Input>) {
        let at = self.since_start();
        let Some(site) = self.guilds.get_mut(guild).filter(|site| site.alive) else {
            return;
        };
        let life = site.life;
        let name = site.config.guild_id.clone();
        self.chronicle.step(at, name.as_str(), input.as_ref());
        let mut out = Vec::new();
        let next = step(&mut site.machine, self.now, input, &mut out);
        self.due
            .set(Who::Guild(guild), next.map(|wakeup| wakeup.at));
        for output in out {
            // Something may have ended the process before all was carried out.
            if !self.guild_lives(guild, life) {
                return;
            }
            self.chronicle.output(at, name.as_str(), &output);
            self.carry_out_guild(guild, life, output);
        }
    }

    fn carry_out_guild(&mut self, guild: usize, life: u64, output: Output) {
        match output {
            Output::Effect(Effect::Transport(conn, action)) => {
                if let Some(link) = self.net.of_guild(conn) {
                    self.act(End::Guild, link, action);
                }
            }
            // The agents do not poll.
            Output::Effect(Effect::Answer { .. }) => {}
            Output::Respond { call, response } => self.respond(call, response),
            Output::Introspect(id, token) => {
                let wall = self.wall();
                let Some(site) = self.guilds.get_mut(guild) else {
                    return;
                };
                let deaf = site.config.deaf_on_expired_token;
                let answer = match take(&mut site.fails_introspections) {
                    true => {
                        self.cover("introspection failed");
                        self.troubles_until(Target::guild(guild), self.now);
                        Err(Unavailable("connection refused".into()))
                    }
                    false => Ok(self.center.introspect(wall, &token, deaf)),
                };
                let words = match &answer {
                    Ok(known) if known.active => "yes",
                    Ok(_) => "no",
                    Err(_) => "no answer",
                };
                self.tell(|teller, at| teller.introspected(at, guild, &token, CENTER, words));
                self.schedule_guild(CENTER, guild, Input::Introspected(id, answer));
            }
            Output::Resolve(id, _) => {
                let nobody = Err(Unavailable("the model of Center resolves no names".into()));
                self.schedule_guild(CENTER, guild, Input::Resolved(id, nobody));
            }
            Output::Store(id, facts) => {
                self.before(Moment::GuildCommit, None, Some(guild));
                if let Some(site) = self.guilds.get_mut(guild).filter(|site| site.life == life) {
                    site.store.write(id, facts);
                    let after = site.commit;
                    self.schedule(after, Event::GuildCommit { guild, life });
                }
            }
            Output::Load(id, query) => {
                let after = self
                    .guilds
                    .get(guild)
                    .map_or(Duration::ZERO, |site| site.commit);
                let event = Event::Load {
                    guild,
                    life,
                    id,
                    query,
                };
                self.schedule(after, event);
            }
            // The agents neither upload nor read files.
            Output::Receive(..) | Output::Deliver { .. } | Output::Discard(_) => {}
            Output::Forget(_) => {}
            Output::Fatal(why) => {
                let at = self.since_start();
                self.chronicle
                    .remark(at, &format_args!("guild {guild} stopped: {why}"));
                self.kill_guild(guild, false, true);
                self.schedule(RESTART, Event::Restart(guild));
            }
        }
    }

    /// No guild pushes again what was said in a membership that has ended.
    fn forget_pushes(&mut self, guild: usize, user: &UserId) {
        let agent = self.agents.iter().position(|site| site.user == *user);
        if let Some(agent) = agent {
            self.path(agent, guild).last_push = None;
        }
    }

    /// The store of a guild is done with a transaction.
    pub(super) fn guild_commit(&mut self, guild: usize, life: u64) {
        if !self.guild_lives(guild, life) {
            return;
        }
        let Some(site) = self.guilds.get_mut(guild) else {
            return;
        };
        let Some((id, facts)) = site.store.commit() else {
            return;
        };
        let facts = &facts;
        self.oracle.saw(self.now, &Seen::Committed { guild, facts });
        self.tell(|teller, at| teller.committed(at, guild, facts));
        for fact in facts {
            if let Fact::NoMember { user, .. } = fact {
                self.forget_pushes(guild, user);
            }
        }
        self.before(Moment::GuildCommitted, None, Some(guild));
        if self.guild_lives(guild, life) {
            self.step_guild(guild, Some(Input::Stored(id, Ok(()))));
        }
    }

    /// A dial has reached its guild.
    pub(super) fn accept(&mut self, link: crate::net::Link) {
        if self.net.of_guild(link.number).is_none() {
            return;
        }
        if !self.guilds.get(link.guild).is_some_and(|site| site.alive) {
            return self.break_off(link, End::Agent, "the guild is gone");
        }
        let accepted = Input::Arrival(Arrival::Socket {
            conn: link.number,
            sid: None,
            fresh: selvedge_core::Secret::new(&format!("engine-{}", link.number.0)),
            base64: false,
        });
        self.step_guild(link.guild, Some(accepted));
    }
}
