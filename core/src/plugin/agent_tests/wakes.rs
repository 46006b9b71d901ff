//! What the guild's turn engine is told: no channel ever waits for an agent in vain.

use super::*;
use crate::plugin::kept::{TurnRecord, TurnState};

/// An agent in a channel `c` in which users take turns.
fn discussing() -> Rig {
    Rig::live(&[("c", "discuss")])
}

impl Rig {
    /// What the turn engine was told: the messages of acks, and those of passes with a dash.
    fn words(&self) -> Vec<String> {
        let word = |body: &Value| match body["messageId"].as_str() {
            Some(acked) => Some(acked.to_string()),
            None if body["content"] == "/no-reply" => {
                Some(format!("-{}", body["replyToId"].as_str().unwrap()))
            }
            None => None,
        };
        self.bodies.iter().filter_map(word).collect()
    }

    fn nonces(&self) -> Vec<&str> {
        let passes = self.bodies.iter();
        let passes = passes.filter(|body| body["content"] == "/no-reply");
        passes.map(|body| body["nonce"].as_str().unwrap()).collect()
    }

    /// The guild answers the first request of these that it held back.
    fn answers(&mut self, what: &str) {
        let mut open = self.open.iter();
        let at = open.position(|(_, _, request)| request.target.ends_with(what));
        let (id, _, request) = self.open.remove(at.unwrap());
        let answer = self.guild("g").answer(&request);
        self.step(Some(Input::Http(id, Ok(answer))));
    }

    /// The guild wakes the agent once more with a message of alice.
    fn rewakes(&mut self, seq: u64, content: &str, wake: &str) {
        let rewake = json!({"rewake": true, "wakeId": wake});
        self.push(
            "g",
            "message.created",
            &altered(message("c", seq, content), rewake),
        );
    }
}

#[test]
fn the_ack_comes_before_the_turn_and_a_post_needs_no_pass() {
    let mut rig = discussing();
    rig.guild("g").holds = true;
    rig.says("c", 1, "one");
    rig.pass(SECOND);
    assert_eq!(rig.words(), ["c1"]);
    assert!(rig.inbounds.is_empty(), "nobody knows yet whose turn it is");
    rig.release("g");
    assert_eq!(rig.heard(), [["one"]]);
    rig.send("c", None, "an answer");
    rig.done(0);
    rig.pass(20 * MINUTE);
    assert_eq!(rig.words(), ["c1"]);
}

#[test]
fn a_turn_that_is_not_the_agents_any_more_is_context() {
    let mut rig = discussing();
    rig.guild("g").stale = vec!["c2"];
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    rig.done(0);
    assert_eq!(rig.heard(), [["one"]]);
    rig.guild("g").words = [409].into();
    rig.says("c", 3, "three");
    assert_eq!(rig.heard(), [["one"]]);
    rig.says("c", 4, "four");
    assert_eq!(rig.heard(), [["one"], ["four"]]);
    assert_eq!(rig.context(), ["two", "three"]);
    assert_eq!(rig.words(), ["c1", "-c1", "c2", "c3", "c4"]);
}

#[test]
fn a_wake_is_kept_before_the_guild_hears_that_it_has_arrived() {
    let mut rig = discussing();
    let not_woken = json!({"wakeup": false});
    rig.posts(altered(message("c", 1, "one"), not_woken.clone()));
    rig.posts(altered(message("c", 2, "two"), not_woken));
    rig.pass(2 * SECOND);
    assert_eq!(rig.cursor(), 2);
    rig.keeps = false;
    rig.rewakes(2, "two", "w1");
    rig.pass(MINUTE);
    assert!(rig.words().is_empty(), "the guild would not wake it again");
    rig.keeps = true;
    rig.guild("g").holds = true;
    let id = rig.stores.pop_front().unwrap();
    let stored = rig.keep(id);
    rig.step(Some(stored));
    assert_eq!(rig.words(), ["c2"]);
    let (turn, record) = rig.kept.turns.first_key_value().unwrap();
    assert_eq!(record.attempt, 0);
    let turn = turn.clone();
    rig.guild("g").holds = false;
    rig.restart();
    rig.pass(SECOND);
    assert_eq!(rig.words(), ["c2", "c2"]);
    assert_eq!(rig.heard(), [["two"]]);
    assert_eq!(rig.context(), ["one"]);
    let inbound = &rig.inbounds[0];
    assert_eq!((&inbound.turn_id, inbound.attempt), (&turn, 1));
    assert!(!inbound.redelivered, "nobody has seen it before");
    assert!(inbound.rewake);
}

