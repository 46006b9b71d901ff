//! `selvedge-sim defects`: how many seeds it takes until each planted defect is found.

use clap::Args;
use selvedge_core::plugin::defect::{Defect, Planted};
use selvedge_sim::{
    run::{hushed, run_seed},
    script,
};

use super::{Drawn, Stopwatch, say};

/// Plants each known defect, and says how many seeds it takes to find it.
#[derive(Debug, Args)]
pub(crate) struct Defects {
    /// After how many seeds a defect counts as not found.
    #[arg(long, default_value_t = 10_000)]
    within: u64,
    /// Only this one.
    #[arg(long)]
    defect: Option<String>,
    #[command(flatten)]
    drawn: Drawn,
}

impl Defects {
    pub(crate) fn carry_out(&self) -> Result<bool, String> {
        hushed(|| self.run())
    }

    fn run(&self) -> Result<bool, String> {
        let which = match &self.defect {
            Some(name) => vec![script::named(name).map_err(|error| error.to_string())?],
            None => Defect::ALL.to_vec(),
        };
        let watch = Stopwatch::start();
        say("| defect | seeds | seconds | broken rule |");
        say("| --- | --- | --- | --- |");
        let mut all = true;
        for defect in which {
            let began = watch.elapsed();
            let found = self.find(defect)?;
            let seconds = (watch.elapsed() - began).as_secs_f64();
            all &= found.is_some();
            let (seeds, rule) = match &found {
                Some((seeds, rule)) => (seeds.to_string(), *rule),
                None => (format!("over {}", self.within), "none"),
            };
            say(&format!(
                "| `{}` | {seeds} | {seconds:.1} | {rule} |",
                defect.name()
            ));
        }
        Ok(all)
    }

    fn find(&self, defect: Defect) -> Result<Option<(u64, &'static str)>, String> {
        let options = self.drawn.options()?;
        for seed in 0..self.within {
            let report = run_seed(seed, &options, Planted::new(defect), 0)?;
            if let Some(breach) = report.breach {
                return Ok(Some((seed + 1, breach.rule)));
            }
        }
        Ok(None)
    }
}
