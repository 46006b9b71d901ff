//! How one channel is put in order.

use alloc::vec;

use super::*;
use crate::plugin::{ahead::AHEAD_MAX, samples::message};

const PATIENCE: Duration = Duration::from_millis(250);
const OLD: ConnId = ConnId(1);
const NEW: ConnId = ConnId(2);

fn page(seqs: &[u64], has_more: bool) -> Page {
    Page {
        messages: seqs.iter().map(|seq| message(*seq)).collect(),
        has_more,
    }
}

fn seqs(released: Released) -> (Vec<u64>, u64) {
    let messages = released.messages.iter();
    (
        messages.map(|message| message.seq).collect(),
        released.missing,
    )
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn joined(last: u64) -> Sequence {
    let mut sequence = Sequence::default();
    sequence.start(Time::ZERO, last);
    sequence.on_joined(Time::ZERO, Some(last));
    sequence
}

fn push(sequence: &mut Sequence, now: u64, seq: u64) -> (Vec<u64>, u64) {
    push_by(sequence, OLD, now, seq)
}

fn push_by(sequence: &mut Sequence, by: ConnId, now: u64, seq: u64) -> (Vec<u64>, u64) {
    seqs(sequence.on_message(at(now), message(seq), by, PATIENCE))
}

/// Asks what to read, as its owner does.
fn asked(sequence: &mut Sequence, most: u64) -> Option<(Read, u64)> {
    let read = sequence.read(most);
    sequence.backfill().on_asked();
    read
}

fn after(seq: u64, limit: u64) -> Option<(Read, u64)> {
    let until = seq + limit;
    Some((Read::After { seq, until, limit }, 0))
}

#[test]
fn what_comes_in_order_passes_and_what_was_heard_does_not() {
    let mut sequence = joined(3);
    assert_eq!(push(&mut sequence, 1, 4), (vec![4], 0));
    assert_eq!(push(&mut sequence, 1, 4), (vec![], 0));
    assert_eq!(push(&mut sequence, 1, 1), (vec![], 0));
    assert_eq!(sequence.heard(), Some(4));
    assert_eq!(sequence.read_at(), None);
}

#[test]
fn a_gap_is_waited_for_and_then_read() {
    let mut sequence = joined(0);
    assert_eq!(push(&mut sequence, 1, 3), (vec![], 0));
    assert_eq!(push(&mut sequence, 100, 5), (vec![], 0));
    assert_eq!(sequence.read_at(), Some(at(251)));
    assert_eq!(push(&mut sequence, 200, 1), (vec![1], 0));
    assert_eq!(asked(&mut sequence, 200), after(1, 1));
    assert_eq!(push(&mut sequence, 300, 6), (vec![], 0));
    let released = sequence.on_page(at(301), page(&[2], true));
    assert_eq!(seqs(released), (vec![2, 3], 0));
    assert_eq!(sequence.read_at(), Some(at(301)), "there is more");
    assert_eq!(push(&mut sequence, 302, 4), (vec![4, 5, 6], 0));
    assert_eq!(sequence.read_at(), None);
}

#[test]
fn a_gap_that_three_reads_do_not_fill_is_accepted() {
    let mut sequence = joined(5);
    sequence.on_listed(at(1), Some(9));
    let mut now = at(1);
    for read in 1..=3 {
        assert_eq!(sequence.read_at(), Some(now));
        assert_eq!(
            asked(&mut sequence, 200),
            after(5, if read == 1 { 4 } else { 2 })
        );
        let released = sequence.on_page(now, page(&[8, 9], false));
        let wanted = if read == 3 {
            (vec![8, 9], 2)
        } else {
            (vec![], 0)
        };
        assert_eq!(seqs(released), wanted);
        now = now + Duration::from_secs(1);
    }
    assert_eq!(sequence.read_at(), None);
    assert_eq!(sequence.heard(), Some(9));
}

#[test]
fn reads_that_fail_leave_the_gap_open() {
    let mut sequence = joined(0);
    push(&mut sequence, 1, 2);
    for failure in 0..10 {
        asked(&mut sequence, 200);
        assert_eq!(sequence.backfill().failures(), failure);
        sequence.backfill().on_failed(at(1_000));
        assert_eq!(
            push(&mut sequence, 500, 3 + u64::from(failure)),
            (vec![], 0)
        );
        assert_eq!(sequence.read_at(), Some(at(1_000)));
    }
    asked(&mut sequence, 200);
    let released = sequence.on_page(at(1_000), page(&[1], true));
    assert_eq!(seqs(released), ((1..=12).collect(), 0));
}

#[test]
fn what_was_said_while_there_was_no_connection_is_read() {
    let mut sequence = joined(3);
    push(&mut sequence, 1, 5);
    sequence.on_conn_end(OLD, false);
    assert_eq!(sequence.read_at(), None);
    assert_eq!(push(&mut sequence, 2, 7), (vec![], 0), "before its join");
    assert_eq!(seqs(sequence.on_joined(at(3), Some(6))), (vec![], 0));
    assert_eq!(sequence.read_at(), Some(at(3)));
    assert_eq!(asked(&mut sequence, 200), after(3, 3));
    let mut rows = page(&[4, 5, 6, 7], false);
    rows.messages[3].content = "as it is stored".into();
    let released = sequence.on_page(at(4), rows);
    assert_eq!(released.messages[3].content, "hello", "the push wins");
    assert_eq!(seqs(released), (vec![4, 5, 6, 7], 0));
}

#[test]
fn a_push_by_either_of_two_connections_counts_once() {
    let mut sequence = joined(3);
    assert_eq!(push_by(&mut sequence, NEW, 1, 4), (vec![4], 0));
    assert_eq!(push_by(&mut sequence, OLD, 2, 4), (vec![], 0));
    assert_eq!(push_by(&mut sequence, OLD, 2, 6), (vec![], 0));
    assert_eq!(push_by(&mut sequence, NEW, 3, 6), (vec![], 0));
    assert_eq!(push_by(&mut sequence, OLD, 4, 5), (vec![5, 6], 0));
    assert_eq!(sequence.read_at(), None);
}

#[test]
fn what_a_second_join_tells_of_is_waited_for_before_it_is_read() {
    let mut sequence = joined(3);
    assert_eq!(
        seqs(sequence.on_joined_again(at(251), Some(2))),
        (vec![], 0)
    );
    assert_eq!(
        sequence.heard(),
        Some(3),
        "the push was faster than the ack"
    );
    sequence.on_joined_again(at(251), Some(4));
    assert_eq!(sequence.read_at(), Some(at(251)));
    assert_eq!(push_by(&mut sequence, OLD, 9, 4), (vec![4], 0));
    assert_eq!(sequence.read_at(), None);
    sequence.on_joined_again(at(300), None);
    assert_eq!(sequence.read_at(), Some(at(300)));
    assert_eq!(asked(&mut sequence, 200), Some((Read::Newest, 0)));
}

#[test]
fn what_waits_behind_a_gap_is_dropped_with_the_last_connection_it_came_by() {
    let mut sequence = joined(3);
    push_by(&mut sequence, OLD, 1, 6);
    push_by(&mut sequence, NEW, 1, 6);
    push_by(&mut sequence, OLD, 1, 8);
    sequence.on_conn_end(OLD, true);
    assert_eq!(sequence.read_at(), Some(at(251)), "4 and 5");
    assert_eq!(push_by(&mut sequence, NEW, 2, 4), (vec![4], 0));
    assert_eq!(push_by(&mut sequence, NEW, 2, 5), (vec![5, 6], 0));
    assert_eq!(sequence.read_at(), None);
    push_by(&mut sequence, NEW, 3, 9);
    push_by(&mut sequence, OLD, 3, 10);
    sequence.on_conn_end(NEW, false);
    assert_eq!(sequence.ahead.before_first(), Some(9), "10 alone");
}

#[test]
fn only_the_newest_are_read_after_a_long_time() {
    let mut sequence = joined(3);
    sequence.on_conn_end(OLD, false);
    sequence.on_joined(at(1), Some(1_000));
    let (seq, until, limit) = (800, 1_000, 200);
    let read = Some((Read::After { seq, until, limit }, 797));
    assert_eq!(asked(&mut sequence, 200), read);
    assert_eq!(sequence.heard(), Some(800));
}

#[test]
fn what_an_earlier_process_has_heard_is_read_again_and_never_skipped() {
    let mut sequence = Sequence::default();
    sequence.resume(2, 6);
    assert_eq!(push(&mut sequence, 1, 900), (vec![], 0), "before the join");
    assert_eq!(seqs(sequence.on_joined(at(1), Some(900))), (vec![], 0));
    assert_eq!(asked(&mut sequence, 200), after(2, 4));
    let released = sequence.on_page(at(2), page(&[3, 4, 5], true));
    assert_eq!(seqs(released), (vec![3, 4, 5], 0));
    assert!(sequence.is_rereading());
    assert_eq!(asked(&mut sequence, 200), after(5, 1));
    sequence.on_page(at(3), page(&[6], true));
    assert!(!sequence.is_rereading());
    let limit = 200;
    let (seq, until) = (699, 899);
    let skipped = Some((Read::After { seq, until, limit }, 693));
    assert_eq!(asked(&mut sequence, 200), skipped);
}

#[test]
fn a_wake_with_what_waits_behind_a_gap_takes_its_place() {
    let mut sequence = joined(0);
    assert_eq!(push(&mut sequence, 1, 2), (vec![], 0));
    let again = Message {
        rewake: Some(true),
        ..message(2)
    };
    sequence.on_message(at(2), again, NEW, PATIENCE);
    let released = sequence.on_page(at(3), page(&[1], false));
    let wakes: Vec<_> = released.messages.iter().map(|it| it.rewake).collect();
    assert_eq!(wakes, [None, Some(true)]);
}

#[test]
fn what_overtakes_the_answer_of_the_join_is_kept() {
    let mut sequence = Sequence::default();
    assert_eq!(push(&mut sequence, 1, 8), (vec![], 0));
    assert_eq!(push(&mut sequence, 1, 7), (vec![], 0));
    sequence.start(at(1), 8);
    assert_eq!(push(&mut sequence, 1, 6), (vec![], 0));
    assert_eq!(seqs(sequence.on_joined(at(1), Some(8))), (vec![6, 7, 8], 0));
}

#[test]
fn nothing_is_in_order_before_the_start_is_known() {
    let mut sequence = Sequence::default();
    assert_eq!(seqs(sequence.on_joined(at(1), Some(2))), (vec![], 0));
    assert_eq!(push(&mut sequence, 1, 2), (vec![], 0));
    assert_eq!(sequence.read_at(), None);
    assert_eq!(seqs(sequence.start(at(1), 0)), (vec![], 0));
    assert_eq!(asked(&mut sequence, 200), after(0, 1));
}

#[test]
fn a_guild_that_tells_no_seq_is_asked_for_its_newest_message() {
    let mut sequence = Sequence::default();
    assert_eq!(seqs(sequence.on_joined(at(1), None)), (vec![], 0));
    assert_eq!(push(&mut sequence, 1, 42), (vec![], 0));
    assert_eq!(asked(&mut sequence, 200), Some((Read::Newest, 0)));
    sequence.start(at(2), 41);
    assert_eq!(seqs(sequence.on_newest(at(2), 41)), (vec![42], 0));
    sequence.on_listed(at(3), None);
    assert_eq!(asked(&mut sequence, 200), Some((Read::Newest, 0)));
    assert_eq!(seqs(sequence.on_newest(at(4), 44)), (vec![], 0));
    assert_eq!(asked(&mut sequence, 200), after(42, 2));
}

#[test]
fn what_is_pushed_after_a_join_is_newer_than_the_first_contact() {
    let contact = || {
        let mut sequence = Sequence::default();
        sequence.on_joined(at(1), None);
        asked(&mut sequence, 200);
        sequence.start(at(2), 43);
        assert_eq!(seqs(sequence.on_newest(at(2), 43)), (vec![], 0));
        sequence
    };
    let mut sequence = contact();
    assert_eq!(push(&mut sequence, 3, 42), (vec![42], 0));
    assert_eq!(sequence.read_at(), Some(at(253)), "43 may be on its way");
    assert_eq!(push(&mut sequence, 4, 43), (vec![43], 0));
    assert_eq!(sequence.read_at(), None);
    let mut sequence = contact();
    assert_eq!(push(&mut sequence, 3, 44), (vec![44], 0));
    assert_eq!(push(&mut sequence, 4, 42), (vec![], 0), "an old one");
    let mut sequence = contact();
    sequence.on_conn_end(OLD, false);
    sequence.on_joined(at(5), None);
    asked(&mut sequence, 200);
    assert_eq!(seqs(sequence.on_newest(at(6), 43)), (vec![], 0));
    assert_eq!(push(&mut sequence, 7, 43), (vec![], 0), "not the first");
}

#[test]
fn a_guild_without_history_starts_at_its_first_message() {
    let mut sequence = Sequence::default();
    sequence.on_joined(at(1), None);
    asked(&mut sequence, 200);
    assert_eq!(seqs(sequence.on_no_history(at(2))), (vec![], 0));
    assert_eq!(push(&mut sequence, 3, 41), (vec![41], 0));
    assert_eq!(sequence.read_at(), None);
}

#[test]
fn a_gap_does_not_fill_the_memory() {
    let mut sequence = joined(0);
    for seq in 2..2_000 {
        assert_eq!(push(&mut sequence, 1, seq), (vec![], 0));
        assert!(!sequence.ahead.is_overfull());
    }
    asked(&mut sequence, 200);
    let released = sequence.on_page(at(2), page(&[1], false));
    assert_eq!(released.messages.len(), 1 + AHEAD_MAX);
    let (seq, until, limit) = (257, 1_999, 200);
    let read = Some((Read::After { seq, until, limit }, 0));
    assert_eq!(asked(&mut sequence, u64::MAX), read);
}
