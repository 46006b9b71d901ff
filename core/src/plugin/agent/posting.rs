//! What the host posts: sent, sent again, and answered.

use alloc::{format, vec::Vec};

use super::Agent;
use crate::{
    fabric::routes::{self, PAGE_MAX, Paging},
    plugin::{
        defect::Defect,
        io::Output,
        note::Note,
        outbox::Posted,
        shared::{Asked, Errand},
        token::TokenNumber,
        tools::{ToolAnswer, ToolError},
    },
    time::Time,
};

impl Agent {
    pub(super) fn on_posted(
        &mut self,
        now: Time,
        posted: Posted,
        token: TokenNumber,
        out: &mut Vec<Output>,
    ) {
        match posted {
            Posted::Again => {}
            Posted::Unauthorized => self.shared.account.invalidate(token),
            Posted::Done(post) => {
                self.on_post_end(now, &post, true, out);
                out.push(Output::Answer {
                    call: post.call,
                    result: Ok(ToolAnswer::sent(post.sent)),
                });
                let (number, id) = post.place;
                let reply_to = post.body.reply_to_id;
                self.with_guild(number, |guild, shared| {
                    guild.chronicle.on_posted(now);
                    let place = guild.place(&id);
                    let Some(channel) = guild.channels.get_mut(&id) else {
                        return;
                    };
                    let guard = &mut channel.guard;
                    if !shared.planted.is(Defect::NeverTires)
                        && let Some(author) = guard.on_post(&shared.config, now, reply_to.as_ref())
                    {
                        let (guild, channel) = (guild.id.clone(), place.1);
                        out.push(Output::Note(Note::LoopSilenced {
                            guild,
                            channel,
                            author,
                        }));
                    }
                });
            }
            Posted::Failed(post, why) => {
                self.on_post_end(now, &post, !post.sent.is_empty(), out);
                out.push(Output::Answer {
                    call: post.call,
                    result: Err(ToolError(why)),
                });
            }
        }
    }

    pub(super) fn send_posts(&mut self, now: Time, out: &mut Vec<Output>) {
        self.give_up_posts(now, out);
        while let Some((id, post)) = self.shared.outbox.next_due(now) {
            let ((number, channel), mut body) = (post.place.clone(), post.body.clone());
            if self.shared.planted.is(Defect::RenamesRepeated) {
                body.nonce = body
                    .nonce
                    .map(|nonce| format!("{nonce}.{}", now.as_micros()));
            }
            let Some(guild) = self.guilds.get(&number) else {
                continue;
            };
            let looks = post.looks && !self.shared.planted.is(Defect::NeverLooks);
            let look = looks.then_some(Paging {
                after: None,
                before: post.before,
                limit: PAGE_MAX,
            });
            let errand = look.map_or(Errand::Post(id), |_| Errand::Look(id));
            let request = |token| match look {
                Some(page) => Some(routes::history(token, &channel, page)),
                None => routes::post_message(token, &channel, &body).ok(),
            };
            match self.shared.ask(now, &guild.id, errand, request, out) {
                Asked::Yes(_) => {}
                Asked::Blocked => {
                    self.shared.outbox.on_blocked(id);
                    self.give_up_posts(now, out);
                }
                Asked::Impossible(why) => {
                    if let Some(posted) = self.shared.outbox.fail(now, id, why) {
                        self.on_posted(now, posted, 0, out);
                    }
                }
            }
        }
    }

    fn give_up_posts(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(posted) = self.shared.outbox.expire(now) {
            self.on_posted(now, posted, 0, out);
        }
    }
}
