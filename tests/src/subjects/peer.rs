//! A guild at the other end of a WebSocket, as far as the laws need one: it answers what a client
//! has sent, pushes, and talks nonsense.

use bytes::Bytes;
use bytestring::ByteString;
use selvedge_core::ws::{Action, Closed, Event, Frame};

/// What the peer knows of one connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    opened: bool,
    /// Namespaces whose CONNECT is not answered.
    asking: Vec<String>,
    /// Namespaces that are joined.
    pub joined: Vec<String>,
    /// Calls that are not answered: namespace and id.
    calls: Vec<(String, u64)>,
    /// The newest `seq` of every channel.
    newest: [u64; 5],
}

impl Peer {
    /// The client did something on the connection.
    pub fn on_action(&mut self, action: &Action) {
        let Action::Send(Frame::Text(text)) = action else {
            return;
        };
        let Some(packet) = text.strip_prefix('4') else {
            return;
        };
        let mut rest = packet.chars();
        let kind = rest.next();
        let (namespace, rest) = namespace_of(rest.as_str());
        match kind {
            Some('0') => self.asking.push(namespace),
            Some('1') => self.joined.retain(|joined| *joined != namespace),
            Some('2') => {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                if let Ok(ack) = digits.parse() {
                    self.calls.push((namespace, ack));
                }
            }
            Some(_) | None => {}
        }
    }

    /// A peer in whose channels there are as many messages already.
    pub fn with_messages(number: u64) -> Self {
        Self {
            newest: [number; 5],
            ..Self::default()
        }
    }

    /// Whether the connection is open and there is nothing to do on it.
    pub fn is_idle(&self) -> bool {
        self.opened && self.asking.is_empty() && self.joined.is_empty()
    }

    /// What a good guild sends next.
    pub fn next(&mut self, a: u64, b: u64) -> Frame {
        if !self.opened {
            self.opened = true;
            return text(
                r#"0{"sid":"TopSecret-sid","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}"#,
            );
        }
        if let Some(namespace) = self.asking.pop() {
            if b % 16 == 5 {
                let words = if a.is_multiple_of(2) {
                    "unauthorized"
                } else {
                    "unavailable"
                };
                let header = header(&namespace);
                return text(&format!("44{header}{{\"message\":\"{words}\"}}"));
            }
            self.joined.push(namespace.clone());
            return text(&format!("40{}{{\"sid\":\"x{a}\"}}", header(&namespace)));
        }
        if let Some((namespace, ack)) = take(&mut self.calls, a) {
            let answer = match b % 8 {
                0 if a.is_multiple_of(2) => r#"{"ok":false,"error":"token_expired"}"#.to_string(),
                0 => r#"{"ok":false,"error":"forbidden"}"#.to_string(),
                1 => r#"{"ok":true}"#.to_string(),
                _ => format!(
                    r#"{{"ok":true,"lastSeq":{}}}"#,
                    self.newest.iter().min().unwrap_or(&0)
                ),
            };
            return text(&format!("43{}{ack}[{answer}]", header(&namespace)));
        }
        self.push("message.created", a, b)
    }

