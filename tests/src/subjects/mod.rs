//! The machines under the laws: how each is made, and what can happen to it.

pub mod agent;
pub mod engine;
pub mod guild;
pub mod hub;
pub mod link;
pub mod login_gate;
pub mod peer;
pub mod polling_client;
pub mod socket_client;
pub mod socket_manager;
pub mod socket_server;
