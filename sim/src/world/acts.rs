//! What a script does to a world.

use std::time::Duration;

use selvedge_core::{
    plugin::status::{LinkState, Reports as _},
    ws::{Event as WsEvent, Frame},
};

use super::{Armed, Event, Target, World};
use crate::{
    disk::Disk,
    net::{End, Link},
    oracle::{Seen, troubles::Lasting},
    script::{Act, Line, Strike},
};

/// A Disconnect of the namespace of the pushes.
const DISCONNECT: &str = "41/realtime,";
/// How a line names every agent.
const EVERY_ONE: &str = "*";
/// How long after the faults have ended everything must be live.
const COMING_BACK: Duration = Duration::from_secs(120);

/// How a state of a link is counted.
const fn state_of(link: LinkState) -> &'static str {
    match link {
        LinkState::Waiting => "link waiting",
        LinkState::Login => "link wants a login",
        LinkState::Dialing => "link dialing",
        LinkState::Handshaking => "link handshaking",
        LinkState::Joining => "link joining",
        LinkState::Live => "link live",
    }
}

impl World {
    /// The moment of a line has come.
    pub(super) fn play(&mut self, index: usize) {
        match self.script.lines.get(index).cloned() {
            Some(Line::Act {
                who,
                agent,
                guild,
                r#do,
                ..
            }) => {
                let target = Target {
                    agent: agent.as_deref().and_then(|name| self.agent_named(name)),
                    guild: guild.as_deref().and_then(|name| self.guild_named(name)),
                };
                if agent.is_some() != target.agent.is_some()
                    || guild.is_some() != target.guild.is_some()
                {
                    return self.fail(format!("there is no {agent:?} or no {guild:?}"));
                }
                let at = self.since_start();
                self.chronicle.remark(at, &r#do);
                self.ask_how_they_do();
                match r#do {
                    Act::Deed(deed) => {
                        self.tell(|teller, at| teller.did(at, &who, &deed));
                        self.do_deed(&who, target.guild, &deed);
                    }
                    Act::Strike(strike) => self.strike(target, strike),
                }
            }
            Some(Line::Expect { agent, expect, .. }) => {
                let agents = match agent.as_deref() {
                    Some(EVERY_ONE) => 0..self.agents.len(),
                    Some(name) => match self.agent_named(name) {
                        Some(agent) => agent..agent + 1,
                        None => return self.fail(format!("there is no {name}")),
                    },
                    None => 0..1,
                };
                for agent in agents {
                    self.play_expect(agent, &expect);
                }
            }
            None => {}
        }
    }

    /// Asks every agent how it does, as an operator would.
    fn ask_how_they_do(&mut self) {
        for agent in 0..self.agents.len() {
            let site = self.agents.get(agent).filter(|site| site.alive);
            if let Some(site) = site {
                let status = site.machine.status(self.now);
                let waiting = status.waiting;
                self.oracle.saw(self.now, &Seen::Asked { agent, waiting });
                for guild in &status.guilds {
                    self.cover(state_of(guild.link.state));
                }
            }
        }
    }

    fn links_of(&self, target: Target) -> Vec<Link> {
        let links = self.net.links();
        let meant = links.filter(|link| {
            target.agent.is_none_or(|agent| agent == link.agent)
                && target.guild.is_none_or(|guild| guild == link.guild)
        });
        meant.collect()
    }

    fn each_path(&mut self, target: Target, act: impl Fn(&mut crate::path::Path)) {
        for agent in self.agents_of(target) {
            for guild in self.guilds_of(target) {
                act(self.path(agent, guild));
            }
        }
    }

    fn each_guild(&mut self, target: Target, act: impl Fn(&mut Self, usize)) {
        for guild in self.guilds_of(target) {
            act(self, guild);
        }
    }

    fn each_disk(&mut self, target: Target, act: impl Fn(&mut Disk)) {
        for agent in self.agents_of(target) {
            if let Some(site) = self.agents.get_mut(agent) {
                act(&mut site.disk);
            }
        }
    }

