//! The requests of a session that polls, and the WebSocket that it moves to.

use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;
use bytestring::ByteString;

use super::{Link, Output, Server, websocket};
use crate::{
    engineio::{
        CloseReason, PollingFault, packet,
        packet::Packet,
        payload,
        polling::{CLOSE, NOOP, Polling},
        transport::ServerAction,
    },
    http::CallId,
    time::Time,
    ws::{self, ConnId},
};

impl Server {
    pub(super) fn flush(&mut self, out: &mut Vec<Output>) {
        if let Link::Polling(polling) = &mut self.link
            && let Some((call, body)) = polling.flush(self.max_payload)
        {
            out.push(answer(call, 200, body));
        }
    }

    pub(super) fn on_poll(&mut self, call: CallId, out: &mut Vec<Output>) {
        match &mut self.link {
            Link::WebSocket => out.push(refusal(call)),
            Link::Polling(polling) => match polling.poll {
                None => {
                    polling.poll = Some(call);
                    self.flush(out);
                }
                Some(open) if open == call => {}
                Some(_) => {
                    out.push(refusal(call));
                    self.close(CloseReason::Polling(PollingFault::SecondPoll), out);
                }
            },
        }
    }

    /// Whether the post is the only one.
    pub(super) fn on_posting(&mut self, call: CallId, out: &mut Vec<Output>) -> bool {
        let is_first = match &mut self.link {
            Link::WebSocket => {
                out.push(refusal(call));
                return false;
            }
            Link::Polling(polling) => *polling.posting.get_or_insert(call) == call,
        };
        if !is_first {
            out.push(refusal(call));
            self.close(CloseReason::Polling(PollingFault::SecondPost), out);
        }
        is_first
    }

    pub(super) fn on_post(&mut self, now: Time, call: CallId, body: Bytes, out: &mut Vec<Output>) {
        if !self.on_posting(call, out) {
            return;
        }
        match payload::decode(body, self.max_payload) {
            Ok(packets) => {
                for packet in packets {
                    // A packet may have been the end; what came in the same body after it is void.
                    if !self.is_closed() {
                        self.on_packet(now, packet, out);
                    }
                }
            }
            Err(error) => self.close(CloseReason::BadPayload(error), out),
        }
        if let Link::Polling(polling) = &mut self.link
            && let Some(call) = polling.posting.take()
        {
            out.push(answer(call, 200, OK));
        }
    }

    pub(super) fn on_gone(&mut self, call: CallId, out: &mut Vec<Output>) {
        let Link::Polling(polling) = &mut self.link else {
            return;
        };
        let is_open = |it: &mut CallId| *it == call;
        let gone = polling.poll.take_if(is_open);
        if gone.is_some() || polling.posting.take_if(is_open).is_some() {
            self.close(CloseReason::Polling(PollingFault::Cancelled), out);
        }
    }

    pub(super) fn on_accepted(&mut self, now: Time, conn: ConnId, out: &mut Vec<Output>) {
        let is_taken = match &mut self.link {
            Link::WebSocket => false,
            Link::Polling(polling) => polling.on_accepted(now),
        };
        if !is_taken {
            out.push(Output::Transport(ServerAction::Refused(conn)));
        }
    }

    pub(super) fn on_probe(&mut self, now: Time, frame: ws::Frame, out: &mut Vec<Output>) {
        let Link::Polling(polling) = &mut self.link else {
            return;
        };
        if polling.probe.is_none() {
            return;
        }
        let packet = packet::decode(frame);
        if let Ok(Packet::Ping(content)) = &packet
            && content == "probe"
        {
            polling.on_probed(now);
            let pong = packet::encode(Packet::Pong(content.clone()));
            out.push(websocket(ws::Action::Send(pong)));
        } else if packet == Ok(Packet::Upgrade) {
            self.upgrade(out);
        } else {
            polling.probe = None;
            out.push(websocket(ws::Action::Close));
        }
    }

    fn upgrade(&mut self, out: &mut Vec<Output>) {
        if let Link::Polling(polling) = mem::replace(&mut self.link, Link::WebSocket) {
            out.extend(polling.poll.map(let_go));
            // A client waits for its post before it moves: this one does not keep order.
            out.extend(polling.posting.map(refusal));
            let sends = polling.into_queue().into_iter().map(ws::Action::Send);
            out.extend(sends.map(websocket));
        }
    }
}

/// Answers what is open when a session ends that polls.
pub(super) fn end(polling: Polling, reason: &CloseReason, out: &mut Vec<Output>) {
    let (poll, posting) = (polling.poll, polling.posting);
    let (has_probe, is_moving) = (polling.probe.is_some(), polling.is_moving());
    let is_local = *reason == CloseReason::Local;
    let last = if is_local {
        let mut frames = polling.into_queue();
        frames.push_back(ws::Frame::Text(CLOSE));
        if is_moving {
            // The client may have moved already: then it reads here, and polls no more. One that
            // has not takes this for a failure of the WebSocket, and polls.
            let frames = frames.iter().cloned();
            out.extend(frames.map(|frame| websocket(ws::Action::Send(frame))));
        }
        payload::encode(&frames)
    } else if *reason == CloseReason::Peer {
        NOOP
    } else {
        CLOSE
    };
    if has_probe {
        out.push(websocket(ws::Action::Close));
    }
    match poll {
        Some(call) => out.push(answer(call, 200, last)),
        None if is_local => {
            let farewell = ServerAction::Farewell(last.into_bytes());
            out.push(Output::Transport(farewell));
        }
        None => {}
    }
    out.extend(posting.map(|call| match reason {
        // Nothing is wrong with the post. Refused, it would be the end for the client, before the
        // last words that it polls for.
        CloseReason::Peer | CloseReason::Local => answer(call, 200, OK),
        CloseReason::BadPayload(payload::DecodeError::TooLarge { .. }) => {
            answer(call, 413, TOO_LARGE)
        }
        CloseReason::PingTimeout
        | CloseReason::HandshakeTimeout
        | CloseReason::Transport(_)
        | CloseReason::BadPacket(_)
        | CloseReason::BadPayload(_)
        | CloseReason::Polling(_)
        | CloseReason::Refused { .. }
        | CloseReason::Unanswered(_) => refusal(call),
    }));
}

/// Ends a poll with nothing.
pub(super) fn let_go(poll: CallId) -> Output {
    answer(poll, 200, NOOP)
}

fn answer(call: CallId, status: u16, body: ByteString) -> Output {
    let body = body.into_bytes();
    Output::Transport(ServerAction::Answer { call, status, body })
}

fn refusal(call: CallId) -> Output {
    answer(call, 400, BAD_REQUEST)
}

/// The answer to a post that was taken.
const OK: ByteString = ByteString::from_static("ok");
/// The official server's words for a request that has no place.
const BAD_REQUEST: ByteString = ByteString::from_static(r#"{"code":3,"message":"Bad request"}"#);
/// In the manner of the words above: the official server has none.
const TOO_LARGE: ByteString =
    ByteString::from_static(r#"{"code":3,"message":"Payload too large"}"#);
