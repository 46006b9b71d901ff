//! `selvedge-sim replay`: recordings of production.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use selvedge_sim::replay;

use super::say;

/// Replays recordings.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The recordings.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Replay {
    pub(crate) fn carry_out(&self) -> Result<bool, String> {
        // All of them, also after one that differs.
        let bad = self.files.iter().filter(|file| !said(file));
        Ok(bad.count() == 0)
    }
}

/// Whether it went well; where it could not be done, why is said.
fn said(file: &Path) -> bool {
    replayed(file).unwrap_or_else(|why| {
        say(&format!("selvedge-sim: {}: {why}", file.display()));
        false
    })
}

fn replayed(file: &Path) -> Result<bool, String> {
    let text = File::open(file).map_err(|error| error.to_string())?;
    let went = replay::replay(BufReader::new(text)).map_err(|error| error.to_string())?;
    let span = went
        .span
        .map_or(Duration::ZERO, |(from, to)| to.since(from));
    say(&format!(
        "{}: {} of version {}, {} steps with {} outputs in {:.1} s{}",
        file.display(),
        went.machine,
        went.version,
        went.steps,
        went.outputs,
        span.as_secs_f64(),
        if went.cut_off { ", cut off" } else { "" },
    ));
    match &went.difference {
        None => say("ok: the outputs are the same"),
        Some(difference) => say(&format!("FAILED: the outputs differ\n{difference}")),
    }
    Ok(went.difference.is_none())
}
