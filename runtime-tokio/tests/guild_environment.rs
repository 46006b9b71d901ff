//! `selvedge guild` as its environment has it, and what is in its log.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const PREFIX: &str = "FABRIC_BACKEND_GUILD_";
const REQUIRED: [(&str, &str); 3] = [
    ("NODE_ID", "n"),
    // Nobody listens there.
    ("CENTER_BASE_URL", "http://127.0.0.1:1"),
    ("CENTER_API_KEY", "gk_1"),
];

fn guild(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.arg("guild").stdin(Stdio::null());
    for (name, _) in REQUIRED {
        command.env_remove(format!("{PREFIX}{name}"));
    }
    for (name, value) in variables {
        command.env(format!("{PREFIX}{name}"), value);
    }
    command
}

#[test]
fn a_missing_variable_aborts_the_start_and_one_of_older_deployments_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (missing, _) in REQUIRED {
        let rest = REQUIRED.into_iter().filter(|(name, _)| *name != missing);
        let output = guild(&rest.collect::<Vec<_>>())
            .env("DB_HOST", "mysql")
            .arg("--data-dir")
            .arg(folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains(&format!("{PREFIX}{missing} is not set")),
            "{told}"
        );
        let older = format!("DB_HOST is not used any more; set {PREFIX}DB_URL");
        assert!(told.contains(&older), "{told}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A node that is killed when a test fails.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(addr: &str, target: &str, origin: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    let head = format!(
        "GET {target} HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The first line of the only recording in a folder.
fn head(folder: &Path) -> Value {
    let recording = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    let recording = fs::read_to_string(recording.path()).unwrap();
    serde_json::from_str(recording.lines().next().unwrap()).unwrap()
}

#[test]
fn the_environment_is_heeded_and_a_token_in_a_url_is_not_logged() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [files, database] = ["uploads", "rows.sqlite"].map(|name| at(name).display().to_string());
    let command = &mut guild(&[
        ("PORT", "0"),
        ("NODE_ID", "here"),
        ("FILE_DIR", &files),
        ("FILE_MAX_BYTES", "7"),
        ("FILE_TTL_DAYS", "3"),
        ("DB_URL", &format!("sqlite:{database}")),
        ("CORS_ORIGINS", "https://a.example"),
    ]);
    command
        .args(["--with-center", "--center-port", "0", "--data-dir"])
        .arg(at("data"))
        .arg("--record")
        .arg(at("traces"))
        .env("SELVEDGE_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(File::create(at("log")).unwrap());
    let mut node = Node(command.spawn().unwrap());
    let mut told = BufReader::new(node.0.stdout.take().unwrap()).lines();
    let addr = loop {
        let line = told.next().unwrap().unwrap();
        if let Some(addr) = line.strip_prefix("the guild node is up at http://") {
            break addr.to_owned();
        }
    };
    let readable = |origin| {
        let health = ask(&addr, "/api/health", origin);
        assert!(health.contains(r#""maxFileBytes":7"#), "{health}");
        health.contains(&format!("access-control-allow-origin: {origin}\r\n"))
    };
    let origins = ["https://a.example", "null", "https://b.example"];
    assert_eq!(origins.map(readable), [true, true, false]);
    let file = ask(&addr, "/api/files/f?access_token=a-needle", "null");
    assert!(file.starts_with("HTTP/1.1 401 "), "{file}");
    kill_process(Pid::from_child(&node.0), Signal::TERM).unwrap();
    assert_eq!(node.0.wait().unwrap().code(), Some(0));

    assert!(Path::new(&files).is_dir() && Path::new(&database).is_file());
    let config = &head(&at("traces"))["config"];
    assert_eq!(config["node_id"], json!("here"));
    let days = 3 * 24 * 60 * 60;
    assert_eq!(config["limits"]["file_life"]["secs"], json!(days));
    let log = fs::read_to_string(at("log")).unwrap();
    assert!(log.contains("a token is not good"), "{log}");
    assert!(!log.contains("needle"), "{log}");
}
