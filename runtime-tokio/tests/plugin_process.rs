//! `selvedge plugin` as its host sees it: a child process on pipes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod promptly;

use std::{
    fs::Permissions,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixStream},
    },
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use selvedge::{clock::Clock, echo::EchoAgent};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take. It bounds a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host may kill the process half a second after it has asked it to end.
const GRACE: Duration = Duration::from_millis(500);

const SECRET: &str = "fab_very-secret-key";

/// A configuration whose Center nobody listens at.
const UNREACHABLE: &str = "[center]\nurl = \"http://127.0.0.1:1\"\n[[agent]]\nid = \
                           \"echo\"\napi_key_env = \"FABRIC_ECHO_KEY\"\n";

fn config(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.toml");
    let store = "[store]\npath = \"store.sqlite\"\n";
    std::fs::write(&path, format!("{text}{store}")).unwrap();
    (folder, path)
}

fn selvedge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command
        .env("FABRIC_ECHO_KEY", SECRET)
        .env_remove("SELVEDGE_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same, where the process may have so many descriptors, and raise that to so many.
fn limited(soft: u32, hard: u32) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command
        .arg("-c")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_selvedge"))
        .env("FABRIC_ECHO_KEY", SECRET)
        .env_remove("SELVEDGE_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running plugin with its pipes; it is killed when a test fails.
struct Plugin {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Plugin {
    fn start(mut command: Command, text: &str) -> Self {
        let (folder, path) = config(text);
        let mut child = command
            .arg("plugin")
            .arg("--config")
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            _folder: folder,
        }
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    /// The answer to request `id`, past whatever else is written.
    fn answer(&mut self, id: u64) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "no answer");
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return message;
            }
            assert_eq!(message["method"], "notifications/message", "{message}");
        }
    }

    fn ask(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        self.answer(id)
    }

    fn initialize(&mut self) -> Value {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"},
        });
        let answer = self.ask(0, "initialize", &params);
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    /// How long it took to end, and its exit code.
    fn ended(&mut self) -> (Duration, Option<i32>) {
        let clock = Clock::start();
        let start = clock.now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (clock.now().since(start), status.code());
            }
            assert!(clock.now().since(start) < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[test]
fn tools_are_listed_while_center_cannot_be_reached() {
    let mut plugin = Plugin::start(selvedge(), UNREACHABLE);
    let info = plugin.initialize();
    assert_eq!(info["result"]["serverInfo"]["name"], "selvedge");
    let set = plugin.ask(1, "logging/setLevel", &json!({"level": "debug"}));
    assert_eq!(set["result"], json!({}));
    let tools = plugin.ask(2, "tools/list", &json!({}));
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 23);
    plugin.stdin = None;
    assert_eq!(plugin.ended().1, Some(0));
}

/// A host may close what it does not read, and a log line must not end what it is about.
#[test]
fn a_host_that_closes_standard_error_is_served_on() {
    let mut command = selvedge();
    command.env("SELVEDGE_LOG", "debug");
    let mut plugin = Plugin::start(command, UNREACHABLE);
    drop(plugin.child.stderr.take());
    plugin.initialize();
    // A login fails, which is told, and is tried again.
    std::thread::sleep(Duration::from_millis(300));
    let params = json!({"name": "list_channels", "arguments": {}});
    let answer = plugin.ask(1, "tools/call", &params);
    assert_eq!(
        answer["result"]["structuredContent"],
        json!({"channels": []}),
        "{answer}"
    );
    plugin.stdin = None;
    assert_eq!(plugin.ended().1, Some(0));
}

#[test]
fn the_process_ends_when_its_input_does() {
    for initialized in [false, true] {
        promptly::within(GRACE, || {
            let mut plugin = Plugin::start(selvedge(), UNREACHABLE);
            plugin.ask(9, "ping", &json!({}));
            if initialized {
                plugin.initialize();
            }
            plugin.stdin = None;
            let (after, code) = plugin.ended();
            assert_eq!(code, Some(0));
            after
        });
    }
}

