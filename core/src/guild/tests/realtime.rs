//! Sockets: who is admitted, which rooms they are in, what they are told.

use alloc::string::ToString as _;
use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::world::{Seen, World, arrived, event_names, seconds};
use crate::{
    canonical_hash,
    engineio::sessions::Arrival,
    guild::io::Input,
    http::{CallId, Method},
    record::Redactor,
    secret::Secret,
    ws::{self, ConnId, Frame},
};

fn frames(world: &mut World, conn: u64) -> Vec<String> {
    core::mem::take(&mut world.seen)
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Frame(to, text) if to == conn => Some(text),
            _ => None,
        })
        .collect()
}

fn room(id: &str) -> Value {
    json!({ "channelId": id })
}

#[test]
fn a_good_token_is_admitted_and_anything_else_refused() {
    let mut world = World::with_users();
    let conn = world.connect("A");
    let seen = frames(&mut world, conn);
    assert!(seen[1].starts_with("40/realtime,{\"sid\":\""), "{seen:?}");
    for auth in [
        r#"{"token":"nonsense"}"#,
        "{}",
        r#"{"token":""}"#,
        r#"{"token":3}"#,
    ] {
        let conn = world.open();
        world.frame(conn, &format!("40/realtime,{auth}"));
        let seen = frames(&mut world, conn);
        assert_eq!(
            seen[1], r#"44/realtime,{"message":"unauthorized"}"#,
            "{auth}"
        );
    }
    let conn = world.open();
    world.frame(conn, r#"40/other,{"token":"A"}"#);
    let seen = frames(&mut world, conn);
    assert_eq!(seen[1], r#"44/other,{"message":"Invalid namespace"}"#);
    world.center_down = true;
    let conn = world.connect("B");
    let seen = frames(&mut world, conn);
    assert_eq!(seen[1], r#"44/realtime,{"message":"unavailable"}"#);
    assert_eq!(world.get("B", "/channels").0, 503);
    let conn = world.connect("A");
    assert!(frames(&mut world, conn)[1].starts_with("40/realtime"));
}

#[test]
fn strangers_do_not_stay() {
    let mut world = World::with_users();
    let silent = world.open();
    let refused = world.connect("nonsense");
    let admitted = world.connect("A");
    world.seen.clear();
    world.pass(seconds(30));
    let closed: Vec<_> = world
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Closed(conn) => Some(*conn),
            _ => None,
        })
        .collect();
    assert_eq!(closed, [silent, refused]);
    assert!(world.emit(admitted, "join_channel", &room("x")).is_some());
}

#[test]
fn a_room_is_for_members_and_every_event_is_answered() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    world.post("A", &id, "one");
    let (a, c) = (world.connect("A"), world.connect("C"));
    let refused = |error: &str| Some(json!({"ok": false, "error": error}));
    let done = Some(json!({"ok": true, "lastSeq": 1}));
    assert_eq!(world.emit(a, "join_channel", &room(&id)), done);
    assert_eq!(world.emit(a, "join_channel", &room(&id)), done);
    assert_eq!(
        world.emit(c, "join_channel", &room(&id)),
        refused("forbidden")
    );
    assert_eq!(
        world.emit(c, "join_channel", &room("x")),
        refused("not_found")
    );
    assert_eq!(
        world.emit(c, "join_channel", &json!("x")),
        refused("bad_request")
    );
    assert_eq!(world.emit(c, "other", &json!({})), refused("bad_request"));
    assert_eq!(
        world.emit(c, "leave_channel", &room(&id)),
        Some(json!({"ok": true}))
    );
    world.seen.clear();
    world.post("A", &id, "two");
    assert_eq!(event_names(&world.pushes()), [(a, "message.created")]);
    let done = Some(json!({"ok": true, "lastSeq": 2}));
    assert_eq!(world.emit(a, "leave_channel", &room(&id)), done);
    world.seen.clear();
    world.post("A", &id, "three");
    assert_eq!(world.pushes(), []);
}

#[test]
fn memberships_are_pushed_to_every_socket_of_the_user() {
    let mut world = World::with_users();
    let (a, b1, b2) = (world.connect("A"), world.connect("B"), world.connect("B"));
    world.seen.clear();
    let id = world.channel("A", "general", &["b"]);
    let pushes = world.pushes();
    let joined = "channel.joined";
    assert_eq!(
        event_names(&pushes),
        [(a, joined), (b1, joined), (b2, joined)]
    );
    assert_eq!(
        pushes[1].2,
        json!({
            "channelId": id, "userId": "b", "xType": "general",
            "occurredAt": world.wall().to_string(),
        })
    );
    world.emit(b1, "join_channel", &room(&id)).unwrap();
    world.seen.clear();
    let members = format!("/channels/{id}/members");
    world.send("A", &members, &json!({"userId": "b"}));
    assert_eq!(world.pushes(), [], "b was a member already");
    world.call("A", Method::Delete, &format!("{members}/b"), &Value::Null);
    let left = "channel.left";
    assert_eq!(event_names(&world.pushes()), [(b1, left), (b2, left)]);
    world.post("A", &id, "b does not see this");
    assert_eq!(world.pushes(), []);
    world.send("A", &members, &json!({"userId": "b"}));
    assert_eq!(event_names(&world.pushes()), [(b1, joined), (b2, joined)]);
    world.post("A", &id, "nor this: it has to join the room again");
    assert_eq!(world.pushes(), []);
}

