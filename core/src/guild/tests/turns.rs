//! Channels that take turns: who is woken, by what, and what comes of commands.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::world::{Seen, World, ok, unchanged};
use crate::http::Method;

/// A `discuss` channel of `a`, `b` and `c`, who speak in that order.
fn discuss(world: &mut World) -> String {
    world.channel("A", "discuss", &["b", "c"])
}

fn turn(world: &mut World, id: &str) -> Value {
    let (status, turn) = world.get("A", &format!("/channels/{id}/turn"));
    assert_eq!(status, 200, "{turn}");
    turn
}

fn speaker(world: &mut World, id: &str) -> Value {
    turn(world, id)["currentSpeaker"].clone()
}

/// Who was told of which message: the connection, the `seq`, `wakeup` and `rewake`.
fn told(world: &mut World) -> Vec<(u64, u64, bool, bool)> {
    let pushes = world.pushes().into_iter();
    pushes
        .filter(|(_, name, _)| name == "message.created")
        .map(|(conn, _, message)| {
            let is = |field: &str| message[field].as_bool().unwrap_or(false);
            let seq = message["seq"].as_u64().unwrap();
            (conn, seq, is("wakeup"), is("rewake"))
        })
        .collect()
}

fn refused(world: &mut World, token: &str, id: &str, body: Value) -> u16 {
    let before = turn(world, id);
    let (status, answer) = world.send(token, &format!("/channels/{id}/messages"), &body);
    assert_eq!(answer["statusCode"], json!(status), "{answer}");
    assert_eq!(turn(world, id), before, "a refusal changes nothing");
    status
}

#[test]
fn a_channel_is_made_with_its_order_and_those_who_are_only_mentioned() {
    let mut world = World::with_users();
    for x_type in ["discuss", "work"] {
        let body = json!({
            "name": "x", "xType": x_type, "memberUserIds": ["b", "a", "c", "d"],
            "bypass": ["c", "a"],
        });
        let (status, channel) = world.send("A", "/channels", &body);
        assert_eq!(status, 201, "{channel}");
        let id = channel["id"].as_str().unwrap();
        let idle = json!({
            "phase": "idle", "currentSpeaker": null, "order": ["b", "d"], "bypass": ["a", "c"],
            "stack": [], "wake": null,
        });
        assert_eq!(turn(&mut world, id), idle);
        let (_, members) = world.get("B", &format!("/channels/{id}/members"));
        let bypass: Vec<_> = members
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["bypass"])
            .collect();
        assert_eq!(bypass, [true, false, true, false]);
    }
    let body = json!({"name": "x", "xType": "work", "bypass": ["b"]});
    assert_eq!(world.send("A", "/channels", &body).0, 400, "b is no member");
    let body = json!({"name": "x", "xType": "work", "wakeMapping": ["a"]});
    assert_eq!(world.send("A", "/channels", &body).0, 400);
    let plain = world.channel("A", "general", &["b"]);
    assert_eq!(world.get("A", &format!("/channels/{plain}/turn")).0, 409);
    assert_eq!(world.get("D", &format!("/channels/{plain}/turn")).0, 403);
    assert_eq!(world.get("A", "/channels/nowhere/turn").0, 404);
}

#[test]
fn a_message_wakes_whoever_is_to_speak_afterwards() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let conns = ["A", "B", "C"].map(|token| world.listener(token, &id));
    let wakes = |seq, woken: usize| {
        let mut place = 0;
        conns.map(|conn| {
            place += 1;
            (conn, seq, place - 1 == woken, false)
        })
    };
    world.seen.clear();
    let (_, message) = world.post("A", &id, "one");
    assert_eq!(told(&mut world), wakes(1, 1));
    let active = json!({
        "phase": "active", "currentSpeaker": "b", "order": ["a", "b", "c"], "bypass": [],
        "stack": [{"speakers": ["a", "b", "c"], "cursor": 1}],
        "wake": {"userId": "b", "messageId": message["id"], "acked": false},
    });
    assert_eq!(turn(&mut world, &id), active);
    world.post("C", &id, "two, out of turn");
    assert_eq!(told(&mut world), wakes(2, 1));
    world.post("B", &id, "three <@c>");
    assert_eq!(told(&mut world), wakes(3, 2));
    let (_, page) = world.get("B", &format!("/channels/{id}/messages"));
    let woken: Vec<_> = page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["wakeup"])
        .collect();
    assert_eq!(woken, [true, true, false]);
}

