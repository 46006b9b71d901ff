//! The turns of an agent, from the permit of the guild's turn engine to their end.

use alloc::{string::ToString as _, vec::Vec};

use super::Agent;
use crate::{
    fabric::{
        routes::{self, PostBody},
        turns::Command,
    },
    id::{MessageId, TurnId},
    plugin::{
        defect::Defect,
        inbound::{Inbound, InboundChannel, session_id, session_id_in},
        io::Output,
        kept::{Change, Notice, TurnRecord, TurnState},
        note::Note,
        post::Post,
        queue::{Batch, Running},
        shared::{Asked, Begun, Errand, Shared},
        tools::Tool,
        turns::{Asking, Place},
        wakes::Word,
    },
    time::Time,
};

impl Agent {
    /// The turn engine is to be asked about a turn. What it is told to have arrived it does not tell
    /// again, so a new turn is kept before that.
    pub(super) fn ask_permit(
        &mut self,
        now: Time,
        place: Place,
        message: MessageId,
        asking: Option<Asking>,
    ) {
        let shared = &mut self.shared;
        if shared.planted.is(Defect::SkipsAck) {
            self.on_permit(now, &place, &message, Some(0));
            return;
        }
        let asking = asking.filter(|_| !shared.planted.is(Defect::KeepsNoWake));
        let Some(Asking {
            turn,
            messages,
            notice,
        }) = asking
        else {
            self.owe_ack(now, place, message);
            return;
        };
        let Some(guild) = self.guilds.get(&place.0) else {
            return;
        };
        let context = guild.channels.get(&place.1);
        let context = context.and_then(|channel| channel.context.first_seq());
        let record = TurnRecord {
            guild: guild.id.clone(),
            channel: place.1.clone(),
            context_from: context.unwrap_or_else(|| messages.last().map_or(0, |last| last.0)),
            messages,
            attempt: 0,
            state: TurnState::Open,
            owes_pass: false,
            notice,
        };
        shared.record(now, &place, turn, record);
        // The turn that was asked about before has one message less.
        shared.end_lost_turns(now, &place);
    }

    /// A turn is kept: if the turn engine waits to be asked about it, it is asked now.
    pub(super) fn on_kept_turn(&mut self, now: Time, turn: &TurnId, record: &TurnRecord) {
        let Some(number) = self.numbers.get(&record.guild) else {
            return;
        };
        let place = (*number, record.channel.clone());
        let message = self.shared.turns.asks_about(&place, turn).cloned();
        if let Some(message) = message.filter(|_| record.attempt == 0) {
            self.owe_ack(now, place, message);
        }
    }

    fn owe_ack(&mut self, now: Time, place: Place, message: MessageId) {
        let guild = self.guilds.get(&place.0);
        let channel = guild.and_then(|guild| guild.channels.get(&place.1));
        let newest = channel.map_or(0, |channel| channel.sequence.newest());
        let newest = newest.max(self.shared.turns.own_seq(&place));
        self.shared.wakes.ack(now, place, message, newest);
    }

    /// The turn engine has answered whether a turn is still the agent's: where it is not, what would
    /// have been handed over is context.
    pub(super) fn on_permit(
        &mut self,
        now: Time,
        place: &Place,
        message: &MessageId,
        given: Option<u64>,
    ) {
        self.with_guild(place.0, |guild, shared| {
            let Shared { turns, config, .. } = shared;
            if let Some(newest) = given {
                turns.permit(now, config, place, message, newest);
            } else {
                let stale = turns.refuse(now, config, place, message);
                if let Some(channel) = guild.channels.get_mut(&place.1) {
                    for message in stale {
                        channel.context.record(message, config.context_max);
                    }
                }
            }
            guild.settle_cursor(now, &place.1, shared);
        });
    }

    /// A post stands in its channel, or never will: what that means to the turn it was made in.
    pub(super) fn on_post_end(
        &mut self,
        now: Time,
        post: &Post,
        stands: bool,
        out: &mut Vec<Output>,
    ) {
        if let Some(nonce) = post.body.nonce.as_ref().filter(|_| stands) {
            let newest = post.sent.iter().map(|sent| sent.message.seq).max();
            let newest = newest.unwrap_or_default();
            let Shared {
                turns,
                wakes,
                config,
                planted,
                ..
            } = &mut self.shared;
            let woken = turns.woken_since(&post.place, newest).cloned();
            let woken = woken.filter(|_| !planted.is(Defect::CountsOldAnswers));
            let woken = woken.as_ref();
            wakes.on_posted(&post.place, nonce, woken);
            turns.on_own(&post.place, newest);
            let ended = turns.on_posted(now, config, &post.place, nonce, &post.others, woken);
            self.on_turn_end(now, ended, out);
        }
        if self.shared.outbox.is_free(&post.place) {
            self.shared.wakes.on_no_posts(now, &post.place);
        }
        self.settle_cursor(now, &post.place);
    }

    /// A turn has ended, if one has.
    pub(super) fn on_turn_end(
        &mut self,
        now: Time,
        ended: Option<(Place, Running)>,
        out: &mut Vec<Output>,
    ) {
        if let Some((place, ended)) = ended {
            self.shared.receipts.close(&place);
            if self.shared.begun.remove(&ended.turn).is_some() {
                self.shared.refetch.stop(&place);
            }
            self.shared.on_ended(now, &place, ended);
            self.settle_cursor(now, &place);
            if self.shared.activity.on_end(&place) {
                self.say_presence(now, out);
            }
        }
    }

    pub(super) fn end_turn(&mut self, now: Time, turn: &TurnId, out: &mut Vec<Output>) {
        let Shared { turns, config, .. } = &mut self.shared;
        let ended = turns.end(now, config, turn);
        self.on_turn_end(now, ended, out);
    }

