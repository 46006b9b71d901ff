//! REST: whole requests out, whole answers in, and logins at Center.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use jiff::fmt::rfc2822;
use reqwest::{
    Method as Verb, RequestBuilder, Response as Answer, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use rustls::ClientConfig;
use selvedge_core::{
    Secret, Wall,
    fabric::{
        center::{self, Grant, GrantBody, Login, Session, SessionBody},
        error::{ErrorBody, reason},
    },
    http::{Failure, Method, Request, Response},
    id::GuildId,
    plugin::{io::LoginFailure, transfer::Transfer},
};

use crate::{
    descriptors,
    files::Files,
    jwt,
    proxy::{self, Proxy},
    report::{advised, chain, clipped},
    tls,
};

/// The largest answer that is read: a page of 200 messages of the greatest length in the longest
/// encoding is below it. A peer that sends more would fill our memory.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;

/// How long a connection may take to be made. The machines lose patience earlier and forget the
/// request; this bounds a request that nobody waits for any more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request may take altogether; see [`CONNECT_TIMEOUT`].
const TOTAL_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a file may take on its way; see [`CONNECT_TIMEOUT`].
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an idle connection is kept: shorter than the 5 s of a Node server, so that no request
/// is sent into a connection that the server is just closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a guild token is taken to live where nobody tells.
const LIFE_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// How much of another's error message is repeated.
const WORDS_MAX: usize = 200;

/// The HTTP client of the process: one connection pool, no retries, no redirects.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    proxy: Option<Proxy>,
}

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {}", chain(.0))]
pub struct SetupError(#[from] reqwest::Error);

impl Client {
    /// A client with the process's TLS configuration and proxy. Proxies of the environment are not
    /// looked at: sockets would not use them.
    ///
    /// # Errors
    ///
    /// Where the proxy's address cannot be used.
    pub fn new(tls: &Arc<ClientConfig>, proxy: Option<&Proxy>) -> Result<Self, SetupError> {
        let builder = builder(tls, proxy)?.timeout(TOTAL_TIMEOUT);
        Ok(Self {
            inner: builder.build()?,
            proxy: proxy.cloned(),
        })
    }

    /// Sends one request to `origin` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] where the request was certainly not carried out, [`Failure::Broken`]
    /// where that is unknown, [`Failure::TooLarge`] beyond [`ANSWER_BYTES_MAX`].
    pub async fn send(&self, origin: &str, request: Request) -> Result<Response, Failure> {
        Ok(self.attempt(origin, request).await?)
    }

    /// The same, for whoever wants the advice about a failure apart from it.
    pub(crate) async fn attempt(&self, origin: &str, request: Request) -> Result<Response, Fault> {
        let (answer, _) = self.attempt_dated(origin, request).await?;
        Ok(answer)
    }

    /// The same, with what the clock of whoever answered showed.
    pub(crate) async fn attempt_dated(
        &self,
        origin: &str,
        request: Request,
    ) -> Result<(Response, Option<Wall>), Fault> {
        let Request {
            method,
            target,
            bearer,
            body,
        } = request;
        let mut builder = self
            .inner
            .request(verb(method), format!("{origin}{target}"));
        if let Some(token) = &bearer {
            builder = builder.header(AUTHORIZATION, bearer_value(token)?);
        }
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body);
        }
        let answer = sent(builder, self.proxy.as_ref()).await?;
        let status = answer.status().as_u16();
        let retry_after = retry_after(answer.headers());
        let date = date(answer.headers());
        let answer = Response {
            status,
            retry_after,
            body: read(answer).await?,
        };
        Ok((answer, date))
    }

    /// The same, with a file that goes up with the request or comes down with the answer, however long
    /// that takes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Failure::Local`] where the file is at fault.
    pub(crate) async fn transfer(
        &self,
        origin: &str,
        request: Request,
        transfer: &Transfer,
        files: &Files,
    ) -> Result<Response, Failure> {
        let Request {
            method,
            target,
            bearer,
            body: _,
        } = request;
        let mut builder = self
            .inner
            .request(verb(method), format!("{origin}{target}"))
            .timeout(TRANSFER_TIMEOUT);
        if let Some(token) = &bearer {
            builder = builder.header(AUTHORIZATION, bearer_value(token)?);
        }
        match transfer {
            Transfer::Up { path, name } => {
                builder = builder.multipart(files.form(path, name.as_deref()).await?);
            }
            Transfer::Down { .. } => files.can_save()?,
        }
        let answer = sent(builder, self.proxy.as_ref()).await?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers());
        let body = match transfer {
            Transfer::Down { name } if status.is_success() => {
                let id = target.rsplit('/').next().unwrap_or_default();
                let saved = files.save(answer, id, name.as_deref()).await?;
                serde_json::to_vec(&saved)
                    .map_err(|error| Failure::Local(error.to_string().into()))?
                    .into()
            }
            Transfer::Down { .. } | Transfer::Up { .. } => read(answer).await?,
        };
        Ok(Response {
            status: status.as_u16(),
            retry_after,
            body,
        })
    }

    /// Logs in at the Center at `center_url`.
    ///
    /// # Errors
    ///
    /// Where Center refuses or cannot be asked; the words hold neither key nor password nor any
    /// part of a token.
    pub async fn login(&self, center_url: &str, login: &Login) -> Result<Session, LoginFailure> {
        let (session, _) = self.login_dated(center_url, login).await?;
        Ok(session)
    }

    /// The same, with what Center's clock showed.
    pub(crate) async fn login_dated(
        &self,
        center_url: &str,
        login: &Login,
    ) -> Result<(Session, Option<Wall>), LoginFailure> {
        let unavailable = |fault: Fault| {
            let advice = fault.advice;
            let advice = advice.unwrap_or("check that [center] url is right and Center runs");
            LoginFailure::Unavailable(format!("Center {}; {advice}", fault.failure))
        };
        let body = serde_json::to_vec(login)
            .map_err(|error| LoginFailure::Unavailable(error.to_string()))?;
        let request = self
            .inner
            .post(format!("{center_url}{}", center::LOGIN))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let answer = sent(request, self.proxy.as_ref())
            .await
            .map_err(unavailable)?;
        let status = answer.status();
        let date = date(answer.headers());
        let body = read(answer)
            .await
            .map_err(|failure| unavailable(failure.into()))?;
        if !status.is_success() {
            return Err(LoginFailure::Refused {
                status: status.as_u16(),
                message: refusal(status.as_u16(), &body, login),
            });
        }
        let body = parse(&body)?;
        let grants = body.guild_access_tokens.into_iter();
        let session = Session {
            user: body.user,
            grants: grants.filter_map(|grant| granted(grant, date)).collect(),
        };
        Ok((session, date))
    }
}

