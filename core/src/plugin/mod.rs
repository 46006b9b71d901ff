//! The channel plugin: what decides between a post in a chat and an agent's answer.
//!
//! A push or a page of history passes `sequence → self → dedup → gate → queue`, each a part of its
//! own, and leaves as an [`inbound::Inbound`] for the agent's host; the host answers through
//! [`tools`]. The agent machine holds the parts of one account and one link for each guild.

pub mod config;
pub mod inbound;
pub mod io;
pub mod login_gate;
pub mod note;
pub mod tools;
