//! `selvedge plugin` tells how it does: over real sockets, while its guild goes and comes back.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod stage;

use std::{fs, process::Output};

use serde_json::Value;

use crate::stage::{Plugin, Stage, selvedge};

fn words(output: &Output) -> String {
    let mut words = String::from_utf8(output.stdout.clone()).unwrap();
    words.push_str(&String::from_utf8(output.stderr.clone()).unwrap());
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_ready_while_its_guild_is_there() {
    let (stage, guild) = Stage::start().await;
    stage.account("echo").await;
    let config = stage.configure(&["echo"]);
    let output = selvedge("status", &config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = words(&output);
    assert!(told.contains("no plugin answers at "), "{told}");
    assert!(told.contains("`selvedge doctor` says"), "{told}");

    let log = stage.path("log");
    let _plugin = Plugin::start(&config, &log, "human");
    assert_eq!(stage.until_ready(200).await, "ok\n");
    assert_eq!(stage.get("/healthz").await, Some((200, "ok\n".into())));
    let (status, text) = stage.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let live = "selvedge_link_live{agent=\"echo\",guild=\"g\"} ";
    assert!(text.contains(&format!("{live}1\n")), "{text}");

    let output = selvedge("status", &config).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let told = words(&output);
    assert!(
        told.lines()
            .nth(1)
            .unwrap()
            .starts_with("echo   g      live   "),
        "{told}"
    );
    let output = selvedge("status", &config).arg("--json").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["agents"][0]["guilds"][0]["state"], "live");

    guild.shutdown().await.unwrap();
    let why = stage.until_ready(503).await;
    assert!(why.starts_with("agent echo, guild g: "), "{why}");
    let (_, text) = stage.get("/metrics").await.unwrap();
    assert!(text.contains(&format!("{live}0\n")), "{text}");
    assert_eq!(
        stage.get("/healthz").await.unwrap().0,
        200,
        "the process is up"
    );
    let output = selvedge("status", &config).output().unwrap();
    let told = words(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("agent echo, guild g: "), "{told}");

    let guild = stage.guild().await;
    assert_eq!(stage.until_ready(200).await, "ok\n");
    let link = stage.link("echo").await;
    assert_eq!(
        (&link["lives"], &link["ends"]["live"]),
        (&2.into(), &1.into()),
        "{link}"
    );
    let log = fs::read_to_string(log).unwrap();
    let lost: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("lost guild g"))
        .collect();
    let [line] = lost.as_slice() else {
        panic!("not one line: {log}");
    };
    let (_, words) = line.split_once("lost guild g after ").unwrap();
    let (lived, words) = words.split_once(" s: ").unwrap();
    assert!(lived.parse::<f32>().is_ok(), "{line}");
    let (why, words) = words.split_once("; dialing again in ").unwrap();
    assert!(!why.is_empty(), "{line}");
    assert!(words.ends_with(" s agent=\"echo\" guild=\"g\""), "{line}");
    guild.shutdown().await.unwrap();
    stage.center.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_reads_a_reconnect_in_one_line_of_json() {
    let (stage, guild) = Stage::start().await;
    stage.account("echo").await;
    let (config, log) = (stage.configure(&["echo"]), stage.path("log"));
    let _plugin = Plugin::start(&config, &log, "json");
    stage.until_ready(200).await;
    guild.shutdown().await.unwrap();
    stage.until_ready(503).await;
    let log = fs::read_to_string(log).unwrap();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let downs: Vec<Value> = lines
        .map(|line| line["fields"].clone())
        .filter(|fields| fields["note"] == "down" && fields["lived_ms"].is_u64())
        .collect();
    let [down] = downs.as_slice() else {
        panic!("not one line: {log}");
    };
    assert_eq!(
        (&down["agent"], &down["guild"]),
        (&"echo".into(), &"g".into())
    );
    assert!(
        down["why"].is_string() && down["retry_in_ms"].is_u64(),
        "{down}"
    );
    stage.center.shutdown().await;
}

#[test]
fn without_an_address_it_is_said_how_to_give_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.toml");
    let config =
        "[center]\nurl = \"http://127.0.0.1:1\"\n[[agent]]\nid = \"a\"\napi_key_env = \"HOME\"\n";
    fs::write(&path, config).unwrap();
    let output = selvedge("status", &path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = words(&output);
    assert!(
        told.contains("add the section [status] with listen = \"127.0.0.1:9102\""),
        "{told}"
    );
}
