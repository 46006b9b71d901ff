//! Speaking to many sockets at once.

use bytes::Bytes;
use selvedge_core::socketio::{
    Namespace as Name,
    event::Emission,
    hub::{Audience, Room, Target},
};
use serde::Serialize;

use super::{error::EmitError, link::Link, socket::Id};

/// Sockets of one namespace that are spoken to together. An event is written once, however many
/// they are, and each gets it once, however many of its rooms are named. Where clients are behind with
/// what was said to many, whoever goes on waits for those that read: see [the module](super).
///
/// ```no_run
/// # async fn example(server: selvedge::socketio::Server) -> Result<(), Box<dyn std::error::Error>> {
/// let chat = server.namespace("/chat");
/// chat.clone().to("blue").to("green").emit("news", &("hello",)).await?;
/// chat.except_room("muted").emit_volatile("tick", &(1,)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until something is emitted"]
pub struct Broadcast {
    link: Link,
    namespace: Result<Name, String>,
    audience: Audience,
    has_bad_room: bool,
}

impl Broadcast {
    pub(super) const fn new(
        link: Link,
        namespace: Result<Name, String>,
        audience: Audience,
    ) -> Self {
        Self {
            link,
            namespace,
            audience,
            has_bad_room: false,
        }
    }

    /// To those in this room, and in others that are named. Without any, to everybody.
    pub fn to(mut self, room: &str) -> Self {
        let room = self.room(room);
        self.audience.rooms.extend(room);
        self
    }

    /// Not to this socket.
    pub fn except(mut self, id: &Id) -> Self {
        self.audience.except_sockets.insert(id.socket);
        self
    }

    /// Not to those in this room.
    pub fn except_room(mut self, room: &str) -> Self {
        let room = self.room(room);
        self.audience.except_rooms.extend(room);
        self
    }

    /// Emits an event. `args` is a tuple or an array: `(&message, 7)`, `(one,)`, or `()` for none.
    ///
    /// # Errors
    ///
    /// Where the event cannot be written or is too large, the name of a room is too long, the server has no such
    /// namespace, or has closed.
    pub async fn emit(self, name: &str, args: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.emit_with(name, args, Vec::new()).await
    }

    /// [`emit`](Self::emit), with binary attachments, each in its place by an
    /// [`Attachment`](super::Attachment).
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), and where there are more than ten attachments, or `args` has the
    /// place of one that is not there.
    pub async fn emit_with(
        self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<(), EmitError> {
        self.send(name, args, attachments, false).await
    }

    /// Emits an event that may be lost: it is dropped for whichever client is behind, and for all while
    /// too much waits for the server's loop, and is not kept for clients that come back.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub async fn emit_volatile(
        self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        self.send(name, args, Vec::new(), true).await
    }

    async fn send(
        self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
        is_volatile: bool,
    ) -> Result<(), EmitError> {
        if self.has_bad_room {
            return Err(EmitError::BadRoom);
        }
        let namespace = self.namespace.map_err(EmitError::NoNamespace)?;
        let emission = Emission::event_with(&namespace, name, args, attachments)?;
        let mut audience = self.audience;
        if is_volatile {
            audience.except_sockets.append(&mut self.link.behind());
        }
        let to = Target::Audience(audience);
        self.link.emit(to, emission, is_volatile, None).await
    }

    fn room(&mut self, name: &str) -> Option<Room> {
        let room = Room::new(name);
        self.has_bad_room |= room.is_none();
        room
    }
}
