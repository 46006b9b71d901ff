//! README's way from nothing to two people and an agent, walked as it is written.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    env,
    path::Path,
    process::{ExitStatus, Stdio},
};

use selvedge::{http::Client, tls};
use selvedge_core::{
    Secret,
    engineio::Heartbeat,
    guild::Limits,
    http::{Method, Request},
};
use selvedge_tests::{
    PATIENCE, binary,
    fabric::{answer, free_port},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{Duration, sleep, timeout},
};

const README: &str = include_str!("../../README.md");
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The values of what is set in the reverse proxy that is shown.
fn proxy(directive: &str) -> Vec<&'static str> {
    let (_, block) = README.split_once("```nginx\n").unwrap();
    let lines = block.split_once("```").unwrap().0.lines();
    lines
        .filter_map(|line| line.trim().strip_prefix(directive)?.strip_suffix(';'))
        .map(str::trim)
        .collect()
}

/// The number of a value with such a unit.
fn number(value: &str, unit: &str) -> u64 {
    value.strip_suffix(unit).unwrap().parse().unwrap()
}

/// What the node serves comes through: a WebSocket between its heartbeats, and the largest file.
#[test]
fn the_proxy_that_is_shown_lets_everything_through() {
    let to = |port: u16| format!("http://127.0.0.1:{port}");
    assert_eq!(proxy("proxy_pass"), [to(7002)]);
    assert_eq!(proxy("proxy_http_version"), ["1.1"]);
    let headers = [
        "Host $http_host",
        "Upgrade $http_upgrade",
        "Connection \"upgrade\"",
    ];
    assert_eq!(proxy("proxy_set_header"), headers);
    let heartbeat = Heartbeat::default();
    let silence = heartbeat.interval + heartbeat.timeout;
    let patience = number(proxy("proxy_read_timeout")[0], "s");
    assert!(Duration::from_secs(patience) > silence, "{patience}");
    assert_eq!(proxy("proxy_request_buffering"), ["off"]);
    let body = number(proxy("client_max_body_size")[0], "m") << 20;
    assert!(body > Limits::default().file_bytes_max, "{body}");
}

