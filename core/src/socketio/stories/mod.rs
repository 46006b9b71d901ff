//! Tests of the two ends against one another, on a perfect network.

mod backlog;
mod binary;
mod direct;
mod polling;
mod recovery;
mod resumption;
mod scripted;

use alloc::{format, string::String, vec, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    AckId, Call, CallError, CloseReason, Namespace, Unsent, client,
    client::Client,
    event::{Emission, Event},
    packet, server,
    server::Server,
};
use crate::{
    Secret, canonical_hash,
    engineio::{
        self,
        transport::{ClientAction, ServerAction, ServerEvent},
    },
    http::CallId,
    machine::{Machine, earliest, step},
    request::RequestId,
    time::Time,
    ws,
};

const SECOND: Duration = Duration::from_secs(1);

/// A client and a server on a perfect network, in virtual time.
struct Pair {
    now: Time,
    client: Client,
    server: Server,
    /// What the client told its embedder, since it was looked at.
    at_client: Vec<client::Output>,
    /// What the server told its embedder, since it was looked at.
    at_server: Vec<server::Output>,
    /// Every frame: `>` from the client, `<` from the server.
    wire: Vec<String>,
}

fn arrived(event: ws::Event) -> server::Input {
    server::Input::Transport(event.into())
}

impl Pair {
    fn new() -> Self {
        Self::with(client::Config::default(), server::Config::default())
    }

    fn with(client: client::Config, server: server::Config) -> Self {
        let now = Time::from_millis(1_000);
        let mut pair = Self {
            now,
            client: Client::new(client, now),
            server: Server::new(server, "engine".into(), now),
            at_client: Vec::new(),
            at_server: Vec::new(),
            wire: Vec::new(),
        };
        pair.step_server(None);
        pair.at_client.clear();
        pair
    }

    /// A pair whose client has joined `/realtime`.
    fn joined() -> Self {
        let mut pair = Self::new();
        pair.connect("/realtime");
        pair.admit("/realtime");
        pair.look();
        pair.wire.clear();
        pair
    }

    fn connect(&mut self, name: &str) {
        self.step_client(Some(client::Input::Connect {
            namespace: namespace(name),
            auth: None,
            recover: None,
        }));
    }

    fn admit(&mut self, name: &str) {
        self.step_server(Some(server::Input::Admit {
            namespace: namespace(name),
            sid: "s".into(),
            pid: None,
            missed: Vec::new(),
        }));
    }

    fn step_client(&mut self, input: Option<client::Input>) {
        let mut out = Vec::new();
        step(&mut self.client, self.now, input, &mut out);
        for output in out {
            if let client::Output::Transport(ClientAction::WebSocket(action)) = output {
                let event = self.carry('>', action);
                self.step_server(Some(arrived(event)));
            } else {
                self.at_client.push(output);
            }
        }
    }

    fn step_server(&mut self, input: Option<server::Input>) {
        let mut out = Vec::new();
        step(&mut self.server, self.now, input, &mut out);
        for output in out {
            if let server::Output::Transport(ServerAction::WebSocket(action)) = output {
                let event = self.carry('<', action);
                self.step_client(Some(client::Input::Transport(event.into())));
            } else {
                self.at_server.push(output);
            }
        }
    }

    fn carry(&mut self, from: char, action: ws::Action) -> ws::Event {
        match action {
            ws::Action::Send(frame) => {
                self.wire.push(match &frame {
                    ws::Frame::Text(text) => format!("{from} {text}"),
                    ws::Frame::Binary(bytes) => format!("{from} {bytes:?}"),
                });
                ws::Event::Frame(frame)
            }
            ws::Action::Close => {
                self.wire.push(format!("{from} close"));
                ws::Event::Closed(gone())
            }
        }
    }

    fn sleep(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(wakeup) = earliest([self.client.next_wakeup(), self.server.next_wakeup()])
            && wakeup.at <= end
        {
            self.now = wakeup.at.max(self.now);
            self.step_client(None);
            self.step_server(None);
        }
        self.now = end;
    }

