//! What a trace expects of the world.

use selvedge_core::{guild::turn::Turn, id::UserId, plugin::inbound::Inbound};

use super::{AGENT, World};
use crate::script::Expect;

impl World {
    pub(super) fn play_expect(&mut self, expect: &Expect) {
        let failure = match expect {
            Expect::Live(wanted) => {
                let mut guilds = self.agent.guilds().peekable();
                let live = guilds.peek().is_some() && guilds.all(|(_, live, _)| live);
                (live != *wanted).then(|| format!("the link's being live is {live}"))
            }
            Expect::Echoed(text) => {
                let echo = format!("echo: {text}");
                let echoes = self
                    .store
                    .messages()
                    .filter(|message| {
                        message.author.id.as_str() == AGENT && message.content == echo
                    })
                    .count();
                (echoes != 1).then(|| format!("{echoes} echoes of `{text}` stand in the guild"))
            }
            Expect::NotDelivered(text) => self
                .host
                .inbounds
                .iter()
                .flat_map(|inbound| &inbound.messages)
                .any(|message| message.content == *text)
                .then(|| format!("`{text}` was handed to the host")),
            Expect::Delivered(texts) => {
                let inbounds = self.host.inbounds.iter();
                let told = inbounds.flat_map(|inbound| &inbound.messages);
                let told: Vec<&str> = told.map(|message| message.content.as_str()).collect();
                (told != *texts).then(|| format!("the host was handed {told:?}"))
            }
            Expect::Noted(wanted) => {
                let noted = |kind: &String| self.notes.get(kind).copied().unwrap_or_default();
                let differs = |(kind, times): (&String, &usize)| noted(kind) != *times;
                let differ = wanted.iter().any(differs);
                differ.then(|| format!("the agent has noted {:?}", self.notes))
            }
            Expect::ConnectionsAtMost(most) => {
                let open = self.net.open_max;
                (open > *most).then(|| format!("the agent had {open} connections"))
            }
            Expect::DialsAtMost(most) => {
                let dials = self.net.dials;
                (dials > *most).then(|| format!("the agent dialed {dials} times"))
            }
            Expect::Turns(wanted) => {
                let turns = self.host.inbounds.len();
                (turns != *wanted).then(|| format!("the host was handed {turns} turns"))
            }
            Expect::Redelivered(wanted) => {
                let again = |inbound: &&Inbound| inbound.redelivered;
                let turns = self.host.inbounds.iter().filter(again).count();
                (turns != *wanted).then(|| format!("{turns} turns were handed over again"))
            }
            Expect::Speaker { channel, who } => {
                let id = self.channels.get(channel);
                let known = id.and_then(|id| self.guild.state().channel(id));
                let turn = known.and_then(|known| known.turn.as_ref());
                let has = turn.and_then(Turn::current).map(UserId::as_str);
                (has != who.as_deref()).then(|| format!("{has:?} has the turn in `{channel}`"))
            }
        };
        if let Some(failure) = failure {
            self.fail(failure);
        }
    }
}
