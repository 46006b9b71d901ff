//! `selvedge guild`: an embedded guild node, with its Center if wanted.

use std::{
    fs::{File, TryLockError},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, value_parser};
use reqwest::Url;
use selvedge_core::{
    Secret,
    guild::Config,
    id::{GuildId, NodeId},
};

use super::{
    record::RecordArgs,
    serving::{CommandError, Wishes, say},
};
use crate::{
    http::Client,
    serve::{
        CenterOptions, GuildOptions, RunningCenter, ServeError, center::TOKEN_LIFE_MAX,
        start_center, start_guild,
    },
    store::StoreError,
    tls,
};

/// The data folder where none is named.
pub(super) const DATA_DIR: &str = "selvedge-data";

/// The start of every variable of a guild node.
const PREFIX: &str = "FABRIC_BACKEND_GUILD_";
/// What older deployments set for MySQL, after `DB_`.
const OLDER_DB: [&str; 9] = [
    "HOST", "PORT", "USER", "USERNAME", "PASSWORD", "NAME", "DATABASE", "TYPE", "SYNC",
];
/// The default of `…_PORT`.
const PORT: u16 = 7002;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The node of a guild that brings its own Center.
const NODE: &str = "local";

/// What `--help` says about the environment.
const ENVIRONMENT: &str = "\
Environment:
  FABRIC_BACKEND_GUILD_CENTER_BASE_URL  Center's origin; required without --with-center
  FABRIC_BACKEND_GUILD_CENTER_API_KEY   the guild's API key there; required without --with-center
  FABRIC_BACKEND_GUILD_NODE_ID          the node's id; required without --with-center
  FABRIC_BACKEND_GUILD_GUILD_ID         the guild's id [default: the node's]
  FABRIC_BACKEND_GUILD_PORT             [default: 7002]
  FABRIC_BACKEND_GUILD_DB_URL           the SQLite file [default: guild.sqlite in the data folder]
  FABRIC_BACKEND_GUILD_FILE_DIR         the folder of files [default: files in the data folder]
  FABRIC_BACKEND_GUILD_FILE_MAX_BYTES   the largest file [default: 104857600]
  FABRIC_BACKEND_GUILD_FILE_TTL_DAYS    how long files are kept [default: 7]
  FABRIC_BACKEND_GUILD_CORS_ORIGINS     other origins of browsers, with commas [default: all]";

/// The options of `selvedge guild`. What identifies the node stands in the environment, in the
/// variables `FABRIC_BACKEND_GUILD_…` of Fabric.
#[derive(Clone, Debug, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct GuildArgs {
    /// Start an embedded Center too; then no variable is required.
    #[arg(long)]
    pub with_center: bool,
    /// The port of the embedded Center.
    #[arg(long, default_value_t = 7001, requires = "with_center")]
    pub center_port: u16,
    /// The file with the administrator's key of the embedded Center; without it one is made in the
    /// data folder.
    #[arg(long, requires = "with_center")]
    pub center_admin_key_file: Option<PathBuf>,
    /// How long tokens of the embedded Center live, in seconds.
    #[arg(
        long,
        default_value_t = 900,
        requires = "with_center",
        value_parser = value_parser!(u64).range(1..=TOKEN_LIFE_MAX.as_secs())
    )]
    pub center_token_life: u64,
    /// The port of the guild node. Default: `FABRIC_BACKEND_GUILD_PORT`, or 7002.
    #[arg(long)]
    pub port: Option<u16>,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// The folder with the databases and, in `files`, what was uploaded.
    #[arg(long, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// The origin that clients reach the node at, where a reverse proxy stands before it.
    #[arg(long)]
    pub public_url: Option<String>,
    /// The URL that browsers reach Center at, where it is not the one that the node itself uses: the
    /// page at `/` logs in there.
    #[arg(long, env = "FABRIC_BACKEND_GUILD_CENTER_PUBLIC_URL", value_parser = http_url)]
    pub center_public_url: Option<String>,
    /// A file with further root certificates, for Center.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// What is recorded.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// What the environment says.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    /// Center's origin and the guild's key there; `None` where Center is embedded.
    center: Option<(String, Secret)>,
    node_id: NodeId,
    guild_id: GuildId,
    port: u16,
    database: Option<PathBuf>,
    files: Option<PathBuf>,
    file_bytes_max: Option<u64>,
    file_ttl_days: Option<u32>,
    cors_origins: String,
}

