//! Tests of the doctor: what an operator reads, for everything that can be wrong.

use futures::{SinkExt as _, StreamExt as _};
use selvedge_core::{Secret, fabric::center::Login, id::AgentId, plugin};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::config::{Agent, Profile};

/// What Center and guild answer; `{base}` in it is where they are.
#[derive(Clone, Copy)]
pub(super) struct Fabric {
    login: &'static str,
    health: &'static str,
    channels: &'static str,
    connect: &'static [&'static str],
    /// How far behind its clock is; `None` where it tells no time.
    behind: Option<Duration>,
}

pub(super) const GOOD: Fabric = Fabric {
    login: r#"201 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
        {"guildNodeId":"n","guildId":"g1","token":"t","baseUrl":"{base}"}]}"#,
    health: r#"200 {"ok":true,"nodeId":"n","version":"0.1.0"}"#,
    channels: r#"200 [{"id":"c1","name":"general","xType":"general"}]"#,
    connect: &[r#"40/realtime,{"sid":"s"}"#],
    behind: None,
};

/// Center and guild in one.
pub(super) async fn serve(fabric: Fabric) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let base = origin.clone();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = [0; 16];
            tcp.peek(&mut head).await.unwrap();
            if head.starts_with(b"GET /socket.io") {
                tokio::spawn(session(tcp, fabric));
                continue;
            }
            let mut asked = [0; 4096];
            let length = tcp.read(&mut asked).await.unwrap();
            let answer = if head.starts_with(b"POST") {
                fabric.login
            } else if asked[..length].starts_with(b"GET /api/health ") {
                fabric.health
            } else {
                fabric.channels
            };
            let (status, body) = answer.split_once(' ').unwrap();
            let body = body.replace("{base}", &base);
            let length = body.len();
            let date = fabric.behind.map_or_else(String::new, |behind| {
                let date = jiff::Timestamp::now() - behind;
                format!("Date: {}\r\n", date.strftime("%a, %d %b %Y %H:%M:%S GMT"))
            });
            let answer =
                format!("HTTP/1.1 {status} X\r\n{date}Content-Length: {length}\r\n\r\n{body}");
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    origin
}

