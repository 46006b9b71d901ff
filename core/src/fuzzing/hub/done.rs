//! What is done to the managers and to the hub.

use super::*;

impl World<'_> {
    /// Answers what a manager has asked.
    pub(super) fn reply(&mut self, who: usize, is_good: bool) {
        let answers = &mut self.people[who].answers;
        if answers.is_empty() {
            return;
        }
        let mut answer = answers.remove(0);
        if let (manager::Input::Auth(_, auth), false) = (&mut answer, is_good) {
            *auth = Err("no token".to_string());
        }
        self.manager(who, Some(answer));
    }

    pub(super) fn join(&mut self, who: usize, namespace: Namespace) {
        if !self.people[who].is_over {
            self.people[who].wanted.insert(namespace.clone());
        }
        self.manager(who, Some(manager::Input::Join { namespace }));
    }

    pub(super) fn leave(&mut self, who: usize, namespace: Namespace) {
        let person = &mut self.people[who];
        person.wanted.remove(&namespace);
        person.souls.remove(&namespace);
        person.acks.retain(|(of, ..)| *of != namespace);
        self.manager(who, Some(manager::Input::Leave { namespace }));
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn says(&mut self, who: usize, name: &Namespace, is_call: bool, pick: u8) {
        let number = self.number();
        let Some(emission) = emission(name, number) else {
            return;
        };
        let id = RequestId::from_number(number);
        let input = if is_call {
            if !self.people[who].is_over {
                self.people[who].calls.insert(id);
            }
            manager::Input::Call {
                id,
                emission,
                patience: Duration::from_millis(u64::from(pick) * 250),
            }
        } else if pick < 32 {
            manager::Input::EmitVolatile(emission)
        } else {
            manager::Input::Emit(emission)
        };
        self.manager(who, Some(input));
    }

    /// The hub emits to one socket, to a room, to two, or to all, with or without another room.
    pub(super) fn emit(&mut self, name: &Namespace, pick: u8) {
        let number = self.number();
        let Some(emission) = emission(name, number).filter(|_| !self.is_over) else {
            return;
        };
        let (volatile, kind) = (pick & 4 != 0, pick / 16);
        let socket = self.socket(pick / 8).filter(|_| kind == 0);
        let rooms: Vec<u8> = match kind {
            0..=3 => Vec::new(),
            4..=10 => [kind % ROOMS].into(),
            _ => [kind % ROOMS, (kind + 1) % ROOMS].into(),
        };
        let except = (kind % 4 == 1).then_some(0);
        let target = match &socket {
            Some((socket, _)) => Target::Socket(*socket),
            None => Target::Audience(Audience {
                rooms: rooms.iter().copied().filter_map(room).collect(),
                except_rooms: except.into_iter().filter_map(room).collect(),
                except_sockets: BTreeSet::new(),
            }),
        };
        for (sid, soul) in &mut self.souls {
            let is_meant = match &socket {
                Some((_, to)) => sid == to,
                None => rooms.is_empty() || rooms.iter().any(|it| soul.rooms.contains(it)),
            };
            if soul.namespace != *name || !is_meant {
                continue;
            }
            if socket.is_none() && except.is_some_and(|it| soul.rooms.contains(&it)) {
                soul.excepted.insert(number);
            } else {
                soul.expected.push(number, !volatile);
            }
        }
        self.hub(Some(hub::Input::Emit {
            to: target,
            emission,
            volatile,
        }));
    }

    pub(super) fn socket(&self, pick: u8) -> Option<(SocketId, ByteString)> {
        let at = usize::from(pick).checked_rem(self.sockets.len())?;
        let (socket, (sid, _)) = self.sockets.iter().nth(at)?;
        Some((*socket, sid.clone()))
    }

    pub(super) fn call(&mut self, pick: u8) {
        let number = self.number();
        let Some((socket, sid)) = self.socket(pick) else {
            return;
        };
        let Some(soul) = self.souls.get_mut(&sid) else {
            return;
        };
        let Some(emission) = emission(&soul.namespace, number) else {
            return;
        };
        soul.expected.push(number, false);
        let id = RequestId::from_number(number);
        self.calls.insert(id);
        self.hub(Some(hub::Input::Call {
            id,
            socket,
            emission,
            patience: Duration::from_millis(u64::from(pick) * 250),
        }));
    }

    pub(super) fn answer_from(&mut self, who: usize, pick: u8) {
        let acks = &mut self.people[who].acks;
        let Some(at) = usize::from(pick / 2).checked_rem(acks.len()) else {
            return;
        };
        let (namespace, ack, number) = acks.swap_remove(at);
        if let Ok(answer) = Emission::answer(&namespace, ack, &(number,)) {
            self.manager(who, Some(manager::Input::Emit(answer)));
        }
    }

    pub(super) fn answer_of_hub(&mut self, pick: u8) {
        let Some(at) = usize::from(pick).checked_rem(self.acks.len()) else {
            return;
        };
        let (socket, namespace, ack, number) = self.acks.swap_remove(at);
        if let Ok(emission) = Emission::answer(&namespace, ack, &(number,)) {
            self.hub(Some(hub::Input::Emit {
                to: Target::Socket(socket),
                emission,
                volatile: false,
            }));
        }
    }

    /// Lets in who has waited longest, or does not.
    pub(super) fn admit(&mut self, is_welcome: bool) {
        if self.asking.is_empty() {
            return;
        }
        let asking = self.asking.remove(0);
        let socket = asking.socket;
        if !is_welcome || (asking.is_stranger && asking.recovering) {
            let message = ByteString::from_static("no");
            return self.hub(Some(hub::Input::Refuse {
                socket,
                message,
                data: None,
            }));
        }
        let number = self.number();
        let kind = if asking.is_stranger {
            "stranger"
        } else {
            "friend"
        };
        let sid = ByteString::from(format!("{kind}-{number}"));
        let soul = Soul {
            namespace: asking.namespace,
            rooms: BTreeSet::new(),
            expected: Expected::default(),
            excepted: BTreeSet::new(),
        };
        self.souls.insert(sid.clone(), soul);
        self.sockets.insert(socket, (sid.clone(), 0));
        self.hub(Some(hub::Input::Admit {
            socket,
            sid,
            pid: Some(Secret::new(&format!("pid-{number}"))),
            identity: hub::Identity::Bearer,
        }));
    }

    /// What was for all but a room is not sent again to who is in it now.
    pub(super) fn enter(&mut self, pick: u8) {
        let Some((socket, sid)) = self.socket(pick / 4) else {
            return;
        };
        if let (Some(room), Some(soul)) = (room(pick % ROOMS), self.souls.get_mut(&sid)) {
            soul.rooms.insert(pick % ROOMS);
            soul.expected.ease();
            self.hub(Some(hub::Input::Enter { socket, room }));
        }
    }

    /// What was sent to a room is not sent again to who is not in it any more.
    pub(super) fn exit(&mut self, pick: u8) {
        let Some((socket, sid)) = self.socket(pick / 4) else {
            return;
        };
        if let (Some(room), Some(soul)) = (room(pick % ROOMS), self.souls.get_mut(&sid)) {
            soul.rooms.remove(&(pick % ROOMS));
            soul.expected.ease();
            self.hub(Some(hub::Input::Exit { socket, room }));
        }
    }

    pub(super) fn kick(&mut self, pick: u8) {
        if let Some((socket, _)) = self.socket(pick / 4) {
            let close = pick.is_multiple_of(4);
            self.hub(Some(hub::Input::Disconnect { socket, close }));
        }
    }

    pub(super) fn shut_down(&mut self, who: usize) {
        self.manager(who, Some(manager::Input::Shutdown));
        let person = &mut self.people[who];
        person.is_over = true;
        person.wanted.clear();
        person.souls.clear();
        assert!(person.calls.is_empty(), "calls without an end");
        assert_eq!(person.manager.next_wakeup(), None);
    }

    pub(super) fn close(&mut self) {
        self.hub(Some(hub::Input::Close));
        self.is_over = true;
        assert!(self.calls.is_empty(), "calls without an end");
        assert!(self.sockets.is_empty(), "sockets without an end");
        assert_eq!(self.hub.next_wakeup(), None);
    }
}
