//! The page of a failing run of the simulator, in a real browser.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{env, fs, path::Path, process::Stdio, time::Duration};

use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{run::tell_script, script::Script, story::without_last_fault, view::html};
use selvedge_tests::{
    browser::{self, CHROMIUM},
    npm,
};
use serde_json::json;
use tempfile::TempDir;

/// What somebody posts: text, and nothing else.
const MESSAGE: &str = "two <img src=x onerror=alert(1)>";

#[test]
fn a_reader_finds_the_moment_without_help() {
    let script = npm::command_in("browser", "run.mjs");
    let Some(mut script) = script.filter(|_| browser::is_there()) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("run.html");
    fs::write(&file, page()).unwrap();
    let wanted = json!({
        "page": file,
        "message": MESSAGE,
        "chromium": CHROMIUM,
        "shots": env::var("SELVEDGE_BROWSER_SHOTS").ok(),
    });
    let output = script.arg(wanted.to_string()).stdin(Stdio::null()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
}

/// A push is lost, and a plugin that asks for nothing never hears of the message; there is another
/// agent, and another guild.
fn page() -> String {
    let trace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trace = trace.join("../sim/traces/gap-filled-from-history.jsonl");
    let text = fs::read_to_string(trace).unwrap();
    let text = text.replace("\"two\"", &format!("\"{MESSAGE}\""));
    let more = r#"{"agents":["echo","other"],"guilds":["guild-1","guild-2"],"#;
    let script = Script::parse(&text.replacen('{', more, 1)).unwrap();
    let planted = Planted::new(script.defect().unwrap().unwrap());
    let mut failing = tell_script(script.clone(), planted).unwrap();
    let (without, fault) = without_last_fault(&script, failing.end).unwrap();
    let mut beside = tell_script(without, planted).unwrap();
    let last = Duration::from_secs(30);
    failing.keep_last(last);
    beside.keep_beside(&failing, last);
    let name = format!("The same run without its last fault ({fault})");
    html::page(("The failing run", &failing), Some((&name, &beside))).unwrap()
}
