//! Inbounds of which nothing shows that the host got them: each is handed over once more.

use alloc::collections::BTreeMap;
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    id::TurnId,
    machine::Wakeup,
    plugin::{inbound::Inbound, turns::Place},
    time::Time,
};

/// How many bytes of text are kept to be handed over once more. What is beyond is handed over once
/// only: an agent whose host is deaf must not take the process along.
pub const BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The inbounds that wait for a receipt, at most one in each channel, since turns of a channel run one
/// at a time.
///
/// There is no acknowledgement of a notification: any tool call that names the channel stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Receipts {
    open: BTreeMap<Place, Inbound>,
    due: Deadlines<Place>,
    bytes: usize,
}
canonical!(struct Receipts { open, due, bytes });

impl Receipts {
    /// An inbound is being handed over.
    pub fn on_offered(&mut self, place: Place, inbound: &Inbound) {
        self.close(&place);
        let bytes = text_of(inbound);
        if self.bytes.saturating_add(bytes) <= BYTES_MAX {
            self.bytes += bytes;
            self.open.insert(place, inbound.clone());
        }
    }

    /// The notification of this turn has been written: from now on a receipt can be expected.
    pub fn on_written(&mut self, now: Time, place: &Place, turn: &TurnId, patience: Duration) {
        let open = self.open.get(place);
        if open.is_some_and(|inbound| inbound.turn_id == *turn) {
            self.due.set(place.clone(), Some(now + patience));
        }
    }

    /// The channel's inbound has arrived, or its turn has ended.
    pub fn close(&mut self, place: &Place) -> Option<Inbound> {
        self.due.set(place.clone(), None);
        let closed = self.open.remove(place)?;
        self.bytes -= text_of(&closed);
        Some(closed)
    }

    /// The next inbound to hand over once more. It is not kept any longer: there is no third time.
    pub fn next_due(&mut self, now: Time) -> Option<(Place, Inbound)> {
        loop {
            let place = self.due.pop_due(now)?;
            if let Some(inbound) = self.close(&place) {
                let again = Inbound {
                    attempt: inbound.attempt.saturating_add(1),
                    redelivered: true,
                    ..inbound
                };
                return Some((place, again));
            }
        }
    }

    /// When there is something to hand over once more.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.due.earliest().map(|at| Wakeup {
            at,
            why: "no receipt for an inbound",
        })
    }
}

fn text_of(inbound: &Inbound) -> usize {
    let all = inbound.messages.iter().chain(&inbound.context);
    all.map(|message| message.content.len()).sum()
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec};

    use super::*;
    use crate::{
        fabric::types::{Author, XType},
        id::{AgentId, ChannelId, GuildId, MessageId, UserId},
        plugin::inbound::{InboundChannel, InboundMessage},
        time::Wall,
    };

    const PATIENCE: Duration = Duration::from_secs(120);

    fn place(channel: &str) -> Place {
        (0, ChannelId::new(channel).unwrap())
    }

    fn turn(id: &str) -> TurnId {
        TurnId::new(id).unwrap()
    }

    fn inbound(id: &str, bytes: usize) -> Inbound {
        Inbound {
            session_id: String::new(),
            agent_id: AgentId::new("a").unwrap(),
            turn_id: turn(id),
            attempt: 1,
            channel: InboundChannel {
                id: ChannelId::new("c").unwrap(),
                name: String::new(),
                x_type: XType::General,
                guild_id: GuildId::new("g").unwrap(),
            },
            messages: vec![InboundMessage {
                id: MessageId::new("m").unwrap(),
                seq: 1,
                author: Author {
                    id: UserId::new("u").unwrap(),
                    name: String::new(),
                },
                content: "x".repeat(bytes),
                mentions: vec![],
                reply_to: None,
                attachments: vec![],
                created_at: Wall::default(),
            }],
            context: vec![],
            skipped: 0,
            redelivered: false,
            recovered: false,
            rewake: false,
        }
    }

    #[test]
    fn what_has_no_receipt_is_handed_over_once_more_and_never_twice() {
        let now = Time::from_millis(1);
        let mut receipts = Receipts::default();
        receipts.on_offered(place("c"), &inbound("t1", 1));
        assert_eq!(receipts.next_wakeup(), None, "it is not written yet");
        receipts.on_written(now, &place("c"), &turn("t0"), PATIENCE);
        assert_eq!(receipts.next_wakeup(), None, "another turn's");
        receipts.on_written(now, &place("c"), &turn("t1"), PATIENCE);
        assert_eq!(receipts.next_wakeup().unwrap().at, now + PATIENCE);
        let (at, again) = receipts.next_due(now + PATIENCE).unwrap();
        assert_eq!(at, place("c"));
        assert_eq!(
            (again.turn_id, again.attempt, again.redelivered),
            (turn("t1"), 2, true)
        );
        receipts.on_written(now + PATIENCE, &place("c"), &turn("t1"), PATIENCE);
        assert_eq!(receipts, Receipts::default());
    }

    #[test]
    fn a_receipt_is_one_channels_alone() {
        let now = Time::from_millis(1);
        let mut receipts = Receipts::default();
        for (channel, id) in [("c", "t1"), ("d", "t2")] {
            receipts.on_offered(place(channel), &inbound(id, 1));
            receipts.on_written(now, &place(channel), &turn(id), PATIENCE);
        }
        assert!(receipts.close(&place("c")).is_some());
        assert_eq!(receipts.close(&place("c")), None);
        assert_eq!(receipts.next_due(now + PATIENCE).unwrap().0, place("d"));
        assert_eq!(receipts.next_due(now + PATIENCE), None);
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_back() {
        let mut receipts = Receipts::default();
        for round in 0..2 {
            receipts.on_offered(place("c"), &inbound("t1", BYTES_MAX));
            receipts.on_offered(place("d"), &inbound("t2", 1));
            assert_eq!(receipts.close(&place("d")), None, "round {round}");
            assert!(receipts.close(&place("c")).is_some());
            assert_eq!(receipts, Receipts::default());
        }
    }
}
