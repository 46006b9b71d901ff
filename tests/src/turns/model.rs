//! A reference model of the turn engine: a log of what was said, and frames that are cut in two at
//! their cursor. Written from the rules alone; it can be told to make one mistake.

use std::collections::{BTreeSet, VecDeque};

use super::{Engine, No, Post, User, View};

/// A mistake that somebody might make. Each must be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Pauses after as many passes in a row as there are others in the order, whoever passed.
    CountsPasses,
    /// Asks authors about their own messages.
    AsksTheAuthor,
    /// Asks again whoever has passed already.
    ForgetsPasses,
    /// Lets those who have passed before a message be done with that message too.
    KeepsPasses,
    /// Pushes the frame of a mention before the cursor moves on.
    PushesFirst,
    /// Leaves a jumper its slot of the round.
    JumpsAreFree,
    /// A jump takes the speaker's turn.
    JumpsMoveOn,
    /// Mentions of a jumper push nothing.
    JumpsMentionNobody,
    /// Pushes a sixth frame.
    SixFrames,
    /// Mentions of bypass members push nothing.
    BypassIsDeaf,
    /// Mentions of the author itself count.
    MentionsItself,
    /// A mention does not start a round where nobody is left in the order.
    MentionsNeedOrder,
    /// A round starts at the author.
    StartsAtTheAuthor,
    /// A round that a bypass member starts begins at the second.
    StartsAtTheSecond,
    /// Nobody's slot is used up by speaking in a mention.
    MentionsAreFree,
    /// Whoever spoke in the last round is passed over in the next.
    RoundsRunOn,
    /// Whoever spoke last may be first in the next round.
    LastIsFirst,
    /// Moving to bypass takes the user out of mentions too.
    BypassLeavesFrames,
    /// Moving to bypass leaves the turn with its user.
    BypassKeepsTurn,
    /// Whoever moves back is put first.
    BackIsFirst,
    /// Whoever joins is put first.
    JoinsFirst,
    /// A leave takes the user out of the order alone.
    LeavesStayInFrames,
    /// A leave before the cursor does not move the cursor back.
    LeaveSlipsTheCursor,
    /// Anybody passes for the speaker by `/no-reply`.
    AnybodyPasses,
    /// The message that a pass answers is not looked at.
    PassesAnswerAnything,
    /// An ack of an older message counts.
    AcksAnything,
    /// A jump leaves the ack of the message before.
    JumpsKeepAcks,
    /// A pass wakes the next speaker with what the last was woken with.
    PassesHandOn,
    /// A speaker who has acked is woken again when it enters.
    EntryWakesAcked,
    /// Closing leaves the round as it is.
    CloseGoesOn,
    /// Deleting the waking message changes nothing.
    DeletesQuietly,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::CountsPasses,
        Self::AsksTheAuthor,
        Self::ForgetsPasses,
        Self::KeepsPasses,
        Self::PushesFirst,
        Self::JumpsAreFree,
        Self::JumpsMoveOn,
        Self::JumpsMentionNobody,
        Self::SixFrames,
        Self::BypassIsDeaf,
        Self::MentionsItself,
        Self::MentionsNeedOrder,
        Self::StartsAtTheAuthor,
        Self::StartsAtTheSecond,
        Self::MentionsAreFree,
        Self::RoundsRunOn,
        Self::LastIsFirst,
        Self::BypassLeavesFrames,
        Self::BypassKeepsTurn,
        Self::BackIsFirst,
        Self::JoinsFirst,
        Self::LeavesStayInFrames,
        Self::LeaveSlipsTheCursor,
        Self::AnybodyPasses,
        Self::PassesAnswerAnything,
        Self::AcksAnything,
        Self::JumpsKeepAcks,
        Self::PassesHandOn,
        Self::EntryWakesAcked,
        Self::CloseGoesOn,
        Self::DeletesQuietly,
    ];
}

/// What was said since the channel was idle. A user who has left is forgotten, but not that
/// something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Round,
    Posted { by: Option<User>, in_mention: bool },
    Passed(Option<User>),
}

/// The slots of a frame: those that the cursor has left behind, and those from the cursor on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Frame {
    behind: Vec<User>,
    ahead: VecDeque<User>,
}

impl Frame {
    fn of(speakers: impl IntoIterator<Item = User>) -> Self {
        Self {
            behind: Vec::new(),
            ahead: speakers.into_iter().collect(),
        }
    }

