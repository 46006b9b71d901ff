//! One server as an application wants it: a connection that is kept up, and the namespaces on it.

mod config;
mod io;

pub use self::{
    config::{Config, Transports},
    io::{Auth, Input, Output},
};
