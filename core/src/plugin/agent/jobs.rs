//! The jobs of an agent: what each step is sent with, and what its end means.

use alloc::{string::String, vec::Vec};

use super::Agent;
use crate::{
    fabric::{realtime::Membership, types::XType},
    http::CallId,
    id::ChannelId,
    plugin::{
        io::Output,
        jobs::{Job, Progress, Step},
        shared::{Asked, Errand},
        token::TokenNumber,
        tools::{Ask, ToolAnswer, ToolError},
    },
    time::Time,
};

impl Agent {
    pub(super) fn push_job(
        &mut self,
        now: Time,
        call: CallId,
        guild: u32,
        step: Step,
    ) -> Result<Option<ToolAnswer>, String> {
        let shared = &mut self.shared;
        shared.has_room()?;
        let patience = match step.file() {
            Some(_) => shared.config.transfer_patience,
            None => shared.config.send_patience,
        };
        shared.jobs.push(now, call, guild, step, patience);
        Ok(None)
    }

    /// Asks what is due.
    pub(super) fn ask_for_jobs(&mut self, now: Time, out: &mut Vec<Output>) {
        self.give_up_jobs(now, out);
        while let Some((id, job)) = self.shared.jobs.next_due(now) {
            let step = job.step.clone();
            let Some(guild) = self.guilds.get(&job.guild) else {
                continue;
            };
            let request = |token| step.request(token).ok();
            let (errand, file) = (Errand::Job(id), step.file());
            match self
                .shared
                .ask_with(now, &guild.id, errand, file, request, out)
            {
                Asked::Yes(_) => {}
                Asked::Blocked => {
                    self.shared.jobs.on_blocked(id);
                    self.give_up_jobs(now, out);
                }
                Asked::Impossible(why) => {
                    if let Some(progress) = self.shared.jobs.fail(id, &why) {
                        self.on_job(now, progress, 0, out);
                    }
                }
            }
        }
    }

    fn give_up_jobs(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(progress) = self.shared.jobs.expire(now) {
            self.on_job(now, progress, 0, out);
        }
    }

    /// A step of a job was answered, where it was asked with that token.
    pub(super) fn on_job(
        &mut self,
        now: Time,
        progress: Progress,
        token: TokenNumber,
        out: &mut Vec<Output>,
    ) {
        match progress {
            Progress::Again => {}
            Progress::Unauthorized => self.shared.account.invalidate(token),
            Progress::Over(job, result) => {
                if let Ok(answer) = &result {
                    self.follow_membership(now, &job, answer, out);
                }
                out.push(Output::Answer {
                    call: job.call,
                    result: result.map_err(ToolError),
                });
            }
        }
    }

    /// What a job has changed about the agent's own memberships: the push about it may come later,
    /// and the host's next call may already be about that channel.
    fn follow_membership(
        &mut self,
        now: Time,
        job: &Job,
        answer: &ToolAnswer,
        out: &mut Vec<Output>,
    ) {
        match (&job.step, answer) {
            (Step::Create(_), ToolAnswer::Channel(channel)) => {
                self.on_joined(now, job.guild, &channel.id, Some(channel.x_type), out);
            }
            (Step::Open(channel, _), _) => {
                self.on_joined(now, job.guild, channel, Some(XType::Discuss), out);
            }
            (Step::Ask(channel, Ask::Join), _) => {
                self.on_joined(now, job.guild, channel, None, out);
            }
            (Step::Ask(channel, Ask::Leave), _) => {
                let pushed = self.membership(channel, None);
                self.with_guild(job.guild, |guild, shared| {
                    if let Some(pushed) = pushed {
                        guild.on_left_push(now, &pushed, shared, out);
                    }
                });
            }
            (
                Step::Ask(..)
                | Step::Create(_)
                | Step::Upload { .. }
                | Step::Download { .. }
                | Step::Add { .. }
                | Step::Found(..)
                | Step::Trace { .. }
                | Step::Conclude { .. }
                | Step::Report(..),
                _,
            ) => {}
        }
    }

    fn on_joined(
        &mut self,
        now: Time,
        guild: u32,
        channel: &ChannelId,
        x_type: Option<XType>,
        out: &mut Vec<Output>,
    ) {
        let pushed = self.membership(channel, x_type);
        self.with_guild(guild, |guild, shared| {
            if let Some(pushed) = pushed {
                guild.on_joined_push(now, &pushed, shared, out);
            }
        });
    }

    /// The push that the guild makes about the agent's own membership.
    fn membership(&self, channel: &ChannelId, x_type: Option<XType>) -> Option<Membership> {
        Some(Membership {
            channel_id: channel.clone(),
            user_id: self.shared.account.user()?.clone(),
            x_type,
            occurred_at: None,
        })
    }
}
