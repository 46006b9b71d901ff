//! Socket.IO for everybody: servers that know nothing of Fabric.
//!
//! [`server::Server`] is a Socket.IO v5 server to be put into any `axum` or `tower` application.

pub mod server;

pub use self::server::Server;
