//! The whole guild node, driven through its inputs and outputs.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one kind of output and means every other one by the rest"
)]

mod changing;
mod failure;
mod files;
mod history;
mod permissions;
mod posting;
mod presence;
mod realtime;
mod rest;
mod rewakes;
mod turns;
mod world;
