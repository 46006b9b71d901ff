//! What all guilds of one agent share: its account, its open questions, its turns and posts.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    canonical,
    fabric::types::Page,
    http::{CallId, Failure, Request, Response},
    id::{ChannelId, GuildId, MessageId, TurnId},
    plugin::{
        account::{Account, Token},
        activity::Activity,
        backfill::Read,
        commands::Commands,
        config::{Config, Profile},
        dedup::Dedup,
        defect::{Defect, Planted},
        inbound::Inbound,
        io::{Http, Output},
        jobs::Jobs,
        journal::Journal,
        kept::{Change, KeptAgent, Notice, TurnRecord, TurnState},
        note::Note,
        opening::Opening,
        outbox::{Outbox, PostId},
        queue::Running,
        receipts::Receipts,
        records::Records,
        refetch::Refetch,
        token::TokenNumber,
        transfer::Transfer,
        tries::TryId,
        turns::{Place, Turns},
        wakes::{Debt, Wake, Wakes, pass_of},
    },
    request::{RequestId, Requests},
    secret::Secret,
    time::Time,
};

/// What a login that gives no living token means.
pub(super) const DEAD: &str = "Center gave out a token that has hardly any life left, or less than the one before: its clock or \
     its token life is wrong";

/// The parts that are not a guild's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) account: Account,
    pub(super) http: Requests<Http, Purpose>,
    pub(super) dedup: Dedup,
    pub(super) turns: Turns,
    pub(super) outbox: Outbox,
    pub(super) jobs: Jobs,
    pub(super) wakes: Wakes,
    pub(super) activity: Activity,
    pub(super) opening: Opening,
    pub(super) receipts: Receipts,
    pub(super) commands: Commands,
    pub(super) journal: Journal,
    pub(super) records: Records,
    /// Turns that have begun and are not handed over yet: one of a channel at most.
    pub(super) begun: BTreeMap<TurnId, Begun>,
    pub(super) refetch: Refetch,
    /// The guild whose channel has the plain session id; the channel of the same id in another guild
    /// has one with its guild's.
    pub(super) sessions: BTreeMap<ChannelId, u32>,
    /// What all turn ids and nonces of the agent begin with, in every process.
    pub(super) own: String,
    /// Every nonce of this process begins with it.
    pub(super) nonces: String,
    /// What is kept of the agent itself.
    pub(super) kept: KeptAgent,
    pub(super) planted: Planted,
}
canonical!(struct Shared {
    account, http, dedup, turns, outbox, jobs, wakes, activity, opening, receipts, commands, journal,
    records, begun, refetch, sessions;
    - config, own, nonces, kept, planted
});

/// A turn that has begun. It is handed over once the store knows of it and all of its text is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) inbound: Inbound,
    /// Those of its messages that have waited without their text.
    pub(super) bare: Vec<(u64, MessageId)>,
    pub(super) is_kept: bool,
}
canonical!(struct Begun { inbound, bare, is_kept });

/// What a REST request was sent for, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) errand: Errand,
    pub(super) sent: Sent,
}
canonical!(struct Purpose { errand, sent });

/// When a REST request was sent, and with which token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: Time,
    pub(super) token: TokenNumber,
}
canonical!(struct Sent { at; - token });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The channels of a guild.
    Listing { guild: u32 },
    /// The fields of one channel.
    Fields { guild: u32, channel: ChannelId },
    /// Some of the history of one channel.
    History {
        guild: u32,
        channel: ChannelId,
        read: Read,
    },
    /// The current speaker of one channel, for this page of its history.
    Speaker {
        guild: u32,
        channel: ChannelId,
        read: Read,
        page: Page,
    },
    /// A post.
    Post(PostId),
    /// The history in which a post may stand already.
    Look(PostId),
    /// A step of a job.
    Job(TryId),
    /// A word to a turn engine about this message.
    Word(Debt, MessageId),
    /// The slash commands of a guild.
    Commands { guild: u32 },
    /// What has waited without its text.
    Bare(Place),
}
canonical!(
    enum Errand {
        Listing { guild },
        Fields { guild, channel },
        History { guild, channel, read },
        Speaker { guild, channel, read, page },
        Post(id),
        Look(id),
        Job(id),
        Word(debt, message),
        Commands { guild },
        Bare(place),
    }
);

/// Whether a request went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Yes(RequestId<Http>),
    /// It waits for a login.
    Blocked,
    /// There is no way, in words.
    Impossible(String),
}

