//! Every frame, in both directions, from the handshake to the goodbye.

use std::time::Duration;

use selvedge_core::{
    Machine as _, RequestId, Secret, Time,
    engineio::transport::{ClientAction, ServerAction},
    machine::{earliest, step},
    socketio::{
        AckId, Namespace,
        client::{self, Client},
        event::Emission,
        server::{self, Server},
    },
    ws,
};
use serde_json::json;

/// A client and a server on a perfect network; what they say is written down.
struct Wire {
    now: Time,
    client: Client,
    server: Server,
    log: String,
}

impl Wire {
    fn open() -> Self {
        let now = Time::ZERO;
        let mut wire = Self {
            now,
            client: Client::new(client::Config::default(), now),
            server: Server::new(server::Config::default(), "engine-sid".into(), now),
            log: String::new(),
        };
        wire.step_server(None);
        wire
    }

    fn step_client(&mut self, input: Option<client::Input>) {
        let mut out = Vec::new();
        step(&mut self.client, self.now, input, &mut out);
        for output in out {
            if let client::Output::Transport(ClientAction::WebSocket(action)) = output {
                let event = self.carry("client", action);
                self.step_server(Some(server::Input::Transport(event.into())));
            }
        }
    }

    fn step_server(&mut self, input: Option<server::Input>) {
        let mut out = Vec::new();
        step(&mut self.server, self.now, input, &mut out);
        for output in out {
            if let server::Output::Transport(ServerAction::WebSocket(action)) = output {
                let event = self.carry("server", action);
                self.step_client(Some(client::Input::Transport(event.into())));
            }
        }
    }

    fn carry(&mut self, from: &str, action: ws::Action) -> ws::Event {
        let (shown, event) = match action {
            ws::Action::Send(ws::Frame::Text(text)) => {
                (text.to_string(), ws::Event::Frame(ws::Frame::Text(text)))
            }
            ws::Action::Send(frame @ ws::Frame::Binary(_)) => {
                (format!("{frame:?}"), ws::Event::Frame(frame))
            }
            ws::Action::Close => {
                let closed = ws::Closed::Peer {
                    code: 1005,
                    reason: "".into(),
                };
                (String::from("(closes)"), ws::Event::Closed(closed))
            }
        };
        self.log += &format!("{} {from}: {shown}\n", self.now);
        event
    }

    fn sleep(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(wakeup) = earliest([self.client.next_wakeup(), self.server.next_wakeup()])
            && wakeup.at <= end
        {
            self.now = wakeup.at;
            self.step_client(None);
            self.step_server(None);
        }
        self.now = end;
    }
}

#[test]
fn the_wire_of_a_handshake_a_join_and_a_message() {
    let realtime = Namespace::new("/realtime").unwrap();
    let second = Duration::from_secs(1);
    let mut wire = Wire::open();
    wire.step_client(Some(client::Input::Connect {
        namespace: realtime.clone(),
        auth: Some(Secret::new(r#"{"token":"header.claims.mac"}"#)),
        recover: None,
    }));
    wire.step_server(Some(server::Input::Admit {
        namespace: realtime.clone(),
        sid: "namespace-sid".into(),
        pid: None,
        missed: vec![],
    }));
    wire.sleep(second);
    let join = json!({ "channelId": "c_1" });
    wire.step_client(Some(client::Input::Call {
        id: RequestId::from_number(7),
        emission: Emission::event(&realtime, "join_channel", &(join,)).unwrap(),
        patience: second,
    }));
    let joined = json!({ "ok": true });
    wire.step_server(Some(server::Input::Emit(
        Emission::answer(&realtime, AckId::from_number(0), &(joined,)).unwrap(),
    )));
    wire.sleep(second);
    let message = json!({ "id": "m_1", "content": "Hello — \"world\"" });
    wire.step_server(Some(server::Input::Emit(
        Emission::event(&realtime, "message.created", &(message,)).unwrap(),
    )));
    wire.sleep(second * 24);
    wire.step_client(Some(client::Input::Disconnect {
        namespace: realtime,
    }));
    wire.step_client(Some(client::Input::Close));
    insta::assert_snapshot!(wire.log, @r#"
    0.000000s server: 0{"sid":"engine-sid","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}
    0.000000s client: 40/realtime,{"token":"header.claims.mac"}
    0.000000s server: 40/realtime,{"sid":"namespace-sid"}
    1.000000s client: 42/realtime,0["join_channel",{"channelId":"c_1"}]
    1.000000s server: 43/realtime,0[{"ok":true}]
    2.000000s server: 42/realtime,["message.created",{"content":"Hello — \"world\"","id":"m_1"}]
    25.000000s server: 2
    25.000000s client: 3
    26.000000s client: 41/realtime,
    26.000000s client: (closes)
    "#);
}

#[test]
fn the_wire_of_a_refusal() {
    let mut wire = Wire::open();
    let namespace = Namespace::new("/random").unwrap();
    wire.step_client(Some(client::Input::Connect {
        namespace: namespace.clone(),
        auth: None,
        recover: None,
    }));
    wire.step_server(Some(server::Input::Refuse {
        namespace,
        message: "Invalid namespace".into(),
        data: None,
    }));
    wire.sleep(Duration::from_secs(45));
    insta::assert_snapshot!(wire.log, @r#"
    0.000000s server: 0{"sid":"engine-sid","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}
    0.000000s client: 40/random,
    0.000000s server: 44/random,{"message":"Invalid namespace"}
    25.000000s server: 2
    25.000000s client: 3
    45.000000s server: (closes)
    "#);
}