#[test]
fn a_wake_that_is_not_the_agents_any_more_leaves_nothing_behind() {
    let mut rig = discussing();
    rig.guild("g").holds = true;
    rig.posts(message("c", 1, "one"));
    assert_eq!(rig.kept.turns.len(), 1);
    rig.guild("g").holds = false;
    rig.guild("g").words = [409, 409].into();
    rig.restart();
    rig.pass(2 * SECOND);
    assert_eq!(rig.words(), ["c1", "c1"]);
    assert!(rig.inbounds.is_empty() && rig.kept.turns.is_empty());
    assert_eq!(rig.cursor(), 1);
}

#[test]
fn an_ack_is_repeated_until_the_guild_has_answered() {
    let mut rig = discussing();
    rig.guild("g").words = [503, 401, 429, 500].into();
    rig.says("c", 1, "one");
    rig.pass(2 * MINUTE);
    assert_eq!(rig.heard(), [["one"]]);
    assert_eq!(rig.words(), ["c1"; 5]);
    assert_eq!(rig.login_count, 2, "the refused token is not used again");
    // A guild that knows no acks cannot say whose turn it is.
    rig.guild("g").words = [404].into();
    rig.done(0);
    rig.says("c", 2, "two");
    assert_eq!(rig.heard(), [["one"], ["two"]]);
}

#[test]
fn whatever_ends_a_turn_without_a_post_passes_it_on() {
    let mut rig = discussing();
    rig.says("c", 1, "one");
    rig.done(0);
    rig.says("c", 2, "two");
    let channel = ChannelId::new("c").unwrap();
    rig.call(Tool::NoReply {
        channel,
        guild: None,
    });
    rig.says("c", 3, "three");
    rig.pass(10 * MINUTE);
    assert_eq!(rig.words(), ["c1", "-c1", "c2", "-c2", "c3", "-c3"]);
    let turns = rig.inbounds.iter();
    let passes: Vec<_> = turns
        .map(|inbound| format!("{}.pass", inbound.turn_id))
        .collect();
    assert_eq!(rig.nonces(), passes);
}

#[test]
fn a_pass_is_repeated_until_the_guild_has_heard_it() {
    let mut rig = discussing();
    rig.says("c", 1, "one");
    rig.guild("g").words = [500, 503, 429].into();
    rig.done(0);
    rig.pass(2 * MINUTE);
    assert_eq!(rig.words(), ["c1", "-c1", "-c1", "-c1", "-c1"]);
    let nonces = rig.nonces();
    assert!(nonces.iter().all(|nonce| *nonce == nonces[0]));
    // It is not the agent's turn any more: that is as good.
    rig.says("c", 2, "two");
    rig.guild("g").words = [409].into();
    rig.done(1);
    rig.pass(2 * MINUTE);
    assert_eq!(rig.words()[5..], ["c2", "-c2"]);
}

#[test]
fn what_is_held_back_is_passed_on() {
    let mut config = config();
    config.allow_users = Some([UserId::new("alice").unwrap()].into());
    config.waiting_max = 1;
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "discuss")]))]);
    rig.start();
    let of_bob = json!({"author": {"id": "bob"}});
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 1, "psst"), of_bob),
    );
    assert_eq!(rig.words(), ["-c1"], "not allowed");
    rig.says("c", 2, "two");
    rig.says("c", 3, "three");
    rig.says("c", 4, "four");
    assert_eq!(rig.words(), ["-c1", "c2", "-c4"], "no room");
    rig.push("g", "message.deleted", &message("c", 3, ""));
    assert_eq!(rig.words()[3..], ["-c3"], "deleted while it waited");
    // What wakes nobody is nobody's turn.
    let not_woken = json!({"wakeup": false});
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 5, "all"), not_woken),
    );
    assert_eq!(rig.words().len(), 4);
}

