//! Rules 8, 9 and 11: who speaks at all.

use super::*;

#[test]
fn rule_8_bypass_members_speak_only_when_mentioned() {
    let mut it = Channel::of("ab", "z");
    it.posts('a', "");
    it.posts('b', "");
    it.posts('a', "");
    assert_eq!(it.speaker(), "b");
    it.posts('b', "z");
    assert_eq!(it.speaker(), "z");
}

#[test]
fn rule_8_moving_to_bypass_takes_a_user_out_of_the_order_and_its_turn_away() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    assert!(it.moves_to_bypass('a'));
    assert_eq!(
        (it.stack(), it.wake()),
        (vec![">bcd".to_string()], Some((1, false)))
    );
    assert!(it.moves_to_bypass('b'));
    assert_eq!(it.stack(), [">cd"]);
    assert_eq!(it.turn.due(), Some(&user('c')));
    assert!(!it.moves_to_bypass('b') && !it.moves_to_bypass('x'));
    assert_eq!(names(it.turn.bypass()), "ab");
    it.pass("c");
    assert!(it.moves_to_bypass('d'));
    assert_eq!(it.speaker(), "", "c is done, and all that is left");
}

#[test]
fn rule_8_a_frame_that_was_pushed_for_a_mention_keeps_a_user_who_moves_to_bypass() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "bc");
    let wake = it.wake();
    assert!(it.moves_to_bypass('b') && it.moves_to_bypass('c'));
    assert_eq!(it.stack(), ["a>", ">bc"]);
    assert_eq!(it.wake(), wake, "the speaker is the same");
    it.pass("b");
    assert_eq!(it.stack(), ["a>", "b>c"]);
}

#[test]
fn rule_8_moving_back_appends_to_the_order() {
    let mut it = Channel::of("abc", "z");
    it.posts('a', "");
    assert!(it.turn.move_back(&user('z')));
    assert!(!it.turn.move_back(&user('z')) && !it.turn.move_back(&user('a')));
    assert_eq!(it.stack(), ["a>bcz"]);
    assert!(it.turn.bypass().is_empty());
    it.pass("bc");
    assert_eq!(it.speaker(), "z");
}

#[test]
fn rule_9_a_join_appends_to_the_order() {
    let mut it = Channel::of("ab", "z");
    it.turn.join(user('c'));
    assert_eq!((it.order().as_str(), it.speaker().as_str()), ("abc", ""));
    it.posts('a', "");
    it.turn.join(user('d'));
    for member in ['a', 'b', 'z'] {
        it.turn.join(user(member));
    }
    assert_eq!(it.stack(), ["a>bcd"]);
    it.pass("bcd");
    assert_eq!(it.speaker(), "", "d was asked too");
}

#[test]
fn rule_9_a_leave_removes_the_user_everywhere() {
    let mut it = Channel::of("abcd", "z");
    it.posts('a', "");
    it.posts('z', "bac");
    it.posts('d', "cab");
    it.pass("ca");
    assert_eq!(it.stack(), ["a>bcd", ">bac", "ca>b"]);
    it.leaves('a');
    it.leaves('c');
    it.leaves('z');
    assert_eq!(it.stack(), [">bd", ">b", ">b"]);
    assert_eq!((it.done().as_str(), it.spoken().as_str()), ("d", "d"));
    assert!(it.turn.bypass().is_empty());
    it.leaves('x');
    assert_eq!(it.order(), "bd");
}

#[test]
fn rule_9_when_the_speaker_leaves_the_cursor_moves_on() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    it.leaves('b');
    assert_eq!(it.stack(), ["a>cd"]);
    assert_eq!(it.turn.due(), Some(&user('c')));
    it.posts('a', "dc");
    it.leaves('d');
    assert_eq!(it.stack(), ["a>c", ">c"]);
    it.leaves('c');
    assert_eq!(it.speaker(), "", "a alone wrote the newest message");
}

#[test]
fn rule_9_with_nobody_left_in_the_order_the_frames_above_finish_first() {
    let mut it = Channel::of("ab", "yz");
    it.posts('a', "yz");
    it.leaves('a');
    it.leaves('b');
    assert_eq!(it.stack(), [">", ">yz"]);
    it.posts('y', "");
    assert_eq!(it.stack(), [">", "y>z"]);
    it.pass("z");
    assert_eq!(it.speaker(), "");
    it.leaves('y');
    it.leaves('z');
    assert_eq!(it.turn, Turn::new(Vec::new(), BTreeSet::new()));
}

#[test]
fn rule_11_closing_a_channel_makes_it_idle() {
    let mut it = Channel::of("abc", "z");
    let idle = it.clone();
    it.posts('a', "zb");
    it.turn.close();
    assert_eq!(it.turn, idle.turn);
    it.turn.close();
    assert_eq!(it.turn, idle.turn);
}

#[test]
fn strangers_change_nothing() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "b");
    let before = it.turn.clone();
    it.posts('x', "c");
    it.leaves('x');
    assert_eq!(it.turn, before);
}
