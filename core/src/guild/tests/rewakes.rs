//! Speakers who are woken with an older message: what is read for it, and what comes between.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::world::{Seen, World, seconds};
use crate::{
    guild::io::{Input, Loaded, Query, Question, Unavailable},
    http::Method,
};

/// A `discuss` channel of `a`, `b` and `c`, in which `a` has posted, so that it is `b`'s turn.
fn discuss(world: &mut World) -> String {
    let id = world.channel("A", "discuss", &["b", "c"]);
    world.post("A", &id, "one");
    id
}

/// What went out on a connection since the last call: `wake SEQ`, `push SEQ`, or the ack's body.
fn heard(world: &mut World, conn: u64) -> Vec<String> {
    core::mem::take(&mut world.seen)
        .iter()
        .filter_map(|seen| match seen {
            Seen::Frame(to, text) if *to == conn => {
                if let Some(ack) = text.strip_prefix("43/realtime,7") {
                    return Some(ack.into());
                }
                let event = text.strip_prefix("42/realtime,")?;
                let (_, message): (String, Value) = serde_json::from_str(event).unwrap();
                let kind = if message["rewake"] == json!(true) {
                    "wake"
                } else {
                    "push"
                };
                Some(format!("{kind} {}", message["seq"]))
            }
            _ => None,
        })
        .collect()
}

fn room(event: &str, id: &str) -> String {
    format!(r#"42/realtime,7["{event}",{{"channelId":"{id}"}}]"#)
}

fn joins(world: &mut World, conn: u64, id: &str) -> Vec<String> {
    world.seen.clear();
    world.frame(conn, &room("join_channel", id));
    heard(world, conn)
}

fn ack(last_seq: u64) -> String {
    format!(r#"[{{"ok":true,"lastSeq":{last_seq}}}]"#)
}

fn wake(world: &mut World, id: &str) -> Value {
    world.get("A", &format!("/channels/{id}/turn")).1["wake"].clone()
}

/// The newest read that was kept back fails.
fn unreadable(world: &mut World) {
    let (read, _) = world.held_loads.pop().unwrap();
    world.input(Input::Loaded(read, Err(Unavailable("disk".into()))));
}

#[test]
fn a_speaker_who_enters_the_room_is_woken_again_before_the_ack_until_it_has_acked() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let (b, c) = (world.connect("B"), world.connect("C"));
    assert_eq!(joins(&mut world, c, &id), [ack(1)], "it is not c's turn");
    assert_eq!(joins(&mut world, b, &id), [String::from("wake 1"), ack(1)]);
    assert_eq!(
        joins(&mut world, b, &id),
        [ack(1)],
        "it was in the room before"
    );
    let second = world.connect("B");
    assert_eq!(
        joins(&mut world, second, &id),
        [String::from("wake 1"), ack(1)]
    );
    world.frame(b, &room("leave_channel", &id));
    assert_eq!(joins(&mut world, b, &id), [String::from("wake 1"), ack(1)]);
    let message = wake(&mut world, &id)["messageId"].clone();
    let body = json!({ "messageId": message });
    assert_eq!(
        world.send("B", &format!("/channels/{id}/ack"), &body).0,
        201
    );
    world.frame(b, &room("leave_channel", &id));
    assert_eq!(joins(&mut world, b, &id), [ack(1)], "it has the message");
    let (_, page) = world.get("B", &format!("/channels/{id}/messages"));
    assert_eq!(page["messages"][0]["rewake"], json!(true));
}

/// What its user has acked may be lost with the disk of an earlier process.
#[test]
fn a_process_that_enters_for_the_first_time_is_told_what_is_waited_for() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let message = wake(&mut world, &id)["messageId"].clone();
    let body = json!({ "messageId": message });
    world.send("B", &format!("/channels/{id}/ack"), &body);
    let fresh = |id: &str| {
        let entry = json!(["join_channel", {"channelId": id, "fresh": true}]);
        format!("42/realtime,0{entry}")
    };
    for (user, entry, told) in [
        ("B", room("join_channel", &id), 0),
        ("C", fresh(&id), 0),
        ("B", fresh(&id), 1),
    ] {
        let socket = world.connect(user);
        world.frame(socket, &entry);
        let wakes = heard(&mut world, socket)
            .into_iter()
            .filter(|heard| heard.starts_with("wake"));
        assert_eq!(wakes.count(), told, "{user}");
    }
    assert_eq!(wake(&mut world, &id)["acked"], json!(false));
    // It is told once.
    let socket = world.connect("B");
    world.send("B", &format!("/channels/{id}/ack"), &body);
    for _ in 0..2 {
        world.frame(socket, &fresh(&id));
        world.send("B", &format!("/channels/{id}/ack"), &body);
    }
    let wakes = heard(&mut world, socket)
        .into_iter()
        .filter(|heard| heard.starts_with("wake"));
    assert_eq!(wakes.count(), 1);
}

