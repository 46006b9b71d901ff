//! The records of turns: what a store must know of each, so that no crash loses or doubles it.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    canonical,
    id::{MessageId, TurnId},
    plugin::{
        kept::{TurnRecord, TurnState},
        turns::Place,
    },
};

/// How many ended turns of one channel are remembered. They wait for the cursor to pass their
/// messages, which a pass that cannot be said holds back; beyond, the oldest is forgotten.
const ENDED_MAX: usize = 64;
/// How many of them are remembered behind the cursor where users take turns. The guild wakes the agent
/// once more with an older message only when all newer ones are deleted: beyond that many it would be
/// answered again after a crash. Each is a row of the store, read at each start.
const ENDED_BEHIND_MAX: usize = 16;
/// How many parked turns are remembered; beyond, the oldest is forgotten. They are for people to look
/// at.
const PARKED_MAX: usize = 100;

/// All records of one agent, as its store has them or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Records {
    /// In order of their first messages.
    places: BTreeMap<Place, BTreeMap<(u64, TurnId), TurnRecord>>,
    parked: BTreeMap<(u32, TurnId), TurnRecord>,
}
canonical!(struct Records { places, parked });

impl Records {
    /// A turn is as `record` says from now on. Gives back a turn that is forgotten for it.
    pub fn put(&mut self, place: &Place, turn: TurnId, record: TurnRecord) -> Option<TurnId> {
        let key = (record.first_seq(), turn);
        match record.state {
            TurnState::Parked => {
                self.remove(place, &key.1);
                self.parked.insert((place.0, key.1), record);
                if self.parked.len() > PARKED_MAX {
                    return self.parked.pop_first().map(|((_, turn), _)| turn);
                }
                None
            }
            TurnState::Open | TurnState::Ended => {
                let turns = self.places.entry(place.clone()).or_default();
                turns.insert(key, record);
                let ended = |record: &TurnRecord| record.state == TurnState::Ended;
                if turns.values().filter(|record| ended(record)).count() <= ENDED_MAX {
                    return None;
                }
                let oldest = turns.iter().find(|(_, record)| ended(record))?.0.clone();
                turns.remove(&oldest);
                Some(oldest.1)
            }
        }
    }

    /// The ended turns of `place` that `cursor` has passed and about which nothing is owed from `owed`
    /// on: some are remembered where users take turns, and the others are forgotten. Gives back whose
    /// pass is owed no more, and who is forgotten.
    pub fn on_cursor(
        &mut self,
        place: &Place,
        cursor: u64,
        owed: Option<u64>,
        takes_turns: bool,
    ) -> (Vec<(TurnId, TurnRecord)>, Vec<TurnId>) {
        let most = if takes_turns { ENDED_BEHIND_MAX } else { 0 };
        let turns = self.places.get_mut(place).into_iter().flatten();
        let behind = turns.rev().filter(|(_, record)| {
            let last = record.last_seq();
            let is_owed = owed.is_some_and(|owed| last >= owed);
            record.state == TurnState::Ended && last <= cursor && !is_owed
        });
        let (mut passed, mut gone) = (Vec::new(), Vec::new());
        for (index, ((_, turn), record)) in behind.enumerate() {
            if index >= most {
                gone.push(turn.clone());
            } else if core::mem::take(&mut record.owes_pass) {
                passed.push((turn.clone(), record.clone()));
            }
        }
        for turn in &gone {
            self.remove(place, turn);
        }
        (passed, gone)
    }

    /// Whether a message of `place` is known to have been in a turn that has ended.
    pub fn has_ended(&self, place: &Place, message: &MessageId) -> bool {
        let mut turns = self.of(place);
        turns.any(|(_, record)| record.state == TurnState::Ended && record.has(message))
    }

    /// The record of a turn of `place` that is not parked.
    pub fn get(&self, place: &Place, turn: &TurnId) -> Option<&TurnRecord> {
        let mut turns = self.places.get(place)?.iter();
        turns
            .find(|((_, known), _)| known == turn)
            .map(|(_, record)| record)
    }

    /// Whether a turn of `place` is known, parked or not.
    pub fn knows(&self, place: &Place, turn: &TurnId) -> bool {
        self.get(place, turn).is_some() || self.parked.contains_key(&(place.0, turn.clone()))
    }

    /// Forgets a turn of `place` that is not parked; whether it was known.
    pub fn remove(&mut self, place: &Place, turn: &TurnId) -> bool {
        let Some(turns) = self.places.get_mut(place) else {
            return false;
        };
        let before = turns.len();
        turns.retain(|(_, known), _| known != turn);
        let removed = turns.len() < before;
        if turns.is_empty() {
            self.places.remove(place);
        }
        removed
    }

    /// Forgets the turns of `place` of which `unwanted` holds, and says which they are.
    pub fn withdraw(
        &mut self,
        place: &Place,
        unwanted: impl Fn(&TurnId, &TurnRecord) -> bool,
    ) -> Vec<TurnId> {
        let Some(turns) = self.places.get_mut(place) else {
            return Vec::new();
        };
        let gone = turns
            .iter()
            .filter(|((_, turn), record)| unwanted(turn, record))
            .map(|((_, turn), _)| turn.clone());
        let gone: Vec<TurnId> = gone.collect();
        turns.retain(|(_, turn), _| !gone.contains(turn));
        if turns.is_empty() {
            self.places.remove(place);
        }
        gone
    }

