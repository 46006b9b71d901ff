//! In time: where nothing stands in its way, a message that wakes an agent is soon with its host.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{Time, canonical, fabric::types::Message, guild::fact::Fact, id::MessageId};

use super::{Place, Rule, Seen, View, tell};

/// How long a message may take besides the ways that it goes: history is asked three times for what
/// is missing before it, a second apart.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often something goes one way for it.
const WAYS: u32 = 8;
/// How often is looked whether anything is late.
const EVERY: Duration = Duration::from_millis(250);

/// Nothing stands in the way while nothing is wrong between agent and guild, or can be felt of what
/// was, and while no turn runs in the channel. What must wait for what was said before it is not looked
/// at before that.
///
/// Where users take turns, the guild says later whether a wake still stands: what hangs there is
/// another rule's. Where limits are so small that messages are left out, nothing is late.
#[derive(Clone, Debug, Default)]
pub(super) struct InTime {
    waiting: BTreeMap<Place, BTreeMap<u64, Waiting>>,
    looked: Time,
}
canonical!(unsaved struct InTime { waiting; - looked });

#[derive(Clone, Debug)]
struct Waiting {
    message: MessageId,
    posted: Time,
    /// Since when its channel has been free, when that was last looked at.
    free: Option<Time>,
}
canonical!(unsaved struct Waiting { message, posted, free });

impl Rule for InTime {
    fn name(&self) -> &'static str {
        "in time"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if view.setup.skips() {
            return Ok(());
        }
        if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Posted { message, .. } = fact {
                    self.on_posted(view, *guild, message);
                }
            }
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            let place = (*agent, *guild, inbound.channel.id.clone());
            let first = self.first(&place);
            if let Some(first) = first
                && inbound.messages.iter().any(|told| told.id == first.message)
            {
                late(view, &place, first)?;
            }
            if let Some(waiting) = self.waiting.get_mut(&place) {
                waiting.retain(|_, it| !view.works.is_handed(*agent, *guild, &it.message));
            }
        }
        match view.now.since(self.looked) >= EVERY {
            true => self.look(view),
            false => Ok(()),
        }
    }
}

impl InTime {
    fn on_posted(&mut self, view: View<'_>, guild: usize, message: &Message) {
        let Some(known) = view.ledger.message(guild, &message.id) else {
            return;
        };
        let channel = view.ledger.channel(guild, &message.channel_id);
        if channel.is_none_or(|channel| channel.x_type.takes_turns()) {
            return;
        }
        for (agent, user) in view.setup.agents.iter().enumerate() {
            if known.woken.contains(user) {
                let place = (agent, guild, message.channel_id.clone());
                let waiting = Waiting {
                    message: message.id.clone(),
                    posted: view.now,
                    free: None,
                };
                let there = self.waiting.entry(place).or_default();
                there.insert(message.seq, waiting);
            }
        }
    }

    /// What is to be handed over next.
    fn first(&self, place: &Place) -> Option<&Waiting> {
        let waiting = self.waiting.get(place)?;
        waiting.first_key_value().map(|(_, first)| first)
    }

    fn look(&mut self, view: View<'_>) -> Result<(), String> {
        self.looked = view.now;
        for (place, waiting) in &mut self.waiting {
            while let Some(mut first) = waiting.first_entry() {
                if !is_owed(view, place, first.get()) {
                    first.remove();
                    continue;
                }
                let work = view.works.of(place);
                let free = work.map_or(Time::ZERO, |work| work.busy_until());
                let first = first.get_mut();
                first.free = (free <= view.now).then_some(free);
                late(view, place, first)?;
                break;
            }
        }
        Ok(())
    }
}

/// Whether a message is to be handed over at all.
fn is_owed(view: View<'_>, place: &Place, waiting: &Waiting) -> bool {
    let (agent, guild, channel) = place;
    let user = view.setup.agents.get(*agent);
    let (Some(channel), Some(user)) = (view.ledger.channel(*guild, channel), user) else {
        return false;
    };
    if view.leaves_out(channel) || view.forgets_wakes(*guild, channel) {
        return false;
    }
    let stay = channel.stay(user);
    let known = view.ledger.message(*guild, &waiting.message);
    let is_there = known.is_some_and(|known| {
        known.deleted.is_none()
            && known.at == waiting.posted
            && stay.is_some_and(|stay| stay.has(known.seq))
    });
    let guarded = view.works.of(place).is_some_and(|work| work.guarded);
    let is_owed = view.works.is_owed(*agent, *guild, &waiting.message);
    let stands = view.ledger.stands(*guild, &waiting.message);
    is_there
        && stands
        && is_owed
        && !guarded
        && !view.works.is_handed(*agent, *guild, &waiting.message)
}

/// Whether it is too late for what is to be handed over next in a channel.
fn late(view: View<'_>, place: &Place, first: &Waiting) -> Result<(), String> {
    let (agent, guild, _) = place;
    let calm = view.troubles.calm_from(*agent, *guild);
    let (Some(calm), Some(free)) = (calm, first.free) else {
        return Ok(());
    };
    let config = &view.setup.config;
    let patience = config.gap_patience + config.coalesce.unwrap_or_default();
    let patience = PATIENCE + patience + view.setup.latency * WAYS;
    let from = first.posted.max(calm).max(free);
    if from + patience >= view.now {
        return Ok(());
    }
    let user = view.setup.agents.get(*agent);
    Err(format!(
        "{} had nothing in its way to {} for {:?}, and was not with its host",
        tell(view.ledger, *guild, &first.message),
        user.map(ToString::to_string).unwrap_or_default(),
        view.now.since(from),
    ))
}
