//! The plugin's configuration: a TOML file, environment variables over it, and everything that is
//! wrong with them told at once.

mod keys;
mod overrides;
mod secret_source;
mod tree;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use selvedge_core::{
    fabric::center::Login,
    id::{AgentId, ChannelId, GuildId, UserId},
    plugin::{self, login_gate::LoginGate},
};

pub use selvedge_core::plugin::config::Profile;

use self::{
    keys::{COUNT_MAX, NUMBERS, SECTIONS, SPAN_MS_MAX, Sets},
    secret_source::{Source, changeable, take_secret},
    tree::{Node, Place, Problems, Section, Table, Value, hint},
};
use crate::{
    proxy::Proxy,
    recorder::{RecordOptions, SEGMENT_BYTES, SEGMENTS},
};

/// The longest file that is downloaded where nobody says: as much as guilds take.
pub const FILES_BYTES_MAX: u64 = 100 << 20;

/// What `selvedge plugin` runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Center's URL without a slash at the end; `/api/…` is appended.
    pub center_url: String,
    /// The agents, at least one, each id once.
    pub agents: Vec<Agent>,
    /// How many logins of all agents together may be under way.
    pub logins_max: usize,
    /// How inbounds are shown to the host.
    pub profile: Profile,
    /// Additional TLS roots, as PEM.
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy.
    pub proxy: Option<Proxy>,
    /// Where the store is: as it is written, else in the user's state directory; `None` where that is
    /// not known either.
    pub store: Option<PathBuf>,
    /// Where the locks of accounts are, in the user's state directory whatever the store is; `None`
    /// where that is not known.
    pub locks: Option<PathBuf>,
    /// The folder of files that agents' hosts and guilds exchange; `None` for no such tools.
    pub files: Option<PathBuf>,
    /// The longest file that is downloaded, in bytes.
    pub files_bytes_max: u64,
    /// Where recordings go, if any are made, and how much is kept.
    pub record: Option<RecordOptions>,
    /// Where the plugin tells how it does, if anywhere.
    pub status: Option<SocketAddr>,
    /// What is not wrong but should be looked at.
    pub warnings: Vec<String>,
}

