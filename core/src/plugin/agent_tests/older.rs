//! A guild without nonces: what may stand in its history is looked for before it is posted again.

use super::*;
use crate::http::Method;

fn older(channel: &'static str) -> Rig {
    let guild = Guild {
        no_nonces: true,
        pages_back: true,
        ..Guild::new(&[(channel, "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig
}

/// The messages that a call has become: the `seq` of each, and whether it was posted already.
fn sent(rig: &Rig, call: u64) -> Vec<(u64, bool)> {
    match rig.answer(call) {
        Some(Ok(ToolAnswer::Sent(messages))) => messages
            .iter()
            .map(|sent| (sent.seq, sent.already.is_some()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// Sends a text whose post arrives, or does not, and is not answered.
fn sends_in_vain(rig: &mut Rig, content: &str, arrives: bool) -> u64 {
    rig.guild("g").holds = true;
    let call = rig.send("c", None, content);
    rig.guild("g").holds = false;
    let (id, _, request) = rig.open.pop().unwrap();
    assert_eq!(request.method, Method::Post);
    if arrives {
        rig.guild("g").answer(&request);
    }
    rig.step(Some(Input::Http(id, Err(Failure::Broken("reset".into())))));
    rig.pass(10 * SECOND);
    call
}

fn posted(rig: &mut Rig) -> Vec<String> {
    let rows = rig.guild("g").history.iter();
    let own = rows.filter(|row| row["author"]["id"] == ME);
    own.map(|row| row["content"].as_str().unwrap().to_string())
        .collect()
}

fn looks(rig: &Rig) -> usize {
    let asked = rig.asked.iter();
    asked.filter(|asked| asked.contains("/messages?")).count()
}

#[test]
fn a_post_whose_answer_is_lost_is_found_and_does_not_appear_twice() {
    let mut rig = older("c");
    let call = sends_in_vain(&mut rig, "hello", true);
    assert_eq!(sent(&rig, call), [(1, true)]);
    assert_eq!(posted(&mut rig), ["hello"]);
}

#[test]
fn a_post_that_did_not_arrive_is_looked_for_and_posted() {
    let mut rig = older("c");
    let call = sends_in_vain(&mut rig, "hello", false);
    assert_eq!(sent(&rig, call), [(1, false)]);
    assert_eq!(posted(&mut rig), ["hello"]);
    assert_eq!(looks(&rig), 1);
}

#[test]
fn a_post_is_not_taken_for_an_earlier_one_that_says_the_same() {
    let mut rig = older("c");
    rig.guild("g").seq = 2;
    let hello = message("c", 1, "hello");
    rig.guild("g").history.push(hello.clone());
    rig.push("g", "message.created", &hello);
    for (seq, arrives) in [(2, true), (3, true), (4, false)] {
        let call = sends_in_vain(&mut rig, "yes", arrives);
        assert_eq!(sent(&rig, call), [(seq, arrives)]);
    }
    assert_eq!(posted(&mut rig), ["yes"; 3]);
}

#[test]
fn a_post_is_not_taken_for_one_that_answers_something_else() {
    let mut rig = older("c");
    rig.guild("g").holds = true;
    let call = rig.send("c", None, "yes");
    let (id, ..) = rig.open.pop().unwrap();
    let other = json!({"author": {"id": ME}, "replyToId": "c9"});
    let guild = rig.guild("g");
    guild.holds = false;
    guild.history.push(altered(message("c", 1, "yes"), other));
    guild.seq = 2;
    rig.step(Some(Input::Http(id, Err(Failure::Broken("reset".into())))));
    rig.pass(10 * SECOND);
    assert_eq!(sent(&rig, call), [(2, false)]);
}

#[test]
fn each_message_of_a_long_text_is_looked_for_by_itself() {
    let mut config = config();
    config.message_chars_max = 8;
    let guild = Guild {
        no_nonces: true,
        pages_back: true,
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::with(config, &[("g", guild)]);
    rig.start();
    let call = sends_in_vain(&mut rig, "one two\n\none two", true);
    assert_eq!(sent(&rig, call), [(1, true), (2, false)]);
    assert_eq!(posted(&mut rig), ["one two"; 2]);
}

#[test]
fn a_turn_that_is_handed_over_again_says_nothing_twice() {
    let mut rig = older("c");
    rig.guild("g").seq = 2;
    let row = message("c", 1, "tea?");
    rig.guild("g").history.push(row.clone());
    rig.push("g", "message.created", &row);
    for content in ["yes", "yes"] {
        rig.send("c", None, content);
    }
    rig.guild("g").last_seq = Some(3);
    rig.restart();
    assert!(rig.inbounds[1].redelivered);
    for (content, told) in [("yes", (2, true)), ("yes", (3, true)), ("no", (4, false))] {
        let call = rig.send("c", None, content);
        assert_eq!(sent(&rig, call), [told]);
    }
    assert_eq!(posted(&mut rig), ["yes", "yes", "no"]);
}

#[test]
fn what_a_turn_could_not_say_before_does_not_hide_what_it_said_then() {
    let mut rig = older("c");
    rig.guild("g").seq = 2;
    let row = message("c", 1, "tea?");
    rig.guild("g").history.push(row.clone());
    rig.push("g", "message.created", &row);
    rig.guild("g").holds = true;
    rig.send("c", None, "yes");
    rig.guild("g").holds = false;
    let (id, ..) = rig.open.pop().unwrap();
    rig.step(Some(Input::Http(id, Ok(played::respond(400, &json!({}))))));
    rig.send("c", None, "with milk");
    rig.guild("g").last_seq = Some(2);
    rig.restart();
    for (content, told) in [
        ("yes", (3, false)),
        ("with milk", (2, true)),
        ("yes", (4, false)),
    ] {
        let call = rig.send("c", None, content);
        assert_eq!(sent(&rig, call), [told]);
    }
    assert_eq!(posted(&mut rig), ["with milk", "yes", "yes"]);
}

#[test]
fn a_guild_that_has_shown_to_know_nonces_is_not_asked_first() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.send("c", None, "hello");
    let call = sends_in_vain(&mut rig, "again", false);
    assert_eq!(sent(&rig, call), [(2, false)]);
    assert_eq!(looks(&rig), 0);
}

#[test]
fn a_refused_token_and_a_guild_in_trouble_do_not_end_the_look() {
    let mut rig = older("c");
    rig.guild("g").histories = [401, 503, 429].into();
    let call = sends_in_vain(&mut rig, "hello", true);
    rig.pass(40 * SECOND);
    assert_eq!(sent(&rig, call), [(1, true)]);
    assert_eq!(posted(&mut rig), ["hello"]);
}

#[test]
fn a_post_that_mentions_by_name_is_found_where_the_guild_wrote_the_id() {
    let mut rig = older("c");
    rig.guild("g").holds = true;
    let call = rig.send("c", None, "ask <@user.name:Alice>");
    let (id, _, request) = rig.open.pop().unwrap();
    rig.guild("g").holds = false;
    rig.guild("g").answer(&request);
    rig.guild("g").history[0]["content"] = json!("ask <@alice>");
    rig.step(Some(Input::Http(id, Err(Failure::Broken("reset".into())))));
    rig.pass(10 * SECOND);
    assert_eq!(sent(&rig, call), [(1, true)]);
}

#[test]
fn what_stands_far_back_is_found_page_by_page_and_what_is_endless_is_not_read() {
    for (after, found) in [(450, true), (5_000, false)] {
        let mut rig = older("c");
        rig.guild("g").holds = true;
        let call = rig.send("c", None, "hello");
        let (id, _, request) = rig.open.pop().unwrap();
        rig.guild("g").holds = false;
        rig.guild("g").answer(&request);
        let rows = (2..=after).map(|seq| message("c", seq, "and more"));
        rig.guild("g").history.extend(rows);
        rig.guild("g").seq = after + 1;
        rig.step(Some(Input::Http(id, Err(Failure::Broken("reset".into())))));
        rig.pass(10 * SECOND);
        let seq = if found { 1 } else { after + 1 };
        assert_eq!(sent(&rig, call), [(seq, found)]);
        assert_eq!(looks(&rig), if found { 3 } else { 10 });
    }
}
