//! Reading: no more is read of what was missed than the plugin may read.

use std::collections::BTreeMap;

use selvedge_core::canonical;

use super::{Place, Rule, Seen, View, requests::range_of};

/// What an earlier process has heard is read once more, as far as there are turns to offer again.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// The newest message of each channel when the last process ended.
    before: BTreeMap<Place, u64>,
}
canonical!(unsaved struct Reading { before });

impl Rule for Reading {
    fn name(&self) -> &'static str {
        "reads no more than it may"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            for (guild, id, channel) in view.ledger.all_channels() {
                let place = (*agent, guild, id.clone());
                self.before.insert(place, channel.last_seq);
            }
        } else if let Seen::Requested {
            agent,
            guild,
            request,
            ..
        } = seen
            && let Some((channel, after, before)) = range_of(request)
        {
            let most = u64::from(view.setup.config.backfill_max);
            let messages = before.saturating_sub(after.saturating_add(1));
            let place = (*agent, *guild, channel);
            let known = self.before.get(&place).copied().unwrap_or_default();
            if messages > most && before > known.saturating_add(1) {
                return Err(format!(
                    "agent {agent} reads {messages} messages of {}, {most} are allowed",
                    place.2
                ));
            }
        }
        Ok(())
    }
}
