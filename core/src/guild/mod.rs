//! The guild node: the rules of a guild as pure functions, and the machine that keeps them.
//!
//! A request or an event becomes an action; a rule `(&State, Action) -> Result<Vec<Fact>, Refusal>`
//! decides; the facts are applied to the state and handed to the store; what follows from them
//! (the answer, the pushes) leaves only when the store has said that it committed.
//!
//! In `discuss` and `work` channels users take [turns](turn): every fact about such a channel drives
//! its turns, and a speaker who gets the turn without a new message is woken with an older one.

pub mod amend;
mod answer;
pub mod auth;
pub mod bodies;
mod calls;
mod changes;
pub mod channel;
pub mod config;
mod effect;
pub mod fact;
pub mod file;
mod files;
pub mod io;
mod journal;
pub mod mention;
mod names;
mod node;
mod outcome;
mod posts;
mod presence;
mod realtime;
pub mod refusal;
pub mod rest;
mod rewakes;
mod serve;
mod sockets;
pub mod state;
pub mod turn;
mod turns;
pub mod wake;

#[cfg(test)]
mod tests;

pub use config::{Config, Limits};
pub use node::Guild;
