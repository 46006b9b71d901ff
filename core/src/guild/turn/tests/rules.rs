//! Rules 1 to 7: messages, passes, rounds and mentions.

use super::*;

#[test]
fn rule_1_a_message_in_an_idle_channel_starts_a_round_behind_its_author() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    assert_eq!(it.stack(), ["a>bc"]);
    let mut it = Channel::of("abc", "");
    it.posts('c', "");
    assert_eq!(it.stack(), [">abc"], "it wraps");
}

#[test]
fn rule_1_after_a_message_by_a_bypass_member_the_first_of_the_order_speaks() {
    let mut it = Channel::of("abc", "z");
    it.posts('z', "");
    assert_eq!(it.stack(), [">abc"]);
    let mut it = Channel::of("a", "z");
    it.posts('z', "");
    assert_eq!(it.stack(), [">a"]);
}

#[test]
fn rule_1_with_nobody_to_speak_but_the_author_the_channel_stays_idle() {
    for (order, bypass, author) in [("a", "", 'a'), ("a", "yz", 'a'), ("", "yz", 'z')] {
        let idle = Channel::of(order, bypass);
        let mut it = idle.clone();
        it.posts(author, "");
        assert_eq!(it.turn, idle.turn);
        it.posts(author, &author.to_string());
        assert_eq!(
            it.turn, idle.turn,
            "mentioning oneself is mentioning nobody"
        );
    }
}

#[test]
fn rule_1_a_mention_starts_a_round_even_where_nobody_is_left_in_the_order() {
    let mut it = Channel::of("a", "z");
    it.posts('a', "z");
    assert_eq!(it.stack(), ["a>", ">z"]);
    it.pass("z");
    assert_eq!(it.speaker(), "");
    let mut it = Channel::of("", "yz");
    it.posts('y', "z");
    assert_eq!(it.stack(), [">", ">z"]);
    it.posts('z', "");
    assert_eq!(it.speaker(), "");
}

#[test]
fn rule_2_a_message_by_the_speaker_ends_its_turn_and_the_cursor_moves_on() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    it.posts('b', "");
    assert_eq!(it.stack(), ["ab>c"]);
    assert_eq!(it.wake(), Some((2, false)));
}

#[test]
fn rule_3_a_jump_does_not_move_the_cursor_and_uses_up_the_slot_of_the_jumper() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    it.posts('c', "");
    assert_eq!(it.stack(), ["a>bcd"]);
    assert_eq!(it.spoken(), "ac");
    it.posts('b', "");
    assert_eq!(it.stack(), ["abc>d"]);
}

#[test]
fn rule_3_the_speaker_is_woken_again_with_the_message_of_the_jumper() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    assert_eq!(it.turn.ack(&user('b'), &message(1)), Ok(true));
    it.posts('c', "");
    assert_eq!((it.speaker().as_str(), it.wake()), ("b", Some((2, false))));
}

#[test]
fn rule_3_mentions_of_a_jumper_are_asked_before_the_speaker() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    it.posts('c', "d");
    assert_eq!(it.stack(), ["a>bcd", ">d"]);
    it.posts('d', "");
    assert_eq!(it.stack(), ["a>bcd"]);
}

#[test]
fn rule_4_a_pass_puts_the_speaker_among_the_done_and_moves_the_cursor_on() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    it.pass("b");
    assert_eq!(it.done(), "ab");
    assert_eq!(it.stack(), ["ab>c"]);
    assert_eq!(it.spoken(), "a");
}

#[test]
fn rule_4_whoever_is_done_is_skipped_in_every_frame() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    it.posts('d', "bc");
    it.posts('a', "cb");
    assert_eq!(it.stack(), ["a>bcd", ">bc", ">cb"]);
    it.pass("c");
    assert_eq!(it.stack(), ["a>bcd", ">bc", "c>b"]);
    it.pass("b");
    assert_eq!(
        it.speaker(),
        "d",
        "b and c are done, in the frame below and in the root"
    );
    assert_eq!(it.done(), "abc");
}

