//! A model of an agent's host: it answers every turn with an echo, and says when it is done.
//!
//! What people write tells it otherwise. A message that begins with `hush` gets no answer, with
//! `quiet` a `no_reply`, with `hang` a turn that never ends, with `twice` two answers, with `late`
//! an answer after the turn, with `slow N` one that takes `N` milliseconds longer. What another agent
//! has said gets no answer, but for `chat N`, which goes on between agents for `N` answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use selvedge_core::{
    http::CallId,
    id::{ChannelId, GuildId, MessageId, TurnId},
    plugin::{
        inbound::Inbound,
        io::HostEvent,
        tools::{SentMessage, Tool, ToolAnswer, ToolError},
    },
};

/// How long the host takes to read a notification.
const READ: Duration = Duration::from_millis(1);
/// When a host of the profile `claude` asks for the list of tools.
pub const LISTS_TOOLS: Duration = Duration::from_secs(1);
/// How long after that such a host still loses what it is told.
pub const DEAF: Duration = Duration::from_millis(300);
/// How long after its turn a late answer comes.
const LATE: Duration = Duration::from_secs(5);
/// What every answer begins with.
const ECHO: &str = "echo: ";

/// What is to be done next in a turn.
#[derive(Clone, Debug)]
enum Next {
    /// It is said to be over.
    Done,
    /// One more answer, then it is over.
    SendAgain,
    /// An answer after it is over.
    SendLate,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Debug)]
struct Job {
    turn: TurnId,
    channel: ChannelId,
    guild: GuildId,
    content: String,
    reply_to: Option<MessageId>,
    /// Whether it is a `no_reply`.
    passes: bool,
    next: Next,
}

/// What a tool call came to.
#[derive(Debug, Default)]
pub struct Heard {
    /// What the host does next, and after how long.
    pub then: Option<(Duration, HostEvent)>,
    /// The messages that the plugin says stand in a channel, and where.
    pub sent: Vec<(GuildId, ChannelId, SentMessage)>,
}

/// Echoes.
#[derive(Debug)]
pub struct Host {
    turn: Duration,
    /// Whether it says when a turn is done.
    says_done: bool,
    calls: BTreeMap<CallId, Job>,
    /// The turns that this process has begun.
    begun: BTreeSet<TurnId>,
    next: u64,
    /// How many of the next notifications get lost after they were written.
    pub loses: u32,
    /// Every turn that reached it.
    pub inbounds: Vec<Inbound>,
    /// Tool calls that failed, in the plugin's words.
    pub errors: Vec<String>,
}

impl Host {
    /// A host whose turns take `turn`.
    pub fn new(turn: Duration, says_done: bool) -> Self {
        Self {
            turn,
            says_done,
            calls: BTreeMap::new(),
            begun: BTreeSet::new(),
            next: 0,
            loses: 0,
            inbounds: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// A turn is handed over, to a host that is `deaf` or hears: what happens, and after how long.
    pub fn on_notify(&mut self, inbound: Inbound, deaf: bool) -> Vec<(Duration, HostEvent)> {
        let mut then = vec![(READ, HostEvent::Written(inbound.turn_id.clone()))];
        if deaf || self.loses > 0 {
            self.loses = self.loses.saturating_sub(1);
            return then;
        }
        // What it has begun already it recognises, as long as it lives.
        if self.begun.insert(inbound.turn_id.clone()) {
            then.extend(self.begin(&inbound));
        }
        self.inbounds.push(inbound);
        then
    }

    fn begin(&mut self, inbound: &Inbound) -> Option<(Duration, HostEvent)> {
        let last = inbound.messages.last()?;
        let said = last.content.strip_prefix(ECHO).unwrap_or(&last.content);
        let mut words = said.split_whitespace();
        let word = words
            .find(|word| !word.starts_with("<@"))
            .unwrap_or_default();
        let word = word.trim_end_matches(|mark: char| !mark.is_alphanumeric());
        let mut after = READ + self.turn;
        let mut job = Job {
            turn: inbound.turn_id.clone(),
            channel: inbound.channel.id.clone(),
            guild: inbound.channel.guild_id.clone(),
            content: format!("{ECHO}{}", last.content),
            reply_to: Some(last.id.clone()),
            passes: false,
            next: Next::Done,
        };
        let answers = match word {
            "hang" => return None,
            "chat" => {
                let left: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                job.content = format!("{ECHO}chat {} #{}", left.saturating_sub(1), last.seq);
                left > 0
            }
            _ if last.content.starts_with(ECHO) => false,
            "hush" => false,
            "quiet" => {
                job.next = Next::Nothing;
                job.passes = true;
                let tool = Tool::NoReply {
                    channel: job.channel.clone(),
                    guild: Some(job.guild.clone()),
                };
                return Some((after, self.call(job, tool)));
            }
            "late" => {
                job.next = Next::SendLate;
                false
            }
            "twice" => {
                job.next = Next::SendAgain;
                true
            }
            "slow" => {
                let millis = words.next().and_then(|word| word.parse().ok());
                after += Duration::from_millis(millis.unwrap_or_default());
                true
            }
            _ => true,
        };
        let event = match answers {
            true => self.send(job),
            false => self.done(job)?,
        };
        Some((after, event))
    }

    /// A tool call was answered.
    pub fn on_answer(&mut self, call: CallId, result: Result<ToolAnswer, ToolError>) -> Heard {
        let Some(mut job) = self.calls.remove(&call) else {
            return Heard::default();
        };
        let mut sent = Vec::new();
        match result {
            Ok(ToolAnswer::Sent(messages)) => {
                let there = |message| (job.guild.clone(), job.channel.clone(), message);
                sent = messages.into_iter().map(there).collect();
            }
            Ok(_) => {}
            Err(ToolError(why)) => {
                self.errors.push(why);
                // A turn that cannot be passed on is over all the same.
                if job.passes {
                    job.next = Next::Done;
                }
            }
        }
        let then = match core::mem::replace(&mut job.next, Next::Nothing) {
            Next::Done => self.done(job).map(|event| (READ, event)),
            Next::SendAgain => {
                job.content.push_str(" (and once more)");
                job.next = Next::Done;
                Some((self.turn, self.send(job)))
            }
            Next::SendLate => {
                job.content.push_str(" (after all)");
                Some((LATE, self.send(job)))
            }
            Next::Nothing => None,
        };
        Heard { then, sent }
    }

    fn send(&mut self, job: Job) -> HostEvent {
        let tool = Tool::Send {
            channel: job.channel.clone(),
            guild: Some(job.guild.clone()),
            content: job.content.clone(),
            reply_to: job.reply_to.clone(),
            attachments: vec![],
        };
        self.call(job, tool)
    }

    fn done(&mut self, mut job: Job) -> Option<HostEvent> {
        job.passes = false;
        if matches!(job.next, Next::Done) {
            job.next = Next::Nothing;
        }
        if !self.says_done {
            return match job.next {
                Next::SendLate => {
                    job.next = Next::Nothing;
                    Some(self.send(job))
                }
                Next::Done | Next::SendAgain | Next::Nothing => None,
            };
        }
        let turn = job.turn.clone();
        Some(self.call(job, Tool::TurnDone { turn }))
    }

    /// The host ends with its plugin, and what it was doing with it.
    pub fn kill(&mut self) {
        self.calls.clear();
        self.begun.clear();
    }

    fn call(&mut self, job: Job, tool: Tool) -> HostEvent {
        let call = CallId(self.next);
        self.next += 1;
        self.calls.insert(call, job);
        HostEvent::Call { call, tool }
    }
}
