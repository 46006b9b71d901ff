//! As told: an agent is in a channel or not as it was told last.

use std::collections::BTreeMap;

use selvedge_core::canonical;

use super::{Place, Rule, Seen, View, requests::lists_channels};

/// A push is newer than a listing that was asked for before it.
#[derive(Clone, Debug, Default)]
pub(super) struct AsTold {
    /// What was pushed since the last listing was asked for.
    told: BTreeMap<Place, bool>,
}
canonical!(unsaved struct AsTold { told });

impl Rule for AsTold {
    fn name(&self) -> &'static str {
        "a member as it was told last"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Told { place, member } = seen {
            self.told.insert(place.clone(), *member);
        } else if let Seen::Member { place, member } = seen {
            let told = self.told.get(place).filter(|told| *told != member);
            if let (Some(told), Some(user)) = (told, view.setup.agents.get(place.0)) {
                let words = |is: bool| if is { "a member" } else { "no member" };
                return Err(format!(
                    "{user} takes itself for {} of {}, and was told since the last listing was asked for \
                     that it is {}",
                    words(*member),
                    place.2,
                    words(*told)
                ));
            }
        } else if let Seen::Requested {
            agent,
            guild,
            request,
            ..
        } = seen
        {
            if lists_channels(request) {
                let way = (*agent, *guild);
                self.told.retain(|(of, there, _), _| (*of, *there) != way);
            }
        } else if let Seen::Killed { agent } = seen {
            self.told.retain(|(of, ..), _| of != agent);
        }
        Ok(())
    }
}