    fn look(&mut self) -> (Vec<client::Output>, Vec<server::Output>) {
        (
            core::mem::take(&mut self.at_client),
            core::mem::take(&mut self.at_server),
        )
    }
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn gone() -> ws::Closed {
    ws::Closed::Peer {
        code: 1005,
        reason: ByteString::new(),
    }
}

fn event(name: &str) -> Emission {
    Emission::event(&namespace("/realtime"), name, &(1,)).unwrap()
}

fn call(number: u64, patience: Duration) -> (RequestId<Call>, client::Input) {
    let id = RequestId::from_number(number);
    let input = client::Input::Call {
        id,
        emission: event("ask"),
        patience,
    };
    (id, input)
}

fn text(content: &str) -> ws::Event {
    ws::Event::Frame(ws::Frame::Text(content.into()))
}

#[test]
fn a_client_joins_with_its_auth_and_talks() {
    let mut pair = Pair::new();
    let realtime = namespace("/realtime");
    let auth = r#"{"token":"123"}"#;
    pair.step_client(Some(client::Input::Connect {
        namespace: realtime.clone(),
        auth: Some(Secret::new(auth)),
        recover: None,
    }));
    let (_, asked) = pair.look();
    assert_eq!(
        asked,
        [server::Output::Admission {
            namespace: realtime.clone(),
            auth: Some(auth.into()),
            resumption: None,
        }]
    );
    pair.admit("/realtime");
    assert_eq!(
        pair.look().0,
        [client::Output::Connected {
            namespace: realtime.clone(),
            sid: "s".into(),
            pid: None,
            recovered: false,
            early: 0,
        }]
    );
    pair.step_client(Some(client::Input::Emit(event("up"))));
    pair.step_server(Some(server::Input::Emit(event("down"))));
    let (down, up) = pair.look();
    let [client::Output::Event { event, .. }] = down.as_slice() else {
        panic!("{down:?}");
    };
    assert_eq!(event.name(), "down");
    let [server::Output::Event { event, .. }] = up.as_slice() else {
        panic!("{up:?}");
    };
    assert_eq!(event.args::<(u8,)>().unwrap(), (1,));
    assert_eq!(
        pair.wire[1..],
        [
            r#"> 40/realtime,{"token":"123"}"#,
            r#"< 40/realtime,{"sid":"s"}"#,
            r#"> 42/realtime,["up",1]"#,
            r#"< 42/realtime,["down",1]"#,
        ]
    );
}

#[test]
fn both_sides_ask_and_answer() {
    let mut pair = Pair::joined();
    let realtime = namespace("/realtime");
    for number in [7, 3] {
        pair.step_client(Some(call(number, SECOND).1));
    }
    let (_, asked) = pair.look();
    let acks: Vec<AckId> = asked
        .iter()
        .filter_map(|output| {
            if let server::Output::Event { event, .. } = output {
                event.ack()
            } else {
                None
            }
        })
        .collect();
    for ack in acks.iter().rev() {
        let answer = Emission::answer(&realtime, *ack, &(ack,)).unwrap();
        pair.step_server(Some(server::Input::Emit(answer.clone())));
        // A repeated answer is ignored.
        pair.step_server(Some(server::Input::Emit(answer)));
    }
    let (answered, _) = pair.look();
    let answers: Vec<(u64, u64)> = answered
        .iter()
        .filter_map(|output| {
            if let client::Output::Answered {
                id,
                result: Ok(answer),
            } = output
            {
                Some((id.number(), answer.args::<(u64,)>().unwrap().0))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(answers, [(3, 1), (7, 0)]);
    assert_eq!(answered.len(), 2);

    let id = RequestId::from_number(1);
    pair.step_server(Some(server::Input::Call {
        id,
        emission: event("ask"),
        patience: SECOND,
    }));
    let answer = Emission::answer(&realtime, AckId::from_number(0), &("yes",)).unwrap();
    pair.step_client(Some(client::Input::Emit(answer)));
    let (_, answered) = pair.look();
    let [server::Output::Answered { id: of, result }] = answered.as_slice() else {
        panic!("{answered:?}");
    };
    assert_eq!(*of, id);
    assert_eq!(result.clone().unwrap().args::<(&str,)>().unwrap(), ("yes",));
}

#[test]
fn a_call_ends_in_a_timeout_and_a_late_answer_is_ignored() {
    let mut pair = Pair::joined();
    let (id, input) = call(1, SECOND);
    pair.step_client(Some(input));
    pair.sleep(SECOND - Duration::from_millis(1));
    assert_eq!(pair.look().0, []);
    pair.sleep(Duration::from_millis(1));
    let timeout = client::Output::Answered {
        id,
        result: Err(CallError::Timeout),
    };
    assert_eq!(pair.look().0, [timeout]);
    let late = Emission::answer(&namespace("/realtime"), AckId::from_number(0), &()).unwrap();
    pair.step_server(Some(server::Input::Emit(late)));
    assert_eq!(pair.look().0, []);
}

#[test]
fn calls_end_with_their_namespace_and_with_the_connection() {
    let disconnected = |id| client::Output::Answered {
        id,
        result: Err(CallError::Disconnected),
    };
    let (id, input) = call(1, SECOND);

    let mut pair = Pair::joined();
    pair.step_client(Some(input.clone()));
    pair.step_client(Some(client::Input::Disconnect {
        namespace: namespace("/realtime"),
    }));
    let (told, heard) = pair.look();
    assert_eq!(told, [disconnected(id)]);
    assert_eq!(
        heard.last(),
        Some(&server::Output::Disconnected {
            namespace: namespace("/realtime")
        })
    );

    let mut pair = Pair::joined();
    pair.step_client(Some(input.clone()));
    pair.step_server(Some(server::Input::Disconnect {
        namespace: namespace("/realtime"),
    }));
    let left = client::Output::Disconnected {
        namespace: namespace("/realtime"),
    };
    assert_eq!(pair.look().0, [disconnected(id), left]);

    let mut pair = Pair::joined();
    pair.step_client(Some(input));
    pair.step_server(Some(server::Input::Close));
    let closed = client::Output::Closed(CloseReason::Engine(engineio::CloseReason::Transport(
        gone(),
    )));
    let (told, heard) = pair.look();
    assert_eq!(told, [disconnected(id), closed]);
    assert_eq!(
        heard.last(),
        Some(&server::Output::Closed(CloseReason::Engine(
            engineio::CloseReason::Local
        )))
    );
}

#[test]
fn a_refusal_carries_its_data_and_is_byte_exact_without() {
    let mut pair = Pair::new();
    let refuse = |name: &str, message: &'static str, data: Option<&'static str>| {
        Some(server::Input::Refuse {
            namespace: namespace(name),
            message: message.into(),
            data: data.map(Into::into),
        })
    };
    let refused =
        |name: &str, message: &'static str, data: Option<&'static str>| client::Output::Refused {
            namespace: namespace(name),
            message: message.into(),
            data: data.map(Into::into),
        };
    pair.connect("/random");
    pair.step_server(refuse("/random", "Invalid namespace", None));
    assert_eq!(
        pair.wire.last().unwrap(),
        r#"< 44/random,{"message":"Invalid namespace"}"#
    );
    assert_eq!(
        pair.look().0,
        [refused("/random", "Invalid namespace", None)]
    );
    // It can be asked for again on the same connection.
    pair.connect("/random");
    pair.step_server(refuse("/random", "no", Some(r#"{"retry":1}"#)));
    assert_eq!(
        pair.look().0,
        [refused("/random", "no", Some(r#"{"retry":1}"#))]
    );
    pair.connect("/random");
    pair.step_server(refuse("/random", "no", Some("}")));
    let (told, heard) = pair.look();
    assert_eq!(told, [refused("/random", "no", None)]);
    assert_eq!(
        heard.last(),
        Some(&server::Output::Dropped {
            namespace: namespace("/random"),
            why: Unsent::BadJson,
        })
    );
}

#[test]
fn the_heartbeat_keeps_an_idle_pair_alive() {
    let mut pair = Pair::joined();
    pair.sleep(SECOND * 3_600);
    assert_eq!(pair.look(), (vec![], vec![]));
    assert_eq!(pair.wire.len(), 2 * (3_600 / 25));
}

#[test]
fn nothing_is_written_before_the_server_admits() {
    let mut pair = Pair::new();
    let dropped = |why| client::Output::Dropped {
        namespace: namespace("/realtime"),
        why,
    };
    let not_connected = |id| client::Output::Answered {
        id,
        result: Err(CallError::NotConnected),
    };
    pair.step_client(Some(client::Input::Emit(event("a"))));
    pair.connect("/realtime");
    pair.connect("/realtime");
    pair.step_client(Some(client::Input::Emit(event("a"))));
    let (id, input) = call(1, SECOND);
    pair.step_client(Some(input));
    assert_eq!(
        pair.look().0,
        [
            dropped(Unsent::NotConnected),
            dropped(Unsent::Duplicate),
            dropped(Unsent::NotConnected),
            not_connected(id),
        ]
    );
    assert_eq!(pair.wire.len(), 2);
}

#[test]
fn leaving_before_the_answer_waits_for_it() {
    let mut pair = Pair::new();
    pair.connect("/realtime");
    pair.step_client(Some(client::Input::Disconnect {
        namespace: namespace("/realtime"),
    }));
    assert_eq!(pair.wire.len(), 2);
    pair.admit("/realtime");
    assert_eq!(pair.wire.last().unwrap(), "> 41/realtime,");
    assert_eq!(pair.look().0, []);
    assert!(!pair.server.is_closed());
    pair.connect("/realtime");
    pair.admit("/realtime");
    assert!(matches!(
        pair.look().0.as_slice(),
        [client::Output::Connected { .. }]
    ));
}

#[test]
fn what_crosses_a_dismissal_is_forgiven_and_the_client_can_come_back() {
    let mut pair = Pair::joined();
    let mut late = Vec::new();
    step(
        &mut pair.client.clone(),
        pair.now,
        Some(client::Input::Emit(event("late"))),
        &mut late,
    );
    pair.step_server(Some(server::Input::Disconnect {
        namespace: namespace("/realtime"),
    }));
    for output in late {
        if let client::Output::Transport(ClientAction::WebSocket(action)) = output {
            let event = pair.carry('>', action);
            pair.step_server(Some(arrived(event)));
        }
    }
    assert_eq!(pair.look().1, []);
    pair.connect("/realtime");
    assert!(matches!(
        pair.look().1.as_slice(),
        [server::Output::Admission { .. }]
    ));
}

#[test]
fn a_client_that_joins_nothing_is_sent_away() {
    let mut pair = Pair::new();
    pair.sleep(SECOND * 45);
    assert_eq!(
        pair.look().1,
        [server::Output::Closed(CloseReason::ConnectTimeout)]
    );
    let mut pair = Pair::new();
    pair.connect("/realtime");
    pair.sleep(SECOND * 45);
    assert!(pair.client.is_closed() && pair.server.is_closed());
}

#[test]
fn inputs_can_be_written_down_and_states_can_be_compared() {
    let (_, call) = call(3, SECOND);
    for input in [
        client::Input::Transport(text("2").into()),
        client::Input::Connect {
            namespace: Namespace::root(),
            auth: Some(Secret::new("{}")),
            recover: None,
        },
        client::Input::Emit(event("a")),
        call,
        client::Input::Close,
    ] {
        let line = serde_json::to_string(&input).unwrap();
        assert_eq!(serde_json::from_str::<client::Input>(&line).unwrap(), input);
    }
    let (one, two) = (Pair::joined(), Pair::joined());
    assert_eq!(one.client, two.client);
    assert_eq!(one.server, two.server);
    let later = two.now + SECOND;
    assert_ne!(
        canonical_hash(&one.client, one.now),
        canonical_hash(&two.client, later)
    );
}

#[test]
fn an_event_shares_its_frame() {
    let frame = ByteString::from(r#"42/realtime,["name","argument"]"#);
    let range = frame.as_bytes().as_ptr_range();
    let mut pair = Pair::joined();
    pair.step_server(Some(arrived(ws::Event::Frame(ws::Frame::Text(
        frame.clone(),
    )))));
    let (_, heard) = pair.look();
    let [server::Output::Event { event, .. }] = heard.as_slice() else {
        panic!("{heard:?}");
    };
    let event: &Event = event;
    assert!(range.contains(&event.name().as_ptr()));
    assert!(range.contains(&event.args::<(&str,)>().unwrap().0.as_ptr()));
}

#[test]
fn a_late_answer_is_not_taken_for_that_of_a_later_membership() {
    let mut pair = Pair::joined();
    let (_, first) = call(1, SECOND);
    pair.step_client(Some(first));
    pair.step_client(Some(client::Input::Disconnect {
        namespace: namespace("/realtime"),
    }));
    pair.connect("/realtime");
    pair.admit("/realtime");
    let (second, asked) = call(2, SECOND);
    pair.step_client(Some(asked));
    pair.look();
    // The official peers send an answer also when the membership that it belongs to is over.
    let late = || text(r#"43/realtime,0["late"]"#);
    pair.step_client(Some(client::Input::Transport(late().into())));
    assert_eq!(pair.look().0, []);
    pair.sleep(SECOND);
    let timeout = client::Output::Answered {
        id: second,
        result: Err(CallError::Timeout),
    };
    assert_eq!(pair.look().0, [timeout]);

    let mut pair = Pair::joined();
    let ask = |number| {
        let id = RequestId::from_number(number);
        let (emission, patience) = (event("ask"), SECOND);
        Some(server::Input::Call {
            id,
            emission,
            patience,
        })
    };
    pair.step_server(ask(1));
    pair.step_client(Some(client::Input::Disconnect {
        namespace: namespace("/realtime"),
    }));
    pair.connect("/realtime");
    pair.admit("/realtime");
    pair.step_server(ask(2));
    pair.look();
    pair.step_server(Some(arrived(late())));
    assert_eq!(pair.look().1, []);
}