    pub(super) fn settle_cursor(&mut self, now: Time, place: &Place) {
        self.with_guild(place.0, |guild, shared| {
            guild.settle_cursor(now, &place.1, shared);
        });
    }

    /// A turn can begin: it is handed over once the store knows of it.
    pub(super) fn start_turn(
        &mut self,
        now: Time,
        place: &Place,
        mut batch: Batch,
        out: &mut Vec<Output>,
    ) {
        if self.shared.planted.is(Defect::RenamesRedelivered) {
            batch.again = None;
        }
        let Some(guild) = self.guilds.get_mut(&place.0) else {
            return;
        };
        let Some(channel) = guild.channels.get_mut(&place.1) else {
            return;
        };
        let (Some(x_type), Some(last)) = (channel.x_type, batch.messages.last()) else {
            return;
        };
        channel.guard.on_turn(&last.id, &last.author.id);
        let Shared { turns, config, .. } = &mut self.shared;
        let Some(turn_id) = turns.start(now, config, place, &batch) else {
            return;
        };
        for message in &batch.messages {
            self.shared.dedup.hand_over(&guild.id, &message.id);
        }
        let session_id = if self.shared.sessions.get(&place.1) == Some(&place.0) {
            session_id(&place.1)
        } else {
            session_id_in(&place.1, &guild.id)
        };
        let attempt = batch.again.as_ref().map_or(1, |again| again.attempt);
        let again = batch.again.as_ref().map(|again| again.notice.skipped);
        let again = again.unwrap_or_default();
        let first = batch.messages.first().map_or(0, |first| first.seq);
        let passed = batch.skips.up_to(first.max(channel.progress.cursor()));
        if let Some(row) = channel.progress.on_said() {
            let change = Change::Channel(guild.id.clone(), place.1.clone(), row.clone());
            self.shared.journal.put_along(change);
        }
        let messages = batch.messages.iter();
        let record = TurnRecord {
            guild: guild.id.clone(),
            channel: place.1.clone(),
            messages: messages.map(|told| (told.seq, told.id.clone())).collect(),
            attempt,
            context_from: channel.context.first_seq().unwrap_or(last.seq),
            state: TurnState::Open,
            owes_pass: false,
            notice: Notice {
                skipped: passed.saturating_add(again),
                recovered: batch.recovered,
                rewake: batch.rewake,
            },
        };
        let inbound = Inbound {
            session_id,
            agent_id: self.shared.config.agent_id.clone(),
            turn_id: turn_id.clone(),
            attempt,
            channel: InboundChannel {
                id: place.1.clone(),
                name: channel.name.clone(),
                x_type,
                guild_id: guild.id.clone(),
            },
            context: channel.context.take(),
            messages: batch.messages,
            skipped: match self.shared.planted.is(Defect::HidesSkipped) {
                true => 0,
                false => batch.skips.total().saturating_add(again),
            },
            // An earlier process may have kept it and have got no further.
            redelivered: attempt > 1,
            recovered: batch.recovered,
            rewake: batch.rewake,
        };
        self.shared.record(now, place, turn_id.clone(), record);
        let begun = Begun {
            inbound,
            bare: batch.bare,
            is_kept: self.shared.planted.is(Defect::NotifiesBeforeCommit),
        };
        let (turn, place) = (turn_id.clone(), place.clone());
        self.shared.refetch.begin(now, place, turn, &begun.bare);
        self.shared.begun.insert(turn_id.clone(), begun);
        self.hand_over(now, &turn_id, out);
    }

    /// A tool call that names a channel shows that the host got the channel's inbound.
    pub(super) fn on_named(&mut self, tool: &Tool) {
        if let Some((channel, guild)) = tool.names()
            && let Ok(place) = self.find(channel, guild)
        {
            self.shared.receipts.close(&place);
        }
    }

    /// Hands over once more what the host has shown no sign of.
    pub(super) fn offer_again(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((place, inbound)) = self.shared.receipts.next_due(now) {
            let guild = self.guilds.get(&place.0);
            if guild.is_some_and(|guild| guild.membership.contains(&place.1)) {
                let turn = inbound.turn_id.clone();
                if let Some(record) = self.shared.records.get(&place, &turn).cloned() {
                    let attempt = inbound.attempt;
                    let record = TurnRecord { attempt, ..record };
                    self.shared.record(now, &place, turn.clone(), record);
                }
                let channel = place.1;
                out.push(Output::Note(Note::OfferedAgain { turn, channel }));
                out.push(Output::Notify(inbound));
            }
        }
    }

    /// Tells the turn engines what they are owed.
    pub(super) fn say_words(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((debt, message, nonce)) = self.shared.wakes.next_due(now) {
            let ((number, channel), word) = debt.clone();
            let Some(guild) = self.guilds.get(&number) else {
                continue;
            };
            let of = message.clone();
            let request = |token| match word {
                Word::Ack => routes::ack(token, &channel, &of).ok(),
                Word::Pass => {
                    let body = PostBody {
                        content: Command::NoReply.as_str().to_string(),
                        reply_to_id: Some(of),
                        attachments: Vec::new(),
                        nonce: Some(nonce),
                    };
                    routes::post_message(token, &channel, &body).ok()
                }
            };
            let errand = Errand::Word(debt.clone(), message);
            match self.shared.ask(now, &guild.id, errand, request, out) {
                Asked::Yes(_) => {}
                // What is impossible now may be possible with the next session.
                Asked::Blocked | Asked::Impossible(_) => self.shared.wakes.on_blocked(debt),
            }
        }
    }
}
