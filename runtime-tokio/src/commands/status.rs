//! `selvedge status`: how a running plugin does.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use selvedge_core::http::{Failure as HttpFailure, Method, Request};
use tokio::time::timeout;

use super::{Failure, configured};
use crate::{
    http::Client,
    report::chain,
    status::{PATH, Report, table},
    tls,
};

/// How long the plugin may take: longer than it waits for its agents.
const PATIENCE: Duration = Duration::from_secs(5);

/// The options of `selvedge status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The configuration of the plugin; its `[status] listen` says where the plugin is asked.
    #[arg(long, value_name = "FILE", default_value = "selvedge.toml")]
    config: PathBuf,
    /// Everything there is, as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the running plugin of a configuration how it does, and prints what it says.
///
/// # Errors
///
/// Where no plugin answers, in words that say what to do.
pub async fn run(args: StatusArgs) -> Result<(), Failure> {
    let config = configured(&args.config).map_err(Failure::new)?;
    let Some(listen) = config.status else {
        return Err(Failure::words(format!(
            "{} does not say where the plugin tells its status; add the section [status] with \
             listen = \"127.0.0.1:9102\" to it, and start the plugin again",
            args.config.display()
        )));
    };
    let report = ask(listen).await.map_err(|unanswered| match unanswered {
        Unanswered::Nobody(words) | Unanswered::Other(words) => Failure::words(words),
    })?;
    let mut out = io::stdout();
    let written = match args.json {
        true => serde_json::to_writer_pretty(&out, &report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        false => write!(out, "{}", table(&report)),
    };
    written.map_err(Failure::new)
}

/// Why no plugin has told its status, in words that say what to do.
pub(super) enum Unanswered {
    /// Nobody listens there.
    Nobody(String),
    /// Somebody does, and it is no plugin, or cannot be understood.
    Other(String),
}

/// Asks the plugin that listens there how it does.
pub(super) async fn ask(listen: SocketAddr) -> Result<Report, Unanswered> {
    let addr = reachable(listen);
    let other = |error: &(dyn std::error::Error + 'static)| Unanswered::Other(chain(error));
    // Whatever proxy the agents use: this one is asked by its address.
    let tls = tls::client_config(None).map_err(|error| other(&error))?;
    let client = Client::new(&tls, None).map_err(|error| other(&error))?;
    let request = Request {
        method: Method::Get,
        target: PATH.to_owned(),
        bearer: None,
        body: Bytes::new(),
    };
    let origin = format!("http://{addr}");
    match timeout(PATIENCE, client.send(&origin, request)).await {
        Ok(Ok(answer)) => serde_json::from_slice(&answer.body).map_err(|_| {
            Unanswered::Other(format!(
                "what answers at {addr} is not this version of the plugin; see what listens there, \
                 or start the plugin again"
            ))
        }),
        Ok(Err(HttpFailure::Unreachable(_))) => Err(Unanswered::Nobody(format!(
            "no plugin answers at {addr}: it does not run, or runs with another configuration; its \
             host starts it, and `selvedge doctor` says whether it could work"
        ))),
        Ok(Err(failure)) => Err(Unanswered::Other(format!(
            "the plugin at {addr}: {failure}"
        ))),
        Err(_) => Err(Unanswered::Other(format!(
            "the plugin at {addr} did not answer in {PATIENCE:?}; see its log"
        ))),
    }
}

/// Where somebody on this machine reaches a server that listens there.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}
