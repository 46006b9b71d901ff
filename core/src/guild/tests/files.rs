//! Files: uploaded, attached, read, and swept away.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde_json::{Value, json};

use super::world::{Seen, World, seconds};
use crate::{
    guild::{
        Config,
        fact::Fact,
        file::Received,
        io::{Input, NotReceived, Question},
    },
    http::{CallId, Method},
    request::RequestId,
};

const DAY: u64 = 24 * 60 * 60;

/// A private channel of `a` and `b`.
fn channel(world: &mut World) -> String {
    let body = json!({"name": "n", "xType": "general", "memberUserIds": ["b"]});
    let (status, channel) = world.send("A", "/channels", &body);
    assert_eq!(status, 201);
    channel["id"].as_str().unwrap().to_string()
}

fn attach(world: &mut World, token: &str, channel: &str, files: &[&str]) -> (u16, Value) {
    let files: Vec<_> = files.iter().map(|id| json!({"id": id})).collect();
    let body = json!({"content": "", "attachments": files});
    world.send(token, &format!("/channels/{channel}/messages"), &body)
}

fn read(world: &mut World, token: &str, file: &str) -> u16 {
    world.get(token, &format!("/files/{file}")).0
}

fn three_bytes() -> Received {
    Received {
        name: None,
        mime: None,
        bytes: 3,
    }
}

#[test]
fn a_file_is_read_where_a_live_message_carries_it() {
    let mut world = World::with_users();
    let channel = channel(&mut world);
    let (status, file) = world.send("A", "/files", &Value::Null);
    let id = file["id"].as_str().unwrap();
    assert_eq!(status, 201);
    assert_eq!(
        file,
        json!({
            "id": id, "name": "report.txt", "mime": "text/plain", "bytes": 3,
            "url": format!("/api/files/{id}"),
        })
    );
    let readers = ["A", "B", "C"];
    assert_eq!(
        readers.map(|who| read(&mut world, who, id)),
        [200, 403, 403]
    );
    let (status, message) = attach(&mut world, "A", &channel, &[id, id]);
    assert_eq!((status, &message["attachments"]), (201, &json!([file])));
    assert_eq!(
        readers.map(|who| read(&mut world, who, id)),
        [200, 200, 403]
    );
    let edit = format!("/messages/{}", message["id"].as_str().unwrap());
    let edited = world.call("A", Method::Patch, &edit, &json!({"content": "see"}));
    assert_eq!(edited.1["attachments"], json!([file]));
    let (status, deleted) = world.call("A", Method::Delete, &edit, &Value::Null);
    assert_eq!((status, &deleted["attachments"]), (200, &json!([])));
    assert_eq!(
        readers.map(|who| read(&mut world, who, id)),
        [200, 403, 403]
    );
}

#[test]
fn a_token_in_the_query_reads_a_file_and_nothing_else() {
    let mut world = World::with_users();
    let id = world.uploaded("A");
    for (path, status) in [
        (format!("/files/{id}?access_token=A"), 200),
        (format!("/files/{id}?access_token=B"), 403),
        (format!("/files/{id}?access_token=nobody"), 401),
        (format!("/files/{id}?access_token="), 401),
        (format!("/files/{id}"), 401),
        ("/channels?access_token=A".to_string(), 401),
    ] {
        assert_eq!(world.get("", &path).0, status, "{path}");
    }
}

#[test]
fn only_its_uploader_can_attach_a_file() {
    let mut world = World::with_users();
    let channel = channel(&mut world);
    let id = world.uploaded("A");
    for (token, files) in [("B", [id.as_str()]), ("A", ["nowhere"]), ("A", ["a/b"])] {
        let (status, refusal) = attach(&mut world, token, &channel, &files);
        assert_eq!(status, 400);
        let words = refusal["message"].as_str().unwrap();
        assert!(words.starts_with("attachments[0].id: "), "{words}");
    }
    let many = ["x"; 11];
    assert_eq!(attach(&mut world, "A", &channel, &many).0, 400);
    assert_eq!(attach(&mut world, "A", &channel, &[]).0, 400);
}

