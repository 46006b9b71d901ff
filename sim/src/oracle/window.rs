//! Window: how often something has happened within a span.

use std::{collections::VecDeque, time::Duration};

use selvedge_core::Time;

/// Once more now: how often it was within the span.
pub(super) fn count(moments: &mut VecDeque<Time>, now: Time, span: Duration) -> usize {
    moments.push_back(now);
    while moments
        .front()
        .is_some_and(|first| now.since(*first) >= span)
    {
        moments.pop_front();
    }
    moments.len()
}
