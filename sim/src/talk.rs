//! What was said on a connection: whether it stands, and which channels are joined on it.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_core::{
    fabric::realtime::{
        CHANNEL_JOINED, CHANNEL_LEFT, ChannelRef, JOIN_CHANNEL, JoinAck, LEAVE_CHANNEL, Membership,
    },
    id::ChannelId,
};

/// What every packet on the namespace of the pushes begins with: Engine.IO's mark of a message, then
/// Socket.IO's of its kind.
const CONNECTED: &str = "40/realtime,";
const EVENT: &str = "42/realtime,";
const ANSWER: &str = "43/realtime,";
const REFUSED: &str = "44/realtime,";
const DISCONNECT: &str = "41/realtime";
/// Engine.IO's mark of its end.
const CLOSE: &str = "1";

/// What an agent has said on a connection, and what it has heard there.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Talk {
    /// Whether its CONNECT was accepted.
    pub connected: bool,
    /// Whether the guild has refused it, or said that it ends it.
    pub over: bool,
    /// The channels that the guild has said to be joined.
    pub rooms: BTreeSet<ChannelId>,
    /// Joins that are not answered yet, by the number of their acknowledgement.
    asked: BTreeMap<u64, ChannelId>,
}

impl Talk {
    /// The agent says something.
    pub fn on_said(&mut self, text: &str) {
        let Some((ack, args)) = text.strip_prefix(EVENT).and_then(numbered) else {
            return;
        };
        let Ok((name, channel)) = serde_json::from_str::<(String, ChannelRef)>(args) else {
            return;
        };
        match (name.as_str(), ack) {
            (JOIN_CHANNEL, Some(ack)) => {
                self.asked.insert(ack, channel.channel_id);
            }
            (LEAVE_CHANNEL, _) => {
                self.rooms.remove(&channel.channel_id);
            }
            _ => {}
        }
    }

    /// The agent hears something.
    pub fn on_heard(&mut self, text: &str) {
        self.connected |= text.starts_with(CONNECTED);
        self.over |= text.starts_with(REFUSED) || text.starts_with(DISCONNECT) || text == CLOSE;
        let answer = text.strip_prefix(ANSWER).and_then(numbered);
        if let Some((Some(ack), args)) = answer
            && let Some(channel) = self.asked.remove(&ack)
            && serde_json::from_str::<(JoinAck,)>(args).is_ok_and(|(ack,)| ack.ok)
        {
            self.rooms.insert(channel);
        }
    }
}

/// The channel of which a push says that its receiver is a member, or is not any more.
pub fn membership(text: &str) -> Option<(ChannelId, bool)> {
    let args = text.strip_prefix(EVENT)?;
    let named = |name: &str| args.get(2..).is_some_and(|args| args.starts_with(name));
    let member = named(CHANNEL_JOINED);
    if !member && !named(CHANNEL_LEFT) {
        return None;
    }
    let (_, told) = serde_json::from_str::<(String, Membership)>(args).ok()?;
    Some((told.channel_id, member))
}

/// A packet's number, if it has one, and what follows.
fn numbered(rest: &str) -> Option<(Option<u64>, &str)> {
    let (number, args) = rest.split_at_checked(rest.find('[')?)?;
    match number {
        "" => Some((None, args)),
        number => Some((Some(number.parse().ok()?), args)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_joined_once_the_guild_says_so() {
        let room = |id: &str| BTreeSet::from([ChannelId::new(id).unwrap()]);
        let mut talk = Talk::default();
        talk.on_heard(r#"40/realtime,{"sid":"s"}"#);
        assert!(talk.connected);
        talk.on_said(r#"42/realtime,3["join_channel",{"channelId":"c"}]"#);
        talk.on_said(r#"42/realtime,4["join_channel",{"channelId":"d"}]"#);
        assert_eq!(talk.rooms, BTreeSet::new());
        talk.on_heard(r#"43/realtime,3[{"ok":true,"lastSeq":7}]"#);
        talk.on_heard(r#"43/realtime,4[{"ok":false,"error":"forbidden"}]"#);
        assert_eq!(talk.rooms, room("c"));
        talk.on_said(r#"42/realtime,5["leave_channel",{"channelId":"c"}]"#);
        assert_eq!((talk.rooms.len(), talk.over), (0, false));
        talk.on_heard("41/realtime,");
        assert!(talk.over);
    }
}
