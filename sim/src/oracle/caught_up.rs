//! Caught up: what was missed in a channel during an outage is one turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use selvedge_core::{
    Time, canonical,
    fabric::types::Page,
    guild::fact::Fact,
    http::{Failure, Response},
    id::MessageId,
    plugin::{inbound::Inbound, io::Http},
    request::RequestId,
};

use super::{Place, Rule, Seen, View, ledger::Stored, requests::range_of, tell};

/// What is shorter is a reconnect.
const OUTAGE: Duration = Duration::from_secs(2 * 60);
/// How many messages such a turn has at most, and how many characters.
const MESSAGES: usize = 200;
const CHARS: usize = 50_000;

/// An agent says when a guild is lost and when it is back; that it was away for so long at least shows
/// the CONNECT that brought it back, which is none that is to replace a connection that stands. Only
/// where nothing goes wrong from then on must all be read at once. What it has read before it was away for
/// so long waits as it came, though the connection that it was read by was lost before the agent was back; and
/// a turn has no room for what was missed lately where as much waits that was missed before.
#[derive(Clone, Debug, Default)]
pub(super) struct CaughtUp {
    away: BTreeMap<(usize, usize), Time>,
    /// The last outages: since when, and up to when nothing was heard.
    outages: BTreeMap<(usize, usize), (Time, Time)>,
    /// When an agent became a member.
    entered: BTreeMap<Place, Time>,
    /// The questions for history of who has not been away for so long.
    asked: BTreeMap<(usize, RequestId<Http>), Place>,
    /// Up to which `seq` they were answered.
    read: BTreeMap<Place, u64>,
}
canonical!(unsaved struct CaughtUp { away, outages, entered, asked, read });

impl Rule for CaughtUp {
    fn name(&self) -> &'static str {
        "an outage is one turn"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Down { agent, guild } = seen {
            let away = self.away.entry((*agent, *guild));
            away.or_insert(view.now);
            self.outages.remove(&(*agent, *guild));
        } else if let Seen::Presented {
            agent,
            guild,
            others,
            ..
        } = seen
        {
            let way = (*agent, *guild);
            let mut others = others.iter();
            if others.any(|other| other.talk.connected && !other.talk.over) {
                // It hears the guild, whatever it has yet to list.
                self.away.remove(&way);
            } else if let Some(since) = self.away.get(&way).copied()
                && view.now.since(since) > OUTAGE
            {
                self.outages.insert(way, (since, view.now));
            }
        } else if let Seen::Live { agent, guild } = seen {
            self.away.remove(&(*agent, *guild));
        } else if let Seen::Killed { agent } = seen {
            self.away.retain(|(of, _), _| of != agent);
            self.outages.retain(|(of, _), _| of != agent);
            self.asked.retain(|(of, _), _| of != agent);
            self.read.retain(|(of, ..), _| of != agent);
        } else if let Seen::GuildRestored { guild } = seen {
            self.read.retain(|(_, of, _), _| of != guild);
        } else if let Seen::Requested {
            agent,
            guild,
            id,
            request,
            ..
        } = seen
        {
            let since = self.away.get(&(*agent, *guild));
            if since.is_some_and(|since| view.now.since(*since) <= OUTAGE)
                && let Some((channel, ..)) = range_of(request)
            {
                self.asked.insert((*agent, *id), (*agent, *guild, channel));
            }
        } else if let Seen::Answered { agent, id, answer } = seen {
            self.on_answered(*agent, *id, answer);
        } else if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Member(row) = fact
                    && let Some(agent) = view.setup.agents.iter().position(|user| *user == row.user)
                {
                    let place = (agent, *guild, row.channel.clone());
                    self.entered.insert(place, view.now);
                }
            }
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            return self.on_notified(view, (*agent, *guild), inbound);
        }
        Ok(())
    }
}

impl CaughtUp {
    fn on_answered(
        &mut self,
        agent: usize,
        id: RequestId<Http>,
        answer: &Result<Response, Failure>,
    ) {
        if let Some(place) = self.asked.remove(&(agent, id))
            && let Ok(response) = answer
            && let Ok(page) = serde_json::from_slice::<Page>(&response.body)
        {
            let last = page.messages.iter().map(|message| message.seq).max();
            let read = self.read.entry(place).or_default();
            *read = last.unwrap_or_default().max(*read);
        }
    }

    fn on_notified(
        &self,
        view: View<'_>,
        (agent, guild): (usize, usize),
        inbound: &Inbound,
    ) -> Result<(), String> {
        let id = &inbound.channel.id;
        let place = (agent, guild, id.clone());
        let entered = self.entered.get(&place).copied().unwrap_or_default();
        let (Some((since, until)), Some(user), Some(channel)) = (
            self.outages.get(&(agent, guild)).copied(),
            view.setup.agents.get(agent),
            view.ledger.channel(guild, id),
        ) else {
            return Ok(());
        };
        let exempt = inbound.redelivered
            || inbound.channel.x_type.takes_turns()
            || view.setup.skips()
            || entered >= since
            || !view.troubles.none_since(agent, guild, until);
        let told = |message: &MessageId| inbound.messages.iter().any(|told| told.id == *message);
        let read = self.read.get(&place).copied().unwrap_or_default();
        let missed = |known: &Stored| {
            known.at > since
                && known.seq > read
                && known.at < until
                && known.deleted.is_none()
                && known.woken.contains(user)
        };
        let stored = channel.messages.values();
        let missed: Vec<&MessageId> = stored
            .filter(|id| view.works.is_owed(agent, guild, id))
            .filter(|id| view.ledger.message(guild, id).is_some_and(missed))
            .filter(|id| told(id) || !view.works.is_handed(agent, guild, id))
            .collect();
        let all: BTreeSet<&MessageId> = inbound
            .messages
            .iter()
            .map(|told| &told.id)
            .chain(missed.iter().copied())
            .collect();
        let chars = all.iter().filter_map(|id| view.ledger.message(guild, id));
        let chars: usize = chars.map(|known| known.content.chars().count()).sum();
        if exempt || all.len() > MESSAGES || chars > CHARS || !missed.iter().any(|id| told(id)) {
            return Ok(());
        }
        match missed.iter().find(|id| !told(id)) {
            Some(id) => Err(format!(
                "{} was missed during an outage of {:?}, and is not in turn {} with the others",
                tell(view.ledger, guild, id),
                until.since(since),
                inbound.turn_id
            )),
            None if !inbound.recovered => Err(format!(
                "turn {} follows an outage of {:?}, and does not say so",
                inbound.turn_id,
                until.since(since)
            )),
            None => Ok(()),
        }
    }
}
