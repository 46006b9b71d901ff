//! Center: logins, guild tokens, introspection.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    id::{GuildId, NodeId, UserId},
    secret::{self, Secret},
    time::Wall,
};

/// `POST` here logs in.
pub const LOGIN: &str = "/api/auth/login";
/// `POST` here asks whether a token is good.
pub const INTROSPECT: &str = "/api/tokens/introspect";
/// `POST` here says that a guild node is up.
pub const REGISTER: &str = "/api/nodes/register";
/// `POST` here makes a user.
pub const USERS: &str = "/api/users";
/// `GET` here, with the name appended, finds a user.
pub const BY_NAME: &str = "/api/users/by-name/";

/// What a login is made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Login {
    /// An agent's key.
    ApiKey {
        /// The key.
        #[serde(rename = "apiKey", with = "secret::recorded")]
        api_key: Secret,
    },
    /// A person's name and password.
    Password {
        /// The account's name.
        name: String,
        /// The password.
        #[serde(with = "secret::recorded")]
        password: Secret,
    },
}

impl Login {
    /// The key or the password.
    pub const fn secret(&self) -> &Secret {
        match self {
            Self::ApiKey { api_key: secret }
            | Self::Password {
                password: secret, ..
            } => secret,
        }
    }
}

/// A login's answer as Center writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionBody {
    /// The account.
    pub user: User,
    /// The token for Center itself.
    #[serde(with = "secret::recorded")]
    pub access_token: Secret,
    /// One token for each guild that the user belongs to.
    pub guild_access_tokens: Vec<GrantBody>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The account's id.
    pub id: UserId,
    /// Its name.
    #[serde(default)]
    pub name: String,
}
canonical!(struct User { id, name });

/// The token for one guild as Center writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantBody {
    /// The node that the guild lives on.
    pub guild_node_id: NodeId,
    /// The guild; older Centers leave it out, then it is the node's id.
    #[serde(default)]
    pub guild_id: Option<GuildId>,
    /// The node's origin, such as `http://127.0.0.1:7002`; older Centers leave it out.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The token.
    #[serde(with = "secret::recorded")]
    pub token: Secret,
    /// When the token dies; older Centers leave it out.
    #[serde(default)]
    pub expires_at: Option<Wall>,
}

/// A login's answer as the machines take it in: the edge has read from each token how long it
/// lives, since `core` never looks inside of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account.
    pub user: User,
    /// One grant for each guild.
    pub grants: Vec<Grant>,
}
canonical!(struct Session { user, grants });

/// The right to one guild.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The node that the guild lives on.
    pub node_id: NodeId,
    /// The guild.
    pub guild_id: GuildId,
    /// The node's origin, without a slash at the end. `None` where neither Center nor the
    /// configuration tells.
    pub base_url: Option<String>,
    /// The token.
    #[serde(with = "secret::recorded")]
    pub token: Secret,
    /// How long the token lives from its making.
    pub life: Duration,
}
canonical!(struct Grant { node_id, guild_id, base_url, token, life });

/// The answer to an introspection. A dead token is `{active: false}` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Introspection {
    /// Whether the token is good.
    pub active: bool,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// That user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The guild that it is for; `None` for a user access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
    /// When it dies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Wall>,
}
canonical!(struct Introspection { active, user_id, name, guild_id, expires_at });
