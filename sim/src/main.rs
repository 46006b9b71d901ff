//! `selvedge-sim`: runs traces in virtual time.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
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
}

fn main() -> ExitCode {
    let Command::Trace { file, log } = Cli::parse().command;
    match trace(&file, log) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            say(&format!("selvedge-sim: {}: {why}", file.display()));
            ExitCode::FAILURE
        }
    }
}

fn trace(file: &PathBuf, log: usize) -> Result<bool, String> {
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
