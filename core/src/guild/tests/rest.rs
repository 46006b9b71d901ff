//! Channels and members over REST.

use alloc::string::ToString as _;
use alloc::{format, vec};

use serde_json::{Value, json};

use super::world::{START, Seen, World, ok, seconds, unchanged};
use crate::{
    guild::io::{Input, Question},
    http::{CallId, Method},
    time::Wall,
};

#[test]
fn health_needs_no_token() {
    let mut world = World::with_users();
    world.pass(seconds(3));
    world.connect("A");
    world.open();
    let (status, health) = world.get("", "/health");
    assert_eq!(status, 200);
    assert_eq!(
        health,
        json!({
            "ok": true, "nodeId": "n1", "version": env!("CARGO_PKG_VERSION"), "uptimeMs": 3_000,
            "sockets": 1, "maxFileBytes": 104_857_600, "maxMessageChars": 8_000,
        })
    );
}

#[test]
fn only_a_token_for_this_guild_opens_anything() {
    let mut world = World::with_users();
    assert_eq!(world.get("", "/channels").0, 401);
    assert_eq!(world.get("nonsense", "/channels").0, 401);
    assert_eq!(world.get("A", "/channels"), (200, json!([])));
    assert_eq!(world.get("A", "/channels?guildId=g1"), (200, json!([])));
    assert_eq!(world.get("A", "/channels?guildId=g2").0, 403);
    assert_eq!(world.get("A", "/nothing").0, 404);
    assert_eq!(
        world.call("A", Method::Delete, "/channels", &Value::Null).0,
        405
    );
    world.pass(seconds(901));
    let (status, body) = world.get("A", "/channels");
    assert_eq!((status, &body["error"]), (401, &json!("Unauthorized")));
    assert_eq!(body["statusCode"], json!(401));
}

#[test]
fn a_channel_is_made_listed_read_and_changed() {
    let mut world = World::with_users();
    let body = json!({
        "name": "Ward 3", "xType": "triage", "isPublic": true, "memberUserIds": ["b"],
        "wakeMapping": ["c"],
    });
    let (status, made) = world.send("A", "/channels", &body);
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap();
    let expected = json!({
        "id": id, "guildId": "g1", "name": "Ward 3", "xType": "triage", "isPublic": true,
        "closed": false, "lastSeq": 0, "joinedSeq": 0, "memberCount": 3, "wakeMapping": ["c"],
    });
    assert_eq!(made, expected);
    assert_eq!(world.get("C", "/channels"), (200, json!([expected])));
    assert_eq!(world.get("D", "/channels"), (200, json!([])));
    let mut strange = expected.clone();
    strange["joinedSeq"] = Value::Null;
    assert_eq!(
        world.get("D", "/channels?public=true"),
        (200, json!([strange]))
    );
    assert_eq!(world.get("D", &format!("/channels/{id}")), (200, strange));

    let change = json!({"name": "Ward 4", "closed": true, "wakeMapping": []});
    let path = format!("/channels/{id}");
    assert_eq!(world.call("D", Method::Patch, &path, &change).0, 403);
    let (status, changed) = world.call("B", Method::Patch, &path, &change);
    assert_eq!((status, &changed["name"]), (200, &json!("Ward 4")));
    assert_eq!(world.get("A", &path), (200, changed));

    let long = json!({"name": "x".repeat(101), "xType": "general"});
    assert_eq!(world.send("A", "/channels", &long).0, 400);
    let hostile = json!({"name": "x", "xType": "general", "memberUserIds": ["b", {"id": "c"}]});
    let (status, body) = world.send("A", "/channels", &hostile);
    assert_eq!((status, &body["error"]), (400, &json!("Bad Request")));
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("memberUserIds[1]: "), "{message}");
}

#[test]
fn a_wake_mapping_has_its_most() {
    let mut world = World::with(|config| config.limits.wake_mapping_max = 2);
    world.token("A", "a", 900);
    let made = |world: &mut World, listed: &[&str]| {
        let body = json!({
            "name": "x", "xType": "triage", "memberUserIds": ["b", "c", "d"], "wakeMapping": listed,
        });
        world.send("A", "/channels", &body)
    };
    let (status, refused) = made(&mut world, &["b", "c", "d"]);
    assert_eq!(
        (status, &refused["message"]),
        (400, &json!("wakeMapping: at most 2 users"))
    );
    let (status, channel) = made(&mut world, &["b", "c"]);
    assert_eq!(status, 201);
    let path = format!("/channels/{}", channel["id"].as_str().unwrap());
    let more = json!({"wakeMapping": ["b", "c", "d"]});
    assert_eq!(world.call("A", Method::Patch, &path, &more).0, 400);
    assert_eq!(world.get("A", &path), (200, channel));
}

