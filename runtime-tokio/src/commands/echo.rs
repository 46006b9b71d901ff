//! `selvedge echo`: the plugin of a configuration, with an agent that repeats what it is told.

use std::{
    io,
    path::{Path, PathBuf},
};

use futures::future::try_join;
use tokio::{process::Command, sync::mpsc};

use super::{
    Failure,
    serving::{Wishes, say},
};
use crate::{
    clock::Clock,
    echo::{EchoAgent, EchoEvent},
    report::clipped,
};

/// How many events of the agent may wait to be printed; then the agent waits.
pub(super) const EVENTS_MAX: usize = 1_024;

/// How many characters of a name or a message are shown, on one line and without what could move
/// the cursor.
const SHOWN: usize = 200;

/// The options of `selvedge echo`.
#[derive(Debug, clap::Args)]
pub struct EchoArgs {
    /// The configuration of the plugin, which is started as a child process.
    #[arg(long, value_name = "FILE", default_value = "selvedge.toml")]
    config: PathBuf,
}

/// Runs until the plugin ends or a signal comes.
///
/// # Errors
///
/// Where the plugin does not start, ends by itself, or the terminal is gone.
pub async fn run(args: EchoArgs) -> Result<(), Failure> {
    let mut wishes = Wishes::heed().map_err(Failure::new)?;
    let plugin = plugin(&args.config).map_err(Failure::new)?;
    let (events_in, mut events) = mpsc::channel(EVENTS_MAX);
    let echo = async {
        let agent = EchoAgent::spawn(plugin, Clock::start(), events_in);
        agent.await.map_err(Failure::new)?.ended().await;
        Err(Failure::words("the plugin has ended; its log says why"))
    };
    let tell = async {
        while let Some(event) = events.recv().await {
            for line in lines(&event) {
                say(&line).map_err(Failure::new)?;
            }
        }
        Ok(())
    };
    match wishes.or(try_join(echo, tell)).await {
        Some(Err(failure)) => Err(failure),
        Some(Ok(((), ()))) | None => Ok(()),
    }
}

/// The plugin as a child process: this program once more.
pub(super) fn plugin(config: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("plugin").arg("--config").arg(config);
    Ok(command)
}

/// What a person reads of an event.
fn lines(event: &EchoEvent) -> Vec<String> {
    match event {
        EchoEvent::Inbound { inbound, .. } => {
            let channel = clipped(&inbound.channel.name, SHOWN);
            let messages = inbound.messages.iter().map(|message| {
                let author = clipped(&message.author.name, SHOWN);
                let content = clipped(&message.content, SHOWN);
                format!("#{channel}  {author}: {content}")
            });
            messages.collect()
        }
        EchoEvent::Sent { seq, .. } => vec![format!("  answered by message {seq}")],
        EchoEvent::Done { .. } => vec![],
        EchoEvent::Failed { why, .. } => vec![format!("  {}", clipped(why, SHOWN))],
    }
}
