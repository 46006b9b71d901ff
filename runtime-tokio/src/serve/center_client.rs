//! What a guild node asks Center.

use selvedge_core::{
    Secret,
    fabric::{
        center::{BY_NAME, INTROSPECT, Introspection, REGISTER, User},
        error::ErrorBody,
        routes::encoded,
    },
    guild::io::Unavailable,
    http::{Method, Request, Response},
    id::NodeId,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{http::Client, report::clipped};

/// How much of Center's own words is repeated.
const WORDS_MAX: usize = 200;

/// A guild node's side of its Center. How long an answer is waited for is the machine's decision.
#[derive(Debug)]
pub(crate) struct CenterClient {
    client: Client,
    url: String,
    api_key: Secret,
}

/// Why a node is not registered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotRegistered {
    /// Center does not want it.
    Refused(String),
    /// Center cannot be asked now.
    Unavailable(String),
}

impl CenterClient {
    /// A client of the Center at the origin `url`.
    pub(crate) fn new(client: Client, url: &str, api_key: Secret) -> Self {
        Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            api_key,
        }
    }

    /// Where Center is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Says that the node is up.
    pub(crate) async fn register(
        &self,
        node: &NodeId,
        base_url: &str,
    ) -> Result<(), NotRegistered> {
        let body = json!({ "nodeId": node, "baseUrl": base_url });
        let answer = self
            .post(REGISTER, &body)
            .await
            .map_err(|Unavailable(words)| NotRegistered::Unavailable(words))?;
        match answer.status {
            200..=299 => Ok(()),
            429 | 500..=599 => Err(NotRegistered::Unavailable(words(&answer))),
            _ => Err(NotRegistered::Refused(words(&answer))),
        }
    }

    /// Asks whether a token is good.
    pub(crate) async fn introspect(&self, token: &Secret) -> Result<Introspection, Unavailable> {
        let body = json!({ "token": token.expose() });
        read(&self.post(INTROSPECT, &body).await?)
    }

    /// Asks for the user of a name.
    pub(crate) async fn by_name(&self, name: &str) -> Result<Option<User>, Unavailable> {
        let target = format!("{BY_NAME}{}", encoded(name));
        let answer = self.send(Method::Get, target, bytes::Bytes::new()).await?;
        match answer.status {
            404 => Ok(None),
            _ => read(&answer).map(Some),
        }
    }

    async fn post(&self, target: &str, body: &Value) -> Result<Response, Unavailable> {
        self.send(Method::Post, target.to_owned(), body.to_string().into())
            .await
    }

    async fn send(
        &self,
        method: Method,
        target: String,
        body: bytes::Bytes,
    ) -> Result<Response, Unavailable> {
        let request = Request {
            method,
            target,
            bearer: Some(self.api_key.clone()),
            body,
        };
        self.client
            .send(&self.url, request)
            .await
            .map_err(|failure| Unavailable(format!("Center at {} {failure}", self.url)))
    }
}

fn read<T: DeserializeOwned>(answer: &Response) -> Result<T, Unavailable> {
    if !(200..=299).contains(&answer.status) {
        return Err(Unavailable(words(answer)));
    }
    let mut json = serde_json::Deserializer::from_slice(&answer.body);
    // The words of the error could repeat what is secret; the path does not.
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        Unavailable(format!(
            "Center's answer cannot be read: `{}` is missing or not of its kind",
            error.path()
        ))
    })
}

fn words(answer: &Response) -> String {
    let words = serde_json::from_slice::<ErrorBody>(&answer.body)
        .map_or_else(|_| String::new(), |body| body.message.to_string());
    format!(
        "Center answered {}: {}",
        answer.status,
        clipped(&words, WORDS_MAX)
    )
}
