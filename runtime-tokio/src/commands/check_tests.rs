//! Tests of `--check`: what an operator reads, for everything that can be wrong.

use futures::{SinkExt as _, StreamExt as _};
use selvedge_core::{Secret, id::AgentId, plugin};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::config::Profile;

/// What Center and guild answer; `{base}` in it is where they are.
#[derive(Clone, Copy)]
struct Fabric {
    login: &'static str,
    channels: &'static str,
    connect: &'static [&'static str],
}

const GOOD: Fabric = Fabric {
    login: r#"201 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
        {"guildNodeId":"n","guildId":"g1","token":"t","baseUrl":"{base}"}]}"#,
    channels: r#"200 [{"id":"c1","name":"general","xType":"general"}]"#,
    connect: &[r#"40/realtime,{"sid":"s"}"#],
};

/// Center and guild in one.
async fn serve(fabric: Fabric) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let base = origin.clone();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 16];
            tcp.peek(&mut head).await.unwrap();
            if head.starts_with(b"GET /socket.io") {
                tokio::spawn(session(tcp, fabric));
                continue;
            }
            let _ = tcp.read(&mut [0; 4096]).await.unwrap();
            let answer = if head.starts_with(b"POST") {
                fabric.login
            } else {
                fabric.channels
            };
            let (status, body) = answer.split_once(' ').unwrap();
            let body = body.replace("{base}", &base);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
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
    assert_eq!(connect, Message::text(r#"40/realtime,{"token":"t"}"#));
    for packet in fabric.connect {
        socket.send(Message::text(*packet)).await.unwrap();
    }
    while let Some(Ok(_)) = socket.next().await {}
}

async fn checked(fabric: Fabric) -> (String, Result<(), String>) {
    checked_at(serve(fabric).await).await
}

async fn checked_at(origin: String) -> (String, Result<(), String>) {
    let mut agent = Agent {
        config: plugin::config::Config::new(AgentId::new("echo").unwrap()),
        login: Login::ApiKey {
            api_key: Secret::new("very-secret"),
        },
        login_source: "the environment variable FABRIC_ECHO_KEY".into(),
    };
    agent.config.step_timeout = Duration::from_secs(1);
    let config = Config {
        center_url: origin.clone(),
        agents: vec![agent],
        logins_max: 1,
        profile: Profile::Plexum,
        ca_file: None,
        proxy: None,
        store: None,
        files: None,
        files_bytes_max: 1,
        record: None,
        warnings: vec![],
    };
    let mut out = Vec::new();
    let result = run(&config, &mut out).await;
    let told = String::from_utf8(out).unwrap().replace(&origin, "ORIGIN");
    (told, result.map_err(|failure| failure.to_string()))
}

#[tokio::test]
async fn what_works_is_told_step_by_step() {
    let (told, result) = checked(GOOD).await;
    assert_eq!(
        told,
        "agent echo\n  ok    logged in as Echo (u_1), in 1 guild(s)\n  ok    guild g1 at ORIGIN: 1 \
         channel(s): general\n  ok    guild g1: its socket accepts the token\n"
    );
    assert_eq!(result, Ok(()));
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
        assert!(told.ends_with(&format!("  FAIL  {words}\n")), "{told}");
        assert_eq!(result, Err("one thing does not work; see above".into()));
    }
    let (told, _) = checked_at("http://127.0.0.1:1".into()).await;
    assert!(
        told.contains("  FAIL  Center could not be reached: "),
        "{told}"
    );
    let advice = "; check that [center] url is right and Center runs (ORIGIN)\n";
    assert!(told.ends_with(advice), "{told}");
}

#[tokio::test]
async fn a_guild_that_nobody_serves_is_one_fault() {
    let login = r#"200 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
        {"guildNodeId":"n","guildId":"g2","token":"t","baseUrl":"http://127.0.0.1:1"}]}"#;
    let (told, result) = checked(Fabric { login, ..GOOD }).await;
    let start = "  FAIL  guild g2 at http://127.0.0.1:1: the guild could not be reached: ";
    assert!(told.lines().nth(2).unwrap().starts_with(start), "{told}");
    let advice =
        "; start its node, or set `url` in [guild.g2] where Center tells a wrong address\n";
    assert!(told.ends_with(advice), "{told}");
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
        let line = told.lines().nth(3).unwrap();
        let start = format!("  FAIL  guild g1: {words}");
        assert!(line.starts_with(&start), "{told}");
        assert!(result.is_err());
    }
    let channels = r#"401 {"statusCode":401,"message":"unknown token"}"#;
    let (told, _) = checked(Fabric { channels, ..GOOD }).await;
    let words = "the guild refused to list the channels: 401 unknown token; the guild does not";
    assert!(told.lines().nth(2).unwrap().contains(words), "{told}");
}