#[test]
fn an_ack_is_for_the_process_that_took_it() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let message = wake(&mut world, &id)["messageId"].clone();
    let body = json!({ "messageId": message });
    world.send("B", &format!("/channels/{id}/ack"), &body);
    world.restart();
    assert_eq!(wake(&mut world, &id)["acked"], json!(false));
    let (b, c) = (world.connect("B"), world.connect("C"));
    assert_eq!(joins(&mut world, c, &id), [ack(1)], "it is not c's turn");
    assert_eq!(
        joins(&mut world, b, &id),
        [String::from("wake 1"), ack(1)],
        "the guild may be one that was restored from a backup, and has lost its answer"
    );
}

#[test]
fn every_wake_has_an_id_of_its_own_that_the_sockets_of_the_user_share() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let (first, second) = (world.listener("C", &id), world.listener("C", &id));
    world.seen.clear();
    world.post("B", &id, "/no-reply");
    let ids: Vec<_> = world
        .pushes()
        .into_iter()
        .map(|(conn, _, message)| (conn, message["wakeId"].clone()))
        .collect();
    let [(one, one_id), (other, other_id)] = ids.as_slice() else {
        panic!("{ids:?}");
    };
    assert_eq!(([*one, *other], one_id), ([first, second], other_id));
    world.restart();
    let third = world.connect("C");
    world.frame(third, &room("join_channel", &id));
    let pushes = world.pushes();
    assert_ne!(pushes[0].2["wakeId"], *one_id, "also after a restart");
}

#[test]
fn a_command_is_answered_before_the_next_is_woken() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let (c, _) = (world.listener("C", &id), world.connect("B"));
    world.hold_store = true;
    world.seen.clear();
    let path = format!("/channels/{id}/messages");
    let call = world.ask("B", Method::Post, &path, r#"{"content":"/no-reply"}"#);
    let seen_before = |world: &World| {
        let stored = |seen: &&Seen| !matches!(seen, Seen::Stored(_));
        world.seen.iter().filter(stored).count()
    };
    assert_eq!(seen_before(&world), 0, "the store has not committed");
    world.stored(Ok(()));
    assert_eq!(world.answer(call).0, 201);
    assert_eq!(
        world.answer(call).1["turn"]["wake"],
        Value::Null,
        "it is being looked for"
    );
    assert_eq!(heard(&mut world, c), Vec::<String>::new());
    world.stored(Ok(()));
    assert_eq!(heard(&mut world, c), ["wake 1"]);
}

#[test]
fn a_new_message_supersedes_what_is_still_being_read() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let c = world.listener("C", &id);
    world.hold_loads = true;
    world.post("B", &id, "/no-reply");
    assert_eq!(wake(&mut world, &id), Value::Null);
    let (read, query) = world.held_loads.pop().unwrap();
    assert!(matches!(query, Query::Newest { .. }), "{query:?}");
    world.seen.clear();
    world.post("A", &id, "two");
    assert!(world.seen.contains(&Seen::Forgot(Question::Load(read))));
    let late = world.load(&query);
    world.input(Input::Loaded(read, Ok(late)));
    assert_eq!(heard(&mut world, c), ["push 2"]);
    assert_eq!(wake(&mut world, &id)["userId"], json!("c"));
}

#[test]
fn when_the_turn_passes_on_meanwhile_what_is_read_is_for_the_next() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.send(
        "A",
        &format!("/channels/{id}/members"),
        &json!({"userId": "d"}),
    );
    let (c, d) = (world.listener("C", &id), world.listener("D", &id));
    world.hold_loads = true;
    world.post("B", &id, "/no-reply");
    world.post("A", &id, "/force-proceed");
    let [(first, _), (second, ref query)] = world.held_loads[..] else {
        panic!("{:?}", world.held_loads);
    };
    assert!(world.seen.contains(&Seen::Forgot(Question::Load(first))));
    let found = world.load(query);
    world.seen.clear();
    world.input(Input::Loaded(first, Ok(Loaded::Message(None))));
    world.input(Input::Loaded(second, Ok(found)));
    let frames: Vec<_> = world.pushes().iter().map(|(conn, ..)| *conn).collect();
    assert_eq!(frames, [d], "and not {c}");
}

