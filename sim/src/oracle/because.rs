//! The sentence that every failure begins with: what the guild stored and the host got, and which
//! rule that contradicts.

use core::fmt::Write as _;

use selvedge_core::id::{ChannelId, MessageId};

use super::{Breach, Oracle, Seen, ledger::Channel, tell};

/// What a broken rule is about, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Which agent.
    pub agent: Option<usize>,
    /// In which guild.
    pub guild: Option<usize>,
    /// In which channel of it.
    pub channel: Option<ChannelId>,
    /// Which message there.
    pub message: Option<MessageId>,
}

impl About {
    /// A channel as an agent has it.
    pub fn place(agent: usize, guild: usize, channel: &ChannelId) -> Self {
        Self {
            agent: Some(agent),
            guild: Some(guild),
            channel: Some(channel.clone()),
            message: None,
        }
    }

    /// What something that was seen is about.
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            let message = inbound.messages.last().map(|last| last.id.clone());
            return Self {
                message,
                ..Self::place(*agent, *guild, &inbound.channel.id)
            };
        }
        if let Seen::Sent {
            place: (agent, guild, channel),
            message,
        } = seen
        {
            return Self {
                message: Some(message.message.clone()),
                ..Self::place(*agent, *guild, channel)
            };
        }
        if let Seen::NoReply {
            place: (agent, guild, channel),
        }
        | Seen::Named {
            place: (agent, guild, channel),
        }
        | Seen::Rewoken {
            place: (agent, guild, channel),
            ..
        }
        | Seen::Member {
            place: (agent, guild, channel),
            ..
        }
        | Seen::Unheard {
            place: (agent, guild, channel),
            ..
        } = seen
        {
            return Self::place(*agent, *guild, channel);
        }
        let mut about = Self::default();
        if let Seen::Dialed { agent, guild, .. }
        | Seen::LetGo { agent, guild, .. }
        | Seen::Presented { agent, guild, .. }
        | Seen::Requested { agent, guild, .. }
        | Seen::Down { agent, guild }
        | Seen::PassedOver { agent, guild }
        | Seen::Live { agent, guild } = seen
        {
            (about.agent, about.guild) = (Some(*agent), Some(*guild));
        }
        if let Seen::LoggingIn { agent, .. }
        | Seen::Asked { agent, .. }
        | Seen::TurnOver { agent, .. } = seen
        {
            about.agent = Some(*agent);
        }
        if let Seen::Committed { guild, .. } = seen {
            about.guild = Some(*guild);
        }
        about
    }
}

impl Oracle {
    /// What is the case, in one sentence that ends in the contradiction.
    pub fn because(&self, about: &About, contradiction: &str) -> String {
        let mut words = String::from("because ");
        let place = match (about.agent, about.guild, &about.channel) {
            (Some(agent), Some(guild), Some(channel)) => Some((agent, guild, channel)),
            _ => None,
        };
        let known = place.and_then(|(agent, guild, id)| {
            let channel = self.ledger.channel(guild, id)?;
            Some((agent, guild, id, channel))
        });
        match known {
            Some((agent, guild, id, channel)) => {
                self.tell_place(
                    &mut words,
                    agent,
                    guild,
                    id,
                    channel,
                    about.message.as_ref(),
                );
            }
            None => self.tell_all(&mut words, about),
        }
        let _ = write!(words, ": contradiction to {contradiction}");
        words
    }

    /// The same for a broken rule.
    pub(crate) fn because_of(&self, breach: &Breach, at: u128) -> String {
        let rule = format!("“{}” at {at} ms: {}", breach.rule, breach.why);
        self.because(&self.about(breach), &rule)
    }

    /// What a broken rule is about: where no message is named, the first that woke the agent and did
    /// not reach its host.
    pub fn about(&self, breach: &Breach) -> About {
        let mut about = breach.about.clone();
        if let (None, Some(agent), Some(guild), Some(id)) =
            (&about.message, about.agent, about.guild, &about.channel)
            && let Some(user) = self.setup.agents.get(agent)
            && let Some(channel) = self.ledger.channel(guild, id)
        {
            let mut messages = channel.messages.values();
            let missed = messages.find(|id| {
                let known = self.ledger.message(guild, id);
                known.is_some_and(|known| known.woken.contains(user) && known.deleted.is_none())
                    && !self.works.is_handed(agent, guild, id)
            });
            about.message = missed
                .or_else(|| channel.messages.values().next_back())
                .cloned();
        }
        about
    }

