//! The tool `send`: what becomes of a post in each situation.

use super::*;
use crate::{
    id::FileId,
    plugin::tools::{ATTACHMENTS_MAX, SentMessage},
};

fn sent(rig: &Rig, call: u64) -> bool {
    matches!(rig.answer(call), Some(Ok(ToolAnswer::Sent(_))))
}

fn one(message: MessageId, seq: u64, already: Option<&str>) -> ToolAnswer {
    ToolAnswer::Sent(vec![SentMessage {
        message,
        seq,
        already: already.map(str::to_string),
    }])
}

#[test]
fn a_text_that_is_too_long_for_one_message_becomes_several() {
    let mut config = config();
    config.message_chars_max = 8;
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "general")]))]);
    rig.start();
    let call = rig.send("c", None, "one two\n\nthree");
    let Some(Ok(ToolAnswer::Sent(messages))) = rig.answer(call) else {
        panic!()
    };
    assert_eq!(
        messages.iter().map(|sent| sent.seq).collect::<Vec<_>>(),
        [1, 2]
    );
    let posted = |body: &Value| (body["content"].clone(), body["nonce"].clone());
    let posts: Vec<_> = rig.bodies.iter().map(posted).collect();
    let [.., (one, first), (two, second)] = posts.as_slice() else {
        panic!("{posts:?}")
    };
    assert_eq!((one, two), (&json!("one two"), &json!("three")));
    let (first, second) = (first.as_str().unwrap(), second.as_str().unwrap());
    assert_eq!(first.strip_suffix(".0"), second.strip_suffix(".1"));
}

#[test]
fn a_message_that_stood_there_before_is_shown_and_said_to() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "something else");
    // The guild answers this one with the message of that nonce, whose seq is 1.
    rig.guild("g").seq = 1;
    let call = rig.send("c", None, "hello");
    let message = MessageId::new("p1").unwrap();
    assert_eq!(rig.answer(call), Some(Ok(&one(message, 1, Some("hello")))));
}

#[test]
fn a_post_is_answered_with_its_message() {
    let mut rig = Rig::live(&[("c", "general")]);
    let call = rig.send("c", None, "hello");
    let message = MessageId::new("p1").unwrap();
    assert_eq!(rig.answer(call), Some(Ok(&one(message, 1, None))));
    for (channel, content, words) in [("x", "hello", "not in channel x"), ("c", " ", "empty")] {
        let call = rig.send(channel, None, content);
        assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains(words)));
    }
}

#[test]
fn files_go_with_a_message_that_may_be_empty_then() {
    let mut rig = Rig::live(&[("c", "general")]);
    let send = |files: usize| Tool::Send {
        channel: ChannelId::new("c").unwrap(),
        guild: None,
        content: String::new(),
        reply_to: None,
        attachments: vec![FileId::new("f1").unwrap(); files],
    };
    let call = rig.call(send(1));
    assert!(sent(&rig, call));
    let body = rig.bodies.last().unwrap();
    assert_eq!(body["attachments"], json!([{"id": "f1"}]));
    let call = rig.call(send(ATTACHMENTS_MAX + 1));
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("post several")));
}

#[test]
fn a_refused_token_costs_one_login_and_the_post_goes_out() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").posts = [401].into();
    let call = rig.send("c", None, "hello");
    assert!(sent(&rig, call));
    assert_eq!(rig.login_count, 2);
    rig.guild("g").posts = [401, 401].into();
    let call = rig.send("c", None, "hello");
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("a new one too")));
}

#[test]
fn what_trying_again_does_not_mend_is_told_at_once() {
    for status in [400, 403, 404, 409, 413] {
        let mut rig = Rig::live(&[("c", "general")]);
        rig.guild("g").posts = [status].into();
        let call = rig.send("c", None, "hello");
        assert!(matches!(rig.answer(call), Some(Err(_))), "{status}");
        let call = rig.send("c", None, "next");
        assert!(sent(&rig, call), "{status}");
    }
}

#[test]
fn what_may_pass_is_tried_again_with_the_same_nonce() {
    for status in [429, 500, 503] {
        let mut rig = Rig::live(&[("c", "general")]);
        rig.guild("g").posts = [status, status].into();
        let call = rig.send("c", None, "hello");
        assert_eq!(rig.answer(call), None, "{status}");
        rig.pass(45 * SECOND);
        assert!(sent(&rig, call), "{status}");
    }
}

#[test]
fn a_guild_that_does_not_answer_is_given_up_after_a_minute() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    let call = rig.send("c", None, "hello");
    rig.pass(80 * SECOND);
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("not known")));
    rig.guild("g").holds = false;
    let call = rig.send("c", None, "next");
    assert!(sent(&rig, call));
}

#[test]
fn an_answer_after_the_end_of_patience_is_ignored() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    let call = rig.send("c", None, "hello");
    let (id, _, request) = rig.open[0].clone();
    rig.pass(80 * SECOND);
    let answer = rig.guild("g").answer(&request);
    rig.step(Some(Input::Http(id, Ok(answer))));
    rig.step(Some(Input::Http(id, Err(Failure::TooLarge))));
    assert_eq!(rig.answers.iter().filter(|(of, _)| *of == call).count(), 1);
}

#[test]
fn a_post_that_never_left_is_said_not_to_be_posted() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(8 * MINUTE - 30 * SECOND);
    rig.center = Center::Refuses(503);
    rig.pass(31 * SECOND);
    let call = rig.send("c", None, "hello");
    rig.pass(80 * SECOND);
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("nothing was posted")));
}

#[test]
fn a_refused_account_is_told_to_the_host_and_costs_few_logins() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(8 * MINUTE - 30 * SECOND);
    rig.center = Center::Refuses(401);
    rig.pass(31 * SECOND);
    let before = rig.login_count;
    let first = rig.send("c", None, "hello");
    let second = rig.send("c", None, "hello?");
    rig.pass(30 * SECOND);
    for call in [first, second] {
        let told = rig.answer(call);
        assert!(matches!(told, Some(Err(why)) if why.contains("refused the account")));
    }
    assert_eq!(rig.login_count, before + 1);
}
