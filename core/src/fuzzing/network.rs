//! The network between clients and one server: WebSockets and requests that arrive in any order
//! they may, late, or never.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    vec::Vec,
};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    engineio::{
        sessions::{Arrival, Effect},
        transport::{Answer, ClientAction, ClientEvent, Exchange, Text},
    },
    http::{CallId, Failure},
    request::RequestId,
    secret::Secret,
    ws::{self, ConnId},
};

/// What arrives somewhere.
#[derive(Debug)]
pub(super) enum Delivery {
    /// At the server.
    Server(Arrival),
    /// At the client of a line.
    Client(ConnId, ClientEvent),
    /// The first WebSocket of a line is open, or is not.
    Dialed(ConnId, Result<(), ()>),
}

/// What can happen next on the network.
#[derive(Clone, Copy, Debug)]
enum Move {
    Tail(usize),
    Accept,
    Dialed,
    Up,
    Down,
    Poll,
    Posting,
    Post,
    Answer(usize),
    GiveUp,
}

/// A WebSocket that a client asked for.
#[derive(Debug)]
enum Dial {
    /// It has not reached the server, which it names this session to.
    Asked(Option<ByteString>),
    /// The client has to hear of it.
    Open { first: bool },
}

/// What carries the connection of one client.
#[derive(Debug, Default)]
struct Line {
    dial: Option<Dial>,
    /// The WebSocket, as the server knows it.
    conn: Option<ConnId>,
    up: VecDeque<(ConnId, ws::Event)>,
    down: VecDeque<ws::Event>,
    /// A poll on its way.
    poll: Option<(RequestId<Exchange>, Option<ByteString>)>,
    /// Posts, carried out one after another.
    posts: VecDeque<(RequestId<Exchange>, ByteString, Bytes)>,
    /// The first of them, if the server knows of it, and whether it has the body.
    posting: Option<(CallId, bool)>,
    /// One of them was not taken: none after it is carried out.
    is_torn: bool,
    open: Vec<(RequestId<Exchange>, CallId)>,
    answers: Vec<(RequestId<Exchange>, Result<Answer, Failure>)>,
    aborted: Vec<RequestId<Exchange>>,
    /// Nothing gets through any more, and nobody is told.
    mute: bool,
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Network {
    lines: BTreeMap<ConnId, Line>,
    conns: BTreeMap<ConnId, ConnId>,
    calls: BTreeMap<CallId, ConnId>,
    /// What the server hears of lines that are gone.
    tail: Vec<Arrival>,
    next: u64,
}

/// Who hears of it when a line is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) client: bool,
    pub(super) server: bool,
}

/// A pick that nothing which goes in a circle can starve.
pub(super) fn fair(step: usize) -> usize {
    step.wrapping_mul(2_654_435_761) >> 7
}

fn broken() -> ws::Event {
    ws::Event::Closed(ws::Closed::Broken("cut".into()))
}

fn closed() -> ws::Event {
    ws::Event::Closed(ws::Closed::Peer {
        code: 1005,
        reason: ByteString::new(),
    })
}

impl Network {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The id of a session that may begin.
    fn fresh(&mut self) -> Secret {
        Secret::new(&format!("session-{}", self.number()))
    }

    /// A client dials the first WebSocket of a line.
    pub(super) fn dial(&mut self, line: ConnId) {
        self.line(line).dial = Some(Dial::Asked(None));
    }

    fn line(&mut self, line: ConnId) -> &mut Line {
        self.lines.entry(line).or_default()
    }

    /// What a client wants done.
    pub(super) fn on_client(&mut self, on: ConnId, action: ClientAction) {
        let line = self.line(on);
        match action {
            ClientAction::Get { id, sid } => {
                assert!(line.poll.replace((id, sid)).is_none(), "two polls");
            }
            ClientAction::Post { id, sid, body } => {
                if !line.is_torn {
                    line.posts.push_back((id, sid, body));
                }
            }
            ClientAction::Abort(id) => line.aborted.push(id),
            ClientAction::Dial { sid } => line.dial = Some(Dial::Asked(Some(sid))),
            ClientAction::WebSocket(ws::Action::Send(frame)) => {
                assert!(line.dial.is_none(), "sent before the WebSocket is open");
                if let Some(conn) = line.conn {
                    line.up.push_back((conn, ws::Event::Frame(frame)));
                }
            }
            ClientAction::WebSocket(ws::Action::Close) => {
                line.dial = None;
                line.down.clear();
                if let Some(conn) = line.conn.take() {
                    line.up.push_back((conn, closed()));
                }
            }
        }
    }

