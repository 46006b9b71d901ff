//! What a guild node is told about itself, and its limits.

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    id::{GuildId, NodeId},
};

/// The configuration of a [`Guild`](crate::guild::Guild).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The node's id, as Center and `/health` know it.
    pub node_id: NodeId,
    /// The guild that lives here. A token for another one is refused.
    pub guild_id: GuildId,
    /// The version that `/health` shows.
    pub version: String,
    /// Plays the guild that accepts an expired token at CONNECT, then ignores what is asked for on
    /// it, without an ack, while rooms joined before go on delivering. Default: false, which
    /// refuses an expired token and says so.
    pub deaf_on_expired_token: bool,
    /// The limits.
    pub limits: Limits,
}
canonical!(struct Config { node_id, guild_id, version, deaf_on_expired_token, limits });

impl Config {
    /// The configuration of a well-behaved node with default limits.
    pub fn new(node_id: NodeId, guild_id: GuildId) -> Self {
        Self {
            node_id,
            guild_id,
            version: String::from(env!("CARGO_PKG_VERSION")),
            deaf_on_expired_token: false,
            limits: Limits::default(),
        }
    }
}

/// What a guild node holds at most, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Connections of the node, with or without a token. Each costs a Socket.IO machine and its
    /// buffers. One more is closed at once; its client tries again. Default: 10,000.
    pub sockets_max: usize,
    /// Sockets of one user. Every push to the user is written to each of them. One more is refused
    /// at CONNECT with `too_many_sockets`. Default: 100.
    pub sockets_per_user_max: usize,
    /// The largest packet that is taken from a socket, in bytes: the connection is closed above.
    /// Each can make the node hold as much; the largest that is of use is a CONNECT with its token.
    /// Default: 64 KiB.
    pub frame_bytes_max: u64,
    /// How long a connection may stay without an admitted CONNECT, also after a refused one: then
    /// it is closed, so that strangers cannot fill the node. Default: 30 s.
    pub admission_patience: Duration,
    /// REST calls under way. Each holds its body until it is authorised. One more is answered 503.
    /// Default: 2,000.
    pub calls_max: usize,
    /// REST calls under way of one user, and waiting for Center on one token: more is answered
    /// 429. Also the posts of one author that wait for their turn. Default: 64.
    pub calls_per_user_max: usize,
    /// Calls of one user that are answered in a burst, and how often one more is: others are
    /// answered 429. Default: 2,000, and one every 5 ms.
    pub calls_burst_max: u32,
    /// See [`calls_burst_max`](Self::calls_burst_max).
    pub calls_refill: Duration,
    /// Events of one socket that are taken in a burst, and how often one more is: a socket that
    /// sends more is closed. A client that joins all of its channels needs one for each. Default:
    /// 2,000, and one every 10 ms.
    pub events_max: u32,
    /// See [`events_max`](Self::events_max).
    pub events_refill: Duration,
    /// Answers and pushes that wait for the store. Where there are more, a socket that sends an
    /// event is closed; calls are held back by their own limits. Default: 200,000.
    pub effects_max: usize,
    /// The longest body of a call in bytes: 413 above. A message of the greatest length in the
    /// most wasteful JSON takes 96,000. Default: 128 KiB.
    pub body_bytes_max: usize,
    /// Channels of the guild; all of them are held in memory. One more is a 409. Default: 10,000.
    pub channels_max: usize,
    /// Members of one channel: a message is pushed to each of them. One more is a 409. Default:
    /// 1,000.
    pub members_max: usize,
    /// Channels that one user is a member of: all of them are in one listing. One more is a 409.
    /// Default: 1,000.
    pub channels_per_user_max: usize,
    /// Users in a channel's `wakeMapping`; more is a 400. Default: 1,000.
    pub wake_mapping_max: usize,
    /// The longest channel name in Unicode scalar values: 400 above. Default: 100.
    pub name_chars_max: usize,
    /// The longest message in Unicode scalar values, before names are rewritten: 413 above.
    /// Default: 8,000.
    pub message_chars_max: usize,
    /// How long after a post its author may edit or delete it: 409 after that. Default: 15 min.
    pub edit_window: Duration,
    /// The longest document of a canvas in bytes of UTF-8: 413 above. It is pushed whole to the
    /// channel's room. Default: 1 MiB.
    pub canvas_bytes_max: usize,
    /// Slash commands in the guild's catalogue, all of which are held in memory: 413 above.
    /// Default: 500.
    pub commands_max: usize,
    /// The largest file in bytes: 413 above. Default: 100 MiB.
    pub file_bytes_max: u64,
    /// How long a file is kept after it was uploaded, also where messages carry it. Default: 7 days.
    pub file_life: Duration,
    /// Files of the guild; something about each is held in memory. One more is a 409. Default:
    /// 100,000.
    pub files_max: usize,
    /// What all files of the guild may take on the disk in bytes: 409 above. Default: 50 GiB.
    pub files_bytes_max: u64,
    /// What the files of one user may take on the disk in bytes: 409 above. Default: 5 GiB.
    pub files_per_user_bytes_max: u64,
    /// Uploads under way: each holds a connection and takes room on the disk that is not counted
    /// yet. One more is answered 503. Default: 64.
    pub uploads_max: usize,
    /// Uploads under way of one user. One more is answered 429. Default: 4.
    pub uploads_per_user_max: usize,
    /// How long one upload may take. Default: 1 h.
    pub upload_patience: Duration,
    /// Files of one message: 400 above. Default: 10.
    pub attachments_max: usize,
    /// Names in one message that Center is asked about; the rest stay text. Default: 20.
    pub names_max: usize,
    /// Messages in a page of history; a call that asks for more gets this many. Default: 200.
    pub page_max: u64,
    /// Tokens whose introspection is remembered, and dead tokens that are remembered as dead: of
    /// each this many. With more users than this, Center is asked more often. Default: 10,000.
    pub tokens_max: usize,
    /// Tokens that Center is being asked about. A call with one more is answered 503, a CONNECT is
    /// refused with `unavailable`. Default: 1,000.
    pub introspections_max: usize,
    /// How long an answer of Center about a token is taken for true. Default: 60 s, which is also
    /// how long a revoked token works on.
    pub introspection_life: Duration,
    /// How long Center may take to judge a token. After that, a token that was good before goes on
    /// until it expires, and a new one is answered 503. Default: 5 s.
    pub introspection_patience: Duration,
    /// How long Center is left alone about a token after it could not be asked. Default: 5 s.
    pub introspection_pause: Duration,
    /// How long Center may take to resolve the names of a message. Default: 2 s.
    pub names_patience: Duration,
    /// How long the store may take for a read; then the call is answered 503. Default: 10 s.
    pub read_patience: Duration,
    /// How long a nonce is remembered. Default: 24 h.
    pub nonce_life: Duration,
}
canonical!(struct Limits {
    sockets_max, sockets_per_user_max, frame_bytes_max, admission_patience, calls_max, calls_per_user_max,
    calls_burst_max, calls_refill, events_max, events_refill, effects_max, body_bytes_max, channels_max, members_max, channels_per_user_max, wake_mapping_max,
    name_chars_max, message_chars_max, edit_window, canvas_bytes_max, commands_max, file_bytes_max, file_life, files_max, files_bytes_max,
    files_per_user_bytes_max, uploads_max, uploads_per_user_max, upload_patience, attachments_max, names_max, page_max, tokens_max, introspections_max, introspection_life,
    introspection_patience, introspection_pause, names_patience, read_patience, nonce_life,
});

