//! What is kept: a process may end at any moment, and the next one goes on where it was.

use super::*;
use crate::plugin::{
    kept::{KeptChannel, TurnRecord, TurnState},
    status::Reports as _,
};

impl Rig {
    /// Somebody posts in a channel of the only guild: it is stored and pushed.
    pub(super) fn posts(&mut self, row: Value) {
        self.misses(row.clone());
        self.push("g", "message.created", &row);
    }

    /// Somebody posts while nobody listens.
    fn misses(&mut self, row: Value) {
        let guild = self.guild("g");
        guild.last_seq = guild.last_seq.max(row["seq"].as_u64());
        guild.history.push(row);
    }

    /// The nonces of what was posted.
    fn posted(&self) -> Vec<&str> {
        let posts = self
            .bodies
            .iter()
            .filter(|body| body["content"] != "/no-reply");
        posts.filter_map(|body| body["nonce"].as_str()).collect()
    }

    fn turn(&self, inbound: usize) -> (&str, u32, bool) {
        let inbound = &self.inbounds[inbound];
        let turn = inbound.turn_id.as_str();
        (turn, inbound.attempt, inbound.redelivered)
    }

    /// Every turn that is kept is over.
    fn owes_nothing(&self) -> bool {
        let mut turns = self.kept.turns.values();
        turns.all(|record| record.state == TurnState::Ended && !record.owes_pass)
    }

    /// The cursor that is kept of `c`.
    pub(super) fn cursor(&self) -> u64 {
        let guild = &self.kept.guilds[&GuildId::new("g").unwrap()];
        let row = &guild[&ChannelId::new("c").unwrap()];
        row.cursor.as_ref().unwrap().seq
    }
}

fn quiet(seq: u64, content: &str) -> Value {
    altered(message("c", seq, content), json!({"wakeup": false}))
}

#[test]
fn a_turn_is_handed_over_once_it_is_kept_and_not_before() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.keeps = false;
    rig.posts(message("c", 1, "one"));
    rig.pass(20 * MINUTE);
    assert!(rig.inbounds.is_empty());
    let send = rig.send("c", None, "by the way");
    assert!(rig.answer(send).is_some(), "of no turn");
    while let Some(id) = rig.stores.pop_front() {
        let stored = rig.keep(id);
        rig.step(Some(stored));
    }
    assert_eq!(rig.heard(), [["one"]]);
    assert_eq!(rig.kept.turns.len(), 1);
    rig.pass(20 * MINUTE);
    let late = rig.noted(|note| matches!(note, Note::TurnTimedOut { .. }));
    assert_eq!(late, 1, "its time runs from then on");
}

#[test]
fn a_turn_that_runs_when_the_process_ends_is_handed_over_again_as_the_same() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.posts(quiet(1, "by the way"));
    rig.posts(message("c", 2, "typo"));
    rig.posts(message("c", 3, "three"));
    rig.send("c", None, "an answer");
    rig.guild("g").history[1]["content"] = json!("two");
    rig.misses(message("c", 4, "four"));
    rig.restart();
    assert_eq!(rig.heard(), [["typo"], ["two"]]);
    assert_eq!(rig.context(), ["by the way"]);
    let turn = rig.inbounds[0].turn_id.to_string();
    assert_eq!(rig.turn(1), (turn.as_str(), 2, true));
    rig.send("c", None, "an answer");
    let nonce = format!("{turn}.1.0");
    assert_eq!(rig.posted(), [&nonce, &nonce], "it appears once");
    rig.done(1);
    rig.pass(SECOND);
    rig.done(2);
    assert_eq!(rig.heard(), [["typo"], ["two"], ["three"], ["four"]]);
    assert_eq!(rig.turn(2).1, 1);
    let foreign = rig.noted(|note| matches!(note, Note::ForeignPost { .. }));
    assert_eq!(foreign, 0);
}

#[test]
fn a_turn_that_ended_is_over_for_good_and_its_record_goes_with_the_cursor() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.posts(message("c", 1, "one"));
    assert_eq!(rig.cursor(), 0);
    rig.done(0);
    assert_eq!(rig.cursor(), 1);
    assert!(rig.kept.turns.is_empty());
    let asked = rig.asked.len();
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["one"]]);
    let reads = rig.asked.iter().skip(asked);
    let reads = reads.filter(|asked| asked.contains("/messages?"));
    let looked_up = "GET /api/channels/c/messages?limit=1&beforeSeq=2";
    assert_eq!(reads.collect::<Vec<_>>(), [looked_up]);
    rig.posts(message("c", 2, "two"));
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    assert_ne!(rig.turn(0).0, rig.turn(1).0);
}

