//! Messages: seq, nonces, mentions, who is woken, and the order of everything.

use alloc::string::ToString as _;
use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use serde_json::{Value, json};

use super::world::{Seen, World, seconds};
use crate::{
    guild::io::{Input, Question, Unavailable},
    http::Method,
};

#[test]
fn a_message_is_numbered_pushed_and_kept() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let (a, b) = (world.listener("A", &id), world.listener("B", &id));
    world.seen.clear();
    let body = json!({"content": "hi <@b> `<@c>`"});
    let (status, message) = world.send("A", &format!("/channels/{id}/messages"), &body);
    assert_eq!(status, 201);
    assert_eq!(
        message,
        json!({
            "id": world.message_id(&id, 1), "channelId": id, "guildId": "g1", "seq": 1,
            "author": {"id": "a", "name": "A"}, "content": "hi <@b> `<@c>`", "replyToId": null,
            "mentions": ["b"], "attachments": [], "createdAt": world.wall().to_string(),
            "editedAt": null, "deletedAt": null, "nonce": null,
        })
    );

    let order: Vec<_> = world
        .seen
        .iter()
        .map(|seen| match seen {
            Seen::Stored(facts) => format!("stored {facts}"),
            Seen::Frame(conn, _) => format!("push {conn}"),
            Seen::Answer(_, status) => format!("answer {status}"),
            other => format!("{other:?}"),
        })
        .collect();
    let push = |conn: u64| format!("push {conn}");
    assert_eq!(
        order,
        [
            "stored 1".into(),
            push(a),
            push(b),
            String::from("answer 201")
        ]
    );
    let pushes = world.pushes();
    assert_eq!(pushes[0].2["wakeup"], json!(false));
    assert_eq!(pushes[1].2["wakeup"], json!(true));
    let mut pushed = pushes[1].2.clone();
    pushed.as_object_mut().unwrap().remove("wakeup");
    assert_eq!(pushed, message);

    world.post("B", &id, "two");
    let (status, page) = world.get("B", &format!("/channels/{id}/messages?afterSeq=0"));
    assert_eq!(status, 200);
    let wakeups: Vec<_> = page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["wakeup"])
        .collect();
    assert_eq!(wakeups, [&json!(true), &json!(false)]);
    assert_eq!(
        world.get("A", &format!("/channels/{id}")).1["lastSeq"],
        json!(2)
    );
    assert_eq!(world.get("C", &format!("/channels/{id}/messages")).0, 403);
    let other = world.channel("A", "general", &["b"]);
    let (_, first) = world.post("B", &other, "each channel counts for itself");
    assert_eq!(first["seq"], json!(1));
}

#[test]
fn each_kind_of_channel_wakes_whom_it_should() {
    for (x_type, woken_by_a) in [
        ("general", [false, true, true]),
        ("dm", [false, true, true]),
        ("report", [false, false, false]),
        ("triage", [false, true, false]),
        ("custom", [false, true, false]),
    ] {
        let mut world = World::with_users();
        let listed: &[&str] = match x_type {
            "triage" | "custom" => &["a", "b"],
            _ => &[],
        };
        let body = json!({
            "name": "x", "xType": x_type, "memberUserIds": ["b", "c"], "wakeMapping": listed,
        });
        let (_, channel) = world.send("A", "/channels", &body);
        let id = channel["id"].as_str().unwrap();
        let conns = ["A", "B", "C"].map(|token| world.listener(token, id));
        world.seen.clear();
        assert_eq!(world.post("A", id, "hi").0, 201);
        let expected: Vec<_> = conns.into_iter().zip(woken_by_a).collect();
        assert_eq!(world.wakeups(), expected, "{x_type}");
    }
}

#[test]
fn a_nonce_posts_once_however_often_it_is_sent() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let path = format!("/channels/{id}/messages");
    world.names.insert("Bob".into(), "b".into());
    world.hold_names = true;
    let body = r#"{"content":"hi <@user.name:Bob>","nonce":"n1"}"#;
    let first = world.ask("A", Method::Post, &path, body);
    let second = world.ask("A", Method::Post, &path, body);
    let third = world.ask("A", Method::Post, &path, r#"{"content":"x"}"#);
    assert!(world.answers.len() == 1, "all wait for the first");
    let (name, _) = world.held_names.pop_front().unwrap();
    let user = world.resolve("Bob");
    world.input(Input::Resolved(name, Ok(user.clone())));
    world.input(Input::Resolved(name, Ok(user)));
    assert!(
        world.held_names.is_empty(),
        "the repetition asks for nothing"
    );
    assert_eq!(world.answer(first), world.answer(second));
    assert_eq!(world.answer(first).1["content"], json!("hi <@b>"));
    assert_eq!(world.answer(third).1["seq"], json!(2));

    let close = json!({"closed": true});
    world.call("A", Method::Patch, &format!("/channels/{id}"), &close);
    let (status, message) = world.send("A", &path, &json!({"content": "?", "nonce": "n1"}));
    assert_eq!((status, &message["seq"]), (201, &json!(1)));
    assert_eq!(
        world
            .send("A", &path, &json!({"content": "?", "nonce": "n2"}))
            .0,
        409
    );
    world.call(
        "A",
        Method::Patch,
        &format!("/channels/{id}"),
        &json!({"closed": false}),
    );
    let (_, other) = world.send("B", &path, &json!({"content": "?", "nonce": "n1"}));
    assert_eq!(other["seq"], json!(3), "nonces are each author's own");
    let (_, again) = world.send("A", &path, &json!({"content": "?", "nonce": "n2"}));
    assert_eq!(again["seq"], json!(4), "a refusal is not remembered");
    let mut late = |after| {
        world.pass(after);
        world.token("A2", "a", 900);
        let (_, late) = world.send("A2", &path, &json!({"content": "?", "nonce": "n1"}));
        late["seq"].clone()
    };
    let moment = Duration::from_millis(1);
    assert_eq!(late(seconds(24 * 60 * 60) - moment), json!(1));
    assert_eq!(late(moment), json!(5), "a nonce is remembered for a day");
}

