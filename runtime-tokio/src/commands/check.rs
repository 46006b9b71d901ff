//! `selvedge plugin --check`: tries everything out, and says in an operator's words what works.

use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

use selvedge_core::{
    fabric::{
        center::{Grant, Login},
        error::{ErrorBody, reason},
        routes,
        types::Channel,
    },
    http::{Failure as HttpFailure, Response},
    plugin::io::LoginFailure,
};
use tokio::time::timeout;

use super::{
    Failure,
    session::{Said, Session},
};
use crate::{
    clock::Clock,
    config::{Agent, Config},
    dial::Dialer,
    http::{self, Client},
    report::{chain, clipped},
    tls,
};

/// How many channels are named.
const NAMES_MAX: usize = 10;

/// How long after CONNECT a guild is given to disconnect: it does so in its next breath.
const SECOND_THOUGHTS: Duration = Duration::from_millis(300);

/// Checks every agent of `config` and writes what it finds, a line for each step.
///
/// # Errors
///
/// Where anything does not work; what, has been written.
pub async fn run(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let tls = tls::client_config(config.ca_file.as_deref()).map_err(Failure::new)?;
    let mut check = Check {
        http: Client::new(&tls, config.proxy.as_ref()).map_err(Failure::new)?,
        dialer: Dialer::new(tls, config.proxy.clone()),
        clock: Clock::start(),
        config,
        faults: 0,
        out,
    };
    for agent in &config.agents {
        check.agent(agent).await.map_err(Failure::new)?;
    }
    match check.faults {
        0 => Ok(()),
        1 => Err(Failure::words("one thing does not work; see above")),
        faults => Err(Failure::words(format!(
            "{faults} things do not work; see above"
        ))),
    }
}

struct Check<'c, W> {
    http: Client,
    dialer: Dialer,
    clock: Clock,
    config: &'c Config,
    faults: usize,
    out: &'c mut W,
}

impl<W: Write> Check<'_, W> {
    fn good(&mut self, what: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "  ok    {what}")
    }

    fn bad(&mut self, what: impl fmt::Display) -> io::Result<()> {
        self.faults += 1;
        writeln!(self.out, "  FAIL  {what}")
    }

    async fn agent(&mut self, agent: &Agent) -> io::Result<()> {
        let id = &agent.config.agent_id;
        writeln!(self.out, "agent {id}")?;
        let center = &self.config.center_url;
        let login = self.http.login(center, &agent.login);
        let session = match timeout(agent.config.login_patience, login).await {
            Ok(Ok(session)) => session,
            Ok(Err(failure)) => return self.bad(login_words(self.config, agent, &failure)),
            Err(_) => {
                let waited = agent.config.login_patience;
                return self.bad(format_args!(
                    "Center at {center} did not answer in {waited:?}"
                ));
            }
        };
        let (user, count) = (&session.user, session.grants.len());
        self.good(format_args!(
            "logged in as {} ({}), in {count} guild(s)",
            user.name, user.id
        ))?;
        if let Some(wanted) = &agent.config.guilds {
            for guild in wanted {
                if !session.grants.iter().any(|grant| grant.guild_id == *guild) {
                    self.bad(format_args!(
                        "guild {guild}: the account has no access; add it to the guild, or take \
                         the guild out of `guilds`"
                    ))?;
                }
            }
        } else if session.grants.is_empty() {
            self.bad(
                "Center lists no guild for the account; add it to one, or start its guild's node: \
                 one that never registered is not listed",
            )?;
        }
        for grant in &session.grants {
            let wanted = agent.config.guilds.as_ref();
            if wanted.is_none_or(|guilds| guilds.contains(&grant.guild_id)) {
                self.guild(agent, grant).await?;
            }
        }
        Ok(())
    }

    async fn guild(&mut self, agent: &Agent, grant: &Grant) -> io::Result<()> {
        let guild = &grant.guild_id;
        let configured = agent.config.origins.get(guild);
        let Some(origin) = configured.or(grant.base_url.as_ref()) else {
            return self.bad(format_args!(
                "guild {guild}: Center does not say where it is; set `url` in [guild.{guild}]"
            ));
        };
        let patience = agent.config.step_timeout;
        match self.channels(grant, origin, patience).await {
            Ok(words) => self.good(format_args!("guild {guild} at {origin}: {words}"))?,
            Err(fault) => {
                self.bad(format_args!("guild {guild} at {origin}: {}", fault.words))?;
                if !fault.reached {
                    return Ok(());
                }
            }
        }
        let socket = match timeout(patience, self.dialer.dial(origin)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                return self.bad(format_args!(
                    "guild {guild}: no WebSocket opens: {}; {}",
                    chain(&error),
                    error
                        .advice()
                        .unwrap_or("see whether a proxy before the guild lets /socket.io through")
                ));
            }
            Err(_) => {
                return self.bad(format_args!(
                    "guild {guild}: no WebSocket opens in {patience:?}; see whether a proxy before \
                     the guild lets /socket.io through"
                ));
            }
        };
        let session = Session::start(self.clock, socket, grant.token.clone(), patience);
        match connect(session, patience).await {
            Ok(()) => self.good(format_args!("guild {guild}: its socket accepts the token")),
            Err(words) => self.bad(format_args!("guild {guild}: {words}")),
        }
    }

    async fn channels(
        &self,
        grant: &Grant,
        origin: &str,
        patience: Duration,
    ) -> Result<String, Fault> {
        let guild = &grant.guild_id;
        let request = routes::list_channels(grant.token.clone(), guild);
        let answer = timeout(patience, self.http.attempt(origin, request)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(http::Fault { failure, advice })) => {
                let advice = advice.map_or_else(
                    || {
                        format!(
                            "start its node, or set `url` in [guild.{guild}] where Center tells a \
                             wrong address"
                        )
                    },
                    str::to_owned,
                );
                return Err(Fault {
                    words: format!("the guild {failure}; {advice}"),
                    reached: !matches!(failure, HttpFailure::Unreachable(_)),
                });
            }
            Err(_) => {
                return Err(Fault::of_guild(format!(
                    "the channels were not listed in {patience:?}; see the guild's log"
                )));
            }
        };
        if !(200..300).contains(&answer.status) {
            return Err(Fault::of_guild(format!(
                "the guild refused to list the channels: {}; {}{}",
                refusal(&answer),
                match answer.status {
                    401 => STRANGER,
                    404 => "see whether this is a Fabric guild",
                    _ => "see the guild's log",
                },
                between(self.config, origin)
            )));
        }
        let Ok(channels) = serde_json::from_slice::<Vec<Channel>>(&answer.body) else {
            let words = "its answer is not a list of channels; see whether this is a Fabric guild";
            return Err(Fault::of_guild(words.into()));
        };
        let names: Vec<_> = channels
            .iter()
            .take(NAMES_MAX)
            .map(|channel| clipped(&channel.name, 40))
            .collect();
        let more = if channels.len() > NAMES_MAX {
            ", …"
        } else {
            ""
        };
        Ok(match channels.len() {
            0 => "a member of no channel yet".into(),
            count => format!("{count} channel(s): {}{more}", names.join(", ")),
        })
    }
}

