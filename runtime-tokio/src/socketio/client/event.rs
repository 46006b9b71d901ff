//! What a socket tells its consumer.

use std::{fmt, sync::Weak, time::Duration};

use bytes::Bytes;
use selvedge_core::socketio::event::{self as core, Emission};
use serde::{Deserialize, Serialize};

use super::{Attachment, EmitError, Unsent, socket::Membership};

/// What happens on a socket, in the order in which it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// The namespace is joined. What was kept for it is sent now.
    Connected {
        /// This membership's id at the server.
        sid: String,
        /// The server has gone on with the membership of the last connection (connection-state
        /// recovery): what was missed follows, and the rooms are the same. Otherwise this is a new
        /// membership, which must ask for what it needs.
        recovered: bool,
    },
    /// An event arrived.
    Event(Event),
    /// The server would not let this client into the namespace, or there was no auth to ask with.
    Refused {
        /// The server's words; or those of the auth function's error.
        message: String,
        /// JSON text that the server sent along.
        data: Option<String>,
        /// When it is asked for again, with new auth. `None`: not before
        /// [`Sender::rejoin`](super::Sender::rejoin).
        retry_in: Option<Duration>,
    },
    /// The namespace is not joined any more.
    Disconnected {
        /// What happened and whose doing it was, as a sentence.
        why: String,
        /// When a new connection is tried. `None`: the membership is over until
        /// [`Sender::rejoin`](super::Sender::rejoin): the server has ended it, or the consumer was
        /// too slow, or too many attempts have failed.
        retry_in: Option<Duration>,
    },
    /// An attempt to connect has failed, before the namespace was joined on it. Several of these
    /// that nobody takes become one, the newest.
    Retrying {
        /// What happened, as a sentence.
        why: String,
        /// When the next attempt follows.
        retry_in: Duration,
    },
    /// Something that was kept for later will not be sent after all.
    Unsent {
        /// Why.
        why: Unsent,
        /// How many emissions.
        count: u64,
    },
    /// So many events were dropped here, because the queue was full; see
    /// [`SlowConsumer::Drop`](super::SlowConsumer::Drop).
    Lagged(u64),
    /// As many attempts have failed in a row as [`Builder::attempts_max`](super::Builder::attempts_max)
    /// allows: nothing is tried before [`Sender::rejoin`](super::Sender::rejoin).
    GaveUp {
        /// What happened to the last attempt, as a sentence.
        why: String,
    },
}

/// An event that arrived. It shares its bytes when it is cloned; nothing is decoded until it is
/// asked for.
#[derive(Clone)]
pub struct Event {
    inner: core::Event,
    membership: Weak<Membership>,
    epoch: u64,
}

impl Event {
    pub(super) fn new(inner: core::Event, membership: Weak<Membership>, epoch: u64) -> Self {
        Self {
            inner,
            membership,
            epoch,
        }
    }

    /// What the event is called.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The arguments after the name, as a tuple: `event.args::<(&str, u64)>()`. One argument is a
    /// tuple of one, `(u64,)`; none is `()`. Strings can be borrowed. Surplus arguments at the end
    /// are tolerated: a server with connection-state recovery appends one of its own.
    ///
    /// # Errors
    ///
    /// Where there are too few arguments, or they are of other types.
    pub fn args<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        self.inner.args()
    }

    /// The arguments as they stand on the wire: JSON values with commas between them.
    pub fn raw_args(&self) -> &str {
        self.inner.raw_args()
    }

    /// How many arguments there are.
    pub fn arg_count(&self) -> usize {
        self.inner.arg_count()
    }

    /// The binary contents that came with the event, by their numbers.
    pub fn attachments(&self) -> &[Bytes] {
        self.inner.attachments()
    }

    /// What a placeholder among the arguments stands for.
    pub fn attachment(&self, placeholder: &Attachment) -> Option<&Bytes> {
        self.inner.attachment(placeholder)
    }

    /// Whether the server waits for an answer.
    pub fn wants_answer(&self) -> bool {
        self.inner.ack().is_some()
    }

    /// Answers it. `args` is a tuple or an array, as of an event. Nothing is sent where the server
    /// [wants no answer](Self::wants_answer). It takes the first answer only.
    ///
    /// # Errors
    ///
    /// Where the answer cannot be written or is not taken, as for [`Sender::emit`](super::Sender::emit).
    /// [`EmitError::NotConnected`] says that the connection that asked is gone: an answer never goes
    /// out on another one, where its number means something else.
    pub async fn answer(&self, args: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.answer_with(args, Vec::new()).await
    }

    /// [`answer`](Self::answer), with binary attachments, each in its place by an [`Attachment`].
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), and where there are more than ten attachments, or `args` has
    /// the place of one that is not there.
    pub async fn answer_with(
        &self,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<(), EmitError> {
        let Some(ack) = self.inner.ack() else {
            return Ok(());
        };
        let membership = self.membership.upgrade().ok_or(EmitError::Closed)?;
        let emission = Emission::answer_with(membership.namespace(), ack, args, attachments);
        let emission = emission.map_err(EmitError::Encode)?;
        membership.answer(emission, self.epoch).await
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
