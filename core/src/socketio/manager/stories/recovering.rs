//! Memberships that outlive their connection at the server.

use super::*;

/// A manager with a membership that can be recovered, up to the offset `o2`.
fn recoverable() -> Rig {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    rig.open();
    rig.auth("/a", Some(r#"{"t":1}"#));
    let said = rig.hear(r#"40/a,{"sid":"x","pid":"P"}"#);
    assert_eq!(said, ["connected /a x"]);
    for offset in ["o1", "o2"] {
        rig.hear(&format!(r#"42/a,["e",1,"{offset}"]"#));
    }
    rig
}

/// Loses the connection and comes to the next CONNECT, which is given back.
fn reconnect(rig: &mut Rig) -> Vec<String> {
    rig.lose();
    assert_eq!(rig.sleep(), ["prepare"]);
    rig.open();
    rig.auth("/a", Some(r#"{"t":2}"#))
}

#[test]
fn a_membership_is_gone_on_with_after_a_loss() {
    let mut rig = recoverable();
    let wanted = [r#"> 40/a,{"offset":"o2","pid":"P","t":2}"#];
    assert_eq!(reconnect(&mut rig), wanted);
    // A connection that ends before the answer takes nothing away.
    assert_eq!(reconnect(&mut rig), wanted);
    // The server replays too much; what is known is dropped.
    for offset in ["o1", "o2", "o3", "o4"] {
        assert_eq!(rig.hear(&format!(r#"42/a,["e",{{}},"{offset}"]"#)), [""; 0]);
    }
    assert_eq!(
        rig.hear(r#"40/a,{"sid":"x","pid":"P"}"#),
        [
            "connected /a x recovered",
            r#"event /a e {},"o3""#,
            r#"event /a e {},"o4""#,
        ]
    );
    // What is live is never taken for a replay.
    let status = r#"42/a,["status","ok"]"#;
    for _ in 0..2 {
        assert_eq!(rig.hear(status), [r#"event /a status "ok""#]);
    }
    rig.hear(r#"42/a,["e","o5"]"#);
    assert_eq!(
        reconnect(&mut rig),
        [r#"> 40/a,{"offset":"o5","pid":"P","t":2}"#]
    );
}

#[test]
fn what_was_missed_beyond_the_limit_is_not_asked_for_again_and_again() {
    let mut rig = recoverable();
    let wanted = [r#"> 40/a,{"offset":"o2","pid":"P","t":2}"#];
    assert_eq!(reconnect(&mut rig), wanted);
    let max = Config::default().client.early_events_max;
    for number in 0..max {
        assert_eq!(rig.hear(&format!(r#"42/a,["e","n{number}"]"#)), [""; 0]);
    }
    let ended = rig.hear(r#"42/a,["e","one too many"]"#);
    assert_eq!(ended, ["close", "down"]);
    assert_eq!(rig.sleep(), ["prepare"]);
    rig.open();
    assert_eq!(rig.auth("/a", Some(r#"{"t":3}"#)), [r#"> 40/a,{"t":3}"#]);
}

#[test]
fn what_cannot_be_recovered_begins_anew() {
    let mut rig = recoverable();
    reconnect(&mut rig);
    assert_eq!(
        rig.hear(r#"40/a,{"sid":"y","pid":"Q"}"#),
        ["connected /a y"]
    );
    // No event has come since: there is no offset to go on from.
    assert_eq!(reconnect(&mut rig), [r#"> 40/a,{"t":2}"#]);
    rig.hear(r#"40/a,{"sid":"z","pid":"Q"}"#);
    rig.hear(r#"42/a,["e","o1"]"#);
    assert_eq!(
        reconnect(&mut rig),
        [r#"> 40/a,{"offset":"o1","pid":"Q","t":2}"#]
    );
    // A server that does not do it any more.
    rig.hear(r#"40/a,{"sid":"z"}"#);
    rig.hear(r#"42/a,["e","o2"]"#);
    assert_eq!(reconnect(&mut rig), [r#"> 40/a,{"t":2}"#]);
}

#[test]
fn what_is_left_or_ended_is_forgotten_and_what_is_refused_is_not() {
    let connect = [r#"> 40/a,{"t":3}"#];
    let auth = Some(r#"{"t":3}"#);

    let mut rig = recoverable();
    rig.leave("/a");
    rig.join("/a");
    rig.open();
    assert_eq!(rig.auth("/a", auth), connect);

    let mut rig = recoverable();
    rig.hear("41/a,");
    rig.join("/a");
    rig.open();
    assert_eq!(rig.auth("/a", auth), connect);

    let connect = [r#"> 40/a,{"offset":"o2","pid":"P","t":3}"#];

    // A server that refuses stale auth, or is busy, still has what was missed.
    let mut rig = recoverable();
    reconnect(&mut rig);
    rig.hear(r#"44/a,{"message":"no"}"#);
    assert_eq!(rig.sleep(), ["auth /a"]);
    assert_eq!(rig.auth("/a", auth), connect);

    let mut rig = recoverable();
    rig.lose();
    rig.sleep();
    rig.open();
    rig.answer_auth("/a", Err("no token".to_string()));
    rig.sleep();
    assert_eq!(rig.auth("/a", auth), connect);
}
