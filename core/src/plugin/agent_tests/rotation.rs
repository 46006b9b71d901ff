//! Make before break: a connection is replaced while it goes on.

use super::*;

/// A guild whose connection is being replaced, and goes on being so: the guild does not answer the
/// joins on the second one. Gives the two.
fn rotating(channels: &[(&'static str, &'static str)]) -> (Rig, ConnId, ConnId) {
    let mut rig = Rig::live(channels);
    rig.guild("g").join_error = Some("silence");
    while rig.conns.len() < 2 {
        rig.pass(SECOND);
    }
    let (old, new) = (rig.conn("g"), *rig.conns.keys().next_back().unwrap());
    (rig, old, new)
}

/// The guild answers the joins again, and they are made once more.
fn answers(rig: &mut Rig) {
    rig.guild("g").join_error = None;
    rig.pass(12 * SECOND);
}

fn rotated(rig: &Rig) -> usize {
    rig.noted(|note| matches!(note, Note::Rotated { .. }))
}

fn listing(channels: &[&str], last_seq: u64) -> Option<Value> {
    let listed = channels
        .iter()
        .map(|id| json!({"id": id, "xType": "general", "lastSeq": last_seq}));
    Some(listed.collect())
}

#[test]
fn a_connection_is_replaced_between_75_and_85_percent_of_its_tokens_life() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "dm")]);
    let old = rig.conn("g");
    rig.pass(11 * MINUTE + 14 * SECOND);
    assert_eq!((rig.conn("g"), rig.login_count), (old, 2));
    rig.pass(92 * SECOND);
    assert_ne!(rig.conn("g"), old);
    assert_eq!(rig.conns.len(), 1, "the old one is closed");
    assert_eq!(rig.tokens, ["g-1", "g-2"]);
    assert_eq!(rig.joins, ["c", "d", "c", "d"]);
    assert_eq!((rotated(&rig), rig.conns_max), (1, 2));
    assert_eq!(rig.noted(|note| matches!(note, Note::Down { .. })), 0);
    assert_eq!(rig.noted(|note| matches!(note, Note::Live { .. })), 1);
    rig.says("c", 1, "hello");
    assert_eq!(rig.heard(), [["hello"]]);
    rig.pass(60 * MINUTE);
    assert!((5..=9).contains(&rotated(&rig)), "{}", rotated(&rig));
    assert_eq!(rig.conns_max, 2);
}

#[test]
fn the_moment_is_another_one_each_time() {
    let mut rig = Rig::live(&[("c", "general")]);
    let mut moments = vec![];
    for _ in 0..4 {
        let (began, before) = (rig.now, rotated(&rig));
        while rotated(&rig) == before {
            rig.pass(SECOND);
        }
        moments.push(rig.now.since(began).as_secs());
    }
    moments.sort_unstable();
    moments.dedup();
    assert!(moments.len() > 1, "{moments:?}");
}

#[test]
fn the_second_connection_has_a_token_that_dies_later() {
    let mut rig = Rig::live(&[("c", "general")]);
    // A session as old as the first one serves everything else.
    rig.pass(7 * MINUTE);
    assert_eq!(rig.login_count, 1);
    rig.guild("g").join_error = Some("token_expired");
    rig.guild("g").channels.push(("d", "dm"));
    rig.pass(MINUTE);
    rig.guild("g").join_error = None;
    rig.pass(5 * SECOND);
    assert_eq!(rotated(&rig), 1);
    assert_eq!(rig.conns_max, 2, "the first one went on");
    assert_ne!(rig.tokens[1], "g-1");
    assert_eq!(rig.noted(|note| matches!(note, Note::Down { .. })), 0);
}

#[test]
fn without_a_later_token_the_connection_goes_on_past_the_end_of_its_own() {
    let mut rig = Rig::live(&[("c", "general")]);
    let old = rig.conn("g");
    rig.pass(7 * MINUTE);
    rig.center = Center::Refuses(503);
    rig.pass(20 * MINUTE);
    assert_eq!(rig.conn("g"), old);
    assert!(rig.is_live("g"));
    let failed = rig.noted(|note| matches!(note, Note::NotRotated { .. }));
    assert_eq!(failed, 1, "said once");
    rig.says("c", 1, "still there?");
    assert_eq!(rig.heard(), [["still there?"]]);
    rig.center = Center::Grants(vec!["g"], 15 * MINUTE);
    rig.pass(MINUTE);
    assert_ne!(rig.conn("g"), old);
    assert!(rig.is_live("g"));
}

