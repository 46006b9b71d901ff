//! The configuration of an agent: every number of the plugin, with its default.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    id::{AgentId, ChannelId, GuildId, UserId},
    link::backoff,
};

/// How a host is handed its inbounds, and what is known of their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// `notifications/plexum/channel/inbound`; what is written has arrived.
    Plexum,
    /// `notifications/claude/channel`: what is written may be lost, and only a tool call shows that
    /// an inbound has arrived.
    Claude,
}

/// What one agent is and keeps to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The agent's name in the configuration.
    pub agent_id: AgentId,
    /// The guilds to connect to; `None` for every guild that the login lists.
    pub guilds: Option<BTreeSet<GuildId>>,
    /// Origins of guild nodes that Center does not tell.
    pub origins: BTreeMap<GuildId, String>,
    /// How old a session may grow before a new login. Guild tokens live about 15 minutes, and the
    /// margin is the point: a token from the cache must outlast the dial that uses it. Default 8
    /// minutes.
    pub session_ttl: Duration,
    /// How long a login may take, from its admission. Default 10 s.
    pub login_patience: Duration,
    /// How long each step towards a live link, and each REST request, may take. Default 10 s.
    pub step_timeout: Duration,
    /// How long a connection that is to replace another one may take until everything is joined on
    /// it. Default 30 s.
    pub rotation_timeout: Duration,
    /// How long a message that a listing tells of may lack its push, before the connection counts as
    /// deaf and is replaced. Default 10 s.
    pub push_patience: Duration,
    /// How long to wait between connections.
    pub backoff: backoff::Config,
    /// Whether guilds acknowledge `join_channel`. Where they do not, the emit is taken as done.
    pub join_acks: bool,
    /// How often the channels are listed, as a safety net behind the pushes. Default 60 s.
    pub listing_every: Duration,
    /// How long a message that is ahead of its sequence waits for what is missing. Default 250 ms.
    pub gap_patience: Duration,
    /// How many messages of a channel are read after the agent was away, the newest; older ones are
    /// counted as skipped. Default 200.
    pub backfill_max: u32,
    /// How many message ids are remembered so that none is handled twice. Default 5,000; each costs
    /// about 150 bytes.
    pub dedup_max: usize,
    /// Only these users wake the agent; `None` for everybody.
    pub allow_users: Option<BTreeSet<UserId>>,
    /// Only in these channels is the agent woken; `None` for all.
    pub allow_channels: Option<BTreeSet<ChannelId>>,
    /// The loop guard: more turns than this in [`loop_window`](Self::loop_window), woken by one
    /// author in one channel and each answered, silence that author there for as long. Default 20.
    pub loop_turns: u32,
    /// See [`loop_turns`](Self::loop_turns). Default 60 s.
    pub loop_window: Duration,
    /// A channel's queue that has been idle this long is dropped. Default 5 s.
    pub queue_idle: Duration,
    /// A turn that the host does not end is ended after this long. Default 10 min.
    pub turn_timeout: Duration,
    /// How often a turn is handed over whose end is never seen, since the process ends before: then
    /// it is parked, and the channel goes on. Default 3.
    pub attempts_max: u32,
    /// How the host is handed its inbounds. Default [`Profile::Plexum`].
    pub profile: Profile,
    /// With [`Profile::Claude`]: how long nothing is handed over after the host has asked for the
    /// list of tools. It loses what comes in the first moments of its session. Default 500 ms.
    pub settle: Duration,
    /// With [`Profile::Claude`]: an inbound is handed over once more if no tool call has shown for
    /// this long that it arrived. Default 2 min.
    pub receipt_patience: Duration,
    /// Messages that arrive within this span, or during a turn, become one turn; `None`: each
    /// message is a turn of its own. Default `None`.
    pub coalesce: Option<Duration>,
    /// How many messages wait in one channel, one at least; further ones are counted as skipped. Default
    /// 1,000.
    pub waiting_max: usize,
    /// How many messages wait in all channels of the agent together, besides one in each; further ones are
    /// counted as skipped. Default 10,000.
    pub waiting_agent_max: usize,
    /// How many bytes of text wait in all channels of the agent together. Of what is beyond only the ids
    /// are kept, and it is read again for its turn: an agent whose host hangs must not take the memory
    /// of all others. Default 1 MiB.
    pub waiting_bytes_max: usize,
    /// How many recorded messages a turn brings along as context. Default 50, and at most 32 KiB.
    pub context_max: usize,
    /// How long a post, or what another tool asks, is tried again while its guild cannot be reached.
    /// Default 60 s.
    pub send_patience: Duration,
    /// How long a file may take on its way up or down. Default 10 min.
    pub transfer_patience: Duration,
    /// How many characters one message has at most; longer texts are cut into several. A guild that
    /// takes less says so. Default 8,000, as guilds have it.
    pub message_chars_max: usize,
    /// How many tool calls may be under way. Further ones are refused. Default 256.
    pub calls_max: usize,
    /// How many channels of one guild are followed; further ones are ignored with a note. Default
    /// 5,000: each has a join of its own at every connect.
    pub channels_max: usize,
    /// How many guilds are connected to; further ones are ignored with a note. Default 64.
    pub guilds_max: usize,
}