#[test]
fn a_record_goes_in_the_batch_that_moves_the_cursor_past_it() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.posts(message("c", 1, "one"));
    rig.pass(2 * SECOND);
    rig.keeps = false;
    rig.done(0);
    rig.pass(2 * SECOND);
    while let Some(batch) = rig.batches.front() {
        let is_past = |row: &KeptChannel| row.cursor.as_ref().is_some_and(|it| it.seq == 1);
        let passes = batch
            .iter()
            .any(|change| matches!(change, Change::Channel(_, _, row) if is_past(row)));
        let forgets = batch
            .iter()
            .any(|change| matches!(change, Change::NoTurn(_)));
        assert_eq!(passes, forgets, "{batch:?}");
        let id = rig.stores.pop_front().unwrap();
        let stored = rig.keep(id);
        rig.step(Some(stored));
        rig.pass(2 * SECOND);
    }
    assert_eq!((rig.cursor(), rig.kept.turns.len()), (1, 0));
}

#[test]
fn a_busy_channels_cursor_is_kept_once_a_second() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(2 * SECOND);
    rig.keeps = false;
    for seq in 1..=100 {
        rig.posts(quiet(seq, "x"));
    }
    rig.pass(SECOND);
    assert_eq!(rig.batches.len(), 1);
    assert_eq!(rig.batches[0].len(), 1, "one row");
}

#[test]
fn after_three_attempts_a_turn_is_parked_and_the_channel_goes_on() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    rig.posts(message("c", 1, "poison"));
    for attempt in 2..=3 {
        rig.restart();
        assert_eq!(rig.turn(rig.inbounds.len() - 1).1, attempt);
    }
    rig.restart();
    assert_eq!(rig.inbounds.len(), 3);
    let turn = rig.inbounds[0].turn_id.clone();
    let parked = |note: &Note| matches!(note, Note::TurnParked { attempts: 3, .. });
    assert_eq!(rig.noted(parked), 1);
    let passes = rig
        .bodies
        .iter()
        .filter(|body| body["content"] == "/no-reply");
    let nonces: Vec<_> = passes.map(|body| body["nonce"].clone()).collect();
    assert_eq!(nonces, [format!("{turn}.pass")]);
    rig.posts(message("c", 2, "tea?"));
    assert_eq!(rig.inbounds[3].messages[0].content, "tea?");
    rig.done(3);
    rig.pass(2 * SECOND);
    rig.restart();
    assert_eq!(rig.noted(parked), 1, "said once");
    let pending = |rig: &mut Rig| {
        let call = rig.call(Tool::ListPending);
        match rig.answer(call) {
            Some(Ok(ToolAnswer::Pending { channels, .. })) => {
                let parked = channels.iter().filter(|entry| entry.parked);
                parked.map(|entry| entry.turn.clone()).collect()
            }
            other => panic!("{other:?}"),
        }
    };
    let listed: Vec<Option<TurnId>> = pending(&mut rig);
    assert_eq!(listed, [Some(turn.clone())]);
    let status = rig.agent.status(rig.now);
    let [channel] = status.guilds[0].busy.as_slice() else {
        panic!("{status:?}");
    };
    assert_eq!((status.parked, channel.parked), (1, 1));
    rig.call(Tool::TurnDone { turn });
    assert_eq!(pending(&mut rig), []);
    assert_eq!(rig.agent.status(rig.now).parked, 0);
    rig.pass(2 * SECOND);
    assert!(rig.owes_nothing());
}

