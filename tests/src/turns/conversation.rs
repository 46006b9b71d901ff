//! A conversation in a channel that takes turns: actions that a test can draw and shrink, the
//! messages so far, and what must hold after every step.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, No, Post, User, View};

/// The most frames on a stack.
const DEPTH_MAX: usize = 5;

/// Somebody, so that what is drawn means something in any state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The current speaker, or the first member where there is none.
    Speaker,
    /// One of the members.
    Member(u8),
    /// Anybody, a member or not.
    Anybody(User),
}

/// Which message a command or an ack answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// None.
    Nothing,
    /// The waking message, or the newest where there is none.
    Waking,
    /// Another one.
    Other,
}

/// Something that happens in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody posts.
    Post(Who, Vec<User>),
    /// Somebody passes.
    NoReply(Who, Answers),
    /// Somebody passes for the speaker.
    ForceProceed(Answers),
    /// Somebody's bypass is set, or taken away.
    Bypass(Who, bool),
    /// Somebody becomes a member.
    Join(Who),
    /// Somebody is a member no more.
    Leave(Who),
    /// Somebody says that its wake has arrived.
    Ack(Who, Answers),
    /// Somebody enters the room.
    Enter(Who),
    /// The message for a speaker who is not woken yet has been read.
    Read,
    /// A message is deleted: the newest but so many.
    Delete(u8),
    /// The channel is closed, and opened again.
    Close,
}

/// What an action was answered.
pub type Answer = Result<Option<bool>, No>;

#[derive(Clone, Debug)]
struct Message {
    author: User,
    deleted: bool,
}

/// A channel with its turns and its messages.
#[derive(Clone, Debug)]
pub struct Conversation<E> {
    /// The turns.
    pub engine: E,
    members: BTreeSet<User>,
    messages: Vec<Message>,
    /// The newest message's author, if it has been a member all the time.
    author: Option<User>,
    /// Who was asked about the newest message, and how often. The question to a speaker who is
    /// taken out of the order does not count.
    asked: BTreeMap<User, u32>,
    asking: Option<User>,
}

impl<E: Engine> Conversation<E> {
    /// A channel with these members.
    pub fn new(engine: E) -> Self {
        let view = engine.view();
        Self {
            engine,
            members: view.order.into_iter().chain(view.bypass).collect(),
            messages: Vec::new(),
            author: None,
            asked: BTreeMap::new(),
            asking: None,
        }
    }

    /// Lets something happen. What needs a member does not happen without one.
    ///
    /// # Errors
    ///
    /// In words, where something does not hold afterwards.
    pub fn act(&mut self, action: &Action) -> Result<Answer, String> {
        let before = self.engine.view();
        let messages = self.messages.len();
        let answer = self.happen(action, &before);
        let after = self.engine.view();
        let posted = self.messages.len() > messages;
        self.look(action, posted, &before, &answer, &after)
            .map_err(|why| format!("{why}: {action:?} leads from {before:?} to {after:?}"))?;
        Ok(answer)
    }

    fn happen(&mut self, action: &Action, view: &View) -> Answer {
        match action {
            Action::Post(who, mentions) => {
                if let Some(by) = self.member(*who, view) {
                    self.messages.push(Message {
                        author: by,
                        deleted: false,
                    });
                    self.author = Some(by);
                    let post = self.newest();
                    self.engine.message(by, mentions, post);
                }
            }
            Action::NoReply(who, answers) => {
                if let Some(by) = self.member(*who, view) {
                    return self
                        .engine
                        .no_reply(by, self.answered(*answers, view))
                        .map(|()| None);
                }
            }
            Action::ForceProceed(answers) => {
                let answers = self.answered(*answers, view);
                return self.engine.force_proceed(answers).map(|()| None);
            }
            Action::Bypass(who, bypass) => {
                if let Some(user) = self.member(*who, view) {
                    self.engine.set_bypass(user, *bypass);
                }
            }
            Action::Join(who) => {
                let user = self.anybody(*who, view);
                self.members.insert(user);
                self.engine.join(user);
            }
            Action::Leave(who) => {
                let user = self.anybody(*who, view);
                self.members.remove(&user);
                self.author.take_if(|author| *author == user);
                self.engine.leave(user);
            }
            Action::Ack(who, answers) => {
                let post = self.answered(*answers, view);
                if let (Some(by), Some(post)) = (self.member(*who, view), post) {
                    return self.engine.ack(by, post).map(Some);
                }
            }
            Action::Enter(who) => {
                let user = self.anybody(*who, view);
                let wakes = self.engine.wakes_on_entry(user);
                if wakes {
                    self.read(user);
                }
                return Ok(Some(wakes));
            }
            Action::Read => {
                if let Some(user) = view.current().filter(|_| view.is_due()) {
                    self.read(user);
                }
            }
            Action::Delete(back) => {
                let at = self.messages.len().checked_sub(usize::from(*back) + 1);
                if let Some(message) = at.and_then(|at| self.messages.get_mut(at)) {
                    message.deleted = true;
                    self.engine.delete(self.newest() - Post::from(*back));
                }
            }
            Action::Close => self.engine.close(),
        }
        Ok(None)
    }