#[test]
fn who_was_away_finds_its_channels_in_the_listing() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let conn = world.connect("B");
    let pushes = world.pushes();
    assert!(pushes.iter().all(|(to, ..)| *to != conn), "{pushes:?}");
    let (_, listed) = world.get("B", "/channels");
    assert_eq!(listed[0]["id"], json!(id));
}

#[test]
fn a_change_of_a_channel_is_pushed_to_its_room() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &[]);
    world.post("A", &id, "one");
    world.send(
        "A",
        &format!("/channels/{id}/members"),
        &json!({"userId": "b"}),
    );
    let (a, b) = (world.listener("A", &id), world.listener("B", &id));
    world.seen.clear();
    let path = format!("/channels/{id}");
    world.call("A", Method::Patch, &path, &json!({"name": "y"}));
    let pushes = world.pushes();
    assert_eq!(
        event_names(&pushes),
        [(a, "channel.updated"), (b, "channel.updated")]
    );
    assert_eq!(pushes[0].2["name"], json!("y"));
    assert_eq!(pushes[0].2["joinedSeq"], json!(0));
    assert_eq!(pushes[1].2["joinedSeq"], json!(1));
    world.call("A", Method::Patch, &path, &json!({"name": "y"}));
    assert_eq!(world.pushes(), [], "nothing changed");
}

#[test]
fn a_socket_is_judged_by_the_token_it_connected_with() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let a = world.listener("A", &id);
    world.pass(seconds(900));
    world.token("A2", "a", 900);
    world.token("B2", "b", 900);
    let expired = Some(json!({"ok": false, "error": "token_expired"}));
    for event in ["join_channel", "leave_channel", "typing", "presence"] {
        assert_eq!(world.emit(a, event, &room(&id)), expired, "{event}");
    }
    world.seen.clear();
    world.post("B2", &id, "pushes go on");
    assert_eq!(event_names(&world.pushes()), [(a, "message.created")]);
    let again = world.connect("A");
    let seen = frames(&mut world, again);
    assert_eq!(seen[1], r#"44/realtime,{"message":"unauthorized"}"#);
    let fresh = world.connect("A2");
    assert!(world.emit(fresh, "join_channel", &room(&id)).is_some());
}

