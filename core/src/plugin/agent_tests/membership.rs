//! Listings, joins and the pushes about memberships.

use super::*;

#[test]
fn a_push_that_comes_before_the_first_listing_is_kept() {
    let guild = Guild {
        holds: true,
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig.says("c", 1, "early");
    assert!(rig.inbounds.is_empty());
    rig.release("g");
    assert_eq!(rig.heard(), [["early"]]);
}

#[test]
fn pushes_about_memberships_act_at_once() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").channels.push(("d", "dm"));
    rig.push(
        "g",
        "channel.joined",
        &membership("d", json!({"xType": "dm"})),
    );
    assert_eq!(rig.joins, ["c", "d"]);
    rig.says("d", 1, "hello");
    assert_eq!(rig.heard(), [["hello"]]);
    rig.push("g", "channel.left", &membership("d", json!({})));
    rig.says("d", 2, "anybody?");
    assert_eq!(rig.heard().len(), 1);
    let stranger = json!({"channelId": "x", "userId": "stranger"});
    rig.push("g", "channel.joined", &stranger);
    assert_eq!(rig.joins.len(), 2);
}

#[test]
fn a_listing_does_not_undo_a_newer_push() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "general")]);
    rig.guild("g").holds = true;
    rig.pass(MINUTE);
    rig.push("g", "channel.left", &membership("d", json!({})));
    let old = ["c", "d"].map(|id| json!({"id": id, "xType": "general"}));
    rig.guild("g").body = Some(json!(old));
    rig.guild("g").channels = vec![("c", "general"), ("e", "dm")];
    rig.push(
        "g",
        "channel.joined",
        &membership("e", json!({"xType": "dm"})),
    );
    rig.release("g");
    rig.says("d", 1, "not to us");
    rig.says("e", 1, "to us");
    assert_eq!(rig.heard(), [["to us"]]);
}

#[test]
fn a_listing_finds_what_no_push_told() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").channels = vec![("d", "dm")];
    rig.pass(MINUTE);
    assert_eq!(rig.joins, ["c", "d"]);
    assert_eq!(rig.noted(|note| matches!(note, Note::Left { .. })), 1);
    assert_eq!(rig.noted(|note| matches!(note, Note::Joined { .. })), 2);
}

#[test]
fn a_message_of_an_unknown_kind_of_channel_is_held() {
    let mut rig = Rig::live(&[]);
    rig.guild("g").holds = true;
    rig.guild("g").channels = vec![("d", "dm")];
    rig.push("g", "channel.joined", &membership("d", json!({})));
    let silent = altered(message("d", 1, "hello"), json!({"wakeup": false}));
    rig.push("g", "message.created", &silent);
    assert!(rig.inbounds.is_empty());
    rig.release("g");
    assert_eq!(rig.heard(), [["hello"]]);
    assert_eq!(rig.inbounds[0].channel.name, "#d");
}

#[test]
fn the_kind_is_asked_for_until_it_is_told() {
    let mut rig = Rig::live(&[]);
    rig.guild("g").channels = vec![("d", "dm")];
    rig.guild("g").reads = [500, 403].into();
    rig.push("g", "channel.joined", &membership("d", json!({})));
    rig.says("d", 1, "hello");
    assert!(rig.inbounds.is_empty());
    rig.pass(25 * SECOND);
    assert_eq!(rig.heard(), [["hello"]]);
}

#[test]
fn the_kind_is_asked_for_as_soon_as_there_is_a_token() {
    let mut rig = Rig::with(
        Config {
            listing_every: 60 * MINUTE,
            ..config()
        },
        &[("g", Guild::new(&[]))],
    );
    rig.start();
    rig.pass(9 * MINUTE);
    let logins = rig.login_count;
    rig.guild("g").channels = vec![("d", "dm")];
    rig.push("g", "channel.joined", &membership("d", json!({})));
    rig.says("d", 1, "hello");
    rig.pass(SECOND);
    assert_eq!(rig.login_count, logins + 1, "the session was old");
    assert_eq!(rig.heard(), [["hello"]]);
}

#[test]
fn a_refused_listing_costs_one_login_and_then_waits() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").listings = [401].into();
    rig.pass(MINUTE);
    assert_eq!(rig.login_count, 2);
    assert_eq!(
        rig.noted(|note| matches!(note, Note::ListingFailed { .. })),
        0
    );
    rig.guild("g").listings = [401; 100].into();
    rig.pass(2 * MINUTE);
    assert!(rig.login_count <= 10, "{}", rig.login_count);
    rig.guild("g").listings.clear();
    rig.pass(MINUTE);
    rig.guild("g").channels = vec![("d", "dm")];
    rig.pass(MINUTE);
    assert_eq!(rig.joins, ["c", "d"]);
}