impl Config {
    /// The defaults, for an agent of this name.
    pub fn new(agent_id: AgentId) -> Self {
        Self {
            agent_id,
            guilds: None,
            origins: BTreeMap::new(),
            session_ttl: Duration::from_secs(8 * 60),
            login_patience: Duration::from_secs(10),
            step_timeout: Duration::from_secs(10),
            rotation_timeout: Duration::from_secs(30),
            push_patience: Duration::from_secs(10),
            backoff: backoff::Config::default(),
            join_acks: true,
            listing_every: Duration::from_secs(60),
            gap_patience: Duration::from_millis(250),
            backfill_max: 200,
            dedup_max: 5_000,
            allow_users: None,
            allow_channels: None,
            loop_turns: 20,
            loop_window: Duration::from_secs(60),
            queue_idle: Duration::from_secs(5),
            turn_timeout: Duration::from_secs(10 * 60),
            attempts_max: 3,
            profile: Profile::Plexum,
            settle: Duration::from_millis(500),
            receipt_patience: Duration::from_secs(2 * 60),
            coalesce: None,
            waiting_max: 1_000,
            waiting_agent_max: 10_000,
            waiting_bytes_max: 1 << 20,
            context_max: 50,
            send_patience: Duration::from_secs(60),
            transfer_patience: Duration::from_secs(10 * 60),
            message_chars_max: 8_000,
            calls_max: 256,
            channels_max: 5_000,
            guilds_max: 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each number as it is documented: whoever changes one changes what operators were told.
    #[test]
    fn the_defaults_are_what_is_documented() {
        let config = Config::new(AgentId::new("echo").unwrap());
        let milliseconds = |span: Duration| span.as_millis();
        let spans = [
            (config.session_ttl, 480_000),
            (config.login_patience, 10_000),
            (config.step_timeout, 10_000),
            (config.rotation_timeout, 30_000),
            (config.push_patience, 10_000),
            (config.listing_every, 60_000),
            (config.gap_patience, 250),
            (config.loop_window, 60_000),
            (config.queue_idle, 5_000),
            (config.turn_timeout, 600_000),
            (config.settle, 500),
            (config.receipt_patience, 120_000),
            (config.send_patience, 60_000),
        ];
        for (span, documented) in spans {
            assert_eq!(milliseconds(span), documented);
        }
        assert_eq!((config.backfill_max, config.loop_turns), (200, 20));
        assert_eq!((config.dedup_max, config.context_max), (5_000, 50));
        let waiting = (config.waiting_max, config.waiting_agent_max);
        assert_eq!(waiting, (1_000, 10_000));
        assert_eq!(config.waiting_bytes_max, 1 << 20);
        assert_eq!((config.attempts_max, config.message_chars_max), (3, 8_000));
        assert_eq!((config.coalesce, config.join_acks), (None, true));
    }
}