#[test]
fn a_command_carries_no_files() {
    let mut world = World::with_users();
    let body = json!({"name": "n", "xType": "discuss", "memberUserIds": ["b"]});
    let (_, channel) = world.send("A", "/channels", &body);
    let path = format!("/channels/{}/messages", channel["id"].as_str().unwrap());
    world.send("A", &path, &json!({"content": "begin"}));
    let id = world.uploaded("B");
    let body = json!({"content": "/no-reply", "attachments": [{"id": id}]});
    assert_eq!(world.send("B", &path, &body).0, 400);
    assert_eq!(
        world.send("B", &path, &json!({"content": "/no-reply"})).0,
        201
    );
}

#[test]
fn what_does_not_arrive_is_refused_in_words() {
    let mut world = World::with_users();
    for (why, status) in [
        (NotReceived::TooLarge, 413),
        (NotReceived::Malformed("no field `file`".into()), 400),
        (NotReceived::Broken("it came too slowly".into()), 400),
        (NotReceived::Disk("no space left".into()), 503),
    ] {
        world.upload = Some(Err(why));
        assert_eq!(world.send("A", "/files", &Value::Null).0, status);
    }
    let is_file = |fact: &Fact| matches!(fact, Fact::File(_));
    assert!(!world.facts.iter().any(is_file));
}

#[test]
fn an_upload_that_takes_too_long_or_whose_client_goes_is_forgotten() {
    let mut world = World::with_users();
    world.upload = None;
    let late = world.ask("A", Method::Post, "/files", "");
    let gone = world.ask("A", Method::Post, "/files", "");
    world.input(Input::HttpGone(CallId(gone)));
    let forgot = |number| Seen::Forgot(Question::Receive(RequestId::from_number(number)));
    assert!(world.seen.contains(&forgot(1)));
    world.token("A", "a", 2 * 60 * 60);
    world.pass(seconds(60 * 60));
    assert_eq!(world.answers[&late].status, 408);
    assert!(world.seen.contains(&forgot(0)));

    // What comes in all the same is the world's to take away.
    let before = world.seen.len();
    for (id, incoming) in core::mem::take(&mut world.held_uploads) {
        world.input(Input::Received(id, incoming.file, Ok(three_bytes())));
    }
    assert_eq!(world.seen.len(), before);
    assert_eq!(world.guild.state().files().count(), 0);
}

#[test]
fn uploads_under_way_are_limited() {
    let mut world = World::with_users();
    world.upload = None;
    world.guild.config.limits.uploads_max = 5;
    for _ in 0..4 {
        world.ask("A", Method::Post, "/files", "");
    }
    let fifth = world.ask("A", Method::Post, "/files", "");
    assert_eq!(world.answers[&fifth].status, 429);
    world.ask("B", Method::Post, "/files", "");
    let sixth = world.ask("C", Method::Post, "/files", "");
    assert_eq!(world.answers[&sixth].status, 503);
    assert!(world.answers[&sixth].retry_after.is_some());
    let (id, incoming) = world.held_uploads[0].clone();
    world.input(Input::Received(id, incoming.file, Ok(three_bytes())));
    world.ask("A", Method::Post, "/files", "");
    assert_eq!(world.held_uploads.len(), 6);
}