#[test]
fn whatever_else_happens_in_the_channel_it_is_read_again() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let c = world.listener("C", &id);
    world.hold_loads = true;
    world.post("B", &id, "/no-reply");
    let (first, _) = world.held_loads[0].clone();
    world.seen.clear();
    world.send(
        "A",
        &format!("/channels/{id}/members"),
        &json!({"userId": "d"}),
    );
    assert!(world.seen.contains(&Seen::Forgot(Question::Load(first))));
    let (second, query) = world.held_loads[1].clone();
    let found = world.load(&query);
    world.input(Input::Loaded(second, Ok(found)));
    assert_eq!(heard(&mut world, c), ["wake 1"]);
}

#[test]
fn a_read_that_fails_is_tried_again() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let c = world.listener("C", &id);
    world.hold_loads = true;
    world.post("B", &id, "/no-reply");
    unreadable(&mut world);
    assert!(world.held_loads.is_empty(), "not at once");
    world.pass(seconds(1));
    unreadable(&mut world);
    world.pass(seconds(1));
    let (unanswered, _) = world.held_loads.pop().unwrap();
    world.seen.clear();
    world.pass(seconds(11));
    assert!(
        world
            .seen
            .contains(&Seen::Forgot(Question::Load(unanswered)))
    );
    world.loaded();
    assert_eq!(heard(&mut world, c), ["wake 1"]);
    world.pass(seconds(100));
    assert!(world.held_loads.is_empty(), "and then never again");
}

#[test]
fn a_speaker_whose_waking_message_is_deleted_is_woken_with_the_newest_that_is_left() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.post("C", &id, "two");
    world.post("A", &id, "three");
    let (b, c) = (world.listener("B", &id), world.listener("C", &id));
    let ids = [1, 2, 3].map(|seq| world.message_id(&id, seq));
    let id_of = |seq: u64| ids[usize::try_from(seq).unwrap() - 1].clone();
    let arrived = json!({ "messageId": id_of(3) });
    world.send("B", &format!("/channels/{id}/ack"), &arrived);
    let mut change = |token: &str, method, seq: u64| {
        world.seen.clear();
        let body = json!({"content": "other"});
        let (status, _) = world.call(token, method, &format!("/messages/{}", id_of(seq)), &body);
        assert_eq!(status, 200);
        let seen = world.seen.clone();
        let to_b = heard(&mut world, b);
        world.seen = seen;
        (to_b, heard(&mut world, c), wake(&mut world, &id))
    };
    let woken_with =
        |seq: u64, acked| json!({"userId": "b", "messageId": id_of(seq), "acked": acked});
    let pushed = |seq: u64| [format!("push {seq}")].into();
    let on_3 = woken_with(3, true);
    let kept = |seq| (pushed(seq), pushed(seq), on_3.clone());
    assert_eq!(change("A", Method::Delete, 1), kept(1), "another message");
    assert_eq!(change("A", Method::Patch, 3), kept(3), "only edited");
    let (to_b, to_c, wake) = change("A", Method::Delete, 3);
    assert_eq!(to_b, ["push 3", "wake 2"]);
    assert_eq!((to_c, wake), (pushed(3), woken_with(2, false)));
    let (_, _, wake) = change("A", Method::Delete, 3);
    assert_eq!(wake, woken_with(2, false), "it was deleted before");
    let (to_b, to_c, wake) = change("C", Method::Delete, 2);
    assert_eq!((to_b, to_c), (pushed(2), pushed(2)));
    assert_eq!(wake, Value::Null);
    let (_, turn) = world.get("A", &format!("/channels/{id}/turn"));
    assert_eq!(
        turn["phase"],
        json!("idle"),
        "there is nothing to ask about"
    );
}

#[test]
fn a_message_that_is_deleted_while_it_is_read_wakes_nobody() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let c = world.listener("C", &id);
    world.hold_loads = true;
    world.post("B", &id, "/no-reply");
    let (first, query) = world.held_loads.pop().unwrap();
    let stale = world.load(&query);
    world.seen.clear();
    let message = world.message_id(&id, 1);
    world.ask("A", Method::Delete, &format!("/messages/{message}"), "");
    world.loaded();
    assert!(world.seen.contains(&Seen::Forgot(Question::Load(first))));
    world.input(Input::Loaded(first, Ok(stale)));
    world.loaded();
    assert_eq!(heard(&mut world, c), ["push 1"], "that it is deleted");
    let (_, turn) = world.get("A", &format!("/channels/{id}/turn"));
    assert_eq!(turn["phase"], json!("idle"));
}

