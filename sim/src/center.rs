//! A model of Center: accounts, tokens with a life, and who they belong to.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{
    Secret, Wall,
    fabric::center::{Grant, Introspection, Session, User},
    id::{GuildId, NodeId, UserId},
};

use crate::{fault::LoginFault, path::take};

/// A guild as Center knows it.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The guild.
    pub guild: GuildId,
    /// Its node.
    pub node: NodeId,
    /// Where the node is.
    pub origin: String,
}

#[derive(Debug)]
struct Issued {
    user: User,
    guild: GuildId,
    expires: Wall,
}

/// Issues tokens and judges them.
#[derive(Debug)]
pub struct Center {
    guilds: Vec<Registered>,
    life: Duration,
    issued: BTreeMap<String, Issued>,
    next: u64,
    /// How the next logins go wrong: whose, how many, in which way.
    pub faults: Vec<(Option<usize>, u32, LoginFault)>,
}

impl Center {
    /// A Center for these guilds, whose tokens live for `life`.
    pub fn new(guilds: Vec<Registered>, life: Duration) -> Self {
        Self {
            guilds,
            life,
            issued: BTreeMap::new(),
            next: 0,
            faults: Vec::new(),
        }
    }

    /// How the login that `agent` makes now goes wrong, if it does.
    pub fn login_fault(&mut self, agent: usize) -> Option<LoginFault> {
        let mut faults = self.faults.iter_mut();
        let (_, left, how) =
            faults.find(|(of, left, _)| *left > 0 && of.is_none_or(|of| of == agent))?;
        take(left).then_some(*how)
    }

    /// A session for `user` in every guild but those that `lacks` names.
    pub fn login(&mut self, wall: Wall, user: &UserId, lacks: &[GuildId]) -> Session {
        let guilds = self.guilds.clone().into_iter();
        let granted = guilds.filter(|known| !lacks.contains(&known.guild));
        let grants = granted.map(|known| Grant {
            token: self.issue(user, &known.guild, wall + self.life),
            node_id: known.node,
            guild_id: known.guild,
            base_url: Some(known.origin),
            life: self.life,
        });
        Session {
            grants: grants.collect(),
            user: named(user),
        }
    }

    /// Every token of `user` is dead.
    pub fn revoke(&mut self, user: &UserId) {
        self.issued.retain(|_, issued| issued.user.id != *user);
    }

    /// A token of `user` for a guild that dies at `expires`.
    pub fn issue(&mut self, user: &UserId, guild: &GuildId, expires: Wall) -> Secret {
        let token = format!("token-{}-of-{user}", self.next);
        self.next += 1;
        let issued = Issued {
            user: named(user),
            guild: guild.clone(),
            expires,
        };
        self.issued.insert(token.clone(), issued);
        Secret::new(&token)
    }

    /// When a token dies; `None` where it was never issued, or was taken back.
    pub fn expires(&self, token: &str) -> Option<Wall> {
        self.issued.get(token).map(|issued| issued.expires)
    }

    /// Whose a token is. Like Center's answer for a JWT that has expired: a dead token is told as
    /// not active, unless the guild is one that does not look (`deaf`).
    pub fn introspect(&self, wall: Wall, token: &Secret, deaf: bool) -> Introspection {
        let known = self.issued.get(token.expose());
        match known.filter(|known| known.expires > wall || deaf) {
            Some(known) => Introspection {
                active: true,
                user_id: Some(known.user.id.clone()),
                name: Some(known.user.name.clone()),
                guild_id: Some(known.guild.clone()),
                expires_at: Some(known.expires),
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

fn named(user: &UserId) -> User {
    User {
        id: user.clone(),
        name: user.to_string(),
    }
}
