//! Center's calls: each a whole request and its whole answer.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::Url;
use selvedge_core::{
    Secret, Wall,
    fabric::{
        center::{self as wire, GrantBody, Introspection, SessionBody, User},
        routes::decoded,
    },
    http::{Method, Request, Response},
    id::{GuildId, NodeId},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    attempts::Attempts,
    keyring::Keyring,
    password::{Busy, Passwords},
    store::CenterStore,
};
use crate::{
    clock::Clock,
    serve::{
        ServeError,
        http::{json as answer, parse, refusal},
        jwt::Claims,
        random::fingerprint,
    },
};

/// The longest name of a user, in characters: what a mention by name can hold.
const NAME_CHARS_MAX: usize = 64;
/// The shortest password of a user, in characters.
const PASSWORD_CHARS_MIN: usize = 8;
/// The longest password, in bytes: all of it is hashed.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// What answers Center's calls.
pub(super) struct Center {
    store: CenterStore,
    admin_key: Vec<u8>,
    token_life: Duration,
    clock: Clock,
    passwords: Passwords,
    attempts: Mutex<Attempts>,
}

impl fmt::Debug for Center {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Center").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginBody {
    api_key: Option<String>,
    name: Option<String>,
    password: Option<String>,
}

#[derive(Deserialize)]
struct TokenBody {
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterBody {
    node_id: NodeId,
    base_url: String,
}

#[derive(Deserialize)]
struct UserBody {
    name: String,
    password: Option<String>,
}

impl Center {
    pub(super) async fn new(
        store: CenterStore,
        admin_key: &Secret,
        token_life: Duration,
    ) -> Result<Self, ServeError> {
        Ok(Self {
            store,
            admin_key: fingerprint(admin_key.expose()),
            token_life,
            clock: Clock::start(),
            passwords: Passwords::new().await?,
            attempts: Mutex::default(),
        })
    }

    pub(super) const fn store(&self) -> &CenterStore {
        &self.store
    }

    /// Answers one call.
    pub(super) async fn answer(&self, request: Request) -> Response {
        let path = match request.target.split_once('?') {
            Some((path, _)) => path,
            None => &request.target,
        };
        let by_name = path.strip_prefix(wire::BY_NAME);
        let answered = match (request.method, path, by_name) {
            (Method::Post, wire::LOGIN, _) => self.login(&request).await,
            (Method::Post, wire::INTROSPECT, _) => self.introspect(&request).await,
            (Method::Post, wire::REGISTER, _) => self.register(&request).await,
            (Method::Post, wire::USERS, _) => self.add_user(&request).await,
            (Method::Get, _, Some(name)) => self.by_name(&request, name).await,
            (method, wire::LOGIN | wire::INTROSPECT | wire::REGISTER | wire::USERS, _)
            | (method, _, Some(_)) => {
                Err(refusal(405, format!("Cannot {} {path}", method.as_str())))
            }
            (method, _, None) => Err(refusal(404, format!("Cannot {} {path}", method.as_str()))),
        };
        match answered {
            Ok(response) | Err(response) => response,
        }
    }

    async fn login(&self, request: &Request) -> Result<Response, Response> {
        let body: LoginBody = parse(&request.body)?;
        let user = match (body.api_key, body.name, body.password) {
            (Some(key), None, None) => self
                .store
                .user_by_key(&fingerprint(&key))
                .await
                .map_err(unavailable)?
                .ok_or_else(|| refusal(401, "the API key is not good".into()))?,
            (None, Some(name), Some(password)) => self.by_password(&name, &password).await?,
            (Some(_), Some(_), _) => {
                return Err(refusal(400, "name: not together with apiKey".into()));
            }
            (Some(_), None, Some(_)) => {
                return Err(refusal(400, "password: not together with apiKey".into()));
            }
            (None, Some(_), None) => return Err(refusal(400, "password: missing".into())),
            (None, None, Some(_)) => return Err(refusal(400, "name: missing".into())),
            (None, None, None) => {
                let words = "apiKey: missing, and so are name and password";
                return Err(refusal(400, words.into()));
            }
        };
        let session = self.session(user).await.map_err(unavailable)?;
        Ok(answer(201, &session))
    }

