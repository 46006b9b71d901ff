//! `selvedge-sim`: runs traces in virtual time, and replays recordings.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    replay,
    script::Script,
    world::{Report, World},
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
    Trace {
        /// The trace, a file of JSON lines.
        file: PathBuf,
        /// Prints the last so many lines of what happened, also where the trace passes.
        #[arg(long, default_value_t = 0)]
        log: usize,
    },
    /// Takes every step of a recording (`--record`) again: the outputs must be the same. Replays the
    /// recordings of its own version.
    Replay {
        /// The recordings.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    let good = match Cli::parse().command {
        Command::Trace { file, log } => said(&file, trace(&file, log)),
        Command::Replay { files } => {
            // All of them, also after one that differs.
            let bad = files.iter().filter(|file| !said(file, replay(file)));
            bad.count() == 0
        }
    };
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Whether it went well; where it could not be done, why is said.
fn said(file: &Path, result: Result<bool, String>) -> bool {
    result.unwrap_or_else(|why| {
        say(&format!("selvedge-sim: {}: {why}", file.display()));
        false
    })
}

fn replay(file: &Path) -> Result<bool, String> {
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

fn trace(file: &Path, log: usize) -> Result<bool, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let script = Script::parse(&text).map_err(|error| error.to_string())?;
    let defect = script.defect().map_err(|error| error.to_string())?;
    let sound = World::new(script.clone(), Planted::default())?.run();
    let defective = World::new(script.clone(), Planted::new(defect))?.run();
    say(&format!("trace   {}", script.head.trace));
    tell("sound", &sound);
    tell(&format!("with {}", defect.name()), &defective);
    let skip = sound.log.len().saturating_sub(log);
    for line in sound.log.iter().skip(skip) {
        say(line);
    }
    let passed = sound.failures.is_empty() && !defective.failures.is_empty();
    say(if passed {
        "ok: passes as it is, fails with the defect"
    } else {
        "FAILED"
    });
    Ok(passed)
}

fn tell(which: &str, report: &Report) {
    say(&format!(
        "{which}: {} steps, {:.0} s of virtual time, hash {:016x}",
        report.steps,
        report.virtual_time.as_secs_f64(),
        report.hash
    ));
    for failure in &report.failures {
        say(&format!("  violated {failure}"));
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}
