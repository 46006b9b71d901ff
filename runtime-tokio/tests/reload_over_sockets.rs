//! `selvedge plugin` reads its configuration again at SIGHUP: over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod stage;

use std::{fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::stage::{PATIENCE, Plugin, Stage, selvedge};

/// Two links that became live at the same moment differ by no more: the rounding of two ages.
const SAME: u64 = 20;

async fn report(stage: &Stage) -> Value {
    let (_, body) = stage.get("/status").await.unwrap();
    serde_json::from_str(&body).unwrap()
}

/// Waits until the plugin has exactly these agents, and all of them are live.
async fn until_live(stage: &Stage, agents: &[&str]) {
    let since = stage.clock.now();
    loop {
        let ready = stage
            .get("/readyz")
            .await
            .is_some_and(|(status, _)| status == 200);
        let told = report(stage).await;
        let told = told["agents"].as_array().unwrap();
        let names: Vec<_> = told.iter().map(|agent| agent["agent_id"].clone()).collect();
        if ready && names == agents {
            return;
        }
        assert!(stage.clock.now().since(since) < PATIENCE, "{names:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When the only link of an agent became live, from the start of the process.
async fn live_since(stage: &Stage, agent: &str) -> u64 {
    let up = report(stage).await["up_ms"].as_u64().unwrap();
    let link = stage.link(agent).await;
    assert_eq!(link["state"], "live");
    up - link["for_ms"].as_u64().unwrap()
}

fn hang_up(plugin: &Plugin) {
    kill_process(Pid::from_child(&plugin.0), Signal::HUP).unwrap();
}

/// Waits until the log says this so often.
async fn said(stage: &Stage, log: &Path, words: &str, times: usize) {
    let since = stage.clock.now();
    while fs::read_to_string(log).unwrap().matches(words).count() < times {
        let late = stage.clock.now().since(since) > PATIENCE;
        assert!(!late, "{}", fs::read_to_string(log).unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A certificate to trust. Nothing here is signed by it.
const ROOT: &str = "\
    -----BEGIN CERTIFICATE-----\n\
    MIIBeTCCAR+gAwIBAgIUFx+EBaguSGtSwRePHD+928MihMwwCgYIKoZIzj0EAwIw\n\
    ETEPMA0GA1UEAwwGYSB0ZXN0MCAXDTI2MTEyOTE0MzYxMFoYDzIxMjYxMTA1MTQz\n\
    NjEwWjARMQ8wDQYDVQQDDAZhIHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
    AAQsD3FvTQyrlxZJEIJIsiq0MHSjttj25fJ1AP+fvBk0vSrk0Ve2Z9T7mwrt7U1W\n\
    uniyxTnMUC+tLumXPo/RzGBHo1MwUTAdBgNVHQ4EFgQUFQsV/xakkUwATkgTml+i\n\
    GjPwrSwwHwYDVR0jBBgwFoAUFQsV/xakkUwATkgTml+iGjPwrSwwDwYDVR0TAQH/\n\
    BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAnJ7iw+gsvRYWacOL1I42bSzdmzCi\n\
    NyJZO09EukC66dQCIGm3ukDctkcGvEMaUd+RjNx9N+5EeEXDbpEf0o7OtkRU\n\
    -----END CERTIFICATE-----\n\
    ";

#[tokio::test(flavor = "multi_thread")]
async fn roots_that_are_renewed_under_the_same_name_are_taken() {
    let (stage, guild) = Stage::start().await;
    stage.account("a").await;
    let (config, log) = (stage.configure(&["a"]), stage.path("log"));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[net]\nca_file = \"ca.pem\"\n")).unwrap();
    let ca = stage.path("ca.pem");
    fs::write(&ca, ROOT).unwrap();
    let plugin = Plugin::start(&config, &log, "human");
    stage.until_ready(200).await;
    until_live(&stage, &["a"]).await;
    hang_up(&plugin);
    said(&stage, &log, "read again: 1 agent(s) go on untouched", 1).await;
    fs::write(&ca, "no certificate").unwrap();
    hang_up(&plugin);
    said(&stage, &log, "there is no certificate in it", 1).await;
    said(&stage, &log, "nothing has changed", 1).await;
    fs::write(&ca, ROOT.repeat(2)).unwrap();
    hang_up(&plugin);
    said(&stage, &log, "0 agent(s) go on untouched; restarted: a", 1).await;
    until_live(&stage, &["a"]).await;
    hang_up(&plugin);
    said(&stage, &log, "read again: 1 agent(s) go on untouched", 2).await;
    guild.shutdown().await.unwrap();
    stage.center.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_a_new_configuration_leaves_as_they_are_notice_nothing() {
    let (stage, guild) = Stage::start().await;
    for name in ["a", "b", "c"] {
        stage.account(name).await;
    }
    let (config, log) = (stage.configure(&["a", "b"]), stage.path("log"));
    let plugin = Plugin::start(&config, &log, "human");
    stage.until_ready(200).await;
    until_live(&stage, &["a", "b"]).await;
    // Whatever is started anew from here on has become live later by more than the tolerance.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = live_since(&stage, "a").await;

    stage.configure(&["a", "c"]);
    hang_up(&plugin);
    until_live(&stage, &["a", "c"]).await;
    let words = "read again: 1 agent(s) go on untouched; started: c; stopped: b";
    said(&stage, &log, words, 1).await;
    let after = live_since(&stage, "a").await;
    assert!(after.abs_diff(before) <= SAME, "{before} {after}");
    assert_eq!(stage.link("a").await["lives"], 1);

    let right = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{right}nonsense = 1\n")).unwrap();
    hang_up(&plugin);
    said(&stage, &log, "nonsense is not a key", 1).await;
    said(&stage, &log, "nothing has changed", 1).await;
    until_live(&stage, &["a", "c"]).await;

    // The last agent of the file has a setting now that it had not.
    fs::write(&config, format!("{right}allow_users = [\"u\"]\n")).unwrap();
    let c_before = live_since(&stage, "c").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    hang_up(&plugin);
    said(&stage, &log, "1 agent(s) go on untouched; restarted: c", 1).await;
    until_live(&stage, &["a", "c"]).await;
    let c_after = live_since(&stage, "c").await;
    assert!(c_after > c_before + SAME, "{c_before} {c_after}");

    // What belongs to the process waits for its next start.
    fs::write(
        &config,
        format!("{right}allow_users = [\"u\"]\n[host]\nprofile = \"claude\"\n"),
    )
    .unwrap();
    hang_up(&plugin);
    let words = "2 agent(s) go on untouched; only at the next start of the plugin: [host] profile";
    said(&stage, &log, words, 1).await;

    // What all share is the setting of each.
    let elsewhere = right.replace("http://127.0.0.1:", "http://localhost:");
    assert_ne!(elsewhere, right);
    fs::write(&config, elsewhere).unwrap();
    hang_up(&plugin);
    said(
        &stage,
        &log,
        "0 agent(s) go on untouched; restarted: a, c",
        1,
    )
    .await;
    until_live(&stage, &["a", "c"]).await;
    let after = live_since(&stage, "a").await;
    assert!(after > before + SAME, "{before} {after}");

    let output = selvedge("status", &config).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "the address is still served");
    guild.shutdown().await.unwrap();
    stage.center.shutdown().await;
}