    /// What the server wants done.
    pub(super) fn on_server(&mut self, effect: Effect) {
        match effect {
            Effect::Transport(conn, action) => {
                let Some(line) = self.conns.get(&conn).and_then(|it| self.lines.get_mut(it)) else {
                    return;
                };
                if line.conn != Some(conn) {
                    return;
                }
                line.down.push_back(match action {
                    ws::Action::Send(frame) => ws::Event::Frame(frame),
                    ws::Action::Close => closed(),
                });
            }
            Effect::Answer { call, status, body } => {
                let line = self.calls.remove(&call);
                let Some(line) = line.and_then(|it| self.lines.get_mut(&it)) else {
                    return;
                };
                if line.posting.is_some_and(|(posting, _)| posting == call) {
                    line.posting = None;
                    line.posts.pop_front();
                    if status != 200 {
                        line.is_torn = true;
                        line.posts.clear();
                    }
                }
                let at = line.open.iter().position(|(_, it)| *it == call);
                if let Some((id, _)) = at.map(|at| line.open.swap_remove(at)) {
                    line.answers.push((id, Ok(Answer { status, body })));
                }
            }
        }
    }

    fn moves(&self) -> Vec<(ConnId, Move)> {
        let mut moves: Vec<_> = (0..self.tail.len())
            .map(|at| (ConnId(0), Move::Tail(at)))
            .collect();
        for (id, line) in self.lines.iter().filter(|(_, line)| !line.mute) {
            let is_asked = matches!(line.dial, Some(Dial::Asked(_)));
            let is_posting = line.posting.is_some_and(|(_, has_body)| !has_body);
            let can_post = line.posting.is_none() && !line.posts.is_empty();
            let can_give_up = line.posts.is_empty() && !line.aborted.is_empty();
            let possible = [
                (is_asked, Move::Accept),
                (line.dial.is_some() && !is_asked, Move::Dialed),
                (!line.up.is_empty(), Move::Up),
                (line.dial.is_none() && !line.down.is_empty(), Move::Down),
                (line.poll.is_some(), Move::Poll),
                (can_post, Move::Posting),
                (is_posting, Move::Post),
                (can_give_up, Move::GiveUp),
            ];
            let possible = possible.into_iter().filter(|(is_possible, _)| *is_possible);
            moves.extend(possible.map(|(_, it)| (*id, it)));
            moves.extend((0..line.answers.len()).map(|at| (*id, Move::Answer(at))));
        }
        moves
    }

    /// Lets one thing happen, if anything can. `None` where there was nothing, or nobody hears of it.
    pub(super) fn carry(&mut self, pick: usize) -> Option<Delivery> {
        let moves = self.moves();
        let (on, next) = *moves.get(pick.checked_rem(moves.len())?)?;
        let fresh = self.fresh();
        let number = self.number();
        if let Move::Tail(at) = next {
            return Some(Delivery::Server(self.tail.remove(at)));
        }
        let line = self.lines.get_mut(&on)?;
        match next {
            Move::Tail(_) => None,
            Move::Accept => {
                let Some(Dial::Asked(sid)) = line.dial.take() else {
                    return None;
                };
                let conn = ConnId(number);
                line.dial = Some(Dial::Open {
                    first: sid.is_none(),
                });
                line.conn = Some(conn);
                self.conns.insert(conn, on);
                let sid = sid.map(|sid| Secret::new(&sid));
                Some(Delivery::Server(Arrival::Socket {
                    conn,
                    sid,
                    fresh,
                    base64: false,
                }))
            }
            Move::Dialed => match line.dial.take()? {
                Dial::Open { first: true } => Some(Delivery::Dialed(on, Ok(()))),
                Dial::Open { first: false } | Dial::Asked(_) => {
                    Some(Delivery::Client(on, ClientEvent::Dialed(Ok(()))))
                }
            },
            Move::Up => {
                let (conn, event) = line.up.pop_front()?;
                Some(Delivery::Server(Arrival::Transport(conn, event)))
            }
            Move::Down => {
                let event = line.down.pop_front()?;
                if let ws::Event::Closed(_) = event {
                    line.conn = None;
                    line.up.clear();
                    line.down.clear();
                }
                Some(Delivery::Client(on, event.into()))
            }
            Move::Poll => {
                let (id, sid) = line.poll.take()?;
                let call = CallId(number);
                line.open.push((id, call));
                self.calls.insert(call, on);
                let sid = sid.map(|sid| Secret::new(&sid));
                Some(Delivery::Server(Arrival::Poll { call, sid, fresh }))
            }
            Move::Posting => {
                let (id, sid, _) = line.posts.front()?;
                let (call, sid) = (CallId(number), Secret::new(sid));
                line.open.push((*id, call));
                line.posting = Some((call, false));
                self.calls.insert(call, on);
                Some(Delivery::Server(Arrival::Posting { call, sid }))
            }
            Move::Post => {
                let (call, has_body) = line.posting.as_mut()?;
                *has_body = true;
                let (_, _, body) = line.posts.front()?;
                Some(Delivery::Server(Arrival::Post {
                    call: *call,
                    body: body.clone(),
                }))
            }
            Move::Answer(at) => {
                let (id, result) = line.answers.swap_remove(at);
                Some(Delivery::Client(on, ClientEvent::Answered { id, result }))
            }
            Move::GiveUp => {
                let id = line.aborted.pop()?;
                line.poll.take_if(|(it, _)| *it == id);
                line.answers.retain(|(it, _)| *it != id);
                let at = line.open.iter().position(|(it, _)| *it == id)?;
                let (_, call) = line.open.swap_remove(at);
                self.calls.remove(&call);
                Some(Delivery::Server(Arrival::Gone { call }))
            }
        }
    }

