//! A random run: the script of a seed, run to its end, and what to tell about it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
};

use selvedge_core::plugin::defect::Planted;

use crate::{
    script::Script,
    story::Story,
    swarm::{self, Options},
    world::{Report, World},
};

/// Runs the script of a seed, and keeps the last `lines_max` lines of what happened.
///
/// # Errors
///
/// Where the script cannot be run, which is a bug of the swarm.
pub fn run_seed(
    seed: u64,
    options: &Options,
    planted: Planted,
    lines_max: usize,
) -> Result<Report, String> {
    run_script(swarm::script(seed, options), planted, lines_max)
}

/// Runs a script, and keeps the last `lines_max` lines of what happened. A machine that panics breaks
/// a rule.
///
/// # Errors
///
/// Where the script cannot be run.
pub fn run_script(script: Script, planted: Planted, lines_max: usize) -> Result<Report, String> {
    let mut world = World::with_lines(script, planted, lines_max)?;
    // After a panic the world is asked for its report alone.
    let ended = catch_unwind(AssertUnwindSafe(|| world.go()));
    if let Err(panic) = ended {
        world.panicked(words_of(panic));
    }
    Ok(world.report())
}

/// Runs `act` without a panic of a machine being printed where it happens: it is told with its seed.
pub fn hushed<T>(act: impl FnOnce() -> T) -> T {
    let before = take_hook();
    set_hook(Box::new(|_| {}));
    let result = act();
    set_hook(before);
    result
}

/// Runs a script, and takes down its story.
///
/// # Errors
///
/// Where the script cannot be run.
pub fn tell_script(script: Script, planted: Planted) -> Result<Story, String> {
    let mut world = World::with_lines(script, planted, 0)?.told();
    let ended = catch_unwind(AssertUnwindSafe(|| world.go()));
    if let Err(panic) = ended {
        world.panicked(words_of(panic));
    }
    world
        .story()
        .ok_or_else(|| "nothing was taken down".to_owned())
}

/// What a panic said.
pub(crate) fn words_of(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or_else(|| "a panic without words".to_owned(), ToString::to_string),
    }
}
