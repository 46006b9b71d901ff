//! What is shown of a run: every failure says because of what it contradicts what, the pictures show
//! the moment, hide what is secret, and stay what they are whatever people write.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use selvedge_core::plugin::defect::Planted;
use selvedge_sim::{
    run::tell_script,
    script::Script,
    story::{Kind, Shape, Story},
    view::{html, mermaid, perfetto, text},
    world::World,
};
use serde_json::Value;

/// A message that would be something else in each of the formats.
const HOSTILE: &str = r#"</script><b>; end\n#x \"--> %%`"#;

fn trace(name: &str) -> Script {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let text = fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
    Script::parse(&text.replace(r#""two""#, &format!("\"{HOSTILE}\""))).unwrap()
}

fn planted(script: &Script) -> Planted {
    Planted::new(script.defect().unwrap().unwrap())
}

/// A push is lost, and the plugin does not ask for what it did not get.
fn lost() -> Story {
    let script = trace("gap-filled-from-history");
    tell_script(script.clone(), planted(&script)).unwrap()
}

/// All that can be written of a story.
fn written(story: &Story) -> [String; 4] {
    [
        html::page(("run", story), None).unwrap(),
        text::lines(story),
        mermaid::diagram(story),
        perfetto::trace(story).unwrap(),
    ]
}

#[test]
fn every_failure_begins_with_because_and_names_the_contradiction() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let script = trace(&name);
        let report = World::new(script.clone(), planted(&script)).unwrap().run();
        assert!(!report.failures.is_empty(), "{name}");
        for failure in &report.failures {
            assert!(failure.starts_with("because "), "{name}: {failure}");
            assert!(failure.contains(" stored "), "{name}: {failure}");
            assert!(failure.contains(" got "), "{name}: {failure}");
            assert!(failure.contains(": contradiction to "), "{name}: {failure}");
        }
        let mut story = tell_script(script.clone(), planted(&script)).unwrap();
        assert_eq!(story.failures, report.failures, "{name}");
        story.keep_last(Duration::from_secs(10));
        let broken = story.happenings.iter();
        let broken = broken.filter(|it| it.kind == Kind::Broken).count();
        assert_eq!(broken, 1, "{name}");
    }
}

#[test]
fn the_sentence_names_the_message_that_was_lost() {
    let story = lost();
    let wanted = "because guild-1 stored messages 1 to 5 in channel `general` ";
    assert!(
        story.failures[0].starts_with(wanted),
        "{}",
        story.failures[0]
    );
    let wanted = "by alice among them, and the host of echo got messages 1 and 4 of it: \
                  contradiction to what is expected at 16000 ms";
    assert!(story.failures[0].contains(wanted), "{}", story.failures[0]);
    let about = story.about.message.unwrap();
    let path = story.happenings.iter().filter(|it| it.is_about(about));
    let gone = path.filter(|it| matches!(&it.shape, Shape::Arrow { lost: Some(_), .. }));
    let gone: Vec<&str> = gone.map(|it| it.label.as_str()).collect();
    assert_eq!(gone, ["message.created (message 3 of general)"]);
}

#[test]
fn whoever_looks_on_changes_nothing() {
    let script = trace("killed-in-the-middle-of-a-turn");
    let mut seen = World::new(script.clone(), Planted::default())
        .unwrap()
        .told();
    seen.go();
    let story = seen.story().unwrap();
    assert!(story.happenings.len() > 50 && story.failures.is_empty());
    let unseen = World::new(script, Planted::default()).unwrap().run();
    assert_eq!(seen.report(), unseen);
}