#[test]
fn an_author_whom_the_loop_guard_silences_is_passed_on() {
    let mut config = config();
    config.loop_turns = 0;
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "discuss")]))]);
    rig.start();
    rig.says("c", 1, "one");
    rig.send("c", None, "an answer");
    let own = json!({"author": {"id": ME}, "wakeup": false});
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 2, "an answer"), own),
    );
    rig.done(0);
    assert_eq!(
        rig.noted(|note| matches!(note, Note::LoopSilenced { .. })),
        1
    );
    rig.says("c", 3, "two");
    assert_eq!(rig.heard(), [["one"]]);
    assert_eq!(rig.noted(|note| matches!(note, Note::HeldBack { .. })), 1);
    assert_eq!(rig.words(), ["c1", "-c3"]);
    rig.pass(MINUTE);
    rig.says("c", 4, "three");
    assert_eq!(rig.heard(), [["one"], ["three"]]);
    assert_eq!(rig.context(), ["two"]);
}

#[test]
fn a_post_on_its_way_decides_whether_an_ended_turn_was_passed() {
    for (status, passed) in [(201, false), (403, true)] {
        let mut rig = discussing();
        rig.says("c", 1, "one");
        rig.guild("g").holds = true;
        rig.guild("g").posts = [status].into();
        rig.send("c", None, "an answer");
        rig.done(0);
        assert_eq!(rig.words(), ["c1"], "it is not known yet");
        if status == 201 {
            rig.guild("g").posts.clear();
        }
        rig.release("g");
        rig.pass(MINUTE);
        assert_eq!(rig.words().len(), 1 + usize::from(passed), "{status}");
    }
}

#[test]
fn a_host_without_turns_leaves_the_wake_open_until_it_posts() {
    let mut rig = Rig::new(&[("g", Guild::new(&[("c", "discuss")]))]);
    rig.host(HostEvent::Ready { turns: false });
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    assert_eq!(rig.heard(), [["one"]], "the wake is open");
    rig.send("c", None, "an answer");
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    rig.pass(10 * MINUTE);
    assert_eq!(rig.words(), ["c1", "c2", "-c2"]);
}

/// The guild counts a post, whatever it was made for.
#[test]
fn a_post_that_was_under_way_ends_the_wake_before_it_and_no_other() {
    for (seq, order) in [
        (3, ["/messages", "/ack"]),
        (3, ["/ack", "/messages"]),
        (1, ["/messages", "/ack"]),
        (1, ["/ack", "/messages"]),
    ] {
        let mut rig = Rig::new(&[("g", Guild::new(&[("c", "discuss")]))]);
        rig.host(HostEvent::Ready { turns: false });
        rig.says("c", 1, "one");
        rig.guild("g").holds = true;
        rig.send("c", None, "an answer");
        rig.send("c", None, "and more");
        rig.answers("/messages");
        rig.says("c", 2, "two");
        rig.guild("g").seq = seq;
        for what in order {
            rig.answers(what);
        }
        assert_eq!(rig.heard(), [["one"], ["two"]]);
        rig.guild("g").holds = false;
        rig.says("c", 3, "three");
        let is_over = rig.inbounds.len() == 3;
        assert_eq!(is_over, seq == 3, "{order:?}");
        rig.pass(20 * MINUTE);
        let passed = if is_over { vec![] } else { vec!["-c2"] };
        let words = [&["c1", "c2"], &*passed, &["c3", "-c3"]].concat();
        assert_eq!(rig.words(), words, "{order:?}");
    }
}

#[test]
fn a_rewake_hands_over_what_was_only_context() {
    let mut rig = discussing();
    let not_woken = json!({"wakeup": false});
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 1, "one"), not_woken),
    );
    assert!(rig.inbounds.is_empty());
    rig.rewakes(1, "one", "w1");
    rig.rewakes(1, "one", "w1");
    assert_eq!(rig.heard(), [["one"]]);
    assert!(rig.inbounds[0].rewake);
    assert!(rig.context().is_empty(), "it is not told twice");
    assert_eq!(rig.words(), ["c1"]);
    // One that was never heard of waits for what was said before it, and may come by its own push too.
    rig.done(0);
    rig.rewakes(3, "three", "w2");
    assert_eq!(rig.inbounds.len(), 1);
    rig.says("c", 2, "two");
    rig.says("c", 3, "three");
    rig.done(1);
    rig.done(2);
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["one"], ["two"], ["three"]]);
    assert!(rig.inbounds[2].rewake);
}

