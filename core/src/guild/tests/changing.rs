//! Edits, deletions, replies and canvases: what the store holds is changed.

use alloc::{format, string::String};

use serde_json::{Value, json};

use super::world::{START, World, event_names, seconds};
use crate::{http::Method, time::Wall};

/// A general channel of `a` and `b`, and the id of a message of `a` in it.
fn posted(world: &mut World, content: &str) -> (String, String) {
    let channel = world.channel("A", "general", &["b"]);
    let (status, message) = world.post("A", &channel, content);
    assert_eq!(status, 201, "{message}");
    (channel, message["id"].as_str().unwrap().into())
}

fn edit(world: &mut World, token: &str, message: &str, content: &str) -> (u16, Value) {
    let path = format!("/messages/{message}");
    world.call(token, Method::Patch, &path, &json!({ "content": content }))
}

fn delete(world: &mut World, token: &str, message: &str) -> (u16, Value) {
    world.call(
        token,
        Method::Delete,
        &format!("/messages/{message}"),
        &Value::Null,
    )
}

fn history(world: &mut World, channel: &str) -> Value {
    let (status, page) = world.get("A", &format!("/channels/{channel}/messages"));
    assert_eq!(status, 200);
    page["messages"].clone()
}

#[test]
fn the_author_edits_within_the_window_and_the_room_is_told_without_a_wake() {
    let mut world = World::with_users();
    world.names.insert("Bo".into(), "b".into());
    let (channel, id) = posted(&mut world, "helo <@c>");
    let conn = world.listener("B", &channel);
    world.pass(seconds(60));
    let (status, edited) = edit(&mut world, "A", &id, "hello <@user.name:Bo> `<@c>`");
    assert_eq!(status, 200, "{edited}");
    assert_eq!(edited["content"], json!("hello <@b> `<@c>`"));
    assert_eq!(edited["mentions"], json!(["b"]));
    let at = serde_json::to_value(Wall::from_millis(START + 60_000)).unwrap();
    assert_eq!((&edited["editedAt"], &edited["seq"]), (&at, &json!(1)));
    assert_eq!(edited.get("wakeup"), None);
    let pushes = world.pushes();
    assert_eq!(event_names(&pushes), [(conn, "message.updated")]);
    assert_eq!(pushes[0].2, edited);
    assert_eq!(
        history(&mut world, &channel)[0]["content"],
        edited["content"]
    );
    // Whoever was woken by it stays so in history.
    let (_, page) = world.get("B", &format!("/channels/{channel}/messages"));
    assert_eq!(page["messages"][0]["wakeup"], json!(true));
}

#[test]
fn an_edit_is_for_the_author_alone_and_needs_words() {
    let mut world = World::with_users();
    let (channel, id) = posted(&mut world, "x");
    assert_eq!(edit(&mut world, "B", &id, "y").0, 403);
    assert_eq!(edit(&mut world, "C", &id, "y").0, 403);
    assert_eq!(edit(&mut world, "A", "nothing-1", "y").0, 404);
    assert_eq!(edit(&mut world, "A", "no%20id", "y").0, 400);
    assert_eq!(edit(&mut world, "A", &id, " \n").0, 400);
    assert_eq!(edit(&mut world, "A", &id, &"é".repeat(8_001)).0, 413);
    let path = format!("/messages/{id}");
    assert_eq!(world.call("A", Method::Patch, &path, &json!({})).0, 400);
    // One who has left is no author any more.
    let leave = format!("/channels/{channel}/leave");
    assert_eq!(world.send("A", &leave, &Value::Null).0, 201);
    assert_eq!(edit(&mut world, "A", &id, "y").0, 403);
    assert_eq!(delete(&mut world, "A", &id).0, 403);
}

#[test]
fn the_window_closes_after_fifteen_minutes_for_edits_and_deletions() {
    let mut world = World::with_users();
    let (_, id) = posted(&mut world, "x");
    let renewed = |world: &mut World| world.token("A2", "a", 3_600);
    world.pass(seconds(900));
    renewed(&mut world);
    assert_eq!(edit(&mut world, "A2", &id, "at the last moment").0, 200);
    world.pass(seconds(1));
    let (status, body) = edit(&mut world, "A2", &id, "too late");
    assert_eq!(status, 409);
    assert!(
        body["message"].as_str().unwrap().contains("15 minutes"),
        "{body}"
    );
    assert_eq!(delete(&mut world, "A2", &id).0, 409);
}

#[test]
fn a_deletion_blanks_the_message_and_can_be_repeated() {
    let mut world = World::with_users();
    let (channel, id) = posted(&mut world, "secret <@b>");
    let conn = world.listener("B", &channel);
    assert_eq!(delete(&mut world, "B", &id).0, 403);
    let (status, deleted) = delete(&mut world, "A", &id);
    assert_eq!(status, 200, "{deleted}");
    assert_eq!(deleted["content"], json!(""));
    assert_eq!(deleted["mentions"], json!([]));
    assert_ne!(deleted["deletedAt"], Value::Null);
    let pushes = world.pushes();
    assert_eq!(event_names(&pushes), [(conn, "message.deleted")]);
    assert_eq!(pushes[0].2, deleted);
    assert_eq!(history(&mut world, &channel)[0]["content"], json!(""));
    assert_eq!(delete(&mut world, "A", &id), (200, deleted));
    assert_eq!(event_names(&world.pushes()), []);
    let (status, body) = edit(&mut world, "A", &id, "again");
    assert_eq!(status, 409, "{body}");
}

