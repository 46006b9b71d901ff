//! What is emitted and called, over connections that come and go.

use super::*;

fn keeping(events_max: usize) -> Config {
    let mut config = Config::default();
    config.client.buffer = Buffer::Keep {
        events_max,
        bytes_max: 1_000,
    };
    config
}

#[test]
fn nothing_is_written_before_the_server_admits() {
    let mut rig = Rig::new(Config::default());
    assert_eq!(rig.emit("/a", "1"), ["dropped /a NotConnected"]);
    rig.join("/a");
    assert_eq!(rig.emit("/a", "2"), [""; 0]);
    rig.open();
    assert_eq!(rig.emit("/a", "3"), [""; 0]);
    assert_eq!(rig.auth("/a", None), ["> 40/a,"]);
    assert_eq!(rig.emit("/a", "4"), [""; 0]);
    let volatile = Input::EmitVolatile(emission("/a", "now"));
    assert_eq!(rig.tell(volatile.clone()), ["dropped /a NotConnected"]);
    // What came before the answer comes after it, and what has waited goes out in order.
    assert_eq!(rig.hear(r#"42/a,["early"]"#), [""; 0]);
    assert_eq!(
        rig.hear(r#"40/a,{"sid":"x"}"#),
        [
            "connected /a x",
            "event /a early ",
            r#"> 42/a,["2"]"#,
            r#"> 42/a,["3"]"#,
            r#"> 42/a,["4"]"#,
        ]
    );
    assert_eq!(rig.emit("/a", "5"), [r#"> 42/a,["5"]"#]);
    assert_eq!(rig.tell(volatile), [r#"> 42/a,["now"]"#]);
}

#[test]
fn what_is_kept_outlives_connections_and_is_sent_once() {
    let mut rig = Rig::joined(Config::default(), ["/a"]);
    rig.emit("/a", "0");
    rig.lose();
    rig.emit("/a", "1");
    rig.call(7, "/a", "2", SECOND * 100);
    rig.sleep();
    rig.open();
    rig.auth("/a", None);
    // The second connection ends before the server has answered.
    rig.lose();
    rig.emit("/a", "3");
    rig.sleep();
    rig.open();
    rig.auth("/a", None);
    assert_eq!(
        rig.hear(r#"40/a,{"sid":"x"}"#),
        [
            "connected /a x",
            r#"> 42/a,["1"]"#,
            r#"> 42/a,0["2"]"#,
            r#"> 42/a,["3"]"#,
        ]
    );
    assert_eq!(rig.hear("43/a,0[5]"), ["answered 7 [5]"]);
    rig.lose();
    rig.sleep();
    rig.open();
    rig.auth("/a", None);
    assert_eq!(rig.hear(r#"40/a,{"sid":"x"}"#), ["connected /a x"]);
}

#[test]
fn an_answer_is_not_kept_for_another_connection() {
    let mut rig = Rig::joined(Config::default(), ["/a"]);
    assert_eq!(rig.hear(r#"42/a,5["asks"]"#), ["event /a asks "]);
    let ack = crate::socketio::AckId::from_number(5);
    let answer = Input::Emit(Emission::answer(&namespace("/a"), ack, &()).unwrap());
    assert_eq!(rig.tell(answer.clone()), ["> 43/a,5[]"]);
    rig.lose();
    assert_eq!(rig.tell(answer), ["dropped /a NotConnected"]);
}

#[test]
fn each_call_ends_once() {
    let mut rig = Rig::joined(Config::default(), ["/a"]);
    rig.call(1, "/a", "asks", SECOND * 10);
    assert_eq!(rig.call(1, "/a", "again", SECOND), ["dropped /a Duplicate"]);
    assert_eq!(
        rig.lose(),
        ["answered 1 Disconnected", "disconnected /a again", "down"]
    );
    let until = rig.now + SECOND * 20;
    assert_eq!(rig.call(1, "/a", "asks", SECOND * 20), [""; 0]);
    assert_eq!(rig.call(1, "/a", "again", SECOND), ["dropped /a Duplicate"]);
    // Patience runs from the call on, also while it waits.
    rig.sleep();
    rig.open();
    rig.auth("/a", None);
    rig.wait(SECOND * 10);
    rig.hear("2");
    assert_eq!(
        rig.hear(r#"40/a,{"sid":"x"}"#),
        ["connected /a x", r#"> 42/a,0["asks"]"#]
    );
    let moment = Duration::from_micros(1);
    assert_eq!(rig.wait(until.since(rig.now) - moment), [""; 0]);
    assert_eq!(rig.wait(moment), ["answered 1 Timeout"]);
    assert_eq!(rig.hear("43/a,0[]"), [""; 0]);
    assert_eq!(
        rig.call(2, "/b", "asks", SECOND),
        ["answered 2 NotConnected"]
    );
}

#[test]
fn a_call_that_is_not_sent_in_time_is_not_sent() {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    rig.call(1, "/a", "asks", SECOND);
    rig.call(2, "/a", "at once", Duration::ZERO);
    assert_eq!(rig.wait(SECOND), ["answered 1 Timeout"]);
    rig.open();
    rig.auth("/a", None);
    assert_eq!(rig.hear(r#"40/a,{"sid":"x"}"#), ["connected /a x"]);
}

#[test]
fn what_waits_can_expire_and_be_cleared() {
    let config = Config {
        keep_for: Some(SECOND * 5),
        ..keeping(10)
    };
    let mut rig = Rig::new(config);
    rig.join("/a");
    rig.join("/b");
    rig.emit("/a", "1");
    rig.wait(SECOND * 3);
    rig.emit("/a", "2");
    rig.emit("/b", "3");
    rig.call(1, "/a", "4", SECOND * 60);
    assert_eq!(rig.wait(SECOND * 2), ["dropped /a Expired"]);
    let clear = Input::ClearBuffer {
        namespace: namespace("/a"),
    };
    assert_eq!(
        rig.tell(clear),
        ["dropped /a NotConnected", "answered 1 NotConnected"]
    );
    rig.open();
    rig.auth("/b", None);
    assert_eq!(
        rig.hear(r#"40/b,{"sid":"x"}"#),
        ["connected /b x", r#"> 42/b,["3"]"#]
    );
    assert_eq!(rig.wait(SECOND * 6), [""; 0]);
}

#[test]
fn what_is_above_a_limit_is_refused() {
    let mut config = keeping(2);
    config.client.calls_max = 2;
    let mut rig = Rig::new(config);
    rig.join("/a");
    rig.emit("/a", "1");
    rig.call(1, "/a", "2", SECOND * 10);
    assert_eq!(rig.emit("/a", "3"), ["dropped /a BufferFull"]);
    assert_eq!(rig.call(2, "/a", "4", SECOND), ["answered 2 BufferFull"]);
    let answer = Emission::answer(
        &namespace("/a"),
        crate::socketio::AckId::from_number(0),
        &(),
    );
    let call = Input::Call {
        id: RequestId::from_number(9),
        emission: answer.unwrap(),
        patience: SECOND,
    };
    assert_eq!(rig.tell(call), ["answered 9 NotAnEvent"]);
    rig.open();
    rig.auth("/a", None);
    rig.hear(r#"40/a,{"sid":"x"}"#);
    rig.call(2, "/a", "5", SECOND * 10);
    assert_eq!(rig.call(3, "/a", "6", SECOND), ["answered 3 TooMany"]);
    assert_eq!(rig.hear("43/a,1[]"), ["answered 2 []"]);
    // The handshake says what the server takes.
    let long = "x".repeat(100);
    assert_eq!(rig.emit("/a", &long), ["dropped /a TooLarge"]);
    assert_eq!(rig.call(4, "/a", &long, SECOND), ["answered 4 TooLarge"]);
    rig.lose();
    assert_eq!(rig.emit("/a", &long), [""; 0]);
    assert_eq!(rig.call(5, "/a", &long, SECOND * 60), [""; 0]);
    rig.sleep();
    rig.open();
    rig.auth("/a", None);
    assert_eq!(
        rig.hear(r#"40/a,{"sid":"x"}"#),
        [
            "connected /a x",
            "dropped /a TooLarge",
            "answered 5 TooLarge"
        ]
    );

    let mut config = Config::default();
    config.client.buffer = Buffer::Drop;
    let mut rig = Rig::new(config);
    rig.join("/a");
    assert_eq!(rig.emit("/a", "1"), ["dropped /a NotConnected"]);
    assert_eq!(rig.call(1, "/a", "2", SECOND), ["answered 1 NotConnected"]);
}
