//! Many agents in one plugin: hundreds of accounts in several guilds, all of which are killed at once
//! and come back. Everything is a real process: a Center, the guilds, and the plugin with its host.

mod counter;
mod crowd;
mod host;
mod town;
mod watch;

use std::{fmt, time::Duration};

use selvedge::{clock::Clock, http::Client, tls};
use selvedge_core::{Time, plugin::login_gate::LoginGate};
use tokio::time::sleep;

use self::{
    counter::Counter,
    crowd::{Crowd, Room},
    host::Host,
    town::Town,
    watch::{Lives, Seen, Watch, lives},
};
use crate::{PATIENCE, binary, cost::Cost, fabric::Fault};

/// Within what time of the return of all guilds every link must be live again.
pub const BACK: Duration = Duration::from_secs(60);

/// How many teams are posted in at a time.
const TEAMS: usize = 8;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many agents there are.
    pub agents: usize,
    /// In how many guilds each of them is.
    pub guilds: usize,
    /// How often all guilds are killed.
    pub rounds: u32,
    /// For how long they stay away.
    pub away: Duration,
    /// How long Center's tokens live.
    pub token_life: Duration,
    /// How much longer a login takes than it takes Center.
    pub login_latency: Duration,
    /// For how long nothing is done, before the first round.
    pub idle: Duration,
}

/// What a part of the run took.
#[derive(Clone, Copy, Debug)]
struct Part {
    took: Duration,
    cpu: Duration,
    center: Duration,
    guilds: Duration,
    logins: usize,
    lines: usize,
}

/// What the run is made of.
struct Scene {
    plan: Plan,
    clock: Clock,
    town: Town,
    counter: Counter,
    crowd: Crowd,
    host: Host,
    watch: Watch,
}

/// The state that a part begins with.
#[derive(Clone, Copy)]
struct Mark {
    at: Time,
    cost: Cost,
    /// The processor time of Center, and of the guilds.
    town: (Duration, Duration),
    logins: usize,
    lines: usize,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            took,
            cpu,
            center,
            guilds,
            logins,
            lines,
        } = self;
        let [took, cpu, center, guilds] = [took, cpu, center, guilds].map(Duration::as_secs_f64);
        write!(
            f,
            "{took:.1} s, {cpu:.2} s of CPU (guilds {guilds:.2} s, Center {center:.2} s), \
             {logins} logins, {lines} lines of log"
        )
    }
}

/// Runs the plan: every link comes back in time each time, no more logins are under way at once than
/// the plugin's gate lets in, and every post wakes everybody once, also those of the moment in which
/// the guilds have just come back.
///
/// # Errors
///
/// Where that is not so.
pub async fn run(plan: Plan, mut say: impl FnMut(&str)) -> Result<(), Fault> {
    let mut scene = Scene::start(plan, &mut say).await?;
    scene.wake(&mut say).await?;
    if !plan.idle.is_zero() {
        let mark = scene.mark()?;
        sleep(plan.idle).await;
        let part = scene.since(&mark)?;
        say(&format!("idle: {part}"));
    }
    for round in 1..=plan.rounds {
        scene.round(round, &mut say).await?;
        scene.wake(&mut say).await?;
    }
    let doubled = scene.host.doubled();
    let (logins, at_once) = scene.counter.logins();
    say(&format!(
        "{logins} logins, at most {at_once} at once; {doubled} wakes doubled"
    ));
    scene.host.stop().await?;
    if at_once > LoginGate::IN_FLIGHT {
        return Err(format!("{at_once} logins were under way at once").into());
    }
    match doubled {
        0 => Ok(()),
        doubled => Err(format!("{doubled} wakes came more than once").into()),
    }
}

