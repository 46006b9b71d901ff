//! Namespaces that the server does not let the client into, or ends.

use super::*;

#[test]
fn a_refusal_is_told_and_retried_with_new_auth() {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    rig.open();
    rig.emit("/a", "waits");
    for attempt in 0..5 {
        assert_eq!(
            rig.auth("/a", Some(&format!(r#"{{"t":{attempt}}}"#))),
            [format!(r#"> 40/a,{{"t":{attempt}}}"#)]
        );
        assert_eq!(
            rig.hear(r#"44/a,{"message":"no","data":{"code":7}}"#),
            [r#"refused /a again: no {"code":7}"#]
        );
        // The connection goes on, and the wait has a limit that doubles.
        let wait = rig.manager.next_wakeup().unwrap().at.since(rig.now);
        assert!(wait <= SECOND * (1 << attempt), "{wait:?}");
        assert_eq!(rig.sleep(), ["auth /a"]);
        rig.hear("2");
    }
    rig.auth("/a", None);
    assert_eq!(
        rig.hear(r#"40/a,{"sid":"x"}"#),
        ["connected /a x", r#"> 42/a,["waits"]"#]
    );
}

#[test]
fn without_auth_a_namespace_counts_as_refused() {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    rig.open();
    assert_eq!(
        rig.answer_auth("/a", Err("no token".to_string())),
        ["refused /a again: no token -"]
    );
    assert_eq!(rig.sleep(), ["auth /a"]);
    assert_eq!(
        rig.auth("/a", Some("[]")),
        ["refused /a again: not the JSON that belongs there -"]
    );
    assert_eq!(rig.sleep(), ["auth /a"]);
    let long = format!(r#"{{"t":"{}"}}"#, "x".repeat(100));
    assert_eq!(
        rig.auth("/a", Some(&long)),
        ["refused /a again: larger than the peer takes -"]
    );
    let asked = rig.sleep();
    assert_eq!(asked, ["auth /a"]);
    assert_eq!(
        rig.wait(Config::default().auth_patience),
        ["forget auth", "refused /a again: no auth in time -"]
    );
}

#[test]
fn one_refused_namespace_is_no_harm_to_another() {
    let mut rig = Rig::joined(Config::default(), ["/a"]);
    assert_eq!(rig.join("/b"), ["auth /b"]);
    rig.auth("/b", None);
    assert_eq!(
        rig.hear(r#"44/b,{"message":"no"}"#),
        ["refused /b again: no -"]
    );
    assert_eq!(rig.emit("/a", "goes on"), [r#"> 42/a,["goes on"]"#]);
    assert_eq!(rig.hear(r#"42/a,["e",1]"#), ["event /a e 1"]);
    // The next connection is a new chance for both.
    assert_eq!(rig.lose(), ["disconnected /a again", "down"]);
    while !rig.sleep().contains(&"prepare".to_string()) {}
    assert_eq!(rig.open(), ["auth /a", "auth /b"]);
}

#[test]
fn where_the_configuration_says_so_a_refusal_is_final() {
    let config = Config {
        retry_refused: false,
        ..Config::default()
    };
    let mut rig = Rig::joined(config, ["/a"]);
    rig.join("/b");
    rig.auth("/b", None);
    rig.emit("/b", "waits");
    assert_eq!(
        rig.hear(r#"44/b,{"message":"no"}"#),
        ["refused /b never: no -", "dropped /b NotConnected"]
    );
    assert_eq!(rig.emit("/b", "late"), ["dropped /b NotConnected"]);
    assert_eq!(rig.join("/b"), ["auth /b"]);
    rig.leave("/b");
    rig.leave("/a");
    rig.join("/b");
    rig.open();
    rig.auth("/b", None);
    // With the last namespace the connection goes.
    assert_eq!(
        rig.hear(r#"44/b,{"message":"no"}"#),
        ["refused /b never: no -", "close"]
    );
}

#[test]
fn what_the_server_ends_is_not_joined_again_by_itself() {
    let mut rig = Rig::joined(Config::default(), ["/a", "/b"]);
    rig.call(1, "/a", "asks", SECOND);
    assert_eq!(
        rig.hear("41/a,"),
        ["answered 1 Disconnected", "disconnected /a never"]
    );
    assert_eq!(rig.emit("/a", "late"), ["dropped /a NotConnected"]);
    rig.lose();
    while !rig.sleep().contains(&"prepare".to_string()) {}
    assert_eq!(rig.open(), ["auth /b"]);
    assert_eq!(rig.join("/a"), ["auth /a"]);
    rig.auth("/a", None);
    assert_eq!(rig.hear(r#"40/a,{"sid":"x"}"#), ["connected /a x"]);
    rig.leave("/b");
    assert_eq!(rig.hear("41/a,"), ["disconnected /a never", "close"]);
    assert_eq!(rig.manager.next_wakeup(), None);
}

#[test]
fn there_is_a_limit_to_namespaces() {
    let mut config = Config::default();
    config.client.namespaces_max = 1;
    let mut rig = Rig::joined(config, ["/a"]);
    assert_eq!(rig.join("/b"), ["dropped /b TooMany"]);
    assert_eq!(rig.join("/a"), [""; 0]);
}

/// Whoever joins again in answer to a refusal does what is about to be done anyway.
#[test]
fn to_join_a_refused_namespace_by_hand_does_not_disturb_the_retry() {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    rig.open();
    for _ in 0..3 {
        rig.auth("/a", None);
        let refused = rig.hear(r#"44/a,{"message":"no"}"#);
        assert_eq!(refused, ["refused /a again: no -"]);
        let retry = rig.manager.next_wakeup();
        assert_eq!(rig.join("/a"), [""; 0]);
        assert_eq!(rig.manager.next_wakeup(), retry);
        assert_eq!(rig.sleep(), ["auth /a"]);
        assert_eq!(rig.join("/a"), [""; 0]);
    }
    assert_eq!(rig.auth("/a", None), ["> 40/a,"]);
    assert_eq!(rig.join("/a"), [""; 0]);
    let joined = rig.hear(r#"40/a,{"sid":"x"}"#);
    assert_eq!(joined, ["connected /a x"]);
}
