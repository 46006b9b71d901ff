//! A guild that was restored from a backup: it knows less than before, and gives old numbers anew.

use super::*;

/// A message of this id that alice posted so many seconds after the beginning.
fn row(seq: u64, id: &str, second: u64) -> Value {
    let fields = json!({"id": id, "createdAt": format!("2026-01-01T00:00:{second:02}Z")});
    altered(message("c", seq, id), fields)
}

impl Rig {
    /// The guild has these messages now, and goes away.
    fn has(&mut self, rows: Vec<Value>) {
        let guild = self.guild("g");
        guild.last_seq = rows.last().map(|row| row["seq"].as_u64().unwrap());
        guild.history = rows;
    }

    /// Everything that waits is handed over and done.
    fn finish(&mut self) {
        let mut done = 0;
        while done < self.inbounds.len() {
            self.done(done);
            done += 1;
        }
    }

    /// Which turns say that they come after a loss.
    fn recovered(&self) -> Vec<bool> {
        let inbounds = self.inbounds.iter();
        inbounds.map(|inbound| inbound.recovered).collect()
    }

    fn found(&self) -> Vec<(usize, u64)> {
        let notes = self.notes.iter();
        let restored = notes.filter_map(|note| {
            let Note::Restored { found, skipped, .. } = note else {
                return None;
            };
            Some((*found, *skipped))
        });
        restored.collect()
    }
}

/// The first five messages are heard and done.
fn heard_five() -> Rig {
    let mut rig = Rig::live(&[("c", "general")]);
    for seq in 1..=5 {
        let row = row(seq, &format!("m{seq}"), seq);
        rig.guild("g").history.push(row.clone());
        rig.push("g", "message.created", &row);
    }
    rig.guild("g").last_seq = Some(5);
    rig.finish();
    rig.pass(2 * SECOND);
    rig.inbounds.clear();
    rig
}

/// What is left of the five, with others instead.
fn restored(last: u64) -> Vec<Value> {
    let left = (1..=3).map(|seq| row(seq, &format!("m{seq}"), seq));
    let new = (4..=last).map(|seq| row(seq, &format!("n{seq}"), 20 + seq));
    left.chain(new).collect()
}

/// The plugin comes back, as the same process or another one, and everything is done.
fn returns(rig: &mut Rig, another: bool) {
    if another {
        rig.restart();
    } else {
        rig.reset("g");
    }
    rig.pass(20 * SECOND);
    rig.finish();
}

/// The plugin joins again, and the guild answers nothing it is asked.
fn rejoins(rig: &mut Rig) {
    rig.reset("g");
    rig.guild("g").holds = true;
    rig.pass(5 * SECOND);
}

#[test]
fn what_a_guild_was_given_since_is_heard_whatever_its_numbers() {
    for another in [false, true] {
        for (last, new) in [
            (4, vec![["n4"]]),
            (5, vec![["n4"], ["n5"]]),
            (7, vec![["n4"], ["n5"], ["n6"], ["n7"]]),
        ] {
            let mut rig = heard_five();
            rig.has(restored(last));
            returns(&mut rig, another);
            assert_eq!(rig.heard(), new, "{another} {last}");
            let mut marked = vec![false; new.len()];
            marked[0] = true;
            assert_eq!(rig.recovered(), marked);
            assert_eq!(rig.found(), [(new.len(), 0)]);
            let next = row(last + 1, "next", 40);
            rig.guild("g").history.push(next.clone());
            rig.push("g", "message.created", &next);
            rig.finish();
            assert_eq!(rig.heard().last().unwrap(), &["next"]);
            rig.pass(2 * SECOND);
            let heard = rig.inbounds.len();
            rig.guild("g").last_seq = Some(last + 1);
            returns(&mut rig, true);
            assert_eq!(rig.inbounds.len(), heard, "nothing is heard twice");
            assert_eq!(rig.found().len(), 1, "it is the same guild now");
        }
    }
}

#[test]
fn what_a_guild_was_given_since_is_heard_while_a_turn_runs() {
    for (finished, left, another) in [
        (0, 1, false),
        (3, 1, false),
        (3, 0, false),
        (3, 1, true),
        (3, 0, true),
    ] {
        let mut rig = Rig::live(&[("c", "general")]);
        for seq in 1..=finished + 2 {
            let row = row(seq, &format!("m{seq}"), seq);
            rig.guild("g").history.push(row.clone());
            rig.push("g", "message.created", &row);
            if seq <= finished {
                rig.done(usize::try_from(seq).unwrap() - 1);
            }
        }
        rig.pass(2 * SECOND);
        rig.inbounds.clear();
        // One runs and one waits: the backup has the first of them, or none.
        let (backup, last) = (finished + left, finished + 2);
        let mut rows = rig.guild("g").history.clone();
        rows.truncate(usize::try_from(backup).unwrap());
        rows.extend((backup + 1..=last).map(|seq| row(seq, &format!("new{seq}"), 30 + seq)));
        let expected = rows.len() - usize::try_from(backup).unwrap();
        rig.has(rows);
        returns(&mut rig, another);
        rig.pass(20 * MINUTE);
        rig.finish();
        let heard = rig.heard().concat();
        let new = heard.iter().filter(|told| told.starts_with("new")).count();
        assert_eq!(new, expected, "{finished} {left} {another} {heard:?}");
    }
}

