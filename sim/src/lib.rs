//! The simulator: the machines of [`selvedge_core`] against each other in virtual time.
//!
//! Agents and guild node are the types that production runs, and they talk through real Engine.IO
//! and Socket.IO frames. What lies between them is a model: [`net`] (WebSockets and requests),
//! [`center`] (logins and tokens), [`store`] and [`disk`] (the guild's disk and the plugin's),
//! [`host`] (the agent's host) and the people of the script. [`world`] holds the heap of timed events; [`script`] reads a trace;
//! [`replay`] takes every step of a recording of production again.
//!
//! A seed, a trace and a version of the code give the same run, bit for bit: each run ends with a
//! hash over every input and every output.

pub mod center;
pub mod disk;
pub mod host;
pub mod net;
pub mod replay;
pub mod script;
pub mod store;
pub mod world;
