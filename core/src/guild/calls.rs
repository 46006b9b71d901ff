//! The REST calls that wait for their answer, and whose they are.

use alloc::collections::BTreeMap;

use crate::{
    canonical, guild::config::Limits, http::CallId, id::UserId, link::backoff::Bucket, time::Time,
};

/// The calls under way: each is opened once and closed by its one answer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Calls {
    open: BTreeMap<CallId, Option<UserId>>,
    by_user: BTreeMap<UserId, usize>,
    /// What each user may still ask. A full bucket is as good as none.
    rates: BTreeMap<UserId, Bucket>,
    /// With so many buckets the full ones are looked for.
    sweep_at: usize,
}
canonical!(struct Calls { open, by_user, rates; - sweep_at });

/// Fewer buckets than this are not worth a sweep.
const SWEEP_MIN: usize = 64;

impl Calls {
    /// Whether a call waits for its answer.
    pub(super) fn is_open(&self, call: CallId) -> bool {
        self.open.contains_key(&call)
    }

    /// Opens a call; false where there are too many.
    pub(super) fn open(&mut self, call: CallId, limits: &Limits) -> bool {
        let room = self.open.len() < limits.calls_max;
        if room {
            self.open.insert(call, None);
        }
        room
    }

    /// Says whose an open call is; false where that user has too many, or had too many just now.
    pub(super) fn assign(
        &mut self,
        now: Time,
        call: CallId,
        user: &UserId,
        limits: &Limits,
    ) -> bool {
        let count = self.by_user.get(user).copied().unwrap_or(0);
        if self.open.get(&call) != Some(&None) {
            return true;
        }
        if count >= limits.calls_per_user_max || !self.may_ask(now, user, limits) {
            return false;
        }
        self.open.insert(call, Some(user.clone()));
        self.by_user.insert(user.clone(), count + 1);
        true
    }

    fn may_ask(&mut self, now: Time, user: &UserId, limits: &Limits) -> bool {
        if self.rates.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.rates.retain(|_, rate| !rate.is_full(now));
            self.sweep_at = self.rates.len() * 2;
        }
        let rate = self.rates.entry(user.clone());
        let full = || Bucket::new(limits.calls_burst_max, limits.calls_refill);
        rate.or_insert_with(full).take(now).is_ok()
    }

    /// Closes a call; false where it is not open.
    pub(super) fn close(&mut self, call: CallId) -> bool {
        let Some(owner) = self.open.remove(&call) else {
            return false;
        };
        if let Some(user) = owner
            && let Some(count) = self.by_user.get_mut(&user)
        {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&user);
            }
        }
        true
    }

    /// Closes the oldest call that is open.
    pub(super) fn pop(&mut self) -> Option<CallId> {
        let call = *self.open.first_key_value()?.0;
        self.close(call);
        Some(call)
    }
}
