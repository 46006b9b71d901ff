//! The channels of a guild: listings, joins, and the pushes about memberships.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::GuildLink;
use crate::{
    fabric::{error::ErrorBody, realtime::Membership as Pushed, routes, types::Channel as Listed},
    http::{Failure, Response},
    id::ChannelId,
    plugin::{
        defect::Defect,
        io::{Output, Question},
        note::Note,
        shared::{Asked, Errand, Sent, Shared},
    },
    time::Time,
};

/// How long after a failed read of a channel the next one follows. The next listing brings the
/// fields as well.
const READ_AGAIN: Duration = Duration::from_secs(10);

impl GuildLink {
    pub(in crate::plugin) fn on_joined_push(
        &mut self,
        now: Time,
        pushed: &Pushed,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        if shared.account.user() != Some(&pushed.user_id) {
            return;
        }
        let most = shared.config.channels_max;
        if !self.membership.on_joined_push(&pushed.channel_id, most) {
            return;
        }
        self.enter(now, &pushed.channel_id, true, shared, out);
        let state = self.channels.entry(pushed.channel_id.clone()).or_default();
        state.on_membership(pushed.occurred_at);
        if let Some(x_type) = pushed.x_type {
            let state = self.channels.entry(pushed.channel_id.clone()).or_default();
            let held = state.on_kind(x_type);
            self.filter(now, &pushed.channel_id, held, shared, out);
        }
    }

    pub(in crate::plugin) fn on_left_push(
        &mut self,
        now: Time,
        pushed: &Pushed,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let own = shared.account.user() == Some(&pushed.user_id);
        if own && self.membership.on_left_push(&pushed.channel_id) {
            self.leave(now, &pushed.channel_id, shared, out);
        }
    }

    fn enter(
        &mut self,
        now: Time,
        channel: &ChannelId,
        is_new: bool,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let is_new = is_new && !shared.planted.is(Defect::StartsNewChannelsLate);
        shared
            .sessions
            .entry(channel.clone())
            .or_insert(self.number);
        let state = self.resumed(now, channel, is_new, shared);
        self.channels.insert(channel.clone(), state);
        self.unknown.set(channel.clone(), Some(now));
        self.enter_rooms(now, channel);
        out.push(Output::Note(Note::Joined {
            guild: self.id.clone(),
            channel: channel.clone(),
        }));
    }

    pub(super) fn leave(
        &mut self,
        now: Time,
        channel: &ChannelId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.channels.remove(channel);
        if shared.sessions.get(channel) == Some(&self.number) {
            shared.sessions.remove(channel);
        }
        self.unheard.set(channel.clone(), None);
        self.catch_up.forget(now, channel);
        self.forget_history(channel, shared, out);
        self.unknown.set(channel.clone(), None);
        if let Some(id) = self.reads.remove(channel)
            && shared.http.answer(id).is_some()
        {
            out.push(Output::Forget(Question::Http(id)));
        }
        shared.wakes.forget(&self.place(channel));
        if !shared.planted.is(Defect::OffersWhatWasLeft) {
            shared.receipts.close(&self.place(channel));
        }
        let dropped = shared
            .turns
            .drop_waiting(now, &shared.config, &self.place(channel));
        self.keep_left(now, channel, shared);
        self.leave_rooms(now, channel, shared, out);
        let (guild, channel) = (self.id.clone(), channel.clone());
        out.push(Output::Note(Note::Left {
            guild,
            channel,
            dropped,
        }));
    }

    /// The guild answered a listing, or did not.
    pub(in crate::plugin) fn on_listing(
        &mut self,
        now: Time,
        sent: Sent,
        answer: Result<Response, Failure>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let listing = match read::<Vec<Box<RawValue>>>(answer) {
            Ok(listing) => Listing::new(&listing),
            Err(Unread::Unauthorized) if !self.refused => {
                self.refused = true;
                shared.account.invalidate(sent.token);
                self.membership.on_listing_blocked();
                self.membership.on_token(now);
                return;
            }
            Err(Unread::Unauthorized) => {
                self.listing_failed(now, "the guild refuses the token, a new one too", None, out);
                return;
            }
            Err(Unread::Failed(why, after)) => {
                self.listing_failed(now, &why, after, out);
                return;
            }
        };
        self.refused = false;
        let Listing {
            listed,
            unread,
            why,
        } = listing;
        if let Some(why) = why.clone().filter(|_| self.unread != why) {
            let guild = self.id.clone();
            out.push(Output::Note(Note::ListingFailed { guild, why }));
        }
        self.unread = why;
        let most = shared.config.channels_max;
        if listed.len() > most {
            let what = format!(
                "guild {} has {} channels, {most} are followed",
                self.id,
                listed.len()
            );
            out.push(Output::Note(Note::TooMany { what }));
        }
        if shared.planted.is(Defect::TrustsLateListings) {
            self.membership.on_listing_asked();
        }
        let changes = self.membership.on_listing(now, &listed, &unread, most);
        for channel in &changes.left {
            self.leave(now, channel, shared, out);
        }
        for channel in &changes.joined {
            self.enter(now, channel, self.met, shared, out);
        }
        if self.membership.has_listed() {
            self.keep_listing(now, &listed, &unread, shared);
            self.met = true;
        }
        for channel in &listed {
            self.on_fields(now, channel, shared, out);
            self.on_numbers(now, channel, sent.at, shared, out);
        }
        for (conn, message) in core::mem::take(&mut self.early) {
            self.on_pushed(now, conn, message, shared, out);
        }
    }

    pub(super) fn listing_failed(
        &mut self,
        now: Time,
        why: &str,
        after: Option<Duration>,
        out: &mut Vec<Output>,
    ) {
        self.refused = false;
        self.membership.on_listing_failed(now, after);
        out.push(Output::Note(Note::ListingFailed {
            guild: self.id.clone(),
            why: why.to_string(),
        }));
    }