    /// Whether anything can happen.
    pub(super) fn is_at_rest(&self) -> bool {
        self.moves().is_empty()
    }

    /// The lines that there are.
    pub(super) fn lines(&self) -> Vec<ConnId> {
        self.lines.keys().copied().collect()
    }

    /// A dial that has not reached the server does not.
    pub(super) fn refuse(&mut self, on: ConnId) -> Option<Delivery> {
        let line = self.lines.get_mut(&on).filter(|line| !line.mute)?;
        let Dial::Asked(sid) = line.dial.take_if(|it| matches!(it, Dial::Asked(_)))? else {
            return None;
        };
        let words = Text(ByteString::from_static("refused"));
        Some(match sid {
            None => Delivery::Dialed(on, Err(())),
            Some(_) => Delivery::Client(on, ClientEvent::Dialed(Err(words))),
        })
    }

    /// The WebSocket of a line breaks.
    pub(super) fn break_socket(&mut self, on: ConnId) {
        if let Some(line) = self.lines.get_mut(&on)
            && let Some(conn) = line.conn.take()
        {
            line.up.clear();
            line.down.clear();
            line.down.push_back(broken());
            self.conns.remove(&conn);
            self.tail.push(Arrival::Transport(conn, broken()));
        }
    }

    /// Everything that is on its way on a line is lost.
    pub(super) fn cut(&mut self, on: ConnId, who: Cut) {
        let Some(line) = self.lines.get_mut(&on) else {
            return;
        };
        line.up.clear();
        let conn = line.conn.take_if(|_| who.client || who.server);
        let open = core::mem::take(&mut line.open);
        let has_socket = conn.is_some() || line.dial.is_some();
        line.mute = !who.client;
        if who.server {
            self.tail
                .extend(conn.map(|conn| Arrival::Transport(conn, broken())));
            let gone = open.iter().map(|(_, call)| Arrival::Gone { call: *call });
            self.tail.extend(gone);
        }
        if !who.client {
            return;
        }
        line.down.clear();
        if has_socket {
            line.down.push_back(broken());
        }
        // A dial that is under way is answered, and what it opened breaks then.
        if let Some(Dial::Asked(sid)) = &line.dial {
            line.dial = Some(Dial::Open {
                first: sid.is_none(),
            });
        }
        let posts = core::mem::take(&mut line.posts);
        line.is_torn |= !posts.is_empty();
        let mut failed: Vec<_> = open.iter().map(|(id, _)| *id).collect();
        failed.extend(line.poll.take().map(|(id, _)| id));
        failed.extend(posts.iter().map(|(id, _, _)| *id));
        failed.sort_unstable();
        failed.dedup();
        line.posting = None;
        let failure = |id| (id, Err(Failure::Broken("cut".into())));
        line.answers.extend(failed.into_iter().map(failure));
        for (_, call) in open {
            self.calls.remove(&call);
        }
    }

    /// The client of a line gives it up at once.
    pub(super) fn hang_up(&mut self, on: ConnId) {
        let Some(line) = self.lines.remove(&on).filter(|line| !line.mute) else {
            return;
        };
        let closed = line.conn.map(|conn| Arrival::Transport(conn, closed()));
        self.tail.extend(closed);
        let gone = line
            .open
            .iter()
            .map(|(_, call)| Arrival::Gone { call: *call });
        self.tail.extend(gone);
    }

    /// A frame that no client has sent gets to the server: on the WebSocket, or in a post.
    pub(super) fn forge_up(&mut self, on: ConnId, frame: ws::Frame) {
        if let Some(line) = self.lines.get_mut(&on) {
            if let Some(conn) = line.conn {
                line.up.push_back((conn, ws::Event::Frame(frame)));
            } else if let Some((_, _, body)) = line.posts.front_mut() {
                *body = content(frame);
            }
        }
    }

    /// The same for a client: on the WebSocket, or in the answer to a request.
    pub(super) fn forge_down(&mut self, on: ConnId, frame: ws::Frame) {
        if let Some(line) = self.lines.get_mut(&on) {
            if line.conn.is_some() {
                line.down.push_back(ws::Event::Frame(frame));
            } else if let Some((_, Ok(answer))) = line.answers.last_mut() {
                answer.body = content(frame);
            }
        }
    }
}

fn content(frame: ws::Frame) -> Bytes {
    match frame {
        ws::Frame::Text(text) => text.into_bytes(),
        ws::Frame::Binary(bytes) => bytes,
    }
}