#[test]
fn names_that_center_does_not_tell_in_time_stay_text() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    world.names.insert("Bob".into(), "b".into());
    world.hold_names = true;
    let body = json!({"content": "<@user.name:Bob> <@user.name:Eve> <@user.name:Bob>"});
    let call = world.ask(
        "A",
        Method::Post,
        &format!("/channels/{id}/messages"),
        &body.to_string(),
    );
    assert_eq!(world.held_names.len(), 2);
    let (bob, _) = world.held_names.pop_front().unwrap();
    let (eve, _) = world.held_names.pop_front().unwrap();
    let user = world.resolve("Bob");
    world.input(Input::Resolved(bob, Ok(user)));
    let moment = Duration::from_millis(1);
    world.pass(seconds(2) - moment);
    assert!(!world.answers.contains_key(&call), "one name is still open");
    world.seen.clear();
    world.pass(moment);
    assert_eq!(
        world.seen.first(),
        Some(&Seen::Forgot(Question::Resolve(eve)))
    );
    let (status, message) = world.answer(call);
    assert_eq!((status, &message["mentions"]), (201, &json!(["b"])));
    assert_eq!(message["content"], json!("<@b> <@user.name:Eve> <@b>"));
    world.input(Input::Resolved(eve, Err(Unavailable(String::new()))));
}

#[test]
fn membership_and_closing_are_judged_again_once_names_are_known() {
    for (change, expected) in [(json!({"closed": true}), 409), (Value::Null, 403)] {
        let mut world = World::with_users();
        let id = world.channel("A", "general", &["b"]);
        world.hold_names = true;
        let path = format!("/channels/{id}/messages");
        let call = world.ask("B", Method::Post, &path, r#"{"content":"<@user.name:X>"}"#);
        if change.is_null() {
            world.send("B", &format!("/channels/{id}/leave"), &Value::Null);
        } else {
            world.call("A", Method::Patch, &format!("/channels/{id}"), &change);
        }
        world.pass(seconds(2));
        assert_eq!(world.answer(call).0, expected);
        assert_eq!(
            world.get("A", &format!("/channels/{id}")).1["lastSeq"],
            json!(0)
        );
    }
}

#[test]
fn what_may_not_be_posted_is_refused() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &[]);
    assert_eq!(world.post("B", &id, "x").0, 403);
    assert_eq!(world.post("A", "nowhere", "x").0, 404);
    assert_eq!(world.post("A", &id, " ").0, 400);
    assert_eq!(world.post("A", &id, "/no-reply").0, 400);
    assert_eq!(world.post("A", &id, &"é".repeat(8_001)).0, 413);
    assert_eq!(world.post("A", &id, &"x".repeat(200_000)).0, 413);
    assert_eq!(world.post("A", &id, &"é".repeat(8_000)).0, 201);
}

#[test]
fn a_nonce_has_a_length_and_is_the_authors_in_every_channel_that_it_may_post_to() {
    let mut world = World::with_users();
    let [one, two] = [(); 2].map(|()| world.channel("A", "general", &["b"]));
    let mut send = |token: &str, id: &str, nonce: &str| {
        let body = json!({"content": "x", "nonce": nonce});
        world.send(token, &format!("/channels/{id}/messages"), &body)
    };
    let longest = "ü".repeat(128);
    assert_eq!(send("A", &one, &format!("{longest}x")).0, 400);
    let (status, first) = send("A", &one, &longest);
    assert_eq!(status, 201);
    assert_eq!(send("A", &two, &longest), (201, first));
    world.send("A", &format!("/channels/{two}/leave"), &Value::Null);
    let body = json!({"content": "x", "nonce": longest});
    let path = format!("/channels/{two}/messages");
    assert_eq!(world.send("A", &path, &body).0, 403, "membership is first");
}

#[test]
fn whoever_is_listed_from_now_on_is_woken_by_the_next_message() {
    let mut world = World::with_users();
    let body = json!({
        "name": "x", "xType": "triage", "memberUserIds": ["b", "c"], "wakeMapping": ["b"],
    });
    let (_, channel) = world.send("A", "/channels", &body);
    let id = channel["id"].as_str().unwrap();
    let (b, c) = (world.listener("B", id), world.listener("C", id));
    for (listed, woken) in [("b", [true, false]), ("c", [false, true])] {
        let change = json!({"wakeMapping": [listed]});
        let path = format!("/channels/{id}");
        assert_eq!(world.call("B", Method::Patch, &path, &change).0, 200);
        world.seen.clear();
        world.post("A", id, "hi");
        assert_eq!(world.wakeups(), [(b, woken[0]), (c, woken[1])]);
    }
}
