//! Typing, presence, and what one socket or user may do at once.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::world::{Seen, World, event_names, seconds};

fn events<'a>(pushes: &'a [(u64, String, Value)], name: &str) -> Vec<(u64, &'a Value)> {
    let named = pushes.iter().filter(|(_, it, _)| it == name);
    named.map(|(conn, _, payload)| (*conn, payload)).collect()
}

#[test]
fn typing_reaches_the_room_of_a_member_alone() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    let listener = world.listener("B", &channel);
    let typer = world.connect("A");
    let payload = json!({ "channelId": channel });
    assert_eq!(
        world.emit(typer, "typing", &payload),
        Some(json!({"ok": true}))
    );
    let pushes = world.pushes();
    let seen = events(&pushes, "typing");
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].0, &seen[0].1["userId"]), (listener, &json!("a")));
    assert_eq!(seen[0].1["channelId"], json!(channel));
    // The room is told, and so is the typist where it is in the room.
    let own = world.listener("A", &channel);
    world.seen.clear();
    world.emit(typer, "typing", &payload);
    let heard = [(listener, "typing"), (own, "typing")];
    assert_eq!(event_names(&world.pushes()), heard);

    let stranger = world.connect("C");
    let refused = |error: &str| Some(json!({"ok": false, "error": error}));
    assert_eq!(
        world.emit(stranger, "typing", &payload),
        refused("forbidden")
    );
    let nowhere = json!({"channelId": "nowhere"});
    assert_eq!(world.emit(typer, "typing", &nowhere), refused("not_found"));
    assert_eq!(
        world.emit(typer, "typing", &json!(3)),
        refused("bad_request")
    );
}

#[test]
fn a_socket_that_wants_no_chatter_is_told_of_messages_alone() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    let quiet = world.connect_with(&json!({"token": "B", "chatter": false}));
    let listener = world.connect_with(&json!({"token": "B", "chatter": true}));
    let payload = json!({ "channelId": channel });
    for conn in [quiet, listener] {
        world.emit(conn, "join_channel", &payload);
    }
    let talker = world.connect("A");
    for (name, payload) in [
        ("typing", &payload),
        ("presence", &json!({"status": "busy"})),
    ] {
        world.emit(talker, name, payload);
        assert_eq!(event_names(&world.pushes()), [(listener, name)]);
    }
    world.seen.clear();
    world.post("A", &channel, "hello");
    let heard = [quiet, listener].map(|conn| (conn, "message.created"));
    assert_eq!(event_names(&world.pushes()), heard);
}

#[test]
fn a_typist_in_a_hurry_is_acknowledged_but_not_passed_on_for_ever() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    world.listener("B", &channel);
    let typer = world.connect("A");
    let payload = json!({ "channelId": channel });
    let mut heard = 0;
    for _ in 0..50 {
        assert_eq!(
            world.emit(typer, "typing", &payload),
            Some(json!({"ok": true}))
        );
        heard += events(&world.pushes(), "typing").len();
    }
    assert_eq!(heard, 20);
    world.pass(seconds(1));
    world.emit(typer, "typing", &payload);
    assert_eq!(events(&world.pushes(), "typing").len(), 1);
}