/// What every HTTP client of the process begins with: its TLS configuration and proxy, no retries,
/// no redirects, no cookies, and no limit for a whole request.
pub(crate) fn builder(
    tls: &Arc<ClientConfig>,
    proxy: Option<&Proxy>,
) -> Result<reqwest::ClientBuilder, SetupError> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(ClientConfig::clone(tls))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_nodelay(true)
        .user_agent(concat!("selvedge/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = proxy {
        let mut all = reqwest::Proxy::all(proxy.url())?;
        if let Some(mut value) = proxy
            .authorization()
            .and_then(|secret| HeaderValue::from_str(secret.expose()).ok())
        {
            value.set_sensitive(true);
            all = all.custom_http_auth(value);
        }
        builder = builder.proxy(all);
    }
    Ok(builder)
}

fn verb(method: Method) -> Verb {
    match method {
        Method::Get => Verb::GET,
        Method::Post => Verb::POST,
        Method::Put => Verb::PUT,
        Method::Patch => Verb::PATCH,
        Method::Delete => Verb::DELETE,
    }
}

fn bearer_value(token: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
        Failure::Unreachable("the token has characters that no header can carry".into())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why there is no answer, and what to do about it where that is known.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) failure: Failure,
    pub(crate) advice: Option<&'static str>,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            advice: None,
        }
    }
}

impl From<Fault> for Failure {
    fn from(Fault { failure, advice }: Fault) -> Self {
        match failure {
            Self::Unreachable(why) => Self::Unreachable(advised(&why, advice).into()),
            Self::Broken(why) => Self::Broken(advised(&why, advice).into()),
            Self::TooLarge => Self::TooLarge,
            Self::Local(why) => Self::Local(why),
        }
    }
}

/// Sends a request, and waits for the head of its answer. What the proxy says of itself is none.
pub(crate) async fn sent(request: RequestBuilder, proxy: Option<&Proxy>) -> Result<Answer, Fault> {
    match (request.send().await, proxy) {
        (Ok(answer), Some(proxy))
            if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
        {
            Err(unknown(proxy))
        }
        (Ok(answer), _) => Ok(answer),
        (Err(error), Some(proxy)) if error.is_connect() => Err(behind(error, proxy)),
        (Err(error), _) => Err(fault(error)),
    }
}

