//! House rules that no lint knows.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The longest source file.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the packages.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = ["core", "runtime-tokio", "sim", "tests", "fuzz/fuzz_targets"]
        .map(|folder| root().join(folder))
        .into();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path, text));
            }
        }
    }
    assert!(sources.len() > 100);
    sources
}

/// What breaks a rule: the rule, and where.
fn broken(rule: &str, breaks: impl Fn(&str) -> bool) -> Vec<String> {
    sources()
        .iter()
        .filter(|(_, text)| breaks(text))
        .map(|(path, _)| format!("{rule}: {}", path.display()))
        .collect()
}

#[test]
fn every_file_says_first_what_it_is() {
    let says = |text: &str| {
        let mut lines = text.lines().filter(|line| !line.starts_with("#!["));
        lines.next().is_some_and(|line| line.starts_with("//!"))
    };
    assert_eq!(
        broken("no first line", |text| !says(text)),
        Vec::<String>::new()
    );
}

#[test]
fn no_file_is_too_long() {
    let long = broken("too long", |text| text.lines().count() > LINES_MAX);
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn nothing_is_put_off_or_left_over() {
    for word in [
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("dbg", "!("),
        concat!("to", "do!("),
    ] {
        assert_eq!(
            broken(word, |text| text.contains(word)),
            Vec::<String>::new()
        );
    }
}

#[test]
fn the_core_and_the_simulator_name_no_clock_and_no_task() {
    for (path, text) in sources() {
        let path = path.display().to_string();
        if path.contains("/core/src/") || path.contains("/sim/src/") {
            for word in [
                "Instant::now",
                "SystemTime",
                "thread_rng",
                "HashMap",
                "tokio::",
            ] {
                let code = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                let found: Vec<&str> = code.filter(|line| line.contains(word)).collect();
                assert!(found.is_empty(), "{path}: {found:?}");
            }
        }
    }
}

#[test]
fn the_npm_locks_carry_no_addresses() {
    for folder in ["interop", "browser", "hosts", "nest"] {
        let lock = root().join("tests").join(folder).join("package-lock.json");
        let lock = fs::read_to_string(lock).unwrap();
        for word in ["\"resolved\"", "http:", "https:"] {
            assert!(!lock.contains(word), "{folder}: {word}");
        }
    }
}
