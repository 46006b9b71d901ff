//! Who may do what: every call and every event, as nobody, as a stranger, and as those between.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde_json::{Value, json};

use super::world::{Seen, World, seconds};
use crate::{
    guild::{realtime, rest::ROUTES},
    http::Method,
};

/// Who asks, and the token that is asked with.
const ASKERS: [(&str, &str); 6] = [
    ("nobody", ""),
    ("foreign", "F"),
    ("expired", "X"),
    ("stranger", "C"),
    ("member", "B"),
    ("author", "A"),
];

/// Every call. `{p}` and `{o}` are a private and an open channel of `a` and `b`; each has a message,
/// with which `b` was woken, and a canvas of `a`. `{f}` is a
/// file of `a` that a message in the private one carries, `{u}` one that no message carries. Where `{t}`
/// stands, the token does, and not in the request's head.
const CALLS: [(Method, &str, &str); 54] = {
    use Method::{Delete, Get, Patch, Post, Put};
    let post = r#"{"content":"x"}"#;
    let user = r#"{"userId":"d"}"#;
    let bypass = r#"{"userId":"a","bypass":true}"#;
    let canvas = r#"{"format":"md","content":"x"}"#;
    [
        (Get, "/health", ""),
        (Get, "/channels", ""),
        (Get, "/channels?public=true", ""),
        (Get, "/channels?guildId=g2", ""),
        (Post, "/channels", r#"{"name":"n","xType":"general"}"#),
        (Get, "/commands", ""),
        (Put, "/commands", "[]"),
        (Get, "/channels/{p}", ""),
        (Get, "/channels/{o}", ""),
        (Patch, "/channels/{p}", r#"{"closed":true}"#),
        (Patch, "/channels/{o}", r#"{"closed":true}"#),
        (Post, "/channels/{p}/join", ""),
        (Post, "/channels/{o}/join", ""),
        (Post, "/channels/{p}/leave", ""),
        (Post, "/channels/{o}/leave", ""),
        (Get, "/channels/{p}/members", ""),
        (Get, "/channels/{o}/members", ""),
        (Post, "/channels/{p}/members", user),
        (Post, "/channels/{o}/members", user),
        (Delete, "/channels/{p}/members/b", ""),
        (Delete, "/channels/{o}/members/b", ""),
        (Get, "/channels/{p}/messages", ""),
        (Get, "/channels/{o}/messages", ""),
        (Post, "/channels/{p}/messages", post),
        (Post, "/channels/{o}/messages", post),
        (Patch, "/messages/{pm}", post),
        (Patch, "/messages/{om}", post),
        (Delete, "/messages/{pm}", ""),
        (Delete, "/messages/{om}", ""),
        (Get, "/channels/{p}/canvas", ""),
        (Get, "/channels/{o}/canvas", ""),
        (Put, "/channels/{p}/canvas", canvas),
        (Put, "/channels/{o}/canvas", canvas),
        (Patch, "/channels/{p}/canvas", r#"{"title":"t"}"#),
        (Patch, "/channels/{o}/canvas", r#"{"title":"t"}"#),
        (Delete, "/channels/{p}/canvas", ""),
        (Delete, "/channels/{o}/canvas", ""),
        (Get, "/channels/{p}/turn", ""),
        (Get, "/channels/{o}/turn", ""),
        (Post, "/channels/{p}/turn/bypass", bypass),
        (Post, "/channels/{o}/turn/bypass", bypass),
        (Post, "/channels/{p}/ack", r#"{"messageId":"{pm}"}"#),
        (Post, "/channels/{o}/ack", r#"{"messageId":"{om}"}"#),
        (Post, "/files", ""),
        (Get, "/files/{f}", ""),
        (Get, "/files/{u}", ""),
        (Get, "/files/nowhere", ""),
        (Get, "/files/{f}?access_token={t}", ""),
        (Get, "/channels?access_token={t}", ""),
        (Get, "/channels/nowhere", ""),
        (Post, "/channels/nowhere/messages", post),
        (Patch, "/messages/nowhere-1", post),
        (Get, "/nothing", ""),
        (Put, "/channels", ""),
    ]
};

/// Every event of a client, in a private and in an open channel.
const EVENTS: [(&str, &str); 8] = [
    ("join_channel", r#"{"channelId":"{p}"}"#),
    ("join_channel", r#"{"channelId":"{o}"}"#),
    ("leave_channel", r#"{"channelId":"{p}"}"#),
    ("typing", r#"{"channelId":"{p}"}"#),
    ("typing", r#"{"channelId":"{o}"}"#),
    ("typing", r#"{"channelId":"nowhere"}"#),
    ("presence", r#"{"status":"online"}"#),
    ("unknown", "{}"),
];

/// A guild with both channels; `X` has expired, `F` is another guild's.
fn guild() -> (World, impl Fn(&str) -> String) {
    let mut world = World::with_users();
    world.token("X", "a", 1);
    world.token("F", "a", 900);
    world.foreign("F");
    world.pass(seconds(1));
    let made = ["discuss", "work"].map(|x_type| {
        let body = json!({
            "name": "n", "xType": x_type, "isPublic": x_type == "work", "memberUserIds": ["b"],
        });
        let (_, channel) = world.send("A", "/channels", &body);
        let id = channel["id"].as_str().unwrap().to_string();
        assert_eq!(world.post("A", &id, "first").0, 201);
        let canvas = json!({"format": "md", "content": "c"});
        let path = format!("/channels/{id}/canvas");
        assert_eq!(world.call("A", Method::Put, &path, &canvas).0, 200);
        id
    });
    let [private, open] = made;
    let [carried, lone] = [(); 2].map(|()| world.uploaded("A"));
    let body = json!({"content": "", "attachments": [{"id": carried}]});
    let path = format!("/channels/{private}/messages");
    assert_eq!(world.send("A", &path, &body).0, 201);
    let [in_private, in_open] = [&private, &open].map(|id| world.message_id(id, 1));
    (world, move |text: &str| {
        let channels = text.replace("{p}", &private).replace("{o}", &open);
        let messages = channels
            .replace("{pm}", &in_private)
            .replace("{om}", &in_open);
        messages.replace("{f}", &carried).replace("{u}", &lone)
    })
}

fn row(what: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:<14}")).collect();
    format!("{what:<42}{cells}").trim_end().to_string()
}

fn table() -> String {
    let askers = ASKERS.map(|(who, _)| who.to_string());
    let mut rows: Vec<String> = [row("", &askers)].into();
    for (method, path, body) in CALLS {
        let cells = ASKERS.map(|(_, token)| {
            let (mut world, named) = guild();
            let target = named(path).replace("{t}", token);
            let bearer = if path.contains("{t}") { "" } else { token };
            let call = world.ask(bearer, method, &target, &named(body));
            world.answers[&call].status.to_string()
        });
        rows.push(row(&format!("{} {path}", method.as_str()), &cells));
    }
    for (name, payload) in EVENTS {
        let cells = ASKERS.map(|(_, token)| {
            let (mut world, named) = guild();
            event(&mut world, token, name, &named(payload), 0)
        });
        rows.push(row(&format!("{name} {payload}"), &cells));
    }
    for (name, payload) in EVENTS {
        let cells = ASKERS.map(|(_, token)| {
            let (mut world, named) = guild();
            event(&mut world, token, name, &named(payload), 900)
        });
        rows.push(row(&format!("{name} {payload}, late"), &cells));
    }
    rows.join("\n") + "\n"
}

/// What a socket is told that connects with `token`, waits so long, and sends an event.
fn event(world: &mut World, token: &str, name: &str, payload: &str, wait: u64) -> String {
    world.seen.clear();
    let conn = world.connect(token);
    let refused = world.seen.iter().find_map(|seen| match seen {
        Seen::Frame(to, text) if *to == conn => text.strip_prefix("44/realtime,"),
        _ => None,
    });
    if let Some(refused) = refused {
        let refused: Value = serde_json::from_str(refused).unwrap();
        return refused["message"].as_str().unwrap().to_string();
    }
    world.pass(seconds(wait));
    let payload = serde_json::from_str(payload).unwrap();
    match world.emit(conn, name, &payload) {
        Some(ack) if ack["ok"] == json!(true) => "ok".to_string(),
        Some(ack) => ack["error"].as_str().unwrap().to_string(),
        None => "silence".to_string(),
    }
}

/// The path of a route, as it stands in [`CALLS`].
fn is_of(route: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap().trim_start_matches('/');
    let (route, path) = (route.split('/'), path.split('/'));
    let mut segments = route.clone().zip(path.clone());
    let names_it = |segment: &str| segment.starts_with('{') || segment == "b";
    route.count() == path.count()
        && segments.all(|(it, segment)| it == segment || it == "*" && names_it(segment))
}

#[test]
fn every_call_and_every_event_is_in_the_table() {
    for (route, methods) in ROUTES {
        for method in methods {
            let is_there =
                |(it, path, _): &(Method, &str, &str)| it == method && is_of(route, path);
            assert!(CALLS.iter().any(is_there), "{} {route}", method.as_str());
        }
    }
    for event in realtime::EVENTS {
        assert!(EVENTS.iter().any(|(name, _)| *name == event), "{event}");
    }
}

#[test]
fn who_may_do_what_is_as_it_was_reviewed() {
    let table = table();
    assert!(
        table == include_str!("permissions.txt"),
        "now it is\n{table}"
    );
}
