//! The Center and the guilds of the stories.

use alloc::{collections::VecDeque, format, string::ToString, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::ME;
use crate::http::{Method, Request, Response};

/// How Center answers logins.
#[derive(Clone, Debug)]
pub(super) enum Center {
    /// With a session for these guilds, whose tokens live so long.
    Grants(Vec<&'static str>, Duration),
    /// With this status.
    Refuses(u16),
    /// Not before the story says so.
    Holds,
}

/// How a guild answers, until the story changes it.
#[derive(Clone, Debug)]
pub(super) struct Guild {
    /// Its channels with their kinds.
    pub(super) channels: Vec<(&'static str, &'static str)>,
    /// The `lastSeq` of each join's ack; `None`: the ack does not tell.
    pub(super) last_seq: Option<u64>,
    /// The error of each join's ack.
    pub(super) join_error: Option<&'static str>,
    /// What a CONNECT is refused with.
    pub(super) refuses: Option<&'static str>,
    /// Statuses of the next answers to listings, reads and posts, before they are good.
    pub(super) listings: VecDeque<u16>,
    pub(super) reads: VecDeque<u16>,
    pub(super) posts: VecDeque<u16>,
    /// The statuses of answers to acks and passes, before they are good.
    pub(super) words: VecDeque<u16>,
    /// What it has stored.
    pub(super) history: Vec<Value>,
    /// Statuses of the next answers to reads of history, before they are good.
    pub(super) histories: VecDeque<u16>,
    /// It knows no `afterSeq`.
    pub(super) pages_back: bool,
    /// It knows no nonces, and its history has what is posted.
    pub(super) no_nonces: bool,
    /// The `joinedSeq` of every channel.
    pub(super) joined_seq: Option<u64>,
    /// The next answers to what is none of these, statuses and bodies.
    pub(super) answers: VecDeque<(u16, Value)>,
    /// The messages whose wakes are not the agent's any more.
    pub(super) stale: Vec<&'static str>,
    /// Whose turn it is in every channel, and the statuses of the next answers about it; nothing where
    /// it cannot be asked.
    pub(super) turn: Option<Value>,
    pub(super) turns: VecDeque<u16>,
    /// The next listing's body, instead of its channels.
    pub(super) body: Option<Value>,
    /// While set, requests stay open.
    pub(super) holds: bool,
    /// Its catalogue of slash commands.
    pub(super) commands: Value,
    /// The `seq` of its next message.
    pub(super) seq: u64,
}

impl Guild {
    pub(super) fn new(channels: &[(&'static str, &'static str)]) -> Self {
        Self {
            channels: channels.to_vec(),
            last_seq: Some(0),
            join_error: None,
            refuses: None,
            listings: VecDeque::new(),
            reads: VecDeque::new(),
            posts: VecDeque::new(),
            words: VecDeque::new(),
            history: Vec::new(),
            histories: VecDeque::new(),
            pages_back: false,
            no_nonces: false,
            joined_seq: None,
            answers: VecDeque::new(),
            stale: Vec::new(),
            turn: None,
            turns: VecDeque::new(),
            body: None,
            holds: false,
            commands: json!([]),
            seq: 1,
        }
    }

    fn listed(&self, id: &str) -> Option<Value> {
        let (id, x_type) = self.channels.iter().find(|(known, _)| *known == id)?;
        let seq = self.joined_seq;
        Some(json!({"id": id, "name": format!("#{id}"), "xType": x_type, "joinedSeq": seq}))
    }

    /// A page of the history of a channel, as a query asks for it.
    fn page(&self, channel: &str, query: &str) -> Value {
        let number = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name)?.1.parse::<u64>().ok()
        };
        let after = number("afterSeq").filter(|_| !self.pages_back);
        let (before, limit) = (number("beforeSeq"), number("limit").unwrap());
        let rows = self.history.iter().filter(|row| {
            let seq = row["seq"].as_u64().unwrap();
            row["channelId"] == channel
                && after.is_none_or(|after| seq > after)
                && before.is_none_or(|before| seq < before)
        });
        let rows: Vec<_> = rows.collect();
        let limit = usize::try_from(limit).unwrap();
        let has_more = rows.len() > limit;
        let skip = after.map_or_else(|| rows.len().saturating_sub(limit), |_| 0);
        let page: Vec<_> = rows.into_iter().skip(skip).take(limit).collect();
        json!({"messages": page, "hasMore": has_more})
    }

    pub(super) fn answer(&mut self, request: &Request) -> Response {
        let is_listing = request.target.starts_with("/api/channels?");
        if !is_listing && let Some((status, body)) = self.answers.pop_front() {
            return respond(status, &body);
        }
        if request.target == "/api/commands" {
            if request.method == Method::Put {
                self.commands = serde_json::from_slice(&request.body).unwrap();
            }
            return respond(200, &self.commands);
        }
        let path = request.target.strip_prefix("/api/channels").unwrap();
        let sent: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (statuses, body) = if let Some(acked) = sent["messageId"].as_str() {
            let acked = !self.stale.contains(&acked);
            (&mut self.words, json!({"ok": true, "acked": acked}))
        } else if sent["content"] == "/no-reply" {
            (&mut self.words, json!({"ok": true}))
        } else if request.method == Method::Post {
            let seq = self.seq;
            self.seq += 1;
            let mut message = json!({
                "id": format!("p{seq}"), "channelId": "c", "seq": seq,
                "author": {"id": ME}, "content": sent["content"], "nonce": sent["nonce"],
                "createdAt": "2026-01-01T00:00:00Z",
            });
            if self.no_nonces {
                message["nonce"] = Value::Null;
                message["replyToId"] = sent["replyToId"].clone();
                self.history.push(message.clone());
            }
            (&mut self.posts, message)
        } else if let Some((channel, query)) = path.split_once("/messages?") {
            let page = self.page(channel.trim_start_matches('/'), query);
            (&mut self.histories, page)
        } else if path.ends_with("/turn") {
            if self.turn.is_none() {
                self.turns.push_back(404);
            }
            (&mut self.turns, self.turn.clone().unwrap_or_default())
        } else if let Some(id) = path.strip_prefix('/') {
            let listed = self.listed(id).unwrap_or_default();
            (&mut self.reads, listed)
        } else {
            let all: Vec<_> = self
                .channels
                .iter()
                .map(|(id, _)| self.listed(id))
                .collect();
            let body = self.body.take().unwrap_or_else(|| json!(all));
            (&mut self.listings, body)
        };
        match statuses.pop_front() {
            Some(status) => respond(status, &json!({"statusCode": status, "message": "because"})),
            None => respond(200, &body),
        }
    }
}

pub(super) fn respond(status: u16, body: &Value) -> Response {
    Response {
        status,
        retry_after: (status == 429).then_some(Duration::from_secs(20)),
        body: Bytes::from(body.to_string()),
    }
}
