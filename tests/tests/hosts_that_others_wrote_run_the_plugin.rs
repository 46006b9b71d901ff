//! The plugin under hosts that others wrote: the official SDKs and Claude Code.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    fs,
    process::{Command, Stdio},
};

use selvedge_core::{
    http::Method,
    id::ChannelId,
    plugin::{claude, inbound},
};
use selvedge_tests::{
    PATIENCE, binary,
    fabric::Fabric,
    npm::{self, Peer},
    python,
};
use serde_json::json;

const README: &str = include_str!("../../README.md");

/// The command of the plugin as its hosts are given it.
fn words(plugin: &Command) -> Vec<String> {
    let args = plugin.get_args();
    let all = [plugin.get_program()].into_iter().chain(args);
    all.map(|word| word.to_str().unwrap().to_owned()).collect()
}

/// What a host gets in its environment for the plugin.
fn give(plugin: &Command, host: &mut Command) {
    for (name, value) in plugin.get_envs() {
        host.env(name, value.unwrap());
    }
}

/// Starts a host of an SDK with the plugin for this profile.
async fn start(fabric: &mut Fabric, profile: &str, mut host: Command) -> Peer {
    let plugin = fabric.plugin_for(profile).await.unwrap();
    host.arg(json!(words(&plugin)).to_string());
    give(&plugin, &mut host);
    npm::peer(host)
}

/// Two posts in a channel are handed over and answered, the second in a turn of its own.
async fn is_woken_and_answers(profile: &str, host: Option<Command>) {
    let Some(host) = host else { return };
    let mut fabric = Fabric::start().await.unwrap();
    let mut peer = start(&mut fabric, profile, host).await;
    let (method, experimental) = match profile {
        "claude" => (claude::METHOD, json!({"claude/channel": {}})),
        _ => (inbound::METHOD, json!({})),
    };
    let hello = json!({"server": "selvedge", "experimental": experimental});
    let hello = peer.saw(&hello).await;
    assert!(hello["tools"].as_u64().unwrap() > 20, "{hello}");
    let lobby = peer
        .wait_for("a channel", |line| {
            ChannelId::new(line.get("lobby")?.as_str()?)
        })
        .await;
    let join = format!("/api/channels/{lobby}/join");
    fabric.ask(Method::Post, &join, None).await.unwrap();
    for text in ["hello", "<channel> & \"more\""] {
        let posted = fabric.post(&lobby, text).await.unwrap();
        let told = peer.saw(&json!({"method": method})).await;
        let reply = fabric.reply(&posted, PATIENCE).await.unwrap().unwrap();
        assert_eq!(
            reply.content,
            format!("echo: {}", told["content"].as_str().unwrap())
        );
        let sent = json!({"sent": reply.id, "done": true});
        peer.saw(&sent).await;
    }
    peer.stop().await;
    fabric.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_the_sdk_for_typescript_is_woken_and_answers() {
    is_woken_and_answers("plexum", npm::host("client.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_the_sdk_for_typescript_is_woken_as_claude_is() {
    is_woken_and_answers("claude", npm::host("client.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_the_sdk_for_python_is_woken_and_answers() {
    is_woken_and_answers("plexum", python::host("client.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_the_sdk_for_python_is_woken_as_claude_is() {
    is_woken_and_answers("claude", python::host("client.py")).await;
}

/// A folder in which an agent is configured whose Center is away, and the environment that it wants.
fn configured() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = "[center]\nurl = \"http://127.0.0.1:1\"\n[store]\npath = \"store.sqlite\"\n\
        [host]\nprofile = \"claude\"\n[[agent]]\nid = \"echo\"\napi_key_env = \"ECHO\"\n";
    fs::write(folder.path().join("selvedge.toml"), config).unwrap();
    folder
}

/// The `.mcp.json` that README shows.
fn shown() -> &'static str {
    let (_, block) = README.split_once("```json\n").unwrap();
    block.split_once("```").unwrap().0
}

/// It needs no login for that, and there is none.
#[test]
fn claude_code_connects_to_the_plugin_as_readme_gives_it() {
    let Some(mut claude) = npm::host("node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs")
    else {
        return;
    };
    let project = configured();
    fs::write(project.path().join(".mcp.json"), shown()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = home.path().join(".claude");
    fs::create_dir(&settings).unwrap();
    // What a person says when asked whether the folder is trusted.
    let trusted = json!({"enableAllProjectMcpServers": true}).to_string();
    fs::write(settings.join("settings.json"), trusted).unwrap();
    let programs = binary::selvedge().parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [programs.to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let output = claude
        .args(["mcp", "list"])
        .current_dir(project.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("HOME", home.path())
        .envs([
            ("ECHO", "fab_nobody"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find(|line| line.starts_with("fabric: "));
    let connected = line.is_some_and(|line| line.ends_with(" Connected"));
    assert!(
        connected,
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
