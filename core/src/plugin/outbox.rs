//! The outbox: posts on their way, in order per channel, each repeated until its outcome is known.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    format,
    string::String,
};
use core::time::Duration;

use crate::{
    canonical,
    fabric::types::{Message, Page},
    http::{Failure, Response},
    id::UserId,
    machine::Wakeup,
    plugin::{
        post::{Draft, PARTS_MAX, Post, Sent},
        tries::{Outcome, Terms, Tries, TryId},
        turns::Place,
    },
    rng::Rng,
    time::Time,
};

/// Names a post of the outbox.
pub type PostId = TryId;

/// On what terms messages are posted: by its nonce a repeated one appears once.
pub(super) static TERMS: Terms = Terms {
    repeats: true,
    forbidden: "the account may not post there",
    absent: "the guild knows no such channel",
    conflict: "the channel is closed, its history can be read, but nothing posted",
    too_large: "the message is too long",
    unknown: "it is not known whether it was posted; look at the channel before you send it again",
    undone: "nothing was posted",
};

/// A guild that refuses a message as too long is not sent shorter ones than this, in characters: then
/// something else is too large.
const CHARS_MIN: usize = 500;

/// What the answer to a post means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Its messages stand in the channel, as [`Post::sent`] says.
    Done(Post),
    /// It is tried again by itself.
    Again,
    /// The token was refused: invalidate the session; it is then tried again.
    Unauthorized,
    /// It did not work, in words for the host.
    Failed(Post, String),
}

/// The posts of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    posts: Tries<Post>,
    /// The posts of each channel in order; only the first of a lane moves.
    lanes: BTreeMap<Place, VecDeque<PostId>>,
    /// The longest message of each guild that has refused longer ones, by the guild's number.
    shorter: BTreeMap<u32, usize>,
    /// Whether a guild, by its number, knows posts by their nonces: what its answer to one showed.
    nonces: BTreeMap<u32, bool>,
}
canonical!(struct Outbox { posts, lanes, shorter, nonces });

impl Outbox {
    /// An empty outbox.
    pub fn new(rng: Rng) -> Self {
        Self {
            posts: Tries::new(rng),
            lanes: BTreeMap::new(),
            shorter: BTreeMap::new(),
            nonces: BTreeMap::new(),
        }
    }

    /// A new post, of which each message has at most `chars_max` characters, or fewer where the guild
    /// has refused as many, and is given up after `patience`.
    ///
    /// # Errors
    ///
    /// Where the text is too long for several messages, too, in words for the host.
    pub fn push(
        &mut self,
        now: Time,
        draft: Draft,
        chars_max: usize,
        patience: Duration,
    ) -> Result<(), String> {
        let taken = self.shorter.get(&draft.place.0);
        let chars_max = taken.map_or(chars_max, |taken| chars_max.min(*taken));
        let mut post = Post::new(draft, chars_max, patience)?;
        let looks = post.again && self.must_look(&post.place);
        post.look(looks);
        let place = post.place.clone();
        let id = self.posts.push(post, &TERMS, now + patience);
        let lane = self.lanes.entry(place).or_default();
        lane.push_back(id);
        if lane.len() == 1 {
            self.posts.start(now, id);
        }
        Ok(())
    }

    /// Whether what is posted twice to a guild may appear twice: as long as it has not shown that it
    /// knows nonces.
    fn must_look(&self, place: &Place) -> bool {
        self.nonces.get(&place.0) != Some(&true)
    }

    /// The next post to send. The owner sends it and later says [`on_answer`](Self::on_answer); where it
    /// looks first, the owner asks for history and says [`on_looked`](Self::on_looked). It says
    /// [`on_blocked`](Self::on_blocked) where there is no token for it.
    pub fn next_due(&mut self, now: Time) -> Option<(PostId, &Post)> {
        self.posts.next_due(now)
    }

    /// A post waits for a login, until its patience has run out: see [`expire`](Self::expire).
    pub fn on_blocked(&mut self, id: PostId) {
        self.posts.on_blocked(id);
    }

    /// Gives up one post that has waited too long for a login. The owner asks before it asks
    /// [`next_due`](Self::next_due), and again after each [`on_blocked`](Self::on_blocked).
    pub fn expire(&mut self, now: Time) -> Option<Posted> {
        let (post, why) = self.posts.expire(now)?;
        Some(self.failed(now, post, why))
    }

    /// A login succeeded.
    pub fn on_token(&mut self, now: Time) {
        self.posts.on_token(now);
    }

