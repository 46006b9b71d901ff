//! `selvedge plugin`: the agents of a configuration, served to their host.

use std::{io, path::PathBuf};

use selvedge_core::plugin::agent::Agent;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, configured, doctor};
use crate::{
    host::{self, log::LogFeed},
    plugin::Plugin,
    status,
};

/// The arguments of `selvedge plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, TOML. Environment variables such as SELVEDGE_CENTER__URL override it.
    #[arg(long, value_name = "FILE", default_value = "selvedge.toml")]
    config: PathBuf,
    /// Only try everything out and say what works, as `selvedge doctor` does.
    #[arg(long)]
    check: bool,
    /// Write down what every agent gets to see, without its secrets, one file for each.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

/// Runs until standard input ends or a signal comes.
///
/// # Errors
///
/// Where the configuration is wrong, something cannot be set up, or the host breaks off.
pub async fn run(args: Args, log: LogFeed) -> Result<(), Failure> {
    let mut config = configured(&args.config).map_err(Failure::new)?;
    if args.check {
        return doctor::examine(&config, &mut io::stdout()).await;
    }
    config.record = args.record.or(config.record);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let ids = config
        .agents
        .iter()
        .map(|agent| agent.config.agent_id.clone());
    let (link, host) = host::channel(ids, config.profile, log);
    if let Some(agent) = config.agents.iter().find(|agent| agent.sync_commands) {
        link.sync_commands(&agent.config.agent_id);
    }
    let plugin = Plugin::start(&config, link, Agent::new).map_err(Failure::new)?;
    let _status = config
        .status
        .map(|addr| status::serve(addr, plugin.desk().clone()));
    tracing::info!(
        agents = config.agents.len(),
        center = config.center_url,
        "serving on standard input and output"
    );
    let (read, write) = host::stdio();
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    let result = tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        result = host.serve(read, write) => result.map_err(Failure::new),
    };
    plugin.shutdown().await;
    result
}