#[test]
fn a_token_that_dies_no_later_is_no_reason_to_log_in_for_ever() {
    let mut rig = Rig::live(&[("c", "general")]);
    let old = rig.conn("g");
    rig.center = Center::Grants(vec!["g"], 100 * SECOND);
    rig.pass(13 * MINUTE);
    assert!(rig.login_count <= 16, "{}", rig.login_count);
    rig.pass(5 * MINUTE);
    assert_ne!(rig.conn("g"), old, "a moment that is past means now");
}

#[test]
fn a_push_on_either_connection_counts_once() {
    let (mut rig, old, new) = rotating(&[("c", "general"), ("d", "general")]);
    for (seq, conns) in [(1, [old, new]), (2, [new, old])] {
        for conn in conns {
            let row = message("c", seq, &seq.to_string());
            rig.push_on(conn, "message.created", &row);
        }
    }
    rig.done(0);
    assert_eq!(rig.heard(), [["1"], ["2"]]);
    answers(&mut rig);
    assert_eq!(rotated(&rig), 1);
    rig.push_on(new, "message.created", &message("c", 3, "3"));
    rig.done(1);
    assert_eq!(rig.heard().len(), 3);
}

#[test]
fn what_one_connection_brings_late_is_waited_for_before_history_is_read() {
    let (mut rig, old, new) = rotating(&[("c", "general")]);
    let asked = rig.asked.len();
    rig.push_on(new, "message.created", &message("c", 2, "two"));
    rig.pass(Duration::from_millis(249));
    rig.push_on(old, "message.created", &message("c", 1, "one"));
    rig.pass(SECOND);
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    assert_eq!(rig.asked.len(), asked);
    rig.guild("g").history = vec![message("c", 3, "three")];
    rig.guild("g").last_seq = Some(3);
    answers(&mut rig);
    rig.done(1);
    assert_eq!(
        rig.heard(),
        [["one"], ["two"], ["three"]],
        "the ack told of it"
    );
}

#[test]
fn memberships_change_on_either_connection_and_joins_go_to_both() {
    let (mut rig, old, new) = rotating(&[("c", "general")]);
    let before = rig.joins.len();
    rig.guild("g").join_error = None;
    rig.guild("g").channels.push(("d", "dm"));
    let joined = membership("d", json!({"xType": "dm"}));
    rig.push_on(new, "channel.joined", &joined);
    rig.push_on(old, "channel.joined", &joined);
    assert_eq!(rig.joins[before..], ["d", "d"]);
    rig.push_on(old, "message.created", &message("d", 1, "hello"));
    assert_eq!(rig.heard(), [["hello"]]);
    let left = json!(["leave_channel", {"channelId": "d"}]);
    rig.push_on(old, "channel.left", &membership("d", json!({})));
    rig.push_on(new, "channel.left", &membership("d", json!({})));
    let leaves = rig.emitted.iter().filter(|event| **event == left);
    assert_eq!(leaves.count(), 2);
}

#[test]
fn a_new_connection_that_dies_leaves_the_old_one() {
    let (mut rig, old, new) = rotating(&[("c", "general")]);
    rig.reset_conn(new);
    assert!(rig.is_live("g"));
    assert_eq!(rig.noted(|note| matches!(note, Note::NotRotated { .. })), 1);
    rig.push_on(old, "message.created", &message("c", 1, "hello"));
    assert_eq!(rig.heard(), [["hello"]]);
    rig.guild("g").join_error = None;
    rig.pass(5 * SECOND);
    assert_eq!(rotated(&rig), 1);
}

#[test]
fn a_rotation_whose_joins_are_not_answered_is_given_up_and_tried_again() {
    let (mut rig, old, new) = rotating(&[("c", "general")]);
    rig.pass(MINUTE);
    assert!(rig.is_live("g"));
    assert_eq!(rig.conn("g"), old);
    assert!(!rig.conns.contains_key(&new));
    answers(&mut rig);
    rig.pass(MINUTE);
    assert_eq!(rotated(&rig), 1);
    assert_eq!(rig.conns_max, 2);
}

#[test]
fn where_the_old_connection_dies_first_the_new_one_becomes_the_link() {
    let (mut rig, old, new) = rotating(&[("c", "general"), ("d", "general")]);
    rig.push_on(new, "message.created", &message("c", 5, "far ahead"));
    rig.reset_conn(old);
    assert!(!rig.is_live("g"), "nothing is joined yet");
    assert_eq!(rig.conns.keys().collect::<Vec<_>>(), [&new]);
    rig.guild("g").last_seq = Some(1);
    rig.guild("g").history = vec![message("c", 1, "meanwhile"), message("d", 1, "too")];
    answers(&mut rig);
    assert!(rig.is_live("g"));
    assert_eq!(rig.conn("g"), new);
    rig.pass(3 * SECOND);
    rig.done(0);
    let heard: Vec<_> = rig.heard().into_iter().flatten().collect();
    assert!(
        heard.contains(&"meanwhile") && heard.contains(&"too"),
        "{heard:?}"
    );
}

