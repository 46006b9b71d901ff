//! The people of a guild, who post straight to it: each post is tried until the guild has acknowledged it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use selvedge::{clock::Clock, http::Client, tls};
use selvedge_core::{
    Secret,
    fabric::{
        bodies::CreateChannel,
        center::Login,
        routes::{self, Paging, PostBody},
        types::{Channel, XType},
    },
    http::{Request, Response},
    id::{ChannelId, UserId},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{sleep, timeout};

use super::judge::{Posted, Said};
use crate::fabric::Fault;

/// How long one attempt may take, and how long until the next.
const ATTEMPT: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);

/// The people, and the agent's account among them.
#[derive(Debug)]
pub(super) struct People {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) center: String,
    pub(super) guild: String,
    /// By their names.
    pub(super) keys: BTreeMap<String, String>,
    /// Whether the guild knows a post by its nonce.
    pub(super) nonces: bool,
    tokens: Mutex<BTreeMap<String, Secret>>,
}

/// A page of history.
#[derive(Deserialize)]
struct Page {
    messages: Vec<Said>,
}

impl People {
    pub(super) fn new(
        clock: Clock,
        (center, guild): (String, String),
        keys: BTreeMap<String, String>,
        nonces: bool,
    ) -> Result<Self, Fault> {
        Ok(Self {
            client: Client::new(&tls::client_config(None)?, None)?,
            clock,
            center,
            guild,
            keys,
            nonces,
            tokens: Mutex::default(),
        })
    }

    /// The user id of somebody.
    pub(super) async fn id(&self, name: &str) -> Result<UserId, Fault> {
        Ok(self.login(name).await?.0)
    }

    async fn login(&self, name: &str) -> Result<(UserId, Secret), Fault> {
        let key = self.keys.get(name).ok_or("nobody of this name")?;
        let login = Login::ApiKey {
            api_key: Secret::new(key),
        };
        let session = timeout(ATTEMPT, self.client.login(&self.center, &login)).await?;
        let session = session.map_err(|failure| format!("{name} cannot log in: {failure:?}"))?;
        let grant = session.grants.into_iter().next();
        let token = grant.ok_or("there is no guild")?.token;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(name.to_owned(), token.clone());
        Ok((session.user.id, token))
    }

    async fn token(&self, name: &str) -> Result<Secret, Fault> {
        let known = {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.get(name).cloned()
        };
        match known {
            Some(token) => Ok(token),
            None => Ok(self.login(name).await?.1),
        }
    }

    /// Asks once.
    async fn ask<T: DeserializeOwned>(
        &self,
        name: &str,
        request: impl FnOnce(Secret) -> Result<Request, serde_json::Error>,
    ) -> Result<T, Fault> {
        let request = request(self.token(name).await?)?;
        let answer = timeout(ATTEMPT, self.client.send(&self.guild, request)).await?;
        let Response { status, body, .. } = answer.map_err(|failure| failure.to_string())?;
        match status {
            200..300 => Ok(serde_json::from_slice(&body)?),
            401 => {
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                tokens.remove(name);
                Err("the token is dead".into())
            }
            status => Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into()),
        }
    }

    /// Somebody makes a channel with all the others in it.
    pub(super) async fn create(
        &self,
        by: &str,
        name: &str,
        x_type: XType,
        members: &[UserId],
        wakes: &UserId,
    ) -> Result<ChannelId, Fault> {
        let body = CreateChannel {
            name: name.to_owned(),
            x_type,
            is_public: false,
            member_user_ids: members.to_vec(),
            wake_mapping: match x_type {
                XType::Custom | XType::Triage => vec![wakes.clone()],
                XType::General | XType::Work | XType::Report | XType::Discuss | XType::Dm => {
                    vec![]
                }
            },
            bypass: vec![],
        };
        let made: Channel = self
            .ask(by, |token| routes::create_channel(token, &body))
            .await?;
        Ok(made.id)
    }

    /// Somebody posts the channel's post of this number, until the guild has acknowledged it.
    pub(super) async fn post(
        &self,
        name: &str,
        channel: &ChannelId,
        number: u32,
        content: String,
    ) -> Result<Posted, Fault> {
        let body = PostBody {
            content,
            reply_to_id: None,
            attachments: vec![],
            nonce: self.nonces.then(|| format!("{channel} {number}")),
        };
        loop {
            let posted: Result<Said, Fault> = self
                .ask(name, |token| routes::post_message(token, channel, &body))
                .await;
            let stands = posted.is_ok() || (!self.nonces && self.finds(name, channel, &body).await);
            if stands {
                return Ok(Posted {
                    channel: channel.to_string(),
                    content: body.content,
                    at: self.clock.now(),
                });
            }
            sleep(AGAIN).await;
        }
    }

    /// Whether a post that may have been taken stands in its channel; waits until that is known.
    async fn finds(&self, name: &str, channel: &ChannelId, body: &PostBody) -> bool {
        loop {
            if let Ok(said) = self.history(name, channel).await {
                return said.iter().any(|said| said.content == body.content);
            }
            sleep(AGAIN).await;
        }
    }

    /// Everything in a channel.
    pub(super) async fn history(
        &self,
        name: &str,
        channel: &ChannelId,
    ) -> Result<Vec<Said>, Fault> {
        let mut all = Vec::new();
        let mut before = None;
        loop {
            let paging = Paging {
                after: None,
                before,
                limit: routes::PAGE_MAX,
            };
            let page: Page = self
                .ask(name, |token| Ok(routes::history(token, channel, paging)))
                .await?;
            before = page.messages.first().map(|said| said.seq);
            let first = before.is_none_or(|seq| seq <= 1);
            all.splice(0..0, page.messages);
            if first {
                return Ok(all);
            }
        }
    }
}