#[test]
fn the_process_ends_at_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        promptly::within(GRACE, || {
            let mut plugin = Plugin::start(selvedge(), UNREACHABLE);
            plugin.initialize();
            kill_process(Pid::from_child(&plugin.child), signal).unwrap();
            let (after, code) = plugin.ended();
            assert_eq!(code, Some(0));
            after
        });
    }
}

/// Some hosts hand out a pair of sockets instead of pipes; reads of those block a thread.
#[test]
fn the_process_ends_on_sockets_too() {
    let (folder, path) = config(UNREACHABLE);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = selvedge()
        .arg("plugin")
        .arg("--config")
        .arg(path)
        .stdin(OwnedFd::from(theirs.try_clone().unwrap()))
        .stdout(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let mut lines = BufReader::new(ours.try_clone().unwrap());
    (&ours)
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n")
        .unwrap();
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
    kill_process(pid, Signal::TERM).unwrap();
    let mut rest = Vec::new();
    lines.read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    drop(folder);
}

fn run(text: &str, arguments: &[&str]) -> Output {
    let (_folder, path) = config(text);
    selvedge()
        .arg("plugin")
        .arg("--config")
        .arg(path)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_wrong_configuration_is_told_in_words() {
    let text = UNREACHABLE.replace("id = ", "ids = ");
    let output = run(&text, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(words(&output.stdout), "");
    let told = words(&output.stderr);
    assert!(
        told.starts_with("selvedge: the configuration has 2 problems:\n"),
        "{told}"
    );
    assert!(
        told.contains("selvedge.toml:3: [[agent]] id is missing: expected a name for the agent"),
        "{told}"
    );
    assert!(
        told.contains("selvedge.toml:4: [[agent]] ids is not a key; did you mean id?"),
        "{told}"
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let output = selvedge()
        .args(["plugin", "--confg", "x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output.stderr).contains("--config <FILE>"));
    let folder = tempfile::tempdir().unwrap();
    let unnamed = selvedge()
        .arg("plugin")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(unnamed.status.code(), Some(1));
    assert!(words(&unnamed.stderr).contains("the configuration selvedge.toml"));
    let (_folder, path) = config(UNREACHABLE);
    let output = selvedge()
        .env("SELVEDGE_LOG", "selvedge=loud")
        .arg("plugin")
        .arg("--config")
        .arg(path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output.stderr).starts_with("selvedge: SELVEDGE_LOG cannot be read; "));
}

/// Runs `selvedge doctor` with a configuration, to its end.
fn doctor(text: &str) -> Output {
    let (_folder, path) = config(text);
    let mut doctor = selvedge();
    doctor.arg("doctor").arg("--config").arg(path);
    doctor.output().unwrap()
}

#[test]
fn the_doctor_says_what_does_not_work_and_so_does_the_check() {
    for output in [doctor(UNREACHABLE), run(UNREACHABLE, &["--check"])] {
        assert_eq!(output.status.code(), Some(1));
        let told = words(&output.stdout);
        assert!(
            told.contains("error    agent echo: Center could not be reached: "),
            "{told}"
        );
        assert!(
            told.ends_with(
                "; check that [center] url is right and Center runs (http://127.0.0.1:1)\n"
            ),
            "{told}"
        );
        assert_eq!(
            words(&output.stderr),
            "selvedge: one thing does not work; see above\n"
        );
    }
}

#[test]
fn the_doctor_finds_what_is_wrong_with_a_configuration_and_its_files() {
    let output = doctor(&UNREACHABLE.replace("id = ", "ids = "));
    assert_eq!(output.status.code(), Some(1));
    let told = words(&output.stdout);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines.iter().all(|line| line.starts_with("error    ")),
        "{told}"
    );
    assert!(
        told.contains("selvedge.toml:4: [[agent]] ids is not a key; did you mean id?"),
        "{told}"
    );

    let (folder, path) = config(&UNREACHABLE.replace(
        "api_key_env = \"FABRIC_ECHO_KEY\"",
        "api_key_file = \"key\"",
    ));
    let key = folder.path().join("key");
    std::fs::write(&key, SECRET).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let output = selvedge()
        .arg("doctor")
        .arg("--config")
        .arg(&path)
        .output()
        .unwrap();
    let told = words(&output.stdout);
    for (file, what) in [
        (
            &key,
            "read by every user of this machine: run chmod 600 on it",
        ),
        (
            &path,
            "changed by every user of this machine: run chmod o-w on it",
        ),
    ] {
        let line = format!("warning  {} can be {what}\n", file.display());
        assert!(told.contains(&line), "{told}");
    }
    assert!(!told.contains("very-secret"), "{told}");

    let text =
        format!("{UNREACHABLE}[files]\ndir = \"selvedge.toml/in\"\n[record]\ndir = \"new\"\n");
    let told = words(&doctor(&text).stdout);
    let line = |start: &str, end: &str| {
        told.lines()
            .any(|line| line.starts_with(start) && line.ends_with(end))
    };
    let end = "selvedge.toml is no folder; make it a folder of the user that the plugin runs as, or \
               leave the key out";
    assert!(line("error    [files] dir: ", end), "{told}");
    assert!(
        line("ok       [record] dir: ", "/new can be written"),
        "{told}"
    );
}

#[test]
fn no_secret_is_ever_written() {
    let mut command = selvedge();
    command.env("SELVEDGE_LOG", "trace");
    let mut plugin = Plugin::start(command, UNREACHABLE);
    plugin.initialize();
    plugin.ask(1, "logging/setLevel", &json!({"level": "debug"}));
    std::thread::sleep(Duration::from_millis(200));
    plugin.stdin = None;
    plugin.ended();
    let mut told = String::new();
    plugin
        .child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    plugin.stdout.read_to_string(&mut told).unwrap();
    assert!(!told.is_empty());
    assert!(!told.contains("very-secret"), "{told}");
    for check in [
        doctor(UNREACHABLE),
        run(&UNREACHABLE.replace("FABRIC_ECHO_KEY", SECRET), &[]),
        run(&format!("{UNREACHABLE}api_key = \"{SECRET}\"\n"), &[]),
    ] {
        assert_eq!(check.status.code(), Some(1));
        let told = format!("{}{}", words(&check.stdout), words(&check.stderr));
        assert!(!told.contains("very-secret"), "{told}");
    }
}

#[tokio::test]
async fn the_echo_agent_runs_a_plugin() {
    let (_folder, path) = config(UNREACHABLE);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command
        .env("FABRIC_ECHO_KEY", SECRET)
        .arg("plugin")
        .arg("--config")
        .arg(path);
    let (events_in, _events) = tokio::sync::mpsc::channel(16);
    let agent = EchoAgent::spawn(command, Clock::start(), events_in)
        .await
        .unwrap();
    let tools = agent.peer().list_all_tools().await.unwrap();
    assert_eq!(tools[0].name, "send");
    tokio::time::timeout(PATIENCE, agent.shutdown())
        .await
        .unwrap();
}

#[test]
fn it_takes_as_many_descriptors_as_it_may_and_says_where_they_are_too_few() {
    let mut plugin = Plugin::start(limited(64, 200), UNREACHABLE);
    plugin.initialize();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", plugin.child.id())).unwrap();
    let open_files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers = open_files.unwrap().split_whitespace().skip(3).take(2);
    assert_eq!(numbers.collect::<Vec<_>>(), ["200", "200"]);
    drop(plugin.stdin.take());
    let mut log = String::new();
    let mut stderr = plugin.child.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    assert!(!log.contains("open files"), "{log}");

    let mut plugin = Plugin::start(limited(64, 90), UNREACHABLE);
    plugin.initialize();
    drop(plugin.stdin.take());
    let mut log = String::new();
    let mut stderr = plugin.child.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    let words = "1 agent(s) with 1 link(s) may need 104 open files and connections, and the process may \
                 have 90: raise the limit of open files";
    assert!(log.contains(words), "{log}");
}