/// What the unit starts is a command of ours with its data where systemd makes the folder.
#[tokio::test]
async fn the_unit_that_is_shown_starts_what_there_is() {
    let (_, unit) = README.split_once("```ini\n").unwrap();
    let unit = unit.split_once("```").unwrap().0;
    let value = |key: &str| {
        let mut lines = unit.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let state = format!("%S/{}", value("StateDirectory").unwrap());
    let mut words = value("ExecStart").unwrap().split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/selvedge"));
    let words: Vec<&str> = words.collect();
    let data = words.iter().position(|word| *word == "--data-dir");
    assert_eq!(words[data.unwrap() + 1], state);
    for (last, known) in [("--help", true), ("--no-such-option", false)] {
        let mut selvedge = Command::new(binary::selvedge());
        let output = selvedge.args(&words).arg(last).output().await.unwrap();
        assert_eq!(output.status.success(), known, "{output:?}");
    }
}

/// The commands that stand below a mark.
fn commands(mark: &str) -> String {
    let (_, block) = README
        .split_once(&format!("<!-- {mark} -->\n```sh\n"))
        .unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// Replaces what must be there.
fn with(text: &str, written: &str, instead: &str) -> String {
    assert!(text.contains(written), "no {written} in {text}");
    text.replace(written, instead)
}

/// A shell in the folder, with the built program where the installed one would be.
fn shell(folder: &Path, script: &str) -> Child {
    let built = binary::selvedge().parent().unwrap();
    let path = env::join_paths(
        [built.to_owned()]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap())),
    );
    Command::new("bash")
        .args(["-euc", script])
        .current_dir(folder)
        .env("PATH", path.unwrap())
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

struct Person {
    id: Value,
    center_token: Secret,
    token: Secret,
}

struct Fabric {
    client: Client,
    center: String,
    guild: String,
}

impl Fabric {
    async fn call(
        &self,
        origin: &str,
        target: &str,
        bearer: Option<&Secret>,
        body: Value,
    ) -> Value {
        let (method, body) = match body.is_null() {
            true => (Method::Get, Vec::new().into()),
            false => (Method::Post, body.to_string().into()),
        };
        let request = Request {
            method,
            target: target.into(),
            bearer: bearer.cloned(),
            body,
        };
        answer(&self.client, origin, request).await.unwrap()
    }

    async fn log_in(&self, key: &str) -> Person {
        let body = json!({ "apiKey": key });
        let session = self.call(&self.center, "/api/auth/login", None, body).await;
        let secret = |token: &Value| Secret::new(token.as_str().unwrap());
        Person {
            id: session["user"]["id"].clone(),
            center_token: secret(&session["accessToken"]),
            token: secret(&session["guildAccessTokens"][0]["token"]),
        }
    }

    async fn read(&self, person: &Person, target: &str) -> Value {
        self.call(&self.guild, target, Some(&person.token), Value::Null)
            .await
    }

    async fn post(&self, person: &Person, target: &str, body: Value) -> Value {
        self.call(&self.guild, target, Some(&person.token), body)
            .await
    }

    /// Asks until the answer is as it should be.
    async fn until(&self, person: &Person, target: &str, is_so: impl Fn(&Value) -> bool) {
        let asks = async {
            while !is_so(&self.read(person, target).await) {
                sleep(LOOK_EVERY).await;
            }
        };
        let seen = timeout(PATIENCE, asks).await;
        assert!(seen.is_ok(), "{target}");
    }
}

#[tokio::test]
async fn a_stranger_gets_from_nothing_to_two_people_and_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let (center_port, guild_port) = (free_port().unwrap(), free_port().unwrap());
    let serve = with(
        &commands("serve"),
        "cargo install --locked --path runtime-tokio\n",
        "",
    );
    let ports = format!(
        "exec selvedge guild --with-center --center-port {center_port} --port {guild_port}"
    );
    let serve = with(&serve, "selvedge guild --with-center", &ports);
    let mut guild = shell(folder.path(), &serve);
    let up = async {
        while TcpStream::connect(("127.0.0.1", guild_port)).await.is_err() {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, up).await.unwrap();

    let fabric = Fabric {
        client: Client::new(&tls::client_config(None).unwrap(), None).unwrap(),
        center: format!("http://127.0.0.1:{center_port}"),
        guild: format!("http://127.0.0.1:{guild_port}"),
    };
    let talk = with(&commands("talk"), "http://127.0.0.1:7001", &fabric.center);
    let talk = with(&talk, "\nselvedge echo\n", "\nexec selvedge echo\n");
    let mut echo = shell(folder.path(), &talk);
    let mut told = BufReader::new(echo.stdout.take().unwrap()).lines();
    let mut people = Vec::new();
    while people.len() < 2 {
        let line = timeout(PATIENCE, told.next_line()).await.unwrap().unwrap();
        if let Some(key) = line.unwrap().strip_prefix("API key: ") {
            people.push(fabric.log_in(key).await);
        }
    }
    let [alice, bob] = people.as_slice() else {
        unreachable!("there are two")
    };
    let page = Request {
        method: Method::Get,
        target: "/".into(),
        bearer: None,
        body: Vec::new().into(),
    };
    let page = fabric.client.send(&fabric.guild, page).await.unwrap();
    assert!(page.status == 200 && page.body.starts_with(b"<!doctype html>"));

    // The shell may not have come so far yet.
    let written = async {
        while !folder.path().join("selvedge.toml").exists() {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    let found = fabric.call(
        &fabric.center,
        "/api/users/by-name/echo",
        Some(&alice.center_token),
        Value::Null,
    );
    let echo_id = found.await["id"].clone();
    let body = json!({ "name": "plans", "xType": "discuss", "memberUserIds": [bob.id, echo_id] });
    let channel = fabric.post(alice, "/api/channels", body).await;
    let channel = format!("/api/channels/{}", channel["id"].as_str().unwrap());
    let is_here = |members: &Value| {
        let mut members = members.as_array().unwrap().iter();
        members.any(|member| member["id"] == echo_id && member["status"] == "online")
    };
    fabric
        .until(alice, &format!("{channel}/members"), is_here)
        .await;
    let messages = format!("{channel}/messages");
    for (person, content) in [(alice, "What shall we build?"), (bob, "A bridge.")] {
        fabric
            .post(person, &messages, json!({ "content": content }))
            .await;
    }
    fabric
        .until(alice, &messages, |page| {
            let last = page["messages"].as_array().unwrap().last().unwrap();
            last["author"]["id"] == echo_id && last["content"] == "echo: A bridge."
        })
        .await;
    let line = async {
        loop {
            let line = told.next_line().await.unwrap().unwrap();
            if line == "#plans  bob: A bridge." {
                break;
            }
        }
    };
    timeout(PATIENCE, line).await.unwrap();
    for child in [&mut echo, &mut guild] {
        assert_eq!(ended(child).await.code(), None, "it had ended before");
    }
}

async fn ended(child: &mut Child) -> ExitStatus {
    child.start_kill().unwrap();
    child.wait().await.unwrap()
}