/// One agent of the file. Equal ones run alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What its machine keeps to.
    pub config: plugin::config::Config,
    /// What it logs in with.
    pub login: Login,
    /// Where the key or password came from, for messages to the operator.
    pub login_source: String,
    /// Whether it brings the host's slash commands to its guilds; at most one does.
    pub sync_commands: bool,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One sentence for each fault: where it is, what stands there, what was expected.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => f.write_str(one),
            many => {
                write!(f, "the configuration has {} problems:", many.len())?;
                many.iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl Config {
    /// Reads the file at `path` and the overrides in `env`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or anything in it or in the overrides is wrong.
    pub fn load(
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = text_of(path)?;
        let env: BTreeMap<String, String> = env.collect();
        let mut problems = Problems::new(path.display().to_string());
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let config = read(&text, folder, &env, &mut problems);
        let problems = problems.into_found();
        match config {
            Some(mut config) if problems.is_empty() => {
                config.warnings.extend(changeable(path));
                Ok(config)
            }
            Some(_) | None => Err(ConfigError { problems }),
        }
    }
}

/// Where the store of the configuration at `path` is, whatever else is wrong with it: who makes a
/// backup may not have the keys of its agents. `None` where that is not known.
///
/// # Errors
///
/// Where the file cannot be read, or its section `[store]` is wrong.
pub fn store_of(
    path: &Path,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Option<PathBuf>, ConfigError> {
    let text = text_of(path)?;
    let env: BTreeMap<String, String> = env.collect();
    let mut problems = Problems::new(path.display().to_string());
    let mut tree = tree::parse(&text, &mut problems);
    let overrides = env
        .iter()
        .filter(|(name, _)| name.starts_with("SELVEDGE_STORE__"));
    let overrides = overrides.map(|(name, value)| (name.clone(), value.clone()));
    overrides::apply(&mut tree, overrides, &mut problems);
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let store = read_store(&mut tree, folder, &env, &mut problems);
    let problems = problems.into_found();
    match problems.is_empty() {
        true => Ok(store),
        false => Err(ConfigError { problems }),
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError {
        problems: vec![format!(
            "cannot read the configuration {}: {error}; name it with --config",
            path.display()
        )],
    })
}

/// Where the store is: as it is written, else in the user's state directory.
fn read_store(
    tree: &mut Table,
    folder: &Path,
    env: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let mut store = section(tree, "store", problems);
    let path = store.read("path", "a path", |text| path_in(folder, text));
    store.finish();
    path.or_else(|| Some(state_folder(env)?.join("plugin.sqlite")))
}

/// `None` comes with at least one problem.
fn read(
    text: &str,
    folder: &Path,
    env: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<Config> {
    let mut tree = tree::parse(text, problems);
    if !problems.is_empty() {
        return None;
    }
    overrides::apply(
        &mut tree,
        env.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
        problems,
    );
    let mut warnings = Vec::new();

    let mut center = section(&mut tree, "center", problems);
    let expected = "an http or https URL such as http://127.0.0.1:7001, without /api";
    let written = center.place("url");
    let center_url = center.read("url", expected, origin);
    if center_url.is_none() && written.is_none() {
        center.problem(None, format_args!("url is missing: expected {expected}"));
    }
    center.finish();

    let origins = read_guilds(&mut tree, problems);

    let store = read_store(&mut tree, folder, env, problems);

    let mut host = section(&mut tree, "host", problems);
    let profile = host.read("profile", "\"plexum\" or \"claude\"", |text| match text {
        "plexum" => Some(Profile::Plexum),
        "claude" => Some(Profile::Claude),
        _ => None,
    });
    let profile = profile.unwrap_or(Profile::Plexum);
    host.finish();

    let mut net = section(&mut tree, "net", problems);
    let ca_file = net.read("ca_file", "a path", |text| path_in(folder, text));
    let proxy_place = net.place("proxy");
    let proxy = net.read(
        "proxy",
        "an http proxy such as http://proxy:3128",
        Proxy::parse,
    );
    if proxy
        .as_ref()
        .is_some_and(|proxy| proxy.authorization().is_some())
        && matches!(proxy_place, Some(Place::Line(_)))
    {
        net.problem(
            proxy_place.as_ref(),
            "proxy: secrets do not stand in this file; set the URL with its password in the \
             environment variable SELVEDGE_NET__PROXY",
        );
    }
    net.finish();

    let mut files = section(&mut tree, "files", problems);
    let files_dir = files.read("dir", "a path", |text| path_in(folder, text));
    let files_bytes_max = files
        .number("bytes_max", 1..=i64::MAX, "")
        .and_then(|most| u64::try_from(most).ok())
        .unwrap_or(FILES_BYTES_MAX);
    files.finish();

    let mut record = section(&mut tree, "record", problems);
    let record_dir = record.read("dir", "a path", |text| path_in(folder, text));
    let mut record_max = |key, default| {
        let most = record.number(key, 1..=i64::MAX, "");
        most.and_then(|most| u64::try_from(most).ok())
            .unwrap_or(default)
    };
    let [segment_bytes, segments] = [
        record_max("segment_bytes", SEGMENT_BYTES),
        record_max("segments", SEGMENTS),
    ];
    let filler = record.truth("filler").unwrap_or(false);
    record.finish();

    let mut status = section(&mut tree, "status", problems);
    let expected = "an IP address with a port, such as 127.0.0.1:9102";
    let status_listen: Option<SocketAddr> =
        status.read("listen", expected, |text| text.parse().ok());
    status.finish();
    if let Some(addr) = status_listen.filter(|addr| !addr.ip().is_loopback()) {
        warnings.push(format!(
            "[status] listen = {addr} is asked by whoever reaches that address: see that only those \
             do who should know"
        ));
    }

    let mut numbers = section(&mut tree, "plugin", problems);
    let mut setters = read_numbers(&mut numbers);
    let logins_max = numbers
        .number("logins_max", 1..=COUNT_MAX, "")
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(LoginGate::IN_FLIGHT);
    numbers.finish();

    let agents = read_agents(&mut tree, folder, env, problems, &mut warnings);
    for (name, value) in tree {
        let known = SECTIONS
            .iter()
            .map(|(name, _)| *name)
            .chain(["agent", "guild"]);
        let hint = hint(&name, known);
        problems.add(
            Some(&value.place),
            format_args!("[{name}] is not a section{hint}"),
        );
    }
    let agents = agents
        .into_iter()
        .map(|mut agent| {
            agent.config.origins.clone_from(&origins);
            agent.config.profile = profile;
            for set in &mut setters {
                set(&mut agent.config);
            }
            agent
        })
        .collect();
    Some(Config {
        center_url: center_url?,
        agents,
        logins_max,
        profile,
        ca_file,
        proxy,
        store,
        locks: state_folder(env).map(|state| state.join("locks")),
        files: files_dir,
        files_bytes_max,
        record: record_dir.map(|dir| RecordOptions {
            dir,
            segment_bytes,
            segments,
            filler,
            secrets: Vec::new(),
        }),
        status: status_listen,
        warnings,
    })
}

/// Takes a section out of the tree; one that is absent is empty.
fn section<'p>(tree: &mut Table, name: &str, problems: &'p mut Problems) -> Section<'p> {
    let written = format!("[{name}]");
    let table = match tree.remove(name) {
        None => Table::new(),
        Some(Value {
            node: Node::Table(table),
            ..
        }) => table,
        Some(Value { place, .. }) => {
            problems.add(
                Some(&place),
                format_args!("{name} is a section: expected {written} on a line of its own"),
            );
            Table::new()
        }
    };
    Section::new(written, table, problems)
}

fn read_guilds(tree: &mut Table, problems: &mut Problems) -> BTreeMap<GuildId, String> {
    let Some(guilds) = tree.remove("guild") else {
        return BTreeMap::new();
    };
    let Node::Table(guilds) = guilds.node else {
        problems.add(
            Some(&guilds.place),
            "guild is a section: expected [guild.ID] on a line of its own",
        );
        return BTreeMap::new();
    };
    let mut origins = BTreeMap::new();
    for (id, value) in guilds {
        let name = format!("[guild.{id}]");
        let Node::Table(table) = value.node else {
            problems.add(
                Some(&value.place),
                format_args!("guild.{id} is a section: expected {name} on a line of its own"),
            );
            continue;
        };
        let mut guild = Section::new(name, table, problems);
        let url = guild.read(
            "url",
            "an http or https URL such as http://127.0.0.1:7002",
            origin,
        );
        match GuildId::new(&id) {
            Some(guild) => origins.extend(url.map(|url| (guild, url))),
            None => guild.problem(Some(&value.place), "expected an id of 1 to 128 bytes"),
        }
        guild.finish();
    }
    origins
}

type Setter = Box<dyn Fn(&mut plugin::config::Config)>;

fn read_numbers(section: &mut Section<'_>) -> Vec<Setter> {
    let mut setters: Vec<Setter> = Vec::new();
    for (key, sets) in NUMBERS {
        let span = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        match *sets {
            Sets::Span(field) => {
                if let Some(millis) = section.number(key, 1..=SPAN_MS_MAX, " (milliseconds)") {
                    setters.push(Box::new(move |config| *field(config) = span(millis)));
                }
            }
            Sets::SpanOrDefault(field) => {
                if let Some(millis) = section.number(key, i64::MIN..=SPAN_MS_MAX, " (milliseconds)")
                    && millis > 0
                {
                    setters.push(Box::new(move |config| *field(config) = span(millis)));
                }
            }
            Sets::SpanOrOff(field) => {
                if let Some(millis) = section.number(key, 0..=SPAN_MS_MAX, " (milliseconds)") {
                    let span = (millis > 0).then(|| span(millis));
                    setters.push(Box::new(move |config| *field(config) = span));
                }
            }
            Sets::Count(field) => {
                let count = section.number(key, 1..=COUNT_MAX, "");
                if let Some(count) = count.and_then(|count| usize::try_from(count).ok()) {
                    setters.push(Box::new(move |config| *field(config) = count));
                }
            }
            Sets::Count32(field) => {
                let count = section.number(key, 1..=COUNT_MAX, "");
                if let Some(count) = count.and_then(|count| u32::try_from(count).ok()) {
                    setters.push(Box::new(move |config| *field(config) = count));
                }
            }
            Sets::Truth(field) => {
                if let Some(truth) = section.truth(key) {
                    setters.push(Box::new(move |config| *field(config) = truth));
                }
            }
        }
    }
    setters
}

fn read_agents(
    tree: &mut Table,
    folder: &Path,
    env: &BTreeMap<String, String>,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Agent> {
    let items = match tree.remove("agent") {
        Some(Value {
            node: Node::List(items),
            ..
        }) if !items.is_empty() => items,
        None => {
            problems.add(
                None,
                "[[agent]] is missing: expected at least one agent with an id",
            );
            return Vec::new();
        }
        Some(value) => {
            problems.add(
                Some(&value.place),
                "agent is a list of sections: expected [[agent]], with two brackets",
            );
            return Vec::new();
        }
    };
    let mut seen = BTreeSet::new();
    let mut syncs: Option<AgentId> = None;
    let mut agents = Vec::new();
    for item in items {
        let Node::Table(table) = item.node else {
            problems.add(
                Some(&item.place),
                "agent is a list of sections: expected [[agent]], with two brackets",
            );
            continue;
        };
        let mut section = Section::new("[[agent]]".into(), table, problems);
        if let Some(agent) = read_agent(&mut section, &item.place, folder, env, warnings) {
            let id = agent.config.agent_id.clone();
            if agent.sync_commands {
                match &syncs {
                    None => syncs = Some(id.clone()),
                    Some(other) => section.problem(
                        Some(&item.place),
                        format_args!(
                            "sync_commands: {other} has it too, and they would overwrite each \
                             other's commands; leave it to one agent"
                        ),
                    ),
                }
            }
            if seen.insert(id.clone()) {
                agents.push(agent);
            } else {
                section.problem(
                    Some(&item.place),
                    format_args!("id: there are two agents {id}"),
                );
            }
        }
        section.finish();
    }
    agents
}

fn read_agent(
    section: &mut Section<'_>,
    place: &Place,
    folder: &Path,
    env: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Option<Agent> {
    let written = section.place("id").is_some();
    let id = section.read("id", "an id of 1 to 128 bytes", AgentId::new);
    if !written {
        section.problem(Some(place), "id is missing: expected a name for the agent");
    }
    let guilds = section.list("guilds", "guild ids", GuildId::new);
    let allow_users = section.list("allow_users", "user ids", UserId::new);
    let allow_channels = section.list("allow_channels", "channel ids", ChannelId::new);
    let sync_commands = section.truth("sync_commands").unwrap_or(false);
    let source = Source { folder, env };
    let name_place = section.place("name");
    let name = section.read("name", "the account's name", |text| {
        (!text.is_empty()).then(|| text.to_owned())
    });
    let api_key = take_secret(section, &source, "api_key_env", "api_key_file", warnings);
    let password = take_secret(section, &source, "password_env", "password_file", warnings);
    let (login, login_source) = match (api_key, name, password) {
        (Ok(Some((api_key, from))), None, Ok(None)) => (Login::ApiKey { api_key }, from),
        (Ok(None), Some(name), Ok(Some((password, from)))) => {
            (Login::Password { name, password }, from)
        }
        (Err(()), _, _) | (_, _, Err(())) => return None,
        (Ok(None), Some(_), Ok(None)) => {
            section.problem(
                name_place.as_ref(),
                "name: the password is missing: set password_env or password_file",
            );
            return None;
        }
        (Ok(None), None, Ok(_)) => {
            section.problem(
                Some(place),
                "has no login: set api_key_env, api_key_file, or name and password_env",
            );
            return None;
        }
        (Ok(Some(_)), _, Ok(_)) => {
            section.problem(
                Some(place),
                "has two logins: set either an API key, or name and password",
            );
            return None;
        }
    };
    let mut config = plugin::config::Config::new(id?);
    config.guilds = guilds.map(BTreeSet::from_iter);
    config.allow_users = allow_users.map(BTreeSet::from_iter);
    config.allow_channels = allow_channels.map(BTreeSet::from_iter);
    Some(Agent {
        config,
        login,
        login_source,
        sync_commands,
    })
}

/// The folder in the user's state directory, as the XDG Base Directory Specification names it: a
/// relative one does not count.
fn state_folder(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = Path::new(env.get(name)?);
        path.is_absolute().then(|| path.to_path_buf())
    };
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("selvedge"))
}

fn path_in(folder: &Path, text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| folder.join(text))
}

/// An http or https URL without query, fragment and credentials, and without a slash at the end.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let path = url.path().trim_end_matches('/');
    let fits = matches!(url.scheme(), "http" | "https")
        && bare
        && url.has_host()
        && !path.ends_with("/api");
    fits.then(|| text.trim_end_matches('/').to_owned())
}
