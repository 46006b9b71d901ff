//! The keys of the configuration file: which there are, and which number of the plugin each sets.

use std::time::Duration;

use selvedge_core::plugin::config::Config;

/// Keys of `[[agent]]`.
pub(super) const AGENT: &[&str] = &[
    "id",
    "api_key_env",
    "api_key_file",
    "name",
    "password_env",
    "password_file",
    "guilds",
    "allow_users",
    "allow_channels",
    "sync_commands",
];

/// Keys of `[guild.ID]`.
pub(super) const GUILD: &[&str] = &["url"];

/// The other sections and their keys.
pub(super) const SECTIONS: &[(&str, &[&str])] = &[
    ("center", &["url"]),
    ("store", &["path"]),
    ("host", &["profile"]),
    ("net", &["ca_file", "proxy"]),
    ("files", &["dir", "bytes_max"]),
    ("record", &["dir", "segment_bytes", "segments", "filler"]),
    ("status", &["listen"]),
    (
        "plugin",
        &[
            "session_ttl_ms",
            "login_patience_ms",
            "step_timeout_ms",
            "rotation_timeout_ms",
            "push_patience_ms",
            "backoff_first_ms",
            "backoff_most_ms",
            "backoff_after_live_ms",
            "backoff_after_stable_ms",
            "backoff_stable_ms",
            "backoff_dials",
            "backoff_refill_ms",
            "join_acks",
            "listing_every_ms",
            "gap_patience_ms",
            "backfill_max",
            "dedup_max",
            "loop_turns",
            "loop_window_ms",
            "queue_idle_ms",
            "turn_timeout_ms",
            "attempts_max",
            "settle_ms",
            "receipt_patience_ms",
            "coalesce_ms",
            "waiting_max",
            "waiting_agent_max",
            "waiting_bytes_max",
            "context_max",
            "send_patience_ms",
            "transfer_patience_ms",
            "message_chars_max",
            "calls_max",
            "channels_max",
            "guilds_max",
            "logins_max",
        ],
    ),
];

/// The longest span that can be set: a day. Whatever waits longer is a mistake of units.
pub(super) const SPAN_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// The largest number that can be set.
pub(super) const COUNT_MAX: i64 = 1_000_000;

/// What a key of `[plugin]` sets.
pub(super) enum Sets {
    /// A span in milliseconds, from 1.
    Span(fn(&mut Config) -> &mut Duration),
    /// A span in milliseconds; 0 or less leaves the default.
    SpanOrDefault(fn(&mut Config) -> &mut Duration),
    /// A span in milliseconds that may be switched off with 0.
    SpanOrOff(fn(&mut Config) -> &mut Option<Duration>),
    /// A number, from 1.
    Count(fn(&mut Config) -> &mut usize),
    /// A number, from 1.
    Count32(fn(&mut Config) -> &mut u32),
    /// A switch.
    Truth(fn(&mut Config) -> &mut bool),
}

/// Every key of `[plugin]` that sets a field of the agents' configuration.
pub(super) const NUMBERS: &[(&str, Sets)] = &[
    (
        "session_ttl_ms",
        Sets::SpanOrDefault(|c| &mut c.session_ttl),
    ),
    (
        "login_patience_ms",
        Sets::SpanOrDefault(|c| &mut c.login_patience),
    ),
    ("step_timeout_ms", Sets::Span(|c| &mut c.step_timeout)),
    (
        "rotation_timeout_ms",
        Sets::Span(|c| &mut c.rotation_timeout),
    ),
    ("push_patience_ms", Sets::Span(|c| &mut c.push_patience)),
    ("backoff_first_ms", Sets::Span(|c| &mut c.backoff.first)),
    ("backoff_most_ms", Sets::Span(|c| &mut c.backoff.most)),
    (
        "backoff_after_live_ms",
        Sets::Span(|c| &mut c.backoff.after_live),
    ),
    (
        "backoff_after_stable_ms",
        Sets::Span(|c| &mut c.backoff.after_stable),
    ),
    ("backoff_stable_ms", Sets::Span(|c| &mut c.backoff.stable)),
    ("backoff_dials", Sets::Count32(|c| &mut c.backoff.dials)),
    ("backoff_refill_ms", Sets::Span(|c| &mut c.backoff.refill)),
    ("join_acks", Sets::Truth(|c| &mut c.join_acks)),
    ("listing_every_ms", Sets::Span(|c| &mut c.listing_every)),
    ("gap_patience_ms", Sets::Span(|c| &mut c.gap_patience)),
    ("backfill_max", Sets::Count32(|c| &mut c.backfill_max)),
    ("dedup_max", Sets::Count(|c| &mut c.dedup_max)),
    ("loop_turns", Sets::Count32(|c| &mut c.loop_turns)),
    ("loop_window_ms", Sets::Span(|c| &mut c.loop_window)),
    ("queue_idle_ms", Sets::Span(|c| &mut c.queue_idle)),
    ("turn_timeout_ms", Sets::Span(|c| &mut c.turn_timeout)),
    ("attempts_max", Sets::Count32(|c| &mut c.attempts_max)),
    ("settle_ms", Sets::Span(|c| &mut c.settle)),
    (
        "receipt_patience_ms",
        Sets::Span(|c| &mut c.receipt_patience),
    ),
    ("coalesce_ms", Sets::SpanOrOff(|c| &mut c.coalesce)),
    ("waiting_max", Sets::Count(|c| &mut c.waiting_max)),
    (
        "waiting_agent_max",
        Sets::Count(|c| &mut c.waiting_agent_max),
    ),
    (
        "waiting_bytes_max",
        Sets::Count(|c| &mut c.waiting_bytes_max),
    ),
    ("context_max", Sets::Count(|c| &mut c.context_max)),
    ("send_patience_ms", Sets::Span(|c| &mut c.send_patience)),
    (
        "transfer_patience_ms",
        Sets::Span(|c| &mut c.transfer_patience),
    ),
    (
        "message_chars_max",
        Sets::Count(|c| &mut c.message_chars_max),
    ),
    ("calls_max", Sets::Count(|c| &mut c.calls_max)),
    ("channels_max", Sets::Count(|c| &mut c.channels_max)),
    ("guilds_max", Sets::Count(|c| &mut c.guilds_max)),
];
