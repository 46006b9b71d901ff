//! The channel plugin: what decides between a post in a chat and an agent's answer.
//!
//! A push or a page of history passes `sequence → self → dedup → gate → queue`, each a part of its
//! own, and leaves as an [`inbound::Inbound`] for the agent's host; the host answers through
//! [`tools`]. The agent machine holds the parts of one account and one link for each guild.

pub mod account;
pub mod activity;
pub mod agent;
#[cfg(test)]
mod agent_tests;
pub mod ahead;
pub mod anchor;
pub mod backfill;
pub mod catch_up;
pub mod channel;
pub mod chronicle;
pub mod claim;
pub mod claude;
pub mod commands;
pub mod config;
pub mod context;
pub mod dedup;
pub mod defect;
pub mod gate;
mod guild_link;
pub mod hearing;
pub mod inbound;
pub mod io;
pub mod jobs;
pub mod joins;
pub mod journal;
pub mod kept;
pub mod login_gate;
pub mod membership;
pub mod note;
pub mod opening;
pub mod others;
pub mod outbox;
pub mod post;
pub mod progress;
pub mod queue;
pub mod receipts;
pub mod records;
pub mod refetch;
pub mod replay;
pub mod retry;
#[cfg(test)]
mod samples;
pub mod sequence;
mod shared;
pub mod skips;
pub mod split;
pub mod status;
pub mod token;
pub mod tools;
pub mod transfer;
pub mod tries;
pub mod turns;
pub mod wakes;