    /// The turns of `place` that are not parked, oldest first.
    pub fn of(&self, place: &Place) -> impl Iterator<Item = (&TurnId, &TurnRecord)> {
        let turns = self.places.get(place).into_iter().flatten();
        turns.map(|((_, turn), record)| (turn, record))
    }

    /// The places of a guild with turns that are not parked.
    pub fn places(&self, guild: u32) -> impl Iterator<Item = &Place> {
        self.places.keys().filter(move |place| place.0 == guild)
    }

    /// The parked turns, with the number of their guild.
    pub fn parked(&self) -> impl Iterator<Item = (u32, &TurnId, &TurnRecord)> {
        self.parked
            .iter()
            .map(|((guild, turn), record)| (*guild, turn, record))
    }

    /// Forgets a parked turn; whether it was one.
    pub fn unpark(&mut self, turn: &TurnId) -> bool {
        let before = self.parked.len();
        self.parked.retain(|(_, known), _| known != turn);
        self.parked.len() < before
    }

    /// The pass about a message of a parked turn is owed no more: gives that turn back.
    pub fn on_passed(
        &mut self,
        place: &Place,
        message: &MessageId,
    ) -> Option<(TurnId, TurnRecord)> {
        let mut parked = self.parked.iter_mut();
        let ((_, turn), record) = parked.find(|((guild, _), record)| {
            *guild == place.0
                && record.owes_pass
                && record.channel == place.1
                && record.has(message)
        })?;
        record.owes_pass = false;
        Some((turn.clone(), record.clone()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;
    use crate::{
        id::{ChannelId, GuildId},
        plugin::kept::Notice,
    };

    fn place() -> Place {
        (0, ChannelId::new("c").unwrap())
    }

    fn turn(id: u64) -> TurnId {
        TurnId::new(&format!("t{id}")).unwrap()
    }

    fn record(seq: u64, state: TurnState) -> TurnRecord {
        TurnRecord {
            guild: GuildId::new("g").unwrap(),
            channel: place().1,
            messages: vec![(seq, MessageId::new(&format!("m{seq}")).unwrap())],
            attempt: 1,
            context_from: seq,
            state,
            owes_pass: state == TurnState::Parked,
            notice: Notice::default(),
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_forgotten_oldest_first() {
        let mut records = Records::default();
        assert_eq!(
            records.put(&place(), turn(0), record(1, TurnState::Open)),
            None
        );
        let mut forgotten = vec![];
        for seq in 2..=70 {
            forgotten.extend(records.put(&place(), turn(seq), record(seq, TurnState::Ended)));
        }
        assert_eq!(forgotten, (2..=6).map(turn).collect::<Vec<_>>());
        assert_eq!(records.of(&place()).count(), 1 + ENDED_MAX);
        let park = |seq| records.put(&place(), turn(seq), record(seq, TurnState::Parked));
        let forgotten: Vec<TurnId> = (0..=100).filter_map(park).collect();
        assert_eq!(forgotten.len(), 1);
        assert_eq!(records.parked().count(), PARKED_MAX);
        assert_eq!(records.get(&place(), &turn(0)), None, "parked");
    }

    #[test]
    fn behind_the_cursor_the_newest_are_known_where_users_take_turns() {
        let mut records = Records::default();
        for seq in 1..=19 {
            let record = TurnRecord {
                owes_pass: seq == 17,
                ..record(seq, TurnState::Ended)
            };
            records.put(&place(), turn(seq), record);
        }
        let known = |records: &Records| -> Vec<u64> {
            let known = |seq: &u64| {
                let message = MessageId::new(&format!("m{seq}")).unwrap();
                records.has_ended(&place(), &message)
            };
            (1..=19).filter(known).collect()
        };
        let (passed, gone) = records.on_cursor(&place(), 18, Some(17), true);
        assert!(passed.is_empty() && gone.is_empty());
        let (passed, gone) = records.on_cursor(&place(), 18, None, true);
        assert_eq!(passed.len(), 1);
        assert_eq!((&passed[0].0, passed[0].1.owes_pass), (&turn(17), false));
        assert_eq!(gone, [turn(2), turn(1)]);
        assert!(known(&records).into_iter().eq(3..=19));
        let (_, gone) = records.on_cursor(&place(), 18, None, false);
        assert_eq!(gone.len(), ENDED_BEHIND_MAX);
        assert_eq!(known(&records), [19]);
    }

    #[test]
    fn a_parked_turn_stays_until_somebody_ends_it() {
        let mut records = Records::default();
        records.put(&place(), turn(1), record(1, TurnState::Parked));
        assert_eq!(records.withdraw(&place(), |_, _| true), []);
        let message = MessageId::new("m1").unwrap();
        let passed = records.on_passed(&place(), &message).unwrap();
        assert_eq!((passed.0, passed.1.owes_pass), (turn(1), false));
        assert_eq!(records.on_passed(&place(), &message), None, "once");
        assert!(records.unpark(&turn(1)) && !records.unpark(&turn(1)));
    }
}
