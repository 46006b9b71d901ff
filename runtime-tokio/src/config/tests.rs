//! Configurations, good and bad; the words of every fault as an operator reads them.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

use super::*;

const LEAST: &str = "[center]\nurl = \"http://127.0.0.1:7001\"\n[[agent]]\nid = \
                     \"echo\"\napi_key_env = \"FABRIC_ECHO_KEY\"\n";

fn env(extra: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
    let mut env = vec![("FABRIC_ECHO_KEY".to_owned(), "very-secret\n".to_owned())];
    env.extend(
        extra
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string())),
    );
    env.into_iter()
}

fn load(text: &str, extra: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    load_in(folder.path(), text, extra)
}

/// The problems with the folder's name taken out.
fn load_in(folder: &Path, text: &str, extra: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let path = folder.join("selvedge.toml");
    fs::write(&path, text).unwrap();
    Config::load(&path, env(extra)).map_err(|error| {
        let prefix = format!("{}/", folder.display());
        let strip = |problem: &String| problem.replace(&prefix, "");
        error.problems.iter().map(strip).collect()
    })
}

fn problems(text: &str, extra: &[(&str, &str)]) -> Vec<String> {
    load(text, extra).unwrap_err()
}

#[test]
fn the_least_that_works() {
    let config = load(LEAST, &[]).unwrap();
    assert_eq!(config.center_url, "http://127.0.0.1:7001");
    assert_eq!(config.profile, Profile::Plexum);
    assert_eq!(config.logins_max, 8);
    let [agent] = config.agents.as_slice() else {
        panic!("{config:?}");
    };
    let plain = plugin::config::Config::new(AgentId::new("echo").unwrap());
    assert_eq!(agent.config, plain);
    let Login::ApiKey { api_key } = &agent.login else {
        panic!("{agent:?}");
    };
    assert_eq!(api_key.expose(), "very-secret");
    assert_eq!(
        agent.login_source,
        "the environment variable FABRIC_ECHO_KEY"
    );
    assert!(!format!("{config:?}").contains("very-secret"));
}

#[test]
fn everything_that_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("password"), "pass word\r\n").unwrap();
    fs::set_permissions(
        folder.path().join("password"),
        Permissions::from_mode(0o644),
    )
    .unwrap();
    let text = r#"
[center]
url = "https://center.example/"
[[agent]]
id = "a"
name = "ann"
password_file = "password"
guilds = ["g1", "g2"]
allow_users = ["u1"]
allow_channels = ["c1"]
sync_commands = true
[guild.g1]
url = "http://127.0.0.1:7002/"
[store]
path = "state/selvedge.db"
[host]
profile = "claude"
[net]
ca_file = "ca.pem"
proxy = "http://proxy:3128"
[files]
dir = "exchange"
bytes_max = 5_000
[record]
dir = "traces"
segment_bytes = 1_000_000
filler = true
[plugin]
session_ttl_ms = -1
login_patience_ms = 2_000
coalesce_ms = 500
backfill_max = 50
dedup_max = 10
loop_turns = 3
join_acks = false
logins_max = 2
"#;
    let config = load_in(folder.path(), text, &[]).unwrap();
    assert_eq!(config.center_url, "https://center.example");
    assert_eq!(config.store, Some(folder.path().join("state/selvedge.db")));
    assert_eq!(config.ca_file, Some(folder.path().join("ca.pem")));
    let recorded = RecordOptions {
        dir: folder.path().join("traces"),
        segment_bytes: 1_000_000,
        segments: SEGMENTS,
        filler: true,
        secrets: Vec::new(),
    };
    assert_eq!(config.record, Some(recorded));
    assert_eq!(config.files, Some(folder.path().join("exchange")));
    assert_eq!(config.files_bytes_max, 5_000);
    assert_eq!(config.proxy.unwrap().url(), "http://proxy:3128");
    assert_eq!(config.logins_max, 2);
    let agent = config.agents.into_iter().next().unwrap();
    let mut expected = plugin::config::Config::new(AgentId::new("a").unwrap());
    let guild = |id| GuildId::new(id).unwrap();
    expected.guilds = Some([guild("g1"), guild("g2")].into());
    expected.allow_users = Some([UserId::new("u1").unwrap()].into());
    expected.allow_channels = Some([ChannelId::new("c1").unwrap()].into());
    expected.origins = [(guild("g1"), "http://127.0.0.1:7002".to_owned())].into();
    expected.login_patience = Duration::from_secs(2);
    expected.coalesce = Some(Duration::from_millis(500));
    expected.backfill_max = 50;
    expected.dedup_max = 10;
    expected.loop_turns = 3;
    expected.join_acks = false;
    expected.profile = Profile::Claude;
    assert_eq!(agent.config, expected);
    assert!(agent.sync_commands);
    assert!(matches!(&agent.login, Login::Password { name, password }
            if name == "ann" && password.expose() == "pass word"));
    assert_eq!(
        config.warnings,
        [format!(
            "{} can be read by every user of this machine: run chmod 600 on it",
            folder.path().join("password").display()
        )]
    );
}

