//! The login of an agent, and what the session says.

use std::{
    io::{self, Write},
    time::Duration,
};

use selvedge_core::{
    fabric::center::{Grant, Login},
    plugin::io::LoginFailure,
};
use tokio::time::timeout;

use super::Examination;
use crate::{
    config::{Agent, Config},
    report::clipped,
};

/// A token that lives for less is hardly worth its login: the plugin takes none that has less than a
/// fifth of its life left.
const LIFE_MIN: Duration = Duration::from_secs(60);

/// How much of a name is shown, on one line.
pub(super) const NAME_SHOWN: usize = 40;

impl<W: Write> Examination<'_, W> {
    /// Logs an agent in, and goes through its guilds.
    pub(super) async fn agent(&mut self, agent: &Agent) -> io::Result<()> {
        self.findings
            .about(format_args!("agent {}", agent.config.agent_id));
        self.parked(agent)?;
        let center = &self.config.center_url;
        let login = self.http.login_dated(center, &agent.login);
        let (session, date) = match timeout(agent.config.login_patience, login).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => {
                let words = login_words(self.config, agent, &failure);
                self.findings.error(words)?;
                return self.known_lock(agent);
            }
            Err(_) => {
                let waited = agent.config.login_patience;
                self.findings.error(format_args!(
                    "Center at {center} did not answer in {waited:?}; see whether it is overloaded, \
                     or what lies between it and this machine"
                ))?;
                return self.known_lock(agent);
            }
        };
        let (user, count) = (&session.user, session.grants.len());
        self.findings.ok(format_args!(
            "logged in as {} ({}), in {count} guild(s)",
            clipped(&user.name, NAME_SHOWN),
            user.id
        ))?;
        let user = user.id.clone();
        self.clock(&format!("Center at {center}"), date)?;
        let before = self.kept(agent).and_then(|kept| kept.agent.user.clone());
        if let Some(before) = before.filter(|before| *before != user) {
            self.findings.error(format_args!(
                "the store knows this agent as {before}, and the agent stops where it becomes another: \
                 give it the key of that account, or another id"
            ))?;
        }
        self.lock(&user)?;
        if let Some(wanted) = &agent.config.guilds {
            for guild in wanted {
                if !session.grants.iter().any(|grant| grant.guild_id == *guild) {
                    self.findings.error(format_args!(
                        "guild {guild}: the account has no access; add it to the guild, or take \
                         the guild out of `guilds`"
                    ))?;
                }
            }
        } else if session.grants.is_empty() {
            self.findings.error(
                "Center lists no guild for the account; add it to one, or start its guild's node: \
                 one that never registered is not listed",
            )?;
        }
        for grant in &session.grants {
            let wanted = agent.config.guilds.as_ref();
            if wanted.is_none_or(|guilds| guilds.contains(&grant.guild_id)) {
                self.links += 1;
                self.token(grant)?;
                self.guild(agent, grant).await?;
            }
        }
        Ok(())
    }

    /// Who serves the account that the agent had before, where no login tells which it is.
    fn known_lock(&mut self, agent: &Agent) -> io::Result<()> {
        match self.kept(agent).and_then(|kept| kept.agent.user.clone()) {
            Some(user) => self.lock(&user),
            None => Ok(()),
        }
    }

    /// How long the tokens of a guild live.
    fn token(&mut self, grant: &Grant) -> io::Result<()> {
        let (guild, life) = (&grant.guild_id, grant.life.as_secs());
        if grant.life >= LIFE_MIN {
            return self
                .findings
                .ok(format_args!("guild {guild}: a token lives {life} s"));
        }
        self.findings.warning(format_args!(
            "guild {guild}: a token lives {life} s only, so that nearly every use of it takes a login: \
             let Center make tokens that live for minutes"
        ))
    }
}

/// Whether somebody else can have answered in the name of `origin`: with TLS nobody can.
pub(super) fn between(config: &Config, origin: &str) -> String {
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
