//! Planted defects: fixes that the simulator switches off to prove that it would miss them.

use crate::{
    snapshot::{LoadError, Saver, Snapshot, Value},
    ws::{Event, Frame},
};

/// A fix of the plugin that can be switched off by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// Every dial uses the first token that the agent ever had: what a client does that is given
    /// the token once, with its connection options.
    ReusesFirstToken,
    /// A message that the guild wakes the agent with once more is taken for one that was handled.
    IgnoresRewakes,
    /// A message that the guild wakes the agent with once more is not read when a turn that is to be
    /// offered again waits for it.
    PassesOverRewakes,
    /// A refusal of the turn engine counts for a wake that came after it.
    TrustsOldRefusals,
    /// What was posted before a wake is an answer to it.
    CountsOldAnswers,
    /// A wake is known by its id though the guild was away.
    RemembersWakes,
    /// The turns of a channel are forgotten when it is left.
    ForgetsTurnsOfLeftChannels,
    /// A turn that ends without a post is not passed on to the next speaker.
    ForgetsToPass,
    /// A turn begins without asking whether it is still the agent's.
    SkipsAck,
    /// A channel begins anew with every connection: what was said in between is nobody's.
    StartsAtTheJoin,
    /// What a guild has not pushed is not asked for.
    AcceptsGaps,
    /// A guild that has less than before is taken as it is: what it was given since is nobody's.
    ForgetsAfterRestore,
    /// A guild is known again by what is finished, whatever has been heard since.
    LooksBehindTurns,
    /// A guild that has as much as before is taken for the same.
    TrustsNumbers,
    /// A message that is dated before the last one that was finished is an old one.
    TrustsTimestamps,
    /// What is pushed while history is being read does not wait for it.
    OvertakesHistory,
    /// A channel that appears begins when the agent looks, not when the membership began.
    StartsNewChannelsLate,
    /// A channel that appears before a guild has answered the first listing is kept as one of those.
    ForgetsNewChannels,
    /// What a guild pushes before it has answered a connection's first listing is dropped.
    DropsEarlyEvents,
    /// A process lists the channels until its first connection has ended, and then waits to be told.
    ListsOnce,
    /// A listing counts as new as its answer, whatever was pushed since it was asked for.
    TrustsLateListings,
    /// What was missed during an outage is handed over message by message.
    CatchesUpOneByOne,
    /// A connection that cannot be replaced is closed once its token has expired.
    GivesUpTheOld,
    /// A connection is closed when the one that replaces it is up, before anything is joined there.
    ClosesTooEarly,
    /// When a connection ends, the one that was to replace it is thrown away with it.
    DropsTheNext,
    /// What is pushed is news: what is pushed twice is handled twice.
    HearsTwice,
    /// A connection lives until its socket says otherwise.
    TrustsTheSocket,
    /// Half a minute of silence is the end of a connection, whatever heartbeat the guild has announced.
    HangsUpEarly,
    /// A frame that is none of the protocol's is passed over, and with it what it was meant to be.
    PassesOver,
    /// What is not pushed was not said.
    TrustsSilence,
    /// A join that is not answered is tried again on the same connection, for ever.
    JoinsForEver,
    /// A token that was refused is dialed with until its session is old.
    KeepsRefusedTokens,
    /// The wait before a dial doubles without an end: after a long outage the next one is far away.
    DoublesForEver,
    /// Every link waits exactly as long as all others: those that end together come back together.
    WaitsAlike,
    /// A guild that is missing from a session is out of the account's reach for as long as the session lasts.
    TrustsPartialSessions,
    /// A guild that sends more at once than can be taken is not dialed again.
    GivesUpTheGuild,
    /// Whoever needs a token logs in, though a login is under way.
    LogsInTwice,
    /// The host is given inbounds as soon as it is initialised.
    OffersAtOnce,
    /// What was written to the host is taken for received.
    TrustsNotifications,
    /// A turn that was running when the process ended is nobody's afterwards.
    ForgetsOpenTurns,
    /// A turn that is handed over again has a new id, so that its posts are new ones too.
    RenamesRedelivered,
    /// A turn is handed over before the store knows of it.
    NotifiesBeforeCommit,
    /// A turn during which the process ends is offered again for ever.
    NeverParks,
    /// What a store says is true, however old the store is.
    TrustsOldStores,
    /// A turn of which a host has shown no sign is offered once more, although its channel was left.
    OffersWhatWasLeft,
    /// What a process has left out before the last message of a turn is news to the next one.
    RereadsSkipped,
    /// A wake with a message that was not heard yet does not wait for what was said before it.
    RewakesOvertake,
    /// The guild is told that a wake has arrived before the store knows of it.
    KeepsNoWake,
    /// What an earlier process has finished is handed over when the guild wakes the agent with it again.
    ForgetsOldTurns,
    /// A turn has all the time that its host takes.
    WaitsForEver,
    /// A host that is gone has ended its turns.
    EndsTurnsWithTheHost,
    /// A guild that wants to be left alone for a while is asked again as if it had not said so.
    IgnoresRetryAfter,
    /// A post that is sent again has a new nonce, so that it is a new one too.
    RenamesRepeated,
    /// What may have been posted to a guild that knows no nonces is posted again without a look.
    NeverLooks,
    /// What history does not say to wake the agent wakes nobody.
    NeverDerives,
    /// A queue that has been idle is dropped when its time has come, whatever it has to do by then.
    DropsOnTime,
    /// What a guild refuses is sent again, as if the guild was in trouble.
    RepeatsRefusals,
    /// What was missed is read from its first message on, however much it is.
    ReadsEverything,
    /// Everything waits that wakes the agent, however much it is.
    QueuesEverything,
    /// What was left out is not told.
    HidesSkipped,
    /// Two agents may answer each other for ever.
    NeverTires,
    /// A new connection's gaps are read before a listing has shown what the agent may hear.
    ReadsBeforeItLooks,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 62] = [
        Self::ReusesFirstToken,
        Self::IgnoresRewakes,
        Self::PassesOverRewakes,
        Self::TrustsOldRefusals,
        Self::CountsOldAnswers,
        Self::RemembersWakes,
        Self::ForgetsTurnsOfLeftChannels,
        Self::ForgetsToPass,
        Self::SkipsAck,
        Self::StartsAtTheJoin,
        Self::AcceptsGaps,
        Self::ForgetsAfterRestore,
        Self::LooksBehindTurns,
        Self::TrustsNumbers,
        Self::TrustsTimestamps,
        Self::OvertakesHistory,
        Self::StartsNewChannelsLate,
        Self::ForgetsNewChannels,
        Self::DropsEarlyEvents,
        Self::ListsOnce,
        Self::TrustsLateListings,
        Self::CatchesUpOneByOne,
        Self::GivesUpTheOld,
        Self::ClosesTooEarly,
        Self::DropsTheNext,
        Self::HearsTwice,
        Self::TrustsTheSocket,
        Self::HangsUpEarly,
        Self::PassesOver,
        Self::TrustsSilence,
        Self::JoinsForEver,
        Self::KeepsRefusedTokens,
        Self::DoublesForEver,
        Self::WaitsAlike,
        Self::TrustsPartialSessions,
        Self::GivesUpTheGuild,
        Self::LogsInTwice,
        Self::OffersAtOnce,
        Self::TrustsNotifications,
        Self::ForgetsOpenTurns,
        Self::RenamesRedelivered,
        Self::NotifiesBeforeCommit,
        Self::NeverParks,
        Self::TrustsOldStores,
        Self::OffersWhatWasLeft,
        Self::RereadsSkipped,
        Self::RewakesOvertake,
        Self::KeepsNoWake,
        Self::ForgetsOldTurns,
        Self::WaitsForEver,
        Self::EndsTurnsWithTheHost,
        Self::IgnoresRetryAfter,
        Self::RenamesRepeated,
        Self::NeverLooks,
        Self::NeverDerives,
        Self::DropsOnTime,
        Self::RepeatsRefusals,
        Self::ReadsEverything,
        Self::QueuesEverything,
        Self::HidesSkipped,
        Self::NeverTires,
        Self::ReadsBeforeItLooks,
    ];

    /// The name that traces use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReusesFirstToken => "reuses_first_token",
            Self::IgnoresRewakes => "ignores_rewakes",
            Self::PassesOverRewakes => "passes_over_rewakes",
            Self::TrustsOldRefusals => "trusts_old_refusals",
            Self::CountsOldAnswers => "counts_old_answers",
            Self::RemembersWakes => "remembers_wakes",
            Self::ForgetsTurnsOfLeftChannels => "forgets_turns_of_left_channels",
            Self::ForgetsToPass => "forgets_to_pass",
            Self::SkipsAck => "skips_ack",
            Self::StartsAtTheJoin => "starts_at_the_join",
            Self::AcceptsGaps => "accepts_gaps",
            Self::ForgetsAfterRestore => "forgets_after_restore",
            Self::LooksBehindTurns => "looks_behind_turns",
            Self::TrustsNumbers => "trusts_numbers",
            Self::TrustsTimestamps => "trusts_timestamps",
            Self::OvertakesHistory => "overtakes_history",
            Self::StartsNewChannelsLate => "starts_new_channels_late",
            Self::ForgetsNewChannels => "forgets_new_channels",
            Self::DropsEarlyEvents => "drops_early_events",
            Self::ListsOnce => "lists_once",
            Self::TrustsLateListings => "trusts_late_listings",
            Self::CatchesUpOneByOne => "catches_up_one_by_one",
            Self::GivesUpTheOld => "gives_up_the_old",
            Self::ClosesTooEarly => "closes_too_early",
            Self::DropsTheNext => "drops_the_next",
            Self::HearsTwice => "hears_twice",
            Self::TrustsTheSocket => "trusts_the_socket",
            Self::HangsUpEarly => "hangs_up_early",
            Self::PassesOver => "passes_over",
            Self::TrustsSilence => "trusts_silence",
            Self::JoinsForEver => "joins_for_ever",
            Self::KeepsRefusedTokens => "keeps_refused_tokens",
            Self::DoublesForEver => "doubles_for_ever",
            Self::WaitsAlike => "waits_alike",
            Self::TrustsPartialSessions => "trusts_partial_sessions",
            Self::GivesUpTheGuild => "gives_up_the_guild",
            Self::LogsInTwice => "logs_in_twice",
            Self::OffersAtOnce => "offers_at_once",
            Self::TrustsNotifications => "trusts_notifications",
            Self::ForgetsOpenTurns => "forgets_open_turns",
            Self::RenamesRedelivered => "renames_redelivered",
            Self::NotifiesBeforeCommit => "notifies_before_commit",
            Self::NeverParks => "never_parks",
            Self::TrustsOldStores => "trusts_old_stores",
            Self::OffersWhatWasLeft => "offers_what_was_left",
            Self::RereadsSkipped => "rereads_skipped",
            Self::RewakesOvertake => "rewakes_overtake",
            Self::KeepsNoWake => "keeps_no_wake",
            Self::ForgetsOldTurns => "forgets_old_turns",
            Self::WaitsForEver => "waits_for_ever",
            Self::EndsTurnsWithTheHost => "ends_turns_with_the_host",
            Self::IgnoresRetryAfter => "ignores_retry_after",
            Self::RenamesRepeated => "renames_repeated",
            Self::NeverLooks => "never_looks",
            Self::NeverDerives => "never_derives",
            Self::DropsOnTime => "drops_on_time",
            Self::RepeatsRefusals => "repeats_refusals",
            Self::ReadsEverything => "reads_everything",
            Self::QueuesEverything => "queues_everything",
            Self::HidesSkipped => "hides_skipped",
            Self::NeverTires => "never_tires",
            Self::ReadsBeforeItLooks => "reads_before_it_looks",
        }
    }
}

