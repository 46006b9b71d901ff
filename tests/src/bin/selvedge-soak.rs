//! `selvedge-soak`: the long runs, by hand.

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use selvedge_tests::soak;

/// Runs real processes on loopback for a long time.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Run {
    /// Posts every ten seconds, past the life of the default tokens.
    Steady {
        /// For how long.
        #[arg(long, default_value_t = 20)]
        minutes: u64,
    },
    /// Kills the guild with SIGKILL and starts it again two seconds later, over and over.
    Kills {
        /// How often.
        #[arg(long, default_value_t = 10)]
        times: u32,
        /// How far apart.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().run {
        Run::Steady { minutes } => {
            soak::steady(
                Duration::from_secs(minutes * 60),
                Duration::from_secs(10),
                say,
            )
            .await
        }
        Run::Kills { times, seconds } => {
            soak::kills(times, Duration::from_secs(seconds), say).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(&format!("failed: {fault}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}
