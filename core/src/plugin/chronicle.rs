//! What a link has gone through: how far its connection has come, and how connections ended.

use alloc::string::String;

use crate::{
    fabric::session::Realtime,
    link,
    plugin::status::{Ends, LinkState, LinkStatus, Trouble, ago, millis},
    snapshot,
    time::Time,
};

/// The past of one link, for whoever asks how it does. It decides nothing.
///
/// It is shown what happens to the link and what the link says, and believes nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Chronicle {
    state: LinkState,
    since: Option<Time>,
    dial_at: Option<Time>,
    frame: Option<Time>,
    event: Option<Time>,
    post: Option<Time>,
    lives: u64,
    rotations: u64,
    deaf: u64,
    held_back: u64,
    /// How far that has come which is to replace the connection.
    next: Option<LinkState>,
    ends: Ends,
    last: Option<(Time, String)>,
}

snapshot!(struct Chronicle {
    state, since, dial_at, frame, event, post, lives, rotations, deaf, held_back, next, ends, last
});

impl Chronicle {
    /// Something is about to happen to the link.
    pub fn on_input(&mut self, now: Time, input: Option<&link::Input<Realtime>>) {
        if let Some(link::Input::Transport(..)) = input {
            self.frame = Some(now);
        }
        if let Some(link::Input::Live(_)) = input
            && self.state != LinkState::Live
        {
            self.enter(now, LinkState::Live);
            self.lives = self.lives.saturating_add(1);
        }
    }

    /// The link says something.
    pub fn on_output(&mut self, now: Time, output: &link::Output<Realtime>) {
        match output {
            link::Output::Authorize { .. } => self.come_to(now, LinkState::Login),
            link::Output::Dial(_) => self.come_to(now, LinkState::Dialing),
            link::Output::Transport(..) if self.state == LinkState::Dialing => {
                self.enter(now, LinkState::Handshaking);
            }
            link::Output::Up(_) => self.come_to(now, LinkState::Joining),
            link::Output::Event(..) => self.event = Some(now),
            link::Output::Replaced { .. } => {
                self.next = None;
                self.rotations = self.rotations.saturating_add(1);
            }
            link::Output::NotReplaced { end, .. } => {
                self.next = None;
                self.last = Some((now, end.why.clone()));
            }
            link::Output::Down { end, retry_in, .. } => {
                self.ends.count(self.state, end.unauthorized);
                self.last = Some((now, end.why.clone()));
                match retry_in {
                    Some(wait) => {
                        self.enter(now, LinkState::Waiting);
                        self.dial_at = Some(now + *wait);
                    }
                    // The one that was to replace it takes its place.
                    None => {
                        let next = self.next.take().unwrap_or(LinkState::Login);
                        self.enter(now, next);
                    }
                }
            }
            link::Output::Transport(..) | link::Output::Forget(_) | link::Output::HangUp(_) => {}
        }
    }

    /// A connection has come so far: the only one, or that which is to replace it.
    fn come_to(&mut self, now: Time, state: LinkState) {
        if self.is_up() {
            self.next = Some(state);
        } else {
            self.enter(now, state);
        }
    }

    /// What the guild has stored did not come by the connection.
    pub fn on_deaf(&mut self) {
        self.deaf = self.deaf.saturating_add(1);
    }

    /// The allow list or the loop guard held a message back.
    pub fn on_held_back(&mut self) {
        self.held_back = self.held_back.saturating_add(1);
    }

    /// A post of the agent stands in a channel.
    pub fn on_posted(&mut self, now: Time) {
        self.post = Some(now);
    }

    /// How the link does.
    pub fn status(&self, now: Time) -> LinkStatus {
        LinkStatus {
            state: self.state,
            for_ms: ago(now, self.since).unwrap_or(0),
            dial_in_ms: self
                .dial_at
                .filter(|_| self.state == LinkState::Waiting)
                .map(|at| millis(at.since(now))),
            frame_ms_ago: ago(now, self.frame),
            event_ms_ago: ago(now, self.event),
            post_ms_ago: ago(now, self.post),
            lives: self.lives,
            rotations: self.rotations,
            deaf: self.deaf,
            held_back: self.held_back,
            ends: self.ends,
            trouble: self.last.as_ref().map(|(at, why)| Trouble {
                why: why.clone(),
                ms_ago: ago(now, Some(*at)).unwrap_or(0),
            }),
        }
    }

    /// Whether there is a connection whose session takes commands.
    fn is_up(&self) -> bool {
        matches!(self.state, LinkState::Joining | LinkState::Live)
    }

    fn enter(&mut self, now: Time, state: LinkState) {
        self.state = state;
        self.since = Some(now);
    }
}
