//! A model of Center: accounts, tokens with a life, and who they belong to.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{
    Secret, Wall,
    fabric::center::{Grant, Introspection, Session, User},
    id::{GuildId, NodeId, UserId},
};

/// Issues tokens and judges them.
#[derive(Debug)]
pub struct Center {
    guild: GuildId,
    node: NodeId,
    life: Duration,
    issued: BTreeMap<String, (User, Wall)>,
    next: u64,
    /// How many logins have been answered.
    pub logins: u64,
}

impl Center {
    /// A Center for one guild, whose tokens live for `life`.
    pub fn new(guild: GuildId, node: NodeId, life: Duration) -> Self {
        Self {
            guild,
            node,
            life,
            issued: BTreeMap::new(),
            next: 0,
            logins: 0,
        }
    }

    /// A session for `user`.
    pub fn login(&mut self, wall: Wall, user: &UserId, origin: &str) -> Session {
        self.logins += 1;
        let token = self.issue(user, wall + self.life);
        let user = User {
            id: user.clone(),
            name: user.to_string(),
        };
        let grant = Grant {
            node_id: self.node.clone(),
            guild_id: self.guild.clone(),
            base_url: Some(origin.to_string()),
            token,
            life: self.life,
        };
        Session {
            user,
            grants: vec![grant],
        }
    }

    /// Every token of `user` is dead.
    pub fn revoke(&mut self, user: &UserId) {
        self.issued.retain(|_, (owner, _)| owner.id != *user);
    }

    /// A token for `user` that dies at `expires`.
    pub fn issue(&mut self, user: &UserId, expires: Wall) -> Secret {
        let token = format!("token-{}-of-{user}", self.next);
        self.next += 1;
        let user = User {
            id: user.clone(),
            name: user.to_string(),
        };
        self.issued.insert(token.clone(), (user, expires));
        Secret::new(&token)
    }

    /// Whose a token is. Like Center's answer for a JWT that has expired: a dead token is told as
    /// not active, unless the guild is one that does not look (`deaf`).
    pub fn introspect(&self, wall: Wall, token: &Secret, deaf: bool) -> Introspection {
        let known = self.issued.get(token.expose());
        match known.filter(|(_, expires)| *expires > wall || deaf) {
            Some((user, expires)) => Introspection {
                active: true,
                user_id: Some(user.id.clone()),
                name: Some(user.name.clone()),
                guild_id: Some(self.guild.clone()),
                expires_at: Some(*expires),
            },
            None => Introspection {
                active: false,
                user_id: None,
                name: None,
                guild_id: None,
                expires_at: None,
            },
        }
    }
}
