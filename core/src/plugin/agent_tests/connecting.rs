//! From the first login to a live link, and what can go wrong on the way.

use super::*;

#[test]
fn the_first_login_leads_to_a_live_link() {
    let rig = Rig::live(&[("c", "general"), ("d", "dm")]);
    assert_eq!(rig.login_count, 1);
    assert_eq!(rig.tokens, ["g-1"]);
    assert_eq!(rig.joins, ["c", "d"]);
    assert_eq!(
        rig.noted(|note| matches!(note, Note::Live { channels: 2, .. })),
        1
    );
}

#[test]
fn who_sees_the_members_is_told_of_each_connection_that_is_live() {
    let mut rig = Rig::live(&[("c", "general")]);
    let online = json!(["presence", {"status": "online"}]);
    assert_eq!(rig.emitted, core::slice::from_ref(&online));
    rig.pass(5 * MINUTE);
    assert_eq!(rig.emitted.len(), 1);
    rig.guild("g").join_error = Some("silence");
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert_eq!(rig.emitted.len(), 1, "it hears nobody yet");
    rig.guild("g").join_error = None;
    rig.pass(MINUTE);
    assert_eq!(rig.emitted, [online.clone(), online]);
}

#[test]
fn every_dial_asks_for_the_token_anew() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(MINUTE);
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert!(rig.is_live("g"));
    assert_eq!(rig.tokens, ["g-1", "g-1"], "the session is fresh");
    rig.pass(8 * MINUTE);
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert!(rig.is_live("g"));
    assert_eq!(rig.tokens[2], "g-2", "eight minutes are over");
}

#[test]
fn a_connect_refused_for_its_token_leads_to_a_new_login() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").refuses = Some("unauthorized");
    rig.reset("g");
    rig.pass(5 * SECOND);
    rig.guild("g").refuses = None;
    rig.pass(10 * SECOND);
    assert!(rig.is_live("g"));
    let (first, last) = (&rig.tokens[1], rig.tokens.last().unwrap());
    assert_eq!(first, "g-1");
    assert_ne!(first, last);
}

/// The logins that it takes are rationed, and the other guild's token is good.
#[test]
fn a_guild_that_refuses_every_token_holds_no_other_guild_up() {
    let mut rig = Rig::new(&[
        ("g", Guild::new(&[("c", "work")])),
        ("h", Guild::new(&[("d", "work")])),
    ]);
    rig.start();
    let guild = rig.guild("h");
    guild.refuses = Some("unauthorized");
    guild.listings = [401; 100].into();
    guild.reads = [401; 100].into();
    rig.push("h", "channel.joined", &membership("e", json!({})));
    rig.reset("h");
    rig.pass(2 * MINUTE);
    for seq in 1..=15 {
        rig.says("c", seq, "whose turn is it?");
        assert_eq!(rig.inbounds.len() as u64, seq, "its wake is asked about");
        let call = rig.send("c", None, "mine");
        assert!(matches!(rig.answer(call), Some(Ok(_))));
        rig.done(rig.inbounds.len() - 1);
        rig.pass(4 * SECOND);
    }
    assert!(rig.login_count > 15 && !rig.is_live("h"));
}

#[test]
fn another_refusal_keeps_the_session() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").refuses = Some("unavailable");
    rig.reset("g");
    rig.pass(20 * SECOND);
    rig.guild("g").refuses = None;
    rig.pass(20 * SECOND);
    assert!(rig.is_live("g"));
    assert_eq!(rig.login_count, 1);
}

#[test]
fn a_disconnect_right_after_connect_is_a_refusal_and_a_later_one_is_not() {
    let mut rig = Rig::live(&[("c", "general")]);
    let conn = rig.conn("g");
    rig.pass(4 * SECOND);
    rig.step(Some(frame(conn, "41/realtime,")));
    rig.pass(5 * SECOND);
    assert!(rig.is_live("g"));
    assert_eq!(rig.tokens, ["g-1", "g-2"]);
    let conn = rig.conn("g");
    rig.pass(6 * SECOND);
    rig.step(Some(frame(conn, "41/realtime,")));
    rig.pass(5 * SECOND);
    assert_eq!(rig.tokens, ["g-1", "g-2", "g-2"]);
}