#[test]
fn an_edit_behind_a_deletion_does_not_bring_the_text_back() {
    let mut world = World::with_users();
    let (channel, id) = posted(&mut world, "x");
    world.hold_loads = true;
    let path = format!("/messages/{id}");
    let deletion = world.ask("A", Method::Delete, &path, "");
    let edit = world.ask("A", Method::Patch, &path, r#"{"content":"y"}"#);
    assert_eq!(world.held_loads.len(), 1, "one at a time for each message");
    world.hold_loads = false;
    world.loaded();
    assert_eq!(world.answer(deletion).0, 200);
    assert_eq!(world.answer(edit).0, 409);
    assert_eq!(history(&mut world, &channel)[0]["content"], json!(""));
}

#[test]
fn an_edit_in_a_closed_channel_is_allowed_and_one_without_a_change_tells_nobody() {
    let mut world = World::with_users();
    let (channel, id) = posted(&mut world, "x");
    world.listener("B", &channel);
    let close = json!({"closed": true});
    let path = format!("/channels/{channel}");
    assert_eq!(world.call("A", Method::Patch, &path, &close).0, 200);
    world.pushes();
    let (status, same) = edit(&mut world, "A", &id, "x");
    assert_eq!((status, &same["editedAt"]), (200, &Value::Null));
    assert_eq!(event_names(&world.pushes()), []);
    assert_eq!(edit(&mut world, "A", &id, "y").0, 200);
}

#[test]
fn a_store_that_cannot_be_read_refuses_the_edit_and_the_next_one_goes_on() {
    let mut world = World::with_users();
    let (_, id) = posted(&mut world, "x");
    world.hold_loads = true;
    let path = format!("/messages/{id}");
    let first = world.ask("A", Method::Patch, &path, r#"{"content":"y"}"#);
    let second = world.ask("A", Method::Patch, &path, r#"{"content":"z"}"#);
    world.pass(seconds(10));
    assert_eq!(world.answer(first).0, 503);
    world.hold_loads = false;
    world.loaded();
    let (status, edited) = world.answer(second);
    assert_eq!((status, &edited["content"]), (200, &json!("z")));
}

#[test]
fn names_that_center_does_not_resolve_in_time_stay_text_in_an_edit() {
    let mut world = World::with_users();
    let (_, id) = posted(&mut world, "x");
    world.hold_names = true;
    let path = format!("/messages/{id}");
    let body = r#"{"content":"<@user.name:Bo>"}"#;
    let call = world.ask("A", Method::Patch, &path, body);
    world.pass(seconds(2));
    let (status, edited) = world.answer(call);
    assert_eq!(
        (status, &edited["content"]),
        (200, &json!("<@user.name:Bo>"))
    );
}

#[test]
fn a_nonce_that_is_repeated_after_an_edit_answers_the_message_as_it_is_now() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    let path = format!("/channels/{channel}/messages");
    let body = json!({"content": "x", "nonce": "n"});
    let (_, first) = world.send("A", &path, &body);
    let id = first["id"].as_str().unwrap();
    edit(&mut world, "A", id, "y");
    let (status, again) = world.send("A", &path, &body);
    assert_eq!((status, &again["content"]), (201, &json!("y")));
}

#[test]
fn a_reply_names_a_message_of_its_own_channel() {
    let mut world = World::with_users();
    let (channel, id) = posted(&mut world, "x");
    let (_, elsewhere) = posted(&mut world, "x");
    let path = format!("/channels/{channel}/messages");
    let reply = |to: &str| json!({"content": "y", "replyToId": to});
    let (status, message) = world.send("B", &path, &reply(&id));
    assert_eq!((status, &message["replyToId"]), (201, &json!(id)));
    for wrong in [
        elsewhere.as_str(),
        &format!("{channel}-3"),
        &format!("{channel}-0"),
        "x",
    ] {
        let (status, body) = world.send("B", &path, &reply(wrong));
        assert_eq!(status, 400, "{wrong}: {body}");
        assert!(
            body["message"].as_str().unwrap().starts_with("replyToId: "),
            "{body}"
        );
    }
    // A deleted one can still be answered: its row stays.
    delete(&mut world, "A", &id);
    assert_eq!(world.send("B", &path, &reply(&id)).0, 201);
}

#[test]
fn a_canvas_is_shared_changed_and_taken_away_by_its_sharer() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    let path = format!("/channels/{channel}/canvas");
    let conn = world.listener("B", &channel);
    assert_eq!(world.get("A", &path).0, 404);
    let share = json!({"format": "md", "title": "Plan", "content": "# one"});
    let (status, canvas) = world.call("A", Method::Put, &path, &share);
    let at = serde_json::to_value(Wall::from_millis(START)).unwrap();
    let expected = json!({
        "channelId": channel, "format": "md", "title": "Plan", "content": "# one",
        "sharedBy": "a", "createdAt": at, "updatedAt": at,
    });
    assert_eq!((status, &canvas), (200, &expected));
    let pushes = world.pushes();
    assert_eq!(event_names(&pushes), [(conn, "canvas.updated")]);
    assert_eq!(pushes[0].2, expected);
    assert_eq!(world.get("B", &path), (200, expected));

    world.pass(seconds(5));
    let change = json!({"content": "# two"});
    assert_eq!(world.call("B", Method::Patch, &path, &change).0, 403);
    assert_eq!(world.call("B", Method::Delete, &path, &Value::Null).0, 403);
    let (status, canvas) = world.call("A", Method::Patch, &path, &change);
    assert_eq!((status, &canvas["content"]), (200, &json!("# two")));
    assert_eq!(
        (&canvas["title"], &canvas["createdAt"]),
        (&json!("Plan"), &at)
    );
    assert_ne!(canvas["updatedAt"], at);
    assert_eq!(event_names(&world.pushes()), [(conn, "canvas.updated")]);

    // Sharing again replaces it, whoever does it, and it is the new sharer's.
    let share = json!({"format": "html", "content": "<b>x</b>"});
    let (status, canvas) = world.call("B", Method::Put, &path, &share);
    assert_eq!(
        (status, &canvas["sharedBy"], &canvas["title"]),
        (200, &json!("b"), &json!(""))
    );
    world.pushes();
    assert_eq!(world.call("A", Method::Delete, &path, &Value::Null).0, 403);
    let gone = world.call("B", Method::Delete, &path, &Value::Null);
    assert_eq!(gone, (200, json!({"ok": true, "changed": true})));
    let pushes = world.pushes();
    assert_eq!(event_names(&pushes), [(conn, "canvas.removed")]);
    assert_eq!(pushes[0].2["userId"], json!("b"));
    assert_eq!(world.get("A", &path).0, 404);
    assert_eq!(world.call("A", Method::Patch, &path, &json!({})).0, 404);
    let gone = world.call("A", Method::Delete, &path, &Value::Null);
    assert_eq!(gone, (200, json!({"ok": true, "changed": false})));
}

#[test]
fn a_canvas_has_members_and_limits() {
    let mut world = World::with_users();
    let channel = world.channel("A", "general", &["b"]);
    let path = format!("/channels/{channel}/canvas");
    let share = |content: &str| json!({"format": "text", "content": content});
    assert_eq!(world.call("C", Method::Put, &path, &share("x")).0, 403);
    assert_eq!(world.get("C", &path).0, 403);
    assert_eq!(
        world
            .call("A", Method::Put, "/channels/x/canvas", &share("x"))
            .0,
        404
    );
    let large = "é".repeat(512 * 1024);
    assert_eq!(world.call("A", Method::Put, &path, &share(&large)).0, 200);
    assert_eq!(
        world
            .call("A", Method::Put, &path, &share(&format!("{large}x")))
            .0,
        413
    );
    let wrong = json!({"format": "pdf", "content": "x"});
    assert_eq!(world.call("A", Method::Put, &path, &wrong).0, 400);
    let titled = json!({"format": "md", "title": "x".repeat(201), "content": "x"});
    assert_eq!(world.call("A", Method::Put, &path, &titled).0, 400);
    assert_eq!(world.call("A", Method::Patch, &path, &titled).0, 400);
    // A closed channel's canvas can be changed.
    let close = json!({"closed": true});
    world.call("A", Method::Patch, &format!("/channels/{channel}"), &close);
    assert_eq!(world.call("A", Method::Put, &path, &share("y")).0, 200);
}

#[test]
fn the_catalogue_of_commands_is_kept_as_it_was_written() {
    let mut world = World::with_users();
    assert_eq!(world.get("A", "/commands"), (200, json!([])));
    let text = r#"[ {"name":"deploy", "args":[1.50, null]}, {"name":"x"} ]"#;
    let call = world.ask("A", Method::Put, "/commands", text);
    assert_eq!(world.answers[&call].status, 200);
    assert_eq!(world.answers[&call].body, text.as_bytes());
    let call = world.ask("B", Method::Get, "/commands", "");
    assert_eq!(world.answers[&call].body, text.as_bytes());
    // Nothing of it is run here.
    let channel = world.channel("A", "general", &["b"]);
    let (status, message) = world.post("A", &channel, "/deploy");
    assert_eq!((status, &message["content"]), (201, &json!("/deploy")));
    for wrong in ["{}", "[", "", "[] []", r#"["x"]"#, "[3]"] {
        let call = world.ask("A", Method::Put, "/commands", wrong);
        assert_eq!(world.answers[&call].status, 400, "{wrong}");
    }
    let many = format!("[{}]", ["{}"; 501].join(","));
    let call = world.ask("A", Method::Put, "/commands", &many);
    assert_eq!(world.answers[&call].status, 413);
    assert_eq!(world.call("A", Method::Put, "/commands", &json!([])).0, 200);
    assert_eq!(world.get("B", "/commands"), (200, json!([])));
}
