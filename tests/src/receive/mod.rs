//! A guild that says as much as it can, and those who receive it: bare readers, clients of Socket.IO,
//! and the plugin with its host.
//!
//! The guild is [`Blaster`], a bare WebSocket server that knows as much of Fabric as a plugin needs to
//! get as far as its rooms. Everybody who receives is a process of its own ([`Receiver`]), has a
//! blaster of its own, and must get every message once.

mod blaster;
mod front;
mod machine;
mod pipe;
mod process;
mod readers;
mod stage;
mod wire;

pub use self::{
    blaster::{Blaster, Crowd},
    machine::{Curve, Driven},
    readers::{Reader, read},
    stage::{Kind, Receiver, Turn},
};

/// How many messages of an agent may be under way: more than a turn of each channel, and no more than
/// an agent keeps with their texts (1 MiB) and lets wait (10,000).
pub const WINDOW: usize = 3_000;

/// How many of them in each channel: no more than one lets wait (1,000).
pub const CHANNEL_WINDOW: usize = 900;
