//! The simplest host: it answers each turn with an echo, says that it is over, and does each when it is
//! chosen to.

use std::collections::BTreeSet;

use selvedge_core::{
    canonical,
    http::CallId,
    id::{ChannelId, GuildId, MessageId, TurnId},
    plugin::{
        inbound::Inbound,
        io::HostEvent,
        tools::{SentMessage, Tool, ToolAnswer, ToolError},
    },
};

/// One process of a host, which says when a turn is done.
#[derive(Clone, Debug)]
pub(super) struct Host {
    answers: bool,
    ready: bool,
    jobs: Vec<Job>,
    /// The turns that it has begun: what is offered once more it recognises.
    begun: BTreeSet<TurnId>,
    next: u64,
}
canonical!(unsaved struct Host { answers, ready, jobs, begun; - next });

#[derive(Clone, Debug)]
struct Job {
    turn: TurnId,
    channel: ChannelId,
    guild: GuildId,
    content: String,
    reply_to: MessageId,
    stage: Stage,
}
canonical!(unsaved struct Job { turn, channel, guild, content, reply_to, stage });

#[derive(Clone, Debug)]
enum Stage {
    Begun,
    Sending(CallId),
    Answered,
    Ending(CallId),
}
canonical!(
    enum Stage {
        Begun,
        Sending(call),
        Answered,
        Ending(call),
    }
);

impl Host {
    /// One that has just begun, and that `answers` turns or only ends them.
    pub(super) fn new(answers: bool) -> Self {
        Self {
            answers,
            ready: false,
            jobs: Vec::new(),
            begun: BTreeSet::new(),
            next: 0,
        }
    }

    /// Another process of it.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.answers);
    }

    /// It is to say that it is initialised; false where it has.
    pub(super) fn initialise(&mut self) -> bool {
        !core::mem::replace(&mut self.ready, true)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// A turn is handed over.
    pub(super) fn on_notify(&mut self, inbound: &Inbound) {
        let Some(last) = inbound.messages.last() else {
            return;
        };
        if self.begun.insert(inbound.turn_id.clone()) {
            self.jobs.push(Job {
                turn: inbound.turn_id.clone(),
                channel: inbound.channel.id.clone(),
                guild: inbound.channel.guild_id.clone(),
                content: format!("echo: {}", last.content),
                reply_to: last.id.clone(),
                stage: match self.answers {
                    true => Stage::Begun,
                    false => Stage::Answered,
                },
            });
        }
    }

    /// The turns in which it can go on.
    pub(super) fn going(&self) -> impl Iterator<Item = usize> {
        let jobs = self.jobs.iter().enumerate();
        jobs.filter(|(_, job)| matches!(job.stage, Stage::Begun | Stage::Answered))
            .map(|(index, _)| index)
    }

    /// It goes on in a turn.
    pub(super) fn go_on(&mut self, index: usize) -> Option<HostEvent> {
        let job = self.jobs.get_mut(index)?;
        let call = CallId(self.next);
        let (stage, tool) = match &job.stage {
            Stage::Begun => (
                Stage::Sending(call),
                Tool::Send {
                    channel: job.channel.clone(),
                    guild: Some(job.guild.clone()),
                    content: job.content.clone(),
                    reply_to: Some(job.reply_to.clone()),
                    attachments: Vec::new(),
                },
            ),
            Stage::Answered => (
                Stage::Ending(call),
                Tool::TurnDone {
                    turn: job.turn.clone(),
                },
            ),
            Stage::Sending(_) | Stage::Ending(_) => return None,
        };
        self.next += 1;
        job.stage = stage;
        Some(HostEvent::Call { call, tool })
    }

    /// A tool call was answered: where which messages stand now.
    pub(super) fn on_answer(
        &mut self,
        answered: CallId,
        result: Result<ToolAnswer, ToolError>,
    ) -> Vec<(ChannelId, SentMessage)> {
        let waits = |job: &Job| match job.stage {
            Stage::Sending(call) | Stage::Ending(call) => call == answered,
            Stage::Begun | Stage::Answered => false,
        };
        let Some(index) = self.jobs.iter().position(waits) else {
            return Vec::new();
        };
        let Some(job) = self.jobs.get_mut(index) else {
            return Vec::new();
        };
        if matches!(job.stage, Stage::Ending(_)) {
            self.jobs.remove(index);
            return Vec::new();
        }
        job.stage = Stage::Answered;
        match result {
            Ok(ToolAnswer::Sent(messages)) => {
                let there = |message| (job.channel.clone(), message);
                messages.into_iter().map(there).collect()
            }
            Ok(_) | Err(_) => Vec::new(),
        }
    }
}
