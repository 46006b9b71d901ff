//! The judge of a storm. It knows what the guild stores, what people were told of their posts, and what
//! the host has seen; of the plugin it knows nothing but what that promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use selvedge_core::Time;
use serde::Deserialize;

use super::ledger::{Deed, Entry, Handed};

/// So long after the plugin has heard that a turn is done, it must have kept that: such a turn is not
/// offered again. Far beyond the second that it gathers such things for, since a disk may be busy.
const END_KEPT: Duration = Duration::from_secs(20);

/// A message as the guild has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// The message.
    pub id: String,
    /// Its position in the channel.
    pub seq: u64,
    /// Who said it.
    pub author: Author,
    /// What it says.
    pub content: String,
    /// What it answers.
    pub reply_to_id: Option<String>,
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Author {
    /// The user.
    pub id: String,
}

/// A channel, and what was said there in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Whether the agent is woken by what people say there.
    pub wakes: bool,
    /// Whether users take turns: then a turn that was answered is nobody's any more.
    pub takes_turns: bool,
    /// Everything that the guild has, in order.
    pub said: Vec<Said>,
}

/// A post that the guild has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Where.
    pub channel: String,
    /// What, which nobody else has said there.
    pub content: String,
    /// When that was known.
    pub at: Time,
}

/// Everything that is known when a storm is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The user id of the agent.
    pub agent: String,
    /// The channels.
    pub channels: Vec<Channel>,
    /// What people have posted.
    pub posted: Vec<Posted>,
    /// What the host has seen.
    pub entries: Vec<Entry>,
}

/// What the judge says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Verdict {
    /// How many messages people have posted.
    pub messages: usize,
    /// How many of them should wake the agent.
    pub waking: usize,
    /// How many messages were handed over, all times together.
    pub deliveries: usize,
    /// How many turns were handed over again.
    pub redeliveries: usize,
    /// How many turns were said to be what was missed during an outage.
    pub recovered: usize,
    /// How many replies the agent was told to be there already.
    pub already: usize,
    /// How often `send` has said that it did not work.
    pub refused: usize,
    /// The longest time from the acknowledgement of a post to its first handing over.
    pub slowest: Duration,
    /// How many messages that should wake the agent never came.
    pub lost: usize,
    /// How many messages came again, or were answered again, without a right to.
    pub duplicates: usize,
    /// What is wrong, in words.
    pub violations: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages, {} of them waking; {} deliveries in all, {} turns redelivered, {} recovered; \
             {} replies were there already, {} sends did not work; slowest delivery {:?}; duplicates \
             {}, lost {}",
            self.messages,
            self.waking,
            self.deliveries,
            self.redeliveries,
            self.recovered,
            self.already,
            self.refused,
            self.slowest,
            self.duplicates,
            self.lost,
        )
    }
}

/// Judges.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let known: BTreeSet<&str> = evidence.channels.iter().map(|it| it.id.as_str()).collect();
    for entry in &evidence.entries {
        match &entry.deed {
            Deed::Handed(handed) if !known.contains(handed.channel.id.as_str()) => {
                verdict.violates(format!("a turn in a channel of nobody: {handed:?}"));
            }
            Deed::Answered { already, .. } => verdict.already += usize::from(*already),
            Deed::Refused { .. } => verdict.refused += 1,
            Deed::Handed(_) | Deed::Ending(_) | Deed::Ended(_) | Deed::Killed => {}
        }
    }
    for channel in &evidence.channels {
        verdict.posts_are_kept(evidence, channel);
        verdict.turns_are_right(evidence, channel);
        verdict.each_is_answered_once(evidence, channel);
    }
    verdict.turns_end(evidence);
    verdict
}

/// What is known of the newest turn of a channel.
struct Newest<'a> {
    handed: &'a Handed,
    life: usize,
}

impl Verdict {
    fn violates(&mut self, what: String) {
        self.violations.push(what);
    }

    /// What the guild has acknowledged it has, once, and its numbers have no holes.
    fn posts_are_kept(&mut self, evidence: &Evidence, channel: &Channel) {
        let id = &channel.id;
        for (said, seq) in channel.said.iter().zip(1..) {
            if said.seq != seq {
                self.violates(format!("{id}: the guild has {} in place {seq}", said.seq));
            }
        }
        for posted in evidence.posted.iter().filter(|it| it.channel == *id) {
            self.messages += 1;
            let same = |said: &&Said| said.content == posted.content;
            let times = channel.said.iter().filter(same).count();
            if times != 1 {
                let content = &posted.content;
                self.violates(format!("{id}: the guild has {content:?} {times} times"));
            }
        }
    }