/// What to do about a guild that does not take the token of this Center.
const STRANGER: &str = "the guild does not accept what this Center issues: see its \
                        FABRIC_BACKEND_GUILD_CENTER_BASE_URL and the clocks of both";

/// What does not work about a guild's REST.
struct Fault {
    words: String,
    /// Whether anybody was there at all.
    reached: bool,
}

impl Fault {
    const fn of_guild(words: String) -> Self {
        Self {
            words,
            reached: true,
        }
    }
}

/// Waits until the guild has accepted CONNECT, and has not thought better of it: guilds on NestJS
/// accept every token and disconnect right after.
async fn connect(mut session: Session, patience: Duration) -> Result<(), String> {
    let mut wait = patience;
    let mut accepted = false;
    let words = loop {
        match timeout(wait, session.next()).await {
            Ok(Some((_, Said::Ready))) => {
                accepted = true;
                wait = SECOND_THOUGHTS;
            }
            Ok(Some((_, Said::Event(_)))) => {}
            Ok(Some((_, Said::Ended(end)))) if end.unauthorized => {
                break format!("its socket refuses the token ({}); {STRANGER}", end.why);
            }
            Ok(Some((_, Said::Ended(end)))) => {
                break format!(
                    "its socket accepts no session: {}; see the guild's log",
                    end.why
                );
            }
            Ok(None) => break "its socket ended; see the guild's log".into(),
            Err(_) if accepted => {
                session.close().await;
                return Ok(());
            }
            Err(_) => {
                break format!(
                    "its socket did not answer CONNECT in {patience:?}; see the guild's log"
                );
            }
        }
    };
    Err(words)
}

/// Whether somebody else can have answered in the name of `origin`: with TLS nobody can.
fn between(config: &Config, origin: &str) -> String {
    match &config.proxy {
        Some(proxy) if origin.starts_with("http:") => {
            format!(
                ", or see whether it was the proxy {} that said so",
                proxy.url()
            )
        }
        Some(_) | None => String::new(),
    }
}

fn login_words(config: &Config, agent: &Agent, failure: &LoginFailure) -> String {
    let center = &config.center_url;
    let between = between(config, center);
    let id = &agent.config.agent_id;
    let what = match &agent.login {
        Login::ApiKey { .. } => "key",
        Login::Password { .. } => "password",
    };
    match failure {
        LoginFailure::Refused { status, message } if matches!(status, 401 | 403) => format!(
            "Center at {center} refused the {what} of agent {id}: {status} {message}; check \
             {}{between}",
            agent.login_source
        ),
        LoginFailure::Refused { status, message } => format!(
            "Center at {center} did not log agent {id} in: {status} {message}; {}{between}",
            match status {
                300..=399 | 404 | 405 => "check that [center] url is a Fabric Center, without /api",
                429 => "wait a minute and try again",
                _ => "see Center's log",
            }
        ),
        LoginFailure::Unavailable(why) => format!("{why} ({center})"),
    }
}

fn refusal(answer: &Response) -> String {
    let words = serde_json::from_slice::<ErrorBody>(&answer.body).map_or_else(
        |_| reason(answer.status).to_owned(),
        |body| clipped(&body.message.to_string(), 200),
    );
    format!("{} {words}", answer.status)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
