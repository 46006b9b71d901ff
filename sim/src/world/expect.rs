//! What a trace expects of the world.

use selvedge_core::{
    guild::turn::Turn,
    id::UserId,
    plugin::{inbound::Inbound, status::Reports as _},
};

use super::World;
use crate::{oracle::because::About, script::Expect};

impl World {
    pub(super) fn play_expect(&mut self, agent: usize, expect: &Expect) {
        let Some(site) = self.agents.get(agent) else {
            return;
        };
        let failure = match expect {
            Expect::Live(wanted) => {
                let mut guilds = site.machine.guilds().peekable();
                let live = guilds.peek().is_some() && guilds.all(|(_, live, _)| live);
                (live != *wanted).then(|| format!("the link's being live is {live}"))
            }
            Expect::Echoed(text) => {
                let echo = format!("echo: {text}");
                let messages = self.guilds.iter().flat_map(|guild| guild.store.messages());
                let echoes = messages
                    .filter(|message| message.author.id == site.user && message.content == echo)
                    .count();
                (echoes != 1).then(|| format!("{echoes} echoes of `{text}` stand in the guild"))
            }
            Expect::NotDelivered(text) => site
                .host
                .inbounds
                .iter()
                .flat_map(|inbound| &inbound.messages)
                .any(|message| message.content == *text)
                .then(|| format!("`{text}` was handed to the host")),
            Expect::Delivered(texts) => {
                let inbounds = site.host.inbounds.iter();
                let told = inbounds.flat_map(|inbound| &inbound.messages);
                let told: Vec<&str> = told.map(|message| message.content.as_str()).collect();
                (told != *texts).then(|| format!("the host was handed {told:?}"))
            }
            Expect::Noted(wanted) => {
                let noted = |kind: &String| site.notes.get(kind).copied().unwrap_or_default();
                let differs = |(kind, times): (&String, &usize)| noted(kind) != *times;
                let differ = wanted.iter().any(differs);
                differ.then(|| format!("the agent has noted {:?}", site.notes))
            }
            Expect::ConnectionsAtMost(most) => {
                let open = site.open_max;
                (open > *most).then(|| format!("the agent had {open} connections"))
            }
            Expect::DialsAtMost(most) => {
                let dials = site.dials;
                (dials > *most).then(|| format!("the agent dialed {dials} times"))
            }
            Expect::PostsAtMost(most) => {
                let posts = site.posts;
                (posts > *most).then(|| format!("the agent sent {posts} posts"))
            }
            Expect::CallFailed(words) => {
                let errors = &site.host.errors;
                let failed = errors.iter().filter(|why| why.contains(words)).count();
                (failed != 1).then(|| format!("the host's calls have failed with {errors:?}"))
            }
            Expect::RushAtMost(most) => {
                let rush = self.guilds.iter().map(|guild| guild.rush_max).max();
                rush.filter(|rush| rush > most)
                    .map(|rush| format!("a guild was dialed {rush} times at once"))
            }
            Expect::Turns(wanted) => {
                let turns = site.host.inbounds.len();
                (turns != *wanted).then(|| format!("the host was handed {turns} turns"))
            }
            Expect::Redelivered(wanted) => {
                let again = |inbound: &&Inbound| inbound.redelivered;
                let turns = site.host.inbounds.iter().filter(again).count();
                (turns != *wanted).then(|| format!("{turns} turns were handed over again"))
            }
            Expect::Skipped(wanted) => {
                let new = site.host.inbounds.iter().filter(|told| !told.redelivered);
                let skipped: u64 = new.map(|told| told.skipped).sum();
                (skipped != *wanted).then(|| format!("the host was told of {skipped} left out"))
            }
            Expect::Waiting(wanted) => {
                let waiting = site.machine.status(self.now).waiting;
                (waiting != *wanted).then(|| format!("{waiting} messages wait"))
            }
            Expect::Speaker { channel, who } => {
                let place = self.people.channel(channel);
                let known = place.as_ref().and_then(|(guild, id)| {
                    let store = &self.guilds.get(*guild)?.store;
                    store.state().channel(id)
                });
                let turn = known.and_then(|known| known.turn.as_ref());
                let has = turn.and_then(Turn::current).map(UserId::as_str);
                (has != who.as_deref()).then(|| format!("{has:?} has the turn in `{channel}`"))
            }
        };
        if let Some(failure) = failure {
            let at = self.since_start().as_millis();
            let wanted = serde_json::to_string(expect).unwrap_or_default();
            let wanted = format!("what is expected at {at} ms, {wanted}: {failure}");
            let tells_of_messages = matches!(
                expect,
                Expect::Delivered(_) | Expect::Echoed(_) | Expect::Turns(_)
            );
            let about = match tells_of_messages {
                true => self.oracle.missed(agent),
                false => About {
                    agent: Some(agent),
                    ..About::default()
                },
            };
            self.failures.push(self.oracle.because(&about, &wanted));
            self.failed.get_or_insert((self.now, about));
        }
    }
}
