//! `selvedge-soak`: the long runs, by hand.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use selvedge::clock::Clock;
use selvedge_tests::{
    fabric::Fault,
    many, soak,
    storm::{self, Kind, Plan},
};

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
    /// Serves many agents in one plugin, and kills all guilds at once, over and over.
    Many {
        /// How many agents.
        #[arg(long, default_value_t = 500)]
        agents: usize,
        /// In how many guilds each.
        #[arg(long, default_value_t = 4)]
        guilds: usize,
        /// How often the guilds are killed.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// For how many seconds they stay away.
        #[arg(long, default_value_t = 2)]
        away: u64,
        /// How many seconds tokens live.
        #[arg(long, default_value_t = 900)]
        token_life: u64,
        /// How many milliseconds longer a login takes than Center takes for it.
        #[arg(long, default_value_t = 0)]
        login_latency: u64,
        /// For how many seconds nothing is done before the first kill.
        #[arg(long, default_value_t = 0)]
        idle: u64,
    },
    /// Posts in many channels while the network does its worst, and plugin and guild are killed.
    Storm(Storm),
}

#[derive(Debug, Args)]
struct Storm {
    /// How many messages.
    #[arg(long, default_value_t = 1_000)]
    messages: usize,
    /// In how many channels.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    channels: u32,
    /// For how long.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// How often the plugin is killed with SIGKILL and started again.
    #[arg(long, default_value_t = 5)]
    plugin_kills: usize,
    /// How often the guild is, with its Center.
    #[arg(long, default_value_t = 3)]
    guild_kills: usize,
    /// What everything is drawn from. Default: the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// The guild: own, or nest for the older one on NestJS.
    #[arg(long, default_value = "own")]
    guild: Kind,
    /// Write down what plugin and guild get to see, a folder for each of their lives.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
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
        Run::Storm(storm) => weather(storm).await,
        Run::Many {
            agents,
            guilds,
            rounds,
            away,
            token_life,
            login_latency,
            idle,
        } => {
            let plan = many::Plan {
                agents,
                guilds,
                rounds,
                away: Duration::from_secs(away),
                token_life: Duration::from_secs(token_life),
                login_latency: Duration::from_millis(login_latency),
                idle: Duration::from_secs(idle),
            };
            many::run(plan, say).await
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

/// Runs a storm, and tells what has come of it; its folder is kept where that is not right.
async fn weather(storm: Storm) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let plan = Plan {
        guild: storm.guild,
        messages: storm.messages,
        channels: usize::try_from(storm.channels)?,
        length: Duration::from_secs(storm.seconds),
        plugin_kills: storm.plugin_kills,
        guild_kills: storm.guild_kills,
        seed: storm
            .seed
            .unwrap_or_else(|| Clock::wall().as_millis().unsigned_abs()),
        folder: folder.path().to_owned(),
        record: storm.record,
    };
    let ran = storm::storm(&plan, say).await;
    let outcome = match ran {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return Err("there is no Node for this guild".into()),
        Err(fault) => {
            let kept = folder.keep();
            return Err(format!("{fault}; the logs are in {}", kept.display()).into());
        }
    };
    say(&outcome.verdict.to_string());
    say(&format!("the network: {}", outcome.tally));
    for violation in &outcome.verdict.violations {
        say(&format!("violation: {violation}"));
    }
    if outcome.verdict.violations.is_empty() {
        return Ok(());
    }
    let kept = folder.keep();
    Err(format!("seed {}; the logs are in {}", plan.seed, kept.display()).into())
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}