#[test]
fn rule_4_with_everybody_in_the_order_done_the_channel_is_idle_across_rounds_too() {
    let mut it = Channel::of("abc", "");
    it.posts('b', "");
    assert_eq!(it.stack(), ["ab>c"]);
    it.pass("c");
    assert_eq!(
        it.speaker(),
        "a",
        "the round has ended, but a was not asked"
    );
    it.pass("a");
    assert_eq!((it.speaker(), it.stack()), (String::new(), vec![]));
    assert_eq!(
        (it.done(), it.spoken(), it.wake()),
        (String::new(), String::new(), None)
    );
}

#[test]
fn rule_4_with_mentions_open_the_channel_is_not_idle_though_everybody_in_the_order_is_done() {
    let mut it = Channel::of("ab", "yz");
    it.posts('a', "byz");
    it.pass("by");
    assert_eq!(it.speaker(), "z");
    assert_eq!(it.done(), "aby");
    it.pass("z");
    assert_eq!(it.speaker(), "");
}

#[test]
fn rule_4_everybody_is_asked_about_the_newest_message_once() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    it.pass("bc");
    it.posts('d', "");
    let mut asked = String::new();
    while let Some(speaker) = it.speaker().chars().next() {
        asked.push(speaker);
        it.pass(&speaker.to_string());
    }
    let mut sorted: Vec<_> = asked.chars().collect();
    sorted.sort_unstable();
    assert_eq!(sorted, ['a', 'b', 'c'], "{asked}");
}

#[test]
fn rule_4_a_pass_that_answers_another_message_than_the_waking_one_is_refused() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    it.posts('c', "");
    let before = it.clone();
    let pass = |it: &mut Channel, number| {
        let answered = message(number);
        let (turn, rng) = (&mut it.turn, &mut it.rng);
        turn.no_reply(rng, &user('b'), Some(&answered))
    };
    assert_eq!(pass(&mut it, 1), Err(Refused::Superseded));
    assert_eq!(it, before);
    assert_eq!(pass(&mut it, 2), Ok(()));
    it.posts('c', "b");
    it.leaves('b');
    assert!(it.turn.due().is_some());
    let before = it.clone();
    let passed = it.turn.no_reply(&mut it.rng, &user('a'), Some(&message(3)));
    assert_eq!(passed, Err(Refused::Superseded), "it was not woken yet");
    assert_eq!(it, before);
}

#[test]
fn rule_4_a_pass_of_anybody_else_is_refused() {
    let mut it = Channel::of("abc", "z");
    let pass = |it: &mut Channel, name| it.turn.no_reply(&mut it.rng, &user(name), None);
    assert_eq!(pass(&mut it, 'a'), Err(Refused::Idle));
    it.posts('a', "");
    let before = it.clone();
    for name in ['a', 'c', 'z', 'x'] {
        assert_eq!(pass(&mut it, name), Err(Refused::NotCurrent));
    }
    assert_eq!(it, before);
}

#[test]
fn rule_5_any_member_passes_for_the_speaker() {
    let mut it = Channel::of("abc", "");
    assert_eq!(it.turn.force_proceed(&mut it.rng, None), Err(Refused::Idle));
    it.posts('a', "");
    let mut by_itself = it.clone();
    by_itself.pass("b");
    let stale = it.turn.force_proceed(&mut it.rng, Some(&message(7)));
    assert_eq!(stale, Err(Refused::Superseded));
    let forced = it.turn.force_proceed(&mut it.rng, Some(&message(1)));
    assert_eq!(forced, Ok(()));
    assert_eq!(it, by_itself);
}

#[test]
fn rule_6_a_round_ends_with_an_order_in_which_its_last_is_not_the_first() {
    let mut drawn = BTreeSet::new();
    for seed in 0..200 {
        let mut it = Channel::of("abc", "");
        it.rng = Rng::from_number(seed);
        it.posts('a', "");
        it.posts('b', "");
        it.posts('c', "");
        drawn.insert(it.order());
        let next = if it.order().starts_with('a') {
            "a"
        } else {
            "b"
        };
        assert_eq!(it.speaker(), next);
    }
    let drawn: Vec<_> = drawn.iter().map(String::as_str).collect();
    assert_eq!(drawn, ["abc", "acb", "bac", "bca"]);
}

#[test]
fn rule_6_two_keep_their_order_and_one_goes_on_alone() {
    let mut it = Channel::of("ab", "");
    it.posts('a', "");
    for author in "bababa".chars() {
        it.posts(author, "");
        assert_eq!(it.order(), "ab");
    }
    let mut it = Channel::of("a", "z");
    it.posts('z', "");
    it.posts('a', "z");
    it.posts('z', "");
    assert_eq!(it.stack(), [">a"]);
}