#[test]
fn a_store_that_fails_stops_new_turns_and_nothing_else() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "general")]);
    rig.posts(message("c", 1, "one"));
    rig.keeps = false;
    rig.posts(message("d", 1, "there"));
    let fails = |rig: &mut Rig| {
        let id = rig.stores.pop_front().unwrap();
        rig.batches.pop_front();
        rig.step(Some(Input::Stored(id, Err("disk full".into()))));
    };
    fails(&mut rig);
    let send = rig.send("c", None, "an answer");
    assert!(matches!(
        rig.answer(send),
        Some(Ok(ToolAnswer::Sent { .. }))
    ));
    rig.done(0);
    rig.posts(message("c", 2, "two"));
    for _ in 0..10 {
        rig.pass(30 * SECOND);
        fails(&mut rig);
    }
    assert_eq!(rig.heard(), [["one"]]);
    let trouble = rig.agent.status(rig.now).store.unwrap();
    assert_eq!(trouble.why, "disk full");
    assert!(
        trouble.ms_ago >= 10 * 30_000,
        "since the first: {trouble:?}"
    );
    assert_eq!(
        rig.noted(|note| matches!(note, Note::StoreFailed { .. })),
        1
    );
    rig.pass(30 * SECOND);
    rig.keeps = true;
    let id = rig.stores.pop_front().unwrap();
    let stored = rig.keep(id);
    rig.step(Some(stored));
    assert_eq!(rig.heard(), [["one"], ["there"], ["two"]]);
    assert_eq!(rig.noted(|note| matches!(note, Note::StoreMended)), 1);
    assert_eq!(rig.agent.status(rig.now).store, None);
}

#[test]
fn what_was_recorded_is_the_context_of_the_next_process_too() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.posts(message("c", 1, "one"));
    rig.done(0);
    for seq in 2..=4 {
        rig.posts(quiet(seq, &seq.to_string()));
    }
    rig.pass(2 * SECOND);
    assert_eq!(rig.cursor(), 4);
    rig.restart();
    assert_eq!(rig.heard(), [["one"]], "what is finished wakes nobody");
    rig.posts(message("c", 5, "five"));
    assert_eq!(rig.context(), ["2", "3", "4"]);
}

#[test]
fn what_the_turn_engine_refused_is_the_context_of_the_next_process_too() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    rig.posts(message("c", 1, "one"));
    rig.done(0);
    rig.guild("g").stale = vec!["c2"];
    rig.posts(message("c", 2, "two"));
    rig.posts(quiet(3, "three"));
    rig.pass(2 * SECOND);
    assert_eq!(rig.cursor(), 3);
    rig.restart();
    assert_eq!(rig.heard(), [["one"]]);
    rig.posts(message("c", 4, "four"));
    assert_eq!(rig.context(), ["two", "three"]);
}

#[test]
fn what_was_posted_while_there_was_no_process_is_read_and_a_new_channel_is_new() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.posts(message("c", 1, "one"));
    rig.done(0);
    rig.pass(2 * SECOND);
    rig.misses(message("c", 2, "two"));
    rig.misses(message("d", 1, "a new dm"));
    rig.guild("g").channels.push(("d", "dm"));
    rig.restart();
    rig.pass(SECOND);
    assert_eq!(rig.heard(), [["one"], ["a new dm"], ["two"]]);
    assert!(!rig.inbounds[2].recovered, "that was a moment");
    rig.done(1);
    rig.done(2);
    rig.pass(2 * SECOND);
    for seq in [3, 4] {
        rig.misses(message("c", seq, "while it was off"));
    }
    rig.now = rig.now + 5 * MINUTE;
    rig.restart();
    rig.pass(MINUTE);
    let last = rig.inbounds.last().unwrap();
    assert_eq!((last.messages.len(), last.recovered), (2, true));
}

#[test]
fn a_pass_that_was_not_heard_is_said_by_the_next_process() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    rig.posts(message("c", 1, "one"));
    rig.guild("g").words = [503; 100].into();
    rig.done(0);
    rig.pass(2 * SECOND);
    assert_eq!(rig.cursor(), 0);
    rig.guild("g").words.clear();
    rig.bodies.clear();
    rig.restart();
    assert_eq!(rig.inbounds.len(), 1);
    let mut passes = rig.bodies.iter().rev();
    let pass = passes.find(|body| body["content"] == "/no-reply").unwrap();
    assert_eq!(pass["nonce"], format!("{}.pass", rig.inbounds[0].turn_id));
    rig.pass(2 * SECOND);
    assert_eq!(rig.cursor(), 1);
    assert!(rig.owes_nothing());
}

