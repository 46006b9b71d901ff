//! The kinds of faults of a drawn world, and how each strikes.

use selvedge_core::Rng;

use super::{
    changes, log_between,
    people::{Cast, pick},
    restores,
};
use crate::{
    fault::{Damage, LoginFault, RestFault},
    net::Loss,
    script::{Act, Line, Moment, Strike},
};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Dials are refused for a while.
    RefuseDials,
    /// Dials are never answered.
    HangDials,
    /// Dials take longer for a while.
    SlowDials,
    /// A connection is reset.
    Reset,
    /// New connections are reset soon after their dial.
    Doom,
    /// A connection is closed in order.
    Close,
    /// The guild sends a Disconnect.
    Disconnect,
    /// A connection is half-open, in one direction or both.
    HalfOpen,
    /// A guild's heartbeats are lost.
    SilentPings,
    /// A connection stands still for a while.
    Stall,
    /// Everything takes longer on connections for a while, and so overtakes.
    Delay,
    /// A frame is damaged.
    Damage,
    /// Pushes are lost.
    LosePushes,
    /// Pushes arrive twice.
    RepeatPushes,
    /// The answers to joins are lost.
    LoseAcks,
    /// REST requests go wrong.
    Rest,
    /// REST answers take longer for a while.
    SlowRest,
    /// Logins go wrong.
    Logins,
    /// A session lacks a guild.
    LackGuild,
    /// Every token of an agent is taken back.
    Revoke,
    /// Center does not answer a guild.
    Introspections,
    /// A guild's wall clock jumps, and comes back later.
    Clock,
    /// A guild node crashes and starts again.
    CrashGuild,
    /// The plugin crashes and starts again.
    Crash,
    /// The plugin's disk fails.
    FailCommits,
    /// The plugin's disk is slow for a while.
    SlowCommits,
    /// The host loses what it is told.
    LoseNotifications,
    /// Somebody joins or leaves a channel.
    Membership,
    /// A channel is closed, and opened again.
    CloseChannel,
    /// A message is edited or deleted.
    Amend,
    /// A channel wakes others, or somebody speaks only when mentioned from now on.
    Rules,
    /// A guild's heartbeats come late for a while.
    LatePings,
    /// Center is out of reach for a while.
    Outage,
    /// The host crashes, its plugin ends in order, and both start again.
    CrashHost,
    /// A guild takes no posts for a while, and says for how long.
    LimitPosts,
    /// Somebody says very much at once.
    Flood,
    /// An old push arrives once more.
    RepeatLast,
    /// Somebody takes back what was said while an agent was away.
    Recant,
    /// A guild is restored from a backup.
    RestoreGuild,
    /// A backup takes the place of a plugin's disk.
    RestoreDisk,
    /// Two agents answer each other.
    Chat,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 41] = [
        Self::RefuseDials,
        Self::HangDials,
        Self::SlowDials,
        Self::Reset,
        Self::Doom,
        Self::Close,
        Self::Disconnect,
        Self::HalfOpen,
        Self::SilentPings,
        Self::Stall,
        Self::Delay,
        Self::Damage,
        Self::LosePushes,
        Self::RepeatPushes,
        Self::LoseAcks,
        Self::Rest,
        Self::SlowRest,
        Self::Logins,
        Self::LackGuild,
        Self::Revoke,
        Self::Introspections,
        Self::Clock,
        Self::CrashGuild,
        Self::Crash,
        Self::FailCommits,
        Self::SlowCommits,
        Self::LoseNotifications,
        Self::Membership,
        Self::CloseChannel,
        Self::Amend,
        Self::Rules,
        Self::LatePings,
        Self::Outage,
        Self::CrashHost,
        Self::LimitPosts,
        Self::Flood,
        Self::RepeatLast,
        Self::Recant,
        Self::RestoreGuild,
        Self::RestoreDisk,
        Self::Chat,
    ];

    /// The name that `--faults` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RefuseDials => "refuse_dials",
            Self::HangDials => "hang_dials",
            Self::SlowDials => "slow_dials",
            Self::Reset => "reset",
            Self::Doom => "doom",
            Self::Close => "close",
            Self::Disconnect => "disconnect",
            Self::HalfOpen => "half_open",
            Self::SilentPings => "silent_pings",
            Self::Stall => "stall",
            Self::Delay => "delay",
            Self::Damage => "damage",
            Self::LosePushes => "lose_pushes",
            Self::RepeatPushes => "repeat_pushes",
            Self::LoseAcks => "lose_acks",
            Self::Rest => "rest",
            Self::SlowRest => "slow_rest",
            Self::Logins => "logins",
            Self::LackGuild => "lack_guild",
            Self::Revoke => "revoke",
            Self::Introspections => "introspections",
            Self::Clock => "clock",
            Self::CrashGuild => "crash_guild",
            Self::Crash => "crash",
            Self::FailCommits => "fail_commits",
            Self::SlowCommits => "slow_commits",
            Self::LoseNotifications => "lose_notifications",
            Self::Membership => "membership",
            Self::CloseChannel => "close_channel",
            Self::Amend => "amend",
            Self::Rules => "rules",
            Self::LatePings => "late_pings",
            Self::Outage => "outage",
            Self::CrashHost => "crash_host",
            Self::LimitPosts => "limit_posts",
            Self::Flood => "flood",
            Self::RepeatLast => "repeat_last",
            Self::Recant => "recant",
            Self::RestoreGuild => "restore_guild",
            Self::RestoreDisk => "restore_disk",
            Self::Chat => "chat",
        }
    }

    /// Strikes once, at `at`; where it has an end, that comes before `span` or with it.
    pub(super) fn strike(self, rng: &mut Rng, cast: &Cast, at: u64, span: u64) -> Vec<Line> {
        let agent = cast.agent(rng).filter(|_| rng.chance(2, 3));
        let guild = cast.guild(rng).filter(|_| rng.chance(2, 3));
        let line = |at: u64, strike: Strike| Line::Act {
            at: at.min(span),
            who: "network".to_string(),
            agent: agent.clone(),
            guild: guild.clone(),
            r#do: Act::Strike(strike),
        };
        let later = at + log_between(rng, 500, 300_000);
        let few = 1 + rng.below(4) as u32;
        let millis = log_between(rng, 20, 20_000);
        match self {
            Self::RefuseDials => vec![
                line(at, Strike::RefuseDials(true)),
                line(later, Strike::RefuseDials(false)),
            ],
            Self::HangDials => vec![line(at, Strike::HangDials(few))],
            Self::SlowDials => vec![
                line(at, Strike::DelayDials(millis)),
                line(later, Strike::DelayDials(0)),
            ],
            Self::Reset => vec![line(at, sharp(rng, Strike::Reset, &ON_A_LINE))],
            Self::Doom => vec![line(
                at,
                Strike::Doom {
                    dials: few,
                    after: millis,
                },
            )],
            Self::Close => vec![line(at, sharp(rng, Strike::Close, &ON_A_LINE))],
            Self::Disconnect => vec![line(at, Strike::Disconnect)],
            Self::HalfOpen => {
                let ways = [
                    Loss::Everything,
                    Loss::ToAgent,
                    Loss::ToGuild,
                    Loss::Pushes,
                    Loss::Acks,
                ];
                let way = pick(rng, &ways).copied().unwrap_or(Loss::Everything);
                vec![line(at, Strike::Lose(way))]
            }
            Self::SilentPings => vec![line(at, Strike::Lose(Loss::Pings))],
            Self::Stall => vec![line(at, Strike::Stall(millis))],
            Self::Delay => vec![
                line(at, Strike::DelayFrames(millis.min(5_000))),
                line(later, Strike::DelayFrames(0)),
            ],
            Self::Damage => {
                let ways = [
                    Damage::Truncated,
                    Damage::Corrupt,
                    Damage::Binary,
                    Damage::Oversized,
                ];
                let way = pick(rng, &ways).copied().unwrap_or(Damage::Corrupt);
                vec![line(at, Strike::Damage(way))]
            }
            Self::LosePushes => vec![line(at, Strike::LosePushes(few))],
            Self::RepeatPushes => vec![line(at, Strike::RepeatPushes(few))],
            Self::LoseAcks => vec![line(at, Strike::LoseAcks(few))],
            Self::Rest => vec![line(
                at,
                Strike::FailRest {
                    requests: few,
                    how: rest(rng, millis),
                },
            )],
            Self::SlowRest => vec![
                line(at, Strike::DelayRest(millis)),
                line(later, Strike::DelayRest(0)),
            ],
            Self::Logins => vec![line(
                at,
                Strike::FailLogins {
                    logins: few,
                    how: login(rng, millis),
                },
            )],
            Self::LackGuild => vec![line(at, Strike::LackGuild(few))],
            Self::Revoke => vec![line(at, Strike::Revoke)],
            Self::Introspections => vec![line(at, Strike::FailIntrospections(few))],
            Self::Clock => {
                let millis = i64::try_from(log_between(rng, 1_000, 600_000)).unwrap_or(0);
                let millis = if rng.chance(1, 2) { millis } else { -millis };
                vec![
                    line(at, Strike::SetClock(millis)),
                    line(later, Strike::SetClock(0)),
                ]
            }
            Self::CrashGuild => {
                let crash = Strike::CrashGuild {
                    commits: rng.chance(1, 2),
                    told: rng.chance(3, 4),
                    down: millis,
                };
                vec![line(at, sharp(rng, crash, &ON_A_GUILD))]
            }
            Self::Crash => {
                let crash = Strike::Crash {
                    commits: rng.chance(1, 2),
                    down: millis,
                };
                vec![line(at, sharp(rng, crash, &ON_A_PLUGIN))]
            }
            Self::FailCommits => vec![line(at, Strike::FailCommits(few))],
            Self::SlowCommits => vec![
                line(at, Strike::DelayCommits(millis)),
                line(later, Strike::DelayCommits(1)),
            ],
            Self::LoseNotifications => vec![line(at, Strike::LoseNotifications(few))],
            Self::Membership => changes::membership(rng, cast, at, later.min(span)),
            Self::CloseChannel => changes::close(rng, cast, at, later.min(span)),
            Self::Amend => changes::amend(rng, cast, at),
            Self::Rules => changes::rules(rng, cast, at),
            Self::LatePings => vec![
                line(at, Strike::DelayPings(millis)),
                line(later, Strike::DelayPings(0)),
            ],
            Self::Outage => vec![
                line(at, Strike::RefuseLogins(true)),
                line(later, Strike::RefuseLogins(false)),
            ],
            Self::CrashHost => {
                let crash = Strike::CrashHost {
                    commits: rng.chance(3, 4),
                    down: millis,
                };
                vec![line(at, sharp(rng, crash, &ON_A_PLUGIN))]
            }
            Self::LimitPosts => vec![line(at, Strike::LimitPosts(millis))],
            Self::Flood => changes::flood(rng, cast, at),
            Self::RepeatLast => vec![line(at, Strike::RepeatLast)],
            Self::Recant => changes::recant(rng, cast, at, millis.min(span.saturating_sub(at))),
            Self::RestoreGuild => restores::guild(rng, cast, (at, later.min(span), span), millis),
            Self::RestoreDisk => restores::disk(rng, cast, (at, later.min(span), span), millis),
            Self::Chat => changes::chat(rng, cast, at),
        }
    }
}

