//! What is done to the client and to the server.

use super::*;

impl World<'_> {
    pub(super) fn client_says(&mut self, name: &Namespace, kind: Kind) {
        self.next += 1;
        let number = self.next;
        let Some(emission) = emission(name, number) else {
            return;
        };
        let is_over = self.over[CLIENT];
        let Some(space) = self.space(name) else {
            return;
        };
        let waits = space.wanted.is_some() && !space.is_in;
        let must_arrive = (waits && kind != Kind::Volatile) || space.can_speak;
        if !is_over {
            space.to_server.push(number, must_arrive);
        }
        let id = RequestId::from_number(number);
        let input = match kind {
            Kind::Event => client::Input::Emit(emission),
            Kind::Volatile => client::Input::EmitVolatile(emission),
            Kind::Call(pick) => {
                if !is_over {
                    self.calls[CLIENT].insert(id);
                }
                client::Input::Call {
                    id,
                    emission,
                    patience: patience(pick),
                }
            }
        };
        let is_dropped = self.client(Some(input));
        assert!(self.calls[CLIENT].len() <= CALLS_MAX);
        if let Some(space) = self.space(name) {
            if is_dropped {
                space.to_server.unsend(number);
            } else if waits && kind == Kind::Event && !is_over {
                space.waiting += 1;
            }
        }
        let waiting: usize = self.spaces.iter().map(|it| it.waiting).sum();
        assert!(waiting <= WAITING_MAX, "{waiting} wait");
    }

    pub(super) fn server_says(&mut self, name: &Namespace, kind: Kind) {
        self.next += 1;
        let number = self.next;
        let Some(emission) = emission(name, number) else {
            return;
        };
        if self.server.is_empty() {
            return;
        }
        let Some(space) = self.space(name) else {
            return;
        };
        let must_arrive = space.can_reach;
        space.to_client.push(number, must_arrive);
        let id = RequestId::from_number(number);
        let input = match kind {
            Kind::Event | Kind::Volatile => server::Input::Emit(emission),
            Kind::Call(pick) => {
                self.calls[SERVER].insert(id);
                server::Input::Call {
                    id,
                    emission,
                    patience: patience(pick),
                }
            }
        };
        let is_dropped = self.server(input);
        assert!(self.calls[SERVER].len() <= CALLS_MAX);
        if is_dropped && let Some(space) = self.space(name) {
            space.to_client.unsend(number);
        }
    }

    /// Answers one of the calls that have arrived.
    pub(super) fn answer(&mut self, name: &Namespace, side: usize, pick: u8) {
        let Some(space) = self.space(name) else {
            return;
        };
        let acks = &mut space.acks[side];
        let Some(at) = usize::from(pick / 2).checked_rem(acks.len()) else {
            return;
        };
        let (ack, number) = acks.swap_remove(at);
        let Ok(answer) = Emission::answer(name, ack, &(number,)) else {
            return;
        };
        if side == CLIENT {
            self.client(Some(client::Input::Emit(answer)));
        } else {
            self.server(server::Input::Emit(answer));
        }
    }

    pub(super) fn join(&mut self, name: &Namespace) {
        self.next += 1;
        let number = self.next;
        let auth = Secret::new(&format!(r#"{{"t":{number}}}"#));
        let is_over = self.over[CLIENT];
        let is_dropped = self.client(Some(client::Input::Connect {
            namespace: name.clone(),
            auth: Some(auth),
            recover: None,
        }));
        if !is_dropped
            && !is_over
            && let Some(space) = self.space(name)
        {
            space.wanted = Some(number);
        }
    }

    pub(super) fn leave(&mut self, name: &Namespace) {
        if let Some(space) = self.space(name) {
            space.leave();
        }
        self.client(Some(client::Input::Disconnect {
            namespace: name.clone(),
        }));
    }

    pub(super) fn admit(&mut self, name: &Namespace, is_welcome: bool) {
        let Some(space) = self.space(name) else {
            return;
        };
        let Some(asked) = space.asked.take() else {
            return;
        };
        let namespace = name.clone();
        let input = if is_welcome {
            space.is_member = true;
            space.is_dismissed = false;
            space.can_reach = space.wanted == Some(asked);
            space.acks[SERVER].clear();
            server::Input::Admit {
                namespace,
                sid: "s".into(),
                pid: None,
                missed: Vec::new(),
            }
        } else {
            server::Input::Refuse {
                namespace,
                message: ByteString::from_static("no"),
                data: None,
            }
        };
        self.server(input);
    }

    pub(super) fn dismiss(&mut self, name: &Namespace) {
        if let Some(space) = self.space(name)
            && space.asked.take().is_none()
            && space.is_member
        {
            space.is_member = false;
            space.is_dismissed = true;
            space.can_reach = false;
            space.can_speak = false;
            space.to_server.ease();
            space.acks[SERVER].clear();
        }
        self.server(server::Input::Disconnect {
            namespace: name.clone(),
        });
    }
}
