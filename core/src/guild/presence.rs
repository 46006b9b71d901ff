//! How the users with sockets are, and when others are told.

use alloc::{
    borrow::ToOwned as _,
    collections::BTreeMap,
    string::{String, ToString as _},
};
use core::time::Duration;

use crate::{canonical, deadlines::Deadlines, id::UserId, machine::Wakeup, time::Time};

/// How often others are told of one user: a status that changes faster is told as it is then, so
/// that one socket cannot make the node write to thousands at its own pace.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest status in Unicode scalar values.
const STATUS_CHARS_MAX: usize = 32;

/// The statuses that users have told, for as long as they have a socket.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Presences {
    users: BTreeMap<UserId, Entry>,
    due: Deadlines<UserId>,
}
canonical!(struct Presences { users, due });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    status: String,
    /// What others know.
    told: String,
    /// When they may be told again.
    open_at: Time,
}
canonical!(struct Entry { status, told, open_at });

/// Whether `status` is one: a short line without control characters.
pub(super) fn is_status(status: &str) -> bool {
    (1..=STATUS_CHARS_MAX).contains(&status.chars().count())
        && !status.chars().any(char::is_control)
}

impl Presences {
    /// A user says how it is; true where others are to be told now.
    pub(super) fn set(&mut self, now: Time, user: &UserId, status: &str) -> bool {
        let Some(entry) = self.users.get_mut(user) else {
            let entry = Entry {
                status: status.to_owned(),
                told: status.to_owned(),
                open_at: now + PAUSE,
            };
            self.users.insert(user.clone(), entry);
            return true;
        };
        entry.status = status.to_owned();
        let differs = entry.status != entry.told;
        if differs && now >= entry.open_at {
            entry.told.clone_from(&entry.status);
            entry.open_at = now + PAUSE;
            return true;
        }
        self.due.set(user.clone(), differs.then_some(entry.open_at));
        false
    }

    /// A user has no socket any more; true where others knew how it was.
    pub(super) fn end(&mut self, user: &UserId) -> bool {
        self.due.set(user.clone(), None);
        self.users.remove(user).is_some()
    }

    /// A user of whom others are to be told now, and how it is.
    pub(super) fn expire(&mut self, now: Time) -> Option<(UserId, String)> {
        let user = self.due.pop_due(now)?;
        let entry = self.users.get_mut(&user)?;
        entry.told.clone_from(&entry.status);
        entry.open_at = now + PAUSE;
        Some((user, entry.status.clone()))
    }

    /// When [`expire`](Self::expire) has something.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        self.due.earliest().map(|at| Wakeup {
            at,
            why: "tell a presence",
        })
    }

    /// How a user is.
    pub(super) fn of(&self, user: &UserId) -> Option<String> {
        self.users.get(user).map(|entry| entry.status.to_string())
    }
}