#[test]
fn a_presence_reaches_each_socket_that_shares_a_channel_once() {
    let mut world = World::with_users();
    let one = world.channel("A", "general", &["b"]);
    let two = world.channel("A", "dm", &["b"]);
    world.channel("C", "general", &["d"]);
    let listener = world.listener("B", &one);
    world.emit(listener, "join_channel", &json!({ "channelId": two }));
    world.connect("C");
    let own = world.listener("A", &one);
    let conn = world.connect("A");
    world.seen.clear();
    let online = json!({"status": "online"});
    assert_eq!(
        world.emit(conn, "presence", &online),
        Some(json!({"ok": true}))
    );
    let pushes = world.pushes();
    let seen = events(&pushes, "presence");
    assert_eq!(
        seen.iter().map(|(to, _)| *to).collect::<Vec<_>>(),
        [listener, own],
        "also to the user itself where it is in such a room"
    );
    assert_eq!(
        (&seen[0].1["userId"], &seen[0].1["status"]),
        (&json!("a"), &json!("online"))
    );
    assert!(seen[0].1["occurredAt"].is_string());
    // Said again, it is no news.
    world.emit(conn, "presence", &online);
    assert_eq!(event_names(&world.pushes()), []);
    for wrong in [
        json!({}),
        json!({"status": ""}),
        json!({"status": "a\nb"}),
        json!({"status": "x".repeat(33)}),
    ] {
        let refused = json!({"ok": false, "error": "bad_request"});
        assert_eq!(
            world.emit(conn, "presence", &wrong),
            Some(refused),
            "{wrong}"
        );
    }
}

#[test]
fn a_presence_that_flickers_is_told_once_a_second_as_it_is_then() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    world.listener("B", &channel);
    let conn = world.connect("A");
    let mut told = Vec::new();
    for at in 0..10 {
        world.emit(conn, "presence", &json!({"status": format!("s{at}")}));
        told.extend(world.pushes());
    }
    assert_eq!(told.len(), 1);
    world.pass(seconds(1));
    let pushes = world.pushes();
    let seen = events(&pushes, "presence");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].1["status"], json!("s9"));
    world.pass(seconds(5));
    assert_eq!(event_names(&world.pushes()), []);
}

#[test]
fn a_user_whose_last_socket_ends_is_offline_and_members_show_how_everybody_is() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    let listener = world.listener("B", &channel);
    let (first, second) = (world.connect("A"), world.connect("A"));
    world.emit(first, "presence", &json!({"status": "busy"}));
    let members = format!("/channels/{channel}/members");
    let status = |world: &mut World| world.get("B", &members).1[0]["status"].clone();
    assert_eq!(status(&mut world), json!("busy"));
    world.pushes();
    world.frame(first, "41/realtime,");
    assert_eq!(event_names(&world.pushes()), []);
    world.frame(second, "41/realtime,");
    let pushes = world.pushes();
    let seen = events(&pushes, "presence");
    assert_eq!(
        (seen[0].0, &seen[0].1["status"]),
        (listener, &json!("offline"))
    );
    assert_eq!(status(&mut world), Value::Null);
    // Who never said how it is goes without a word.
    world.frame(listener, "41/realtime,");
    assert_eq!(event_names(&world.pushes()), []);
}

#[test]
fn a_socket_that_sends_too_much_is_closed() {
    let mut world = World::with(|config| config.limits.events_max = 3);
    world.token("A", "a", 900);
    let channel = world.channel("A", "general", &[]);
    let conn = world.connect("A");
    let join = json!({ "channelId": channel });
    for _ in 0..3 {
        assert_eq!(
            world.emit(conn, "join_channel", &join).unwrap()["ok"],
            json!(true)
        );
    }
    assert_eq!(world.emit(conn, "join_channel", &join), None);
    assert!(world.seen.contains(&Seen::Closed(conn)), "{:?}", world.seen);
}

#[test]
fn a_user_who_calls_too_often_waits() {
    let mut world = World::with(|config| config.limits.calls_burst_max = 3);
    world.token("A", "a", 900);
    world.token("B", "b", 900);
    for _ in 0..3 {
        assert_eq!(world.get("A", "/channels").0, 200);
    }
    let call = world.ask("A", crate::http::Method::Get, "/channels", "");
    assert_eq!(world.answer(call).0, 429);
    assert_eq!(world.answers[&call].retry_after, Some(seconds(1)));
    assert_eq!(world.get("B", "/channels").0, 200);
    world.pass(seconds(1));
    assert_eq!(world.get("A", "/channels").0, 200);
}
