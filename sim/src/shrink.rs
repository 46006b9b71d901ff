//! Shrinking: drops decisions, limits, agents and guilds of a script for as long as the same rule breaks,
//! and nothing else does.

use selvedge_core::plugin::defect::Planted;

use crate::{
    run::run_script,
    script::{Act, Head, Line, Script, Strike},
};

/// The smallest script that is found in which the rule that breaks in this one breaks too, and nothing
/// fails that does not fail in this one; as it is where none breaks.
///
/// # Errors
///
/// Where the script cannot be run.
pub fn shrink(script: Script, planted: Planted) -> Result<Script, String> {
    let whole = run_script(script.clone(), planted, 0)?;
    let Some(breach) = whole.breach else {
        return Ok(script);
    };
    // The last failure is the broken rule. A line that lacks another one fails by itself.
    let others = |failures: &[String]| {
        failures
            .split_last()
            .map_or(&[][..], |(_, others)| others)
            .to_vec()
    };
    let known = others(&whole.failures);
    let still = |candidate: &Script| {
        let report = run_script(candidate.clone(), planted, 0)?;
        let breaks = report.breach.is_some_and(|it| it.rule == breach.rule);
        let others = others(&report.failures);
        Ok::<bool, String>(breaks && others.iter().all(|other| known.contains(other)))
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