#[test]
fn a_listing_that_fails_is_tried_again_with_backoff() {
    for status in [403, 404, 500, 503] {
        let mut rig = Rig::live(&[("c", "general")]);
        rig.guild("g").listings = [status; 5].into();
        let before = rig.asked.len();
        rig.pass(MINUTE + 10 * SECOND);
        let asked = rig.asked.len() - before;
        assert!((2..=5).contains(&asked), "{status}: {asked}");
        rig.guild("g").listings.clear();
        rig.pass(MINUTE);
        assert!(rig.is_live("g"));
    }
}

#[test]
fn a_listing_without_an_answer_is_given_up_and_made_again() {
    let guild = Guild {
        holds: true,
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig.pass(10 * SECOND);
    assert_eq!(rig.forgotten.len(), 1);
    assert!(!rig.is_live("g"));
    rig.guild("g").holds = false;
    rig.pass(2 * SECOND);
    assert!(rig.is_live("g"));
}

#[test]
fn a_join_that_fails_is_tried_again() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").join_error = Some("silence");
    rig.reset("g");
    rig.pass(15 * SECOND);
    assert!(rig.is_live("g"), "it was tried");
    rig.guild("g").join_error = None;
    rig.pass(10 * SECOND);
    rig.says("c", 1, "hello");
    assert_eq!(rig.heard(), [["hello"]]);
}

#[test]
fn two_guilds_may_use_the_same_channel_id() {
    let guild = Guild::new(&[("c", "general")]);
    let mut rig = Rig::new(&[("g", guild.clone()), ("h", guild)]);
    rig.start();
    rig.push("g", "message.created", &message("c", 1, "in g"));
    rig.push("h", "message.created", &message("c", 1, "in h"));
    assert_eq!(
        rig.heard(),
        [["in g"], ["in h"]],
        "neither waits for the other"
    );
    let call = rig.send("c", None, "where?");
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("one of g, h")));
    let call = rig.send("c", Some("h"), "there");
    assert!(matches!(rig.answer(call), Some(Ok(ToolAnswer::Sent(_)))));
}

#[test]
fn the_second_guild_with_a_channel_id_has_a_session_of_its_own() {
    let guild = Guild::new(&[("c", "general")]);
    let mut rig = Rig::new(&[("g", guild.clone()), ("h", guild)]);
    rig.start();
    let told = |rig: &Rig| rig.inbounds.last().unwrap().session_id.clone();
    rig.push("h", "message.created", &message("c", 1, "in h"));
    assert_eq!(told(&rig), "s_fab_c_h");
    rig.push("g", "message.created", &message("c", 1, "in g"));
    assert_eq!(told(&rig), "s_fab_c");
    rig.done(0);
    rig.push("g", "channel.left", &membership("c", json!({})));
    rig.push("h", "message.created", &message("c", 2, "in h"));
    assert_eq!(told(&rig), "s_fab_c_h", "a session lasts");
}

#[test]
fn a_listing_waits_as_long_as_the_guild_asks_for() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").listings = [429].into();
    let before = rig.asked.len();
    rig.pass(MINUTE + 19 * SECOND);
    assert_eq!(rig.asked.len(), before + 1);
    rig.pass(SECOND);
    assert_eq!(rig.asked.len(), before + 2);
}

#[test]
fn a_channel_that_cannot_be_read_does_not_hide_the_others() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "dm")]);
    for _ in 0..2 {
        rig.guild("g").body = Some(json!([
            {"id": "v", "name": "a kind of tomorrow", "xType": "voice"},
            {"id": "c", "xType": "voice"},
            {"id": "e", "xType": "dm"},
            7,
        ]));
        rig.pass(MINUTE);
    }
    assert_eq!(rig.joins, ["c", "d", "e"]);
    rig.says("c", 1, "still here");
    assert_eq!(rig.heard(), [["still here"]]);
    assert_eq!(
        rig.noted(|note| matches!(note, Note::Left { .. })),
        1,
        "only d"
    );
    let told = rig.noted(|note| matches!(note, Note::ListingFailed { .. }));
    assert_eq!(told, 1, "said once: {:?}", rig.notes);
}

