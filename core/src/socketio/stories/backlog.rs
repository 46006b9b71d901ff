//! What becomes of emissions between the wish to join a namespace and the server's answer.

use super::*;

fn keeping(events_max: usize) -> client::Config {
    client::Config {
        buffer: client::Buffer::Keep {
            events_max,
            bytes_max: 1_000,
        },
        ..client::Config::default()
    }
}

fn dropped(why: Unsent) -> client::Output {
    client::Output::Dropped {
        namespace: namespace("/realtime"),
        why,
    }
}

fn ended(id: RequestId<Call>, why: CallError) -> client::Output {
    let result = Err(why);
    client::Output::Answered { id, result }
}

fn emit(pair: &mut Pair, name: &str) {
    pair.step_client(Some(client::Input::Emit(event(name))));
}

#[test]
fn what_is_kept_is_sent_in_order_right_after_the_answer() {
    let mut pair = Pair::with(keeping(5), server::Config::default());
    pair.connect("/realtime");
    emit(&mut pair, "first");
    pair.step_client(Some(client::Input::EmitVolatile(event("now or never"))));
    let (late, call_late) = call(3, SECOND / 2);
    let (_, call_in_time) = call(1, SECOND);
    pair.step_client(Some(call_late));
    pair.step_client(Some(call_in_time));
    let contents = vec![Bytes::from_static(b"1")];
    let binary = Emission::event_with(&namespace("/realtime"), "binary", &(), contents);
    pair.step_client(Some(client::Input::Emit(binary.unwrap())));
    emit(&mut pair, "last");
    assert_eq!(pair.look().0, [dropped(Unsent::NotConnected)]);
    // Patience runs from the call.
    pair.sleep(SECOND / 2);
    assert_eq!(pair.look().0, [ended(late, CallError::Timeout)]);
    // An answer to what was not sent yet means nothing.
    pair.step_client(Some(client::Input::Transport(
        text("43/realtime,1[]").into(),
    )));
    pair.wire.clear();
    pair.admit("/realtime");
    let (told, _) = pair.look();
    assert!(matches!(
        told.as_slice(),
        [client::Output::Connected { .. }]
    ));
    pair.step_client(Some(call(4, SECOND).1));
    assert_eq!(
        pair.wire,
        [
            r#"< 40/realtime,{"sid":"s"}"#,
            r#"> 42/realtime,["first",1]"#,
            r#"> 42/realtime,1["ask",1]"#,
            r#"> 451-/realtime,["binary"]"#,
            r#"> b"1""#,
            r#"> 42/realtime,["last",1]"#,
            r#"> 42/realtime,2["ask",1]"#,
        ]
    );
    pair.sleep(SECOND);
    let ends = [1, 4].map(|id| ended(RequestId::from_number(id), CallError::Timeout));
    assert_eq!(pair.look().0, ends);
}

#[test]
fn what_is_above_the_limit_is_refused() {
    let mut pair = Pair::with(keeping(1), server::Config::default());
    emit(&mut pair, "not asked for");
    pair.connect("/realtime");
    pair.connect("/other");
    emit(&mut pair, "kept");
    emit(&mut pair, "one more");
    let (id, input) = call(1, SECOND);
    pair.step_client(Some(input));
    assert_eq!(
        pair.look().0,
        [
            dropped(Unsent::NotConnected),
            dropped(Unsent::BufferFull),
            ended(id, CallError::BufferFull),
        ]
    );
    pair.admit("/realtime");
    let answer = Emission::answer(&namespace("/other"), AckId::from_number(0), &()).unwrap();
    pair.step_client(Some(client::Input::Emit(answer)));
    assert_eq!(pair.look().0.len(), 1);
}

#[test]
fn what_cannot_be_sent_any_more_comes_back() {
    let (id, ask) = call(1, SECOND);
    let left = client::Input::Disconnect {
        namespace: namespace("/realtime"),
    };
    for end in [Some(left), Some(client::Input::Close), None] {
        for is_open in [false, true] {
            let mut pair = Pair::with(keeping(5), server::Config::default());
            if !is_open {
                pair.client = Client::new(keeping(5), pair.now);
            }
            pair.connect("/realtime");
            emit(&mut pair, "kept");
            pair.step_client(Some(ask.clone()));
            match (&end, is_open) {
                (Some(end), _) => pair.step_client(Some(end.clone())),
                (None, true) => pair.step_server(Some(server::Input::Refuse {
                    namespace: namespace("/realtime"),
                    message: "no".into(),
                    data: None,
                })),
                (None, false) => continue,
            }
            let (told, _) = pair.look();
            let back = [
                dropped(Unsent::NotConnected),
                ended(id, CallError::Disconnected),
            ];
            assert_eq!(told[..2], back);
            pair.wire.clear();
            pair.connect("/realtime");
            pair.admit("/realtime");
            let events = pair.wire.iter().filter(|frame| frame.starts_with("> 42"));
            assert_eq!(events.count(), 0);
        }
    }
}

#[test]
fn what_turns_out_to_be_too_large_is_refused() {
    let mut config = server::Config::default();
    config.engine.max_payload = 30;
    let mut pair = Pair::with(keeping(5), config);
    pair.connect("/realtime");
    let long = Emission::event(&namespace("/realtime"), "a name too long", &()).unwrap();
    let id = RequestId::from_number(1);
    pair.step_client(Some(client::Input::Emit(long.clone())));
    pair.step_client(Some(client::Input::Call {
        id,
        emission: long,
        patience: SECOND,
    }));
    emit(&mut pair, "fits");
    assert_eq!(pair.look().0, []);
    pair.admit("/realtime");
    assert_eq!(
        pair.look().0[1..],
        [dropped(Unsent::TooLarge), ended(id, CallError::TooLarge)]
    );
    assert_eq!(pair.wire.last().unwrap(), r#"> 42/realtime,["fits",1]"#);
}
