//! The journal: what a store is to keep, one batch after the other.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    id::{ChannelId, GuildId, TurnId},
    machine::Wakeup,
    plugin::{io::Store, kept::Change, retry},
    request::{RequestId, Requests},
    rng::Rng,
    time::Time,
};

/// How long what can wait is gathered: a busy channel's cursor is written once in this time, and
/// after a crash at most so much is read again.
const GATHERED: Duration = Duration::from_secs(1);
/// The longest wait between two attempts at a store that fails.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// What is to be kept, at most one change of each row.
///
/// One batch is with the store at a time; what comes meanwhile is the next one. A batch that could not
/// be kept is offered again together with what came since: nothing is lost, and the order in which
/// rows changed is never seen otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    unsaved: BTreeMap<Row, Change>,
    /// When the next batch goes; `None` where nothing is in a hurry.
    due: Option<Time>,
    stores: Requests<Store, Vec<Change>>,
    failures: u32,
    /// Why the last batch was not kept, and when the first in a row was not.
    trouble: Option<(String, Time)>,
    rng: Rng,
}
canonical!(struct Journal { unsaved, due, stores, failures; - trouble, rng });

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Agent,
    Guild(GuildId),
    Channel(GuildId, ChannelId),
    Turn(TurnId),
}
canonical!(
    enum Row {
        Agent,
        Guild(guild),
        Channel(guild, channel),
        Turn(turn),
    }
);

fn row(change: &Change) -> Row {
    match change {
        Change::Agent(_) => Row::Agent,
        Change::Guild(guild) => Row::Guild(guild.clone()),
        Change::Channel(guild, channel, _) | Change::NoChannel(guild, channel) => {
            Row::Channel(guild.clone(), channel.clone())
        }
        Change::Turn(turn, _) | Change::NoTurn(turn) => Row::Turn(turn.clone()),
    }
}

/// How a store has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was not asked for (any more).
    Unknown,
    /// These changes are kept.
    Done {
        /// What.
        changes: Vec<Change>,
        /// The one before it had failed.
        mended: bool,
    },
    /// They are not, and are offered again.
    Failed {
        /// Why.
        why: String,
        /// The one before it had not failed.
        news: bool,
    },
}

impl Journal {
    /// Nothing is to be kept yet.
    pub fn new(rng: Rng) -> Self {
        Self {
            unsaved: BTreeMap::new(),
            due: None,
            stores: Requests::default(),
            failures: 0,
            trouble: None,
            rng,
        }
    }

    /// This must be kept at once.
    pub fn put(&mut self, now: Time, change: Change) {
        self.put_at(now, change);
    }

    /// This must be kept soon; what is put meanwhile goes with it.
    pub fn put_soon(&mut self, now: Time, change: Change) {
        self.put_at(now + GATHERED, change);
    }

    /// This is kept with whatever is kept next.
    pub fn put_along(&mut self, change: Change) {
        self.unsaved.insert(row(&change), change);
    }