#[test]
fn a_pass_posts_nothing_and_wakes_the_next_with_what_there_is() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.listener("A", &id);
    let (c, _outside) = (world.listener("C", &id), world.connect("C"));
    world.post("A", &id, "one");
    world.seen.clear();
    let (status, answer) = world.post("B", &id, " /no-reply\n");
    assert_eq!(status, 201, "{answer}");
    assert_eq!(
        (&answer["ok"], &answer["command"]),
        (&json!(true), &json!("/no-reply"))
    );
    assert_eq!(answer["turn"]["currentSpeaker"], json!("c"));
    let pushes = world.pushes();
    let [(conn, name, woken)] = pushes.as_slice() else {
        panic!("{pushes:?}");
    };
    assert_eq!((*conn, name.as_str()), (c, "message.created"));
    assert_eq!(woken["content"], json!("one"));
    assert_eq!(
        (&woken["wakeup"], &woken["rewake"]),
        (&json!(true), &json!(true))
    );
    assert!(
        woken["wakeId"].as_str().unwrap().starts_with(&id),
        "{woken}"
    );
    let wake = &turn(&mut world, &id)["wake"];
    assert_eq!(
        wake,
        &json!({"userId": "c", "messageId": woken["id"], "acked": false})
    );

    let path = format!("/channels/{id}/messages");
    let (_, page) = world.get("C", &path);
    assert_eq!(
        page["messages"],
        json!([woken]),
        "and history says the same"
    );
    let (_, page) = world.get("B", &path);
    assert_eq!(
        page["messages"][0]["wakeup"],
        json!(false),
        "somebody else is woken now"
    );
    assert_eq!(page["messages"][0].get("rewake"), None);
    world.post("C", &id, "/no-reply");
    assert_eq!(turn(&mut world, &id)["phase"], json!("idle"));
    assert_eq!(
        world.get("A", &format!("/channels/{id}")).1["lastSeq"],
        json!(1)
    );
}

#[test]
fn what_follows_from_one_thing_is_one_transaction() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.connect("B");
    let mut stored = |body: Value| {
        world.seen.clear();
        let token = if body["content"] == json!("one") {
            "A"
        } else {
            "B"
        };
        world.send(token, &format!("/channels/{id}/messages"), &body);
        let stored = world.seen.iter().filter_map(|seen| match seen {
            Seen::Stored(facts) => Some(*facts),
            _ => None,
        });
        stored.collect::<Vec<_>>()
    };
    assert_eq!(
        stored(json!({"content": "one"})),
        [2],
        "the message and the turn"
    );
    let pass = json!({"content": "/no-reply", "nonce": "n"});
    assert_eq!(
        stored(pass.clone()),
        [2, 2],
        "turn and nonce, then turn and wake"
    );
    assert_eq!(stored(pass), Vec::<usize>::new());
}

#[test]
fn nobody_is_woken_with_what_it_wrote_itself() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.post("A", &id, "one");
    world.post("C", &id, "two");
    // Nobody remembers that it is done with the newest message.
    world.send("C", &format!("/channels/{id}/leave"), &Value::Null);
    let c = json!({"userId": "c"});
    world.send("A", &format!("/channels/{id}/members"), &c);
    let c = world.listener("C", &id);
    world.seen.clear();
    world.post("B", &id, "/no-reply");
    assert_eq!(told(&mut world), [(c, 1, true, true)]);
}

#[test]
fn a_speaker_for_whom_there_is_no_message_passes() {
    let mut world = World::with_users();
    let id = world.channel("A", "discuss", &["b"]);
    world.post("A", &id, "one");
    world.send("A", &format!("/channels/{id}/leave"), &Value::Null);
    world.send(
        "B",
        &format!("/channels/{id}/members"),
        &json!({"userId": "a"}),
    );
    world.post("B", &id, "/no-reply");
    assert_eq!(
        turn(&mut world, &id)["phase"],
        json!("idle"),
        "all there is was written by a"
    );
}