    /// A login failed: the next post that waited for it, and what becomes of it. Where the account
    /// was `denied`, that is the end of all posts of its channel.
    pub fn on_login_failed(&mut self, now: Time, why: &str, denied: bool) -> Option<Posted> {
        let id = self.posts.pop_blocked()?;
        if !denied {
            let outcome = self.posts.retry(now, id, None, why);
            return Some(self.posted(now, outcome));
        }
        let (post, why) = self.posts.give_up(id, why)?;
        let failed = self.failed(now, post, why);
        if let Posted::Failed(post, _) = &failed
            && let Some(next) = self.lanes.get(&post.place).and_then(VecDeque::front)
        {
            self.posts.on_blocked(*next);
        }
        Some(failed)
    }

    /// Gives a post up for a reason that trying again does not mend.
    pub fn fail(&mut self, now: Time, id: PostId, why: String) -> Option<Posted> {
        let post = self.posts.close(id)?;
        Some(self.failed(now, post, why))
    }

    /// The answer to a post, or why there is none.
    pub fn on_answer(
        &mut self,
        now: Time,
        id: PostId,
        answer: Result<Response, Failure>,
    ) -> Posted {
        let outcome = self.posts.on_answer(now, id, answer);
        if let Some(place) = self.posts.doubted(id).map(|post| post.place.clone()) {
            let looks = self.must_look(&place);
            if let Some(post) = self.posts.work(id) {
                post.look(looks);
            }
        }
        self.posted(now, outcome)
    }