    /// A push about a message or a membership; most are in sequence.
    pub fn push(&mut self, event: &str, a: u64, b: u64) -> Frame {
        let channel = a % 5;
        let mut unknown = 0;
        let newest = self.newest.get_mut(channel as usize);
        let newest = newest.unwrap_or(&mut unknown);
        let seq = match b % 8 {
            0 => newest.saturating_sub(b / 8 % 4),
            1 => *newest + 2 + b / 8 % 3,
            2 if b % 64 == 2 => u64::MAX - b / 64 % 2,
            _ => {
                *newest += 1;
                *newest
            }
        };
        let author = ["u_self", "u_a", "u_b"].get((b / 8 % 3) as usize);
        let author = author.unwrap_or(&"u_a");
        let wakeup = ["true", "false", "null"].get((b / 32 % 3) as usize);
        let wakeup = wakeup.unwrap_or(&"true");
        let body = match event {
            "channel.joined" | "channel.left" => {
                let x_type = if b.is_multiple_of(2) {
                    r#","xType":"dm""#
                } else {
                    ""
                };
                let user = if b % 8 == 7 { "u_a" } else { "u_self" };
                format!(r#"{{"channelId":"c{channel}","userId":"{user}"{x_type}}}"#)
            }
            "channel.updated" => channel_json(channel, b),
            "message.deleted" => message_json(channel, seq, author, wakeup, "", true),
            _ => {
                let content = "x".repeat((b / 128 % 64) as usize);
                let message = message_json(channel, seq, author, wakeup, &content, false);
                // Every eighth wakes once more, now and then with the wake of another message.
                match b / 1_024 % 8 {
                    7 => message.replacen(
                        '{',
                        &format!(r#"{{"rewake":true,"wakeId":"w{}","#, b / 8_192 % 16),
                        1,
                    ),
                    _ => message,
                }
            }
        };
        text(&format!(r#"42/realtime,["{event}",{body}]"#))
    }

    /// What no good guild would send, or not now.
    pub fn odd(&mut self, a: u64, b: u64) -> Frame {
        const ODD: [&str; 22] = [
            "",
            "0",
            "0{}",
            "1",
            "2",
            "2probe",
            "3",
            "4",
            "5",
            "6",
            "7",
            "é",
            "40",
            "41",
            "41/realtime,",
            "44/realtime,{\"message\":\"unauthorized\"}",
            "44/realtime,{\"message\":\"unavailable\"}",
            "42/realtime,[\"message.created\",{}]",
            "42/realtime,[\"connect\"]",
            "43/realtime,0[]",
            "451-[\"x\",{\"_placeholder\":true,\"num\":0}]",
            "43/realtime,18446744073709551615[{\"ok\":true}]",
        ];
        if a % 32 == 31 {
            return Frame::Binary(Bytes::copy_from_slice(&b.to_le_bytes()));
        }
        let text_of = ODD.get((a as usize) % ODD.len()).copied();
        text(text_of.unwrap_or_default())
    }

    /// A ping.
    pub fn ping() -> Frame {
        text("2")
    }
}

/// One way for a WebSocket to end.
pub fn closed(a: u64) -> Event {
    Event::Closed(match a % 4 {
        0 => Closed::Peer {
            code: 1001,
            reason: ByteString::from_static("bye"),
        },
        1 => Closed::Broken(ByteString::from_static("reset")),
        2 => Closed::TooLarge,
        _ => Closed::Overrun,
    })
}

/// A channel as listings have it.
pub fn channel_json(channel: u64, b: u64) -> String {
    let x_type = ["general", "dm", "discuss", "work", "report"].get((b % 5) as usize);
    format!(
        r#"{{"id":"c{channel}","name":"n{}","xType":"{}","lastSeq":{},"joinedSeq":{}}}"#,
        b % 3,
        x_type.unwrap_or(&"dm"),
        if b % 9 == 8 {
            "null".to_string()
        } else {
            (b % 7).to_string()
        },
        if b % 4 == 3 { "null" } else { "0" },
    )
}

/// A message as history has it.
pub fn message_json(
    channel: u64,
    seq: u64,
    author: &str,
    wakeup: &str,
    content: &str,
    deleted: bool,
) -> String {
    let at = r#""2026-01-31T12:00:00.000Z""#;
    let deleted_at = if deleted { at } else { "null" };
    format!(
        r#"{{"id":"m{channel}-{seq}","channelId":"c{channel}","seq":{seq},"author":{{"id":"{author}"}},"content":"{content}","createdAt":{at},"deletedAt":{deleted_at},"wakeup":{wakeup}}}"#
    )
}

/// Takes out one of several.
pub fn take<T>(from: &mut Vec<T>, a: u64) -> Option<T> {
    let at = (a as usize).checked_rem(from.len())?;
    Some(from.remove(at))
}

/// A text frame.
pub fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

fn namespace_of(rest: &str) -> (String, &str) {
    match rest.split_once(',') {
        Some((namespace, rest)) if namespace.starts_with('/') => (namespace.to_string(), rest),
        Some(_) | None if rest.starts_with('/') => (rest.to_string(), ""),
        Some(_) | None => ("/".to_string(), rest),
    }
}

fn header(namespace: &str) -> String {
    if namespace == "/" {
        String::new()
    } else {
        format!("{namespace},")
    }
}