#[test]
fn members_come_and_go_idempotently() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let path = |rest: &str| format!("/channels/{id}{rest}");
    assert_eq!(world.send("C", &path("/join"), &Value::Null).0, 403);
    assert_eq!(world.get("C", &path("")).0, 403);
    assert_eq!(world.get("C", &path("/members")).0, 403);
    let add = json!({"userId": "c"});
    assert_eq!(world.send("C", &path("/members"), &add).0, 403);
    assert_eq!(world.send("B", &path("/members"), &add), (201, ok()));
    assert_eq!(world.send("B", &path("/members"), &add), (201, unchanged()));
    assert_eq!(
        world.send("C", &path("/join"), &Value::Null),
        (201, unchanged())
    );
    let since = Wall::from_millis(START).to_string();
    let member =
        |id: &str, name: &str| json!({"id": id, "name": name, "bypass": false, "joinedAt": since});
    let members = [("a", "A"), ("b", "B"), ("c", "C")];
    let members: vec::Vec<_> = members.map(|(id, name)| member(id, name)).into();
    assert_eq!(world.get("A", &path("/members")), (200, json!(members)));
    let remove = |world: &mut World, token: &str, user: &str| {
        world.call(
            token,
            Method::Delete,
            &path(&format!("/members/{user}")),
            &Value::Null,
        )
    };
    assert_eq!(remove(&mut world, "A", "c"), (200, ok()));
    assert_eq!(remove(&mut world, "A", "c"), (200, unchanged()));
    assert_eq!(remove(&mut world, "C", "a").0, 403);
    assert_eq!(remove(&mut world, "A", "c%20d").0, 400);
    assert_eq!(world.send("B", &path("/leave"), &Value::Null), (201, ok()));
    assert_eq!(
        world.send("B", &path("/leave"), &Value::Null),
        (201, unchanged())
    );
    assert_eq!(
        world.send("A", "/channels/nowhere/leave", &Value::Null).0,
        404
    );
}

#[test]
fn a_user_who_was_added_before_is_named_when_center_knows_it() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let names = |world: &mut World| {
        let (_, members) = world.get("A", &format!("/channels/{id}/members"));
        [members[0]["name"].clone(), members[1]["name"].clone()]
    };
    assert_eq!(names(&mut world), [json!("A"), json!("b")]);
    let conn = world.connect("B");
    assert_eq!(names(&mut world), [json!("A"), json!("B")]);
    assert_eq!(world.pushes(), [], "{conn} was a member before");
}

#[test]
fn too_many_calls_are_refused_for_now() {
    let mut world = World::with(|config| {
        config.limits.calls_max = 3;
        config.limits.calls_per_user_max = 2;
    });
    world.token("A", "a", 900);
    world.token("A2", "a", 900);
    world.token("B", "b", 900);
    world.hold_tokens = true;
    let calls =
        ["A", "A", "A", "A2", "B"].map(|token| world.ask(token, Method::Get, "/channels", ""));
    assert_eq!(world.answer(calls[2]).0, 429);
    assert_eq!(world.answers[&calls[2]].retry_after, Some(seconds(1)));
    assert_eq!(world.answer(calls[4]).0, 503);
    world.hold_store = true;
    world.introspected();
    assert_eq!(world.answer(calls[0]).0, 200);
    assert_eq!(world.answer(calls[3]).0, 200);

    world.hold_tokens = false;
    world.ask(
        "A",
        Method::Post,
        "/channels",
        r#"{"name":"x","xType":"report"}"#,
    );
    world.ask("A", Method::Get, "/channels", "");
    let third = world.ask("A2", Method::Get, "/channels", "");
    assert_eq!(world.answer(third).0, 429);
    world.stored(Ok(()));
    let fourth = world.ask("A2", Method::Get, "/channels", "");
    assert_eq!(world.answer(fourth).0, 200);
}

#[test]
fn a_call_whose_client_has_gone_is_not_answered() {
    let mut world = World::with_users();
    world.hold_tokens = true;
    let call = world.ask(
        "A",
        Method::Post,
        "/channels",
        r#"{"name":"x","xType":"report"}"#,
    );
    world.input(Input::HttpGone(CallId(call)));
    world.introspected();
    assert!(world.answers.is_empty() && world.facts.is_empty());
}

#[test]
fn a_page_that_nobody_waits_for_is_forgotten() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &[]);
    world.hold_loads = true;
    let path = format!("/channels/{id}/messages");
    let (gone, late) = (
        world.ask("A", Method::Get, &path, ""),
        world.ask("A", Method::Get, &path, ""),
    );
    let [(first, _), (second, _)] = world.held_loads[..] else {
        panic!("{:?}", world.held_loads);
    };
    world.seen.clear();
    world.input(Input::HttpGone(CallId(gone)));
    assert_eq!(world.seen, [Seen::Forgot(Question::Load(first))]);
    world.pass(seconds(10));
    let forgot = Seen::Forgot(Question::Load(second));
    assert_eq!(world.seen[1..], [forgot, Seen::Answer(late, 503)]);
}

#[test]
fn a_closed_channel_is_read_and_joined_and_takes_no_message() {
    let mut world = World::with_users();
    let body = json!({"name": "x", "xType": "general", "isPublic": true});
    let (_, channel) = world.send("A", "/channels", &body);
    let path = format!("/channels/{}", channel["id"].as_str().unwrap());
    let messages = format!("{path}/messages");
    let message = json!({"content": "one"});
    world.send("A", &messages, &message);
    world.call("A", Method::Patch, &path, &json!({"closed": true}));
    assert_eq!(
        world.send("B", &format!("{path}/join"), &Value::Null),
        (201, ok())
    );
    let (status, page) = world.get("B", &messages);
    assert_eq!(
        (status, &page["messages"][0]["content"]),
        (200, &json!("one"))
    );
    let (status, refusal) = world.send("B", &messages, &message);
    assert_eq!((status, &refusal["error"]), (409, &json!("Conflict")));
}
