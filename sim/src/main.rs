//! `selvedge-sim`: runs traces and seeds in virtual time, and replays recordings.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{
    defects::Defects, explore::Explore, replay::Replay, run::Run, say, shrink::Shrink, trace::Trace,
};

/// Runs the machines of Selvedge against each other in virtual time.
#[derive(Debug, Parser)]
#[command(name = "selvedge-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a scripted trace: it must pass as it is and fail with its planted defect.
    Trace(Trace),
    /// Runs random seeds, and stops at the first in which a rule is broken.
    Run(Run),
    /// Makes a failing seed or trace small: drops whatever the broken rule does not need.
    Shrink(Shrink),
    /// Takes every step of a recording (`--record`) again: the outputs must be the same. Replays the
    /// recordings of its own version.
    Replay(Replay),
    /// Plants each known defect, and says how many seeds it takes to find it.
    Defects(Defects),
    /// Walks every order of events and every placement of faults in a small world.
    Explore(Explore),
}

fn main() -> ExitCode {
    let passed = match Cli::parse().command {
        Command::Trace(trace) => trace.carry_out(),
        Command::Run(run) => run.carry_out(),
        Command::Shrink(shrink) => shrink.carry_out(),
        Command::Replay(replay) => replay.carry_out(),
        Command::Defects(defects) => defects.carry_out(),
        Command::Explore(explore) => explore.carry_out(),
    };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            say(&format!("selvedge-sim: {why}"));
            ExitCode::FAILURE
        }
    }
}