    /// A fault, or its end.
    pub(super) fn strike(&mut self, target: Target, strike: Strike) {
        let ms = Duration::from_millis;
        self.tell(|teller, at| teller.struck(at, (target.agent, target.guild), &strike));
        match strike {
            Strike::Reset => {
                for link in self.links_of(target) {
                    self.reset(link);
                }
            }
            Strike::ResetOldest => {
                if let Some(link) = self.links_of(target).first() {
                    self.reset(*link);
                }
            }
            Strike::Close => {
                for link in self.links_of(target) {
                    self.close_in_order(link);
                }
            }
            Strike::Disconnect => {
                for link in self.links_of(target) {
                    self.cover("disconnect");
                    self.net.mar(link);
                    self.trouble_ended(link.agent, link.guild);
                    let at = self.net.arrival(self.now, link, End::Agent, Duration::ZERO);
                    let event = WsEvent::Frame(Frame::Text(DISCONNECT.into()));
                    let to = End::Agent;
                    self.schedule_at(at, Event::Frame { link, to, event });
                }
            }
            Strike::Stall(millis) => {
                for link in self.links_of(target) {
                    self.cover("connection stalled");
                    self.net.mar(link);
                    self.trouble_until(link.agent, link.guild, self.now + ms(millis));
                    for end in [End::Agent, End::Guild] {
                        self.net.not_before(link, end, self.now + ms(millis));
                    }
                }
            }
            Strike::Damage(damage) => {
                for link in self.links_of(target) {
                    self.cover("frame damaged");
                    self.net.damage(link, damage);
                }
            }
            Strike::Lose(loss) => {
                for link in self.links_of(target) {
                    self.net.lose(link, loss);
                    self.trouble(link.agent, link.guild);
                }
            }
            Strike::Doom { dials, after } => {
                self.each_path(target, |path| path.doomed = (dials, ms(after)));
            }
            Strike::DelayDials(millis) => {
                self.each_path(target, |path| path.dial_delay = ms(millis))
            }
            Strike::HangDials(dials) => self.each_path(target, |path| path.hangs_dials = dials),
            Strike::DelayFrames(millis) => {
                self.each_path(target, |path| path.frame_delay = ms(millis));
            }
            Strike::DelayPings(millis) => {
                self.each_path(target, |path| path.ping_delay = ms(millis));
            }
            Strike::LoseAcks(acks) => self.each_path(target, |path| path.loses_acks = acks),
            Strike::LackGuild(sessions) => self.each_path(target, |path| path.lacks = sessions),
            Strike::RefuseDials(refuses) => {
                self.each_path(target, |path| path.refuses_dials = refuses)
            }
            Strike::LosePushes(pushes) => self.each_path(target, |path| path.loses_pushes = pushes),
            Strike::RepeatPushes(pushes) => {
                self.each_path(target, |path| path.repeats_pushes = pushes);
            }
            Strike::RepeatLast => {
                for link in self.links_of(target) {
                    // One that hears nothing would be taken for one that does.
                    if self.net.is_deaf(link) {
                        continue;
                    }
                    if let Some(event) = self.path(link.agent, link.guild).last_push.clone() {
                        self.cover("old push repeated");
                        // It may come before the connection stands.
                        self.net.mar(link);
                        let to = End::Agent;
                        let at = self.net.arrival(self.now, link, to, Duration::ZERO);
                        self.schedule_at(at, Event::Frame { link, to, event });
                    }
                }
            }
            Strike::DelayRest(millis) => {
                self.each_path(target, |path| path.rest_delay = ms(millis))
            }
            Strike::FailRest { requests, how } => {
                self.each_path(target, |path| path.fail_rest(requests, how));
            }
            Strike::LimitPosts(millis) => {
                let until = self.now + ms(millis);
                self.each_path(target, |path| path.limits_posts = until);
            }
            Strike::Revoke => {
                self.cover("tokens revoked");
                for agent in self.agents_of(target) {
                    self.tell(|teller, at| teller.revoked(at, agent));
                    if let Some(site) = self.agents.get(agent) {
                        self.center.revoke(&site.user);
                    }
                }
            }
            Strike::FailLogins { logins, how } => {
                self.center.faults.push((target.agent, logins, how));
            }
            Strike::RefuseLogins(refuses) => {
                for agent in self.agents_of(target) {
                    if let Some(site) = self.agents.get_mut(agent) {
                        site.refuses_logins = refuses;
                    }
                }
            }
            Strike::LoseNotifications(count) => {
                for agent in self.agents_of(target) {
                    if let Some(site) = self.agents.get_mut(agent) {
                        site.host.loses = count;
                    }
                }
            }
            Strike::Kill { commits } => self.kill(target, commits),
            Strike::Crash { commits, down } => {
                self.kill(target, commits);
                for agent in self.agents_of(target) {
                    self.schedule(ms(down), Event::Revive(agent));
                }
            }
            Strike::CrashHost { commits, down } => {
                for agent in self.agents_of(target) {
                    if let Some(site) = self.agents.get(agent) {
                        let (life, down) = (site.life, ms(down));
                        let event = Event::HostGone {
                            agent,
                            life,
                            commits,
                            down,
                        };
                        self.schedule(Duration::ZERO, event);
                    }
                }
            }
            Strike::Start => self.start(target),
            Strike::BackUp => self.each_disk(target, Disk::back_up),
            Strike::Restore => self.restore_disks(target),
            Strike::DelayCommits(millis) => {
                self.each_disk(target, |disk| disk.commit = ms(millis));
                let slow = ms(millis) > Disk::default().commit;
                let whole = Target {
                    guild: None,
                    ..target
                };
                self.lasting(whole, Lasting::SlowDisk, slow);
            }
            Strike::FailCommits(batches) => self.each_disk(target, |disk| disk.fails = batches),
            Strike::FailIntrospections(questions) => self.each_guild(target, |world, guild| {
                if let Some(site) = world.guilds.get_mut(guild) {
                    site.fails_introspections = questions;
                }
            }),
            Strike::CrashGuild {
                commits,
                told,
                down,
            } => self.each_guild(target, |world, guild| {
                world.kill_guild(guild, commits, told);
                world.schedule(ms(down), Event::Restart(guild));
            }),
            Strike::BackUpGuild => self.each_guild(target, |world, guild| {
                if let Some(site) = world.guilds.get_mut(guild) {
                    site.backup = site.store.clone();
                    site.backup.kill(false);
                    world.oracle.saw(world.now, &Seen::GuildBackedUp { guild });
                }
            }),
            Strike::RestoreGuild { down } => self.each_guild(target, |world, guild| {
                world.kill_guild(guild, false, true);
                if let Some(site) = world.guilds.get_mut(guild) {
                    site.store = site.backup.clone();
                }
                world.cover("guild restored");
                world.oracle.saw(world.now, &Seen::GuildRestored { guild });
                world.schedule(ms(down), Event::Restart(guild));
            }),
            Strike::SetClock(millis) => self.each_guild(target, |world, guild| {
                world.cover("clock set");
                if let Some(site) = world.guilds.get_mut(guild) {
                    site.clock = millis;
                }
                world.tell_time(guild);
                world.lasting(Target::guild(guild), Lasting::ClockOff, millis != 0);
            }),
            Strike::Before { moment, r#do } => self.armed.push(Armed {
                moment,
                target,
                strike: *r#do,
            }),
            Strike::Quiet => self.fall_quiet(),
        }
    }

    /// Every fault ends.
    fn fall_quiet(&mut self) {
        let all = Target::default();
        self.lasting(all, Lasting::SlowDisk, false);
        self.lasting(all, Lasting::ClockOff, false);
        self.quiet = Some(self.now);
        self.armed.clear();
        self.paths.clear();
        self.center.faults.clear();
        for site in &mut self.agents {
            site.disk.fails = 0;
            site.disk.commit = Disk::default().commit;
            site.host.loses = 0;
            site.refuses_logins = false;
        }
        for guild in 0..self.guilds.len() {
            if let Some(site) = self.guilds.get_mut(guild) {
                site.clock = 0;
                site.fails_introspections = 0;
            }
            self.start_guild(guild);
            self.tell_time(guild);
        }
        self.start(Target::default());
        self.schedule(COMING_BACK, Event::Settle);
    }
}
