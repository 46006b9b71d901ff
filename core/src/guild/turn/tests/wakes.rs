//! Rule 10, and what the speaker is woken with.

use super::*;

#[test]
fn rule_10_an_ack_by_the_speaker_says_that_the_wake_arrived() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    it.posts('c', "");
    assert_eq!(it.turn.ack(&user('b'), &message(1)), Ok(false));
    assert_eq!(it.wake(), Some((2, false)));
    assert_eq!(it.turn.ack(&user('b'), &message(2)), Ok(true));
    assert_eq!(it.wake(), Some((2, true)));
    assert_eq!(it.turn.ack(&user('b'), &message(2)), Ok(true));
}

#[test]
fn rule_10_an_ack_by_anybody_else_is_refused() {
    let mut it = Channel::of("abc", "");
    let ack = |it: &mut Channel, name| it.turn.ack(&user(name), &message(1));
    assert_eq!(ack(&mut it, 'b'), Err(Refused::Idle));
    it.posts('a', "");
    for name in ['a', 'c', 'x'] {
        assert_eq!(ack(&mut it, name), Err(Refused::NotCurrent));
    }
    it.pass("b");
    assert_eq!(ack(&mut it, 'c'), Ok(false), "it was not woken yet");
}

#[test]
fn rule_10_only_a_speaker_who_has_not_acked_is_woken_again_when_it_enters() {
    let mut it = Channel::of("abc", "");
    assert!(!it.turn.wakes_on_entry(&user('b')));
    it.posts('a', "");
    assert!(it.turn.wakes_on_entry(&user('b')));
    assert!(!it.turn.wakes_on_entry(&user('c')));
    it.turn.ack(&user('b'), &message(1)).unwrap();
    assert!(!it.turn.wakes_on_entry(&user('b')));
    it.pass("b");
    assert!(
        it.turn.wakes_on_entry(&user('c')),
        "what it waits for is on the way"
    );
}

#[test]
fn a_speaker_who_got_the_turn_without_a_new_message_is_due_until_it_is_rewoken() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    assert_eq!(it.turn.due(), None, "the message itself wakes");
    it.pass("b");
    assert_eq!(it.turn.due(), Some(&user('c')));
    let first = it.turn.rewake(message(1));
    assert_eq!((it.turn.due(), it.wake()), (None, Some((1, false))));
    it.turn.ack(&user('c'), &message(1)).unwrap();
    let second = it.turn.rewake(message(1));
    assert_eq!(it.wake(), Some((1, false)), "it has to arrive again");
    assert!(first.is_some() && second.is_some() && first != second);
    it.pass("c");
    it.posts('b', "");
    assert_eq!(
        (it.turn.due(), it.wake()),
        (None, Some((2, false))),
        "superseded"
    );
    it.turn.close();
    assert_eq!(it.turn.rewake(message(2)), None);
    assert_eq!(it.speaker(), "");
}

#[test]
fn a_speaker_for_whom_there_is_no_message_passes() {
    let mut it = Channel::of("ab", "z");
    it.posts('z', "a");
    let mut by_itself = it.clone();
    it.turn.pass_unasked(&mut it.rng);
    by_itself.pass("a");
    assert_eq!(it, by_itself);
    it.turn.pass_unasked(&mut it.rng);
    assert_eq!(it.speaker(), "");
    let idle = it.clone();
    it.turn.pass_unasked(&mut it.rng);
    assert_eq!(it, idle);
}

#[test]
fn a_speaker_whose_waking_message_is_deleted_is_due_again() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    it.posts('a', "");
    it.turn.ack(&user('b'), &message(2)).unwrap();
    it.turn.delete(&message(1));
    assert_eq!(it.wake(), Some((2, true)));
    it.turn.delete(&message(2));
    assert_eq!(it.turn.due(), Some(&user('b')));
    it.turn.delete(&message(2));
    assert_eq!(it.stack(), ["a>bc"]);
}

#[test]
fn a_row_of_the_store_restores_the_turns_and_wakes_are_not_numbered_twice() {
    let mut it = Channel::of("abcd", "z");
    it.posts('a', "zb");
    it.pass("z");
    let number = it.turn.rewake(message(1));
    let row = serde_json::to_string(&it.turn).unwrap();
    let mut read: Turn = serde_json::from_str(&row).unwrap();
    assert_eq!(read, it.turn);
    assert_ne!(read.rewake(message(1)), number);
    let hash = |turn| canonical_hash(turn, Time::ZERO);
    assert_eq!(
        hash(&read),
        hash(&it.turn),
        "the numbers of wakes tell nothing apart"
    );
}
