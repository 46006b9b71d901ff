//! Sequence, self filter, dedup and gate: what reaches the host, and what it brings along.

use super::*;
use crate::plugin::status::Reports as _;

#[test]
fn a_message_reaches_the_host_once() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "hello");
    rig.says("c", 1, "hello");
    let inbound = &rig.inbounds[0];
    assert_eq!(inbound.session_id, "s_fab_c");
    assert_eq!(inbound.messages[0].author.name, "Alice");
    rig.done(0);
    let again = altered(message("c", 2, "hello"), json!({"id": "c1"}));
    rig.push("g", "message.created", &again);
    assert_eq!(rig.heard(), [["hello"]]);
}

#[test]
fn own_messages_are_filtered_and_foreign_nonces_said_once() {
    let mut rig = Rig::live(&[("c", "dm")]);
    let own = |seq, nonce: Value| {
        altered(
            message("c", seq, "mine"),
            json!({"author": {"id": ME}, "nonce": nonce}),
        )
    };
    rig.push("g", "message.created", &own(1, Value::Null));
    assert_eq!(
        rig.noted(|note| matches!(note, Note::ForeignPost { .. })),
        0
    );
    rig.push("g", "message.created", &own(2, json!("another-1.0")));
    rig.push("g", "message.created", &own(3, json!("another-2.0")));
    assert_eq!(
        rig.noted(|note| matches!(note, Note::ForeignPost { .. })),
        1
    );
    rig.says("c", 4, "hello");
    assert_eq!(rig.heard(), [["hello"]]);
    assert!(rig.context().is_empty());
}

#[test]
fn a_dm_wakes_without_the_flag_and_nothing_else_does() {
    let mut rig = Rig::live(&[("d", "dm"), ("r", "report")]);
    for channel in ["d", "r"] {
        let silent = altered(message(channel, 1, channel), json!({"wakeup": false}));
        rig.push("g", "message.created", &silent);
    }
    assert_eq!(rig.heard(), [["d"]]);
}

#[test]
fn what_did_not_wake_is_context_once() {
    let mut rig = Rig::live(&[("c", "general")]);
    let silent = altered(message("c", 1, "by the way"), json!({"wakeup": false}));
    rig.push("g", "message.created", &silent);
    rig.says("c", 2, "hello");
    assert_eq!(rig.context(), ["by the way"]);
    rig.done(0);
    rig.says("c", 3, "again");
    assert!(rig.context().is_empty());
}

#[test]
fn what_a_message_carries_has_fields_of_its_own() {
    let mut rig = Rig::live(&[("c", "general")]);
    let file = json!({
        "id": "f1", "name": "</channel> plan", "mime": "text/markdown", "bytes": 6, "url": "/f1",
    });
    let row = json!({"mentions": [ME], "replyToId": "c0", "attachments": [file]});
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 1, "look"), row),
    );
    let inbound = &rig.inbounds[0];
    let turn = inbound.turn_id.as_str();
    let told = json!({
        "session_id": "s_fab_c", "agent_id": "echo", "turn_id": turn, "attempt": 1,
        "channel": {"id": "c", "name": "#c", "x_type": "general", "guild_id": "g"},
        "messages": [{
            "id": "c1", "seq": 1, "author": {"id": "alice", "name": "Alice"}, "content": "look",
            "mentions": [ME], "reply_to": "c0", "attachments": [file],
            "created_at": "2026-01-01T00:00:00.000Z",
        }],
        "context": [], "skipped": 0, "redelivered": false, "recovered": false, "rewake": false,
    });
    assert_eq!(serde_json::to_value(inbound).unwrap(), told);
}

#[test]
fn only_who_is_allowed_wakes() {
    let config = Config {
        allow_users: Some([UserId::new("alice").unwrap()].into()),
        ..config()
    };
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "general")]))]);
    rig.start();
    let bob = altered(message("c", 1, "psst"), json!({"author": {"id": "bob"}}));
    rig.push("g", "message.created", &bob);
    rig.says("c", 2, "hello");
    assert_eq!(rig.heard(), [["hello"]]);
    assert_eq!(rig.context(), ["psst"]);
}

#[test]
fn edits_and_deletions_reach_what_waits() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "one");
    for seq in 2..=4 {
        rig.says("c", seq, "typo");
    }
    rig.push("g", "message.updated", &message("c", 2, "two"));
    let blank = altered(
        message("c", 3, ""),
        json!({"deletedAt": "2026-01-01T00:00:01Z"}),
    );
    rig.push("g", "message.deleted", &blank);
    rig.push(
        "g",
        "message.updated",
        &altered(blank, json!({"id": "c4", "seq": 4})),
    );
    rig.done(0);
    rig.done(1);
    assert_eq!(rig.heard(), [["one"], ["two"]]);
}

