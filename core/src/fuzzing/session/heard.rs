//! What the client and the server say, and what is held of it.

use super::*;

impl World<'_> {
    /// Steps the client; whether it has said that something was dropped.
    pub(super) fn client(&mut self, input: Option<client::Input>) -> bool {
        let mut out = Vec::new();
        step(&mut self.client, self.now, input, &mut out);
        let hands_back = |it: &client::Output| {
            matches!(
                it,
                client::Output::Closed(_) | client::Output::Connected { .. }
            )
        };
        let hands_back = out.iter().any(hands_back);
        let is_hostile = self.is_hostile;
        let mut is_dropped = false;
        for output in out {
            assert!(!self.over[CLIENT], "{output:?} after the end");
            match output {
                client::Output::Transport(action) => self.network.on_client(LINE, action),
                client::Output::Opened(_) => {}
                client::Output::Connected { namespace, .. } => {
                    if let Some(space) = self.space(&namespace) {
                        assert!(is_hostile || !space.is_in, "in {namespace} twice");
                        space.is_in = true;
                        space.waiting = 0;
                        space.can_speak = !space.is_dismissed;
                        space.acks[CLIENT].clear();
                        if space.is_dismissed {
                            space.to_server.ease();
                        }
                    }
                }
                client::Output::Refused { namespace, .. } => {
                    if let Some(space) = self.space(&namespace) {
                        space.wanted = None;
                        space.waiting = 0;
                        space.to_server.ease();
                    }
                }
                client::Output::Event { namespace, event } => {
                    self.on_event(CLIENT, &namespace, &event);
                }
                client::Output::Answered { id, result } => self.on_answer(CLIENT, id, result),
                client::Output::Disconnected { namespace } => {
                    if let Some(space) = self.space(&namespace) {
                        assert!(is_hostile || space.is_in, "not in {namespace}");
                        space.put_out();
                    }
                }
                client::Output::Dropped { namespace, .. } => {
                    is_dropped = true;
                    if hands_back && let Some(space) = self.space(&namespace) {
                        space.to_server.ease();
                    }
                }
                client::Output::Closed(reason) => {
                    assert!(!self.is_calm || self.is_late(), "{reason}");
                    self.over[CLIENT] = true;
                    assert!(self.calls[CLIENT].is_empty(), "calls without an end");
                }
            }
        }
        is_dropped
    }

    /// Whether a heartbeat may have been missed.
    pub(super) fn is_late(&self) -> bool {
        self.waited >= TIMEOUT
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        self.server
            .arrive(self.now, arrival, &mut effects, &mut said);
        self.server.tick(self.now, &mut effects, &mut said);
        self.on_server(effects, said);
    }

    /// Steps the server's session; whether it has said that something was dropped.
    pub(super) fn server(&mut self, input: server::Input) -> bool {
        let Some(id) = self.server.ids().last() else {
            return true;
        };
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        self.server
            .step(self.now, id, input, &mut effects, &mut said);
        self.on_server(effects, said)
    }

    pub(super) fn on_server(
        &mut self,
        effects: Vec<Effect>,
        said: Vec<(engineio::sessions::SessionId, server::Output)>,
    ) -> bool {
        if let Some(due) = self.server.next_wakeup() {
            assert!(due.at > self.now, "no progress: {}", due.why);
        }
        for effect in effects {
            self.network.on_server(effect);
        }
        let mut is_dropped = false;
        for (_, output) in said {
            assert!(!self.over[SERVER], "{output:?} after the end");
            match output {
                server::Output::Admission {
                    namespace, auth, ..
                } => {
                    let number = auth.and_then(|it| it.get(5..it.len() - 1)?.parse().ok());
                    if let Some(space) = self.space(&namespace) {
                        space.asked = Some(number.unwrap_or(u64::MAX));
                    }
                }
                server::Output::Event { namespace, event } => {
                    self.on_event(SERVER, &namespace, &event);
                }
                server::Output::Answered { id, result } => self.on_answer(SERVER, id, result),
                server::Output::Disconnected { namespace } => {
                    if let Some(space) = self.space(&namespace) {
                        space.is_member = false;
                        space.can_reach = false;
                        space.acks[SERVER].clear();
                    }
                }
                server::Output::Dropped { .. } => is_dropped = true,
                server::Output::Closed(reason) => {
                    assert!(!self.is_calm || self.is_late(), "{reason}");
                    self.over[SERVER] = true;
                    assert!(self.calls[SERVER].is_empty(), "calls without an end");
                }
                server::Output::Transport(_) => {}
            }
        }
        is_dropped
    }

    pub(super) fn on_event(&mut self, side: usize, namespace: &Namespace, event: &Event) {
        let is_hostile = self.is_hostile;
        self.arrived += 1;
        let Some(space) = self.space(namespace) else {
            assert!(is_hostile, "an event in {namespace}");
            return;
        };
        let number = if is_hostile { None } else { number(event) };
        assert!(is_hostile || number.is_some(), "{event:?}");
        if let Some(number) = number {
            let is_in = [space.is_in, space.is_member][side];
            assert!(is_in, "{number} is for nobody");
            let ways = [&mut space.to_client, &mut space.to_server];
            for (_, way) in ways.into_iter().enumerate().filter(|(of, _)| *of == side) {
                way.arrive(number);
            }
        }
        if let Some(ack) = event.ack() {
            let asked = number.unwrap_or_default();
            space.acks[side].push((ack, asked));
        }
    }

    pub(super) fn on_answer(
        &mut self,
        side: usize,
        id: RequestId<Call>,
        result: Result<Answer, CallError>,
    ) {
        assert!(self.calls[side].remove(&id), "{id:?} ends twice");
        match result {
            Ok(answer) => {
                self.answered += 1;
                let args = answer.args::<(u64,)>().ok();
                assert!(
                    self.is_hostile || args == Some((id.number(),)),
                    "{answer:?}"
                );
            }
            Err(CallError::Timeout | CallError::Disconnected) => {
                for space in &mut self.spaces {
                    space.to_server.ease_one(id.number());
                }
            }
            Err(
                CallError::NotConnected
                | CallError::TooMany
                | CallError::TooLarge
                | CallError::BufferFull
                | CallError::NotAnEvent,
            ) => {
                for space in &mut self.spaces {
                    space.to_server.unsend(id.number());
                    space.to_client.unsend(id.number());
                }
            }
        }
    }
}
