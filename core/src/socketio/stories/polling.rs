//! A client that polls: what its queue takes, and that no packet is torn apart.

use super::*;
use crate::{
    engineio::transport::{Answer, ClientEvent},
    socketio::event::Attachment,
};

/// What is posted.
fn bodies(out: &[client::Output]) -> Vec<&str> {
    out.iter()
        .filter_map(|output| {
            if let client::Output::Transport(ClientAction::Post { body, .. }) = output {
                core::str::from_utf8(body).ok()
            } else {
                None
            }
        })
        .collect()
}

fn answer(id: u64, body: &str) -> client::Input {
    client::Input::Transport(ClientEvent::Answered {
        id: RequestId::from_number(id),
        result: Ok(Answer {
            status: 200,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }),
    })
}

fn tell(client: &mut Client, input: client::Input) -> Vec<client::Output> {
    let mut out = Vec::new();
    step(client, Time::ZERO, Some(input), &mut out);
    out
}

/// An event with two attachments of so many bytes.
fn picture(bytes: usize) -> Emission {
    let args = (Attachment(0), Attachment(1));
    let contents = vec![Bytes::from(vec![0; bytes]); 2];
    Emission::event_with(&namespace("/a"), "p", &args, contents).unwrap()
}

/// A client that has joined `/a` and whose post 3 is under way. The queue takes 200 bytes, and the
/// server 100.
fn joined() -> Client {
    let config = client::Config {
        engine: engineio::client::Config {
            queue_bytes_max: 200,
            ..engineio::client::Config::default()
        },
        ..client::Config::default()
    };
    let mut client = Client::polling(config, true, Time::ZERO);
    step(&mut client, Time::ZERO, None, &mut Vec::new());
    let connect = client::Input::Connect {
        namespace: namespace("/a"),
        auth: None,
        recover: None,
    };
    assert_eq!(tell(&mut client, connect), []);
    let open = r#"0{"sid":"x","pingInterval":25000,"pingTimeout":20000,"maxPayload":100}"#;
    let out = tell(&mut client, answer(0, open));
    assert_eq!(bodies(&out), ["40/a,"]);
    let out = tell(&mut client, answer(1, "40/a,{\"sid\":\"s\"}"));
    let connected = matches!(out[1], client::Output::Connected { .. });
    assert!(connected, "{out:?}");
    assert_eq!(tell(&mut client, answer(2, "ok")), []);
    let out = tell(&mut client, client::Input::EmitVolatile(picture(3)));
    assert_eq!(bodies(&out).len(), 1);
    client
}

fn dropped(why: Unsent) -> client::Output {
    let namespace = namespace("/a");
    client::Output::Dropped { namespace, why }
}

#[test]
fn an_event_and_its_attachments_are_queued_together_or_not_at_all() {
    let mut client = joined();
    // On a WebSocket each of them would fit; in base64 they have 104 bytes.
    let out = tell(&mut client, client::Input::Emit(picture(76)));
    assert_eq!(out, [dropped(Unsent::TooLarge)]);
    let out = tell(&mut client, client::Input::Emit(picture(60)));
    assert_eq!(out, [dropped(Unsent::BufferFull)]);
    let (id, emission) = (RequestId::from_number(7), picture(60));
    let out = tell(
        &mut client,
        client::Input::Call {
            id,
            emission,
            patience: SECOND,
        },
    );
    let result = Err(CallError::BufferFull);
    assert_eq!(out, [client::Output::Answered { id, result }]);
    // What was refused has left nothing in the queue.
    let out = tell(&mut client, answer(4, "ok"));
    assert_eq!(bodies(&out), ["bAAAA\u{1e}bAAAA"]);
}

#[test]
fn a_disconnect_without_room_ends_the_connection() {
    let mut client = joined();
    let long = "-".repeat(80);
    let event = |name: &str| Emission::event(&namespace("/a"), name, &()).unwrap();
    assert_eq!(tell(&mut client, client::Input::Emit(event(&long))), []);
    while tell(&mut client, client::Input::Emit(event("fill"))).is_empty() {}
    while tell(&mut client, client::Input::Emit(event(""))).is_empty() {}
    let out = tell(
        &mut client,
        client::Input::Disconnect {
            namespace: namespace("/a"),
        },
    );
    let overrun = engineio::CloseReason::Transport(ws::Closed::Overrun);
    let closed = client::Output::Closed(CloseReason::Engine(overrun));
    assert_eq!(out.last(), Some(&closed), "{out:?}");
    assert!(client.is_closed());
}

#[test]
fn what_a_message_leads_to_comes_after_the_move_to_a_websocket() {
    let config = client::Config {
        buffer: client::Buffer::Keep {
            events_max: 1,
            bytes_max: 100,
        },
        ..client::Config::default()
    };
    let mut client = Client::polling(config, true, Time::ZERO);
    step(&mut client, Time::ZERO, None, &mut Vec::new());
    let connect = client::Input::Connect {
        namespace: namespace("/a"),
        auth: None,
        recover: None,
    };
    tell(&mut client, connect);
    let event = Emission::event(&namespace("/a"), "kept", &()).unwrap();
    tell(&mut client, client::Input::Emit(event));
    let open = r#"0{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;
    tell(&mut client, answer(0, open));
    tell(&mut client, answer(2, "ok"));
    tell(
        &mut client,
        client::Input::Transport(ClientEvent::Dialed(Ok(()))),
    );
    let probed = ws::Event::Frame(ws::Frame::Text("3probe".into()));
    tell(&mut client, client::Input::Transport(probed.into()));
    // The last poll brings the answer to the CONNECT, and with that the client moves.
    let out = tell(&mut client, answer(1, "40/a,{\"sid\":\"s\"}"));
    let sent = out.iter().filter_map(|output| {
        if let client::Output::Transport(ClientAction::WebSocket(ws::Action::Send(frame))) = output
            && let ws::Frame::Text(text) = frame
        {
            Some(&**text)
        } else {
            None
        }
    });
    assert_eq!(sent.collect::<Vec<_>>(), ["5", r#"42/a,["kept"]"#]);
}