    fn all(&self) -> Vec<User> {
        self.behind.iter().chain(&self.ahead).copied().collect()
    }

    fn step(&mut self) {
        self.behind.extend(self.ahead.pop_front());
    }

    fn remove(&mut self, user: User) {
        self.behind.retain(|it| *it != user);
        self.ahead.retain(|it| *it != user);
    }
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    mistake: Option<Mistake>,
    active: bool,
    root: Frame,
    mentions: Vec<Frame>,
    bypass: BTreeSet<User>,
    log: Vec<Entry>,
    wake: Option<(Post, bool)>,
    foretold: Option<Vec<User>>,
}

impl Model {
    /// A model that makes one mistake.
    pub fn mistaken(order: &[User], bypass: &[User], mistake: Mistake) -> Self {
        Self {
            mistake: Some(mistake),
            ..Self::new(order, bypass)
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn current(&self) -> Option<User> {
        let top = self.mentions.last().unwrap_or(&self.root);
        top.ahead.front().copied().filter(|_| self.active)
    }

    fn is_member(&self, user: User) -> bool {
        self.bypass.contains(&user) || self.root.all().contains(&user)
    }

    fn posted(&self) -> Option<usize> {
        let is_post = |entry: &Entry| matches!(entry, Entry::Posted { .. });
        self.log.iter().rposition(is_post)
    }

    /// The newest message's author, and everybody who has passed since it.
    fn done(&self) -> BTreeSet<User> {
        let from = match self.posted() {
            _ if self.makes(Mistake::KeepsPasses) => 0,
            Some(at) => at,
            None => 0,
        };
        let since = self.log.iter().skip(from);
        since
            .filter_map(|entry| match *entry {
                Entry::Posted { .. } if self.makes(Mistake::AsksTheAuthor) => None,
                Entry::Posted { by, .. } => by,
                Entry::Passed(_) if self.makes(Mistake::ForgetsPasses) => None,
                Entry::Passed(by) => by,
                Entry::Round => None,
            })
            .collect()
    }

    /// Who has posted in this round.
    fn spoken(&self) -> BTreeSet<User> {
        let mut spoken = BTreeSet::new();
        for entry in &self.log {
            match *entry {
                Entry::Round if self.makes(Mistake::RoundsRunOn) => {}
                Entry::Round => spoken.clear(),
                Entry::Posted { in_mention, .. }
                    if in_mention && self.makes(Mistake::MentionsAreFree) => {}
                Entry::Posted { by, .. } => spoken.extend(by),
                Entry::Passed(_) => {}
            }
        }
        spoken
    }

    fn is_finished(&self) -> bool {
        let order = self.root.all();
        if self.makes(Mistake::CountsPasses) {
            let passes = self.log.len() - self.posted().map_or(0, |at| at + 1);
            return passes + 1 >= order.len();
        }
        let done = self.done();
        order.iter().all(|user| done.contains(user))
    }

    /// Goes on to somebody who can be asked; false where there is nobody.
    fn seek(&mut self) -> bool {
        let skips_done = !self.makes(Mistake::CountsPasses);
        // A sound model finds somebody long before that.
        for _ in 0..1_000 {
            let done = self.done();
            let is_done = |user: &User| skips_done && done.contains(user);
            if let Some(frame) = self.mentions.last_mut() {
                match frame.ahead.front() {
                    None => drop(self.mentions.pop()),
                    Some(user) if is_done(user) => frame.step(),
                    Some(_) => return true,
                }
            } else if !skips_done && self.is_finished() {
                return false;
            } else {
                let spoken = self.spoken();
                match self.root.ahead.front() {
                    None if self.is_finished() => return false,
                    None => self.end_round(),
                    Some(user) if is_done(user) || spoken.contains(user) => self.root.step(),
                    Some(_) => return true,
                }
            }
        }
        false
    }

    fn move_on(&mut self) -> bool {
        self.mentions.last_mut().unwrap_or(&mut self.root).step();
        self.seek()
    }

    fn end_round(&mut self) {
        let order = self.root.all();
        let mut foretold = self.foretold.clone().unwrap_or_else(|| order.clone());
        let sorted = |order: &[User]| order.iter().copied().collect::<BTreeSet<_>>();
        if self.makes(Mistake::LastIsFirst) {
            foretold = order.iter().rev().copied().collect();
        } else if order.len() > 1 && foretold.first() == order.last() {
            foretold.clone_from(&order);
        }
        let same = foretold.len() == order.len() && sorted(&foretold) == sorted(&order);
        self.root = Frame::of(if same { foretold } else { order });
        self.log.push(Entry::Round);
    }

    fn pause(&mut self) {
        self.active = false;
        self.root = Frame::of(self.root.all());
        self.mentions.clear();
        self.log.clear();
        self.wake = None;
    }

    fn pass(&mut self) {
        self.log.push(Entry::Passed(self.current()));
        if !self.move_on() {
            self.pause();
        } else if !self.makes(Mistake::PassesHandOn) {
            self.wake = None;
        }
    }

    /// Refuses a pass that answers another message than the waking one.
    fn answers(&self, answers: Option<Post>) -> Result<(), No> {
        let waking = self.wake.map(|(post, _)| post);
        match answers {
            Some(_) if self.makes(Mistake::PassesAnswerAnything) => Ok(()),
            Some(_) if answers != waking => Err(No::Superseded),
            _ => Ok(()),
        }
    }

    fn start_round(&mut self, by: User) -> bool {
        let order = self.root.all();
        let mut start = match order.iter().position(|user| *user == by) {
            Some(at) if self.makes(Mistake::StartsAtTheAuthor) => at,
            // Behind an author who is alone there is nobody.
            Some(_) if order.len() == 1 => 1,
            Some(at) => (at + 1) % order.len(),
            None if self.makes(Mistake::StartsAtTheSecond) => 1.min(order.len()),
            None => 0,
        };
        self.root = Frame::default();
        for user in &order {
            if start > 0 {
                self.root.behind.push(*user);
                start -= 1;
            } else {
                self.root.ahead.push_back(*user);
            }
        }
        self.active = true;
        order.iter().any(|user| *user != by)
    }

    fn mentioned(&self, by: User, mentions: &[User]) -> Vec<User> {
        let mut mentioned = Vec::new();
        for user in mentions {
            let counts = *user != by || self.makes(Mistake::MentionsItself);
            let deaf = self.bypass.contains(user) && self.makes(Mistake::BypassIsDeaf);
            if counts && !deaf && self.is_member(*user) && !mentioned.contains(user) {
                mentioned.push(*user);
            }
        }
        mentioned
    }
}

impl Engine for Model {
    fn new(order: &[User], bypass: &[User]) -> Self {
        let bypass: BTreeSet<_> = bypass.iter().copied().collect();
        let speaking = order.iter().filter(|user| !bypass.contains(user));
        Self {
            mistake: None,
            active: false,
            root: Frame::of(speaking.copied()),
            mentions: Vec::new(),
            bypass,
            log: Vec::new(),
            wake: None,
            foretold: None,
        }
    }

    fn message(&mut self, by: User, mentions: &[User], post: Post) {
        let mut mentioned = self.mentioned(by, mentions);
        let current = self.current();
        let jumps = self.active && current != Some(by);
        let acked = self.wake.is_some_and(|(_, acked)| acked);
        if !(jumps && self.makes(Mistake::JumpsAreFree)) {
            self.log.push(Entry::Posted {
                by: Some(by),
                in_mention: !self.mentions.is_empty(),
            });
        } else {
            // Done with its own message all the same.
            self.log.push(Entry::Posted {
                by: None,
                in_mention: true,
            });
            self.log.push(Entry::Passed(Some(by)));
        }
        if self.makes(Mistake::PushesFirst) && self.active && !mentioned.is_empty() {
            if self.mentions.len() < 4 {
                self.mentions.push(Frame::of(mentioned));
            }
            mentioned = Vec::new();
        }
        let mut found = if !self.active {
            self.start_round(by)
        } else if !jumps || self.makes(Mistake::JumpsMoveOn) {
            self.move_on()
        } else {
            true
        };
        if jumps && self.makes(Mistake::JumpsMentionNobody)
            || !found && self.makes(Mistake::MentionsNeedOrder)
        {
            mentioned = Vec::new();
        }
        let deepest = if self.makes(Mistake::SixFrames) { 5 } else { 4 };
        if !mentioned.is_empty() && self.mentions.len() < deepest {
            self.mentions.push(Frame::of(mentioned));
            found = true;
        }
        self.wake = Some((post, jumps && acked && self.makes(Mistake::JumpsKeepAcks)));
        if !found {
            self.pause();
        }
    }

    fn no_reply(&mut self, by: User, answers: Option<Post>) -> Result<(), No> {
        match self.current() {
            None => Err(No::Idle),
            Some(current) if current != by && !self.makes(Mistake::AnybodyPasses) => {
                Err(No::NotCurrent)
            }
            Some(_) => {
                self.answers(answers)?;
                self.pass();
                Ok(())
            }
        }
    }

    fn force_proceed(&mut self, answers: Option<Post>) -> Result<(), No> {
        if !self.active {
            return Err(No::Idle);
        }
        self.answers(answers)?;
        self.pass();
        Ok(())
    }

    fn set_bypass(&mut self, user: User, bypass: bool) {
        let was_current = self.current() == Some(user) && self.mentions.is_empty();
        if bypass && self.root.all().contains(&user) {
            self.root.remove(user);
            self.bypass.insert(user);
            if self.makes(Mistake::BypassLeavesFrames) {
                self.mentions
                    .iter_mut()
                    .for_each(|frame| frame.remove(user));
            }
            if was_current && self.makes(Mistake::BypassKeepsTurn) {
                self.mentions.push(Frame::of([user]));
            } else if was_current {
                self.wake = None;
                if !self.seek() {
                    self.pause();
                }
            }
        } else if !bypass && self.bypass.remove(&user) {
            if self.makes(Mistake::BackIsFirst) {
                self.root.behind.insert(0, user);
            } else {
                self.root.ahead.push_back(user);
            }
        }
    }

    fn join(&mut self, user: User) {
        if self.is_member(user) {
        } else if self.makes(Mistake::JoinsFirst) {
            self.root.behind.insert(0, user);
        } else {
            self.root.ahead.push_back(user);
        }
    }

    fn leave(&mut self, user: User) {
        let was_current = self.current() == Some(user);
        let slips = self.root.behind.contains(&user) && self.makes(Mistake::LeaveSlipsTheCursor);
        self.root.remove(user);
        if slips {
            self.root.step();
        }
        self.bypass.remove(&user);
        if !self.makes(Mistake::LeavesStayInFrames) {
            self.mentions
                .iter_mut()
                .for_each(|frame| frame.remove(user));
        }
        for entry in &mut self.log {
            match entry {
                Entry::Posted { by, .. } | Entry::Passed(by) => drop(by.take_if(|it| *it == user)),
                Entry::Round => {}
            }
        }
        if was_current {
            self.wake = None;
            if !self.seek() {
                self.pause();
            }
        }
    }

    fn ack(&mut self, by: User, post: Post) -> Result<bool, No> {
        match self.current() {
            None => return Err(No::Idle),
            Some(current) if current != by => return Err(No::NotCurrent),
            Some(_) => {}
        }
        Ok(match &mut self.wake {
            Some((waking, acked))
                if *waking == post || self.mistake == Some(Mistake::AcksAnything) =>
            {
                *acked = true;
                true
            }
            _ => false,
        })
    }

    fn wakes_on_entry(&self, user: User) -> bool {
        let acked = self.wake.is_some_and(|(_, acked)| acked);
        self.current() == Some(user) && (!acked || self.makes(Mistake::EntryWakesAcked))
    }

    fn close(&mut self) {
        if !self.makes(Mistake::CloseGoesOn) {
            self.pause();
        }
    }

    fn delete(&mut self, post: Post) {
        if !self.makes(Mistake::DeletesQuietly) {
            self.wake.take_if(|(waking, _)| *waking == post);
        }
    }

    fn rewake(&mut self, post: Post) {
        self.wake = Some((post, false));
    }

    fn pass_unasked(&mut self) {
        self.pass();
    }

    fn view(&self) -> View {
        let sorted = |users: BTreeSet<User>| users.into_iter().collect();
        let of = |frame: &Frame| (frame.all(), frame.behind.len());
        View {
            order: self.root.all(),
            bypass: sorted(self.bypass.clone()),
            spoken: sorted(self.spoken()),
            done: sorted(self.done()),
            stack: if self.active {
                let frames = core::iter::once(&self.root).chain(&self.mentions);
                frames.map(of).collect()
            } else {
                Vec::new()
            },
            wake: self.wake,
        }
    }

    fn foretell(&mut self, order: &[User]) {
        self.foretold = Some(order.to_vec());
    }
}