#[test]
fn what_waits_is_not_heard_again_however_few_ids_are_remembered() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.config.dedup_max = 1;
    rig.restart();
    rig.pass(SECOND);
    let rows: Vec<_> = (1..=4)
        .map(|seq| row(seq, &format!("m{seq}"), seq))
        .collect();
    for row in &rows {
        rig.guild("g").history.push(row.clone());
        rig.push("g", "message.created", row);
    }
    rig.done(0);
    rig.has(rows[..3].to_vec());
    returns(&mut rig, false);
    assert_eq!(rig.found(), [(2, 0)]);
    assert_eq!(rig.heard(), [["m1"], ["m2"], ["m3"], ["m4"]]);
}

#[test]
fn what_was_left_out_is_not_heard_behind_what_came_later() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.config.dedup_max = 1;
    rig.config.waiting_max = 2;
    rig.restart();
    rig.pass(SECOND);
    let rows: Vec<_> = (1..=5)
        .map(|seq| row(seq, &format!("m{seq}"), seq))
        .collect();
    for (seq, row) in (1..).zip(&rows) {
        if seq == 5 {
            rig.done(0);
        }
        rig.guild("g").history.push(row.clone());
        rig.push("g", "message.created", row);
    }
    rig.done(1);
    rig.has(rows[..4].to_vec());
    returns(&mut rig, false);
    assert_eq!(rig.found(), [(2, 0)]);
    assert_eq!(rig.heard(), [["m1"], ["m2"], ["m3"], ["m5"]]);
}

/// A guild whose ids are made of the numbers gives those anew, too.
#[test]
fn a_message_that_has_the_id_of_one_that_is_gone_is_another_one() {
    for another in [false, true] {
        let mut rig = heard_five();
        let mut rows = restored(3);
        rows.extend((4..=6).map(|seq| row(seq, &format!("m{seq}"), 20 + seq)));
        rig.has(rows);
        returns(&mut rig, another);
        assert_eq!(rig.heard(), [["m4"], ["m5"], ["m6"]], "{another}");
        assert_eq!(rig.found(), [(3, 0)]);
    }
}

#[test]
fn a_guild_that_only_lost_messages_is_told_of_and_the_next_turn_says_so() {
    for another in [false, true] {
        let mut rig = heard_five();
        rig.has(restored(3));
        returns(&mut rig, another);
        assert!(rig.inbounds.is_empty());
        assert_eq!(rig.found(), [(0, 0)]);
        rig.pass(2 * SECOND);
        rig.restart();
        let next = row(4, "next", 40);
        rig.guild("g").history.push(next.clone());
        rig.push("g", "message.created", &next);
        assert_eq!(rig.heard(), [["next"]], "the next process too");
        assert_eq!(rig.recovered(), [true]);
    }
}

#[test]
fn the_same_guild_is_looked_up_and_nothing_else() {
    let mut rig = heard_five();
    let asked = rig.asked.len();
    returns(&mut rig, false);
    let reads = rig.asked.iter().skip(asked);
    let reads: Vec<_> = reads.filter(|asked| asked.contains("/messages?")).collect();
    assert_eq!(reads, ["GET /api/channels/c/messages?limit=1&beforeSeq=6"]);
    assert_eq!(rig.found(), []);
}

#[test]
fn a_turn_that_is_gone_is_not_offered_again_and_one_that_is_left_is() {
    for (open, left) in [(3, true), (5, false)] {
        let mut rig = Rig::live(&[("c", "general")]);
        for seq in 1..=5 {
            let quiet = json!({"wakeup": seq == open});
            let row = altered(row(seq, &format!("m{seq}"), seq), quiet);
            rig.guild("g").history.push(row.clone());
            rig.push("g", "message.created", &row);
        }
        rig.pass(2 * SECOND);
        rig.inbounds.clear();
        rig.has(restored(6));
        returns(&mut rig, true);
        let mut expected = vec![["n4"], ["n5"], ["n6"]];
        if left {
            expected.insert(0, ["m3"]);
        }
        assert_eq!(rig.heard(), expected);
        assert_eq!(rig.inbounds[0].redelivered, left);
        rig.pass(2 * SECOND);
        assert!(rig.kept.turns.is_empty(), "{:?}", rig.kept.turns);
    }
}

#[test]
fn of_too_many_the_newest_are_heard_and_the_others_counted() {
    let mut rig = heard_five();
    rig.config.backfill_max = 2;
    rig.restart();
    rig.pass(SECOND);
    rig.has(restored(9));
    returns(&mut rig, false);
    assert_eq!(rig.heard(), [["n8"], ["n9"]]);
    assert_eq!(rig.inbounds[0].skipped, 4);
    assert_eq!(rig.found(), [(2, 4)]);
}

