//! `selvedge-sim replay`: recordings of production.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use selvedge_sim::replay;

use super::say;

/// Replays recordings.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The recordings: each file NAME.000017.jsonl is replayed by itself, from the state that it begins
    /// with. Of a folder, all of its files, in order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Replay {
    pub(crate) fn carry_out(&self) -> Result<bool, String> {
        let mut files = Vec::new();
        for file in &self.files {
            files.extend(segments(file)?);
        }
        // All of them, also after one that differs.
        let bad = files.iter().filter(|file| !said(file));
        Ok(bad.count() == 0)
    }
}

/// The recordings of a folder, or a file itself.
fn segments(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let entries = fs::read_dir(path).map_err(failed)?;
    let files: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut files = files.map_err(failed)?;
    files.retain(|file| file.extension().is_some_and(|it| it == "jsonl"));
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: there is no recording in it", path.display()));
    }
    Ok(files)
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
        "{}: {} of version {}, segment {}, {} steps with {} outputs in {:.1} s{}",
        file.display(),
        went.machine,
        went.version,
        went.segment,
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
