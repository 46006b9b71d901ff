//! What a host does before it can be given its first inbound, told to every agent, however late the
//! agent starts.

use selvedge_core::plugin::io::HostEvent;
use tokio::sync::watch;

/// How far the host has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    /// Once it is initialised: whether it says when a turn is done.
    pub(super) initialised: Option<bool>,
    /// It has asked for the list of tools.
    pub(super) listed: bool,
}

/// The host's first steps, one after the other.
#[derive(Debug)]
pub struct Beginnings {
    begun: watch::Receiver<Begun>,
    told: Begun,
}

impl Beginnings {
    pub(super) fn new(begun: watch::Receiver<Begun>) -> Self {
        Self {
            begun,
            told: Begun::default(),
        }
    }

    /// The next step. `None` where there is no further one, or never will be.
    pub async fn next(&mut self) -> Option<HostEvent> {
        let Self { begun, told } = self;
        let all = told.initialised.is_some() && told.listed;
        let begun = match all {
            true => return None,
            false => *begun.wait_for(|begun| *begun != *told).await.ok()?,
        };
        if told.initialised.is_none()
            && let Some(turns) = begun.initialised
        {
            told.initialised = Some(turns);
            return Some(HostEvent::Ready { turns });
        }
        *told = begun;
        Some(HostEvent::ToolsListed)
    }
}