#[test]
fn after_an_outage_it_is_one_turn() {
    let mut rig = heard_five();
    rig.has(restored(6));
    rig.dials = false;
    rig.reset("g");
    rig.pass(5 * MINUTE);
    rig.dials = true;
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["n4", "n5", "n6"]]);
    assert_eq!(rig.recovered(), [true]);
}

#[test]
fn what_is_pushed_meanwhile_waits_for_what_was_posted_before() {
    let mut rig = heard_five();
    rig.has(restored(4));
    rejoins(&mut rig);
    let next = row(5, "next", 40);
    rig.guild("g").history.push(next.clone());
    rig.push("g", "message.created", &next);
    assert!(rig.inbounds.is_empty());
    rig.guild("g").histories = [500; 3].into();
    rig.release("g");
    rig.pass(20 * SECOND);
    rig.finish();
    assert_eq!(rig.heard(), [["n4"], ["next"]]);
}

/// It has as many messages as before, so that what is pushed next is in sequence.
#[test]
fn what_is_pushed_waits_for_the_first_answer_about_what_the_guild_is() {
    for (answers, heard) in [
        (vec![], vec![["n4"], ["n5"], ["next"]]),
        (vec![500], vec![["next"], ["n4"], ["n5"]]),
    ] {
        let mut rig = heard_five();
        rig.has(restored(5));
        rejoins(&mut rig);
        let next = row(6, "next", 40);
        rig.guild("g").history.push(next.clone());
        rig.push("g", "message.created", &next);
        let wake = json!({"rewake": true, "wakeId": "w"});
        rig.push("g", "message.created", &altered(next, wake));
        assert!(rig.inbounds.is_empty());
        rig.guild("g").histories = answers.into();
        rig.guild("g").holds = false;
        rig.release("g");
        assert_eq!(rig.heard(), heard[..1], "it is not waited for long");
        rig.pass(20 * SECOND);
        rig.finish();
        assert_eq!(rig.heard(), heard);
    }
}

/// What was heard under this id may have been another message.
#[test]
fn a_wake_waits_until_it_is_known_whether_the_guild_is_the_same() {
    for last in [4, 6] {
        let mut rig = heard_five();
        let mut rows = restored(3);
        let quiet = json!({"wakeup": false});
        let new = (4..=last).map(|seq| row(seq, &format!("m{seq}"), 20 + seq));
        rows.extend(new.map(|row| altered(row, quiet.clone())));
        rig.has(rows.clone());
        rejoins(&mut rig);
        let wake = json!({"wakeup": true, "rewake": true, "wakeId": "w"});
        rig.push("g", "message.created", &altered(rows[3].clone(), wake));
        let edit = json!({"content": "edited"});
        rig.push("g", "message.updated", &altered(rows[3].clone(), edit));
        assert!(rig.inbounds.is_empty());
        rig.guild("g").holds = false;
        rig.release("g");
        rig.pass(20 * SECOND);
        rig.finish();
        assert_eq!(rig.heard(), [["edited"]], "{last}");
        assert!(rig.inbounds[0].rewake);
    }
}

/// Its answer is lost, so that the guild waits for the agent.
#[test]
fn a_wake_with_what_was_answered_before_the_loss_begins_no_turn() {
    for another in [false, true] {
        let mut rig = Rig::live(&[("c", "discuss")]);
        let rows = [1, 2].map(|seq| row(seq, &format!("m{seq}"), seq));
        for (turn, row) in rows.iter().enumerate() {
            rig.guild("g").history.push(row.clone());
            rig.push("g", "message.created", row);
            rig.done(turn);
        }
        rig.pass(2 * SECOND);
        rig.has(rows[..1].to_vec());
        returns(&mut rig, another);
        assert_eq!(rig.found(), [(0, 0)]);
        let wake = |id| json!({"rewake": true, "wakeId": id});
        rig.push(
            "g",
            "message.created",
            &altered(rows[0].clone(), wake("w0")),
        );
        rig.finish();
        assert_eq!(rig.heard(), [["m1"], ["m2"]], "{another}");
    }
}

#[test]
fn a_guild_that_cannot_be_looked_up_is_taken_for_the_same() {
    let mut rig = heard_five();
    rig.guild("g").histories = [404].into();
    returns(&mut rig, false);
    rig.push("g", "message.created", &row(6, "m6", 6));
    assert_eq!(rig.heard(), [["m6"]]);
    assert_eq!(rig.found(), []);
}

#[test]
fn a_guild_is_known_again_after_more_was_new_than_is_read() {
    for another in [false, true] {
        let mut config = config();
        config.backfill_max = 2;
        let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "general")]))]);
        rig.start();
        let first = row(1, "m1", 1);
        rig.guild("g").history.push(first.clone());
        rig.push("g", "message.created", &first);
        let since = |name: &str, second| {
            let row = |seq| row(seq, &format!("{name}{seq}"), second + seq);
            (1..=5).map(row).collect()
        };
        rig.has(since("n", 10));
        rig.reset("g");
        rig.pass(20 * SECOND);
        rig.has(since("k", 30));
        returns(&mut rig, another);
        assert_eq!(rig.found(), [(2, 3), (2, 3)], "{another}");
        assert_eq!(rig.heard().last().unwrap(), &["k5"]);
    }
}
