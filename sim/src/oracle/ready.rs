//! Ready: no host is handed anything before it is ready for it.

use std::collections::BTreeMap;

use selvedge_core::{Time, canonical, plugin::config::Profile};

use super::{Rule, Seen, View};

/// A host of the profile `claude` loses what comes before it has asked for the list of tools, and in the
/// first moments after that.
#[derive(Clone, Debug, Default)]
pub(super) struct Ready {
    initialised: BTreeMap<usize, Time>,
    listed: BTreeMap<usize, Time>,
}
canonical!(unsaved struct Ready { initialised, listed });

impl Rule for Ready {
    fn name(&self) -> &'static str {
        "not before the host is ready"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::HostReady { agent } = seen {
            self.initialised.insert(*agent, view.now);
            Ok(())
        } else if let Seen::ToolsListed { agent } = seen {
            self.listed.insert(*agent, view.now);
            Ok(())
        } else if let Seen::Killed { agent } = seen {
            self.initialised.remove(agent);
            self.listed.remove(agent);
            Ok(())
        } else if let Seen::Notified { agent, inbound, .. } = seen {
            let config = &view.setup.config;
            let from = match config.profile {
                Profile::Plexum => self.initialised.get(agent).copied(),
                Profile::Claude => self.listed.get(agent).map(|at| *at + config.settle),
            };
            match from.is_some_and(|from| from <= view.now) {
                true => Ok(()),
                false => Err(format!("turn {} was handed over", inbound.turn_id)),
            }
        } else {
            Ok(())
        }
    }
}