impl Shared {
    /// Sends a request to a guild with a fresh token.
    pub(super) fn ask(
        &mut self,
        now: Time,
        guild: &GuildId,
        errand: Errand,
        request: impl FnOnce(Secret) -> Option<Request>,
        out: &mut Vec<Output>,
    ) -> Asked {
        self.ask_with(now, guild, errand, None, request, out)
    }

    /// The same, perhaps with a file, which may take longer.
    pub(super) fn ask_with(
        &mut self,
        now: Time,
        guild: &GuildId,
        errand: Errand,
        file: Option<Transfer>,
        request: impl FnOnce(Secret) -> Option<Request>,
        out: &mut Vec<Output>,
    ) -> Asked {
        let (token, origin, number) = match self.account.token(now, guild, None) {
            Token::Fresh {
                token,
                origin,
                number,
                ..
            } => (token, origin, number),
            Token::Wait => return Asked::Blocked,
            Token::NoAccess => {
                let guild = guild.clone();
                return Asked::Impossible(Note::NoAccess { guild }.to_string());
            }
            Token::Dead => return Asked::Impossible(DEAD.into()),
        };
        let Some(origin) = self.origin(guild, origin) else {
            let guild = guild.clone();
            return Asked::Impossible(Note::NoOrigin { guild }.to_string());
        };
        let Some(request) = request(token) else {
            return Asked::Impossible("the request cannot be written as JSON".into());
        };
        let patience = match file {
            Some(_) => self.config.transfer_patience,
            None => self.config.step_timeout,
        };
        let sent = Sent {
            at: now,
            token: number,
        };
        let id = self.http.ask(now, Some(patience), Purpose { errand, sent });
        out.push(Output::Http {
            id,
            origin,
            request,
            file,
        });
        Asked::Yes(id)
    }

    /// The guild's turn engine waits for the agent in vain: it is told to go on. `nonce` is that of
    /// the pass.
    pub(super) fn pass(&mut self, now: Time, place: &Place, wake: Wake, nonce: String) {
        if !self.planted.is(Defect::ForgetsToPass) {
            self.wakes.pass(now, place.clone(), wake, nonce);
        }
    }

    /// The store must know of a turn as it is from now on, before anything follows from it.
    pub(super) fn record(&mut self, now: Time, place: &Place, turn: TurnId, record: TurnRecord) {
        self.journal
            .put(now, Change::Turn(turn.clone(), record.clone()));
        if let Some(forgotten) = self.records.put(place, turn, record) {
            self.journal.put_along(Change::NoTurn(forgotten));
        }
    }

    /// So many messages of a turn that is handed over are gone: where it is handed over again, it says
    /// so too.
    pub(super) fn count_gone(&mut self, now: Time, place: &Place, turn: &TurnId, gone: u64) {
        if let Some(record) = self.records.get(place, turn).cloned() {
            let skipped = record.notice.skipped.saturating_add(gone);
            let notice = Notice {
                skipped,
                ..record.notice
            };
            self.record(now, place, turn.clone(), TurnRecord { notice, ..record });
        }
    }

    /// A turn is over, and owes a pass or not.
    pub(super) fn end_record(&mut self, now: Time, place: &Place, turn: &TurnId, owes_pass: bool) {
        if let Some(record) = self.records.get(place, turn).cloned() {
            let ended = TurnRecord {
                state: TurnState::Ended,
                owes_pass,
                ..record
            };
            self.record(now, place, turn.clone(), ended);
        }
    }

    /// An open turn of `place` that nobody knows any more is over: what it was about was deleted, or
    /// is another's to answer. One that was never handed over was no turn.
    pub(super) fn end_lost_turns(&mut self, now: Time, place: &Place) {
        let Self { records, turns, .. } = self;
        let unused = records.withdraw(place, |turn, record| {
            record.attempt == 0 && !turns.knows(place, turn)
        });
        for turn in unused {
            self.journal.put_soon(now, Change::NoTurn(turn));
        }
        let lost = self.records.of(place).filter(|(turn, record)| {
            record.state == TurnState::Open && !self.turns.knows(place, turn)
        });
        let lost: Vec<TurnId> = lost.map(|(turn, _)| turn.clone()).collect();
        for turn in lost {
            self.end_record(now, place, &turn, false);
        }
    }

    /// The channel `place` was left: of its turns only one that runs is still open. What is over is
    /// remembered as behind a cursor, since the agent may be a member again, and be woken with an old
    /// message.
    pub(super) fn leave_turns(&mut self, now: Time, place: &Place) {
        let Self { records, turns, .. } = self;
        let forgets_all = self.planted.is(Defect::ForgetsTurnsOfLeftChannels);
        let lost = records.withdraw(place, |turn, record| {
            (record.state == TurnState::Open || forgets_all) && !turns.knows(place, turn)
        });
        for turn in lost {
            self.journal.put_soon(now, Change::NoTurn(turn));
        }
        self.pass_behind(now, place, u64::MAX, None, true);
    }

