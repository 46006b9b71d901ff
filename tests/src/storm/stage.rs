//! What a storm is played on: the guild, the network before it, the people, the channels, and how the
//! plugin is started.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use selvedge::clock::Clock;
use selvedge_core::{
    Time,
    fabric::types::XType,
    id::{ChannelId, UserId},
    rng::Rng,
};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{
    Plan,
    guild::{Guild, Kind},
    host::Life,
    judge::Channel,
    ledger::{Deed, Ledger},
    people::People,
    talk::Talk,
};
use crate::{
    PATIENCE, binary,
    fabric::Fault,
    faults::{Faults, Options, Tally},
};

/// The agent's account.
const AGENT: &str = "echo";
/// How many posts one person makes in a channel at most: an agent that answers one author more than 20
/// times in a minute is taken to be in a loop.
const POSTS_OF_ONE: usize = 16;
/// How long the plugin may take to read where the channels stand, and to keep that.
const READ_AND_KEPT: Duration = Duration::from_secs(3);
/// How often it is looked whether the plugin hears everything.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Everything but the plugin.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) clock: Clock,
    pub(super) guild: Guild,
    pub(super) network: Vec<Faults>,
    pub(super) tally: Tally,
    pub(super) people: Arc<People>,
    pub(super) agent: UserId,
    names: Vec<String>,
    channels: Vec<(ChannelId, XType)>,
    folder: PathBuf,
    record: Option<PathBuf>,
}

impl Stage {
    /// Starts guild and network. `None` where there is no Node for the guild.
    pub(super) async fn start(plan: &Plan, rng: &Rng) -> Result<Option<Self>, Fault> {
        let share = plan.messages.div_ceil(plan.channels.max(1));
        let people = share.div_ceil(POSTS_OF_ONE).max(2);
        let names: Vec<String> = (0..people)
            .map(|person| format!("person{person}"))
            .collect();
        let users = names.iter().cloned().chain([AGENT.to_owned()]).collect();
        let record = plan.record.as_deref();
        let guild = Guild::start(plan.guild, users, &plan.folder, record).await?;
        let Some(guild) = guild else {
            return Ok(None);
        };
        let tally = Tally::default();
        let (center, node) = guild.ports();
        let mut network = Vec::new();
        for (server, name) in [(Some(node), "guild"), (center, "center")] {
            let Some(server) = server else {
                continue;
            };
            let options = Options {
                server,
                late: plan.guild.knows_nonces(),
            };
            network.push(Faults::start(options, &rng.fork(name), tally.clone())?);
        }
        let clock = Clock::start();
        let keys = guild.keys().await?;
        let nonces = plan.guild.knows_nonces();
        let people = People::new(clock, guild.origins(), keys, nonces)?;
        let agent = people.id(AGENT).await?;
        let stage = Self {
            clock,
            guild,
            network,
            tally,
            people: Arc::new(people),
            agent,
            names,
            channels: Vec::new(),
            folder: plan.folder.clone(),
            record: plan.record.clone(),
        };
        stage.configure(plan)?;
        Ok(Some(stage))
    }

    /// Writes the plugin's configuration, which leads it through the network.
    fn configure(&self, plan: &Plan) -> Result<(), Fault> {
        let mut origins = self
            .network
            .iter()
            .map(|faults| format!("http://127.0.0.1:{}", faults.port()));
        let guild = origins.next().ok_or("there is no network")?;
        let center = origins.next().unwrap_or_else(|| guild.clone());
        // A turn that is interrupted at every kill is not given up.
        let attempts = plan.plugin_kills + 2;
        let config = format!(
            "[center]\nurl = {center:?}\n[guild.{}]\nurl = {guild:?}\n\
             [store]\npath = \"plugin.sqlite\"\n[plugin]\nattempts_max = {attempts}\n\
             [[agent]]\nid = \"echo\"\napi_key_env = \"ECHO\"\n",
            plan.guild.id()
        );
        Ok(fs::write(self.folder.join("selvedge.toml"), config)?)
    }

