//! Shrinking: drops decisions, limits, agents and guilds of a script for as long as the same rule breaks.

use selvedge_core::plugin::defect::Planted;

use crate::{
    run::run_script,
    script::{Act, Head, Line, Script, Strike},
};

/// The smallest script that is found in which the rule that breaks in this one breaks too; as it is
/// where none does.
///
/// # Errors
///
/// Where the script cannot be run.
pub fn shrink(script: Script, planted: Planted) -> Result<Script, String> {
    let Some(breach) = run_script(script.clone(), planted, 0)?.breach else {
        return Ok(script);
    };
    let still = |candidate: &Script| {
        let breaks = run_script(candidate.clone(), planted, 0)?.breach;
        Ok::<bool, String>(breaks.is_some_and(|it| it.rule == breach.rule))
    };
    let mut best = script;
    loop {
        let before = best.clone();
        best = drop_sites(best, &still)?;
        best = drop_lines(best, &still)?;
        best = drop_limits(best, &still)?;
        if best == before {
            return Ok(best);
        }
    }
}

/// Drops agents and guilds, with every line that is about one alone.
fn drop_sites(
    mut best: Script,
    still: &impl Fn(&Script) -> Result<bool, String>,
) -> Result<Script, String> {
    let agents = best.head.agents.clone();
    let guilds = best.head.guilds.clone();
    for name in agents.iter().chain(&guilds) {
        let mut candidate = best.clone();
        candidate.head.agents.retain(|agent| agent != name);
        candidate.head.guilds.retain(|guild| guild != name);
        candidate.lines.retain(|line| !line.is_about(name));
        let Head { agents, guilds, .. } = &candidate.head;
        // Where a line still needs it, the script cannot be run.
        if !agents.is_empty() && !guilds.is_empty() && still(&candidate).unwrap_or_default() {
            best = candidate;
        }
    }
    Ok(best)
}

/// Drops ever smaller runs of lines.
fn drop_lines(
    mut best: Script,
    still: &impl Fn(&Script) -> Result<bool, String>,
) -> Result<Script, String> {
    let mut chunk = best.lines.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < best.lines.len() {
            let mut candidate = best.clone();
            let lines = best.lines.iter().enumerate();
            let kept = lines
                .filter(|(index, line)| *index < from || *index >= from + chunk || is_quiet(line));
            candidate.lines = kept.map(|(_, line)| line.clone()).collect();
            if candidate.lines.len() < best.lines.len() && still(&candidate)? {
                best = candidate;
            } else {
                from += chunk;
            }
        }
        chunk /= 2;
    }
    Ok(best)
}

/// Puts limits back to their defaults.
fn drop_limits(
    mut best: Script,
    still: &impl Fn(&Script) -> Result<bool, String>,
) -> Result<Script, String> {
    let names: Vec<String> = best.head.config.keys().cloned().collect();
    for name in names {
        let mut candidate = best.clone();
        candidate.head.config.remove(&name);
        if still(&candidate)? {
            best = candidate;
        }
    }
    Ok(best)
}

/// Without its end of all faults a script would demand nothing.
fn is_quiet(line: &Line) -> bool {
    matches!(
        line,
        Line::Act {
            r#do: Act::Strike(Strike::Quiet),
            ..
        }
    )
}