    async fn by_password(&self, name: &str, password: &str) -> Result<User, Response> {
        let too_often = |pause| {
            let mut refused = refusal(429, "too many attempts; try again later".into());
            refused.retry_after = Some(pause);
            refused
        };
        if password.len() > PASSWORD_BYTES_MAX {
            let words = format!("password: longer than {PASSWORD_BYTES_MAX} bytes");
            return Err(refusal(400, words));
        }
        // A name that nobody can have is not watched either.
        let wrong = || refusal(401, "name or password is wrong".into());
        check_name(name).map_err(|_| wrong())?;
        if let Some(pause) = self.attempts().pause(self.clock.now(), name) {
            return Err(too_often(pause));
        }
        let found = self.store.user_by_name(name).await.map_err(unavailable)?;
        let (user, hash) = match found {
            Some((user, hash)) => (Some(user), hash),
            None => (None, None),
        };
        let right = self
            .passwords
            .check(Secret::new(password), hash)
            .await
            .map_err(|Busy| too_often(Duration::from_secs(1)))?;
        match user {
            Some(user) if right => Ok(user),
            Some(_) | None => {
                self.attempts().on_failure(self.clock.now(), name);
                Err(wrong())
            }
        }
    }

    /// The keys of this moment: they are also replaced from the command line while Center is up.
    async fn keyring(&self) -> Result<Keyring, ServeError> {
        let kept = self.store.signing_keys().await?;
        Keyring::new(&kept, self.token_life, Clock::wall())
    }

    async fn session(&self, user: User) -> Result<SessionBody, ServeError> {
        let now = Clock::wall();
        let keyring = self.keyring().await?;
        let guild_access_tokens = self
            .store
            .nodes()
            .await?
            .into_iter()
            .map(|node| {
                let claims = self.claims(&user, Some(node.guild.clone()), now);
                Ok(GrantBody {
                    guild_node_id: node.node,
                    guild_id: Some(node.guild),
                    base_url: Some(node.base_url),
                    token: keyring.sign(&claims)?,
                    expires_at: Some(end(&claims)),
                })
            })
            .collect::<Result<_, ServeError>>()?;
        Ok(SessionBody {
            access_token: keyring.sign(&self.claims(&user, None, now))?,
            guild_access_tokens,
            user,
        })
    }

    fn claims(&self, user: &User, guild: Option<GuildId>, now: Wall) -> Claims {
        let iat = now.as_millis().div_euclid(1_000);
        let life = i64::try_from(self.token_life.as_secs()).unwrap_or(i64::MAX);
        Claims {
            sub: user.id.clone(),
            gid: guild,
            iat,
            exp: iat.saturating_add(life),
        }
    }

    async fn introspect(&self, request: &Request) -> Result<Response, Response> {
        let guild = self.guild(request).await?;
        let body: TokenBody = parse(&request.body)?;
        let dead = Introspection {
            active: false,
            user_id: None,
            name: None,
            guild_id: None,
            expires_at: None,
        };
        let keyring = self.keyring().await.map_err(unavailable)?;
        let claims = match keyring.verify(&body.token, Clock::wall()) {
            Ok(claims) => claims,
            Err(refused) => {
                tracing::debug!(%guild, %refused, "a token is not good");
                return Ok(answer(201, &dead));
            }
        };
        // A guild learns nothing from a token that was meant for another one.
        if claims.gid.as_ref().is_some_and(|meant| *meant != guild) {
            return Ok(answer(201, &dead));
        }
        let user = self.store.user_by_id(&claims.sub).await;
        let Some(user) = user.map_err(unavailable)? else {
            return Ok(answer(201, &dead));
        };
        let introspection = Introspection {
            active: true,
            user_id: Some(user.id),
            name: Some(user.name),
            expires_at: Some(end(&claims)),
            guild_id: claims.gid,
        };
        Ok(answer(201, &introspection))
    }

