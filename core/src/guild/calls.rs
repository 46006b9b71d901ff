//! The REST calls that wait for their answer, and whose they are.

use alloc::collections::BTreeMap;

use crate::{canonical, guild::config::Limits, http::CallId, id::UserId};

/// The calls under way: each is opened once and closed by its one answer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Calls {
    open: BTreeMap<CallId, Option<UserId>>,
    by_user: BTreeMap<UserId, usize>,
}
canonical!(struct Calls { open, by_user });

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

    /// Says whose an open call is; false where that user has too many.
    pub(super) fn assign(&mut self, call: CallId, user: &UserId, limits: &Limits) -> bool {
        let count = self.by_user.get(user).copied().unwrap_or(0);
        let Some(owner @ None) = self.open.get_mut(&call) else {
            return true;
        };
        if count >= limits.calls_per_user_max {
            return false;
        }
        *owner = Some(user.clone());
        self.by_user.insert(user.clone(), count + 1);
        true
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
