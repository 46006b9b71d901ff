//! The same run without its last fault.

use std::time::Duration;

use crate::script::{Act, Line, Script, Strike};

/// The script without the last fault before `end`, and that fault in words; nothing where there is
/// none.
pub fn without_last_fault(script: &Script, end: Duration) -> Option<(Script, String)> {
    let mut lines = script.lines.iter();
    let last = lines.rposition(|line| line.at() <= end && begins_fault(line))?;
    let mut without = script.clone();
    let Line::Act { at, who, r#do, .. } = without.lines.remove(last) else {
        return None;
    };
    let what = serde_json::to_string(&r#do).unwrap_or_default();
    Some((without, format!("{who} at {at} ms: {what}")))
}

/// Whether a line is a fault, and not the end of one.
fn begins_fault(line: &Line) -> bool {
    let Line::Act {
        r#do: Act::Strike(strike),
        ..
    } = line
    else {
        return false;
    };
    !matches!(
        strike,
        Strike::Quiet
            | Strike::Start
            | Strike::BackUp
            | Strike::BackUpGuild
            | Strike::RefuseDials(false)
            | Strike::DelayDials(0)
            | Strike::DelayFrames(0)
            | Strike::DelayRest(0)
            | Strike::SetClock(0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fault_goes_and_the_end_of_faults_stays() {
        let text = r#"{"trace":"t","report":"r"}
{"at":1,"who":"network","do":"reset"}
{"at":2,"who":"network","do":{"refuse_dials":true}}
{"at":3,"who":"network","do":{"refuse_dials":false}}
{"at":4,"who":"network","do":"quiet"}
{"at":9,"who":"network","do":"close"}"#;
        let script = Script::parse(text).unwrap();
        let (without, what) = without_last_fault(&script, Duration::from_millis(8)).unwrap();
        assert_eq!(what, "network at 2 ms: {\"refuse_dials\":true}");
        assert_eq!(without.lines.len(), script.lines.len() - 1);
        let (without, what) = without_last_fault(&without, Duration::from_millis(8)).unwrap();
        assert_eq!(what, "network at 1 ms: \"reset\"");
        assert_eq!(without_last_fault(&without, Duration::from_millis(8)), None);
    }
}