#[test]
fn many_new_channels_are_read_a_few_at_a_time() {
    let mut rig = Rig::live(&[]);
    rig.guild("g").holds = true;
    for channel in 0..100 {
        let joined = membership(&format!("c{channel:02}"), json!({}));
        rig.push("g", "channel.joined", &joined);
    }
    assert_eq!(rig.open.len(), 16);
    rig.push("g", "channel.left", &membership("c00", json!({})));
    assert_eq!(rig.forgotten.len(), 1, "its request is not waited for");
    assert_eq!(rig.open.len(), 17);
    let mut answered = 0;
    while let Some((id, _, request)) = rig.open.pop() {
        let channel = request.target.rsplit('/').next().unwrap();
        let body = json!({"id": channel, "xType": "dm"});
        let answer = played::respond(200, &body);
        rig.step(Some(Input::Http(id, Ok(answer))));
        answered += 1;
    }
    assert_eq!(answered, 100);
}

/// A guild that cannot be asked for one channel has told of a new one.
#[test]
fn a_new_channel_of_a_guild_that_reads_none_is_listed_at_once() {
    let mut rig = Rig::live(&[]);
    rig.guild("g").reads = [404; 100].into();
    rig.guild("g").last_seq = None;
    rig.guild("g").channels = vec![("c", "general"), ("d", "general")];
    for channel in ["c", "d"] {
        rig.push("g", "channel.joined", &membership(channel, json!({})));
    }
    let listings = |rig: &Rig| {
        let asked = rig.asked.iter();
        asked.filter(|asked| asked.contains("/channels?")).count()
    };
    let before = listings(&rig);
    rig.pass(SECOND);
    assert_eq!(listings(&rig), before + 1, "one for both");
    rig.says("c", 1, "hello");
    rig.pass(SECOND);
    assert_eq!(rig.heard(), [["hello"]]);
    rig.pass(MINUTE - 2 * SECOND);
    assert_eq!(listings(&rig), before + 1);
}

/// The same where the listing does not tell of it either.
#[test]
fn a_channel_that_cannot_be_read_at_all_does_not_hurry_the_listings() {
    let mut rig = Rig::live(&[]);
    rig.guild("g").reads = [404; 100].into();
    rig.push("g", "channel.joined", &membership("c", json!({})));
    let before = rig.asked.len();
    rig.guild("g").holds = true;
    rig.pass(SECOND);
    rig.guild("g").body = Some(json!([{"id": "c", "xType": "of the future"}]));
    rig.release("g");
    for _ in 0..10 {
        rig.guild("g").body = Some(json!([{"id": "c", "xType": "of the future"}]));
        rig.pass(MINUTE);
    }
    let asked = rig.asked.len() - before;
    assert!(
        asked <= 2 * 20,
        "{asked} requests in ten minutes: {:?}",
        rig.asked
    );
}

/// The join of a known channel is answered before the listing tells that it is another membership.
#[test]
fn what_was_said_between_two_memberships_is_not_heard() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.done(0);
    let guild = rig.guild("g");
    guild.history = [(1, "one"), (2, "not to us"), (3, "three")]
        .map(|(seq, content)| message("c", seq, content))
        .into();
    guild.last_seq = Some(3);
    guild.joined_seq = Some(2);
    guild.holds = true;
    rig.reset("g");
    rig.pass(5 * SECOND);
    rig.open.reverse();
    rig.release("g");
    rig.pass(SECOND);
    rig.done(1);
    assert_eq!(rig.heard(), [["one"], ["three"]]);
}

/// What an earlier process has acked may be lost: the guild tells it again.
#[test]
fn the_first_join_of_a_process_says_that_it_is_one() {
    let mut rig = Rig::new(&[("g", Guild::new(&[("c", "discuss")]))]);
    rig.guild("g").join_error = Some("forbidden");
    rig.start();
    rig.pass(MINUTE);
    rig.guild("g").join_error = None;
    rig.pass(MINUTE);
    let refused = rig.fresh.len();
    assert!(
        rig.is_live("g") && rig.fresh.iter().all(|fresh| *fresh),
        "{:?}",
        rig.fresh
    );
    rig.reset("g");
    rig.pass(MINUTE);
    assert_eq!(rig.fresh[refused..], [false]);
    rig.restart();
    assert_eq!(rig.fresh[refused..], [false, true]);
}