    /// The guild has lost what came after `left`, and may give the ids of those messages anew: what is over
    /// of them, up to `cursor`, is forgotten. What it has still it may wake the agent with.
    pub(super) fn lose_turns(&mut self, now: Time, place: &Place, left: u64, cursor: u64) {
        let owed = self.wakes.unfinished(place);
        let gone = self.records.withdraw(place, |_, record| {
            let last = record.last_seq();
            record.state == TurnState::Ended
                && (last > left && last <= cursor)
                && owed.is_none_or(|owed| last < owed)
        });
        for turn in gone {
            self.journal.put_soon(now, Change::NoTurn(turn));
        }
    }

    /// The cursor of `place` stands here, and has passed turns.
    pub(super) fn pass_turns(&mut self, now: Time, place: &Place, cursor: u64, takes_turns: bool) {
        let owed = self.wakes.unfinished(place);
        self.pass_behind(now, place, cursor, owed, takes_turns);
    }

    fn pass_behind(
        &mut self,
        now: Time,
        place: &Place,
        cursor: u64,
        owed: Option<u64>,
        takes_turns: bool,
    ) {
        let (passed, gone) = self.records.on_cursor(place, cursor, owed, takes_turns);
        for (turn, record) in passed {
            self.journal.put_soon(now, Change::Turn(turn, record));
        }
        for turn in gone {
            self.journal.put_soon(now, Change::NoTurn(turn));
        }
    }

    /// What is kept of the agent itself has changed.
    pub(super) fn keep_agent(&mut self, now: Time) {
        self.journal.put_soon(now, Change::Agent(self.kept.clone()));
    }

    /// A turn has ended.
    pub(super) fn on_ended(&mut self, now: Time, place: &Place, ended: Running) {
        let owes_pass = ended.awaited && !ended.posted;
        self.end_record(now, place, &ended.turn, owes_pass);
        let Some(message) = ended.messages.last().filter(|_| owes_pass) else {
            return;
        };
        let wake = Wake {
            message: message.clone(),
            seq: ended.last_seq,
        };
        if self.outbox.is_free(place) {
            self.pass(now, place, wake, pass_of(&ended.turn));
        } else {
            self.wakes
                .pass_unless_posted(place.clone(), ended.turn, wake);
        }
    }

    /// How long the host settles before it is given an inbound, if it needs to.
    pub(super) fn settle(&self) -> Option<Duration> {
        match self.config.profile {
            Profile::Claude if self.planted.is(Defect::OffersAtOnce) => None,
            Profile::Claude => Some(self.config.settle),
            Profile::Plexum => None,
        }
    }

    /// Where a defect is planted, an answer may be taken for another one.
    pub(super) fn mistake(&self, answer: &mut Result<Response, Failure>) {
        let Ok(response) = answer else { return };
        if self.planted.is(Defect::IgnoresRetryAfter) {
            response.retry_after = None;
        }
        if self.planted.is(Defect::RepeatsRefusals) && response.status == 409 {
            response.status = 503;
        }
    }

    /// How long a turn may take.
    pub(super) fn turn_patience(&self) -> Duration {
        match self.planted.is(Defect::WaitsForEver) {
            true => Duration::MAX,
            false => self.config.turn_timeout,
        }
    }

    /// Hands an inbound to the host, and keeps it where nothing but a receipt shows that it arrived.
    pub(super) fn offer(&mut self, place: Place, inbound: Inbound, out: &mut Vec<Output>) {
        match self.config.profile {
            Profile::Claude if self.planted.is(Defect::TrustsNotifications) => {}
            Profile::Claude => self.receipts.on_offered(place, &inbound),
            Profile::Plexum => {}
        }
        out.push(Output::Notify(inbound));
    }

    /// What the nonces of posts begin with that belong to no turn.
    pub(super) fn nonce(&self, call: CallId) -> String {
        format!("{}-{}", self.nonces, call.0)
    }

    /// Whether one more tool call may be under way.
    pub(super) fn has_room(&self) -> Result<(), String> {
        let under_way = self.outbox.len() + self.jobs.len();
        if under_way >= self.config.calls_max {
            return Err(format!(
                "{under_way} calls are under way already: wait for their answers"
            ));
        }
        Ok(())
    }

    /// Where a guild is: the configuration's word goes before Center's.
    pub(super) fn origin(&self, guild: &GuildId, center: Option<String>) -> Option<String> {
        self.config.origins.get(guild).cloned().or(center)
    }
}
