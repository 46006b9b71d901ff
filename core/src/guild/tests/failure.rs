//! When Center or the store fails, and how it all ends.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::world::{Seen, World, event_names, seconds};
use crate::{
    guild::{
        Config, Guild,
        io::{Input, Question, Unavailable},
    },
    http::Method,
    id::{GuildId, NodeId},
    machine::Machine,
    rng::Rng,
};

#[test]
fn nothing_is_seen_before_the_store_has_committed() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let (a, b) = (world.listener("A", &id), world.connect("B"));
    world.hold_store = true;
    world.seen.clear();
    let path = format!("/channels/{id}/messages");
    let first = world.ask("A", Method::Post, &path, r#"{"content":"one"}"#);
    let read = world.ask("B", Method::Get, &format!("/channels/{id}"), "");
    let page = world.ask("B", Method::Get, &path, "");
    let join = format!(r#"42/realtime,1["join_channel",{{"channelId":"{id}"}}]"#);
    world.frame(b, &join);
    let second = world.ask("A", Method::Post, &path, r#"{"content":"two"}"#);
    assert_eq!(world.seen, [Seen::Stored(1), Seen::Stored(1)]);
    let late = world.held.pop_back().unwrap();
    world.input(Input::Stored(late, Ok(())));
    assert_eq!(world.seen.len(), 2, "the second waits for the first");
    world.seen.clear();
    world.stored(Ok(()));
    let order: Vec<_> = world
        .seen
        .iter()
        .map(|seen| match seen {
            Seen::Frame(conn, text) if text.starts_with("43") => (*conn, "ack"),
            Seen::Frame(conn, _) => (*conn, "push"),
            Seen::Answer(call, _) => (*call, "answer"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        order,
        [
            (a, "push"),
            (first, "answer"),
            (read, "answer"),
            (page, "answer"),
            (b, "ack"),
            (a, "push"),
            (b, "push"),
            (second, "answer"),
        ]
    );
    assert_eq!(world.answer(read).1["lastSeq"], json!(1));
}

#[test]
fn a_failed_write_is_answered_503_and_ends_the_node() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &["b"]);
    let listener = world.listener("A", &id);
    world.hold_store = true;
    world.hold_tokens = true;
    world.token("new", "a", 900);
    let path = format!("/channels/{id}/messages");
    let post = world.ask("A", Method::Post, &path, r#"{"content":"one"}"#);
    let waits = world.ask("new", Method::Get, "/channels", "");
    let (question, _) = world.held_tokens[0].clone();
    world.seen.clear();
    world.stored(Err("disk full"));
    assert_eq!(
        world.seen,
        [
            Seen::Closed(listener),
            Seen::Answer(post, 503),
            Seen::Answer(waits, 503),
            Seen::Forgot(Question::Introspect(question)),
            Seen::Fatal,
        ]
    );
    assert_eq!(world.guild.next_wakeup(), None);
    world.seen.clear();
    world.introspected();
    world.ask("A", Method::Get, "/health", "");
    world.open();
    world.input(Input::Shutdown);
    world.pass(seconds(1_000));
    assert_eq!(world.seen, []);
}

#[test]
fn after_a_shutdown_no_tick_has_anything_to_do() {
    let mut world = World::with_users();
    world.channel("A", "general", &[]);
    world.input(Input::Shutdown);
    let before = world.guild.clone();
    world.pass(seconds(100_000));
    assert_eq!(world.guild, before);
}

#[test]
fn after_a_shutdown_there_is_silence() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &[]);
    let a = world.listener("A", &id);
    let stranger = world.open();
    world.hold_names = true;
    let path = format!("/channels/{id}/messages");
    let post = world.ask("A", Method::Post, &path, r#"{"content":"<@user.name:X>"}"#);
    let (name, _) = world.held_names[0].clone();
    world.seen.clear();
    world.input(Input::Shutdown);
    assert_eq!(
        world.seen,
        [
            Seen::Closed(a),
            Seen::Closed(stranger),
            Seen::Answer(post, 503),
            Seen::Forgot(Question::Resolve(name)),
        ]
    );
    world.seen.clear();
    assert_eq!(world.guild.next_wakeup(), None);
    world.input(Input::Resolved(name, Ok(None)));
    world.frame(a, "2");
    world.ask("A", Method::Get, "/channels", "");
    world.input(Input::Clock(world.wall()));
    world.pass(seconds(1_000));
    assert_eq!(world.seen, []);
}

#[test]
fn without_center_known_users_go_on_and_new_ones_wait() {
    let mut world = World::with_users();
    let id = world.channel("A", "general", &[]);
    assert_eq!(world.introspections, 1);
    world.center_down = true;
    world.pass(seconds(59));
    assert_eq!(world.post("A", &id, "one").0, 201);
    world.pass(seconds(2));
    assert_eq!(world.post("A", &id, "two").0, 201);
    assert_eq!(world.introspections, 2);
    assert_eq!(world.post("A", &id, "three").0, 201);
    assert_eq!(world.introspections, 2, "Center is left alone for a while");
    let call = world.ask("B", Method::Get, "/channels", "");
    assert_eq!(world.answer(call).0, 503);
    assert_eq!(world.answers[&call].retry_after, Some(seconds(1)));
    world.pass(seconds(840));
    let (status, _) = world.get("A", "/channels");
    assert_eq!(
        status, 503,
        "it has expired, and nothing more is known about it"
    );
    world.center_down = false;
    assert_eq!(world.get("A", "/channels").0, 401);
}

#[test]
fn a_center_that_does_not_answer_is_given_up() {
    let mut world = World::with_users();
    world.hold_tokens = true;
    let call = world.ask("A", Method::Get, "/channels", "");
    let conn = world.connect("A");
    let (question, _) = world.held_tokens[0].clone();
    world.seen.clear();
    world.pass(seconds(5));
    assert_eq!(world.seen[0], Seen::Forgot(Question::Introspect(question)));
    assert_eq!(world.answer(call).0, 503);
    let refusal = String::from(r#"44/realtime,{"message":"unavailable"}"#);
    assert!(world.seen.contains(&Seen::Frame(conn, refusal)));
    world.introspected();
}

#[test]
fn any_input_is_legal_in_any_state() {
    let config = Config::new(NodeId::new("n").unwrap(), GuildId::new("g").unwrap());
    let mut guild = Guild::new(config, Rng::from_number(1), Vec::new());
    let fresh = guild.clone();
    let mut out = Vec::new();
    let now = crate::time::Time::ZERO;
    let down = || Unavailable(String::new());
    for input in [
        Input::HttpGone(crate::http::CallId(9)),
        Input::Introspected(crate::RequestId::from_number(3), Err(down())),
        Input::Resolved(crate::RequestId::from_number(3), Ok(None)),
        Input::Stored(crate::RequestId::from_number(3), Err(down())),
        Input::Stored(crate::RequestId::from_number(3), Ok(())),
        Input::Loaded(crate::RequestId::from_number(3), Err(down())),
    ] {
        guild.handle(now, input, &mut out);
        guild.tick(now, &mut out);
    }
    assert_eq!(out, []);
    assert_eq!(
        crate::canonical_hash(&guild, now),
        crate::canonical_hash(&fresh, now)
    );
}

#[test]
fn the_rows_of_a_store_restore_the_state() {
    let mut world = World::with_users();
    let id = world.channel("A", "triage", &["b", "c"]);
    world.post("A", &id, "one");
    world.send(
        "A",
        &format!("/channels/{id}/members"),
        &json!({"userId": "d"}),
    );
    world.send("B", &format!("/channels/{id}/leave"), &Value::Null);
    let config = Config::new(NodeId::new("n1").unwrap(), GuildId::new("g1").unwrap());
    let again = Guild::new(config, Rng::from_number(1), world.facts.clone());
    assert_eq!(again.state(), world.guild.state());
    world.connect("D");
    let other = world.channel("A", "general", &["d"]);
    assert_ne!(other, id);
    assert_eq!(event_names(&world.pushes()).len(), 1);
}

/// The store alone has the history: what the node holds does not grow with it.
#[test]
fn no_message_stays_in_the_node_once_it_is_stored() {
    let mut world = World::with_users();
    let id = world.channel("A", "discuss", &["b"]);
    world.hold_store = true;
    let path = format!("/channels/{id}/messages");
    let body = r#"{"content":"a needle","nonce":"a pin"}"#;
    world.ask("A", Method::Post, &path, body);
    let holds = |world: &World, text| format!("{:?}", world.guild).contains(text);
    assert!(holds(&world, "needle"), "its answer waits");
    world.stored(Ok(()));
    assert!(!holds(&world, "needle") && !holds(&world, "a pin"));
}