    async fn register(&self, request: &Request) -> Result<Response, Response> {
        let guild = self.guild(request).await?;
        let body: RegisterBody = parse(&request.body)?;
        let base_url = origin(&body.base_url)
            .ok_or_else(|| refusal(400, "baseUrl: expected an origin like https://host".into()))?;
        let registered = self.store.register(&guild, &body.node_id, &base_url).await;
        if !registered.map_err(unavailable)? {
            let words = format!("the node id {} belongs to another guild", body.node_id);
            return Err(refusal(409, words));
        }
        tracing::info!(%guild, node = %body.node_id, %base_url, "a guild node has registered");
        Ok(answer(201, &json!({ "ok": true })))
    }

    /// Users find each other by name with their own token, guilds with their key.
    async fn by_name(&self, request: &Request, name: &str) -> Result<Response, Response> {
        let keyring = self.keyring().await.map_err(unavailable)?;
        let user_token = keyring.verify(bearer(request)?, Clock::wall());
        if !user_token.is_ok_and(|claims| claims.gid.is_none()) {
            self.guild(request).await?;
        }
        let name = decoded(name)
            .ok_or_else(|| refusal(400, "name: is not percent-encoded UTF-8".into()))?;
        let found = self.store.user_by_name(&name).await.map_err(unavailable)?;
        let (user, _) = found.ok_or_else(|| refusal(404, "no user has this name".into()))?;
        Ok(answer(200, &user))
    }

    async fn add_user(&self, request: &Request) -> Result<Response, Response> {
        // Fingerprints may be compared in any time: they say nothing about the key.
        if fingerprint(bearer(request)?) != self.admin_key {
            return Err(refusal(401, "this needs the administrator's key".into()));
        }
        let body: UserBody = parse(&request.body)?;
        let password = body.password.map(|password| Secret::new(&password));
        check_name(&body.name).map_err(|words| refusal(400, words))?;
        if let Some(password) = &password {
            check_password(password).map_err(|words| refusal(400, words))?;
        }
        match super::add_user(&self.store, &body.name, password.as_ref()).await {
            Ok(user) => {
                tracing::info!(id = %user.id, "a user was made");
                let body = json!({
                    "id": user.id,
                    "name": user.name,
                    "apiKey": user.api_key.expose(),
                });
                Ok(answer(201, &body))
            }
            Err(ServeError::Input(words)) => Err(refusal(409, words)),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The guild whose API key the request carries.
    async fn guild(&self, request: &Request) -> Result<GuildId, Response> {
        let key = fingerprint(bearer(request)?);
        let guild = self.store.guild_by_key(&key).await.map_err(unavailable)?;
        guild.ok_or_else(|| refusal(401, "this needs a guild's API key".into()))
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(request: &Request) -> Result<&str, Response> {
    match &request.bearer {
        Some(bearer) => Ok(bearer.expose()),
        None => Err(refusal(401, "this needs a Bearer token".into())),
    }
}

fn end(claims: &Claims) -> Wall {
    Wall::from_millis(claims.exp.saturating_mul(1_000))
}

/// The failure is told to the log; the client learns that it may try again.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
fn unavailable(error: ServeError) -> Response {
    tracing::error!(%error, "Center cannot answer");
    refusal(
        503,
        "Center cannot use its database; try again later".into(),
    )
}

/// Whether a user can have this name: what a mention by name can hold.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) {
        return Err(format!("name: expected 1 to {NAME_CHARS_MAX} characters"));
    }
    if name.trim() != name || name.contains(|c: char| is_invisible(c) || matches!(c, '<' | '>')) {
        return Err(
            "name: expected no <, >, control or invisible character, or space at an end".into(),
        );
    }
    Ok(())
}

/// Whether a character cannot be seen, or turns others around: with it, one name looks like another.
/// Joiners stay, which emoji and some scripts are written with.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Whether a user can have this password.
pub(super) fn check_password(password: &Secret) -> Result<(), String> {
    let password = password.expose();
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(format!(
            "password: expected {PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes"
        ));
    }
    Ok(())
}

/// The methods that are served at a path of Center's, as the header `Allow` has them.
pub(super) fn allowed(path: &str) -> &'static str {
    if path.starts_with(wire::BY_NAME) {
        "HEAD, GET"
    } else {
        "POST"
    }
}

/// The origin of a URL that is nothing but one.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let origin = url.origin();
    (bare && matches!(url.scheme(), "http" | "https") && origin.is_tuple())
        .then(|| origin.ascii_serialization())
}
