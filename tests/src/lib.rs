//! Helpers of the tests from outside: the laws of every machine and the machines under them, real
//! processes on loopback, TLS and a proxy before them, the official Socket.IO peers from npm, hosts of
//! the plugin from npm and PyPI, and what the conformance suites of Engine.IO, Socket.IO and MCP are
//! played with.
//!
//! A law is held over random histories of a machine:
//!
//! ```
//! use selvedge_tests::{histories::hold, laws, subjects::login_gate::Gate};
//!
//! hold(laws::progress::<Gate>).unwrap();
//! ```

pub mod application;
pub mod binary;
pub mod browser;
pub mod caller;
pub mod catalogue;
pub mod codecs;
pub mod conformance;
pub mod cost;
pub mod fabric;
pub mod fan_out;
pub mod faults;
pub mod histories;
pub mod history;
pub mod host;
pub mod laws;
pub mod many;
pub mod nest;
pub mod npm;
pub mod over_http;
pub mod port;
pub mod proxy;
pub mod python;
pub mod receive;
pub mod relay;
pub mod reports;
pub mod soak;
pub mod socket;
pub mod storm;
pub mod subjects;
pub mod tls;
pub mod turns;

/// How long a test waits for any one thing. It bounds a test that fails, and is no measure of how
/// long anything takes: beside a build, a process alone may take many seconds to start.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
