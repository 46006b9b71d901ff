//! The process of the plugin: what it writes where, and how it ends.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use selvedge_tests::{PATIENCE, binary};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines,
    },
    process::{Child, Command},
    time::timeout,
};

/// A plugin that reaches nothing, and what its host has of it.
struct Plugin<R> {
    child: Child,
    lines: Lines<BufReader<R>>,
    _folder: TempDir,
}

fn command(folder: &TempDir) -> Command {
    let config = "[center]\nurl = \"http://127.0.0.1:1\"\n[store]\npath = \"store.sqlite\"\n\
                  [[agent]]\nid = \"echo\"\napi_key_env = \"ECHO\"\n";
    let file = folder.path().join("selvedge.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(binary::selvedge());
    command.args(["plugin", "--config"]).arg(file);
    command.env("ECHO", "fab_nobody").kill_on_drop(true);
    command.stderr(Stdio::piped());
    command
}

/// What a host says first.
fn hello() -> String {
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    });
    let begin = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let begun = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    format!("{begin}\n{begun}\n")
}

impl<R: AsyncRead + Unpin> Plugin<R> {
    /// Reads on until the answer to `initialize`, and gives back what came before it.
    async fn begun(&mut self) -> Vec<Value> {
        let mut before = Vec::new();
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line: Value = serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap();
            if line["id"] == 0 {
                return before;
            }
            before.push(line);
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        kill_process(Pid::from_raw(pid.unwrap()).unwrap(), signal).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        // Its patience is the measure: a plugin that hangs ends never.
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap().unwrap()
    }
}

/// Over pipes, which are given back beside it.
async fn over_pipes() -> (
    Plugin<tokio::process::ChildStdout>,
    tokio::process::ChildStdin,
) {
    let folder = tempfile::tempdir().unwrap();
    let mut plugin = command(&folder);
    plugin.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = plugin.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(hello().as_bytes()).await.unwrap();
    let mut plugin = Plugin {
        child,
        lines,
        _folder: folder,
    };
    plugin.begun().await;
    (plugin, stdin)
}

/// Over one pair of sockets, as some hosts start it: reading from it never ends by itself.
async fn over_sockets() -> (
    Plugin<tokio::net::unix::OwnedReadHalf>,
    tokio::net::unix::OwnedWriteHalf,
) {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let end = |socket: UnixStream| Stdio::from(OwnedFd::from(socket));
    let mut plugin = command(&folder);
    plugin.stdin(end(theirs.try_clone().unwrap()));
    plugin.stdout(end(theirs));
    let child = plugin.spawn().unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = tokio::net::UnixStream::from_std(ours).unwrap();
    let (read, mut write) = ours.into_split();
    write.write_all(hello().as_bytes()).await.unwrap();
    let mut plugin = Plugin {
        child,
        lines: BufReader::new(read).lines(),
        _folder: folder,
    };
    plugin.begun().await;
    (plugin, write)
}

#[tokio::test]
async fn the_end_of_its_input_ends_it() {
    let (mut plugin, stdin) = over_pipes().await;
    drop(stdin);
    assert!(plugin.ended().await.success());
    let (mut plugin, mut write) = over_sockets().await;
    write.shutdown().await.unwrap();
    assert!(plugin.ended().await.success());
}

#[tokio::test]
async fn a_signal_ends_it_while_its_input_is_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut plugin, _stdin) = over_pipes().await;
        plugin.signal(signal);
        assert!(plugin.ended().await.success(), "{signal:?}");
        let (mut plugin, _write) = over_sockets().await;
        plugin.signal(signal);
        assert!(plugin.ended().await.success(), "{signal:?}");
    }
}

#[tokio::test]
async fn its_output_has_the_protocol_alone_and_its_log_is_beside_it() {
    let (mut plugin, mut stdin) = over_pipes().await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    stdin
        .write_all(format!("{list}\n").as_bytes())
        .await
        .unwrap();
    let mut stderr = plugin.child.stderr.take().unwrap();
    let (mut listed, mut logged) = (false, false);
    while !(listed && logged) {
        let line = timeout(PATIENCE, plugin.lines.next_line()).await;
        let line: Value = serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap();
        assert_eq!(line["jsonrpc"], "2.0");
        listed |= line["id"] == 1;
        logged |= line["method"] == "notifications/message";
    }
    drop(stdin);
    plugin.ended().await;
    while let Some(line) = plugin.lines.next_line().await.unwrap() {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["jsonrpc"], "2.0");
    }
    let mut log = String::new();
    stderr.read_to_string(&mut log).await.unwrap();
    assert!(log.contains("login failed"), "{log}");
}

/// A host that has not said that it is initialised gets answers and the log, whatever happens.
#[tokio::test]
async fn it_says_nothing_of_its_own_before_its_host_is_initialised() {
    let folder = tempfile::tempdir().unwrap();
    let mut plugin = command(&folder);
    plugin.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = plugin.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut plugin = Plugin {
        child,
        lines,
        _folder: folder,
    };
    let hello = hello();
    let (begin, _) = hello.split_once('\n').unwrap();
    stdin
        .write_all(format!("{begin}\n").as_bytes())
        .await
        .unwrap();
    let mut said = plugin.begun().await;
    let ping = json!({"jsonrpc": "2.0", "id": 0, "method": "ping"});
    stdin
        .write_all(format!("{ping}\n").as_bytes())
        .await
        .unwrap();
    said.extend(plugin.begun().await);
    said.retain(|line| line["method"] != "notifications/message");
    assert!(said.is_empty(), "{said:?}");
}
