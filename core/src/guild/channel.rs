//! The rules of channels: what an action of a member leads to, or why it may not be.
//!
//! Each rule is a pure function `(&State, action) -> Result<Vec<Fact>, Refusal>`. No facts means
//! that everything is as it was asked to be already.

use alloc::{boxed::Box, collections::BTreeSet, format, string::String, vec, vec::Vec};

use crate::{
    fabric::{
        bodies::{CreateChannel, UpdateChannel},
        routes::AttachmentRef,
        turns::Command,
        types::{Author, Message, XType},
    },
    guild::{
        config::{Config, Limits},
        fact::{ChannelRow, Fact, MemberRow},
        file,
        refusal::Refusal,
        state::{Channel, State},
        turn::Turn,
        turns, wake,
    },
    id::{ChannelId, MessageId, UserId},
    time::Wall,
};

/// Who acts, and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The user, as last introspected.
    pub author: &'a Author,
    /// The guild's clock.
    pub wall: Wall,
}

/// A message that is ready to be posted: its names are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The text.
    pub content: String,
    /// Who is mentioned in it.
    pub mentions: Vec<UserId>,
    /// The message it answers.
    pub reply_to_id: Option<MessageId>,
    /// The author's own id for it.
    pub nonce: Option<String>,
    /// Files that its author has uploaded.
    pub attachments: Vec<AttachmentRef>,
}

/// Makes the channel `id`, whose members are the creator, those it names, and in triage whoever is
/// on duty.
pub fn create(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    id: ChannelId,
    body: CreateChannel,
) -> Result<Vec<Fact>, Refusal> {
    let takes_turns = body.x_type.takes_turns();
    if !takes_turns && !body.bypass.is_empty() {
        return Err(Refusal::bad(
            "bypass: only channels that take turns have one; leave it out",
        ));
    }
    let name = name(limits, body.x_type, &body.name)?;
    let wake_mapping = wake_mapping(limits, body.x_type, body.wake_mapping)?;
    let on_duty: &[UserId] = match body.x_type {
        XType::Triage => &wake_mapping,
        XType::General
        | XType::Work
        | XType::Report
        | XType::Discuss
        | XType::Custom
        | XType::Dm => &[],
    };
    let others = unique(body.member_user_ids.iter().chain(on_duty))
        .into_iter()
        .filter(|user| *user != by.author.id);
    let members: Vec<_> = core::iter::once(by.author.id.clone())
        .chain(others)
        .collect();
    if members.len() > limits.members_max {
        return Err(full(&format!(
            "a channel has at most {} members",
            limits.members_max
        )));
    }
    if body.bypass.iter().any(|user| !members.contains(user)) {
        return Err(Refusal::bad(
            "bypass: must name members; add them to memberUserIds",
        ));
    }
    if state.channel_count() >= limits.channels_max {
        return Err(full(&format!(
            "a guild has at most {} channels",
            limits.channels_max
        )));
    }
    let mut facts = vec![Fact::Channel(ChannelRow {
        id: id.clone(),
        name,
        x_type: body.x_type,
        is_public: body.is_public,
        closed: false,
        wake_mapping,
        last_seq: 0,
        created_at: by.wall,
    })];
    for user in &members {
        facts.push(membership(state, limits, by, (&id, 0), user.clone())?);
    }
    if takes_turns {
        let turn = Turn::new(members, body.bypass.into_iter().collect());
        facts.push(turns::turn_fact(id, turn));
    }
    Ok(facts)
}

/// Changes a channel's fields.
pub fn update(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    channel: &ChannelId,
    body: UpdateChannel,
) -> Result<Vec<Fact>, Refusal> {
    let channel = as_member(state, channel, &by.author.id)?;
    let mut row = channel.row.clone();
    if let Some(wanted) = body.name {
        row.name = name(limits, row.x_type, &wanted)?;
    }
    if let Some(closed) = body.closed {
        row.closed = closed;
    }
    if let Some(wanted) = body.wake_mapping {
        row.wake_mapping = wake_mapping(limits, row.x_type, wanted)?;
    }
    Ok(if row == channel.row {
        Vec::new()
    } else {
        vec![Fact::Channel(row)]
    })
}