/// The proxy does not know us.
fn unknown(proxy: &Proxy) -> Fault {
    Fault {
        failure: Failure::Unreachable(
            format!("the proxy {} wants other credentials", proxy.url()).into(),
        ),
        advice: Some(proxy::CREDENTIALS),
    }
}

/// Why there is no connection through a proxy. The library tells by words only which step failed.
fn behind(error: reqwest::Error, proxy: &Proxy) -> Fault {
    let Fault { failure, advice } = fault(error);
    let words = failure.to_string();
    let url = proxy.url();
    let step = |step: String, advice| Fault {
        failure: Failure::Unreachable(step.into()),
        advice: Some(advice),
    };
    if words.contains("proxy authorization required") {
        unknown(proxy)
    } else if words.contains("tunnel error: unsuccessful") {
        step(
            format!("the proxy {url} did not open a tunnel"),
            proxy::NO_TUNNEL,
        )
    } else if let Some((_, why)) = words.split_once("tcp connect error: ") {
        step(
            format!("no connection to the proxy {url}: {why}"),
            proxy::ABSENT,
        )
    } else if words.contains("Invalid Server Name") {
        // reqwest 0.13 leaves the brackets of such an address in the name that TLS verifies: its
        // issue 3094.
        let advice = "reach the server by a name instead of an IPv6 address, or without the proxy";
        Fault {
            failure,
            advice: Some(advice),
        }
    } else if words.contains("dns error") {
        step(
            format!("the host of the proxy {url} is not known"),
            proxy::ABSENT,
        )
    } else {
        Fault { failure, advice }
    }
}

/// Whose fault it was, in words without the URL.
pub(crate) fn fault(error: reqwest::Error) -> Fault {
    let never_sent = error.is_connect() || error.is_builder();
    let error = error.without_url();
    // The outer two layers say no more than that a request failed.
    let layer = std::error::Error::source(&error).and_then(|layer| layer.source().or(Some(layer)));
    let words = layer.map_or_else(|| chain(&error), chain).into();
    Fault {
        failure: if never_sent {
            Failure::Unreachable(words)
        } else {
            Failure::Broken(words)
        },
        advice: tls::advice(&error).or_else(|| descriptors::advice(&error)),
    }
}

/// Reads the body up to the limit for REST.
async fn read(answer: Answer) -> Result<Bytes, Failure> {
    read_within(answer, ANSWER_BYTES_MAX).await
}

/// Reads the body up to a limit.
pub(crate) async fn read_within(mut answer: Answer, bytes_max: usize) -> Result<Bytes, Failure> {
    let announced = answer.content_length().unwrap_or(0);
    if announced > bytes_max as u64 {
        return Err(Failure::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(fault)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

fn date(headers: &HeaderMap) -> Option<Wall> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let date = rfc2822::parse(text).ok()?;
    Some(Wall::from_millis(date.timestamp().as_millisecond()))
}

/// Center's words for a refusal, without what the login was made with.
fn refusal(status: u16, body: &[u8], login: &Login) -> String {
    let words = serde_json::from_slice::<ErrorBody>(body).map_or_else(
        |_| reason(status).to_owned(),
        |body| body.message.to_string(),
    );
    let secret = login.secret();
    let words = if secret.expose().is_empty() {
        words
    } else {
        words.replace(secret.expose(), "…")
    };
    clipped(&words, WORDS_MAX)
}

/// Reads a session; the words of a failure name the field and nothing of its content.
fn parse(body: &[u8]) -> Result<SessionBody, LoginFailure> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let inner = error.inner();
        let (line, column) = (inner.line(), inner.column());
        let what = if inner.is_data() {
            let path = error.path();
            format!(
                "a session: `{path}` is missing or not of its kind (line {line}, column {column})"
            )
        } else {
            "JSON".to_owned()
        };
        LoginFailure::Unavailable(format!(
            "Center's answer is not {what}; is [center] url a Fabric Center?"
        ))
    })
}

fn granted(body: GrantBody, date: Option<Wall>) -> Option<Grant> {
    let guild_id = match body.guild_id {
        Some(guild) => guild,
        None => GuildId::new(body.guild_node_id.as_str())?,
    };
    let life = jwt::life(body.token.expose())
        .or_else(|| Some(body.expires_at?.since(date?)))
        .filter(|life| !life.is_zero())
        .unwrap_or(LIFE_DEFAULT);
    Some(Grant {
        node_id: body.guild_node_id,
        guild_id,
        base_url: body
            .base_url
            .map(|url| url.trim_end_matches('/').to_owned())
            .filter(|url| !url.is_empty()),
        token: body.token,
        life,
    })
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