/// Runs `selvedge guild` until the process is asked to end.
///
/// # Errors
///
/// Where a variable is missing or unusable, a server does not start, or the node cannot go on.
pub async fn run(args: GuildArgs) -> Result<(), CommandError> {
    for (older, newer) in older_variables(std::env::vars_os().map(|(name, _)| name)) {
        tracing::warn!("{older} is not used any more; set {newer} to an SQLite file in its place");
    }
    let settings = settings(args.with_center, |name| std::env::var(name).ok())?;
    let client = Client::new(&tls::client_config(args.ca_file.as_deref())?, None)?;
    let _held = hold(&args.data_dir)?;
    let (center, center_url, api_key) = match settings.center {
        Some((url, key)) => (None, url, key),
        None => {
            let center = embedded_center(&args).await?;
            let key = center.add_guild(&settings.guild_id).await?;
            let url = center.url();
            (Some(center), url, key)
        }
    };
    let login_url = args.center_public_url.as_ref().unwrap_or(&center_url);
    if args.public_url.as_deref().is_some_and(|url| !is_local(url)) && is_local(login_url) {
        tracing::warn!(
            "the page logs people in at {login_url}, which is this machine to their browsers; say \
             --center-public-url, the URL that Center is reached at from outside"
        );
    }
    let mut config = Config::new(settings.node_id, settings.guild_id);
    if let Some(bytes) = settings.file_bytes_max {
        config.limits.file_bytes_max = bytes;
    }
    if let Some(days) = settings.file_ttl_days {
        config.limits.file_life = DAY * days;
    }
    let options = GuildOptions {
        listen: SocketAddr::new(args.host, args.port.unwrap_or(settings.port)),
        database: settings
            .database
            .unwrap_or_else(|| args.data_dir.join("guild.sqlite")),
        files: settings
            .files
            .unwrap_or_else(|| args.data_dir.join("files")),
        config,
        center_url,
        api_key,
        public_url: args.public_url,
        center_public_url: args.center_public_url,
        cors_origins: settings.cors_origins,
        client,
        record: args.record.over(None),
    };
    serve(options, center).await
}

/// Holds the data folder for as long as the file lives: a second node there would take the guild's
/// key at the embedded Center away from the first before it found the database in use.
fn hold(data_dir: &Path) -> Result<File, ServeError> {
    let failed = |source| ServeError::File {
        path: data_dir.to_path_buf(),
        source,
    };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let path = data_dir.join("guild.lock");
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path }.into()),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

async fn embedded_center(args: &GuildArgs) -> Result<RunningCenter, CommandError> {
    let listen = SocketAddr::new(args.host, args.center_port);
    let mut options = CenterOptions::new(listen, args.data_dir.clone());
    options
        .admin_key_file
        .clone_from(&args.center_admin_key_file);
    options.token_life = Duration::from_secs(args.center_token_life);
    Ok(start_center(options).await?)
}

async fn serve(options: GuildOptions, center: Option<RunningCenter>) -> Result<(), CommandError> {
    let mut guild = start_guild(options).await?;
    let mut wishes = Wishes::heed()?;
    if let Some(center) = &center {
        say(&format!("Center is up at {}", center.url()))?;
    }
    say(&format!("the guild node is up at {}", guild.base_url()))?;
    let ended = wishes.or(guild.ended()).await;
    let goodbye = async {
        let stopped = guild.shutdown().await;
        if let Some(center) = center {
            center.shutdown().await;
        }
        stopped
    };
    let stopped = wishes.farewell(goodbye).await;
    ended.unwrap_or(Ok(())).and(stopped).map_err(Into::into)
}