#[test]
fn an_old_connection_that_dies_while_center_is_silent_needs_no_later_token() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").history = vec![message("c", 1, "unheard")];
    rig.guild("g").body = listing(&["c"], 1);
    rig.center = Center::Holds;
    rig.pass(MINUTE + 11 * SECOND);
    assert_eq!(rig.logins.len(), 1, "a later token is asked for");
    rig.guild("g").last_seq = Some(1);
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert!(rig.is_live("g"));
    assert_eq!(rig.tokens, ["g-1", "g-1"]);
}

#[test]
fn a_listing_that_tells_of_more_than_was_pushed_shows_a_deaf_connection() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "general")]);
    let old = rig.conn("g");
    rig.guild("g").history = vec![message("c", 1, "unheard"), message("d", 1, "heard")];
    rig.guild("g").body = listing(&["c", "d"], 1);
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["unheard"], ["heard"]], "history at once");
    rig.push_on(old, "message.created", &message("d", 1, "heard"));
    rig.guild("g").last_seq = Some(1);
    rig.pass(9 * SECOND);
    assert_eq!(rig.conn("g"), old);
    rig.pass(2 * SECOND);
    assert_ne!(rig.conn("g"), old);
    let deaf = |note: &Note| matches!(note, Note::Deaf { channel, .. } if channel.as_str() == "c");
    assert_eq!(rig.noted(deaf), 1);
    assert_eq!(rig.noted(|note| matches!(note, Note::Deaf { .. })), 1);
    rig.pass(5 * MINUTE);
    assert_eq!(rotated(&rig), 1, "the new one hears");
}

#[test]
fn a_guild_that_tells_no_seq_in_its_listings_is_tested_by_its_newest_messages() {
    let guild = Guild {
        last_seq: None,
        history: vec![message("c", 1, "long ago")],
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig.pass(2 * MINUTE);
    assert_eq!(rotated(&rig), 0);
    rig.guild("g").history.push(message("c", 2, "unheard"));
    rig.pass(MINUTE + 11 * SECOND);
    assert_eq!(rig.heard(), [["unheard"]]);
    assert_eq!(rotated(&rig), 1);
}

#[test]
fn a_guild_without_acks_is_tested_for_deafness_too() {
    let guild = Guild {
        join_error: Some("silence"),
        history: vec![message("c", 1, "long ago")],
        ..Guild::new(&[("c", "general")])
    };
    let config = Config {
        join_acks: false,
        ..config()
    };
    let mut rig = Rig::with(config, &[("g", guild)]);
    rig.start();
    assert!(rig.is_live("g"));
    rig.pass(2 * MINUTE);
    assert_eq!(rotated(&rig), 0, "nobody waits for an ack");
    rig.guild("g").history.push(message("c", 2, "unheard"));
    rig.pass(MINUTE + 11 * SECOND);
    assert_eq!(rotated(&rig), 1);
}

#[test]
fn a_join_that_is_not_answered_three_times_replaces_the_connection() {
    let mut rig = Rig::live(&[("c", "general")]);
    let old = rig.conn("g");
    rig.guild("g").join_error = Some("silence");
    rig.push(
        "g",
        "channel.joined",
        &membership("d", json!({"xType": "dm"})),
    );
    rig.pass(32 * SECOND);
    assert_eq!(rig.conns_max, 1);
    rig.guild("g").join_error = None;
    rig.pass(2 * SECOND);
    assert_eq!(rotated(&rig), 1);
    assert_ne!(rig.conn("g"), old);
    assert_eq!(rig.noted(|note| matches!(note, Note::Down { .. })), 0);
}

#[test]
fn shutdown_closes_both_connections() {
    let (mut rig, ..) = rotating(&[("c", "general")]);
    rig.step(Some(Input::Shutdown));
    assert!(rig.conns.is_empty() && rig.agent.next_wakeup().is_none());
}

#[test]
fn why_a_connection_is_not_replaced_is_said_again_of_another_one() {
    let (mut rig, _, new) = rotating(&[("c", "general")]);
    let said = |rig: &Rig| rig.noted(|note| matches!(note, Note::NotRotated { .. }));
    rig.dials = false;
    rig.reset_conn(new);
    rig.pass(2 * MINUTE);
    assert_eq!(said(&rig), 2, "that it died, and that it cannot be dialed");
    rig.guild("g").join_error = None;
    rig.reset("g");
    rig.dials = true;
    rig.pass(MINUTE);
    rig.dials = false;
    rig.pass(15 * MINUTE);
    assert_eq!(said(&rig), 3);
}