    /// Reads the message to wake `user` with: the newest that it has not written itself.
    fn read(&mut self, user: User) {
        let readable = |message: &Message| message.author != user && !message.deleted;
        match self.messages.iter().rposition(readable) {
            Some(at) => self.engine.rewake(numbered(at)),
            None => self.engine.pass_unasked(),
        }
    }

    fn newest(&self) -> Post {
        numbered(self.messages.len().saturating_sub(1))
    }

    fn answered(&self, answers: Answers, view: &View) -> Option<Post> {
        let waking = view.wake.map_or_else(|| self.newest(), |(post, _)| post);
        match answers {
            Answers::Nothing => None,
            Answers::Waking => Some(waking),
            Answers::Other => Some(waking + 1),
        }
    }

    fn anybody(&self, who: Who, view: &View) -> User {
        match who {
            Who::Anybody(user) => user,
            Who::Speaker | Who::Member(_) => self.member(who, view).unwrap_or_default(),
        }
    }

    fn member(&self, who: Who, view: &View) -> Option<User> {
        let at = match who {
            Who::Speaker => return view.current().or_else(|| self.members.first().copied()),
            Who::Member(at) => usize::from(at).checked_rem(self.members.len())?,
            Who::Anybody(user) => return self.members.get(&user).copied(),
        };
        self.members.iter().nth(at).copied()
    }

    /// What must hold after every step.
    fn look(
        &mut self,
        action: &Action,
        posted: bool,
        before: &View,
        answer: &Answer,
        after: &View,
    ) -> Result<(), String> {
        holds(
            answer.is_ok() || before == after,
            "a refusal changes nothing",
        )?;
        state(after, &self.members)?;
        passing_ends(&self.engine)?;
        if posted {
            self.after_a_post(after)?;
        }
        order_of_rounds(before, after)?;
        self.questions(action, posted, before, after)
    }

    /// Right after a message somebody other than its author is current and woken with it, or the
    /// channel is idle.
    fn after_a_post(&self, after: &View) -> Result<(), String> {
        let (Some(current), Some(message)) = (after.current(), self.messages.last()) else {
            return Ok(());
        };
        holds(
            current != message.author,
            "right after a message somebody other than its author is current",
        )?;
        holds(
            after.wake == Some((self.newest(), false)),
            "a message wakes the speaker",
        )?;
        holds(
            after.done == [message.author],
            "a message sets `done` to its author alone",
        )?;
        // Where it has ended the round, the next one has begun.
        let spoken = after.spoken.contains(&message.author) || after.spoken.is_empty();
        holds(spoken, "`spoken` gains the author")
    }

