//! `selvedge demo` on a terminal: the conversation, a line that is typed, and Ctrl-C.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod promptly;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process_group, test_kill_process_group},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use selvedge::clock::Clock;

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal: the end that a person sits at, and the one that a program has.
fn terminal() -> (File, OwnedFd) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    (File::from(person), program)
}

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command
        .arg("demo")
        .env_remove("SELVEDGE_LOG")
        .stderr(Stdio::piped())
        // Ctrl-C reaches every process of the group.
        .process_group(0);
    command
}

fn standard_error(child: &mut Child) -> String {
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    told
}

/// What is shown on the terminal until `wanted` is among it.
fn until(shown: &Receiver<Vec<u8>>, wanted: &str) -> String {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if text.contains(wanted) {
            return text;
        }
        all.extend(shown.recv_timeout(PATIENCE).unwrap());
    }
}

#[test]
fn a_typed_line_is_answered_and_ctrl_c_leaves_nothing_behind() {
    promptly::within(Duration::from_secs(1), converse_and_leave);
}

/// How long it took to end.
fn converse_and_leave() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let (mut person, program) = terminal();
    let mut child = demo()
        .env("TMPDIR", folder.path())
        .stdin(program.try_clone().unwrap())
        .stdout(program)
        .spawn()
        .unwrap();
    let group = Pid::from_child(&child);
    let (shown_in, shown) = channel();
    let mut screen = person.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(count) = screen.read(&mut bytes) {
            if shown_in
                .send(bytes.iter().copied().take(count).collect())
                .is_err()
            {
                return;
            }
        }
    });
    let told = until(&shown, "Ctrl-C ends");
    assert!(told.starts_with("An embedded Fabric is up"), "{told}");
    person.write_all(b"is anybody there?\n").unwrap();
    until(&shown, "echo   echo: is anybody there?");

    let clock = Clock::start();
    let asked = clock.now();
    kill_process_group(group, Signal::INT).unwrap();
    let status = child.wait().unwrap();
    let after = clock.now().since(asked);
    assert_eq!(status.code(), Some(0));
    assert_eq!(standard_error(&mut child), "");
    assert!(test_kill_process_group(group).is_err(), "a child is left");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    after
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = demo()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let told = standard_error(&mut child);
    let start = "selvedge: the demo failed at the hop `terminal`: Broken pipe";
    assert!(told.starts_with(start), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

/// Libraries write headers, which hold tokens, when they are let.
#[test]
fn no_token_is_logged_at_any_level() {
    let output = demo()
        .arg("--once")
        .env("SELVEDGE_LOG", "trace")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("TRACE") || told.contains("DEBUG"), "{told}");
    assert!(!told.contains("eyJhbGciOi"), "{told}");
}
