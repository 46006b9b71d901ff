//! Storms: an agent does not overrun its guilds with requests, after an outage least of all.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use selvedge_core::{Time, canonical, http::Method};

use super::{Rule, Seen, View, window::count};

/// What is counted within this span.
const SPAN: Duration = Duration::from_secs(10);
/// Requests of one agent to one guild, whatever it has to do.
const ALWAYS: usize = 40;
/// Requests for each of its channels.
const EACH: usize = 16;

/// How the route of the question ends whether a wake still stands.
const ACK: &str = "/ack";
/// How the route of a post ends.
const MESSAGES: &str = "/messages";

/// An agent that has much to do may ask much: the cap grows with its channels, and neither the first
/// question whether a wake still stands is counted nor the first try of a post.
#[derive(Clone, Debug, Default)]
pub(super) struct Storms {
    requests: BTreeMap<(usize, usize), VecDeque<Time>>,
    sent: BTreeSet<(usize, usize, Bytes)>,
}
canonical!(unsaved struct Storms { ; - requests, sent });

impl Rule for Storms {
    fn name(&self) -> &'static str {
        "no storm of requests"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::DiskRestored { agent, .. } = seen {
            // It does not know what it has asked.
            self.sent.retain(|(of, ..)| of != agent);
        }
        let Seen::Requested {
            agent,
            guild,
            request,
            ..
        } = seen
        else {
            return Ok(());
        };
        let first = request.method == Method::Post
            && [ACK, MESSAGES]
                .iter()
                .any(|end| request.target.ends_with(end))
            && self.sent.insert((*agent, *guild, request.body.clone()));
        if first {
            return Ok(());
        }
        let moments = self.requests.entry((*agent, *guild)).or_default();
        let sent = count(moments, view.now, SPAN);
        let most = ALWAYS + EACH * view.ledger.channels(*guild).count();
        match sent > most {
            true => Err(format!(
                "agent {agent} sent guild {guild} {sent} requests within {SPAN:?}, {most} are allowed"
            )),
            false => Ok(()),
        }
    }
}