    /// What stands in the channel of a post, or why that is not known: it may be among that.
    pub fn on_looked(
        &mut self,
        now: Time,
        id: PostId,
        me: &UserId,
        answer: Result<Response, Failure>,
    ) -> Posted {
        let page = match &answer {
            Ok(response) if (200..300).contains(&response.status) => {
                serde_json::from_slice::<Page>(&response.body)
            }
            Ok(_) | Err(_) => return self.on_answer(now, id, answer),
        };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                let why = format!("the guild's history cannot be read: {error}");
                return self.on_answer(now, id, Err(Failure::Broken(why.into())));
            }
        };
        let Some(post) = self.posts.work(id) else {
            return Posted::Again;
        };
        let oldest = page.messages.iter().map(|message| message.seq).min();
        let found = page
            .messages
            .into_iter()
            .find(|message| post.is(me, message));
        let Some(message) = found else {
            post.look_on(oldest);
            self.posts.start(now, id);
            return Posted::Again;
        };
        match self.posts.close(id) {
            Some(post) => self.stands(now, post, message, true),
            None => Posted::Again,
        }
    }

    /// A message of a post stands in the channel, and perhaps did before the call.
    fn stands(&mut self, now: Time, mut post: Post, message: Message, already: bool) -> Posted {
        post.others.add(message.seq);
        post.sent.push(Sent {
            already,
            message: Box::new(message),
        });
        if post.advance() {
            return self.follow(now, post);
        }
        self.go_on(now, &post);
        Posted::Done(post)
    }

    fn posted(&mut self, now: Time, outcome: Outcome<Post>) -> Posted {
        match outcome {
            Outcome::Again => Posted::Again,
            Outcome::Unauthorized => Posted::Unauthorized,
            Outcome::Failed(post, why) => self.failed(now, post, why),
            Outcome::TooLarge(mut post, why) => {
                let chars = post.body.content.chars().count();
                if chars <= CHARS_MIN {
                    return self.failed(now, post, why);
                }
                let chars_max = (chars / 2).max(CHARS_MIN);
                self.shorter.insert(post.place.0, chars_max);
                post.shorten(chars_max);
                if post.parts() > PARTS_MAX {
                    return self.failed(now, post, why);
                }
                self.follow(now, post)
            }
            Outcome::Good(post, body) => match serde_json::from_slice::<Message>(&body) {
                Ok(message) => {
                    self.nonces.insert(post.place.0, message.nonce.is_some());
                    let already = post.heard.is_some_and(|heard| message.seq <= heard);
                    self.stands(now, post, message, already)
                }
                Err(error) => {
                    let why = format!(
                        "the guild took the message, but its answer cannot be read: {error}"
                    );
                    self.failed(now, post, why)
                }
            },
        }
    }

    /// The first of a lane is followed by what belongs to it.
    fn follow(&mut self, now: Time, mut post: Post) -> Posted {
        let looks = post.again && self.must_look(&post.place);
        post.look(looks);
        let lane = self.lanes.entry(post.place.clone()).or_default();
        let give_up_at = now + post.patience;
        let id = self.posts.push(post, &TERMS, give_up_at);
        lane.pop_front();
        lane.push_front(id);
        self.posts.start(now, id);
        Posted::Again
    }

    fn failed(&mut self, now: Time, post: Post, why: String) -> Posted {
        self.go_on(now, &post);
        let why = post.told(&why);
        Posted::Failed(post, why)
    }

    /// The first of a lane is out: the next one goes.
    fn go_on(&mut self, now: Time, post: &Post) {
        let Some(lane) = self.lanes.get_mut(&post.place) else {
            return;
        };
        lane.pop_front();
        match lane.front() {
            Some(next) => {
                if let Some(next) = self.posts.work(*next) {
                    next.others.join(&post.others);
                }
                self.posts.start(now, *next);
            }
            None => {
                self.lanes.remove(&post.place);
            }
        }
    }

    /// Gives one post up, whatever its state, in words for the host: at the end of the process.
    pub fn pop(&mut self, why: &str) -> Option<(Post, String)> {
        let (post, why) = self.posts.pop(why)?;
        self.lanes.remove(&post.place);
        let why = post.told(&why);
        Some((post, why))
    }

    /// Whether no post is on its way to a channel.
    pub fn is_free(&self, place: &Place) -> bool {
        !self.lanes.contains_key(place)
    }

    /// How many posts are on their way.
    pub fn len(&self) -> usize {
        self.posts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.posts.earliest().map(|at| Wakeup {
            at,
            why: "post due",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec, vec::Vec};

    use bytes::Bytes;

    use super::*;
    use crate::{
        fabric::routes::{AttachmentRef, PostBody},
        http::CallId,
        id::{ChannelId, MessageId},
        plugin::others::Others,
    };

    const PATIENCE: Duration = Duration::from_secs(60);

    fn place(channel: &str) -> Place {
        (0, ChannelId::new(channel).unwrap())
    }

    fn draft(call: u64, channel: &str, content: &str) -> Draft {
        Draft {
            call: CallId(call),
            place: place(channel),
            content: content.into(),
            reply_to: MessageId::new("m0"),
            attachments: vec![AttachmentRef { id: "f".into() }],
            nonce: format!("n{call}"),
            heard: Some(6),
            again: false,
            others: Others::up_to(6),
        }
    }

    /// A message of a post, with its answers and files where it is the first and last.
    fn body(content: &str, part: usize, ends: (bool, bool)) -> PostBody {
        let file = AttachmentRef { id: "f".into() };
        PostBody {
            content: content.into(),
            reply_to_id: MessageId::new("m0").filter(|_| ends.0),
            attachments: if ends.1 { vec![file] } else { vec![] },
            nonce: Some(format!("n0.{part}")),
        }
    }

    fn outbox(posts: &[(u64, &str)]) -> Outbox {
        let mut outbox = Outbox::new(Rng::from_number(1));
        for (call, channel) in posts {
            let draft = draft(*call, channel, &call.to_string());
            outbox.push(Time::ZERO, draft, 8_000, PATIENCE).unwrap();
        }
        outbox
    }

    fn due(outbox: &mut Outbox, now: Time) -> Vec<PostId> {
        let mut ids = Vec::new();
        while let Some((id, _)) = outbox.next_due(now) {
            ids.push(id);
        }
        ids
    }

    fn answered(status: u16, retry_after: Option<Duration>) -> Result<Response, Failure> {
        let body = Bytes::from_static(br#"{"statusCode":0,"message":"because"}"#);
        Ok(Response {
            status,
            retry_after,
            body,
        })
    }

    fn created() -> Result<Response, Failure> {
        let body = Bytes::from_static(
            br#"{"id":"m1","channelId":"a","seq":7,"author":{"id":"u"},"content":"x",
                "createdAt":"2026-01-01T00:00:00Z"}"#,
        );
        Ok(Response {
            status: 201,
            retry_after: None,
            body,
        })
    }

    #[test]
    fn posts_of_one_channel_keep_their_order_and_channels_go_side_by_side() {
        let now = Time::from_millis(1);
        let mut outbox = outbox(&[(0, "a"), (1, "a"), (2, "b")]);
        assert_eq!(due(&mut outbox, now), vec![0, 2]);
        assert!(
            matches!(outbox.on_answer(now, 0, created()), Posted::Done(post) if post.sent[0].message.seq == 7)
        );
        assert_eq!(due(&mut outbox, now), vec![1]);
        assert_eq!(outbox.len(), 2);
        assert_eq!(outbox.on_answer(now, 0, created()), Posted::Again);
    }

    #[test]
    fn a_refused_token_is_replaced_once() {
        let now = Time::from_millis(1);
        let mut outbox = outbox(&[(0, "a")]);
        assert_eq!(due(&mut outbox, now), vec![0]);
        assert_eq!(
            outbox.on_answer(now, 0, answered(401, None)),
            Posted::Unauthorized
        );
        assert_eq!(due(&mut outbox, now), vec![0]);
        outbox.on_blocked(0);
        assert_eq!(due(&mut outbox, now), Vec::<PostId>::new());
        outbox.on_token(now);
        assert_eq!(due(&mut outbox, now), vec![0]);
        assert!(matches!(
            outbox.on_answer(now, 0, answered(401, None)),
            Posted::Failed(..)
        ));
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_may_mend_itself_is_tried_for_a_minute_with_the_same_nonce() {
        let mut outbox = outbox(&[(0, "a")]);
        let mut now = Time::from_millis(1);
        let mut tries = 0;
        loop {
            let (id, post) = outbox.next_due(now).unwrap();
            assert_eq!(post.body, body("0", 0, (true, true)));
            tries += 1;
            match outbox.on_answer(now, id, Err(Failure::Broken("reset".into()))) {
                Posted::Again => now = outbox.next_wakeup().unwrap().at,
                Posted::Failed(post, why) => {
                    assert_eq!(post.call, CallId(0));
                    assert!(why.contains("not known whether it was posted"), "{why}");
                    break;
                }
                other @ (Posted::Done(_) | Posted::Unauthorized) => panic!("{other:?}"),
            }
        }
        assert!(now <= Time::ZERO + PATIENCE);
        assert!((8..30).contains(&tries), "{tries}");
    }

    #[test]
    fn retry_after_is_kept_and_a_longer_one_is_told() {
        let now = Time::from_millis(1);
        let mut outbox = outbox(&[(0, "a"), (1, "b")]);
        assert_eq!(due(&mut outbox, now), vec![0, 1]);
        let after = Some(Duration::from_secs(30));
        assert_eq!(
            outbox.on_answer(now, 0, answered(429, after)),
            Posted::Again
        );
        assert!(outbox.next_wakeup().unwrap().at > now + Duration::from_secs(30));
        let after = Some(Duration::from_secs(90));
        let Posted::Failed(_, why) = outbox.on_answer(now, 1, answered(429, after)) else {
            panic!()
        };
        assert!(
            why.contains("because") && why.contains("try again in 90 s"),
            "{why}"
        );
    }

    #[test]
    fn refusals_end_at_once_in_words() {
        for (status, words) in [
            (400, "answers 400: because"),
            (403, "may not post"),
            (404, "knows no such channel"),
            (409, "the channel is closed"),
            (413, "too long: because"),
        ] {
            let now = Time::from_millis(1);
            let mut outbox = outbox(&[(0, "a")]);
            due(&mut outbox, now);
            let Posted::Failed(_, why) = outbox.on_answer(now, 0, answered(status, None)) else {
                panic!("{status}")
            };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_failed_login_counts_as_a_try() {
        let now = Time::from_millis(1);
        let mut outbox = outbox(&[(0, "a")]);
        due(&mut outbox, now);
        outbox.on_blocked(0);
        assert_eq!(
            outbox.on_login_failed(now, "Center is down", false),
            Some(Posted::Again)
        );
        assert_eq!(outbox.on_login_failed(now, "Center is down", false), None);
        assert!(outbox.next_wakeup().unwrap().at > now);
    }

    #[test]
    fn a_post_that_waits_for_a_login_is_given_up_in_time() {
        let mut outbox = outbox(&[(1, "c")]);
        let (id, _) = outbox.next_due(Time::ZERO).unwrap();
        outbox.on_blocked(id);
        let end = Time::ZERO + PATIENCE;
        assert_eq!(outbox.next_wakeup().unwrap().at, end);
        assert_eq!(outbox.expire(end - Duration::from_micros(1)), None);
        let given_up = outbox.expire(end);
        assert!(
            matches!(&given_up, Some(Posted::Failed(post, _)) if post.call == CallId(1)),
            "{given_up:?}"
        );
        assert_eq!(outbox.expire(end), None);
        assert!(outbox.is_empty() && outbox.next_wakeup().is_none());
    }

    #[test]
    fn an_endless_retry_after_is_a_failure() {
        let mut outbox = outbox(&[(1, "c")]);
        let (id, _) = outbox.next_due(Time::ZERO).unwrap();
        let answer = Ok(Response {
            status: 429,
            retry_after: Some(Duration::MAX),
            body: Bytes::new(),
        });
        let posted = outbox.on_answer(Time::ZERO, id, answer);
        assert!(matches!(posted, Posted::Failed(..)), "{posted:?}");
    }

    #[test]
    fn a_long_text_becomes_messages_one_after_the_other() {
        let now = Time::from_millis(1);
        let mut outbox = Outbox::new(Rng::from_number(1));
        let texts = ["one two", "three", "four"];
        outbox
            .push(now, draft(0, "a", "one two\n\nthree\n\nfour"), 8, PATIENCE)
            .unwrap();
        outbox
            .push(now, draft(1, "a", "next"), 8, PATIENCE)
            .unwrap();
        for (part, text) in texts.into_iter().enumerate() {
            let (id, post) = outbox.next_due(now).unwrap();
            assert_eq!(post.body, body(text, part, (part == 0, part == 2)));
            assert_eq!(outbox.next_due(now), None, "one at a time");
            match outbox.on_answer(now, id, created()) {
                Posted::Again => assert!(part < 2),
                Posted::Done(post) => assert_eq!((part, post.sent.len()), (2, 3)),
                other @ (Posted::Failed(..) | Posted::Unauthorized) => panic!("{other:?}"),
            }
        }
        assert_eq!(outbox.next_due(now).unwrap().1.call, CallId(1));
    }

    #[test]
    fn what_failed_in_the_middle_says_what_stands_there() {
        let now = Time::from_millis(1);
        let mut outbox = Outbox::new(Rng::from_number(1));
        outbox
            .push(now, draft(0, "a", "one two\nthree"), 8, PATIENCE)
            .unwrap();
        let (id, _) = outbox.next_due(now).unwrap();
        assert_eq!(outbox.on_answer(now, id, created()), Posted::Again);
        let (id, _) = outbox.next_due(now).unwrap();
        let Posted::Failed(_, why) = outbox.on_answer(now, id, answered(409, None)) else {
            panic!()
        };
        assert!(
            why.contains("closed") && why.contains("2 messages, of which the first 1 stand"),
            "{why}"
        );
        assert!(why.ends_with(": m1"), "{why}");
    }

    #[test]
    fn a_guild_that_takes_less_gets_shorter_messages_from_then_on() {
        let now = Time::from_millis(1);
        let mut outbox = Outbox::new(Rng::from_number(1));
        let text = "x".repeat(3_000);
        let mut files = Vec::new();
        outbox
            .push(now, draft(0, "a", &text), 8_000, PATIENCE)
            .unwrap();
        let mut lengths = Vec::new();
        while let Some((id, post)) = outbox.next_due(now) {
            let length = post.body.content.len();
            lengths.push(length);
            files.push(post.body.attachments.len());
            let status = if length > 1_000 { 413 } else { 201 };
            let answer = if status == 201 {
                created()
            } else {
                answered(413, None)
            };
            outbox.on_answer(now, id, answer);
        }
        assert_eq!(lengths, vec![3_000, 1_500, 750, 750, 750, 750]);
        assert_eq!(files, vec![1, 0, 0, 0, 0, 1]);
        outbox
            .push(now, draft(1, "a", &text), 8_000, PATIENCE)
            .unwrap();
        assert_eq!(outbox.next_due(now).unwrap().1.body.content.len(), 750);
        let endless = draft(2, "a", &"x".repeat(16_000));
        let why = outbox.push(now, endless, 8_000, PATIENCE).unwrap_err();
        assert!(why.contains("22 messages of 750"), "{why}");
    }

    #[test]
    fn what_stood_there_before_the_call_is_known_by_its_seq() {
        for (heard, already) in [(None, false), (Some(6), false), (Some(7), true)] {
            let now = Time::from_millis(1);
            let mut outbox = Outbox::new(Rng::from_number(1));
            let draft = Draft {
                heard,
                ..draft(0, "a", "x")
            };
            outbox.push(now, draft, 8_000, PATIENCE).unwrap();
            let (id, _) = outbox.next_due(now).unwrap();
            let Posted::Done(post) = outbox.on_answer(now, id, created()) else {
                panic!()
            };
            assert_eq!(post.sent[0].already, already, "{heard:?}");
        }
    }
}
