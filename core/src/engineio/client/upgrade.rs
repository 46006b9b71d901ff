//! The WebSocket that a polling client dials, tries, and moves to.

use alloc::vec::Vec;

use bytestring::ByteString;

use super::{Output, polling::Polling, websocket};
use crate::{
    canonical,
    engineio::{packet, packet::Packet, transport::ClientAction},
    time::Time,
    ws,
};

/// The content of the ping and the pong that try a WebSocket.
const PROBE: ByteString = ByteString::from_static("probe");

/// A WebSocket that the session may move to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) expires_at: Time,
    stage: Stage,
}
canonical!(struct Probe { expires_at, stage });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is not open yet.
    Dialing,
    /// It is open, and the server is to answer the probe.
    Probing,
    /// It works: the session moves when the requests under way have ended.
    Moving,
}
canonical!(
    enum Stage {
        Dialing,
        Probing,
        Moving,
    }
);

impl Polling {
    pub(super) fn dial(&mut self, now: Time, sid: ByteString, out: &mut Vec<Output>) {
        self.probe = Some(Probe {
            expires_at: now + self.config.upgrade_timeout,
            stage: Stage::Dialing,
        });
        out.push(Output::Transport(ClientAction::Dial { sid }));
    }

    pub(super) fn on_dialed(&mut self, is_open: bool, out: &mut Vec<Output>) {
        match &mut self.probe {
            Some(probe) if probe.stage == Stage::Dialing => {
                if is_open {
                    probe.stage = Stage::Probing;
                    let ping = packet::encode(Packet::Ping(PROBE));
                    out.push(websocket(ws::Action::Send(ping)));
                } else {
                    self.probe = None;
                }
            }
            Some(_) | None => {}
        }
    }

    /// A frame on the WebSocket before the session has moved. Only one is right.
    pub(super) fn on_probe(&mut self, frame: ws::Frame, out: &mut Vec<Output>) {
        match &mut self.probe {
            None => {}
            Some(probe) => match probe.stage {
                Stage::Dialing => {}
                Stage::Probing if packet::decode(frame) == Ok(Packet::Pong(PROBE)) => {
                    probe.stage = Stage::Moving;
                }
                Stage::Probing | Stage::Moving => self.give_up(out),
            },
        }
    }

    /// Gives up a WebSocket that has taken too long.
    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.probe.as_ref().is_some_and(|it| it.expires_at <= now) {
            self.give_up(out);
        }
    }

    fn give_up(&mut self, out: &mut Vec<Output>) {
        self.probe = None;
        out.push(websocket(ws::Action::Close));
    }

    /// Whether the WebSocket works, so that nothing is begun by polling any more.
    pub(super) fn is_moving(&self) -> bool {
        self.probe
            .as_ref()
            .is_some_and(|probe| probe.stage == Stage::Moving)
    }
}
