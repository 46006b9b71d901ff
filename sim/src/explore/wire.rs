//! The simplest connection: two queues of frames, whose heads arrive when they are chosen to.

use std::collections::VecDeque;

use selvedge_core::{
    canonical,
    ws::{Action, Closed, ConnId, Event},
};

/// A connection. An end that has left it is named no more, and nothing reaches it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// The agent's name of it.
    pub(super) agent: Option<ConnId>,
    /// The guild's.
    pub(super) guild: Option<ConnId>,
    pub(super) to_agent: VecDeque<Event>,
    pub(super) to_guild: VecDeque<Event>,
}
canonical!(unsaved struct Wire { agent, guild, to_agent, to_guild });

/// One of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Agent,
    Guild,
}

impl Wire {
    pub(super) fn new(agent: ConnId, guild: ConnId) -> Self {
        Self {
            agent: Some(agent),
            guild: Some(guild),
            to_agent: VecDeque::new(),
            to_guild: VecDeque::new(),
        }
    }

    /// One end does something.
    pub(super) fn act(&mut self, from: End, action: Action) {
        let event = match action {
            Action::Send(frame) => Event::Frame(frame),
            Action::Close => {
                let (code, reason) = (1000, "".into());
                return self.leave(from, Closed::Peer { code, reason });
            }
        };
        self.send(from, event);
    }

    fn send(&mut self, from: End, event: Event) {
        let (peer, queue) = match from {
            End::Agent => (self.guild, &mut self.to_guild),
            End::Guild => (self.agent, &mut self.to_agent),
        };
        if peer.is_some() {
            queue.push_back(event);
        }
    }

    /// One end is gone: what it has sent still arrives, and then how it ended.
    pub(super) fn leave(&mut self, end: End, how: Closed) {
        self.send(end, Event::Closed(how));
        self.forget(end);
    }

    /// Takes the next event to one end out.
    pub(super) fn arrive(&mut self, end: End) -> Option<(ConnId, Event)> {
        let (name, queue) = match end {
            End::Agent => (self.agent, &mut self.to_agent),
            End::Guild => (self.guild, &mut self.to_guild),
        };
        let (name, event) = (name?, queue.pop_front()?);
        if matches!(event, Event::Closed(_)) {
            self.forget(end);
        }
        Some((name, event))
    }

    fn forget(&mut self, end: End) {
        match end {
            End::Agent => {
                self.agent = None;
                self.to_agent.clear();
            }
            End::Guild => {
                self.guild = None;
                self.to_guild.clear();
            }
        }
    }

    /// All that is under way is lost, and each end hears that it is broken.
    pub(super) fn reset(&mut self) {
        let ends = [
            (self.agent, &mut self.to_agent),
            (self.guild, &mut self.to_guild),
        ];
        for (name, queue) in ends {
            if name.is_some() {
                *queue = [broken("connection reset")].into();
            }
        }
    }

    /// Whether no end is left.
    pub(super) fn is_over(&self) -> bool {
        self.agent.is_none() && self.guild.is_none()
    }
}

/// How a connection ends that is not closed.
pub(super) fn broken(why: &'static str) -> Event {
    Event::Closed(Closed::Broken(why.into()))
}