/// The actor becomes a member of a public channel.
pub fn join(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    channel: &ChannelId,
) -> Result<Vec<Fact>, Refusal> {
    let found = existing(state, channel)?;
    if !found.row.is_public && !found.members.contains_key(&by.author.id) {
        return Err(Refusal::no_member(&by.author.id, channel));
    }
    insert(state, limits, by, found, by.author.id.clone())
}

/// A member makes somebody a member.
pub fn add(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    channel: &ChannelId,
    user: UserId,
) -> Result<Vec<Fact>, Refusal> {
    let channel = as_member(state, channel, &by.author.id)?;
    insert(state, limits, by, channel, user)
}

/// The actor is no member any more.
pub fn leave(state: &State, by: By<'_>, channel: &ChannelId) -> Result<Vec<Fact>, Refusal> {
    Ok(delete(existing(state, channel)?, by.author.id.clone()))
}

/// A member ends somebody's membership.
pub fn remove(
    state: &State,
    by: By<'_>,
    channel: &ChannelId,
    user: UserId,
) -> Result<Vec<Fact>, Refusal> {
    Ok(delete(as_member(state, channel, &by.author.id)?, user))
}

/// Whether `author` may post to `channel` at all; closed channels are a later question.
pub fn may_post<'s>(
    state: &'s State,
    channel: &ChannelId,
    author: &UserId,
) -> Result<&'s Channel, Refusal> {
    as_member(state, channel, author)
}

/// A closed channel takes no messages, and commands need a channel that takes turns.
pub fn takes(channel: &Channel, content: &str) -> Result<(), Refusal> {
    if channel.row.closed {
        return Err(Refusal::new(
            409,
            "the channel is closed: its history can be read, but nothing can be posted until a \
             member opens it again",
        ));
    }
    match Command::of(content) {
        Some(command) if channel.turn.is_none() => Err(Refusal::bad(format!(
            "content: {} is for discuss and work channels, where users take turns",
            command.as_str()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Posts a message: it gets the next `seq`, and an id made of the channel's, of that and of the time, which
/// no other message ever has: a guild that was restored from a backup gives the numbers anew, and later.
pub fn post(
    state: &State,
    config: &Config,
    by: By<'_>,
    channel: &ChannelId,
    draft: Draft,
) -> Result<Vec<Fact>, Refusal> {
    let channel = may_post(state, channel, &by.author.id)?;
    takes(channel, &draft.content)?;
    if let Some(to) = &draft.reply_to_id {
        answers(channel, to)?;
    }
    let attachments = file::attach(state, &config.limits, by, &draft.attachments)?;
    let seq = channel.row.last_seq + 1;
    let id = format!("{}-{seq}-{:x}", channel.row.id, by.wall.as_millis());
    let Some(id) = MessageId::new(&id) else {
        return Err(Refusal::bad(
            "the channel's id is too long to make a message's id of it",
        ));
    };
    let message = Message {
        id,
        channel_id: channel.row.id.clone(),
        guild_id: Some(config.guild_id.clone()),
        seq,
        author: by.author.clone(),
        content: draft.content,
        reply_to_id: draft.reply_to_id,
        mentions: draft.mentions,
        attachments,
        created_at: by.wall,
        edited_at: None,
        deleted_at: None,
        nonce: draft.nonce,
        wakeup: None,
        rewake: None,
        wake_id: None,
    };
    Ok(vec![Fact::Posted {
        woken: wake::woken(channel, &by.author.id),
        message: Box::new(message),
    }])
}

/// A reply is to a message of the same channel: its id tells.
fn answers(channel: &Channel, to: &MessageId) -> Result<(), Refusal> {
    let seq = to
        .as_str()
        .strip_prefix(channel.row.id.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.split('-').next())
        .and_then(|seq| seq.parse::<u64>().ok());
    match seq {
        Some(seq) if (1..=channel.row.last_seq).contains(&seq) => Ok(()),
        Some(_) | None => Err(Refusal::bad(format!(
            "replyToId: there is no message `{to}` in this channel"
        ))),
    }
}

/// The channel, for whoever may read its fields: members, and everybody where it is public.
pub fn readable<'s>(
    state: &'s State,
    channel: &ChannelId,
    reader: &UserId,
) -> Result<&'s Channel, Refusal> {
    let found = existing(state, channel)?;
    if found.row.is_public || found.members.contains_key(reader) {
        Ok(found)
    } else {
        Err(Refusal::no_member(reader, channel))
    }
}

/// The channel, for a member.
pub fn as_member<'s>(
    state: &'s State,
    channel: &ChannelId,
    user: &UserId,
) -> Result<&'s Channel, Refusal> {
    let found = existing(state, channel)?;
    if found.members.contains_key(user) {
        Ok(found)
    } else {
        Err(Refusal::no_member(user, channel))
    }
}

fn existing<'s>(state: &'s State, channel: &ChannelId) -> Result<&'s Channel, Refusal> {
    state
        .channel(channel)
        .ok_or_else(|| Refusal::no_channel(channel))
}