#[test]
fn commands_are_refused_where_they_mean_nothing() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let no_reply = || json!({"content": "/no-reply"});
    let force = || json!({"content": "/force-proceed"});
    assert_eq!(refused(&mut world, "B", &id, no_reply()), 409, "idle");
    assert_eq!(refused(&mut world, "B", &id, force()), 409);
    assert_eq!(refused(&mut world, "D", &id, force()), 403);
    let (_, first) = world.post("A", &id, "one");
    world.post("C", &id, "two");
    for token in ["A", "C"] {
        assert_eq!(
            refused(&mut world, token, &id, no_reply()),
            409,
            "it is b's turn"
        );
    }
    for command in ["/no-reply", "/force-proceed"] {
        let body = json!({"content": command, "replyToId": first["id"]});
        assert_eq!(
            refused(&mut world, "B", &id, body),
            409,
            "b was woken with another"
        );
    }
    let close = |closed| json!({ "closed": closed });
    let path = format!("/channels/{id}");
    world.call("A", Method::Patch, &path, &close(true));
    assert_eq!(refused(&mut world, "B", &id, no_reply()), 409);
    let plain = world.channel("A", "general", &["b"]);
    assert_eq!(world.post("B", &plain, "/no-reply").0, 400);
    assert_eq!(world.post("B", &plain, "/force-proceed").0, 400);
    assert_eq!(world.post("B", &plain, "/no-reply, I said").0, 201);
}

#[test]
fn a_pass_may_answer_the_waking_message_and_anybody_may_force_it() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let (_, message) = world.post("A", &id, "one");
    let path = format!("/channels/{id}/messages");
    let body = json!({"content": "/no-reply", "replyToId": message["id"]});
    assert_eq!(world.send("B", &path, &body).0, 201);
    let (status, answer) = world.post("A", &id, "/force-proceed");
    assert_eq!(
        (status, &answer["command"]),
        (201, &json!("/force-proceed"))
    );
    assert_eq!(answer["turn"]["phase"], json!("idle"));
}

#[test]
fn a_nonce_covers_commands() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let path = format!("/channels/{id}/messages");
    let pass = json!({"content": "/no-reply", "nonce": "n1"});
    assert_eq!(world.send("B", &path, &pass).0, 409);
    world.post("A", &id, "one");
    let (status, answer) = world.send("B", &path, &pass);
    assert_eq!(status, 201, "a refusal is not remembered: {answer}");
    assert_eq!(answer["turn"]["currentSpeaker"], json!("c"));
    world.post("C", &id, "two <@b>");
    let (status, again) = world.send("B", &path, &pass);
    assert_eq!(status, 201);
    assert_eq!(again["command"], json!("/no-reply"));
    assert_eq!(
        again["turn"]["currentSpeaker"],
        json!("b"),
        "as it is now: b has not passed again"
    );
    let (_, other) = world.send("B", &path, &json!({"content": "hello", "nonce": "n1"}));
    assert_eq!(other["command"], json!("/no-reply"), "whatever it says now");
    world.send("B", &path, &json!({"content": "three", "nonce": "n2"}));
    let (_, posted) = world.send("B", &path, &json!({"content": "/no-reply", "nonce": "n2"}));
    assert_eq!(posted["content"], json!("three"));
    let body = json!({"closed": true});
    world.call("A", Method::Patch, &format!("/channels/{id}"), &body);
    assert_eq!(
        world.send("B", &path, &pass).0,
        201,
        "also when it is closed since"
    );
    let elsewhere = world.channel("A", "general", &["b"]);
    let elsewhere = format!("/channels/{elsewhere}/messages");
    assert_eq!(world.send("B", &elsewhere, &pass).0, 201);
    world.send("B", &format!("/channels/{id}/leave"), &Value::Null);
    assert_eq!(
        world.send("B", &elsewhere, &pass).0,
        403,
        "whose turn it is in a channel is told to nobody outside"
    );
}

#[test]
fn names_in_a_message_are_asked_before_the_others() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.names.insert("Carla".into(), "c".into());
    world.post("A", &id, "<@user.name:Carla> `<@b>`");
    let stack = &turn(&mut world, &id)["stack"];
    assert_eq!(stack[1], json!({"speakers": ["c"], "cursor": 0}));
}

