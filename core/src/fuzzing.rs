//! The laws that fuzzing holds, as plain functions over bytes: the targets in `fuzz/` call them.

mod decoders;
mod draws;
mod ends;
mod expected;
#[expect(
    clippy::indexing_slicing,
    reason = "one of two sides; and a panic is a finding"
)]
mod hub;
mod json;
mod network;
#[expect(
    clippy::indexing_slicing,
    reason = "one of two sides; and a panic is a finding"
)]
mod session;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use bytestring::ByteString;

pub use self::{
    decoders::{engineio_packet, engineio_payload, socketio_packet},
    ends::socketio_ends,
    hub::socketio_hub,
    json::json,
    session::socketio_session,
};
use crate::ws;

/// Text where it can be, or else binary.
fn frame(input: &[u8]) -> ws::Frame {
    let bytes = Bytes::copy_from_slice(input);
    match ByteString::try_from(bytes.clone()) {
        Ok(text) => ws::Frame::Text(text),
        Err(_) => ws::Frame::Binary(bytes),
    }
}