    fn put_at(&mut self, at: Time, change: Change) {
        self.put_along(change);
        // What fails is not hurried.
        if self.failures == 0 {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// The next batch to keep. The owner hands it to the store and later says
    /// [`on_stored`](Self::on_stored).
    pub fn next_due(&mut self, now: Time) -> Option<(RequestId<Store>, Vec<Change>)> {
        if !self.stores.is_empty() || self.due.is_none_or(|due| due > now) {
            return None;
        }
        self.due = None;
        let unsaved = core::mem::take(&mut self.unsaved);
        let batch: Vec<Change> = unsaved.into_values().collect();
        Some((self.stores.ask(now, None, batch.clone()), batch))
    }

    /// The store has answered.
    pub fn on_stored(
        &mut self,
        now: Time,
        id: RequestId<Store>,
        result: Result<(), String>,
    ) -> Stored {
        let Some(changes) = self.stores.answer(id) else {
            return Stored::Unknown;
        };
        match result {
            Ok(()) => {
                let mended = core::mem::take(&mut self.failures) > 0;
                self.trouble = None;
                if mended && !self.unsaved.is_empty() {
                    self.due = Some(now);
                }
                Stored::Done { changes, mended }
            }
            Err(why) => {
                for change in changes {
                    self.unsaved.entry(row(&change)).or_insert(change);
                }
                let wait = retry::wait(&mut self.rng, self.failures, RETRY_MOST);
                self.due = Some(now + wait);
                self.failures = self.failures.saturating_add(1);
                let news = self.failures == 1;
                let since = self.trouble.take().map_or(now, |(_, since)| since);
                self.trouble = Some((why.clone(), since));
                Stored::Failed { why, news }
            }
        }
    }

    /// Whether the store keeps what it is given.
    pub fn works(&self) -> bool {
        self.failures == 0
    }

    /// Why the store keeps nothing, and since when; `None` while it does.
    pub fn trouble(&self) -> Option<(&str, Time)> {
        let trouble = self.trouble.as_ref();
        trouble.map(|(why, since)| (why.as_str(), *since))
    }

    /// The end of the process: what is not with the store yet and should be;
    /// [`withdraw`](Self::withdraw) follows.
    pub fn close(&mut self, now: Time) -> Option<(RequestId<Store>, Vec<Change>)> {
        self.due.take()?;
        let unsaved = core::mem::take(&mut self.unsaved);
        let batch: Vec<Change> = unsaved.into_values().collect();
        Some((self.stores.ask(now, None, Vec::new()), batch))
    }

    /// Gives one question up.
    pub fn withdraw(&mut self) -> Option<RequestId<Store>> {
        self.stores.withdraw(|_| true).map(|(id, _)| id)
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.due
            .filter(|_| self.stores.is_empty())
            .map(|at| Wakeup {
                at,
                why: "store due",
            })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::plugin::kept::{Cursor, KeptChannel};

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn cursor(channel: &str, seq: u64) -> Change {
        let row = KeptChannel {
            cursor: Some(Cursor { seq, at: None }),
            ..KeptChannel::default()
        };
        let (guild, channel) = (GuildId::new("g"), ChannelId::new(channel));
        Change::Channel(guild.unwrap(), channel.unwrap(), row)
    }

    fn gone(turn: &str) -> Change {
        Change::NoTurn(TurnId::new(turn).unwrap())
    }

    fn journal() -> Journal {
        Journal::new(Rng::from_number(1))
    }

    #[test]
    fn what_can_wait_goes_with_what_cannot() {
        let mut journal = journal();
        journal.put_along(gone("along"));
        assert_eq!(journal.next_wakeup(), None);
        journal.put_soon(at(1), cursor("c", 1));
        journal.put_soon(at(500), cursor("c", 2));
        assert_eq!(journal.next_wakeup().unwrap().at, at(1_001));
        assert_eq!(journal.next_due(at(500)), None);
        journal.put(at(600), gone("t"));
        let (_, batch) = journal.next_due(at(600)).unwrap();
        assert_eq!(batch, vec![cursor("c", 2), gone("along"), gone("t")]);
    }

    #[test]
    fn one_batch_is_with_the_store_and_what_comes_meanwhile_is_the_next() {
        let mut journal = journal();
        journal.put(at(1), cursor("c", 1));
        let (first, _) = journal.next_due(at(1)).unwrap();
        journal.put(at(2), cursor("c", 2));
        journal.put(at(3), cursor("d", 1));
        assert_eq!(
            (journal.next_due(at(3)), journal.next_wakeup()),
            (None, None)
        );
        let done = journal.on_stored(at(4), first, Ok(()));
        let changes = vec![cursor("c", 1)];
        let mended = false;
        assert_eq!(done, Stored::Done { changes, mended });
        assert_eq!(journal.on_stored(at(4), first, Ok(())), Stored::Unknown);
        let (_, batch) = journal.next_due(at(4)).unwrap();
        assert_eq!(batch, vec![cursor("c", 2), cursor("d", 1)]);
    }

    #[test]
    fn what_could_not_be_kept_is_offered_again_with_what_came_since() {
        let mut journal = journal();
        journal.put(at(1), cursor("c", 1));
        journal.put(at(1), cursor("d", 1));
        let (mut id, _) = journal.next_due(at(1)).unwrap();
        journal.put(at(2), cursor("c", 2));
        let mut now = at(2);
        for failure in 0..20 {
            let failed = journal.on_stored(now, id, Err("disk full".into()));
            let news = failure == 0;
            let why = "disk full".into();
            assert_eq!(failed, Stored::Failed { why, news });
            assert!(!journal.works());
            journal.put(now, cursor("e", failure));
            let next = journal.next_wakeup().unwrap().at;
            assert!(next > now && next <= now + RETRY_MOST, "not hurried");
            now = next;
            let (again, batch) = journal.next_due(now).unwrap();
            let wanted = [cursor("c", 2), cursor("d", 1), cursor("e", failure)];
            assert_eq!(batch, wanted);
            id = again;
        }
        journal.put(now, cursor("f", 1));
        let done = journal.on_stored(now, id, Ok(()));
        assert!(
            matches!(done, Stored::Done { mended: true, .. }),
            "{done:?}"
        );
        assert!(journal.works());
        let (_, batch) = journal.next_due(now).unwrap();
        assert_eq!(batch, [cursor("f", 1)]);
    }

    #[test]
    fn the_end_keeps_what_is_left_and_leaves_no_question_open() {
        let mut journal = journal();
        journal.put(at(1), cursor("c", 1));
        let (first, _) = journal.next_due(at(1)).unwrap();
        journal.put_soon(at(2), cursor("c", 2));
        let (second, batch) = journal.close(at(3)).unwrap();
        assert_eq!(batch, [cursor("c", 2)]);
        assert_eq!(journal.close(at(3)), None);
        assert_eq!(journal.withdraw(), Some(first));
        assert_eq!(journal.withdraw(), Some(second));
        assert_eq!(journal.withdraw(), None);
        assert_eq!(journal.next_wakeup(), None);
    }
}