#[test]
fn a_goodbye_of_the_guild_and_a_lost_transport_are_told_apart() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(MINUTE);
    let conn = rig.conn("g");
    rig.step(Some(frame(conn, "41/realtime,")));
    rig.pass(MINUTE);
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert!(rig.is_live("g"), "either is followed by another one");
    let ends = |words: &str| {
        rig.noted(|note| matches!(note, Note::Down { why, .. } if why.contains(words)))
    };
    assert_eq!(ends("the guild disconnected"), 1, "{:?}", rig.notes);
    assert_eq!(ends("reset"), 1, "{:?}", rig.notes);
}

#[test]
fn a_malformed_frame_ends_its_connection_with_a_reason_and_another_is_dialed() {
    for malformed in ["42/realtime,[", "x", "4", "42/realtime,{}", "49"] {
        let mut rig = Rig::live(&[("c", "general")]);
        let conn = rig.conn("g");
        rig.step(Some(frame(conn, malformed)));
        assert!(!rig.is_live("g"), "{malformed}");
        let said =
            |note: &Note| matches!(note, Note::Down { why, lived: Some(_), .. } if !why.is_empty());
        assert_eq!(rig.noted(said), 1, "{malformed}");
        rig.pass(5 * SECOND);
        assert!(rig.is_live("g"), "{malformed}");
        assert_ne!(rig.conn("g"), conn);
    }
}

#[test]
fn a_login_that_fails_is_tried_again_with_backoff() {
    let mut rig = Rig::new(&[("g", Guild::new(&[]))]);
    rig.center = Center::Refuses(503);
    rig.start();
    rig.pass(MINUTE);
    assert!((4..=12).contains(&rig.login_count), "{}", rig.login_count);
    rig.center(Center::Grants(vec!["g"], 15 * MINUTE));
    rig.pass(31 * SECOND);
    assert!(rig.is_live("g"));
}

#[test]
fn a_refused_account_is_said_once_and_tried_at_the_longest_delay() {
    let mut rig = Rig::new(&[("g", Guild::new(&[]))]);
    rig.center = Center::Refuses(401);
    rig.start();
    rig.pass(5 * MINUTE + SECOND);
    assert_eq!(rig.login_count, 11);
    assert_eq!(
        rig.noted(|note| matches!(note, Note::LoginFailed { .. })),
        1
    );
}

#[test]
fn a_login_without_an_answer_is_given_up_and_made_again() {
    let mut rig = Rig::new(&[("g", Guild::new(&[]))]);
    rig.center = Center::Holds;
    rig.start();
    rig.pass(12 * SECOND);
    assert_eq!(rig.login_count, 2);
    let late = rig.logins[0];
    assert_eq!(rig.forgotten, [Question::Login(late)]);
    rig.center = Center::Grants(vec!["g"], 15 * MINUTE);
    let late = rig.login(late);
    rig.step(late);
    assert!(!rig.is_live("g"), "that answer is not waited for any more");
    rig.pass(20 * SECOND);
    assert!(rig.is_live("g"));
}

#[test]
fn a_session_without_guilds_is_asked_for_again() {
    let mut rig = Rig::new(&[("g", Guild::new(&[]))]);
    rig.center = Center::Grants(vec![], 15 * MINUTE);
    rig.start();
    rig.pass(MINUTE);
    assert_eq!(rig.login_count, 3);
    rig.center = Center::Grants(vec!["g"], 15 * MINUTE);
    rig.pass(30 * SECOND);
    assert!(rig.is_live("g"));
}

#[test]
fn a_guild_that_is_missing_from_the_session_is_looked_for_once_more() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.center = Center::Grants(vec![], 15 * MINUTE);
    rig.pass(8 * MINUTE);
    let before = rig.login_count;
    rig.reset("g");
    rig.pass(4 * SECOND);
    assert!(rig.login_count <= before + 2);
    let told = rig.noted(
        |note| matches!(note, Note::Down { why, .. } if why.contains("no access to guild g")),
    );
    assert_eq!(told, 1, "{:?}", rig.notes);
    rig.center = Center::Grants(vec!["g"], 15 * MINUTE);
    rig.pass(31 * SECOND);
    assert!(rig.is_live("g"));
}

#[test]
fn a_login_as_somebody_else_stops_the_agent() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    let call = rig.send("c", None, "on its way");
    rig.user = "somebody";
    rig.pass(9 * MINUTE);
    assert_eq!(
        rig.noted(|note| matches!(note, Note::AccountChanged { .. })),
        1
    );
    assert!(rig.conns.is_empty() && rig.agent.next_wakeup().is_none());
    assert!(matches!(rig.answer(call), Some(Err(_))));
    let call = rig.send("c", None, "later");
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("somebody")));
}

