//! What one side has sent in a namespace and the other has not seen yet.

use alloc::{collections::VecDeque, string::String};

use serde_json::Value;

use bytes::Bytes;

use crate::socketio::{
    Namespace,
    event::{Attachment, Emission, Event},
};

/// Numbers in the order in which they were sent.
///
/// Each is delivered at most once and in that order. One that must arrive may not be passed over.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected(VecDeque<(u64, bool)>);

impl Expected {
    /// `number` has been sent.
    pub(super) fn push(&mut self, number: u64, must_arrive: bool) {
        self.0.push_back((number, must_arrive));
    }

    /// It has not been sent after all.
    pub(super) fn unsend(&mut self, number: u64) {
        self.0.retain(|(it, _)| *it != number);
    }

    /// Nothing of what is on its way must arrive any more.
    pub(super) fn ease(&mut self) {
        for (_, must_arrive) in &mut self.0 {
            *must_arrive = false;
        }
    }

    /// One need not arrive any more.
    pub(super) fn ease_one(&mut self, number: u64) {
        for (_, must_arrive) in self.0.iter_mut().filter(|(it, _)| *it == number) {
            *must_arrive = false;
        }
    }

    /// `number` has arrived.
    pub(super) fn arrive(&mut self, number: u64) {
        let at = self.0.iter().position(|(it, _)| *it == number);
        assert!(
            at.is_some(),
            "{number} was not sent, or arrives again or late"
        );
        for (sent, must_arrive) in self.0.drain(..=at.unwrap_or(0)) {
            let is_missing = must_arrive && sent != number;
            assert!(!is_missing, "{sent} is missing before {number}");
        }
    }

    /// Whether something must still arrive.
    pub(super) fn first_missing(&self) -> Option<u64> {
        self.0.iter().find(|(_, must)| *must).map(|(it, _)| *it)
    }
}

/// Event `number`: every third has attachments, and their sizes differ.
pub(super) fn emission(namespace: &Namespace, number: u64) -> Option<Emission> {
    let size = usize::try_from(number * 7 % 40).unwrap_or(0);
    if number.is_multiple_of(3) {
        let args = (number, Attachment(1), [Attachment(0)]);
        Emission::event_with(namespace, "n", &args, parts(number)).ok()
    } else {
        let args = (
            number,
            String::from_iter(core::iter::repeat_n('x', size)),
            0,
        );
        Emission::event(namespace, "n", &args).ok()
    }
}

fn parts(number: u64) -> alloc::vec::Vec<Bytes> {
    let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
    [bytes.slice(..0), bytes].into()
}

/// The number of an event, which has arrived as it was sent.
pub(super) fn number(event: &Event) -> Option<u64> {
    let (number,) = event.args::<(u64,)>().ok()?;
    assert_eq!(event.name(), "n");
    if number.is_multiple_of(3) {
        assert_eq!(event.attachments(), parts(number));
    } else {
        let (_, text, _) = event.args::<(u64, String, Value)>().unwrap_or_default();
        assert_eq!(text.len() as u64, number * 7 % 40);
    }
    Some(number)
}