#[test]
fn members_who_come_and_go_move_the_turn() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let c = world.listener("C", &id);
    world.post("A", &id, "one");
    let members = format!("/channels/{id}/members");
    world.send("A", &members, &json!({"userId": "d"}));
    assert_eq!(turn(&mut world, &id)["order"], json!(["a", "b", "c", "d"]));
    world.seen.clear();
    world.call("A", Method::Delete, &format!("{members}/b"), &Value::Null);
    assert_eq!(told(&mut world), [(c, 1, true, true)]);
    assert_eq!(turn(&mut world, &id)["order"], json!(["a", "c", "d"]));
    world.send("D", &format!("/channels/{id}/leave"), &Value::Null);
    world.send("C", &format!("/channels/{id}/leave"), &Value::Null);
    assert_eq!(turn(&mut world, &id)["phase"], json!("idle"));
    world.connect("A");
    world.token("A2", "a", 900);
    assert_eq!(turn(&mut world, &id)["order"], json!(["a"]));
}

#[test]
fn whoever_is_moved_to_bypass_loses_its_turn() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let c = world.listener("C", &id);
    world.post("A", &id, "one");
    world.seen.clear();
    let path = format!("/channels/{id}/turn/bypass");
    let set = |user: &str, bypass| json!({"userId": user, "bypass": bypass});
    assert_eq!(world.send("C", &path, &set("b", true)), (201, ok()));
    assert_eq!(told(&mut world), [(c, 1, true, true)]);
    assert_eq!(world.send("C", &path, &set("b", true)), (201, unchanged()));
    let now = turn(&mut world, &id);
    assert_eq!(
        (&now["order"], &now["bypass"]),
        (&json!(["a", "c"]), &json!(["b"]))
    );
    assert_eq!(world.send("B", &path, &set("b", false)), (201, ok()));
    assert_eq!(turn(&mut world, &id)["order"], json!(["a", "c", "b"]));
    assert_eq!(world.send("B", &path, &set("b", false)), (201, unchanged()));
    assert_eq!(world.send("A", &path, &set("d", true)).0, 404);
    assert_eq!(world.send("D", &path, &set("b", true)).0, 403);
    assert_eq!(world.send("A", &path, &json!({"userId": "b"})).0, 400);
    assert_eq!(
        world
            .send("A", &path, &json!({"userId": "<@b>", "bypass": true}))
            .0,
        400
    );
    let plain = world.channel("A", "general", &["b"]);
    let path = format!("/channels/{plain}/turn/bypass");
    assert_eq!(world.send("A", &path, &set("b", true)).0, 409);
}

#[test]
fn a_closed_channel_is_idle_and_so_it_is_opened_again() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    world.post("A", &id, "one");
    let path = format!("/channels/{id}");
    for closed in [true, false] {
        world.call("B", Method::Patch, &path, &json!({ "closed": closed }));
        assert_eq!(turn(&mut world, &id)["phase"], json!("idle"));
    }
    world.post("B", &id, "two");
    assert_eq!(speaker(&mut world, &id), json!("c"));
    world.call("B", Method::Patch, &path, &json!({"name": "y"}));
    assert_eq!(
        speaker(&mut world, &id),
        json!("c"),
        "a new name changes no turn"
    );
}

#[test]
fn an_ack_is_the_speakers() {
    let mut world = World::with_users();
    let id = discuss(&mut world);
    let path = format!("/channels/{id}/ack");
    let ack = |message: &Value| json!({"messageId": message["id"]});
    let acked = |acked: bool| (201, json!({"ok": true, "acked": acked}));
    let (_, first) = world.post("A", &id, "one");
    let (_, second) = world.post("C", &id, "two");
    assert_eq!(world.send("B", &path, &ack(&first)), acked(false));
    assert_eq!(world.send("B", &path, &ack(&second)), acked(true));
    assert_eq!(world.send("B", &path, &ack(&second)), acked(true));
    assert_eq!(turn(&mut world, &id)["wake"]["acked"], json!(true));
    assert_eq!(world.send("C", &path, &ack(&second)).0, 409);
    assert_eq!(world.send("D", &path, &ack(&second)).0, 403);
    assert_eq!(world.send("B", &path, &json!({})).0, 400);
    assert_eq!(world.send("B", &path, &json!({"messageId": "a b"})).0, 400);
    let plain = world.channel("A", "general", &["b"]);
    assert_eq!(
        world
            .send("A", &format!("/channels/{plain}/ack"), &ack(&second))
            .0,
        409
    );
    world.post("B", &id, "/no-reply");
    world.post("A", &id, "/force-proceed");
    assert_eq!(turn(&mut world, &id)["phase"], json!("idle"));
    assert_eq!(world.send("C", &path, &ack(&second)).0, 409);
}
