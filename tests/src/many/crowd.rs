//! The accounts and their channels: in each guild a hall with every agent, and teams of a few.

use std::{collections::BTreeMap, fmt::Write as _};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use selvedge::http::Client;
use selvedge_core::{
    Secret,
    fabric::{
        center::{self, Login, Session},
        routes::{self, PostBody},
        types::{Channel, Message},
    },
    http::{Method, Request},
    id::{AgentId, ChannelId, GuildId, MessageId, UserId},
};
use serde::Deserialize;
use serde_json::json;

use super::town::Town;
use crate::fabric::{Fault, answer};

/// How many agents are in a team.
pub(super) const TEAM: usize = 10;

/// How many calls are made at once while everything is set up.
const AT_ONCE: usize = 8;

/// Where somebody is to be woken: a channel with these agents.
#[derive(Clone, Debug)]
pub(super) struct Room {
    guild: GuildId,
    origin: String,
    channel: ChannelId,
    agents: Vec<AgentId>,
}

/// A post, and who is to be woken by it.
#[derive(Clone, Debug)]
pub(super) struct Posted {
    pub(super) guild: GuildId,
    pub(super) message: MessageId,
    pub(super) agents: Vec<AgentId>,
}

/// The agents, and alice, who is in each of their channels.
pub(super) struct Crowd {
    client: Client,
    center: String,
    alice: Login,
    agents: Vec<Agent>,
    /// One a guild.
    pub(super) halls: Vec<Room>,
    pub(super) teams: Vec<Room>,
}

struct Agent {
    id: AgentId,
    user: UserId,
    key: Secret,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewUser {
    id: UserId,
    api_key: String,
}

impl Crowd {
    /// Makes the accounts and the channels.
    pub(super) async fn gather(client: Client, town: &Town, agents: usize) -> Result<Self, Fault> {
        let center = town.center_url();
        let admin = town.admin_key()?;
        let add = async |name: String| {
            let request = Request {
                method: Method::Post,
                target: center::USERS.into(),
                bearer: Some(admin.clone()),
                body: json!({ "name": name }).to_string().into(),
            };
            answer::<NewUser>(&client, &center, request).await
        };
        let alice = add("alice".into()).await?;
        let hired = stream::iter(0..agents).map(|number| {
            let added = add(name(number));
            async move {
                let NewUser { id, api_key } = added.await?;
                Ok::<_, Fault>(Agent {
                    id: AgentId::new(&name(number)).ok_or("no id of an agent")?,
                    user: id,
                    key: Secret::new(&api_key),
                })
            }
        });
        let hired: Vec<_> = hired.buffered(AT_ONCE).try_collect().await?;
        let mut crowd = Self {
            alice: Login::ApiKey {
                api_key: Secret::new(&alice.api_key),
            },
            client: client.clone(),
            center: center.clone(),
            agents: hired,
            halls: Vec::new(),
            teams: Vec::new(),
        };
        let tokens = crowd.tokens().await?;
        for (guild, origin) in town.guilds() {
            let token = tokens.get(guild).ok_or("alice is not in a guild")?;
            let create = |name: String, agents: &[Agent]| {
                crowd.create(token.clone(), guild.clone(), origin.clone(), name, agents)
            };
            let hall = create("hall".into(), &crowd.agents).await?;
            let teams = crowd.agents.chunks(TEAM).enumerate();
            let teams: Vec<_> = teams
                .map(|(number, agents)| create(format!("team {number}"), agents))
                .collect();
            let teams = stream::iter(teams).buffered(AT_ONCE);
            let teams: Vec<_> = teams.try_collect().await?;
            crowd.halls.push(hall);
            crowd.teams.extend(teams);
        }
        Ok(crowd)
    }

    fn create(
        &self,
        token: Secret,
        guild: GuildId,
        origin: String,
        name: String,
        agents: &[Agent],
    ) -> impl Future<Output = Result<Room, Fault>> + use<> {
        let members: Vec<_> = agents.iter().map(|agent| agent.user.clone()).collect();
        let agents = agents.iter().map(|agent| agent.id.clone()).collect();
        let body = json!({ "name": name, "xType": "general", "memberUserIds": members });
        let request = Request {
            method: Method::Post,
            target: "/api/channels".into(),
            bearer: Some(token),
            body: body.to_string().into(),
        };
        let client = self.client.clone();
        async move {
            let channel: Channel = answer(&client, &origin, request).await?;
            Ok(Room {
                guild,
                origin,
                channel: channel.id,
                agents,
            })
        }
    }

    /// Alice's tokens for each guild, which are new.
    async fn tokens(&self) -> Result<BTreeMap<GuildId, Secret>, Fault> {
        let session = self.client.login(&self.center, &self.alice).await;
        let Session { grants, .. } =
            session.map_err(|failure| format!("alice cannot log in: {failure:?}"))?;
        let tokens = grants.into_iter();
        Ok(tokens.map(|grant| (grant.guild_id, grant.token)).collect())
    }

    /// Alice posts once in each of these rooms.
    pub(super) async fn post(&self, rooms: &[Room], content: &str) -> Result<Vec<Posted>, Fault> {
        let tokens = self.tokens().await?;
        let mut posted = Vec::new();
        for room in rooms {
            let token = tokens.get(&room.guild).ok_or("alice is not in a guild")?;
            let body = PostBody {
                content: content.to_owned(),
                reply_to_id: None,
                attachments: vec![],
                nonce: None,
            };
            let post = routes::post_message(token.clone(), &room.channel, &body)?;
            let message: Message = answer(&self.client, &room.origin, post).await?;
            posted.push(Posted {
                guild: room.guild.clone(),
                message: message.id,
                agents: room.agents.clone(),
            });
        }
        Ok(posted)
    }

    /// The agents of a configuration, and the variables of the environment with their keys.
    pub(super) fn config(&self) -> (String, Vec<(String, String)>) {
        let mut config = String::new();
        let mut keys = Vec::new();
        for Agent { id, key, .. } in &self.agents {
            let variable = format!("KEY_{id}").replace('-', "_");
            // Writing to a text never fails.
            let _ = writeln!(
                config,
                "[[agent]]\nid = \"{id}\"\napi_key_env = \"{variable}\""
            );
            keys.push((variable, key.expose().to_owned()));
        }
        (config, keys)
    }
}

fn name(number: usize) -> String {
    format!("agent-{number:03}")
}
