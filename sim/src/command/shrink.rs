//! `selvedge-sim shrink`: makes a failing seed or trace small.

use std::path::PathBuf;

use clap::Args;
use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    run::{hushed, run_script},
    script::{self, Script},
    shrink::shrink,
    swarm,
};

use super::{Drawn, pictures::Pictures, say};

/// Drops whatever is not needed for the rule that a script breaks.
#[derive(Debug, Args)]
pub(crate) struct Shrink {
    /// A seed, or a file with a trace.
    what: String,
    #[command(flatten)]
    drawn: Drawn,
    /// Switches a fix of the plugin off; where it is not given, the one that the trace names.
    #[arg(long)]
    defect: Option<String>,
    /// Writes what is left to this file, which `trace` runs; printed where it is not given.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Of what is left.
    #[command(flatten)]
    pictures: Pictures,
}

impl Shrink {
    pub(crate) fn carry_out(&self) -> Result<bool, String> {
        hushed(|| self.run())
    }

    fn run(&self) -> Result<bool, String> {
        let script = self.script()?;
        let defect = match &self.defect {
            Some(name) => Some(script::named(name).map_err(|error| error.to_string())?),
            None => script.defect().map_err(|error| error.to_string())?,
        };
        let planted = defect.map_or_else(Planted::default, Planted::new);
        let before = script.lines.len();
        if run_script(script.clone(), planted, 0)?.breach.is_none() {
            return Err(format!("{} breaks no rule of the oracle", self.what));
        }
        let mut small = shrink(script, planted)?;
        small.head.defect = defect.map(|it| it.name().to_owned()).unwrap_or_default();
        let report = run_script(small.clone(), planted, 0)?;
        let text = small.write().map_err(|error| error.to_string())?;
        match &self.write {
            Some(file) => std::fs::write(file, text).map_err(|error| error.to_string())?,
            None => say(text.trim_end()),
        }
        say(&format!("{before} lines before, {} now", small.lines.len()));
        self.pictures.make(&small, planted)?;
        for failure in &report.failures {
            say(failure);
        }
        Ok(true)
    }

    fn script(&self) -> Result<Script, String> {
        if let Ok(seed) = self.what.parse() {
            return Ok(swarm::script(seed, &self.drawn.options()?));
        }
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", self.what);
        let text = std::fs::read_to_string(&self.what).map_err(|error| told(&error))?;
        Script::parse(&text).map_err(|error| told(&error))
    }
}
