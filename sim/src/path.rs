//! What goes wrong between one agent and one guild, for as long as it does.

use std::{collections::VecDeque, time::Duration};

use selvedge_core::{Time, ws::Event};

use crate::fault::RestFault;

/// The way from one agent to one guild.
#[derive(Debug, Default)]
pub struct Path {
    /// While set, dials are refused.
    pub refuses_dials: bool,
    /// How much longer dials take.
    pub dial_delay: Duration,
    /// How many of the next dials are never answered.
    pub hangs_dials: u32,
    /// How many of the next connections are reset, and how long after their dial.
    pub doomed: (u32, Duration),
    /// How much longer everything takes on a connection.
    pub frame_delay: Duration,
    /// How much later the guild's heartbeats come.
    pub ping_delay: Duration,
    /// How many of the next pushes of new messages are swallowed.
    pub loses_pushes: u32,
    /// How many of the next pushes of new messages arrive twice.
    pub repeats_pushes: u32,
    /// The last push of a new message.
    pub last_push: Option<Event>,
    /// How many of the next answers to what the agent asks for on a connection are swallowed.
    pub loses_acks: u32,
    /// How much longer the guild takes to answer requests.
    pub rest_delay: Duration,
    /// Until when the guild takes no post.
    pub limits_posts: Time,
    /// How many of the next sessions lack the guild.
    pub lacks: u32,
    rest: VecDeque<(u32, RestFault)>,
}

impl Path {
    /// The next so many requests go wrong, after those of which that was said before.
    pub fn fail_rest(&mut self, requests: u32, how: RestFault) {
        self.rest.push_back((requests, how));
    }

    /// How the request that is made now goes wrong, if it does.
    pub fn rest_fault(&mut self) -> Option<RestFault> {
        while let Some((left, how)) = self.rest.front_mut() {
            if take(left) {
                return Some(*how);
            }
            self.rest.pop_front();
        }
        None
    }

    /// How long a post that is made now is asked to wait, in whole seconds; `None` where it is taken.
    pub fn limit(&self, now: Time) -> Option<Duration> {
        let left = self.limits_posts.since(now);
        (!left.is_zero()).then(|| Duration::from_secs(left.as_millis().div_ceil(1_000) as u64))
    }

    /// When the connection that is dialed now is to be reset.
    pub fn doom(&mut self) -> Option<Duration> {
        let (left, after) = &mut self.doomed;
        take(left).then_some(*after)
    }
}

/// One less, where there is any.
pub fn take(count: &mut u32) -> bool {
    let taken = *count > 0;
    *count -= u32::from(taken);
    taken
}
