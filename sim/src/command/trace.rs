//! `selvedge-sim trace`: a scripted trace, sound and with its planted defect.

use std::path::PathBuf;

use clap::Args;
use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    script::Script,
    world::{Report, World},
};

use super::{pictures::Pictures, say};

/// Runs a scripted trace.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The trace, a file of JSON lines.
    file: PathBuf,
    /// Prints the last so many lines of what happened, also where the trace passes.
    #[arg(long, default_value_t = 0)]
    log: usize,
    /// Of the run with the planted defect; of the sound one, where there is none or that fails.
    #[command(flatten)]
    pictures: Pictures,
}

impl Trace {
    pub(crate) fn carry_out(&self) -> Result<bool, String> {
        let place = self.file.display();
        self.run().map_err(|why| format!("{place}: {why}"))
    }

    fn run(&self) -> Result<bool, String> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| error.to_string())?;
        let script = Script::parse(&text).map_err(|error| error.to_string())?;
        let defect = script.defect().map_err(|error| error.to_string())?;
        let sound = World::new(script.clone(), Planted::default())?.run();
        say(&format!("trace   {}", script.head.trace));
        tell("sound", &sound);
        let mut passed = sound.failures.is_empty();
        if let Some(defect) = defect {
            let defective = World::new(script.clone(), Planted::new(defect))?.run();
            tell(&format!("with {}", defect.name()), &defective);
            passed &= !defective.failures.is_empty();
        }
        let skip = sound.log.len().saturating_sub(self.log);
        for line in sound.log.iter().skip(skip) {
            say(line);
        }
        let shown = defect.filter(|_| sound.failures.is_empty());
        self.pictures
            .make(&script, shown.map_or_else(Planted::default, Planted::new))?;
        say(match (passed, defect) {
            (true, Some(_)) => "ok: passes as it is, fails with the defect",
            (true, None) => "ok",
            (false, _) => "FAILED",
        });
        Ok(passed)
    }
}

fn tell(which: &str, report: &Report) {
    say(&format!(
        "{which}: {} steps, {:.0} s of virtual time, hash {:016x}",
        report.steps,
        report.virtual_time.as_secs_f64(),
        report.hash
    ));
    for failure in &report.failures {
        say(&format!("  {failure}"));
    }
}