    /// The guild answered about the fields of one channel, or did not.
    pub(in crate::plugin) fn on_fields_answer(
        &mut self,
        now: Time,
        channel: &ChannelId,
        sent: Sent,
        answer: Result<Response, Failure>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.reads.remove(channel);
        let has_none = answer.as_ref().is_ok_and(|answer| answer.status == 404);
        match read::<Listed>(answer) {
            Ok(listed) => {
                self.on_fields(now, &listed, shared, out);
                self.on_numbers(now, &listed, sent.at, shared, out);
            }
            // Not every guild can be asked for one channel; its listing tells the same.
            Err(_) if has_none => {
                self.membership.relist(now);
                self.read_later(now, channel, shared.config.listing_every);
            }
            Err(unread) => {
                let why = match unread {
                    Unread::Unauthorized => {
                        shared.account.invalidate(sent.token);
                        "the guild refuses the token".to_string()
                    }
                    Unread::Failed(why, _) => why,
                };
                self.read_later(now, channel, READ_AGAIN);
                out.push(Output::Note(Note::ListingFailed {
                    guild: self.id.clone(),
                    why,
                }));
            }
        }
    }

    /// Asks for the fields of a channel.
    pub(super) fn read(
        &mut self,
        now: Time,
        channel: ChannelId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let errand = Errand::Fields {
            guild: self.number,
            channel: channel.clone(),
        };
        let request = |token| Some(routes::read_channel(token, &channel));
        match shared.ask(now, &self.id, errand, request, out) {
            Asked::Yes(id) => {
                self.reads.insert(channel, id);
            }
            Asked::Blocked => {
                self.unasked.insert(channel.clone());
                self.read_later(now, &channel, READ_AGAIN);
            }
            Asked::Impossible(_) => self.read_later(now, &channel, READ_AGAIN),
        }
    }

    pub(super) fn read_later(&mut self, now: Time, channel: &ChannelId, wait: Duration) {
        if self
            .channels
            .get(channel)
            .is_some_and(|state| state.x_type.is_none() || state.waits_for_start())
        {
            self.unknown.set(channel.clone(), Some(now + wait));
        }
    }

    pub(super) fn on_fields(
        &mut self,
        now: Time,
        listed: &Listed,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get_mut(&listed.id) else {
            return;
        };
        let held = state.on_fields(listed);
        if !state.waits_for_start() {
            self.unknown.set(listed.id.clone(), None);
        }
        self.filter(now, &listed.id, held, shared, out);
    }

    /// The guild, which was asked at `asked_at`, has told which messages a channel has.
    fn on_numbers(
        &mut self,
        now: Time,
        listed: &Listed,
        asked_at: Time,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        if let Some(last) = listed.last_seq {
            self.on_told(now, &listed.id, asked_at, last, shared);
        }
        if let Some(state) = self.channels.get_mut(&listed.id) {
            let released = state.on_numbers(now, listed);
            self.unknown.set(listed.id.clone(), None);
            self.pass_on(now, &listed.id, released, shared, out);
        }
    }

    pub(super) fn list(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        let errand = Errand::Listing { guild: self.number };
        let request = |token| Some(routes::list_channels(token, &self.id));
        match shared.ask(now, &self.id, errand, request, out) {
            Asked::Yes(_) => self.membership.on_listing_asked(),
            Asked::Blocked => self.membership.on_listing_blocked(),
            Asked::Impossible(why) => self.listing_failed(now, &why, None, out),
        }
    }
}

/// A listing, read channel by channel: one that cannot be read, such as one of a kind that does not
/// exist yet, must not hide the others.
#[derive(Default)]
struct Listing {
    listed: Vec<Listed>,
    /// Channels of which no more than the id can be read.
    unread: Vec<ChannelId>,
    /// How many cannot be read, and why the first of them, in words.
    why: Option<String>,
}

impl Listing {
    fn new(channels: &[Box<RawValue>]) -> Self {
        #[derive(Deserialize)]
        struct Named {
            id: ChannelId,
        }
        let mut listing = Self::default();
        let mut first = None;
        for channel in channels {
            match serde_json::from_str::<Listed>(channel.get()) {
                Ok(channel) => listing.listed.push(channel),
                Err(error) => {
                    first.get_or_insert(error);
                    let named = serde_json::from_str::<Named>(channel.get());
                    listing.unread.extend(named.ok().map(|named| named.id));
                }
            }
        }
        let unread = channels.len() - listing.listed.len();
        listing.why = first.map(|error| format!("{unread} of them cannot be read: {error}"));
        listing
    }
}

pub(in crate::plugin) enum Unread {
    Unauthorized,
    /// Why, in words, and how long the guild wants to be left alone.
    Failed(String, Option<Duration>),
}

/// The value of a good answer, or why there is none.
pub(in crate::plugin) fn read<T: serde::de::DeserializeOwned>(
    answer: Result<Response, Failure>,
) -> Result<T, Unread> {
    let failed = |why| Unread::Failed(why, None);
    let response = answer.map_err(|failure| failed(failure.to_string()))?;
    match response.status {
        200..=299 => serde_json::from_slice(&response.body)
            .map_err(|error| failed(format!("its answer cannot be read: {error}"))),
        401 => Err(Unread::Unauthorized),
        status => {
            let words = serde_json::from_slice::<ErrorBody>(&response.body)
                .map_or_else(|_| String::new(), |body| format!(": {}", body.message));
            let why = format!("it answered {status}{words}");
            Err(Unread::Failed(why, response.retry_after))
        }
    }
}
