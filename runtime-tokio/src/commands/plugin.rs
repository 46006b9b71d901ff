//! `selvedge plugin`: the agents of a configuration, served to their host.

use std::{collections::BTreeSet, io, net::SocketAddr, path::PathBuf};

use selvedge_core::plugin::agent::Agent;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, configured, doctor, record::RecordArgs};
use crate::{
    config::Config,
    descriptors,
    host::{self, log::LogFeed},
    plugin::Plugin,
    report::chain,
    status::{self, StatusServer},
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
    #[command(flatten)]
    record: RecordArgs,
}

/// Runs until standard input ends or a signal comes. SIGHUP makes it read its configuration again.
///
/// # Errors
///
/// Where the configuration is wrong, something cannot be set up, or the host breaks off.
pub async fn run(args: Args, log: LogFeed) -> Result<(), Failure> {
    // Before anything else: a hangup that nobody heeds ends the process.
    let hangup = signal(SignalKind::hangup()).map_err(Failure::new)?;
    let mut config = configured(&args.config).map_err(Failure::new)?;
    if args.check {
        return doctor::examine(&config, &mut io::stdout()).await;
    }
    config.record = args.record.over(config.record);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    say_what_is_short(&config);
    let ids = config
        .agents
        .iter()
        .map(|agent| agent.config.agent_id.clone());
    let (link, host) = host::channel(ids, config.profile, log);
    let mut plugin = Plugin::start(&config, link, Agent::new)
        .await
        .map_err(Failure::new)?;
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
        () = tend(&mut plugin, &args, config.status, hangup) => Ok(()),
        result = host.serve(read, write) => result.map_err(Failure::new),
    };
    plugin.shutdown().await;
    result
}

/// Warns where the process may have too few descriptors, as far as that is known before any login.
fn say_what_is_short(config: &Config) {
    let guilds = config.agents.iter().map(|agent| &agent.config.guilds);
    let links = guilds.map(|guilds| guilds.as_ref().map_or(1, BTreeSet::len));
    if let Some(shortage) = descriptors::shortage(config.agents.len(), links.sum()) {
        tracing::warn!("{shortage}");
    }
}

/// Tells how the plugin does, and goes over to another configuration at each SIGHUP.
async fn tend(plugin: &mut Plugin, args: &Args, listen: Option<SocketAddr>, mut hangup: Signal) {
    let desk = plugin.desk().clone();
    let open = |addr| status::serve(addr, desk.clone());
    let mut server = listen.map(open);
    loop {
        if hangup.recv().await.is_none() {
            // No signal comes any more, which changes nothing for the rest.
            std::future::pending::<()>().await;
        }
        let Some(config) = reload(plugin, args).await else {
            continue;
        };
        if config.status != server.as_ref().map(StatusServer::addr) {
            // The old one first: both may want the same port.
            drop(server.take());
            server = config.status.map(open);
        }
    }
}

/// Reads the configuration again; one with a fault is refused, and nothing changes.
async fn reload(plugin: &mut Plugin, args: &Args) -> Option<Config> {
    const REFUSED: &str = "the new configuration is not taken, and nothing has changed; mend it, and \
                           send SIGHUP again";
    let mut config = match configured(&args.config) {
        Ok(config) => config,
        Err(error) => {
            for problem in &error.problems {
                tracing::error!("{problem}");
            }
            tracing::error!("{REFUSED}");
            return None;
        }
    };
    config.record = args.record.over(config.record);
    match plugin.reload(&config).await {
        Ok(changes) => {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
            tracing::info!("the configuration was read again: {changes}");
            Some(config)
        }
        Err(error) => {
            tracing::error!("{}", chain(&error));
            tracing::error!("{REFUSED}");
            None
        }
    }
}