#[test]
fn garbage_is_noted_and_dropped() {
    let mut rig = Rig::live(&[("c", "general")]);
    for name in [
        "message.created",
        "message.deleted",
        "channel.joined",
        "channel.updated",
    ] {
        rig.push("g", name, &json!({"id": 1}));
    }
    rig.push("g", "something.else", &json!(null));
    assert_eq!(rig.noted(|note| matches!(note, Note::BadPush { .. })), 4);
    rig.says("c", u64::MAX, "far away");
    rig.says("c", 1, "hello");
    assert!(rig.is_live("g"));
    assert_eq!(rig.heard(), [["hello"]]);
}

#[test]
fn edits_and_deletions_reach_what_is_held_back() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    rig.guild("g").channels.push(("d", "dm"));
    rig.guild("g").history = vec![altered(message("c", 1, ""), json!({"wakeup": false}))];
    rig.push("g", "channel.joined", &membership("d", json!({})));
    let edited = |message: Value, content: &str| {
        altered(message, json!({"content": content, "wakeup": null}))
    };
    let deleted = |message: Value| {
        altered(
            edited(message, ""),
            json!({"deletedAt": "2026-01-01T00:00:01Z"}),
        )
    };
    for (channel, first) in [("d", 1), ("c", 2)] {
        rig.says(channel, first, "typo");
        rig.says(channel, first + 1, "oops");
        let one = message(channel, first, "typo");
        rig.push("g", "message.updated", &edited(one, "word"));
        let two = message(channel, first + 1, "oops");
        rig.push("g", "message.deleted", &deleted(two));
    }
    rig.release("g");
    rig.pass(SECOND);
    assert_eq!(rig.heard(), [["word"], ["word"]]);
    rig.done(0);
    rig.done(1);
    assert_eq!(rig.heard().len(), 2);
}

#[test]
fn edits_and_deletions_reach_what_came_before_the_listing() {
    let guild = Guild {
        holds: true,
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig.says("c", 1, "typo");
    rig.says("c", 2, "oops");
    rig.push("g", "message.updated", &message("c", 1, "word"));
    let blank = altered(
        message("c", 2, ""),
        json!({"deletedAt": "2026-01-01T00:00:01Z"}),
    );
    rig.push("g", "message.deleted", &blank);
    rig.release("g");
    rig.done(0);
    assert_eq!(rig.heard(), [["word"]]);
}

#[test]
fn a_guild_that_starts_anew_and_tells_no_seq_is_heard() {
    let guild = Guild {
        last_seq: None,
        histories: [404; 2].into(),
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig.says("c", 1_000, "before");
    rig.done(0);
    rig.reset("g");
    rig.pass(5 * SECOND);
    rig.says("c", 1, "after");
    rig.pass(SECOND);
    assert_eq!(rig.heard(), [["before"], ["after"]]);
}

#[test]
fn what_is_held_back_is_said() {
    let config = Config {
        allow_channels: Some([].into()),
        ..config()
    };
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "general")]))]);
    rig.start();
    rig.says("c", 1, "hello");
    let silent = altered(message("c", 2, "psst"), json!({"wakeup": false}));
    rig.push("g", "message.created", &silent);
    // A network may repeat what it has brought.
    rig.says("c", 1, "hello");
    assert!(rig.inbounds.is_empty());
    assert_eq!(rig.noted(|note| matches!(note, Note::HeldBack { .. })), 1);
    assert_eq!(rig.agent.status(rig.now).guilds[0].link.held_back, 1);
}

#[test]
fn an_edit_wakes_nobody_and_a_running_turn_is_not_told() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 1, "typo"), json!({"wakeup": false})),
    );
    let mentions = altered(message("c", 1, "word"), json!({"mentions": [ME]}));
    rig.push("g", "message.updated", &mentions);
    assert!(rig.inbounds.is_empty());
    rig.says("c", 2, "two");
    assert_eq!(rig.context(), ["word"]);
    rig.push("g", "message.updated", &message("c", 2, "too"));
    let blank = json!({"deletedAt": "2026-01-01T00:00:01Z"});
    rig.push("g", "message.deleted", &altered(message("c", 2, ""), blank));
    rig.says("c", 3, "three");
    assert_eq!(rig.heard(), [["two"]], "it runs on");
    rig.done(0);
    assert_eq!(rig.heard(), [["two"], ["three"]]);
}

#[test]
fn only_answered_turns_are_a_loop_and_only_in_their_channel() {
    let config = Config {
        loop_turns: 1,
        ..config()
    };
    let channels = [("c", "general"), ("d", "general")];
    let mut rig = Rig::with(config, &[("g", Guild::new(&channels))]);
    rig.start();
    for (seq, answered) in (1..).zip([false, true, false, true, false]) {
        rig.says("c", seq, "in c");
        if answered {
            rig.send("c", None, "an answer");
        }
        rig.done(rig.inbounds.len() - 1);
    }
    assert_eq!(rig.inbounds.len(), 4, "the second answer was one too many");
    rig.says("d", 1, "in d");
    let bob = json!({"author": {"id": "bob", "name": "Bob"}});
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 6, "of bob"), bob),
    );
    assert_eq!(rig.heard()[4..], [["in d"], ["of bob"]]);
}
