//! Exhaustive search: every order of events and every placement of faults in a small world.
//!
//! The world is one agent, one guild and one person. Its machines are those that production runs; what
//! lies between them is modelled as simply as can be, so that a state can be copied, hashed and gone on
//! from in every direction: a connection is two queues of whole frames, a request or an answer is under
//! way until it arrives, a disk commits in order. Random worlds have the richer models.
//!
//! A step is one event that crosses a network, a disk or the host's mind: the head of a connection's
//! queue, a request, an answer, a commit, a login, a dial, a step of the host, a post of the person, or
//! one fault of those that are left. What happens within a process follows at once.
//!
//! **Time** stands still but for timers. The earliest one fires when nothing is under way, for
//! whatever is under way is faster than any timer; that it fires nevertheless is a fault like others.
//! How many firings there may be is the horizon. Generators are steady, so jitter is no matter.
//!
//! **States** are recognised by the canonical hash of all machines, of what is under way and of what
//! the oracle remembers. Each new one is **settled** on the side: nothing more goes wrong or is said,
//! everything arrives, timers fire, and in the end the agent must be live and nothing owed. The ways
//! there meet soon, so that this costs little more than the search.

mod agent;
mod center;
mod choice;
mod guild;
mod host;
mod piece;
mod scene;
mod search;
mod settle;
mod tell;
mod wire;
mod world;

pub use scene::{Scene, Start};
pub use search::{Found, Progress, Terms, Violation, explore};
pub use tell::{Walked, walk};