#[test]
fn files_take_no_more_room_than_they_may() {
    let limited = |change: fn(&mut Config)| {
        let mut world = World::with(change);
        for (token, user) in [("A", "a"), ("B", "b")] {
            world.token(token, user, 900);
        }
        world
    };
    let upload = |world: &mut World, token| world.send(token, "/files", &Value::Null).0;
    let mut world = limited(|config| config.limits.files_per_user_bytes_max = 7);
    assert_eq!([(); 3].map(|()| upload(&mut world, "A")), [201, 201, 409]);
    let discarded = |seen: &&Seen| matches!(seen, Seen::Discarded(_));
    assert_eq!(world.seen.iter().filter(discarded).count(), 1);
    assert_eq!(upload(&mut world, "B"), 201);
    let mut world = limited(|config| config.limits.files_bytes_max = 7);
    assert_eq!(
        ["A", "B", "A"].map(|who| upload(&mut world, who)),
        [201, 201, 409]
    );
    let mut world = limited(|config| config.limits.files_max = 1);
    assert_eq!(["A", "B"].map(|who| upload(&mut world, who)), [201, 409]);
    // Nothing was taken in for it.
    assert_eq!(world.seen.iter().filter(discarded).count(), 0);
}

#[test]
fn an_expired_file_is_gone_at_once_and_swept_soon() {
    let mut world = World::with_users();
    let channel = channel(&mut world);
    // With this one the sweeps begin; the other is not at its end when one comes.
    world.uploaded("A");
    world.pass(seconds(60));
    let id = world.uploaded("A");
    assert_eq!(attach(&mut world, "A", &channel, &[&id]).0, 201);
    world.pass(seconds(7 * DAY - 1));
    for (token, user) in [("A2", "a"), ("B2", "b")] {
        world.token(token, user, 900);
    }
    let readers = ["A2", "B2"];
    assert_eq!(readers.map(|who| read(&mut world, who, &id)), [200, 200]);
    world.pass(seconds(1));
    assert_eq!(readers.map(|who| read(&mut world, who, &id)), [404, 404]);
    assert_eq!(attach(&mut world, "A2", &channel, &[&id]).0, 400);
    let newer = world.uploaded("A2");

    world.seen.clear();
    world.hold_store = true;
    world.pass(seconds(10 * 60));
    assert_eq!(world.seen, [Seen::Stored(1)], "not before it is committed");
    world.stored(Ok(()));
    assert_eq!(world.seen.last(), Some(&Seen::Discarded(id)));
    assert_eq!(read(&mut world, "A2", &newer), 200);
    assert_eq!(world.guild.state().files().count(), 1);
}

#[test]
fn very_many_expired_files_are_swept_in_turns_and_after_a_restart() {
    let mut world = World::with_users();
    world.checks_ticks = false;
    for _ in 0..450 {
        world.uploaded("A");
    }
    // Nobody sweeps while the node is down.
    world.now = world.now + seconds(8 * DAY);
    world.restart();
    assert_eq!(world.guild.state().files().count(), 450);
    world.seen.clear();
    world.pass(seconds(10 * 60 + 5));
    let sizes = world.seen.iter().filter_map(|seen| match seen {
        Seen::Stored(size) => Some(*size),
        _ => None,
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [200, 200, 50]);
    assert_eq!(world.guild.state().files_total(), Default::default());
    let wakeup = |world: &World| world.guild.files.next_wakeup();
    assert_eq!(wakeup(&world), [None, None]);
}

#[test]
fn a_file_is_delivered_behind_what_was_decided_before() {
    let mut world = World::with_users();
    let channel = channel(&mut world);
    let id = world.uploaded("A");
    world.hold_store = true;
    let post = world.ask(
        "A",
        Method::Post,
        &format!("/channels/{channel}/messages"),
        &format!(r#"{{"content":"","attachments":[{{"id":"{id}"}}]}}"#),
    );
    let read = world.ask("A", Method::Get, &format!("/files/{id}"), "");
    assert!(!world.answers.contains_key(&read));
    world.stored(Ok(()));
    let answered = |call: u64| {
        world
            .seen
            .iter()
            .position(|seen| matches!(seen, Seen::Answer(it, _) if *it == call))
    };
    assert!(answered(post).unwrap() < answered(read).unwrap());
}