#[test]
fn a_wake_that_is_due_outlives_the_process() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.hold_loads = true;
    world.post("B", &id, "/no-reply");
    world.hold_loads = false;
    world.held_loads.clear();
    world.restart();
    assert_eq!(wake(&mut world, &id)["userId"], json!("c"));
    let (_, page) = world.get("C", &format!("/channels/{id}/messages"));
    assert_eq!(page["messages"][0]["rewake"], json!(true));
    let c = world.connect("C");
    assert_eq!(joins(&mut world, c, &id), [String::from("wake 1"), ack(1)]);
    world.post("C", &id, "/no-reply");
    assert_eq!(wake(&mut world, &id), Value::Null);
}

#[test]
fn the_ack_of_a_join_waits_for_the_wake_but_not_for_a_store_that_fails() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let b = world.connect("B");
    world.hold_loads = true;
    assert_eq!(joins(&mut world, b, &id), Vec::<String>::new());
    unreadable(&mut world);
    assert_eq!(heard(&mut world, b), [ack(1)]);
    world.pass(seconds(1));
    world.loaded();
    assert_eq!(heard(&mut world, b), ["wake 1"]);
}

/// What has failed for one socket is read at once for another of the speaker's, and once.
#[test]
fn a_socket_that_enters_after_a_read_that_failed_is_woken_and_acknowledged() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let (first, second) = (world.connect("B"), world.connect("B"));
    world.hold_loads = true;
    joins(&mut world, first, &id);
    unreadable(&mut world);
    assert_eq!(joins(&mut world, second, &id), Vec::<String>::new());
    world.loaded();
    assert_eq!(heard(&mut world, second), [String::from("wake 1"), ack(1)]);
    world.pass(seconds(100));
    assert!(world.held_loads.is_empty());
}

#[test]
fn the_ack_of_a_join_says_how_far_the_channel_has_come_when_it_leaves() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let b = world.connect("B");
    world.hold_loads = true;
    assert_eq!(joins(&mut world, b, &id), Vec::<String>::new());
    world.post("A", &id, "two");
    assert_eq!(heard(&mut world, b), [String::from("push 2"), ack(2)]);
    world.frame(b, &room("leave_channel", &id));
    assert_eq!(joins(&mut world, b, &id), Vec::<String>::new());
    world.post("B", &id, "/no-reply");
    assert_eq!(
        heard(&mut world, b),
        [ack(2)],
        "it is not b's turn any more"
    );
}

#[test]
fn whoever_is_removed_while_its_join_waits_is_told_that_it_is_outside() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let b = world.connect("B");
    world.hold_loads = true;
    assert_eq!(joins(&mut world, b, &id), Vec::<String>::new());
    let member = format!("/channels/{id}/members/b");
    world.call("A", Method::Delete, &member, &Value::Null);
    let last = heard(&mut world, b).pop().unwrap();
    assert_eq!(last, r#"[{"ok":false,"error":"forbidden"}]"#);
}

#[test]
fn nobody_is_woken_in_a_channel_that_is_closed_while_it_is_read() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let c = world.listener("C", &id);
    world.hold_loads = true;
    world.post("B", &id, "/no-reply");
    let (read, query) = world.held_loads.pop().unwrap();
    let stale = world.load(&query);
    world.seen.clear();
    let closed = json!({"closed": true});
    world.call("A", Method::Patch, &format!("/channels/{id}"), &closed);
    assert!(world.seen.contains(&Seen::Forgot(Question::Load(read))));
    world.input(Input::Loaded(read, Ok(stale)));
    let names: Vec<_> = world
        .pushes()
        .into_iter()
        .map(|(to, name, _)| (to, name))
        .collect();
    assert_eq!(names, [(c, "channel.updated".into())]);
    assert!(world.held_loads.is_empty(), "and nothing is read again");
}

#[test]
fn joins_that_wait_do_not_pile_up_without_end() {
    let mut world = World::with(|config| config.limits.effects_max = 10);
    for (token, user) in [("A", "a"), ("B", "b"), ("C", "c")] {
        world.token(token, user, 900);
    }
    let id = discuss(&mut world);
    let b = world.connect("B");
    world.hold_loads = true;
    for _ in 0..20 {
        world.frame(b, &room("join_channel", &id));
        world.frame(b, &room("leave_channel", &id));
    }
    assert!(world.seen.contains(&Seen::Closed(b)));
}