fn insert(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    channel: &Channel,
    user: UserId,
) -> Result<Vec<Fact>, Refusal> {
    if channel.members.contains_key(&user) {
        return Ok(Vec::new());
    }
    if channel.members.len() >= limits.members_max {
        return Err(full(&format!(
            "a channel has at most {} members",
            limits.members_max
        )));
    }
    let place = (&channel.row.id, channel.row.last_seq);
    Ok(vec![membership(state, limits, by, place, user)?])
}

fn delete(channel: &Channel, user: UserId) -> Vec<Fact> {
    if !channel.members.contains_key(&user) {
        return Vec::new();
    }
    vec![Fact::NoMember {
        channel: channel.row.id.clone(),
        user,
    }]
}

/// The membership of `user` from `place` on: a channel and its `last_seq`.
fn membership(
    state: &State,
    limits: &Limits,
    by: By<'_>,
    place: (&ChannelId, u64),
    user: UserId,
) -> Result<Fact, Refusal> {
    if state.channel_count_of(&user) >= limits.channels_per_user_max {
        return Err(full(&format!(
            "`{user}` is a member of {} channels, which is the most",
            limits.channels_per_user_max
        )));
    }
    let name = match state.name_of(&user) {
        _ if user == by.author.id => by.author.name.as_str(),
        Some(name) => name,
        None => user.as_str(),
    };
    Ok(Fact::Member(MemberRow {
        channel: place.0.clone(),
        name: name.into(),
        user,
        joined_seq: place.1,
        joined_at: by.wall,
    }))
}

fn name(limits: &Limits, x_type: XType, wanted: &str) -> Result<String, Refusal> {
    let name = wanted.trim();
    if name.is_empty() && x_type != XType::Dm {
        return Err(Refusal::bad(
            "name: must not be empty, except in a dm channel",
        ));
    }
    if name.chars().count() > limits.name_chars_max {
        return Err(Refusal::bad(format!(
            "name: at most {} characters",
            limits.name_chars_max
        )));
    }
    Ok(name.into())
}

fn wake_mapping(
    limits: &Limits,
    x_type: XType,
    wanted: Vec<UserId>,
) -> Result<Vec<UserId>, Refusal> {
    let wakes_listed = match x_type {
        XType::Triage | XType::Custom => true,
        XType::General | XType::Work | XType::Report | XType::Discuss | XType::Dm => false,
    };
    if !wakes_listed && !wanted.is_empty() {
        return Err(Refusal::bad(
            "wakeMapping: only triage and custom channels have one; leave it out",
        ));
    }
    if wanted.len() > limits.wake_mapping_max {
        return Err(Refusal::bad(format!(
            "wakeMapping: at most {} users",
            limits.wake_mapping_max
        )));
    }
    Ok(unique(&wanted))
}

/// Each user once, in order of appearance.
fn unique<'a>(users: impl IntoIterator<Item = &'a UserId>) -> Vec<UserId> {
    let mut seen = BTreeSet::new();
    users
        .into_iter()
        .filter(|user| seen.insert(*user))
        .cloned()
        .collect()
}