#[test]
fn rule_6_the_end_of_a_round_gives_everybody_a_slot_again() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    it.posts('c', "");
    assert_eq!(it.spoken(), "ac");
    it.posts('b', "");
    assert_eq!(it.spoken(), "", "b was the last of the round, c had spoken");
    assert_ne!(it.speaker(), "b");
    assert_eq!(it.done(), "b");
}

#[test]
fn rule_6_the_root_cursor_skips_who_has_spoken_in_a_mention() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "c");
    it.posts('c', "");
    it.posts('b', "");
    assert_eq!(it.stack(), ["abc>d"]);
}

#[test]
fn rule_6_the_first_round_runs_from_its_start_to_the_end() {
    let mut it = Channel::of("abcd", "");
    it.posts('c', "");
    assert_eq!(it.stack(), ["abc>d"]);
    it.posts('d', "");
    assert_eq!(it.stack().concat().chars().next(), Some('>'), "a new round");
    assert_eq!(it.spoken(), "");
}

#[test]
fn rule_7_the_members_whom_a_message_mentions_are_asked_once_in_order_of_appearance() {
    let mut it = Channel::of("abc", "z");
    it.posts('a', "zxcazc");
    assert_eq!(it.stack(), ["a>bc", ">zc"]);
    it.posts('z', "");
    assert_eq!(it.stack(), ["a>bc", "z>c"]);
    it.posts('c', "xc");
    assert_eq!(it.stack(), ["a>bc"]);
}

#[test]
fn rule_7_the_cursor_moves_on_before_a_frame_is_pushed() {
    let mut it = Channel::of("abc", "");
    it.posts('a', "");
    it.posts('b', "a");
    assert_eq!(it.stack(), ["ab>c", ">a"]);
    it.posts('a', "b");
    assert_eq!(
        it.stack(),
        ["ab>c", ">b"],
        "the frame of a had come to its end"
    );
    it.posts('c', "a");
    assert_eq!(it.stack(), ["ab>c", ">b", ">a"], "a jump moves nothing");
}

#[test]
fn rule_7_with_five_frames_nothing_is_pushed() {
    let mut it = Channel::of("abcdef", "");
    it.posts('a', "");
    for (author, mentions) in [('c', "d"), ('e', "f"), ('a', "b"), ('c', "d"), ('e', "f")] {
        it.posts(author, mentions);
    }
    assert_eq!(it.stack(), ["a>bcdef", ">d", ">f", ">b", ">d"]);
    it.posts('d', "c");
    assert_eq!(
        it.stack(),
        ["a>bcdef", ">d", ">f", ">b", ">c"],
        "there is room again"
    );
}

#[test]
fn rule_7_a_frame_that_has_ended_gives_way_to_the_one_below_where_it_was() {
    let mut it = Channel::of("abcd", "");
    it.posts('a', "");
    it.posts('a', "dc");
    it.posts('d', "");
    it.posts('a', "b");
    assert_eq!(it.stack(), ["a>bcd", "d>c", ">b"]);
    it.pass("b");
    assert_eq!(it.stack(), ["a>bcd", "d>c"]);
    it.posts('c', "");
    assert_eq!(it.stack(), ["a>bcd"]);
}

#[test]
fn rule_7_every_message_sets_done_to_its_author_alone_who_has_spoken() {
    let mut it = Channel::of("abcd", "z");
    it.posts('a', "");
    it.pass("b");
    it.posts('a', "z");
    assert_eq!((it.done().as_str(), it.spoken().as_str()), ("a", "a"));
    it.posts('z', "");
    assert_eq!((it.done().as_str(), it.spoken().as_str()), ("z", "az"));
}

#[test]
fn rule_7_an_author_never_waits_for_itself() {
    let mut it = Channel::of("ab", "");
    it.posts('a', "b");
    it.posts('b', "a");
    it.posts('a', "b");
    it.posts('a', "b");
    assert_eq!(it.speaker(), "b");
    it.posts('b', "");
    assert_eq!(it.speaker(), "a");
    it.pass("a");
    assert_eq!(it.speaker(), "");
}
