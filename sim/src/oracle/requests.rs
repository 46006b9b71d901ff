//! Requests: what an agent asks a guild.

use std::collections::BTreeMap;

use selvedge_core::{
    fabric::routes,
    http::{Method, Request},
    id::{ChannelId, MessageId},
};

/// What the target of a question for the agent's channels has.
const LISTING: &str = "/channels?guildId=";

/// Whether it asks for the agent's channels.
pub(super) fn lists_channels(request: &Request) -> bool {
    request.method == Method::Get && request.target.contains(LISTING)
}

/// The channel that it is about, and what of that.
fn channel_of(request: &Request) -> Option<(ChannelId, &str)> {
    let route = request.target.strip_prefix(routes::PREFIX)?;
    let (channel, what) = route.strip_prefix("/channels/")?.split_once('/')?;
    Some((ChannelId::new(channel)?, what))
}

/// The channel whose messages it is about, and what it asks for of them.
pub(super) fn messages_of(request: &Request) -> Option<(ChannelId, &str)> {
    let (channel, what) = channel_of(request)?;
    Some((channel, what.strip_prefix("messages")?))
}

/// The channel whose history is asked for, and between which messages.
pub(super) fn range_of(request: &Request) -> Option<(ChannelId, u64, u64)> {
    let (channel, query) = messages_of(request).filter(|_| request.method == Method::Get)?;
    let query = query.strip_prefix('?')?;
    let bound = |name: &str| {
        let mut bounds = query.split('&').filter_map(|bound| bound.split_once('='));
        let (_, bound) = bounds.find(|(it, _)| *it == name)?;
        bound.parse().ok()
    };
    Some((channel, bound("afterSeq")?, bound("beforeSeq")?))
}

/// The message of a question whether it is still its sender's to answer, and its channel.
pub(super) fn asked_about(request: &Request) -> Option<(ChannelId, MessageId)> {
    let (channel, what) = channel_of(request).filter(|_| request.method == Method::Post)?;
    let body = (what == "ack").then_some(&request.body)?;
    let mut body: BTreeMap<String, MessageId> = serde_json::from_slice(body).ok()?;
    Some((channel, body.remove("messageId")?))
}