impl Scene {
    async fn start(plan: Plan, say: &mut impl FnMut(&str)) -> Result<Self, Fault> {
        let clock = Clock::start();
        // Built before anything is measured.
        binary::selvedge();
        let client = Client::new(&tls::client_config(None)?, None)?;
        let begun = clock.now();
        let town = Town::start(client.clone(), plan.guilds, plan.token_life).await?;
        let crowd = Crowd::gather(client.clone(), &town, plan.agents).await?;
        let center = town.center_url();
        let counter = Counter::start(client.clone(), center, plan.login_latency).await?;
        let ready = clock.now();
        let host = Host::start(&crowd, counter.url()).await?;
        let watch = Watch::start(client, clock, host.status()).await?;
        let scene = Self {
            plan,
            clock,
            town,
            counter,
            crowd,
            host,
            watch,
        };
        let none = Mark {
            at: ready,
            cost: Cost::default(),
            town: scene.town.cpu()?,
            logins: 0,
            lines: 0,
        };
        let seen = scene.live(&Lives::default(), PATIENCE).await?;
        let (part, setup) = (scene.since(&none)?, ready.since(begun).as_secs_f64());
        let links = scene.links();
        say(&format!(
            "{links} links, set up in {setup:.1} s, live: {part}; {}",
            told(&seen)
        ));
        Ok(scene)
    }

    fn links(&self) -> usize {
        self.plan.agents * self.plan.guilds
    }

    async fn live(&self, before: &Lives, most: Duration) -> Result<Seen, Fault> {
        self.watch.until_live(self.links(), before, most).await
    }

    fn mark(&self) -> Result<Mark, Fault> {
        Ok(Mark {
            at: self.clock.now(),
            cost: Cost::of(self.host.process()?)?,
            town: self.town.cpu()?,
            logins: self.counter.logins().0,
            lines: self.host.lines()?,
        })
    }

    fn since(&self, mark: &Mark) -> Result<Part, Fault> {
        let now = self.mark()?;
        Ok(Part {
            took: now.at.since(mark.at),
            cpu: now.cost.cpu.saturating_sub(mark.cost.cpu),
            center: now.town.0.saturating_sub(mark.town.0),
            guilds: now.town.1.saturating_sub(mark.town.1),
            logins: now.logins - mark.logins,
            lines: now.lines - mark.lines,
        })
    }

    /// Alice posts in every hall and in some teams, and everybody is woken.
    async fn wake(&self, say: &mut impl FnMut(&str)) -> Result<(), Fault> {
        let mark = self.mark()?;
        let posted = self.crowd.post(&self.rooms(), "anybody there?").await?;
        self.host.woken(&posted).await?;
        let part = self.since(&mark)?;
        let wakes: usize = posted.iter().map(|posted| posted.agents.len()).sum();
        let each = part.cpu.as_secs_f64() * 1e3 / wakes as f64;
        let Cost {
            rss,
            peak,
            descriptors,
            ..
        } = Cost::of(self.host.process()?)?;
        let (rss, peak) = (rss / 1_024, peak / 1_024);
        say(&format!(
            "{wakes} wakes: {part}, {each:.2} ms of CPU each; {rss} MiB, {peak} at the most, \
             {descriptors} descriptors"
        ));
        Ok(())
    }

    fn rooms(&self) -> Vec<Room> {
        let teams = self.crowd.teams.len().div_ceil(TEAMS).max(1);
        let teams = self.crowd.teams.iter().step_by(teams);
        self.crowd.halls.iter().chain(teams).cloned().collect()
    }

    /// Kills all guilds, and demands that every link is back in time, with what was posted while it
    /// was not.
    async fn round(&mut self, round: u32, say: &mut impl FnMut(&str)) -> Result<(), Fault> {
        let before = lives(&self.watch.report().await?);
        let mark = self.mark()?;
        self.town.kill().await?;
        sleep(self.plan.away).await;
        let away = self.since(&mark)?;
        say(&format!("round {round}, away: {away}"));
        self.town.open()?;
        self.town.answer().await?;
        let mark = self.mark()?;
        let rooms = self.rooms();
        let early = self.crowd.post(&rooms, "the first to be back");
        let live = self.live(&before, BACK);
        let (posted, seen) = tokio::try_join!(early, live)?;
        let part = self.since(&mark)?;
        say(&format!("round {round}, back: {part}; {}", told(&seen)));
        self.host.woken(&posted).await?;
        if part.took > BACK {
            return Err(format!("the links took {:?} to be back", part.took).into());
        }
        Ok(())
    }
}

fn told(seen: &Seen) -> String {
    let Seen {
        dials,
        dials_a_second,
        live,
    } = seen;
    format!("{dials} dials, at most {dials_a_second:.0} a second; live by the second: {live:?}")
}