    /// Starts the plugin for its life of this number.
    pub(super) async fn start_plugin(
        &self,
        life: usize,
        ledger: &Ledger,
        rng: &Rng,
    ) -> Result<Life, Fault> {
        let mut plugin = Command::new(binary::selvedge());
        plugin
            .args(["plugin", "--config"])
            .arg(self.folder.join("selvedge.toml"));
        if let Some(record) = &self.record {
            let folder = record.join(format!("plugin-{life}"));
            plugin.arg("--record").arg(folder);
        }
        let key = self.people.keys.get(AGENT).ok_or("the agent has no key")?;
        plugin.env("ECHO", key);
        let log = self.folder.join(format!("plugin-{life}.log"));
        Life::start(plugin, life, ledger, rng, &log).await
    }

    /// Makes the channels.
    pub(super) async fn create(&mut self, channels: usize) -> Result<(), Fault> {
        let first = self.names.first().cloned().ok_or("there is nobody")?;
        let mut members = vec![self.agent.clone()];
        for name in self.names.iter().skip(1) {
            members.push(self.people.id(name).await?);
        }
        let kinds = self.guild.kind().channels().iter().copied().cycle();
        for (number, x_type) in (0..channels).zip(kinds) {
            let name = format!("c{number}");
            let id = if self.guild.wish_channel(&name, x_type).await {
                ChannelId::new(&name).ok_or("no channel has this id")?
            } else {
                let people = &self.people;
                people
                    .create(&first, &name, x_type, &members, &self.agent)
                    .await?
            };
            self.channels.push((id, x_type));
        }
        Ok(())
    }

    /// Waits until the plugin hears all channels.
    pub(super) async fn live(&self, life: &Life) -> Result<(), Fault> {
        timeout(PATIENCE, async {
            while life.live_channels().await? < self.channels.len() {
                sleep(LOOK_EVERY).await;
            }
            Ok::<_, Fault>(())
        })
        .await??;
        if self.guild.kind() == Kind::Nest {
            // The guild does not tell where its channels stand. The plugin has to read it, and to keep
            // it, before it can be killed without losing what came since.
            sleep(READ_AND_KEPT).await;
        }
        Ok(())
    }

    /// What is said in each channel.
    pub(super) fn talks(&self, plan: &Plan) -> Vec<Talk> {
        let channels = self.channels.iter().enumerate();
        let talks = channels.map(|(number, (channel, x_type))| Talk {
            channel: channel.clone(),
            x_type: *x_type,
            posts: (plan.messages + number) / plan.channels.max(1),
            by: self.names.clone(),
            agent: self.agent.clone(),
        });
        talks.collect()
    }

    /// What the guild has of all channels.
    pub(super) async fn heard(&self) -> Result<Vec<Channel>, Fault> {
        let first = self.names.first().ok_or("there is nobody")?;
        let mut heard = Vec::new();
        for (channel, x_type) in &self.channels {
            heard.push(Channel {
                id: channel.to_string(),
                wakes: *x_type != XType::Report,
                takes_turns: x_type.takes_turns(),
                said: self.people.history(first, channel).await?,
            });
        }
        Ok(heard)
    }

    /// How things stand, in words.
    pub(super) fn progress(&self, began: Time, ledger: &Ledger) -> String {
        let entries = ledger.entries();
        let count = |of: fn(&Deed) -> bool| entries.iter().filter(|it| of(&it.deed)).count();
        format!(
            "{:4} s: {} turns handed over, {} ended, {} kills of the plugin; {}",
            self.clock.now().since(began).as_secs(),
            count(|deed| matches!(deed, Deed::Handed(_))),
            count(|deed| matches!(deed, Deed::Ended(_))),
            count(|deed| matches!(deed, Deed::Killed)),
            self.tally,
        )
    }
}
