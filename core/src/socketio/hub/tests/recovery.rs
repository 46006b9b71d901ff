//! Clients that come back.

use super::*;

/// Two sockets that can come back; 0 is in x, and has seen the event at offset 0.
fn scene_with(recovery: Recovery) -> Scene {
    let mut scene = Scene::inside(
        Config {
            recovery: Some(recovery),
            ..config()
        },
        2,
    );
    scene.enter(0, "x");
    scene.emit(Audience::default(), "seen");
    scene.wired(&[r#"0 42["seen","offset-0"]"#, r#"1 42["seen","offset-0"]"#]);
    scene
}

fn scene() -> Scene {
    scene_with(Recovery::default())
}

/// Client 0 connects again on connection 9; what it was before.
fn ask(scene: &mut Scene, offset: &str) -> Option<Former> {
    scene.wire.clear();
    scene.told.clear();
    let auth = format!(r#"{{"pid":"pid0","offset":"{offset}"}}"#);
    scene.connect(9, &format!("40{auth}"));
    let Some(Output::Admission { former, .. }) = scene.told.pop() else {
        panic!("{:?}", scene.told);
    };
    scene.told.clear();
    former
}

/// It does, and is let in as what becomes socket `socket`.
fn come_back(scene: &mut Scene, offset: &str, recovering: bool, socket: u64) {
    let former = ask(scene, offset);
    assert_eq!(former.is_some(), recovering);
    scene.admit(socket);
}

/// It does, and is let in as somebody: whether it goes on with what it had.
#[track_caller]
fn goes_on_as(scene: &mut Scene, socket: u64, identity: Identity) -> bool {
    let former = ask(scene, "offset-0").unwrap();
    assert_eq!(former.sid, "sid0");
    scene.admit_as(socket, identity);
    let Some(Output::Connected { sid, recovered, .. }) = scene.told.last() else {
        panic!("{:?}", scene.told);
    };
    assert_eq!(*recovered, *sid == former.sid);
    *recovered
}

/// Client 0 is in as `first`, misses an event, and is lost.
fn lost_as(first: Identity) -> Scene {
    let mut scene = Scene::new(recovering());
    scene.connect(0, "40");
    scene.admit_as(0, first);
    scene.enter(0, "x");
    scene.emit(Audience::default(), "seen");
    scene.lose(0);
    scene.emit(to(&["x"]), "for ann");
    scene
}

#[test]
fn only_the_same_user_goes_on_with_what_a_user_had() {
    let mut scene = lost_as(user("ann"));
    // Whatever it says, its words are not for it.
    for (socket, other) in [
        (1, user("bob")),
        (2, Identity::Stranger),
        (3, Identity::default()),
    ] {
        assert!(!goes_on_as(&mut scene, socket, other));
        scene.wired(&[&format!(
            r#"9 40{{"sid":"sid{socket}","pid":"pid{socket}"}}"#
        )]);
        assert_eq!(scene.rooms, []);
        scene.lose(9);
    }
    // It is no loss to her.
    assert!(goes_on_as(&mut scene, 4, user("ann")));
    scene.wired(&[
        r#"9 42["for ann","offset-1"]"#,
        r#"9 40{"sid":"sid0","pid":"pid0"}"#,
    ]);
    assert_eq!(scene.rooms, [room("x")]);
    // Nor does anybody take her over while she is here.
    let auth = r#"40{"pid":"pid0","offset":"offset-0"}"#;
    scene.connect(8, auth);
    scene.admit_as(5, user("bob"));
    scene.wired(&[r#"8 40{"sid":"sid5","pid":"pid5"}"#]);
}

#[test]
fn the_question_says_whose_membership_it_is() {
    for first in [user("ann"), Identity::Bearer, Identity::Stranger] {
        let mut scene = lost_as(first.clone());
        let former = Former {
            sid: "sid0".into(),
            identity: first,
        };
        assert_eq!(ask(&mut scene, "offset-0"), Some(former));
    }
}

#[test]
fn a_bearer_goes_on_with_whatever_the_pid_stands_for() {
    for first in [user("ann"), Identity::Bearer, Identity::Stranger] {
        let mut scene = lost_as(first);
        assert!(goes_on_as(&mut scene, 1, Identity::Bearer));
        // It is a bearer from now on.
        scene.lose(9);
        assert!(!goes_on_as(&mut scene, 2, user("ann")));
    }
}

/// Otherwise the embedder would let it in without knowing whose place it takes.
#[test]
fn nobody_goes_on_with_what_the_question_did_not_name() {
    let mut scene = lost_as(user("ann"));
    assert_eq!(ask(&mut scene, "offset-2"), None);
    scene.emit(Audience::default(), "now there is such an offset");
    scene.admit_as(1, user("ann"));
    scene.told(&[connected(1, "sid1", false)]);
}

#[test]
fn a_room_that_is_left_while_the_client_is_away_does_not_come_back() {
    let mut scene = scene();
    scene.enter(0, "y");
    scene.lose(0);
    scene.emit(to(&["x"]), "before");
    scene.exit(0, "x");
    scene.exit(0, "nowhere");
    scene.emit(to(&["x"]), "after");
    scene.emit(to(&["y"]), "still");
    come_back(&mut scene, "offset-0", true, 2);
    scene.wired(&[
        r#"9 42["still","offset-3"]"#,
        r#"9 40{"sid":"sid0","pid":"pid0"}"#,
    ]);
    assert_eq!(scene.rooms, [room("y")]);
    // It is another socket now.
    scene.exit(0, "y");
    scene.emit(to(&["y"]), "here");
    scene.wired(&[r#"9 42["here","offset-4"]"#]);
    // And away again, it is reached by its newest one.
    scene.lose(9);
    scene.exit(0, "y");
    scene.exit(2, "y");
    come_back(&mut scene, "offset-0", true, 3);
    assert_eq!(scene.rooms, []);
}

#[test]
fn a_socket_that_is_ended_while_its_client_is_away_does_not_come_back() {
    for close in [false, true] {
        let mut scene = scene();
        scene.lose(0);
        scene.disconnect(1, false);
        scene.disconnect(0, close);
        come_back(&mut scene, "offset-0", false, 2);
        scene.told(&[connected(2, "sid2", false)]);
    }
}

#[test]
fn a_lost_socket_gets_what_it_missed_before_the_reply() {
    let mut scene = scene();
    scene.lose(0);
    scene.told(&[disconnected(0, lost())]);
    scene.emit(Audience::default(), "all");
    scene.emit(to(&["x"]), "its room");
    scene.emit(to(&["y"]), "another room");
    let but_x = Audience {
        except_rooms: to(&["x"]).rooms,
        ..Audience::default()
    };
    scene.emit(but_x, "but its room");
    let but_it = Audience {
        except_sockets: [id(0)].into(),
        ..Audience::default()
    };
    scene.emit(but_it, "but it");
    let everybody = Target::Audience(Audience::default());
    scene.emit_to(everybody, "volatile", true);
    scene.emit_to(Target::Socket(id(1)), "for another", false);
    come_back(&mut scene, "offset-0", true, 2);
    scene.wired(&[
        r#"9 42["all","offset-1"]"#,
        r#"9 42["its room","offset-2"]"#,
        r#"9 40{"sid":"sid0","pid":"pid0"}"#,
    ]);
    scene.told(&[connected(2, "sid0", true)]);
    assert_eq!(scene.rooms, [room("x")]);
    scene.emit(to(&["x"]), "back in x");
    scene.wired(&[r#"9 42["back in x","offset-7"]"#]);
}

#[test]
fn a_socket_comes_back_again_with_what_was_for_it_alone() {
    let mut scene = scene();
    scene.emit_to(Target::Socket(id(0)), "alone", false);
    scene.lose(0);
    come_back(&mut scene, "offset-0", true, 2);
    let reply = r#"9 40{"sid":"sid0","pid":"pid0"}"#;
    scene.wired(&[r#"9 42["alone","offset-1"]"#, reply]);
    scene.emit_to(Target::Socket(id(2)), "again", false);
    scene.lose(9);
    come_back(&mut scene, "offset-0", true, 3);
    scene.wired(&[
        r#"9 42["alone","offset-1"]"#,
        r#"9 42["again","offset-2"]"#,
        reply,
    ]);
    scene.lose(9);
    come_back(&mut scene, "offset-2", true, 4);
    scene.wired(&[reply]);
}

#[test]
fn a_client_that_is_away_again_is_excepted_by_its_newest_socket_too() {
    let mut scene = scene();
    scene.lose(0);
    come_back(&mut scene, "offset-0", true, 2);
    scene.lose(9);
    let but_it = Audience {
        except_sockets: [id(2)].into(),
        ..Audience::default()
    };
    scene.emit(but_it, "its own");
    come_back(&mut scene, "offset-0", true, 3);
    scene.wired(&[r#"9 40{"sid":"sid0","pid":"pid0"}"#]);
}

#[test]
fn a_polling_client_that_missed_more_than_can_wait_begins_anew() {
    let mut config = Config {
        recovery: Some(Recovery::default()),
        ..config()
    };
    config.connection.engine.polling.queue_packets_max = 3;
    let mut scene = Scene::inside(config, 1);
    scene.emit(Audience::default(), "seen");
    scene.lose(0);
    for _ in 0..3 {
        scene.emit(Audience::default(), "missed");
    }
    scene.wire.clear();
    scene.poll(1, None);
    scene.wire.clear();
    scene.post(2, "poll1", r#"40{"pid":"pid0","offset":"offset-0"}"#);
    scene.admit(1);
    scene.poll(3, Some("poll1"));
    scene.wired(&[
        "call 2 200 ok",
        r#"call 3 200 40{"sid":"sid1","pid":"pid1"}"#,
    ]);
}

#[test]
fn a_room_gives_only_what_was_said_while_the_socket_was_in() {
    let mut scene = scene();
    scene.emit(to(&["y"]), "before it came");
    scene.enter(0, "y");
    scene.emit(to(&["y"]), "after");
    scene.lose(0);
    come_back(&mut scene, "offset-0", true, 2);
    scene.wired(&[
        r#"9 42["after","offset-2"]"#,
        r#"9 40{"sid":"sid0","pid":"pid0"}"#,
    ]);
}

#[test]
fn a_client_whose_old_connection_seems_alive_takes_its_socket_over() {
    let mut scene = scene();
    come_back(&mut scene, "offset-0", true, 2);
    scene.wired(&["0 41", r#"9 40{"sid":"sid0","pid":"pid0"}"#]);
    scene.told(&[
        disconnected(0, End::TakenOver(id(2))),
        connected(2, "sid0", true),
    ]);
    // What happens to the old connection is no harm to the new one.
    scene.lose(0);
    scene.told(&[]);
    scene.emit(to(&["x"]), "still");
    scene.wired(&[r#"9 42["still","offset-1"]"#]);
    scene.lose(9);
    come_back(&mut scene, "offset-1", true, 3);
    scene.told(&[connected(3, "sid0", true)]);
}

#[test]
fn who_cannot_come_back_starts_anew() {
    let fresh = |scene: &mut Scene| {
        scene.wired(&[r#"9 40{"sid":"sid2","pid":"pid2"}"#]);
        scene.told(&[connected(2, "sid2", false)]);
    };
    for offset in [
        "offset-1",
        "x",
        "",
        "offset--1",
        "offset-18446744073709551616",
    ] {
        let mut scene = scene();
        scene.lose(0);
        come_back(&mut scene, offset, false, 2);
        fresh(&mut scene);
    }
    let mut left = scene();
    left.frame(0, "41");
    come_back(&mut left, "offset-0", false, 2);
    fresh(&mut left);
    let mut dismissed = scene();
    dismissed.disconnect(0, false);
    come_back(&mut dismissed, "offset-0", false, 2);
    fresh(&mut dismissed);
    let mut closed = scene();
    closed.disconnect(0, true);
    come_back(&mut closed, "offset-0", false, 2);
    fresh(&mut closed);
    let mut broken = scene();
    broken.frame(0, "4abc");
    come_back(&mut broken, "offset-0", false, 2);
    fresh(&mut broken);
    let mut elsewhere = scene();
    elsewhere.lose(0);
    elsewhere.told.clear();
    elsewhere.connect(9, r#"40/a,{"pid":"pid0","offset":"offset-0"}"#);
    assert!(matches!(
        elsewhere.told.as_slice(),
        [Output::Admission { former: None, .. }]
    ));
}

/// A client takes any string at the end of a volatile event for an offset.
#[test]
fn a_string_of_the_application_is_no_offset() {
    for content in [
        "0",
        "1",
        "2",
        "-0",
        "offset-",
        "offset-x",
        "offset-+0",
        "offset-00",
    ] {
        let mut scene = scene();
        scene.emit(Audience::default(), "missed");
        scene.lose(0);
        come_back(&mut scene, content, false, 2);
        scene.told(&[connected(2, "sid2", false)]);
    }
}

#[test]
fn a_lost_socket_is_waited_for_only_so_long() {
    let mut scene = scene();
    scene.lose(0);
    scene.idle(119, &[1]);
    let mut late = scene.hub.clone();
    come_back(&mut scene, "offset-0", true, 2);
    scene.told(&[connected(2, "sid0", true)]);
    mem::swap(&mut scene.hub, &mut late);
    scene.idle(1, &[1]);
    come_back(&mut scene, "offset-0", false, 2);
    scene.told(&[connected(2, "sid2", false)]);
}

#[test]
fn admission_that_takes_too_long_costs_the_recovery() {
    let mut scene = scene();
    scene.lose(0);
    scene.idle(115, &[1]);
    scene.told.clear();
    scene.connect(9, r#"40{"pid":"pid0","offset":"offset-0"}"#);
    assert!(matches!(
        scene.told.as_slice(),
        [Output::Admission {
            former: Some(_),
            ..
        }]
    ));
    scene.told.clear();
    scene.sleep(SECOND * 5);
    scene.admit(2);
    scene.told(&[connected(2, "sid2", false)]);
}

#[test]
fn the_log_and_the_lost_are_bounded() {
    let with = |change: fn(&mut Recovery)| {
        let mut recovery = Recovery::default();
        change(&mut recovery);
        scene_with(recovery)
    };
    let mut events = with(|it| it.log_events_max = 2);
    let mut bytes = with(|it| it.log_bytes_max = 40);
    for scene in [&mut events, &mut bytes] {
        scene.lose(0);
        scene.emit(Audience::default(), "1");
        scene.emit(Audience::default(), "2");
        come_back(scene, "offset-0", true, 2);
        scene.told(&[connected(2, "sid0", true)]);
        scene.lose(9);
        scene.emit(Audience::default(), "3");
        scene.lose(9);
        come_back(scene, "offset-0", false, 3);
        scene.told(&[connected(3, "sid3", false)]);
    }
    let mut one = with(|it| it.parked_max = 1);
    one.lose(0);
    one.lose(1);
    come_back(&mut one, "offset-0", false, 2);
    one.told(&[connected(2, "sid2", false)]);
}

#[test]
fn a_quiet_namespace_is_no_hindrance() {
    let mut scene = scene();
    scene.idle(300, &[0, 1]);
    scene.lose(0);
    come_back(&mut scene, "offset-0", true, 2);
    scene.wired(&[r#"9 40{"sid":"sid0","pid":"pid0"}"#]);
}

#[test]
fn without_recovery_there_is_neither_pid_nor_offset() {
    let mut scene = Scene::new(config());
    scene.connect(0, r#"40{"pid":"pid0","offset":"offset-0"}"#);
    scene.admit(0);
    scene.emit(Audience::default(), "e");
    scene.wired(&[r#"0 40{"sid":"sid0"}"#, r#"0 42["e"]"#]);
    scene.lose(0);
    assert_eq!(scene.hub.next_wakeup(), None);
}

#[test]
fn a_pid_is_given_once() {
    let mut scene = Scene::inside(recovering(), 1);
    scene.connect(1, "40");
    scene.step(Some(Input::Admit {
        socket: id(1),
        sid: "sid1".into(),
        pid: Some(Secret::new("pid0")),
        identity: Identity::Bearer,
    }));
    scene.wired(&[r#"1 40{"sid":"sid1"}"#]);
}

#[test]
fn a_client_that_polls_comes_back_on_a_websocket() {
    let mut scene = Scene::inside(recovering(), 0);
    scene.poll(1, None);
    scene.post(2, "poll1", "40");
    scene.admit(0);
    scene.emit(Audience::default(), "seen");
    scene.poll(3, Some("poll1"));
    scene.poll(4, Some("poll1"));
    scene.arrive(Arrival::Gone { call: CallId(4) });
    scene.emit(Audience::default(), "missed");
    come_back(&mut scene, "offset-0", true, 1);
    scene.wired(&[
        r#"9 42["missed","offset-1"]"#,
        r#"9 40{"sid":"sid0","pid":"pid0"}"#,
    ]);
}
