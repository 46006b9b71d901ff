//! What several tests share: peers from npm, and machines on real sockets.

pub mod npm;
pub mod socket;

/// How long a test waits for any one thing.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
