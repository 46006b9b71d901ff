//! `selvedge doctor`: tries everything out that the plugin needs, and says in an operator's words what
//! works, what should be looked at, and what to do about the rest.

mod account;
mod findings;
mod guild;
mod store;

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::Access;
use selvedge_core::Wall;

use self::findings::Findings;
use super::{Failure, configured, status};
use crate::{
    clock::Clock, config::Config, descriptors, dial::Dialer, http::Client, store::plugin::Look, tls,
};

/// How far apart two clocks may be. What a server writes down is judged by its own clock; beyond this
/// the dates of messages mislead, and some servers refuse a token that is not yet valid.
const SKEW_MAX: Duration = Duration::from_secs(30);

/// The options of `selvedge doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// The configuration of the plugin.
    #[arg(long, value_name = "FILE", default_value = "selvedge.toml")]
    config: PathBuf,
}

/// Examines everything that a configuration names, and writes a line for each check.
///
/// # Errors
///
/// Where anything does not work; what, has been written.
pub async fn run(args: DoctorArgs) -> Result<(), Failure> {
    let mut out = io::stdout();
    match configured(&args.config) {
        Ok(config) => examine(&config, &mut out).await,
        Err(error) => {
            let mut findings = Findings::new(&mut out);
            for problem in &error.problems {
                findings.error(problem).map_err(Failure::new)?;
            }
            findings.verdict()
        }
    }
}

/// Examines everything that `config` names, and writes a line for each check.
///
/// # Errors
///
/// Where anything does not work; what, has been written.
pub async fn examine(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let mut findings = Findings::new(out);
    machine(config, &mut findings).map_err(Failure::new)?;
    let store = store::store(config, &mut findings)
        .await
        .map_err(Failure::new)?;
    if let Some(listen) = config.status {
        told(listen, &mut findings).await.map_err(Failure::new)?;
    }
    let tls = tls::client_config(config.ca_file.as_deref());
    let reach = tls.map_err(Failure::new).and_then(|tls| {
        let http = Client::new(&tls, config.proxy.as_ref()).map_err(Failure::new)?;
        Ok((http, Dialer::new(tls, config.proxy.clone())))
    });
    let (http, dialer) = match reach {
        Ok(reach) => reach,
        Err(failure) => {
            findings.error(failure).map_err(Failure::new)?;
            return findings.verdict();
        }
    };
    let mut examination = Examination {
        http,
        dialer,
        clock: Clock::start(),
        config,
        store,
        clocks: BTreeSet::new(),
        links: 0,
        findings,
    };
    for agent in &config.agents {
        examination.agent(agent).await.map_err(Failure::new)?;
    }
    let Examination {
        links,
        mut findings,
        ..
    } = examination;
    if let Some(shortage) = descriptors::shortage(config.agents.len(), links) {
        findings.about_all();
        findings.error(shortage).map_err(Failure::new)?;
    }
    findings.verdict()
}

/// What can be seen without asking anybody: the configuration and its files.
fn machine<W: Write>(config: &Config, findings: &mut Findings<'_, W>) -> io::Result<()> {
    let count = config.agents.len();
    findings.ok(format_args!("the configuration has {count} agent(s)"))?;
    for warning in &config.warnings {
        findings.warning(warning)?;
    }
    if config.warnings.is_empty() {
        findings.ok("nobody else can change the configuration, or read a key in a file")?;
    }
    let files = config.files.as_ref().map(|folder| ("[files] dir", folder));
    let record = config.record.as_ref().map(|how| ("[record] dir", &how.dir));
    for (key, folder) in files.into_iter().chain(record) {
        let shown = folder.display();
        match usable(folder) {
            Ok(()) => findings.ok(format_args!("{key}: {shown} can be written"))?,
            Err(why) => findings.error(format_args!(
                "{key}: {shown} cannot be used: {why}; make it a folder of the user that the plugin \
                 runs as, or leave the key out"
            ))?,
        }
    }
    Ok(())
}

/// Whether the plugin can tell its status where it is to.
async fn told<W: Write>(listen: SocketAddr, findings: &mut Findings<'_, W>) -> io::Result<()> {
    match status::ask(listen).await {
        Ok(_) => findings.ok(format_args!(
            "[status] listen: a plugin answers at {listen}"
        )),
        Err(status::Unanswered::Nobody(_)) => {
            findings.ok(format_args!("[status] listen: nobody uses {listen} now"))
        }
        Err(status::Unanswered::Other(words)) => findings.error(format_args!(
            "[status] listen: {words}; free the address, or set another one"
        )),
    }
}

/// Whether a folder takes files; one that is not there is made when it is needed.
fn usable(folder: &Path) -> Result<(), String> {
    let there = folder.ancestors().find(|folder| folder.exists());
    let there = there.filter(|there| !there.as_os_str().is_empty());
    let there = there.unwrap_or_else(|| Path::new("."));
    if !there.is_dir() {
        return Err(format!("{} is no folder", there.display()));
    }
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| error.to_string())
}

/// What an examination needs, and what it has found.
struct Examination<'c, W> {
    http: Client,
    dialer: Dialer,
    clock: Clock,
    config: &'c Config,
    /// What is in the store, if that could be read.
    store: Option<Look>,
    /// The servers whose clocks have been looked at.
    clocks: BTreeSet<String>,
    /// How many guilds all agents are in, each for itself.
    links: usize,
    findings: Findings<'c, W>,
}

impl<W: Write> Examination<'_, W> {
    /// Compares the clock of a server, which has just answered, with that of this machine; once for
    /// each.
    fn clock(&mut self, whose: &str, date: Option<Wall>) -> io::Result<()> {
        if !self.clocks.insert(whose.to_owned()) {
            return Ok(());
        }
        let Some(date) = date else {
            return self
                .findings
                .ok(format_args!("{whose} does not tell the time"));
        };
        let (wall, whole) = (Clock::wall(), Duration::from_secs(1));
        let (ahead, behind) = (date.since(wall), wall.since(date));
        let apart = ahead.max(behind);
        if apart <= SKEW_MAX {
            let most = (apart + whole).as_secs();
            return self.findings.ok(format_args!(
                "the clocks of {whose} and of this machine are at most {most} s apart"
            ));
        }
        let direction = if ahead > behind { "ahead of" } else { "behind" };
        self.findings.warning(format_args!(
            "the clock of {whose} is {} s {direction} that of this machine: let both follow NTP",
            apart.as_secs()
        ))
    }
}