    /// The turns of a channel over all lives: each message in its order, once, and again only after a
    /// kill, marked, before anything new.
    fn turns_are_right(&mut self, evidence: &Evidence, channel: &Channel) {
        let id = &channel.id;
        let mut came = BTreeMap::new();
        let mut newest: Option<Newest<'_>> = None;
        for entry in &evidence.entries {
            let Deed::Handed(handed) = &entry.deed else {
                continue;
            };
            if handed.channel.id != *id {
                continue;
            }
            self.deliveries += handed.messages.len();
            self.redeliveries += usize::from(handed.redelivered);
            self.recovered += usize::from(handed.recovered);
            if handed.skipped > 0 {
                self.violates(format!("{id}: {} left out: {handed:?}", handed.skipped));
            }
            if handed.messages.is_empty() {
                self.violates(format!("{id}: a turn without messages: {handed:?}"));
            }
            let again = newest.as_ref().filter(|it| it.handed.turn == handed.turn);
            if handed.redelivered {
                let first_of_life = newest.as_ref().is_none_or(|it| it.life < entry.life);
                if entry.life == 0 || !first_of_life {
                    self.duplicates += 1;
                    self.violates(format!("{id}: offered again without a crash: {handed:?}"));
                }
                if let Some(again) = again {
                    self.same_again(evidence, again, handed, entry);
                }
            } else if handed.attempt != 1 {
                self.violates(format!("{id}: not marked as redelivered: {handed:?}"));
            }
            for told in &handed.messages {
                let last = came.last_key_value().map_or(0, |(seq, _)| *seq);
                if came.contains_key(&told.seq) {
                    if again.is_none() || !handed.redelivered {
                        self.duplicates += 1;
                        self.violates(format!("{id}: {} came again: {handed:?}", told.seq));
                    }
                } else if told.seq < last {
                    self.violates(format!("{id}: {} came after {last}: {handed:?}", told.seq));
                }
                came.entry(told.seq).or_insert((entry.at, told));
            }
            newest = Some(Newest {
                handed,
                life: entry.life,
            });
        }
        for said in &channel.said {
            let told = came.remove(&said.seq);
            if said.author.id == evidence.agent || !channel.wakes {
                if let Some((_, told)) = told {
                    self.violates(format!("{id}: nobody should be woken by {told:?}"));
                }
                continue;
            }
            self.waking += 1;
            match told {
                None => {
                    self.lost += 1;
                    self.violates(format!("{id}: never came: {said:?}"));
                }
                Some((_, told)) if told.id != said.id || told.content != said.content => {
                    self.violates(format!("{id}: {said:?} came as {told:?}"));
                }
                Some((at, _)) => {
                    let of = |it: &&Posted| it.channel == *id && it.content == said.content;
                    if let Some(posted) = evidence.posted.iter().find(of) {
                        self.slowest = self.slowest.max(at.since(posted.at));
                    }
                }
            }
        }
        for (_, told) in came.values() {
            self.violates(format!("{id}: the guild has no {told:?}"));
        }
    }

    /// A turn that is known was offered again: with the same messages, one attempt later, and only if
    /// its end may have been forgotten.
    fn same_again(
        &mut self,
        evidence: &Evidence,
        before: &Newest<'_>,
        handed: &Handed,
        entry: &Entry,
    ) {
        let turn = &handed.turn;
        if before.handed.messages != handed.messages || handed.attempt <= before.handed.attempt {
            let before = before.handed;
            self.violates(format!("{turn} came as {before:?}, then as {handed:?}"));
        }
        let ended = evidence
            .entries
            .iter()
            .find(|it| it.deed == Deed::Ended(turn.clone()));
        let killed = evidence
            .entries
            .iter()
            .rfind(|it| it.life < entry.life && it.deed == Deed::Killed);
        if let (Some(ended), Some(killed)) = (ended, killed)
            && ended.at <= killed.at
            && killed.at.since(ended.at) > END_KEPT
        {
            self.duplicates += 1;
            self.violates(format!("{turn} was over for long, and came again"));
        }
    }

    /// Each message that should wake the agent has one answer, and nothing else has one.
    fn each_is_answered_once(&mut self, evidence: &Evidence, channel: &Channel) {
        let id = &channel.id;
        let (own, asked): (Vec<&Said>, Vec<&Said>) = channel
            .said
            .iter()
            .partition(|said| said.author.id == evidence.agent);
        for said in asked.iter().filter(|_| channel.wakes) {
            let of = |reply: &&&Said| reply.reply_to_id.as_ref() == Some(&said.id);
            let replies: Vec<&&Said> = own.iter().filter(of).collect();
            if replies.len() > 1 {
                self.duplicates += replies.len() - 1;
            }
            if replies.len() != 1 {
                self.violates(format!("{id}: {said:?} has the answers {replies:?}"));
            }
        }
        for reply in own {
            let to = asked
                .iter()
                .find(|it| Some(&it.id) == reply.reply_to_id.as_ref());
            let right = to.filter(|_| channel.wakes).map(|to| answer(&to.content));
            if right.as_ref() != Some(&reply.content) {
                self.violates(format!("{id}: nobody was to say {reply:?}"));
            }
        }
    }

    /// No turn is left behind: what was open at a kill is offered again, and what was offered last is
    /// over in the end.
    fn turns_end(&mut self, evidence: &Evidence) {
        let mut open: BTreeMap<&str, &Handed> = BTreeMap::new();
        for entry in &evidence.entries {
            match &entry.deed {
                Deed::Handed(handed) => {
                    open.insert(&handed.turn, handed);
                }
                // Whether the plugin has heard of it before it was killed, nobody knows.
                Deed::Ending(turn) => {
                    open.remove(turn.as_str());
                }
                Deed::Answered { .. } | Deed::Refused { .. } | Deed::Ended(_) | Deed::Killed => {}
            }
        }
        for handed in open.values() {
            let of = |it: &&Channel| it.id == handed.channel.id;
            let channel = evidence.channels.iter().find(of);
            // The turn engine gives no turn twice for what has been answered.
            let answered = handed.messages.iter().all(|told| {
                let said = channel.into_iter().flat_map(|channel| &channel.said);
                let mut own = said.filter(|said| said.author.id == evidence.agent);
                own.any(|said| said.reply_to_id.as_ref() == Some(&told.id))
            });
            if !channel.is_some_and(|channel| channel.takes_turns && answered) {
                self.violates(format!("begun, and never ended: {handed:?}"));
            }
        }
    }
}

/// What the agent says to a message.
pub fn answer(content: &str) -> String {
    format!("echo: {content}")
}