#[test]
fn a_rewake_for_an_open_turn_is_ignored_and_for_one_that_is_over_passed_on() {
    let mut rig = discussing();
    rig.says("c", 1, "one");
    rig.rewakes(1, "one", "w1");
    assert_eq!(rig.words(), ["c1"], "it runs");
    rig.guild("g").seq = 2;
    rig.send("c", None, "an answer");
    rig.rewakes(1, "one", "w2");
    assert_eq!(rig.words(), ["c1", "-c1"], "it has posted");
    rig.done(0);
    rig.rewakes(1, "one", "w3");
    assert_eq!(rig.words(), ["c1", "-c1", "-c1"], "it is over");
    let nonces = rig.nonces();
    assert_ne!(nonces[0], nonces[1], "each of them passes");
    assert_eq!(rig.heard(), [["one"]]);
}

/// What stands in the channel already was posted before the guild woke the agent again, whether this process
/// has heard that or an earlier one has, and the guild still waits.
#[test]
fn what_was_posted_before_a_wake_is_no_answer_to_it() {
    let cases = [(2, true), (4, false)];
    let cases = cases.map(|case| [(case, true), (case, false)]);
    for ((stands_at, passes), hears) in cases.concat() {
        let mut rig = discussing();
        rig.posts(message("c", 1, "one"));
        rig.guild("g").seq = 2;
        rig.send("c", None, "an answer");
        rig.guild("g").last_seq = Some(3);
        rig.restart();
        if hears {
            rig.rewakes(1, "one", "w1");
        }
        rig.pass(SECOND);
        assert_eq!(rig.inbounds.len(), 2, "it is offered again");
        rig.guild("g").seq = stands_at;
        rig.send("c", None, "an answer");
        rig.done(1);
        let passed = rig.words().last().is_some_and(|word| word == "-c1");
        assert_eq!(passed, passes, "{:?}", rig.words());
    }
}

#[test]
fn each_wake_counts_once_however_often_it_is_pushed() {
    let mut rig = discussing();
    rig.says("c", 1, "one");
    rig.done(0);
    for wake in ["w1", "w1", "w2", "w2"] {
        rig.rewakes(1, "one", wake);
    }
    assert_eq!(rig.words(), ["c1", "-c1", "-c1", "-c1"]);
}

#[test]
fn a_turn_ends_by_a_pass_though_its_channel_was_left() {
    let mut rig = discussing();
    rig.says("c", 1, "one");
    rig.push("g", "channel.left", &membership("c", json!({})));
    let pass = Tool::NoReply {
        channel: ChannelId::new("c").unwrap(),
        guild: None,
    };
    let first = rig.call(pass.clone());
    assert!(matches!(rig.answer(first), Some(Ok(ToolAnswer::Done))));
    let over = |record: &TurnRecord| record.state == TurnState::Ended && !record.owes_pass;
    assert!(rig.kept.turns.values().all(over), "{:?}", rig.kept.turns);
    let second = rig.call(pass);
    assert!(matches!(rig.answer(second), Some(Err(_))), "nothing runs");
}

#[test]
fn what_an_earlier_process_has_finished_is_passed_on_and_not_asked_again() {
    let mut rig = discussing();
    rig.posts(message("c", 1, "one"));
    rig.done(0);
    let not_woken = json!({"wakeup": false});
    rig.posts(altered(message("c", 2, "two"), not_woken));
    rig.pass(2 * SECOND);
    assert_eq!((rig.cursor(), rig.kept.turns.len()), (2, 1));
    let owed = rig.kept.turns.values().any(|record| record.owes_pass);
    assert!(!owed, "the pass was heard");
    rig.restart();
    rig.pass(SECOND);
    assert_eq!(rig.words(), ["c1", "-c1"]);
    rig.rewakes(1, "one", "w1");
    assert_eq!(rig.words(), ["c1", "-c1", "-c1"]);
    assert_eq!(rig.heard(), [["one"]]);
    // What was never a turn becomes one.
    rig.rewakes(2, "two", "w2");
    assert_eq!(rig.heard(), [["one"], ["two"]]);
}

#[test]
fn nothing_is_owed_to_a_channel_that_was_left() {
    let mut rig = discussing();
    rig.says("c", 1, "one");
    rig.guild("g").words = [500; 9].into();
    rig.done(0);
    rig.push("g", "channel.left", &membership("c", json!({})));
    let told = rig.words();
    rig.pass(10 * MINUTE);
    assert_eq!(rig.words(), told);
}
