//! Who gets in, and how a socket ends.

use super::*;
use crate::{engineio, socketio::CallError};

fn asks(scene: &Scene, socket: u64, name: &str, auth: Option<&str>) -> Output {
    Output::Admission {
        socket: id(socket),
        session: scene.session(0),
        namespace: namespace(name),
        auth: auth.map(Into::into),
        former: None,
    }
}

#[test]
fn a_socket_is_admitted_by_the_embedder_and_talks() {
    let mut scene = Scene::new(config());
    scene.connect(0, r#"40{"token":"123"}"#);
    scene.wired(&[]);
    let asked = asks(&scene, 0, "/", Some(r#"{"token":"123"}"#));
    scene.told(&[asked]);
    scene.admit(0);
    scene.wired(&[r#"0 40{"sid":"sid0"}"#]);
    scene.told(&[connected(0, "sid0", false)]);
    scene.admit(0);
    scene.refuse(0, None);
    scene.frame(0, r#"42["hello"]"#);
    let [Output::Event { socket, event }] = scene.told.as_slice() else {
        panic!("{:?}", scene.told);
    };
    assert_eq!((*socket, event.name()), (id(0), "hello"));
    scene.told.clear();
    scene.emit_to(Target::Socket(id(0)), "back", false);
    scene.wired(&[r#"0 42["back"]"#]);
    scene.frame(0, "41");
    scene.told(&[disconnected(0, End::Left)]);
    scene.emit_to(Target::Socket(id(0)), "late", false);
    scene.wired(&[]);
    scene.told(&[dropped(Some(0), Unsent::NotConnected)]);
}

#[test]
fn a_refusal_has_words_and_data() {
    let mut scene = Scene::new(config());
    scene.connect(0, "40/a,");
    scene.told.clear();
    scene.refuse(0, Some(r#"{"retry":1}"#));
    scene.wired(&[r#"0 44/a,{"message":"no","data":{"retry":1}}"#]);
    scene.admit(0);
    scene.told(&[]);
    scene.frame(0, "40/a,");
    let asked = asks(&scene, 1, "/a", None);
    scene.told(&[asked]);
    scene.refuse(1, Some("{"));
    scene.wired(&[r#"0 44/a,{"message":"no"}"#]);
    scene.told(&[dropped(None, Unsent::BadJson)]);
}

#[test]
fn an_unknown_namespace_is_refused_without_a_question() {
    let mut scene = Scene::new(config());
    scene.connect(0, "40/random");
    scene.wired(&[r#"0 44/random,{"message":"Invalid namespace"}"#]);
    scene.told(&[]);
}

#[test]
fn an_auth_that_is_too_long_is_refused_without_a_question() {
    let mut scene = Scene::new(Config {
        auth_bytes_max: 10,
        ..config()
    });
    scene.connect(0, r#"40{"a":12345}"#);
    scene.wired(&[r#"0 44{"message":"Auth too large"}"#]);
    scene.told(&[]);
    scene.frame(0, r#"40{"a":1234}"#);
    let asked = asks(&scene, 0, "/", Some(r#"{"a":1234}"#));
    scene.told(&[asked]);
}

#[test]
fn namespaces_of_a_connection_come_and_go_on_their_own() {
    let mut scene = Scene::inside(config(), 1);
    scene.frame(0, "40/a,");
    scene.admit(1);
    scene.wired(&[r#"0 40/a,{"sid":"sid1"}"#]);
    scene.told.clear();
    scene.emit(Audience::default(), "root");
    scene.wired(&[r#"0 42["root"]"#]);
    scene.disconnect(1, false);
    scene.wired(&["0 41/a,"]);
    scene.told(&[disconnected(1, End::Dismissed)]);
    scene.emit_to(Target::Socket(id(0)), "still", false);
    scene.wired(&[r#"0 42["still"]"#]);
    scene.emit_to(Target::Socket(id(1)), "gone", false);
    scene.told(&[dropped(Some(1), Unsent::NotConnected)]);
    let nowhere = Emission::event(&namespace("/nowhere"), "e", &()).unwrap();
    scene.step(Some(Input::Emit {
        to: Target::Audience(Audience::default()),
        emission: nowhere,
        volatile: false,
    }));
    scene.told(&[dropped(None, Unsent::NotConnected)]);
}

#[test]
fn every_socket_of_a_closed_connection_ends_once() {
    let mut scene = Scene::inside(config(), 2);
    scene.frame(0, "40/a,");
    scene.admit(2);
    scene.told.clear();
    scene.wire.clear();
    scene.disconnect(2, true);
    scene.wired(&["0 close"]);
    let end = End::Closed(CloseReason::Engine(engineio::CloseReason::Local));
    scene.told(&[disconnected(0, end.clone()), disconnected(2, end.clone())]);
    scene.disconnect(2, true);
    scene.lose(0);
    scene.told(&[]);
    scene.connect(3, "40");
    scene.told.clear();
    scene.step(Some(Input::Close));
    scene.wired(&["1 close", "3 close"]);
    scene.told(&[
        disconnected(1, end),
        Output::ForgetAdmission { socket: id(3) },
        Output::Closed,
    ]);
    assert_eq!(scene.hub.next_wakeup(), None);
    scene.connect(4, "40");
    scene.told(&[]);
    scene.wired(&[]);
}

#[test]
fn a_question_ends_with_its_patience_or_its_connection() {
    let mut scene = Scene::new(config());
    scene.connect(0, "40");
    scene.connect(1, "40");
    scene.connect(2, "40");
    scene.told.clear();
    scene.lose(1);
    scene.told(&[Output::ForgetAdmission { socket: id(1) }]);
    scene.disconnect(2, false);
    scene.wired(&[r#"2 44{"message":"Disconnected"}"#]);
    scene.told(&[Output::ForgetAdmission { socket: id(2) }]);
    scene.sleep(SECOND * 20);
    scene.wired(&[r#"0 44{"message":"Admission timeout"}"#]);
    scene.told(&[Output::ForgetAdmission { socket: id(0) }]);
    for socket in 0..3 {
        scene.admit(socket);
    }
    scene.wired(&[]);
    scene.told(&[]);
}

#[test]
fn only_so_many_wait_for_admission() {
    let mut scene = Scene::new(Config {
        admissions_max: 1,
        ..config()
    });
    scene.connect(0, "40");
    scene.connect(1, "40");
    scene.wired(&[r#"1 44{"message":"Too many admissions"}"#]);
    scene.admit(0);
    scene.told.clear();
    scene.frame(1, "40");
    assert!(matches!(scene.told.as_slice(), [Output::Admission { .. }]));
}

#[test]
fn a_socket_polls_and_moves_to_a_websocket() {
    let mut scene = Scene::new(config());
    scene.poll(1, None);
    scene.post(2, "poll1", "40/a,");
    scene.admit(0);
    scene.poll(3, Some("poll1"));
    scene.wired(&["call 2 200 ok", r#"call 3 200 40/a,{"sid":"sid0"}"#]);
    scene.arrive(Arrival::Socket {
        conn: ConnId(4),
        sid: Some(Secret::new("poll1")),
        fresh: Secret::new("unused"),
        base64: false,
    });
    scene.frame(4, "2probe");
    scene.poll(5, Some("poll1"));
    let emission = Emission::event(&namespace("/a"), "waits", &()).unwrap();
    scene.step(Some(Input::Emit {
        to: Target::Socket(id(0)),
        emission,
        volatile: false,
    }));
    scene.frame(4, "5");
    scene.wired(&["4 3probe", "call 5 200 6", r#"4 42/a,["waits"]"#]);
    scene.told.clear();
    scene.frame(4, r#"42/a,["moved"]"#);
    assert!(matches!(scene.told.as_slice(), [Output::Event { .. }]));
    scene.post(6, "poll1", "4void");
    scene.wired(&[r#"call 6 400 {"code":3,"message":"Bad request"}"#]);
}

#[test]
fn a_connection_that_reads_too_slowly_ends_alone() {
    let mut config = config();
    config.connection.engine.polling.queue_packets_max = 2;
    let mut scene = Scene::inside(config, 1);
    scene.poll(1, None);
    scene.post(2, "poll1", "40");
    scene.admit(1);
    scene.poll(3, Some("poll1"));
    scene.wire.clear();
    scene.told.clear();
    for _ in 0..3 {
        scene.emit(Audience::default(), "news");
    }
    let news = r#"0 42["news"]"#;
    scene.wired(&[news, news, news]);
    let overrun = engineio::CloseReason::Transport(ws::Closed::Overrun);
    let end = End::Closed(CloseReason::Engine(overrun));
    scene.told(&[disconnected(1, end)]);
    scene.emit(Audience::default(), "news");
    scene.wired(&[news]);
}

#[test]
fn each_call_ends_once() {
    let mut scene = Scene::inside(config(), 2);
    let answered = |number, result| Output::Answered {
        id: RequestId::from_number(number),
        result,
    };
    scene.call(7, 0);
    scene.call(7, 1);
    scene.wired(&[r#"0 420["ask"]"#]);
    scene.told(&[dropped(Some(1), Unsent::Duplicate)]);
    scene.frame(0, "430[1]");
    assert!(matches!(
        scene.told.as_slice(),
        [Output::Answered { result: Ok(_), .. }]
    ));
    scene.told.clear();
    scene.call(7, 1);
    scene.sleep(SECOND);
    scene.told(&[answered(7, Err(CallError::Timeout))]);
    scene.call(8, 1);
    scene.lose(1);
    scene.told(&[
        answered(8, Err(CallError::Disconnected)),
        disconnected(1, lost()),
    ]);
    scene.call(9, 1);
    scene.told(&[answered(9, Err(CallError::NotConnected))]);
}

#[test]
fn connections_begin_and_end_by_name_with_or_without_sockets() {
    let limits = engineio::sessions::Limits {
        sessions_max: 2,
        ..engineio::sessions::Limits::default()
    };
    let mut scene = Scene::new(Config {
        sessions: limits,
        ..config()
    });
    scene.open(0);
    scene.poll(1, None);
    scene.open(2);
    scene.poll(3, Some("poll1"));
    assert_eq!(mem::take(&mut scene.sessions), ["+0 engine0", "+1 poll1"]);
    scene.frame(0, "1");
    scene.open(4);
    assert_eq!(mem::take(&mut scene.sessions), ["-0", "+2 engine4"]);
    scene.step(Some(Input::Close));
    assert_eq!(scene.sessions, ["-1", "-2"]);
}
