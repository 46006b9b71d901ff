//! The deterministic core of Selvedge: every decision is a state machine, and none of them does IO.
//!
//! Three tiers:
//!
//! - **codecs** turn bytes into values and back: free functions, no time, no memory;
//! - **parts** have memory and maybe deadlines, but no effects: plain structs whose methods take
//!   `now`; a part with a deadline has both `expire(now)` and `next_wakeup()`;
//! - **machines** have effects: they implement [`Machine`] and are driven with [`step`], recorded
//!   and replayed.
//!
//! A machine takes an input and the time, and pushes what it wants done to a `Vec`: there is no
//! clock, no socket, no thread and no hash map in here, and nothing logs. The crate is `no_std`, so
//! none of that can even be named. Its laws stand at [`Machine`].
//!
//! Start reading at [`machine`], then [`link`] (one connection lifecycle for every protocol),
//! [`plugin`] (what keeps an agent attached) and [`guild`] (what an agent is attached to).
#![no_std]

extern crate alloc;

pub mod canon;
pub mod deadlines;
pub mod engineio;
pub mod fabric;
#[doc(hidden)]
pub mod fuzzing;
pub mod guild;
pub mod http;
pub mod id;
mod json;
pub mod link;
pub mod machine;
pub mod plugin;
pub mod record;
pub mod request;
pub mod rng;
pub mod secret;
pub mod small_map;
pub mod snapshot;
pub mod socketio;
mod text;
pub mod time;
pub mod ws;

pub use canon::{Canonical, canonical_hash};
pub use machine::{Machine, Wakeup, earliest, step};
pub use request::{RequestId, Requests};
pub use rng::Rng;
pub use secret::Secret;
pub use small_map::SmallMap;
pub use snapshot::Snapshot;
pub use time::{Time, Wall};