fn settings(
    with_center: bool,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Settings, CommandError> {
    let read = |name: &str| {
        let value = lookup(&format!("{PREFIX}{name}"))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let fault = |name: &str, problem: &str, wanted: &str| CommandError::Setting {
        name: format!("{PREFIX}{name}"),
        problem: format!("{problem} in the environment"),
        wanted: wanted.to_owned(),
    };
    let required = |name: &str, wanted: &str| {
        read(name).ok_or_else(|| fault(name, "is not set", &format!("expected {wanted}")))
    };
    let node_text = if with_center {
        read("NODE_ID").unwrap_or_else(|| NODE.into())
    } else {
        required("NODE_ID", "the id that Center knows this node by")?
    };
    let node_id = NodeId::new(&node_text)
        .ok_or_else(|| fault("NODE_ID", "is too long", "expected 1 to 128 bytes"))?;
    // A node is the home of one guild, which Centers that name none call by the node's id.
    let guild_text = read("GUILD_ID").unwrap_or(node_text);
    let guild_id = GuildId::new(&guild_text)
        .ok_or_else(|| fault("GUILD_ID", "is too long", "expected 1 to 128 bytes"))?;
    let center = if with_center {
        None
    } else {
        let wanted = "Center's origin, such as http://127.0.0.1:7001, or the flag --with-center";
        let url = required("CENTER_BASE_URL", wanted)?;
        let url = http_url(&url)
            .map_err(|problem| fault("CENTER_BASE_URL", problem, &format!("expected {wanted}")))?;
        let wanted = "the guild's API key, which `selvedge center guild add` prints";
        let key = required("CENTER_API_KEY", wanted)?;
        Some((url, Secret::new(&key)))
    };
    let port = match read("PORT") {
        Some(text) => text
            .parse()
            .map_err(|_| fault("PORT", "is not a port", "expected a number up to 65535"))?,
        None => PORT,
    };
    let database = match read("DB_URL") {
        Some(text) => Some(sqlite_path(&text).ok_or_else(|| {
            let wanted = "expected sqlite:PATH or a path; other databases are not supported";
            fault("DB_URL", "is not an SQLite file", wanted)
        })?),
        None => None,
    };
    let file_bytes_max = match read("FILE_MAX_BYTES") {
        Some(text) => Some(text.parse().map_err(|_| {
            let wanted = "expected a number of bytes, such as 104857600";
            fault("FILE_MAX_BYTES", "is not a length", wanted)
        })?),
        None => None,
    };
    let file_ttl_days = match read("FILE_TTL_DAYS") {
        Some(text) => {
            let days = text.parse::<u32>().ok().filter(|days| *days > 0);
            Some(days.ok_or_else(|| {
                let wanted = "expected a whole number of days from 1 on, such as 7";
                fault("FILE_TTL_DAYS", "is not a time", wanted)
            })?)
        }
        None => None,
    };
    Ok(Settings {
        center,
        node_id,
        guild_id,
        port,
        database,
        files: read("FILE_DIR").map(PathBuf::from),
        file_bytes_max,
        file_ttl_days,
        cors_origins: read("CORS_ORIGINS").unwrap_or_default(),
    })
}

/// A server's URL, without a slash at its end.
fn http_url(text: &str) -> Result<String, &'static str> {
    let usable = Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match usable {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err("is not an http or https URL"),
    }
}

/// Whether a URL means another machine to everybody who reads it.
fn is_local(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let addr = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || addr.is_ok_and(|addr| addr.is_loopback() || addr.is_unspecified())
}

/// The file of `sqlite:PATH`, `sqlite://PATH` or a bare path.
fn sqlite_path(text: &str) -> Option<PathBuf> {
    let path = match text.split_once(':') {
        Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
        Some(_) if text.contains("://") => return None,
        Some(_) | None => text,
    };
    (!path.is_empty()).then(|| Path::new(path).to_path_buf())
}

/// The variables of older deployments among `names`, each with the one that has replaced it.
fn older_variables(
    names: impl Iterator<Item = std::ffi::OsString>,
) -> impl Iterator<Item = (String, &'static str)> {
    names.filter_map(|name| {
        let name = name.into_string().ok()?;
        let bare = name.strip_prefix(PREFIX).unwrap_or(&name);
        let older = OLDER_DB.contains(&bare.strip_prefix("DB_")?);
        older.then_some((name, "FABRIC_BACKEND_GUILD_DB_URL"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        guild: GuildArgs,
    }

    fn read(with_center: bool, pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let environment: BTreeMap<String, String> = pairs
            .iter()
            .map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned()))
            .collect();
        settings(with_center, |name| environment.get(name).cloned())
            .map_err(|error| error.to_string())
    }

    const FULL: [(&str, &str); 3] = [
        ("CENTER_BASE_URL", "http://c:7001/"),
        ("CENTER_API_KEY", "gk_1"),
        ("NODE_ID", "n"),
    ];

    #[test]
    fn each_required_variable_is_named_when_it_is_missing() {
        for missing in 0..FULL.len() {
            let mut pairs = FULL.to_vec();
            pairs[missing].1 = "  ";
            let error = read(false, &pairs).unwrap_err();
            let name = format!("{PREFIX}{}", FULL[missing].0);
            assert!(
                error.starts_with(&format!("{name} is not set in the environment; expected ")),
                "{error}"
            );
        }
        let settings = read(false, &FULL).unwrap();
        assert_eq!(
            settings.center,
            Some(("http://c:7001".into(), Secret::new("gk_1")))
        );
        assert_eq!((settings.port, settings.database), (7002, None));
        assert_eq!(settings.guild_id.as_str(), "n");
        let named = [("GUILD_ID", "acme")];
        assert_eq!(read(true, &named).unwrap().guild_id.as_str(), "acme");
        assert_eq!(read(true, &[]).unwrap().node_id.as_str(), "local");
    }

    #[test]
    fn what_cannot_be_used_is_named_without_being_shown() {
        for (name, value) in [
            ("PORT", "70000"),
            ("DB_URL", "mysql://user:hunter2@db/fabric"),
            ("CENTER_BASE_URL", "c:7001"),
            ("FILE_MAX_BYTES", "100 MB"),
            ("FILE_TTL_DAYS", "0"),
        ] {
            let mut pairs = FULL.to_vec();
            pairs.retain(|(other, _)| *other != name);
            pairs.push((name, value));
            let error = read(false, &pairs).unwrap_err();
            assert!(
                error.starts_with(&format!("{PREFIX}{name} is not ")),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn files_have_a_place_a_limit_and_a_time() {
        let settings = read(true, &[]).unwrap();
        assert_eq!(
            (
                settings.files,
                settings.file_bytes_max,
                settings.file_ttl_days
            ),
            (None, None, None)
        );
        let named = [
            ("FILE_DIR", "/d"),
            ("FILE_MAX_BYTES", "7"),
            ("FILE_TTL_DAYS", "30"),
        ];
        let settings = read(true, &named).unwrap();
        assert_eq!(
            (
                settings.files,
                settings.file_bytes_max,
                settings.file_ttl_days
            ),
            (Some("/d".into()), Some(7), Some(30))
        );
    }

    #[test]
    fn a_database_is_a_path_with_or_without_a_scheme() {
        for text in ["sqlite:/d/g.db", "sqlite:///d/g.db", "/d/g.db"] {
            assert_eq!(sqlite_path(text), Some("/d/g.db".into()), "{text}");
        }
        assert_eq!(sqlite_path("postgres://h/d"), None);
        assert_eq!(sqlite_path("sqlite:"), None);
    }

    #[test]
    fn a_data_folder_is_held_by_one_node() {
        let folder = tempfile::tempdir().unwrap();
        let held = hold(folder.path()).unwrap();
        let error = hold(folder.path()).unwrap_err();
        assert!(
            error.to_string().contains("in use by another process"),
            "{error}"
        );
        drop(held);
        hold(folder.path()).unwrap();
    }

    #[test]
    fn older_variables_are_noticed() {
        let names = [
            "DB_HOST",
            "FABRIC_BACKEND_GUILD_DB_SYNC",
            "DB_URL",
            "PATH",
            "FABRIC_BACKEND_GUILD_DB_URL",
        ];
        let older: Vec<_> = older_variables(names.into_iter().map(Into::into)).collect();
        let newer = "FABRIC_BACKEND_GUILD_DB_URL";
        let expected = ["DB_HOST", "FABRIC_BACKEND_GUILD_DB_SYNC"];
        assert_eq!(older, expected.map(|name| (name.to_owned(), newer)));
    }

    #[test]
    fn a_url_of_this_machine_is_nothing_to_others() {
        for url in [
            "http://127.0.0.1:7001",
            "http://localhost",
            "http://[::1]:1/",
            "http://0.0.0.0",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "https://center.example",
            "http://192.168.0.2:7001",
            "nonsense",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn the_options_stand_by_their_defaults() {
        let cli = Cli::try_parse_from(["x", "--with-center", "--port", "0"]).unwrap();
        assert_eq!(cli.guild.port, Some(0));
        assert_eq!(cli.guild.center_port, 7001);
        assert!(cli.guild.host.is_loopback());
        let public = |url| Cli::try_parse_from(["x", "--center-public-url", url]);
        let url = public("https://c.example/")
            .unwrap()
            .guild
            .center_public_url;
        assert_eq!(url.as_deref(), Some("https://c.example"));
        assert!(public("c.example").is_err());
        assert!(Cli::try_parse_from(["x"]).is_ok());
        assert_eq!(cli.guild.center_token_life, 900);
        let life = |life| Cli::try_parse_from(["x", "--with-center", "--center-token-life", life]);
        assert_eq!(life("60").unwrap().guild.center_token_life, 60);
        assert!(life("0").is_err());
        assert!(Cli::try_parse_from(["x", "--center-admin-key-file", "k"]).is_err());
    }
}