#[test]
fn a_turn_of_which_nothing_is_left_is_over() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.posts(message("c", 1, "one"));
    rig.guild("g").history[0]["deletedAt"] = json!("2026-01-01T00:00:01Z");
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.inbounds.len(), 1);
    assert!(rig.kept.turns.is_empty());
    rig.posts(message("c", 2, "two"));
    rig.guild("g").channels.clear();
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.inbounds.len(), 2, "the agent is no member any more");
    assert!(rig.kept.turns.is_empty());
    let guild = &rig.kept.guilds[&GuildId::new("g").unwrap()];
    assert!(guild.values().all(|row| row.left_at.is_some()));
    rig.now = rig.now + 31 * 24 * 60 * MINUTE;
    rig.restart();
    rig.pass(MINUTE);
    assert!(rig.kept.guilds[&GuildId::new("g").unwrap()].is_empty());
}

#[test]
fn the_turns_of_a_channel_that_was_left_are_remembered_as_long_as_its_row() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    rig.posts(message("c", 1, "one"));
    let call = rig.call(Tool::NoReply {
        channel: ChannelId::new("c").unwrap(),
        guild: None,
    });
    assert!(matches!(rig.answer(call), Some(Ok(ToolAnswer::Done))));
    rig.guild("g").channels.clear();
    rig.restart();
    rig.pass(MINUTE);
    let over = |record: &TurnRecord| record.state == TurnState::Ended && !record.owes_pass;
    let turns = &rig.kept.turns;
    assert!(turns.len() == 1 && turns.values().all(over), "{turns:?}");
    rig.now = rig.now + 31 * 24 * 60 * MINUTE;
    rig.restart();
    rig.pass(MINUTE);
    assert!(rig.kept.turns.is_empty());
}

#[test]
fn a_turn_that_is_another_speakers_by_now_is_not_handed_over_again() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    rig.posts(message("c", 1, "one"));
    rig.guild("g").stale = vec!["c1"];
    rig.restart();
    assert_eq!(rig.inbounds.len(), 1);
    rig.pass(2 * SECOND);
    assert!(rig.owes_nothing());
    assert_eq!(rig.cursor(), 1);
}

#[test]
fn a_rewake_of_a_turn_that_is_about_to_come_again_changes_nothing() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    rig.posts(message("c", 1, "one"));
    rig.guild("g").holds = true;
    rig.restart();
    rig.release("g");
    rig.guild("g").holds = true;
    let rewake = json!({"rewake": true, "wakeId": "w"});
    rig.push(
        "g",
        "message.created",
        &altered(message("c", 1, "one"), rewake),
    );
    rig.release("g");
    assert_eq!(rig.heard(), [["one"], ["one"]]);
    assert!(rig.inbounds[1].redelivered);
}

#[test]
fn the_account_is_known_before_the_first_login() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(2 * SECOND);
    rig.user = "somebody_else";
    rig.restart();
    let changed = rig.noted(|note| matches!(note, Note::AccountChanged { .. }));
    assert_eq!(changed, 1);
}

#[test]
fn what_was_with_the_store_when_the_process_ended_may_be_kept_or_not() {
    for survives in [false, true] {
        let mut rig = Rig::live(&[("c", "general")]);
        rig.pass(2 * SECOND);
        rig.keeps = false;
        rig.posts(message("c", 1, "one"));
        assert_eq!(rig.batches.len(), 1);
        if survives {
            let batch = rig.batches.pop_front().unwrap();
            rig.kept.apply(&batch);
            assert!(
                rig.kept
                    .turns
                    .values()
                    .all(|turn| turn.state == TurnState::Open)
            );
        }
        rig.restart();
        rig.pass(SECOND);
        assert_eq!(rig.heard(), [["one"]]);
        assert_eq!(rig.inbounds[0].redelivered, survives);
    }
}

#[test]
fn the_end_of_a_process_keeps_what_is_left() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(2 * SECOND);
    rig.posts(quiet(1, "by the way"));
    rig.step(Some(Input::Shutdown));
    assert_eq!(rig.cursor(), 1);
}

