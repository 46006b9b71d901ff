//! `selvedge store`: backups of the plugin's store, and their way back.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{Failure, environment, serving::say};
use crate::{
    config::store_of,
    plugin::{StartError, lock},
    store::{
        folder_of,
        plugin::{GoesOn, back_up, restore},
    },
};

/// What `restore --help` says at length.
const RESTORING: &str = "\
What a restored store means:
  The store says up to where everything in each channel is finished. A backup is older than the
  channels: what was posted since it was made counts as missed. The agents catch up on it in one turn
  a channel, marked `recovered`, with the newest messages (200, `backfill_max`); older ones are counted
  in `skipped`.
  What an agent has answered since then is not handed over again, where its own posts in the channel
  show that: a post that was made in a turn shows that this turn, and every one before it there, was
  handed over. Messages after the last such post are handed over once more, also those that the agent
  had chosen not to answer. A guild that does not keep nonces shows none of this: there an agent may
  answer again.
  A turn that was open when the backup was made is offered again as the same turn; its posts do not
  appear twice, for as long as the guild remembers nonces (24 hours).
  With --from-now nothing is caught up on: each channel begins at its newest message, and what was
  posted before, answered or not, is left to the people there.";

/// The options of `selvedge store`.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    command: StoreCommand,
}

/// What `selvedge store` does.
#[derive(Clone, Debug, Subcommand)]
enum StoreCommand {
    /// Copy the store to a new file, also while the plugin runs, and read the copy again.
    Backup {
        /// The configuration of the plugin.
        #[arg(long, value_name = "FILE", default_value = "selvedge.toml")]
        config: PathBuf,
        /// The file to make; one that is there is never written over.
        #[arg(value_name = "OUT")]
        to: PathBuf,
    },
    /// Put a backup in the place of the store, while no plugin runs. The former store stays beside it,
    /// with `.before-restore` after its name.
    #[command(after_help = RESTORING)]
    Restore {
        /// The configuration of the plugin.
        #[arg(long, value_name = "FILE", default_value = "selvedge.toml")]
        config: PathBuf,
        /// Go on with what is posted from now on, and leave out what was posted since the backup.
        #[arg(long)]
        from_now: bool,
        /// The backup.
        #[arg(value_name = "IN")]
        from: PathBuf,
    },
}

/// Runs `selvedge store`.
///
/// # Errors
///
/// Where a file cannot be used, or a plugin uses the store that is to be replaced.
pub async fn run(args: StoreArgs) -> Result<(), Failure> {
    match args.command {
        StoreCommand::Backup { config, to } => {
            let store = place(&config)?;
            if !store.exists() {
                return Err(Failure::words(format!(
                    "{}: there is no store yet; the plugin makes it at its first start",
                    store.display()
                )));
            }
            back_up(&store, &to).await.map_err(Failure::new)?;
            let (store, to) = (store.display(), to.display());
            say(&format!("{to} is a copy of {store}, and whole")).map_err(Failure::new)
        }
        StoreCommand::Restore {
            config,
            from_now,
            from,
        } => {
            let store = place(&config)?;
            let goes_on = match from_now {
                true => GoesOn::FromNow,
                false => GoesOn::WhereItWas,
            };
            let _owned = own(&store)?;
            let former = restore(&from, &store, goes_on)
                .await
                .map_err(Failure::new)?;
            let shown = store.display();
            let former = former.map_or_else(String::new, |former| {
                format!("; the former one is {}", former.display())
            });
            let from = from.display();
            say(&format!("{shown} is now as {from} was{former}")).map_err(Failure::new)
        }
    }
}

/// Where the store of a configuration is.
fn place(config: &Path) -> Result<PathBuf, Failure> {
    let store = store_of(config, environment()).map_err(Failure::new)?;
    store.ok_or_else(|| Failure::new(StartError::NoPlace))
}

/// Keeps every plugin away from the store for as long as the file lives.
fn own(store: &Path) -> Result<fs::File, Failure> {
    let folder = folder_of(store);
    let unusable = |error: io::Error| {
        Failure::words(format!(
            "{}: cannot be written: {error}; run this as the user that the plugin runs as",
            folder.display()
        ))
    };
    let owned = match lock::own_store(store) {
        Ok(owned) => Some(owned),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => return Err(unusable(error)),
    };
    let name = store.file_name().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let entry = entry.map_err(unusable)?;
        let beside = entry.file_name().to_string_lossy().into_owned();
        let middle = beside
            .strip_prefix(&format!("{name}."))
            .and_then(|rest| rest.strip_suffix(".lock"));
        if middle.is_some()
            && let Some(holder) = lock::held_by(&entry.path()).map_err(unusable)?
        {
            return Err(Failure::words(format!(
                "{}: process {holder} of this machine uses it, which is a plugin; end its host first",
                store.display()
            )));
        }
    }
    owned.ok_or_else(|| {
        Failure::words(format!(
            "{}: is in use; end the host of the plugin that uses it first",
            store.display()
        ))
    })
}
