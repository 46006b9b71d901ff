//! No rule asks too much: scenes in which a rule took for a mistake what a fault explains.

use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{run::run_script, script::Script};

/// Nothing is broken in this scene.
fn is_sound(scene: &str) {
    let script = Script::parse(scene).map_err(|why| why.to_string());
    let report = script.and_then(|script| run_script(script, Planted::default(), 0));
    let failures = report.map(|report| report.failures);
    assert_eq!(failures, Ok(vec![]));
}

/// The answer was asked for before, and is late all the same.
#[test]
fn an_answer_is_late_if_the_guild_gives_it_while_answers_are() {
    is_sound(
        r#"{"trace":"t","report":"r","seed":30804,"agents":["echo"],"profile":"claude","turn_ms":2025,"latency_ms":[11,161]}
{"at":4,"who":"alice","do":{"create":{"name":"work","x_type":"work","members":["echo"]}}}
{"at":10019,"who":"alice","do":{"flood":{"channel":"work","content":"hush","messages":60,"every":17}}}
{"at":11130,"who":"network","do":{"delay_rest":9187}}
{"at":60000,"who":"network","do":"quiet"}
"#,
    );
}

/// What such a connection has lost would otherwise come on it, and hide that all other pushes do not.
#[test]
fn no_push_is_repeated_on_a_connection_that_has_lost_it() {
    is_sound(
        r#"{"trace":"t","report":"r","agents":["echo"],"turns":true}
{"at":0,"who":"alice","do":{"create":{"name":"general","x_type":"general","members":["echo"]}}}
{"at":5000,"who":"alice","do":{"post":{"channel":"general","content":"hush: before"}}}
{"at":6000,"who":"network","do":{"lose":"pushes"}}
{"at":7000,"who":"alice","do":{"post":{"channel":"general","content":"hush: lost"}}}
{"at":8000,"who":"network","do":"repeat_last"}
{"at":8000,"who":"network","do":"quiet"}
"#,
    );
}