impl Default for Limits {
    fn default() -> Self {
        Self {
            sockets_max: 10_000,
            sockets_per_user_max: 100,
            frame_bytes_max: 64 * 1024,
            admission_patience: Duration::from_secs(30),
            calls_max: 2_000,
            calls_per_user_max: 64,
            calls_burst_max: 2_000,
            calls_refill: Duration::from_millis(5),
            events_max: 2_000,
            events_refill: Duration::from_millis(10),
            effects_max: 200_000,
            body_bytes_max: 128 * 1024,
            channels_max: 10_000,
            members_max: 1_000,
            channels_per_user_max: 1_000,
            wake_mapping_max: 1_000,
            name_chars_max: 100,
            message_chars_max: 8_000,
            edit_window: Duration::from_secs(15 * 60),
            canvas_bytes_max: 1024 * 1024,
            commands_max: 500,
            file_bytes_max: 100 * 1024 * 1024,
            file_life: Duration::from_secs(7 * 24 * 60 * 60),
            files_max: 100_000,
            files_bytes_max: 50 * 1024 * 1024 * 1024,
            files_per_user_bytes_max: 5 * 1024 * 1024 * 1024,
            uploads_max: 64,
            uploads_per_user_max: 4,
            upload_patience: Duration::from_secs(60 * 60),
            attachments_max: 10,
            names_max: 20,
            page_max: 200,
            tokens_max: 10_000,
            introspections_max: 1_000,
            introspection_life: Duration::from_secs(60),
            introspection_patience: Duration::from_secs(5),
            introspection_pause: Duration::from_secs(5),
            names_patience: Duration::from_secs(2),
            read_patience: Duration::from_secs(10),
            nonce_life: Duration::from_secs(24 * 60 * 60),
        }
    }
}