#[test]
fn no_picture_holds_a_secret() {
    let script = trace("token-expires-during-a-rotation");
    let story = tell_script(script.clone(), planted(&script)).unwrap();
    for text in written(&story) {
        for secret in ["token-0", "token-1", "token-2", "engine-0", "engine-1"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    let [page, ..] = written(&story);
    assert!(page.contains("token 1 of echo") && page.contains("(secret)"));
}

#[test]
fn the_lines_show_what_was_lost_and_the_broken_rule() {
    let mut story = lost();
    story.keep_last(Duration::from_secs(5));
    let lines = text::lines(&story);
    let begins = |mark: &str| lines.lines().filter(|line| line.starts_with(mark)).count();
    assert!(lines.starts_with("because "));
    assert_eq!((begins("!! "), begins("x ")), (1, 1), "{lines}");
    let lost = "x      11.006 s  guild-1 → echo: message.created (message 3 of general) – lost on \
                its way [message 3 of general in guild-1]";
    assert!(lines.contains(lost), "{lines}");
    assert!(lines.chars().all(|mark| mark == '\n' || !mark.is_control()));
}

#[test]
fn the_diagram_has_a_statement_on_each_line_whatever_people_write() {
    let diagram = mermaid::diagram(&lost());
    let mut lines = diagram.lines();
    assert_eq!(lines.next(), Some("sequenceDiagram"));
    let mut blocks = 0;
    for line in lines {
        let line = line.trim_start();
        let (head, label) = line.split_once(": ").unwrap_or((line, ""));
        let known = ["actor L", "participant L", "Note ", "L"];
        match head {
            "rect rgb(255, 200, 200)" => blocks += 1,
            "end" => blocks -= 1,
            head => assert!(known.iter().any(|known| head.starts_with(known)), "{line}"),
        }
        let codes = label.split('#').skip(1);
        for code in codes {
            let number = code.split_once(';').unwrap().0;
            assert!(number.parse::<u32>().is_ok(), "{line}");
        }
        assert!(!label.contains(['<', '>', '%', '`', '"', '\\']), "{line}");
    }
    assert_eq!(blocks, 0);
    assert!(diagram.contains("-xL"), "{diagram}");
}

#[test]
fn the_trace_for_perfetto_is_whole() {
    let story = lost();
    let trace: Value = serde_json::from_str(&perfetto::trace(&story).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
    let names = of("M")
        .filter(|event| event["name"] == "thread_name")
        .count();
    assert_eq!(names, story.lanes.len());
    let mut pairs: BTreeMap<(&str, u64), f64> = BTreeMap::new();
    for (begin, end) in [("s", "f"), ("b", "e")] {
        for event in of(begin) {
            let key = (end, event["id"].as_u64().unwrap());
            pairs.insert(key, event["ts"].as_f64().unwrap());
        }
        for event in of(end) {
            let began = pairs.remove(&(end, event["id"].as_u64().unwrap())).unwrap();
            assert!(event["ts"].as_f64().unwrap() >= began);
        }
    }
    assert!(pairs.is_empty(), "{pairs:?}");
    let broken = of("i").filter(|event| event["cat"] == "broken").count();
    assert_eq!(broken, 1);
}

#[test]
fn the_page_is_one_file_and_stays_one_whatever_people_write() {
    let story = lost();
    let page = html::page(("run", &story), Some(("beside", &story))).unwrap();
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<b>;"));
    for outside in ["https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let namespaces = page.matches("http://www.w3.org/2000/svg").count();
    let origins = page.matches("http:").count();
    assert_eq!(namespaces, origins);
}

#[test]
fn of_a_long_run_the_end_and_the_way_of_the_message_are_kept() {
    let mut story = lost();
    let whole = story.happenings.len();
    let about = story.about.message.unwrap();
    let of_message = |story: &Story, about: usize| {
        let all = story.happenings.iter();
        all.filter(|it| it.is_about(about)).count()
    };
    let before = of_message(&story, about);
    story.keep_last(Duration::ZERO);
    assert!(story.happenings.len() < whole);
    assert_eq!(story.total, whole);
    assert_eq!(of_message(&story, story.about.message.unwrap()), before);
    assert!(story.happenings.iter().any(|it| it.kind == Kind::Broken));
    let told = &story.messages[story.about.message.unwrap()];
    assert_eq!(told.name, "message 3 of general in guild-1");
}
