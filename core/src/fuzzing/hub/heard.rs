//! What the managers and the hub say, and what is held of it.

use super::*;

impl World<'_> {
    pub(super) fn manager(&mut self, who: usize, input: Option<manager::Input>) {
        let mut out = Vec::new();
        step(&mut self.people[who].manager, self.now, input, &mut out);
        for output in out {
            assert!(!self.people[who].is_over, "{output:?} after the end");
            self.on_manager(who, output);
        }
    }

    pub(super) fn on_manager(&mut self, who: usize, output: manager::Output) {
        let person = &mut self.people[who];
        match output {
            manager::Output::Prepare(id) => {
                person.answers.push(manager::Input::Prepared(id, Ok(())));
            }
            manager::Output::ForgetPrepare(id) => person
                .answers
                .retain(|it| !matches!(it, manager::Input::Prepared(of, _) if *of == id)),
            manager::Output::Auth { id, .. } => {
                let auth = Ok(Some(Secret::new(&format!(r#"{{"m":{who}}}"#))));
                person.answers.push(manager::Input::Auth(id, auth));
            }
            manager::Output::ForgetAuth(id) => person
                .answers
                .retain(|it| !matches!(it, manager::Input::Auth(of, _) if *of == id)),
            manager::Output::Dial(conn) => self.network.dial(conn),
            manager::Output::HangUp(conn) => self.network.hang_up(conn),
            manager::Output::Transport(conn, action) => self.network.on_client(conn, action),
            manager::Output::Connected {
                namespace,
                sid,
                recovered,
            } => {
                let former = person.former.insert(namespace.clone(), sid.clone());
                assert!(
                    !recovered || former.as_ref() == Some(&sid),
                    "{sid} recovered"
                );
                assert!(self.souls.contains_key(&sid), "nobody is {sid}");
                let soul = person.souls.insert(namespace, sid);
                assert_eq!(soul, None, "in twice");
                self.recovered += usize::from(recovered);
            }
            manager::Output::Refused {
                namespace,
                retry_in,
                ..
            } => {
                if retry_in.is_none() {
                    person.wanted.remove(&namespace);
                }
            }
            manager::Output::Disconnected {
                namespace, retry, ..
            } => {
                let soul = person.souls.remove(&namespace);
                assert!(soul.is_some(), "was not in {namespace}");
                person.acks.retain(|(of, ..)| *of != namespace);
                if !retry {
                    person.wanted.remove(&namespace);
                }
            }
            manager::Output::GaveUp { .. } => person.wanted.clear(),
            manager::Output::Event { namespace, event } => {
                let soul = person.souls.get(&namespace);
                let soul = soul.and_then(|it| self.souls.get_mut(it));
                let number = number(&event);
                assert!(soul.is_some(), "{number:?} is for nobody");
                self.arrived += 1;
                if let (Some(soul), Some(number)) = (soul, number) {
                    if !soul.excepted.remove(&number) {
                        soul.expected.arrive(number);
                    }
                    let ack = event.ack().map(|ack| (namespace, ack, number));
                    person.acks.extend(ack);
                }
            }
            manager::Output::Answered { id, result } => {
                assert!(person.calls.remove(&id), "{id:?} ends twice");
                let args = result.map(|it| it.args::<(u64,)>().ok());
                assert!(args.is_err() || args == Ok(Some((id.number(),))));
            }
            manager::Output::Down { .. } | manager::Output::Dropped { .. } => {}
        }
    }

    pub(super) fn hub(&mut self, input: Option<hub::Input>) {
        let mut out = Vec::new();
        step(&mut self.hub, self.now, input, &mut out);
        for output in out {
            assert!(!self.is_over, "{output:?} after the end");
            self.on_hub(output);
        }
    }

    pub(super) fn on_hub(&mut self, output: hub::Output) {
        match output {
            hub::Output::Effect(effect) => self.network.on_server(effect),
            hub::Output::Admission {
                socket,
                namespace,
                auth,
                former,
                ..
            } => self.asking.push(Asking {
                socket,
                namespace,
                is_stranger: !auth.is_some_and(|it| it.contains("\"m\"")),
                recovering: former.is_some(),
            }),
            hub::Output::ForgetAdmission { socket } => {
                let before = self.asking.len();
                self.asking.retain(|it| it.socket != socket);
                assert_eq!(self.asking.len() + 1, before, "{socket:?} was not asked");
            }
            // Known since it was let in.
            hub::Output::Connected {
                socket,
                sid,
                recovered,
                rooms: _,
            } => {
                if recovered && let Some((fresh, last)) = self.sockets.remove(&socket) {
                    let fresh = self.souls.remove(&fresh).map(|it| it.namespace);
                    let soul = self.souls.get(&sid).map(|it| it.namespace.clone());
                    assert_eq!(soul, fresh, "{sid} recovered");
                    self.sockets.insert(socket, (sid, last));
                }
            }
            hub::Output::Event { socket, event } => self.on_event(socket, &event),
            hub::Output::Answered { id, result } => {
                assert!(self.calls.remove(&id), "{id:?} ends twice");
                let args = result.map(|it| it.args::<(u64,)>().ok());
                assert!(args.is_err() || args == Ok(Some((id.number(),))));
            }
            hub::Output::Disconnected { socket, .. } => {
                let held = self.sockets.remove(&socket);
                assert!(held.is_some(), "{socket:?} was not in");
                self.acks.retain(|(of, ..)| *of != socket);
            }
            hub::Output::Opened { .. }
            | hub::Output::Ended { .. }
            | hub::Output::Closed
            | hub::Output::Dropped { .. } => {}
        }
    }

    pub(super) fn on_event(&mut self, socket: SocketId, event: &Event) {
        let Some((sid, last)) = self.sockets.get_mut(&socket) else {
            assert!(self.is_over, "{socket:?} is not in");
            return;
        };
        if sid.starts_with("stranger") {
            return;
        }
        let number = number(event).unwrap_or_default();
        assert!(number > *last, "{number} after {last}");
        *last = number;
        assert!(self.seen.insert(number), "{number} arrives twice");
        let namespace = self.souls.get(sid).map(|it| it.namespace.clone());
        if let (Some(ack), Some(namespace)) = (event.ack(), namespace) {
            self.acks.push((socket, namespace, ack, number));
        }
    }
}