#[test]
fn a_dial_without_an_answer_is_given_up() {
    let mut rig = Rig::live(&[]);
    rig.dials = false;
    rig.reset("g");
    rig.pass(MINUTE);
    assert!(!rig.is_live("g"));
    rig.dials = true;
    rig.pass(31 * SECOND);
    assert!(rig.is_live("g"));
}

#[test]
fn shutdown_closes_every_question() {
    let guild = Guild {
        holds: true,
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild.clone()), ("h", guild)]);
    rig.start();
    rig.release("g");
    rig.guild("g").holds = true;
    let call = rig.send("c", None, "on its way");
    assert_eq!(rig.open.len(), 2, "a listing and a post");
    rig.step(Some(Input::Shutdown));
    assert_eq!(rig.forgotten.len(), 3, "and what was left for the store");
    assert!(rig.conns.is_empty() && matches!(rig.answer(call), Some(Err(_))));
    rig.pass(MINUTE);
    let call = rig.send("c", None, "too late");
    assert_eq!(rig.answer(call), None);

    let mut rig = Rig::new(&[]);
    rig.center = Center::Holds;
    rig.start();
    rig.step(Some(Input::Shutdown));
    assert_eq!(rig.forgotten, [Question::Login(rig.logins[0])]);
}

#[test]
fn a_login_in_flight_is_shared() {
    let mut rig = Rig::new(&[("g", Guild::new(&[])), ("h", Guild::new(&[]))]);
    rig.start();
    rig.pass(8 * MINUTE - SECOND);
    assert_eq!(rig.login_count, 1);
    rig.center = Center::Holds;
    rig.pass(2 * SECOND);
    rig.reset("g");
    rig.reset("h");
    rig.pass(5 * SECOND);
    assert_eq!(rig.logins.len(), 1);
    rig.center(Center::Grants(vec!["g", "h"], 15 * MINUTE));
    assert!(rig.is_live("g") && rig.is_live("h"));
    rig.pass(MINUTE);
    assert_eq!(rig.login_count, 2);
}

#[test]
fn tokens_that_are_dead_on_arrival_are_an_error_with_backoff() {
    let mut rig = Rig::new(&[("g", Guild::new(&[]))]);
    rig.center = Center::Grants(vec!["g"], Duration::ZERO);
    rig.start();
    rig.pass(10 * MINUTE);
    assert!(rig.login_count < 60, "{}", rig.login_count);
    assert!(rig.noted(|note| matches!(note, Note::Down { .. })) > 0);
    rig.center = Center::Grants(vec!["g"], 15 * MINUTE);
    rig.pass(31 * SECOND);
    assert!(rig.is_live("g"));
}

#[test]
fn guilds_that_are_missing_do_not_starve_the_others() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "z"];
    let guilds = names.map(|id| (id, Guild::new(&[])));
    let mut rig = Rig::new(&guilds);
    rig.start();
    rig.center = Center::Grants(vec!["z"], 15 * MINUTE);
    rig.pass(8 * MINUTE);
    for id in names {
        rig.reset(id);
    }
    rig.pass(5 * SECOND);
    assert!(rig.is_live("z"), "{:?}", rig.notes);
    rig.pass(10 * MINUTE);
    rig.reset("z");
    rig.pass(5 * SECOND);
    assert!(rig.is_live("z"));
}

#[test]
fn a_token_that_a_join_calls_expired_is_not_used_again() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").join_error = Some("token_expired");
    rig.guild("g").channels.push(("d", "dm"));
    rig.pass(MINUTE);
    rig.guild("g").join_error = None;
    rig.pass(5 * SECOND);
    assert!(rig.is_live("g"));
    assert_ne!(rig.tokens[1], "g-1");
}

#[test]
fn a_disconnect_instead_of_an_answer_to_connect_is_a_refusal() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").refuses = Some("disconnect");
    rig.reset("g");
    rig.pass(3 * SECOND);
    rig.guild("g").refuses = None;
    rig.pass(10 * SECOND);
    assert!(rig.is_live("g"));
    assert_ne!(rig.tokens.last().unwrap(), "g-1");
}
