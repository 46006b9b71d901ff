//! The handshake: what the server tells in its open packet, and the bounds on it.

use alloc::{string::String, vec::Vec};
use core::{ops::RangeInclusive, time::Duration};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::Heartbeat;
use crate::canonical;

/// The longest handshake that is read, in bytes: a real one has about 120. It bounds what a peer
/// can make the client remember before anything is agreed.
pub const HANDSHAKE_BYTES_MAX: usize = 8 * 1024;

/// The longest `pingInterval` and `pingTimeout` that a peer may ask for. Above it a dead peer would
/// go unnoticed for days.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const HEARTBEAT_MS: RangeInclusive<u64> = 1..=HEARTBEAT_MAX.as_secs() * 1_000;

/// What the server announces when a connection opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The id of the session.
    pub sid: ByteString,
    /// When the server pings. Each span is 1 ms to [`HEARTBEAT_MAX`].
    pub heartbeat: Heartbeat,
    /// The largest packet that the server takes, in bytes with the packet's type. `None` where it
    /// announced none, as servers before Engine.IO 6.0 do.
    pub max_payload: Option<u64>,
    /// Transports that the session can move to; empty on a WebSocket.
    pub upgrades: Vec<ByteString>,
}
canonical!(struct Handshake { sid, heartbeat, max_payload, upgrades });

/// What is wrong with a handshake. The server is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// More than [`HANDSHAKE_BYTES_MAX`].
    #[error("it is longer than {HANDSHAKE_BYTES_MAX} bytes")]
    TooLong,
    /// Not a JSON object with the keys and the kinds of values that belong there.
    #[error("it is not the JSON object that it should be ({0})")]
    Malformed(String),
    /// A number that cannot be lived with.
    #[error("its {0} is out of range")]
    OutOfRange(&'static str),
}
canonical!(
    enum HandshakeError {
        TooLong,
        Malformed(words),
        OutOfRange(key),
    }
);

/// The JSON, in the order of the protocol text. Unknown keys are ignored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    sid: String,
    #[serde(default)]
    upgrades: Vec<String>,
    ping_interval: u64,
    ping_timeout: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_payload: Option<u64>,
}

impl Handshake {
    /// Reads the content of an open packet.
    ///
    /// # Errors
    ///
    /// Where it is too long, is not the JSON object that the protocol describes, or has a value
    /// that cannot be lived with: no `sid`, a heartbeat outside of 1 ms to [`HEARTBEAT_MAX`], or
    /// a `maxPayload` of 0.
    pub fn decode(content: &str) -> Result<Self, HandshakeError> {
        if content.len() > HANDSHAKE_BYTES_MAX {
            return Err(HandshakeError::TooLong);
        }
        let wire = serde_json::from_str::<Wire>(content)
            .map_err(|error| HandshakeError::Malformed(alloc::format!("{error}")))?;
        if wire.sid.is_empty() {
            return Err(HandshakeError::OutOfRange("sid"));
        }
        if !HEARTBEAT_MS.contains(&wire.ping_interval) {
            return Err(HandshakeError::OutOfRange("pingInterval"));
        }
        if !HEARTBEAT_MS.contains(&wire.ping_timeout) {
            return Err(HandshakeError::OutOfRange("pingTimeout"));
        }
        if wire.max_payload == Some(0) {
            return Err(HandshakeError::OutOfRange("maxPayload"));
        }
        Ok(Self {
            sid: wire.sid.into(),
            heartbeat: Heartbeat {
                interval: Duration::from_millis(wire.ping_interval),
                timeout: Duration::from_millis(wire.ping_timeout),
            },
            max_payload: wire.max_payload,
            upgrades: wire.upgrades.into_iter().map(ByteString::from).collect(),
        })
    }

    /// Writes the content of an open packet. Spans are written in whole milliseconds.
    pub fn encode(&self) -> ByteString {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let wire = Wire {
            sid: String::from(&*self.sid),
            upgrades: self
                .upgrades
                .iter()
                .map(|name| String::from(&**name))
                .collect(),
            ping_interval: millis(self.heartbeat.interval),
            ping_timeout: millis(self.heartbeat.timeout),
            max_payload: self.max_payload,
        };
        // Strings and numbers under string keys always serialise.
        serde_json::to_string(&wire).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    #[test]
    fn the_handshake_is_that_of_the_protocol() {
        let content = concat!(
            r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"#,
            r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        let handshake = Handshake {
            sid: "lv_VI97HAXpY6yYWAAAC".into(),
            heartbeat: Heartbeat::default(),
            max_payload: Some(1_000_000),
            upgrades: vec!["websocket".into()],
        };
        assert_eq!(Handshake::decode(content), Ok(handshake.clone()));
        assert_eq!(handshake.encode(), content);
    }

    #[test]
    fn what_cannot_be_lived_with_is_refused() {
        let with = |interval: &str, timeout: &str, payload: &str| {
            Handshake::decode(&format!(
                r#"{{"sid":"x","pingInterval":{interval},"pingTimeout":{timeout},
                "maxPayload":{payload},"extra":[{{}}]}}"#
            ))
        };
        assert!(with("1", "86400000", "1").is_ok());
        assert_eq!(with("1", "1", "null").unwrap().max_payload, None);
        let interval = Err(HandshakeError::OutOfRange("pingInterval"));
        assert_eq!(with("0", "1", "1"), interval);
        assert_eq!(with("1000000000000000000", "1", "1"), interval);
        assert_eq!(
            with("1", "86400001", "1"),
            Err(HandshakeError::OutOfRange("pingTimeout"))
        );
        assert_eq!(
            with("1", "1", "0"),
            Err(HandshakeError::OutOfRange("maxPayload"))
        );
        for (interval, payload) in [("-1", "1"), ("1e18", "1"), ("\"1\"", "1"), ("1", "-1")] {
            assert!(
                matches!(
                    with(interval, "1", payload),
                    Err(HandshakeError::Malformed(_))
                ),
                "{interval} {payload}"
            );
        }
        for content in ["", "{}", "[]", "null", r#"{"sid":"x","pingTimeout":1}"#] {
            assert!(
                matches!(
                    Handshake::decode(content),
                    Err(HandshakeError::Malformed(_))
                ),
                "{content}"
            );
        }
        assert_eq!(
            Handshake::decode(&" ".repeat(HANDSHAKE_BYTES_MAX + 1)),
            Err(HandshakeError::TooLong)
        );
    }
}
