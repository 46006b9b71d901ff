//! One guild of an agent: its version, its channels and its socket.

use std::{
    io::{self, Write},
    time::Duration,
};

use selvedge_core::{
    Wall,
    fabric::{
        center::Grant,
        error::{ErrorBody, reason},
        routes,
        types::Channel,
    },
    http::Response,
    id::GuildId,
};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    Examination,
    account::{NAME_SHOWN, between},
};
use crate::{
    commands::session::{Said, Session},
    config::Agent,
    http,
    report::{chain, clipped},
};

/// How many channels are named.
const NAMES_MAX: usize = 10;

/// How long after CONNECT a guild is given to disconnect: it does so in its next breath.
const SECOND_THOUGHTS: Duration = Duration::from_millis(300);

impl<W: Write> Examination<'_, W> {
    /// Goes through everything that an agent needs of a guild.
    pub(super) async fn guild(&mut self, agent: &Agent, grant: &Grant) -> io::Result<()> {
        let guild = &grant.guild_id;
        let configured = agent.config.origins.get(guild);
        let Some(origin) = configured.or(grant.base_url.as_ref()) else {
            return self.findings.error(format_args!(
                "guild {guild}: Center does not say where it is; set `url` in [guild.{guild}]"
            ));
        };
        let patience = agent.config.step_timeout;
        match self.version(origin, patience).await {
            Ok((version, date)) => {
                self.findings
                    .ok(format_args!("guild {guild} at {origin}: {version}"))?;
                self.clock(&format!("guild {guild} at {origin}"), date)?;
            }
            Err(failure) => {
                let words = unanswered(guild, failure);
                return self
                    .findings
                    .error(format_args!("guild {guild} at {origin}: {words}"));
            }
        }
        match self.channels(grant, origin, patience).await {
            Ok(words) => self.findings.ok(format_args!("guild {guild}: {words}"))?,
            Err(words) => self
                .findings
                .error(format_args!("guild {guild}: {words}"))?,
        }
        match self.socket(grant, origin, patience).await {
            Ok(()) => self
                .findings
                .ok(format_args!("guild {guild}: its socket accepts the token")),
            Err(words) => self.findings.error(format_args!("guild {guild}: {words}")),
        }
    }

    /// What the guild runs, and the date of its answer.
    async fn version(
        &self,
        origin: &str,
        patience: Duration,
    ) -> Result<(String, Option<Wall>), Option<http::Fault>> {
        let asked = self.http.attempt_dated(origin, routes::health());
        let (answer, date) = timeout(patience, asked).await.map_err(|_| None)??;
        let health = serde_json::from_slice::<Health>(&answer.body).ok();
        let words = health.filter(|_| answer.status == 200).map_or_else(
            || "answers, and does not tell its version".to_owned(),
            |health| format!("runs version {}", clipped(&health.version, NAME_SHOWN)),
        );
        Ok((words, date))
    }

    /// Opens a session, in which nothing is asked.
    async fn socket(&self, grant: &Grant, origin: &str, patience: Duration) -> Result<(), String> {
        let advice = "see whether a proxy before the guild lets /socket.io through";
        let socket = match timeout(patience, self.dialer.dial(origin)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                let advice = error.advice().unwrap_or(advice);
                return Err(format!("no WebSocket opens: {}; {advice}", chain(&error)));
            }
            Err(_) => return Err(format!("no WebSocket opens in {patience:?}; {advice}")),
        };
        let session = Session::start(self.clock, socket, grant.token.clone(), patience);
        connect(session, patience).await
    }

    /// The channels of the agent, as the guild lists them.
    async fn channels(
        &self,
        grant: &Grant,
        origin: &str,
        patience: Duration,
    ) -> Result<String, String> {
        let guild = &grant.guild_id;
        let request = routes::list_channels(grant.token.clone(), guild);
        let answer = match timeout(patience, self.http.attempt(origin, request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(fault)) => return Err(unanswered(guild, Some(fault))),
            Err(_) => {
                return Err(format!(
                    "the channels were not listed in {patience:?}; see the guild's log"
                ));
            }
        };
        if !(200..300).contains(&answer.status) {
            return Err(format!(
                "the guild refused to list the channels: {}; {}{}",
                refusal(&answer),
                match answer.status {
                    401 => STRANGER,
                    404 => "see whether this is a Fabric guild",
                    _ => "see the guild's log",
                },
                between(self.config, origin)
            ));
        }
        let Ok(channels) = serde_json::from_slice::<Vec<Channel>>(&answer.body) else {
            let words = "its answer is not a list of channels; see whether this is a Fabric guild";
            return Err(words.into());
        };
        let names: Vec<_> = channels
            .iter()
            .take(NAMES_MAX)
            .map(|channel| clipped(&channel.name, NAME_SHOWN))
            .collect();
        let more = if channels.len() > NAMES_MAX {
            ", …"
        } else {
            ""
        };
        Ok(match channels.len() {
            0 => "a member of no channel yet: somebody has to take it into one".into(),
            count => format!("{count} channel(s): {}{more}", names.join(", ")),
        })
    }
}

/// What is read of a guild's health; an older one has none.
#[derive(Deserialize)]
struct Health {
    version: String,
}

/// Why there is no answer, and what to do about it; without a fault, time ran out.
fn unanswered(guild: &GuildId, fault: Option<http::Fault>) -> String {
    let Some(http::Fault { failure, advice }) = fault else {
        return "the guild did not answer in time; see its log, and what lies between".to_owned();
    };
    let advice = advice.map_or_else(
        || {
            format!(
                "start its node, or set `url` in [guild.{guild}] where Center tells a wrong address"
            )
        },
        str::to_owned,
    );
    format!("the guild {failure}; {advice}")
}

/// What to do about a guild that does not take the token of this Center.
const STRANGER: &str = "the guild does not accept what this Center issues: see its \
                        FABRIC_BACKEND_GUILD_CENTER_BASE_URL and the clocks of both";

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

fn refusal(answer: &Response) -> String {
    let words = serde_json::from_slice::<ErrorBody>(&answer.body).map_or_else(
        |_| reason(answer.status).to_owned(),
        |body| clipped(&body.message.to_string(), 200),
    );
    format!("{} {words}", answer.status)
}