async fn session(tcp: TcpStream, fabric: Fabric) {
    let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
    let open = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    socket.send(Message::text(open)).await.unwrap();
    let connect = socket.next().await.unwrap().unwrap();
    let connect = connect.into_text().unwrap();
    assert!(
        connect.starts_with(r#"40/realtime,{"token":""#),
        "{connect}"
    );
    assert!(connect.ends_with(r#"t","chatter":false}"#), "{connect}");
    for packet in fabric.connect {
        socket.send(Message::text(*packet)).await.unwrap();
    }
    while let Some(Ok(_)) = socket.next().await {}
}

async fn checked(fabric: Fabric) -> (String, Result<(), String>) {
    checked_at(serve(fabric).await).await
}

async fn checked_at(origin: String) -> (String, Result<(), String>) {
    let folder = tempfile::tempdir().unwrap();
    checked_in(folder.path(), origin).await
}

/// The same with a store in that folder; the folder, and how much room there is, have other names.
pub(super) async fn checked_in(folder: &Path, origin: String) -> (String, Result<(), String>) {
    let mut out = Vec::new();
    let result = examine(&config(folder, origin.clone()), &mut out).await;
    let told = String::from_utf8(out).unwrap();
    let told = told.replace(&origin, "ORIGIN");
    let told = told.replace(&folder.display().to_string(), "FOLDER");
    let lines = told
        .lines()
        .map(|line| match line.split_once("the disk of FOLDER has ") {
            Some((start, _)) => format!("{start}the disk of FOLDER has room\n"),
            None => format!("{line}\n"),
        });
    (
        lines.collect(),
        result.map_err(|failure| failure.to_string()),
    )
}

pub(super) fn config(folder: &Path, origin: String) -> Config {
    let mut agent = Agent {
        config: plugin::config::Config::new(AgentId::new("echo").unwrap()),
        login: Login::ApiKey {
            api_key: Secret::new("very-secret"),
        },
        login_source: "the environment variable FABRIC_ECHO_KEY".into(),
        sync_commands: false,
    };
    agent.config.step_timeout = Duration::from_secs(1);
    Config {
        center_url: origin,
        agents: vec![agent],
        logins_max: 1,
        profile: Profile::Plexum,
        ca_file: None,
        proxy: None,
        store: Some(folder.join("store.sqlite")),
        locks: Some(folder.join("locks")),
        files: None,
        files_bytes_max: 1,
        record: None,
        status: None,
        warnings: vec![],
    }
}

/// The lines that are errors, without what each begins with.
fn errors(told: &str) -> Vec<&str> {
    let errors = told
        .lines()
        .filter_map(|line| line.strip_prefix("error    agent echo: "));
    errors.collect()
}

#[tokio::test]
async fn what_works_is_told_check_by_check() {
    let (told, result) = checked(GOOD).await;
    assert_eq!(
        told,
        "\
ok       the configuration has 1 agent(s)
ok       nobody else can change the configuration, or read a key in a file
ok       the store: the disk of FOLDER has room
ok       the store: FOLDER/store.sqlite is made at the first start of the plugin
ok       agent echo: logged in as Echo (u_1), in 1 guild(s)
ok       agent echo: Center at ORIGIN does not tell the time
ok       agent echo: no process of this machine serves the account now
ok       agent echo: guild g1: a token lives 900 s
ok       agent echo: guild g1 at ORIGIN: runs version 0.1.0
ok       agent echo: guild g1 at ORIGIN does not tell the time
ok       agent echo: guild g1: 1 channel(s): general
ok       agent echo: guild g1: its socket accepts the token
"
    );
    assert_eq!(result, Ok(()));
    let health = r#"404 {"statusCode":404,"message":"Not Found"}"#;
    let (told, result) = checked(Fabric { health, ..GOOD }).await;
    let line = "guild g1 at ORIGIN: answers, and does not tell its version\n";
    assert!(told.contains(line), "an older guild has none: {told}");
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn what_should_be_looked_at_is_no_error() {
    let of = |seconds: u64| Some(Duration::from_secs(seconds));
    let (told, _) = checked(Fabric {
        behind: of(20),
        ..GOOD
    })
    .await;
    let line =
        "ok       agent echo: the clocks of Center at ORIGIN and of this machine are at most 2";
    assert!(told.contains(line), "{told}");
    let (told, result) = checked(Fabric {
        behind: of(45),
        ..GOOD
    })
    .await;
    for (whose, name) in [
        ("Center", "Center at ORIGIN"),
        ("guild", "guild g1 at ORIGIN"),
    ] {
        let line = told
            .lines()
            .find(|line| line.contains(&format!("clock of {whose}")));
        let start = format!("warning  agent echo: the clock of {name} is 4");
        let line = line.unwrap();
        assert!(line.starts_with(&start), "{told}");
        let end = " s behind that of this machine: let both follow NTP";
        assert!(line.ends_with(end), "{told}");
    }
    assert_eq!(result, Ok(()));

    // {"iat":1000,"exp":1030}
    let login = r#"201 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
        {"guildNodeId":"n","guildId":"g1","token":"e30.eyJpYXQiOjEwMDAsImV4cCI6MTAzMH0.t",
        "baseUrl":"{base}"}]}"#;
    let (told, _) = checked(Fabric { login, ..GOOD }).await;
    let line = "warning  agent echo: guild g1: a token lives 30 s only, so that nearly every use of it \
                takes a login: let Center make tokens that live for minutes\n";
    assert!(told.contains(line), "{told}");
}

#[tokio::test]
async fn a_login_that_does_not_work_says_whose_turn_it_is() {
    for (login, words) in [
        (
            r#"401 {"statusCode":401,"message":"unknown key"}"#,
            "Center at ORIGIN refused the key of agent echo: 401 unknown key; check the environment \
             variable FABRIC_ECHO_KEY",
        ),
        (
            "200 <!doctype html><p>hello",
            "Center's answer is not JSON; is [center] url a Fabric Center? (ORIGIN)",
        ),
        (
            "404 <!doctype html><p>nothing",
            "Center at ORIGIN did not log agent echo in: 404 Not Found; check that [center] url is a \
             Fabric Center, without /api",
        ),
        (
            r#"200 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[]}"#,
            "Center lists no guild for the account; add it to one, or start its guild's node: one \
             that never registered is not listed",
        ),
        (
            r#"200 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
            {"guildNodeId":"n","guildId":"g1","token":"t"}]}"#,
            "guild g1: Center does not say where it is; set `url` in [guild.g1]",
        ),
    ] {
        let (told, result) = checked(Fabric { login, ..GOOD }).await;
        assert_eq!(errors(&told), [words], "{told}");
        assert_eq!(result, Err("one thing does not work; see above".into()));
    }
    let (told, _) = checked_at("http://127.0.0.1:1".into()).await;
    let error = errors(&told)[0];
    assert!(error.starts_with("Center could not be reached: "), "{told}");
    let advice = "; check that [center] url is right and Center runs (ORIGIN)";
    assert!(error.ends_with(advice), "{told}");
}

#[tokio::test]
async fn a_guild_that_nobody_serves_is_one_fault() {
    let login = r#"200 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
        {"guildNodeId":"n","guildId":"g2","token":"t","baseUrl":"http://127.0.0.1:1"}]}"#;
    let (told, result) = checked(Fabric { login, ..GOOD }).await;
    let error = errors(&told)[0];
    let start = "guild g2 at http://127.0.0.1:1: the guild could not be reached: ";
    assert!(error.starts_with(start), "{told}");
    let advice = "; start its node, or set `url` in [guild.g2] where Center tells a wrong address";
    assert!(error.ends_with(advice), "{told}");
    assert_eq!(result, Err("one thing does not work; see above".into()));
}

#[tokio::test]
async fn a_guild_that_takes_no_session_is_told_from_one_that_does() {
    for (connect, words) in [
        (
            &[r#"44/realtime,{"message":"unauthorized"}"#][..],
            "its socket refuses the token (the guild refused: unauthorized); the guild does not",
        ),
        (
            &[r#"40/realtime,{"sid":"s"}"#, "41/realtime,"],
            "its socket refuses the token (the guild disconnected the session right after it",
        ),
        (
            &[r#"44/realtime,{"message":"unavailable"}"#],
            "its socket accepts no session: the guild refused: unavailable; see the guild's log",
        ),
        (
            &[],
            "its socket did not answer CONNECT in 1s; see the guild's log",
        ),
    ] {
        let (told, result) = checked(Fabric { connect, ..GOOD }).await;
        let start = format!("guild g1: {words}");
        assert!(errors(&told)[0].starts_with(&start), "{told}");
        assert!(result.is_err());
    }
    let channels = r#"401 {"statusCode":401,"message":"unknown token"}"#;
    let (told, _) = checked(Fabric { channels, ..GOOD }).await;
    let words = "the guild refused to list the channels: 401 unknown token; the guild does not";
    assert!(errors(&told)[0].contains(words), "{told}");
}
