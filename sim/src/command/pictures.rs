//! What can be made of a run for those who look at it.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    run::tell_script,
    script::Script,
    story::{Story, without_last_fault},
    view::{html, mermaid, perfetto, text},
};

use super::{say, tell};

/// The pictures that are wanted.
#[derive(Debug, Args)]
pub(crate) struct Pictures {
    /// Writes the run to this file, as a page for a browser; beside it the same run without its last
    /// fault.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints the run as lines.
    #[arg(long)]
    text: bool,
    /// Writes the run to this file, for Perfetto.
    #[arg(long, value_name = "FILE")]
    perfetto: Option<PathBuf>,
    /// Writes the run to this file, as a sequence diagram of Mermaid.
    #[arg(long, value_name = "FILE")]
    mermaid: Option<PathBuf>,
    /// How many seconds before its end are shown, besides the faults and what the message in question
    /// is about.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    last: u64,
}

impl Pictures {
    /// Whether any is wanted.
    pub(crate) const fn any(&self) -> bool {
        self.html.is_some() || self.text || self.perfetto.is_some() || self.mermaid.is_some()
    }

    /// Makes them of a run of this script.
    pub(crate) fn make(&self, script: &Script, planted: Planted) -> Result<(), String> {
        if !self.any() {
            return Ok(());
        }
        let mut story = tell_script(script.clone(), planted)?;
        story.keep_last(Duration::from_secs(self.last));
        if self.text {
            say(text::lines(&story).trim_end());
        }
        if let Some(file) = &self.mermaid {
            write(file, &mermaid::diagram(&story))?;
        }
        if let Some(file) = &self.perfetto {
            let trace = perfetto::trace(&story).map_err(|error| error.to_string())?;
            write(file, &trace)?;
        }
        if let Some(file) = &self.html {
            let beside = match story.failures.is_empty() {
                true => None,
                false => without_last_fault(script, story.end),
            };
            let beside = beside.map(|(script, fault)| self.beside(script, &fault, planted, &story));
            let beside = beside.transpose()?;
            let beside = beside.as_ref().map(|(name, story)| (name.as_str(), story));
            let name = match story.failures.is_empty() {
                true => "The run",
                false => "The failing run",
            };
            let page = html::page((name, &story), beside).map_err(|error| error.to_string())?;
            write(file, &page)?;
        }
        Ok(())
    }

    /// The run without its last fault, and what it is called.
    fn beside(
        &self,
        script: Script,
        fault: &str,
        planted: Planted,
        failing: &Story,
    ) -> Result<(String, Story), String> {
        let mut story = tell_script(script, planted)?;
        story.keep_beside(failing, Duration::from_secs(self.last));
        let outcome = match story.failures.is_empty() {
            true => "no rule is broken",
            false => "a rule is broken all the same",
        };
        let name = format!("The same run without its last fault ({fault}): {outcome}");
        Ok((name, story))
    }
}

fn write(file: &PathBuf, text: &str) -> Result<(), String> {
    let place = file.display();
    fs::write(file, text).map_err(|error| format!("{place}: {error}"))?;
    tell(&format!("written: {place}"));
    Ok(())
}