#[test]
fn a_deaf_guild_accepts_an_expired_token_and_ignores_what_it_asks_for() {
    let mut world = World::with(|config| config.deaf_on_expired_token = true);
    world.token("A", "a", 900);
    world.token("B", "b", 5_000);
    let id = world.channel("B", "general", &["a"]);
    let old = world.listener("A", &id);
    world.pass(seconds(900));
    let new = world.connect("A");
    assert!(frames(&mut world, new)[1].starts_with("40/realtime"));
    for event in ["join_channel", "leave_channel", "typing", "presence"] {
        assert_eq!(world.emit(new, event, &room(&id)), None, "{event}");
        assert_eq!(world.emit(old, event, &room(&id)), None, "{event}");
    }
    world.seen.clear();
    world.post("B", &id, "hello?");
    assert_eq!(event_names(&world.pushes()), [(old, "message.created")]);
    world.channel("B", "general", &["a"]);
    let joined = "channel.joined";
    assert_eq!(event_names(&world.pushes()), [(old, joined), (new, joined)]);
    let conn = world.connect("nonsense");
    let seen = frames(&mut world, conn);
    assert_eq!(seen[1], r#"44/realtime,{"message":"unauthorized"}"#);
    assert_eq!(world.get("A", "/channels").0, 401);
}

#[test]
fn sockets_are_limited_and_leave_no_trace() {
    let mut world = World::with(|config| {
        config.limits.sockets_max = 3;
        config.limits.sockets_per_user_max = 2;
    });
    world.token("A", "a", 900);
    let empty = world.guild.sockets.clone();
    let conns = [(); 3].map(|()| world.connect("A"));
    let seen = frames(&mut world, conns[2]);
    assert_eq!(seen[1], r#"44/realtime,{"message":"too_many_sockets"}"#);
    let fourth = world.open();
    assert!(world.seen.contains(&Seen::Closed(fourth)));
    let id = world.channel("A", "general", &[]);
    world.emit(conns[0], "join_channel", &room(&id));
    for conn in conns {
        let gone = ws::Event::Closed(ws::Closed::TooLarge);
        world.input(arrived(conn, gone.clone()));
        world.input(arrived(conn, gone));
    }
    assert_eq!(
        canonical_hash(&world.guild.sockets, world.now),
        canonical_hash(&empty, world.now)
    );
}

#[test]
fn a_thousand_sockets_in_one_room_share_the_encoded_bytes() {
    let mut world = World::with_users();
    world.checks_ticks = false;
    let users: Vec<_> = (0..100).map(|n| format!("u{n}")).collect();
    let names: Vec<_> = users.iter().map(String::as_str).collect();
    let id = world.channel("A", "general", &names);
    for user in &users {
        let token = format!("t-{user}");
        world.token(&token, user, 900);
        for _ in 0..10 {
            world.listener(&token, &id);
        }
    }
    world.frames.clear();
    world.token("poster", "u7", 900);
    world.post("poster", &id, "hi");
    let mut buffers = BTreeSet::new();
    for (_, frame) in &world.frames {
        let Frame::Text(text) = frame else {
            panic!("{frame:?}");
        };
        buffers.insert(text.as_ptr());
    }
    assert_eq!((world.frames.len(), buffers.len()), (1_000, 2));
}

#[test]
fn a_client_may_poll_and_move_to_a_websocket() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &[]);
    let sid = "session of a poll";
    let fresh = || Secret::new("never used");
    let poll = |call, sid: Option<&str>, fresh| {
        let (call, sid) = (CallId(call), sid.map(Secret::new));
        Input::Arrival(Arrival::Poll { call, sid, fresh })
    };
    let post = |world: &mut World, call, body: String| {
        let (call, sid) = (CallId(call), Secret::new(sid));
        world.input(Input::Arrival(Arrival::Posting { call, sid }));
        let body = body.into();
        let post = Input::Arrival(Arrival::Post { call, body });
        let line = Redactor::default().line(&post).unwrap();
        assert!(!line.contains("a token to keep"), "{line}");
        world.input(post);
    };
    world.token("a token to keep", "a", 60);
    world.input(poll(901, None, Secret::new(sid)));
    let auth = json!({ "token": "a token to keep" });
    post(&mut world, 902, format!("40/realtime,{auth}"));
    world.input(poll(903, Some(sid), fresh()));
    let conn = ConnId(77);
    world.input(Input::Arrival(Arrival::Socket {
        conn,
        sid: Some(Secret::new(sid)),
        fresh: fresh(),
        base64: false,
    }));
    let frame = |text: &str| arrived(conn.0, ws::Event::Frame(Frame::Text(text.into())));
    world.input(frame("2probe"));
    world.input(frame("5"));
    let join = format!(r#"42/realtime,0["join_channel",{}]"#, room(&id));
    world.input(frame(&join));
    let polled = world.seen.iter().filter_map(|seen| match seen {
        Seen::Polled(call, status, body) => Some((*call, *status, &**body)),
        _ => None,
    });
    let polled: Vec<_> = polled.collect();
    assert_eq!(polled[1], (902, 200, "ok"));
    assert!(
        polled[2].2.starts_with(r#"40/realtime,{"sid":""#),
        "{polled:?}"
    );
    let seen = frames(&mut world, conn.0);
    assert_eq!(seen[0], "3probe");
    assert_eq!(seen[1], r#"43/realtime,0[{"ok":true,"lastSeq":0}]"#);

    // A body counts as a frame does.
    world.input(poll(904, None, Secret::new("another session")));
    let max = crate::guild::Limits::default().frame_bytes_max as usize;
    let (call, sid) = (CallId(905), Secret::new("another session"));
    world.input(Input::Arrival(Arrival::Posting { call, sid }));
    let body = Vec::from("4".repeat(max + 1)).into();
    world.input(Input::Arrival(Arrival::Post { call, body }));
    assert!(matches!(world.seen.last(), Some(Seen::Polled(905, 413, _))));
}

#[test]
fn a_user_is_told_of_a_membership_only_where_a_row_has_come_or_gone() {
    let mut world = World::with_users();
    let (b, d) = (world.connect("B"), world.connect("D"));
    let body = json!({
        "name": "x", "xType": "triage", "isPublic": true, "wakeMapping": ["d"],
    });
    world.seen.clear();
    let (_, channel) = world.send("A", "/channels", &body);
    let (joined, left) = ("channel.joined", "channel.left");
    assert_eq!(event_names(&world.pushes()), [(d, joined)], "d is on duty");
    let id = channel["id"].as_str().unwrap();
    let mut go = |how: &str| {
        world.send("B", &format!("/channels/{id}/{how}"), &Value::Null);
        world.pushes()
    };
    assert_eq!(event_names(&go("join")), [(b, joined)]);
    assert_eq!(go("join"), [], "it was a member");
    assert_eq!(event_names(&go("leave")), [(b, left)]);
    assert_eq!(go("leave"), [], "it was none");
}

#[test]
fn no_socket_is_in_the_room_of_a_channel_before_it_asks() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let b = world.connect("B");
    world.seen.clear();
    world.post("A", &id, "one");
    assert_eq!(world.pushes(), []);
    let refused = |error: &str| Some(json!({"ok": false, "error": error}));
    assert_eq!(
        world.emit(b, "leave_channel", &room("nowhere")),
        refused("not_found")
    );
    assert_eq!(
        world.emit(b, "leave_channel", &json!({})),
        refused("bad_request")
    );
}
