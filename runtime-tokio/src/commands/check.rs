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
    http::Response,
    plugin::io::LoginFailure,
};
use tokio::time::timeout;

use super::Failure;
use crate::{
    config::{Agent, Config},
    dial::Dialer,
    http::Client,
    report::{chain, clipped},
    tls,
};

/// How many channels are named.
const NAMES_MAX: usize = 10;

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
            Ok(Err(failure)) => return self.bad(login_words(center, agent, &failure)),
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
            self.bad("the account is in no guild; add it to one, or see whether its guild runs")?;
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
            Err(words) => self.bad(format_args!("guild {guild} at {origin}: {words}"))?,
        }
        match timeout(patience, self.dialer.dial(origin)).await {
            Ok(Ok(_)) => self.good(format_args!("guild {guild}: a WebSocket opens")),
            Ok(Err(error)) => self.bad(format_args!(
                "guild {guild}: no WebSocket opens: {}",
                chain(&error)
            )),
            Err(_) => self.bad(format_args!(
                "guild {guild}: no WebSocket opens in {patience:?}"
            )),
        }
    }

    async fn channels(
        &self,
        grant: &Grant,
        origin: &str,
        patience: Duration,
    ) -> Result<String, String> {
        let request = routes::list_channels(grant.token.clone(), &grant.guild_id);
        let answer = timeout(patience, self.http.send(origin, request))
            .await
            .map_err(|_| format!("the channels were not listed in {patience:?}"))?
            .map_err(|failure| format!("the guild {failure}"))?;
        if !(200..300).contains(&answer.status) {
            return Err(format!(
                "the guild refused to list the channels: {}",
                refusal(&answer)
            ));
        }
        let channels: Vec<Channel> = serde_json::from_slice(&answer.body)
            .map_err(|_| "its answer is not a list of channels; is this a Fabric guild?")?;
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

fn login_words(center: &str, agent: &Agent, failure: &LoginFailure) -> String {
    let id = &agent.config.agent_id;
    let what = match &agent.login {
        Login::ApiKey { .. } => "key",
        Login::Password { .. } => "password",
    };
    match failure {
        LoginFailure::Refused { status, message } if matches!(status, 401 | 403) => format!(
            "Center at {center} refused the {what} of agent {id}: {status} {message}; check {}",
            agent.login_source
        ),
        LoginFailure::Refused { status, message } => format!(
            "Center at {center} did not log agent {id} in: {status} {message}; see Center's log"
        ),
        LoginFailure::Unavailable(why) => {
            format!("{why}; check that [center] url is right and Center runs ({center})")
        }
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
mod tests {
    use selvedge_core::{Secret, id::AgentId, plugin};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::config::Profile;

    /// Center and guild in one: `login` answers logins, `{base}` in it is where they are.
    async fn fabric(login: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let base = origin.clone();
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 16];
                tcp.peek(&mut head).await.unwrap();
                if head.starts_with(b"GET /socket.io") {
                    tokio_tungstenite::accept_async(tcp).await.unwrap();
                    continue;
                }
                let _ = tcp.read(&mut [0; 4096]).await.unwrap();
                let (status, body) = if head.starts_with(b"POST") {
                    let (status, body) = login.split_once(' ').unwrap();
                    (status, body.replace("{base}", &base))
                } else {
                    let body = r#"[{"id":"c1","name":"general","xType":"general"}]"#;
                    ("200", body.to_owned())
                };
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                tcp.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        origin
    }

    async fn checked(login: &'static str) -> (String, Result<(), String>) {
        let origin = fabric(login).await;
        let agent = Agent {
            config: plugin::config::Config::new(AgentId::new("echo").unwrap()),
            login: Login::ApiKey {
                api_key: Secret::new("very-secret"),
            },
            login_source: "the environment variable FABRIC_ECHO_KEY".into(),
        };
        let config = Config {
            center_url: origin.clone(),
            agents: vec![agent],
            logins_max: 1,
            profile: Profile::Plexum,
            ca_file: None,
            proxy: None,
            store: None,
            record: None,
            warnings: vec![],
        };
        let mut out = Vec::new();
        let result = run(&config, &mut out).await;
        let told = String::from_utf8(out).unwrap().replace(&origin, "ORIGIN");
        (told, result.map_err(|failure| failure.to_string()))
    }

    #[tokio::test]
    async fn what_works_is_told_step_by_step() {
        let (told, result) = checked(
            r#"201 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
            {"guildNodeId":"n","guildId":"g1","token":"t","baseUrl":"{base}"}]}"#,
        )
        .await;
        assert_eq!(
            told,
            "agent echo\n  ok    logged in as Echo (u_1), in 1 guild(s)\n  ok    guild g1 at \
             ORIGIN: 1 channel(s): general\n  ok    guild g1: a WebSocket opens\n"
        );
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn what_does_not_work_says_whose_turn_it_is() {
        let (told, result) = checked(r#"401 {"statusCode":401,"message":"unknown key"}"#).await;
        assert_eq!(
            told,
            "agent echo\n  FAIL  Center at ORIGIN refused the key of agent echo: 401 unknown key; \
             check the environment variable FABRIC_ECHO_KEY\n"
        );
        assert_eq!(result, Err("one thing does not work; see above".into()));
        let (told, _) = checked(
            r#"200 {"user":{"id":"u_1","name":"Echo"},"accessToken":"a","guildAccessTokens":[
            {"guildNodeId":"n","guildId":"g1","token":"t"},
            {"guildNodeId":"n","guildId":"g2","token":"t","baseUrl":"http://127.0.0.1:1"}]}"#,
        )
        .await;
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(
            lines[2],
            "  FAIL  guild g1: Center does not say where it is; set `url` in [guild.g1]"
        );
        assert!(
            lines[3].starts_with(
                "  FAIL  guild g2 at http://127.0.0.1:1: the guild could not be reached: "
            ),
            "{told}"
        );
        assert!(
            lines[4].starts_with("  FAIL  guild g2: no WebSocket opens: no connection to "),
            "{told}"
        );
    }
}
