//! The Socket.IO client as the session of a link.

use alloc::{string::ToString, sync::Arc, vec::Vec};

use super::attempts::Start;
use crate::{
    canonical,
    engineio::transport::{ClientAction, ClientEvent},
    link::{End, Protocol, SessionInput, SessionOutput},
    machine::{Machine, Wakeup, step},
    socketio::client::{self, Client},
    time::Time,
};

/// Socket.IO as the protocol of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketIo {
    pub(super) client: Arc<client::Config>,
}
canonical!(struct SocketIo { client });

/// The client on one connection. It is ready from the Engine.IO handshake on, and speaks as the
/// client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    client: Client,
}
canonical!(struct Session { client });

impl Protocol for SocketIo {
    type Happened = ClientEvent;
    type Action = ClientAction;
    type Auth = Start;
    type Command = client::Input;
    type Event = client::Output;
    type Session = Session;

    fn session(&self, now: Time, start: Start) -> Session {
        let config = Arc::clone(&self.client);
        let client = match start {
            Start::WebSocket => Client::new(config, now),
            Start::Polling { upgrade } => Client::polling(config, upgrade, now),
        };
        Session { client }
    }
}

impl Session {
    fn drive(&mut self, now: Time, input: Option<client::Input>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        step(&mut self.client, now, input, &mut said);
        for output in said {
            match output {
                client::Output::Transport(action) => out.push(SessionOutput::Transport(action)),
                client::Output::Opened(_) => out.push(SessionOutput::Ready),
                client::Output::Closed(reason) => {
                    let end = End {
                        unauthorized: false,
                        why: reason.to_string(),
                    };
                    let closed = client::Output::Closed(reason);
                    out.extend([SessionOutput::Event(closed), SessionOutput::Ended(end)]);
                }
                event @ (client::Output::Connected { .. }
                | client::Output::Refused { .. }
                | client::Output::Event { .. }
                | client::Output::Answered { .. }
                | client::Output::Disconnected { .. }
                | client::Output::Dropped { .. }) => out.push(SessionOutput::Event(event)),
            }
        }
    }
}

type Output = SessionOutput<ClientAction, client::Output>;

impl Machine for Session {
    type Input = SessionInput<ClientEvent, client::Input>;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Output>) {
        let input = match input {
            SessionInput::Transport(event) => client::Input::Transport(event),
            SessionInput::Command(command) => command,
            SessionInput::Close => client::Input::Close,
        };
        self.drive(now, Some(input), out);
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if self
            .client
            .next_wakeup()
            .is_some_and(|wakeup| wakeup.at <= now)
        {
            self.drive(now, None, out);
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        self.client.next_wakeup()
    }
}
