//! A person of the demo: posts over REST and watches over a socket of its own.

use std::time::Duration;

use selvedge_core::{
    RequestId, Secret, Time,
    fabric::{
        center::{self, Login},
        realtime,
        routes::{self, PostBody},
        session::{Command, Event, Join},
        types::{Channel, Message, XType},
    },
    http::{Method, Request, Response},
    id::{ChannelId, UserId},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use super::{
    super::session::{Said, Session},
    DemoError,
};
use crate::{clock::Clock, dial::Dialer, http::Client};

/// How long anything may take on loopback before the demo says that it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody with an account, logged in and connected.
pub(super) struct Person {
    pub(super) id: UserId,
    client: Client,
    origin: String,
    token: Secret,
    session: Session,
    joins: u64,
}

/// What the socket showed.
enum Seen {
    Connected,
    Joined(RequestId<Join>, Result<(), String>),
    Message(Time, Box<Message>),
    Ended(String),
}

impl Person {
    /// Logs in with an API key and connects.
    pub(super) async fn arrive(
        clock: Clock,
        client: &Client,
        dialer: &Dialer,
        center: &str,
        api_key: &Secret,
    ) -> Result<Self, DemoError> {
        let login = Login::ApiKey {
            api_key: api_key.clone(),
        };
        let session = client
            .login(center, &login)
            .await
            .map_err(|failure| DemoError::at("login", format!("{failure:?}")))?;
        let center::Session { user, grants } = session;
        let grant = grants
            .into_iter()
            .next()
            .ok_or_else(|| DemoError::at("login", "the session holds no guild"))?;
        let origin = grant
            .base_url
            .ok_or_else(|| DemoError::at("login", "the session does not say where the guild is"))?;
        let socket = timeout(PATIENCE, dialer.dial(&origin))
            .await
            .map_err(|_| DemoError::at("dial", "it took too long"))?
            .map_err(|error| DemoError::at("dial", error.to_string()))?;
        let session = Session::start(clock, socket, grant.token.clone(), PATIENCE);
        let mut person = Self {
            id: user.id,
            client: client.clone(),
            origin,
            token: grant.token,
            session,
            joins: 0,
        };
        match person.next().await? {
            Seen::Connected => Ok(person),
            Seen::Joined(..) | Seen::Message(..) => Err(DemoError::at(
                "connect",
                "a push came before the connection was there",
            )),
            Seen::Ended(why) => Err(DemoError::at("connect", why)),
        }
    }

    /// Creates a channel and joins its room.
    pub(super) async fn create(
        &mut self,
        name: &str,
        x_type: XType,
        members: &[&UserId],
    ) -> Result<Channel, DemoError> {
        let body = json!({ "name": name, "xType": x_type, "memberUserIds": members });
        let request = Request {
            method: Method::Post,
            target: format!("{}/channels", routes::PREFIX),
            bearer: Some(self.token.clone()),
            body: body.to_string().into(),
        };
        let channel: Channel = self.call("create a channel", request).await?;
        self.join(&channel.id).await?;
        Ok(channel)
    }

    async fn join(&mut self, channel: &ChannelId) -> Result<(), DemoError> {
        let id = RequestId::from_number(self.joins);
        self.joins += 1;
        let entry = realtime::Entry {
            channel_id: channel.clone(),
            fresh: false,
        };
        if !self.session.ask(Command::Join(id, entry)).await {
            return Err(DemoError::at("join", "the socket has ended"));
        }
        loop {
            match self.next().await? {
                Seen::Joined(joined, answer) if joined == id => {
                    return answer.map_err(|why| DemoError::at("join", why));
                }
                Seen::Ended(why) => return Err(DemoError::at("join", why)),
                Seen::Connected | Seen::Joined(..) | Seen::Message(..) => {}
            }
        }
    }

    /// Posts a message; answers it as the guild stored it.
    pub(super) async fn post(
        &self,
        channel: &ChannelId,
        content: &str,
    ) -> Result<Message, DemoError> {
        let body = PostBody {
            content: content.to_owned(),
            reply_to_id: None,
            attachments: Vec::new(),
            nonce: None,
        };
        let request = routes::post_message(self.token.clone(), channel, &body)
            .map_err(|error| DemoError::at("post", error.to_string()))?;
        self.call("post", request).await
    }

    /// The next message that the own socket shows, with the moment; `None` after `patience`.
    pub(super) async fn watch(
        &mut self,
        patience: Duration,
    ) -> Result<Option<(Time, Box<Message>)>, DemoError> {
        let next = async {
            loop {
                match self.seen().await {
                    Some(Seen::Message(at, message)) => return Ok((at, message)),
                    Some(Seen::Ended(why)) => return Err(DemoError::at("watch", why)),
                    Some(Seen::Connected | Seen::Joined(..)) => {}
                    None => return Err(DemoError::at("watch", "the socket has ended")),
                }
            }
        };
        match timeout(patience, next).await {
            Ok(seen) => seen.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// What the socket shows next of what a person looks at.
    async fn seen(&mut self) -> Option<Seen> {
        loop {
            let (now, said) = self.session.next().await?;
            match said {
                Said::Ready => return Some(Seen::Connected),
                Said::Event(Event::Joined(id, answer)) => {
                    let answer = answer.map_err(|error| error.to_string());
                    let answer = answer.and_then(|ack| match ack.ok {
                        true => Ok(()),
                        false => Err(format!("the guild refused: {:?}", ack.error)),
                    });
                    return Some(Seen::Joined(id, answer));
                }
                Said::Event(Event::Push(event)) if event.name() == realtime::MESSAGE_CREATED => {
                    return Some(match event.args::<(Message,)>() {
                        Ok((message,)) => Seen::Message(now, Box::new(message)),
                        Err(error) => Seen::Ended(format!("a push cannot be read: {error}")),
                    });
                }
                Said::Event(Event::Push(_)) => {}
                Said::Ended(end) => return Some(Seen::Ended(end.why)),
            }
        }
    }

    async fn next(&mut self) -> Result<Seen, DemoError> {
        match timeout(PATIENCE, self.seen()).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => Err(DemoError::at("connect", "the socket has ended")),
            Err(_) => Err(DemoError::at("connect", "nothing came for too long")),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        hop: &'static str,
        request: Request,
    ) -> Result<T, DemoError> {
        let answer = timeout(PATIENCE, self.client.send(&self.origin, request)).await;
        let Response { status, body, .. } = answer
            .map_err(|_| DemoError::at(hop, "the guild did not answer"))?
            .map_err(|failure| DemoError::at(hop, format!("the guild {failure}")))?;
        if !(200..300).contains(&status) {
            let body = String::from_utf8_lossy(&body);
            return Err(DemoError::at(
                hop,
                format!("the guild answered {status}: {body}"),
            ));
        }
        serde_json::from_slice(&body).map_err(|error| DemoError::at(hop, error.to_string()))
    }

    /// Says goodbye on the socket.
    pub(super) async fn leave(self) {
        self.session.close().await;
    }
}