/// The defect of an agent, if any. Only a build with the feature `planted-defects`, which the
/// simulator and the tests switch on, can make one that has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Planted(Option<Defect>);

/// What is read back has none: a file must not switch a fix off.
impl Snapshot for Planted {
    fn save(&self, _: &mut Saver) -> Value {
        Value::Null
    }

    fn load(_: Value) -> Result<Self, LoadError> {
        Ok(Self::default())
    }
}

impl Planted {
    /// Switches a fix off.
    #[cfg(feature = "planted-defects")]
    pub const fn new(defect: Defect) -> Self {
        Self(Some(defect))
    }

    pub(crate) fn is(self, defect: Defect) -> bool {
        self.0 == Some(defect)
    }
}

/// A handshake as a client reads it that goes by half a minute, and not by what it is told.
pub(crate) fn with_short_heartbeat(event: Event) -> Event {
    match event {
        Event::Frame(Frame::Text(text)) if text.starts_with('0') => {
            let text = text.replace(r#""pingTimeout":20000"#, r#""pingTimeout":6000"#);
            Event::Frame(Frame::Text(text.into()))
        }
        Event::Frame(_) | Event::Closed(_) => event,
    }
}

/// Whether a frame is binary, or of a type that Engine.IO does not know.
pub(crate) fn is_foreign(event: &Event) -> bool {
    match event {
        Event::Frame(Frame::Text(text)) => !text.starts_with(|first| ('0'..='6').contains(&first)),
        Event::Frame(Frame::Binary(_)) => true,
        Event::Closed(_) => false,
    }
}