#[test]
fn all_faults_are_told_at_once_with_line_key_and_expectation() {
    let text = r#"
[center]
url = "127.0.0.1:7001"
urll = 1
[centre]
[[agent]]
api_key = "very-secret"
guilds = []
[[agent]]
id = "b"
[host]
profile = "cloud"
[plugin]
dedup_maximum = 1
dedup_max = 0
turn_timeout_ms = "10 min"
session_ttl_ms = 99999999999
join_acks = 1
[net]
proxy = "http://me:very-secret@proxy"
"#;
    assert_eq!(
        problems(text, &[]),
        [
            "selvedge.toml:3: [center] url: expected an http or https URL such as \
             http://127.0.0.1:7001, without /api, found \"127.0.0.1:7001\"",
            "selvedge.toml:4: [center] urll is not a key; did you mean url?",
            "selvedge.toml:12: [host] profile: expected \"plexum\" or \"claude\", found \"cloud\"",
            "selvedge.toml:20: [net] proxy: secrets do not stand in this file; set the URL with \
             its password in the environment variable SELVEDGE_NET__PROXY",
            "selvedge.toml:17: [plugin] session_ttl_ms: expected a whole number up to 86400000 \
             (milliseconds), found 99999999999",
            "selvedge.toml:18: [plugin] join_acks: expected true or false, found 1",
            "selvedge.toml:15: [plugin] dedup_max: expected a whole number from 1 to 1000000, \
             found 0",
            "selvedge.toml:16: [plugin] turn_timeout_ms: expected a whole number from 1 to \
             86400000 (milliseconds), found \"10 min\"",
            "selvedge.toml:14: [plugin] dedup_maximum is not a key; did you mean dedup_max?",
            "selvedge.toml:6: [[agent]] id is missing: expected a name for the agent",
            "selvedge.toml:8: [[agent]] guilds: expected a list of guild ids, with at least one, \
             found a list",
            "selvedge.toml:6: [[agent]] has no login: set api_key_env, api_key_file, or name and \
             password_env",
            "selvedge.toml:7: [[agent]] api_key: secrets do not stand in this file; set \
             api_key_env to the name of an environment variable, or api_key_file to a file",
            "selvedge.toml:9: [[agent]] has no login: set api_key_env, api_key_file, or name and \
             password_env",
            "selvedge.toml:5: [centre] is not a section; did you mean center?",
        ]
    );
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        problems("", &[]),
        [
            "selvedge.toml: [center] url is missing: expected an http or https URL such as \
             http://127.0.0.1:7001, without /api",
            "selvedge.toml: [[agent]] is missing: expected at least one agent with an id",
        ]
    );
    let text = LEAST.replace("FABRIC_ECHO_KEY", "NOT_SET");
    assert_eq!(
        problems(&text, &[]),
        [
            "selvedge.toml:5: [[agent]] api_key_env: the environment variable NOT_SET is not set; set it where this process is started"
        ]
    );
    let text = LEAST.replace("FABRIC_ECHO_KEY", "fab_very-secret");
    assert_eq!(
        problems(&text, &[]),
        [
            "selvedge.toml:5: [[agent]] api_key_env: the environment variable that api_key_env \
             names is not set; set it where this process is started"
        ]
    );
    let text = LEAST.replace(
        "api_key_env = \"FABRIC_ECHO_KEY\"",
        "api_key_file = \"key\"",
    );
    assert_eq!(
        problems(&text, &[]),
        [
            "selvedge.toml:5: [[agent]] api_key_file: cannot read key: No such file or directory \
             (os error 2); expected a file that holds the secret and nothing else, readable by its \
             owner"
        ]
    );
    let text = format!("{LEAST}name = \"ann\"\n");
    assert_eq!(
        problems(&text, &[]),
        [
            "selvedge.toml:3: [[agent]] has two logins: set either an API key, or name and \
             password"
        ]
    );
    let text = LEAST.replace("http://", "http://me:very-secret@");
    assert_eq!(
        problems(&text, &[]),
        [
            "selvedge.toml:2: [center] url: expected an http or https URL such as \
             http://127.0.0.1:7001, without /api, found a text that may hold a password"
        ]
    );
    let two = LEAST.replace("[[agent]]", "[[agent]]\nsync_commands = true");
    let (_, second) = two.split_once("[[agent]]").unwrap();
    let two = format!("{two}[[agent]]{}", second.replace("echo", "else"));
    assert_eq!(
        problems(&two, &[]),
        [
            "selvedge.toml:7: [[agent]] sync_commands: echo has it too, and they would overwrite \
             each other's commands; leave it to one agent"
        ]
    );
    let twice = format!("{LEAST}[[agent]]\nid = \"echo\"\napi_key_env = \"FABRIC_ECHO_KEY\"\n");
    assert_eq!(
        problems(&twice, &[]),
        ["selvedge.toml:6: [[agent]] id: there are two agents echo"]
    );
    assert_eq!(problems("[center]\nurl = \n", &[]).len(), 1);
    let error = Config::load(Path::new("/nonexistent/x.toml"), env(&[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration /nonexistent/x.toml: No such file or directory (os error 2); name it with --config"
    );
}

#[test]
fn an_environment_variable_overrides_a_key() {
    let text = format!("{LEAST}[guild.guild-1]\nurl = \"http://old\"\n");
    let config = load(
        &text,
        &[
            ("SELVEDGE_CENTER__URL", "http://other:1"),
            ("SELVEDGE_AGENT__0__ID", "renamed"),
            ("SELVEDGE_AGENT__0__GUILDS", "g1, g2"),
            ("SELVEDGE_AGENT__1__ID", "second"),
            ("SELVEDGE_AGENT__1__API_KEY_ENV", "FABRIC_ECHO_KEY"),
            ("SELVEDGE_GUILD__GUILD_1__URL", "http://new"),
            ("SELVEDGE_PLUGIN__DEDUP_MAX", "7"),
            ("SELVEDGE_PLUGIN__JOIN_ACKS", "false"),
            ("SELVEDGE_NET__PROXY", "http://me:word@proxy"),
            ("SELVEDGE_LOG", "debug"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.center_url, "http://other:1");
    let ids: Vec<_> = config
        .agents
        .iter()
        .map(|agent| agent.config.agent_id.as_str())
        .collect();
    assert_eq!(ids, ["renamed", "second"]);
    let agent = &config.agents[0].config;
    assert_eq!(agent.guilds.as_ref().unwrap().len(), 2);
    assert_eq!(agent.dedup_max, 7);
    assert!(!agent.join_acks);
    assert_eq!(agent.origins.values().collect::<Vec<_>>(), ["http://new"]);
    assert!(config.proxy.unwrap().authorization().is_some());
}

#[test]
fn an_override_of_nothing_is_an_error() {
    assert_eq!(
        problems(
            LEAST,
            &[
                ("SELVEDGE_AGENT__5__ID", "x"),
                ("SELVEDGE_CENTER_URL", "x"),
                ("SELVEDGE_CENTRE__URL", "x"),
                ("SELVEDGE_PLUGIN__DEDUP_MAX", "many"),
            ]
        ),
        [
            "environment variable SELVEDGE_AGENT__5__ID: there are only 1 agent(s), counted from 0",
            "environment variable SELVEDGE_CENTER_URL: overrides nothing; did you mean \
             SELVEDGE_CENTER__URL?",
            "environment variable SELVEDGE_CENTRE__URL: overrides no key; did you mean \
             SELVEDGE_CENTER__URL?",
            "environment variable SELVEDGE_PLUGIN__DEDUP_MAX: [plugin] dedup_max: expected a \
             whole number from 1 to 1000000, found \"many\"",
        ]
    );
}

#[test]
fn the_store_is_in_the_users_state_directory() {
    let store = |extra: &[(&str, &str)]| load(LEAST, extra).unwrap().store;
    let home = ("HOME", "/home/ann");
    assert_eq!(store(&[]), None);
    let path = Some(PathBuf::from(
        "/home/ann/.local/state/selvedge/plugin.sqlite",
    ));
    assert_eq!(store(&[home]), path);
    assert_eq!(
        store(&[home, ("XDG_STATE_HOME", "state")]),
        path,
        "a relative one"
    );
    let path = Some(PathBuf::from("/var/state/selvedge/plugin.sqlite"));
    assert_eq!(store(&[home, ("XDG_STATE_HOME", "/var/state")]), path);
    let path = Some(PathBuf::from("/srv/store"));
    assert_eq!(store(&[home, ("SELVEDGE_STORE__PATH", "/srv/store")]), path);
}

#[test]
fn the_lists_of_keys_agree() {
    let (_, plugin) = SECTIONS.iter().find(|(name, _)| *name == "plugin").unwrap();
    let mut listed: Vec<_> = plugin.to_vec();
    listed.retain(|key| *key != "logins_max");
    let set: Vec<_> = NUMBERS.iter().map(|(key, _)| *key).collect();
    assert_eq!(listed, set);
}