/// What was posted between the two would be lost with the process.
#[test]
fn the_first_listing_does_not_hide_where_a_channel_begins() {
    let guild = Guild {
        holds: true,
        joined_seq: Some(0),
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig.push("g", "channel.joined", &membership("c", json!({})));
    rig.open.reverse();
    rig.release("g");
    rig.pass(2 * SECOND);
    assert_eq!(rig.cursor(), 0);
    rig.misses(message("c", 1, "one"));
    rig.restart();
    assert_eq!(rig.heard(), [["one"]]);
}

/// An agent that has missed more than is read: three messages are left out, and the last two of the
/// six are `newest`.
fn left_three_out(keeps: bool, newest: [Value; 2]) -> Rig {
    let mut config = config();
    config.backfill_max = 2;
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "general")]))]);
    rig.start();
    rig.posts(message("c", 1, "one"));
    rig.done(0);
    rig.pass(2 * SECOND);
    for seq in 2..=4 {
        rig.misses(message("c", seq, "too old"));
    }
    for row in newest {
        rig.misses(row);
    }
    rig.keeps = keeps;
    rig.reset("g");
    rig.pass(5 * SECOND);
    rig
}

#[test]
fn what_a_turn_says_was_left_out_is_kept_with_it() {
    let newest = [message("c", 5, "five"), quiet(6, "six")];
    let mut rig = left_three_out(false, newest);
    let is_turn = |change: &Change| matches!(change, Change::Turn(..));
    loop {
        let ends = rig.batches[0].iter().any(is_turn);
        let id = rig.stores.pop_front().unwrap();
        let stored = rig.keep(id);
        if ends {
            break;
        }
        rig.step(Some(stored));
    }
    assert_eq!(rig.heard().len(), 1);
    for attempt in [2, 3] {
        rig.restart();
        let told = rig.inbounds.last().unwrap();
        assert_eq!((told.skipped, told.attempt), (3, attempt));
    }
    rig.done(2);
    rig.posts(message("c", 7, "seven"));
    rig.pass(2 * SECOND);
    let told = rig.inbounds.last().unwrap();
    assert_eq!((told.skipped, told.messages[0].seq), (0, 7));
}

#[test]
fn what_was_left_out_is_told_by_the_next_process_too_and_once() {
    let mut rig = left_three_out(true, [quiet(5, "five"), quiet(6, "six")]);
    rig.pass(2 * SECOND);
    assert_eq!(rig.cursor(), 6);
    for (seq, skipped) in [(7, 3), (8, 0)] {
        rig.restart();
        rig.posts(message("c", seq, "next"));
        let told = rig.inbounds.last().unwrap();
        assert_eq!((told.skipped, told.messages[0].seq), (skipped, seq));
        rig.done(rig.inbounds.len() - 1);
        rig.pass(2 * SECOND);
    }
}

/// The guild tells no `seq` of its own, so that the answer of what is newest may overtake the push.
#[test]
fn what_overtook_its_push_is_not_lost_with_the_process() {
    let silent = |seq, content| altered(message("c", seq, content), json!({"wakeup": null}));
    let guild = Guild {
        last_seq: None,
        history: vec![silent(1, "one"), silent(2, "two"), silent(3, "three")],
        ..Guild::new(&[("c", "general")])
    };
    for first in [2, 3] {
        let mut rig = Rig::new(&[("g", guild.clone())]);
        rig.step(None);
        rig.pass(2 * SECOND);
        assert_eq!(rig.cursor(), 3);
        // No host takes turns yet.
        for (seq, content) in [(2, "two"), (3, "three")].into_iter().skip(first - 2) {
            rig.says("c", seq, content);
        }
        assert_eq!(rig.cursor(), first as u64 - 1);
        rig.restart();
        rig.pass(2 * SECOND);
        rig.done(0);
        let said = [vec!["two"], vec!["three"]];
        assert_eq!(rig.heard(), said[first - 2..]);
    }
}

#[test]
fn what_was_left_out_before_a_parked_turn_is_told_with_the_next() {
    let newest = [message("c", 5, "poison"), quiet(6, "six")];
    let mut rig = left_three_out(true, newest);
    for _ in 0..3 {
        assert_eq!(rig.inbounds.last().unwrap().skipped, 3);
        rig.restart();
    }
    let parked = |note: &Note| matches!(note, Note::TurnParked { attempts: 3, .. });
    assert_eq!(rig.noted(parked), 1);
    rig.posts(message("c", 7, "next"));
    rig.pass(2 * SECOND);
    let next = rig.inbounds.last().unwrap();
    assert_eq!((next.skipped, next.attempt), (3, 1));
}
