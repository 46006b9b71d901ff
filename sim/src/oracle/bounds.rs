//! Bounds: connections, dials, logins, what waits and what a turn carries stay under their caps.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use selvedge_core::{
    Time, canonical,
    id::TurnId,
    plugin::{
        kept::{Change, TurnState},
        login_gate::LoginGate,
    },
};

use super::{Rule, Seen, View, window::count};

/// Connections of one link: the second one replaces the first.
const CONNECTIONS: usize = 2;
/// What is counted within this span.
const SPAN: Duration = Duration::from_secs(60);
/// Dials of one link: 12 at once, and one more every 5 s.
const DIALS: usize = 12 + 12;
/// Logins of one agent: 6 at once, and one more every 10 s.
const LOGINS: usize = 6 + 6;
/// Messages of one turn, after an outage.
const TURN_MESSAGES: usize = 200;
/// Messages of one turn, where they are gathered.
const COALESCED: usize = 20;
/// Bytes of the context of one turn, and the last message that goes over it.
const CONTEXT_BYTES: usize = 32 * 1024;

/// Counts per process: a new one has its buckets full. A turn that an earlier one has begun waits
/// besides what may wait: there is always room for it, since it had some once.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    dials: BTreeMap<(usize, usize), VecDeque<Time>>,
    logins: BTreeMap<usize, VecDeque<Time>>,
    /// How many messages each turn has that a disk knows to be open.
    open: BTreeMap<(usize, TurnId), usize>,
    /// Those that an earlier process has begun and this one has not handed over.
    again: BTreeMap<(usize, TurnId), usize>,
}
// Nobody asks in a search how much waits.
canonical!(unsaved struct Bounds { ; - dials, logins, open, again });

impl Rule for Bounds {
    fn name(&self) -> &'static str {
        "within its bounds"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        let config = &view.setup.config;
        let within = |what: &str, is: usize, most: usize| match is > most {
            true => Err(format!("{is} {what}, {most} are allowed")),
            false => Ok(()),
        };
        if let Seen::Killed { agent } = seen {
            self.logins.remove(agent);
            self.dials.retain(|(of, _), _| of != agent);
            self.again.retain(|(of, _), _| of != agent);
            let open = self.open.iter().filter(|((of, _), _)| of == agent);
            self.again
                .extend(open.map(|(turn, length)| (turn.clone(), *length)));
            Ok(())
        } else if let Seen::Kept { agent, changes } = seen {
            for change in *changes {
                self.on_kept(*agent, change);
            }
            Ok(())
        } else if let Seen::Dialed { agent, guild, open } = seen {
            within("connections of one link", *open, CONNECTIONS)?;
            let dials = self.dials.entry((*agent, *guild)).or_default();
            within(
                "dials of one link in a minute",
                count(dials, view.now, SPAN),
                DIALS,
            )
        } else if let Seen::LoggingIn {
            agent,
            at_once,
            under_way,
        } = seen
        {
            within("logins of one agent at once", *at_once, 1)?;
            let logins = self.logins.entry(*agent).or_default();
            within(
                "logins of one agent in a minute",
                count(logins, view.now, SPAN),
                LOGINS,
            )?;
            within("logins under way", *under_way, LoginGate::IN_FLIGHT)
        } else if let Seen::Notified { agent, inbound, .. } = seen {
            self.again.remove(&(*agent, inbound.turn_id.clone()));
            // A turn that is offered again may be one after an outage.
            let most = match (inbound.recovered || inbound.redelivered, config.coalesce) {
                (true, _) => TURN_MESSAGES,
                (false, Some(_)) => COALESCED,
                (false, None) => 1,
            };
            within("messages in one turn", inbound.messages.len(), most)?;
            within(
                "messages of context",
                inbound.context.len(),
                config.context_max,
            )?;
            let bytes = inbound.context.iter().map(|told| told.content.len()).sum();
            within("bytes of context", bytes, CONTEXT_BYTES)
        } else if let Seen::Asked { agent, waiting } = seen {
            let waiting = usize::try_from(*waiting).unwrap_or(usize::MAX);
            let again = self.again.iter().filter(|((of, _), _)| of == agent);
            let again: usize = again.map(|(_, length)| length).sum();
            // In each channel one may wait in any case.
            let channels = view.ledger.all_channels().count();
            let most = config.waiting_agent_max + channels + again;
            within("messages waiting", waiting, most)
        } else {
            Ok(())
        }
    }
}

impl Bounds {
    fn on_kept(&mut self, agent: usize, change: &Change) {
        match change {
            Change::Turn(turn, record) if record.state == TurnState::Open => {
                let length = record.messages.len();
                self.open.insert((agent, turn.clone()), length);
            }
            Change::Turn(turn, _) | Change::NoTurn(turn) => {
                self.open.remove(&(agent, turn.clone()));
                self.again.remove(&(agent, turn.clone()));
            }
            Change::Channel(..) | Change::Agent(_) | Change::Guild(_) | Change::NoChannel(..) => {}
        }
    }
}
