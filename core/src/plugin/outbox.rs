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
    fabric::{routes::PostBody, types::Message},
    http::{CallId, Failure, Response},
    machine::Wakeup,
    plugin::{
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

/// A post on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The tool call that waits for it.
    pub call: CallId,
    /// Where to.
    pub place: Place,
    /// What; its nonce stays the same over all repetitions, so that it cannot appear twice.
    pub body: PostBody,
}
canonical!(struct Post { call, place, body });

/// What the answer to a post means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The message stands in the channel.
    Done(Post, Box<Message>),
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
}
canonical!(struct Outbox { posts, lanes });

impl Outbox {
    /// An empty outbox.
    pub fn new(rng: Rng) -> Self {
        Self {
            posts: Tries::new(rng),
            lanes: BTreeMap::new(),
        }
    }

    /// A new post, given up after `patience`.
    pub fn push(
        &mut self,
        now: Time,
        call: CallId,
        place: Place,
        body: PostBody,
        patience: Duration,
    ) {
        let post = Post {
            call,
            place: place.clone(),
            body,
        };
        let id = self.posts.push(post, &TERMS, now + patience);
        let lane = self.lanes.entry(place).or_default();
        lane.push_back(id);
        if lane.len() == 1 {
            self.posts.start(now, id);
        }
    }

    /// The next post to send. The owner sends it and later says [`on_answer`](Self::on_answer), or
    /// says [`on_blocked`](Self::on_blocked) where there is no token for it.
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
        self.posted(now, outcome)
    }

    fn posted(&mut self, now: Time, outcome: Outcome<Post>) -> Posted {
        match outcome {
            Outcome::Again => Posted::Again,
            Outcome::Unauthorized => Posted::Unauthorized,
            Outcome::Failed(post, why) => self.failed(now, post, why),
            Outcome::Good(post, body) => match serde_json::from_slice::<Message>(&body) {
                Ok(message) => {
                    self.go_on(now, &post);
                    Posted::Done(post, Box::new(message))
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

    fn failed(&mut self, now: Time, post: Post, why: String) -> Posted {
        self.go_on(now, &post);
        Posted::Failed(post, why)
    }

    /// The first of a lane is out: the next one goes.
    fn go_on(&mut self, now: Time, post: &Post) {
        let Some(lane) = self.lanes.get_mut(&post.place) else {
            return;
        };
        lane.pop_front();
        match lane.front() {
            Some(next) => self.posts.start(now, *next),
            None => {
                self.lanes.remove(&post.place);
            }
        }
    }

    /// Gives one post up, whatever its state, in words for the host: at the end of the process.
    pub fn pop(&mut self, why: &str) -> Option<(Post, String)> {
        let (post, why) = self.posts.pop(why)?;
        self.lanes.remove(&post.place);
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
    use crate::id::ChannelId;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn place(channel: &str) -> Place {
        (0, ChannelId::new(channel).unwrap())
    }

    fn body(content: &str) -> PostBody {
        PostBody {
            content: content.into(),
            reply_to_id: None,
            attachments: vec![],
            nonce: Some(format!("nonce of {content}")),
        }
    }

    fn outbox(posts: &[(u64, &str)]) -> Outbox {
        let mut outbox = Outbox::new(Rng::from_number(1));
        for (call, channel) in posts {
            let body = body(&call.to_string());
            outbox.push(Time::ZERO, CallId(*call), place(channel), body, PATIENCE);
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
            matches!(outbox.on_answer(now, 0, created()), Posted::Done(_, message) if message.seq == 7)
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
            assert_eq!(post.body, body("0"));
            tries += 1;
            match outbox.on_answer(now, id, Err(Failure::Broken("reset".into()))) {
                Posted::Again => now = outbox.next_wakeup().unwrap().at,
                Posted::Failed(post, why) => {
                    assert_eq!(post.call, CallId(0));
                    assert!(why.contains("not known whether it was posted"), "{why}");
                    break;
                }
                other @ (Posted::Done(..) | Posted::Unauthorized) => panic!("{other:?}"),
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
}
