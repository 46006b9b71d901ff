//! What an exhaustive search walks through: a small world, and how much happens in it.

use std::time::Duration;

use selvedge_core::{fabric::types::XType, plugin::defect::Planted};

/// Where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// The plugin is started for the first time.
    Cold,
    /// The agent is live, and nothing is under way.
    #[default]
    Live,
}

/// A world of one agent, one guild and one person, and how much happens in it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// How many channels the agent and the person are in.
    pub channels: usize,
    /// Their kind.
    pub x_type: XType,
    /// How many messages the person posts, in one channel after the other.
    pub messages: usize,
    /// Whether the host answers each turn, or only says that it is over.
    pub answers: bool,
    /// How many faults there may be, of all kinds together.
    pub faults: u32,
    /// The horizon: how many timers fire.
    pub firings: u32,
    /// Where it begins.
    pub start: Start,
    /// How long tokens live.
    pub token_life: Duration,
    /// The defect of the plugin, if any.
    pub planted: Planted,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            channels: 1,
            x_type: XType::General,
            messages: 2,
            answers: true,
            faults: 1,
            firings: 2,
            start: Start::Live,
            token_life: Duration::from_secs(15 * 60),
            planted: Planted::default(),
        }
    }
}