    /// The first message that woke an agent and did not reach its host, in any channel.
    pub(crate) fn missed(&self, agent: usize) -> About {
        let mut about = About {
            agent: Some(agent),
            ..About::default()
        };
        let user = self.setup.agents.get(agent);
        for (guild, id, channel) in self.ledger.all_channels() {
            let place = About::place(agent, guild, id);
            let missed = channel.messages.values().find(|id| {
                let known = self.ledger.message(guild, id);
                known.is_some_and(|known| user.is_some_and(|user| known.woken.contains(user)))
                    && !self.works.is_handed(agent, guild, id)
            });
            if let Some(message) = missed {
                about = About {
                    message: Some(message.clone()),
                    ..place
                };
                break;
            }
        }
        about
    }

    fn tell_place(
        &self,
        words: &mut String,
        agent: usize,
        guild: usize,
        id: &ChannelId,
        channel: &Channel,
        message: Option<&MessageId>,
    ) {
        let stored: Vec<u64> = channel.messages.keys().copied().collect();
        let reached = channel.messages.iter();
        let got: Vec<u64> = reached
            .filter(|(_, id)| self.works.is_handed(agent, guild, id))
            .map(|(seq, _)| *seq)
            .collect();
        let _ = write!(
            words,
            "{} stored {} in channel `{}` ({id})",
            self.guild_name(guild),
            spans(&stored),
            channel.name
        );
        if let Some(known) = message.and_then(|id| self.ledger.message(guild, id)) {
            let _ = write!(
                words,
                ", message {} (`{}`) by {} among them",
                known.seq, known.content, known.author
            );
        } else if let Some(id) = message {
            let _ = write!(words, ", {}", tell(&self.ledger, guild, id));
        }
        let _ = write!(
            words,
            ", and the host of {} got {} of it",
            self.agent_name(agent),
            spans(&got)
        );
    }

    fn tell_all(&self, words: &mut String, about: &About) {
        let meant = |which: Option<usize>, is: usize| which.is_none_or(|which| which == is);
        let channels = self.ledger.all_channels();
        let stored: usize = channels
            .filter(|(guild, ..)| meant(about.guild, *guild))
            .map(|(_, _, channel)| channel.messages.len())
            .sum();
        let got = self.works.all_handed();
        let got = got
            .filter(|(agent, guild, _)| meant(about.agent, *agent) && meant(about.guild, *guild))
            .count();
        let guild = about.guild.map(|guild| self.guild_name(guild));
        let agent = about.agent.map(|agent| self.agent_name(agent));
        let _ = write!(
            words,
            "{} stored {stored} messages, and {} got {got}",
            guild.as_deref().unwrap_or("the guilds"),
            match agent {
                Some(agent) => format!("the host of {agent}"),
                None => "the hosts".to_owned(),
            }
        );
    }

    fn guild_name(&self, guild: usize) -> String {
        let name = self.setup.guilds.get(guild);
        name.map_or_else(|| "a guild".to_owned(), ToString::to_string)
    }

    fn agent_name(&self, agent: usize) -> String {
        let name = self.setup.agents.get(agent);
        name.map_or_else(|| "an agent".to_owned(), ToString::to_string)
    }
}

/// Numbers in order, as runs of them: `messages 1 to 4 and 6`.
fn spans(numbers: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let told: Vec<String> = runs
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        })
        .collect();
    match (numbers.len(), told.split_last()) {
        (_, None) => "nothing".to_owned(),
        (1, Some((only, _))) => format!("message {only}"),
        (_, Some((last, []))) => format!("messages {last}"),
        (_, Some((last, before))) => format!("messages {} and {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_runs() {
        let told = |numbers: &[u64]| spans(numbers);
        assert_eq!(told(&[]), "nothing");
        assert_eq!(told(&[3]), "message 3");
        assert_eq!(told(&[1, 2, 3]), "messages 1 to 3");
        assert_eq!(told(&[1, 2, 4]), "messages 1 to 2 and 4");
        assert_eq!(told(&[1, 3, 5, 6]), "messages 1, 3 and 5 to 6");
    }
}
