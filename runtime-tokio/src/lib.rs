//! The tokio runtime of Selvedge: it owns sockets, HTTP, files, SQLite, stdio and the clock, and
//! decides nothing.
//!
//! Every machine of [`selvedge_core`] is driven by the one loop in [`driver`]; what the machine
//! asks for is carried out by a [`driver::World`], and what happens comes back as an input.

pub mod clock;
pub mod commands;
pub mod config;
pub mod descriptors;
pub mod dial;
pub mod driver;
pub mod echo;
pub mod engineio;
pub mod files;
pub mod host;
pub mod http;
pub mod jwt;
mod mailbox;
mod notice;
pub mod plugin;
pub mod proxy;
pub mod recorder;
pub mod report;
pub mod serve;
pub mod socketio;
pub mod status;
pub mod store;
pub mod tls;
pub mod ws;