    /// At a pause everybody in the order was asked about the newest message exactly once.
    fn questions(
        &mut self,
        action: &Action,
        posted: bool,
        before: &View,
        after: &View,
    ) -> Result<(), String> {
        if posted {
            self.asked.clear();
        }
        if let Action::Bypass(..) | Action::Leave(_) = action
            && let Some(user) = before
                .current()
                .filter(|user| after.current() != Some(*user))
        {
            self.asked.remove(&user);
        }
        self.asked.retain(|user, _| self.members.contains(user));
        if let Some(user) = after.current()
            && (posted || self.asking != Some(user))
        {
            *self.asked.entry(user).or_default() += 1;
        }
        self.asking = after.current();
        let paused = !before.stack.is_empty() && after.stack.is_empty();
        if !paused || matches!(action, Action::Close) || posted {
            return Ok(());
        }
        for user in &after.order {
            let asked = self.asked.get(user).copied().unwrap_or(0);
            let wanted = u32::from(self.author != Some(*user));
            holds(
                asked == wanted,
                &format!("{user} was asked {asked} times about the newest message at a pause"),
            )?;
        }
        Ok(())
    }
}

/// What must hold in every state of a channel with these members.
///
/// # Errors
///
/// In words, where it does not.
pub fn state(view: &View, members: &BTreeSet<User>) -> Result<(), String> {
    let order: BTreeSet<_> = view.order.iter().copied().collect();
    let bypass: BTreeSet<_> = view.bypass.iter().copied().collect();
    holds(
        order.len() == view.order.len(),
        "nobody is twice in the order",
    )?;
    holds(
        order.is_disjoint(&bypass),
        "nobody is in the order and in bypass",
    )?;
    holds(
        order.union(&bypass).eq(members),
        "all members are in the order or in bypass",
    )?;
    let mut known = view.spoken.iter().chain(&view.done);
    holds(
        known.all(|user| members.contains(user)),
        "only members have spoken or are done",
    )?;
    holds(
        view.stack.len() <= DEPTH_MAX,
        "the stack is at most five deep",
    )?;
    let Some(((root, cursor), frames)) = view.stack.split_first() else {
        holds(view.wake.is_none(), "nobody is woken in an idle channel")?;
        let quiet = view.spoken.is_empty() && view.done.is_empty();
        return holds(quiet, "an idle channel remembers nothing");
    };
    holds(*root == view.order, "the root frame walks the order itself")?;
    holds(*cursor <= root.len(), "a cursor stays in its frame")?;
    for (speakers, cursor) in frames {
        holds(*cursor <= speakers.len(), "a cursor stays in its frame")?;
        let mut speakers = speakers.iter();
        holds(
            speakers.all(|user| members.contains(user)),
            "only members are asked",
        )?;
    }
    let Some(current) = view.current() else {
        return Err("somebody is current in an active channel".to_string());
    };
    holds(
        members.contains(&current),
        "the current speaker is a member",
    )?;
    holds(
        !view.done.contains(&current),
        "the current speaker is not done",
    )?;
    let root_waits = frames.is_empty() && view.spoken.contains(&current);
    holds(!root_waits, "nobody has two slots in a round")
}

/// From any state `/no-reply` by whoever is current reaches `Idle`, each time by another user.
///
/// # Errors
///
/// In words, where it does not.
pub fn passing_ends(engine: &impl Engine) -> Result<(), String> {
    let mut rest = engine.clone();
    let mut passed = BTreeSet::new();
    let mut speaker = rest.view().current();
    while let Some(user) = speaker {
        holds(passed.insert(user), "nobody is asked twice while all pass")?;
        rest.no_reply(user, None)
            .map_err(|no| format!("{user} speaks, and may not pass: {no:?}"))?;
        speaker = rest.view().current();
    }
    holds(rest.view().stack.is_empty(), "passing reaches `Idle`")
}

/// Where the order was shuffled, its last user is not its first.
///
/// # Errors
///
/// In words, where it is.
pub fn order_of_rounds(before: &View, after: &View) -> Result<(), String> {
    let stays = |user: &&User| after.order.contains(user);
    let kept: Vec<_> = before.order.iter().filter(stays).copied().collect();
    let shuffled = !after.order.starts_with(&kept);
    holds(
        !shuffled || kept.len() < 2 || after.order.first() != kept.last(),
        "the last of a round is not the first of the next",
    )
}

fn numbered(at: usize) -> Post {
    Post::try_from(at).unwrap_or(Post::MAX)
}

/// The words of a rule that does not hold.
///
/// # Errors
///
/// With those.
pub fn holds(it: bool, rule: &str) -> Result<(), String> {
    if it {
        Ok(())
    } else {
        Err(format!("broken: {rule}"))
    }
}