/// Where it hurts most that a connection ends.
const ON_A_LINE: [Moment; 4] = [Moment::Push, Moment::Post, Moment::Request, Moment::Notify];
/// Where it hurts most that a guild ends.
const ON_A_GUILD: [Moment; 4] = [
    Moment::GuildCommit,
    Moment::GuildCommitted,
    Moment::Post,
    Moment::Push,
];
/// Where it hurts most that a plugin ends.
const ON_A_PLUGIN: [Moment; 6] = [
    Moment::Commit,
    Moment::Committed,
    Moment::Notify,
    Moment::Post,
    Moment::Posted,
    Moment::Push,
];

/// Half of the time a fault strikes where it hurts most, and otherwise at once.
fn sharp(rng: &mut Rng, strike: Strike, moments: &[Moment]) -> Strike {
    let sharp = rng.chance(1, 2);
    match pick(rng, moments).filter(|_| sharp) {
        Some(moment) => Strike::Before {
            moment: *moment,
            r#do: Box::new(strike),
        },
        None => strike,
    }
}

fn rest(rng: &mut Rng, millis: u64) -> RestFault {
    let ways = [
        RestFault::Unreachable,
        RestFault::LoseRequest,
        RestFault::LoseAnswer,
        RestFault::HangRequest,
        RestFault::HangAnswer,
        RestFault::LateRequest(millis),
        RestFault::LateAnswer(millis),
        RestFault::Status(401),
        RestFault::Status(429),
        RestFault::Status(500),
        RestFault::Status(503),
        RestFault::TooLarge,
    ];
    pick(rng, &ways).copied().unwrap_or(RestFault::LoseAnswer)
}

fn login(rng: &mut Rng, millis: u64) -> LoginFault {
    let ways = [
        LoginFault::Unreachable,
        LoginFault::Hang,
        LoginFault::Late(millis),
        LoginFault::Status(401),
        LoginFault::Status(429),
        LoginFault::Status(503),
    ];
    pick(rng, &ways).copied().unwrap_or(LoginFault::Hang)
}
