//! The simulator: the machines of [`selvedge_core`] against each other in virtual time.
//!
//! Agents and guild nodes are the types that production runs, and they talk through real Engine.IO
//! and Socket.IO frames. What lies between them is a model: [`net`] and [`path`] (WebSockets, requests
//! and what goes wrong with them), [`center`] (logins and tokens), [`store`] and [`disk`] (the guilds'
//! disks and the plugin's), [`host`] (an agent's host) and the people of the script. [`world`] runs
//! them along a [`timeline`]; [`script`] is the list of all decisions of a run, read from a trace or
//! drawn from a seed by [`swarm`]; [`oracle`] sees what the guilds stored and the hosts got, and says which
//! rule is broken; [`shrink`] makes a script small. [`replay`] takes every step of a recording of
//! production again. [`story`] is what happened in a run, for [`view`] to show.
//!
//! A script and a version of the code give the same run, bit for bit: each run ends with a hash over
//! every input and every output.

pub mod center;
pub mod chronicle;
pub mod disk;
pub mod explore;
pub mod fault;
pub mod host;
pub mod net;
pub mod oracle;
pub mod path;
pub mod replay;
pub mod run;
pub mod script;
pub mod shrink;
pub mod store;
pub mod story;
pub mod swarm;
pub mod talk;
pub mod timeline;
pub mod view;
pub mod world;
