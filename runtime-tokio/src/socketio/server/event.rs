//! An event that has arrived, and its answer.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_core::socketio::{
    event,
    event::{Attachment, Emission},
};
use serde::{Deserialize, Serialize};

use super::{error::EmitError, socket::Shared};

/// An event of a client. Its arguments are read only when they are asked for, and borrow from it.
#[derive(Debug)]
pub struct Event {
    event: event::Event,
    socket: Arc<Shared>,
}

impl Event {
    pub(super) const fn new(event: event::Event, socket: Arc<Shared>) -> Self {
        Self { event, socket }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.event.name()
    }

    /// Its arguments as a tuple or an array: `event.args::<(String, u32)>()`. More arguments than
    /// asked for are passed over.
    ///
    /// # Errors
    ///
    /// Where there are fewer, or others.
    pub fn args<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        self.event.args()
    }

    /// How many arguments it has.
    pub fn arg_count(&self) -> usize {
        self.event.arg_count()
    }

    /// The JSON text of its arguments, with commas between them.
    pub fn raw_args(&self) -> &str {
        self.event.raw_args()
    }

    /// Its binary attachments.
    pub fn attachments(&self) -> &[Bytes] {
        self.event.attachments()
    }

    /// The attachment that belongs in the place of an argument.
    pub fn attachment(&self, place: &Attachment) -> Option<&Bytes> {
        self.event.attachment(place)
    }

    /// Whether the client waits for an answer.
    pub fn wants_answer(&self) -> bool {
        self.event.ack().is_some()
    }

    /// Answers it. `args` is a tuple or an array, as of an event. Nothing is sent where the client
    /// [wants no answer](Self::wants_answer). It takes the first answer only.
    ///
    /// # Errors
    ///
    /// Where the answer cannot be written, or the socket or the server has ended.
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
        let Some(ack) = self.event.ack() else {
            return Ok(());
        };
        let namespace = self.socket.namespace();
        let answer = Emission::answer_with(namespace, ack, args, attachments)?;
        self.socket.send(answer, false).await
    }
}