fn full(what: &str) -> Refusal {
    Refusal::new(
        409,
        format!("{what}: use another channel, or have the limit raised"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{GuildId, NodeId};

    struct World {
        state: State,
        limits: Limits,
    }

    fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    fn users(ids: &[&str]) -> Vec<UserId> {
        ids.iter().map(|id| user(id)).collect()
    }

    fn author(id: &str) -> Author {
        Author {
            id: user(id),
            name: id.to_uppercase(),
        }
    }

    fn id(id: &str) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    fn wanted(x_type: XType) -> CreateChannel {
        CreateChannel {
            name: " Ward ".into(),
            x_type,
            is_public: false,
            member_user_ids: Vec::new(),
            wake_mapping: Vec::new(),
            bypass: Vec::new(),
        }
    }

    impl World {
        fn new() -> Self {
            Self {
                state: State::default(),
                limits: Limits::default(),
            }
        }

        /// Decides as `who`, and makes the facts true.
        fn act(
            &mut self,
            who: &str,
            rule: impl FnOnce(&State, &Limits, By<'_>) -> Result<Vec<Fact>, Refusal>,
        ) -> Result<Vec<Fact>, u16> {
            let author = author(who);
            let by = By {
                author: &author,
                wall: Wall::from_millis(7),
            };
            let facts = rule(&self.state, &self.limits, by).map_err(|refusal| refusal.status)?;
            facts.iter().for_each(|fact| self.state.apply(fact));
            Ok(facts)
        }

        fn create(&mut self, who: &str, name: &str, body: CreateChannel) -> Result<usize, u16> {
            self.act(who, |state, limits, by| {
                create(state, limits, by, id(name), body)
            })
            .map(|facts| facts.len())
        }

        fn members(&self, channel: &str) -> Vec<&str> {
            let channel = self.state.channel(&id(channel)).unwrap();
            channel.members.keys().map(UserId::as_str).collect()
        }

        fn post(&mut self, who: &str, content: &str) -> Result<u64, u16> {
            let draft = Draft {
                content: content.into(),
                mentions: Vec::new(),
                reply_to_id: None,
                nonce: None,
                attachments: Vec::new(),
            };
            let config = Config::new(NodeId::new("n").unwrap(), GuildId::new("g").unwrap());
            self.act(who, |state, _, by| {
                post(state, &config, by, &id("c"), draft)
            })
            .map(|facts| match facts.as_slice() {
                [Fact::Posted { message, .. }] => message.seq,
                other => panic!("{other:?}"),
            })
        }
    }

    #[test]
    fn a_new_channel_has_its_creator_the_named_and_whoever_is_on_duty() {
        let mut world = World::new();
        let mut body = wanted(XType::Triage);
        body.member_user_ids = users(&["b", "a", "b"]);
        body.wake_mapping = users(&["d", "b", "d"]);
        assert_eq!(world.create("a", "c", body.clone()), Ok(4));
        assert_eq!(world.members("c"), ["a", "b", "d"]);
        let channel = world.state.channel(&id("c")).unwrap();
        assert_eq!(channel.row.name, "Ward");
        assert_eq!(channel.row.wake_mapping, users(&["d", "b"]));
        assert_eq!(channel.members[&user("a")].name, "A");
        assert_eq!(channel.members[&user("b")].name, "b");

        body.x_type = XType::Custom;
        assert_eq!(world.create("a", "c2", body.clone()), Ok(3));
        assert_eq!(world.members("c2"), ["a", "b"]);
        for x_type in [XType::General, XType::Dm, XType::Report] {
            body.x_type = x_type;
            assert_eq!(world.create("a", "c3", body.clone()), Err(400));
        }
    }

    #[test]
    fn what_cannot_be_created_is_refused() {
        let mut world = World::new();
        for (x_type, bypass) in [(XType::General, "a"), (XType::Discuss, "b")] {
            let mut body = wanted(x_type);
            body.bypass = users(&[bypass]);
            assert_eq!(world.create("a", "c", body), Err(400));
        }
        let mut body = wanted(XType::General);
        body.name = "\t".into();
        assert_eq!(world.create("a", "c", body.clone()), Err(400));
        body.x_type = XType::Dm;
        assert_eq!(world.create("a", "c", body.clone()), Ok(2));
        body.name = "é".repeat(101);
        assert_eq!(world.create("a", "c2", body.clone()), Err(400));
        body.name = "é".repeat(100);
        assert_eq!(world.create("a", "c2", body.clone()), Ok(2));
        world.limits.channels_per_user_max = 2;
        assert_eq!(world.create("a", "c3", body.clone()), Err(409));
        world.limits.channels_max = 2;
        assert_eq!(world.create("b", "c3", body.clone()), Err(409));
        world.limits = Limits::default();
        world.limits.members_max = 2;
        body.member_user_ids = users(&["b", "c"]);
        assert_eq!(world.create("a", "c3", body), Err(409));
    }

    #[test]
    fn membership_is_idempotent_and_private_channels_stay_private() {
        let mut world = World::new();
        world.create("a", "c", wanted(XType::General)).unwrap();
        let c = id("c");
        let count = |facts: Result<Vec<Fact>, u16>| facts.map(|facts| facts.len());
        for (who, expected) in [("a", Ok(0)), ("b", Err(403))] {
            let facts = world.act(who, |state, limits, by| join(state, limits, by, &c));
            assert_eq!(count(facts), expected);
            let facts = world.act(who, |state, limits, by| {
                add(state, limits, by, &c, user("a"))
            });
            assert_eq!(count(facts), expected);
        }
        world.post("a", "one").unwrap();
        for expected in [1, 0] {
            let facts = world.act("a", |state, limits, by| {
                add(state, limits, by, &c, user("b"))
            });
            assert_eq!(count(facts), Ok(expected));
        }
        let channel = world.state.channel(&c).unwrap();
        assert_eq!(channel.joined_seq(&user("b")), Some(1));
        for expected in [1, 0] {
            let facts = world.act("b", |state, _, by| leave(state, by, &c));
            assert_eq!(count(facts), Ok(expected));
        }
        assert_eq!(world.state.channel_count_of(&user("b")), 0);
        let facts = world.act("b", |state, _, by| remove(state, by, &c, user("a")));
        assert_eq!(count(facts), Err(403));
        let facts = world.act("a", |state, _, by| remove(state, by, &c, user("a")));
        assert_eq!(count(facts), Ok(1));
        let facts = world.act("a", |state, _, by| leave(state, by, &id("nowhere")));
        assert_eq!(count(facts), Err(404));

        let mut body = wanted(XType::General);
        body.is_public = true;
        world.create("a", "p", body).unwrap();
        world.limits.members_max = 2;
        for (who, expected) in [("b", Ok(1)), ("b", Ok(0)), ("c", Err(409))] {
            let facts = world.act(who, |state, limits, by| join(state, limits, by, &id("p")));
            assert_eq!(count(facts), expected);
        }
        assert!(readable(&world.state, &id("p"), &user("x")).is_ok());
        assert!(readable(&world.state, &c, &user("x")).is_err());
    }

    #[test]
    fn seq_has_no_holes_and_a_closed_channel_takes_nothing() {
        let mut world = World::new();
        world.create("a", "c", wanted(XType::General)).unwrap();
        assert_eq!(world.post("a", "one"), Ok(1));
        assert_eq!(world.post("b", "two"), Err(403));
        assert_eq!(world.post("a", " /no-reply\n"), Err(400));
        assert_eq!(world.post("a", "/force-proceed"), Err(400));
        assert_eq!(world.post("a", "/no-reply to that"), Ok(2));
        let mut change = |body: UpdateChannel| {
            world
                .act("a", |state, limits, by| {
                    update(state, limits, by, &id("c"), body)
                })
                .map(|facts| facts.len())
        };
        let close = |closed| UpdateChannel {
            closed: Some(closed),
            ..UpdateChannel::default()
        };
        assert_eq!(change(UpdateChannel::default()), Ok(0));
        assert_eq!(change(close(true)), Ok(1));
        assert_eq!(change(close(true)), Ok(0));
        let wake = UpdateChannel {
            wake_mapping: Some(users(&["a"])),
            ..UpdateChannel::default()
        };
        assert_eq!(change(wake), Err(400));
        assert_eq!(world.post("a", "three"), Err(409));
        assert_eq!(world.post("a", "/no-reply"), Err(409), "closing is first");
        assert_eq!(world.post("b", "three"), Err(403));
        let reopened = world.act("a", |state, limits, by| {
            update(state, limits, by, &id("c"), close(false))
        });
        assert_eq!(reopened.map(|facts| facts.len()), Ok(1));
        assert_eq!(world.post("a", "three"), Ok(3));
    }
}
