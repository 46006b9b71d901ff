//! A store that was restored from a backup: it knows less than the channels do.

use super::*;

impl Rig {
    /// Somebody posts, and the guild stores it; it is pushed where anybody listens.
    fn told(&mut self, seq: u64, content: &str) {
        let row = message("c", seq, content);
        let guild = self.guild("g");
        guild.last_seq = Some(seq);
        guild.history.push(row.clone());
        if !self.conns.is_empty() {
            self.push("g", "message.created", &row);
        }
    }

    /// The agent posts in the turn that was handed over last, and the guild stores it.
    fn posts_in_turn(&mut self, seq: u64) {
        self.send("c", None, "an answer");
        let posted = self.bodies.iter().rev();
        let nonce = posted.map(|body| body["nonce"].clone()).next().unwrap();
        let author = json!({"id": ME, "name": "me"});
        let fields = json!({"author": author, "nonce": nonce, "wakeup": false});
        let row = altered(message("c", seq, "an answer"), fields);
        let guild = self.guild("g");
        guild.last_seq = Some(seq);
        guild.history.push(row.clone());
        self.push("g", "message.created", &row);
    }

    /// The process ends, and goes on much later with that.
    fn restored(&mut self, kept: Kept) {
        self.kept = kept;
        self.conns.clear();
        self.now = self.now + 10 * MINUTE;
        self.restart();
        self.pass(MINUTE);
    }

    fn older(&self) -> usize {
        self.noted(|note| matches!(note, Note::StoreIsOlder { .. }))
    }
}

/// An agent that has answered one message, and what is kept then.
fn begun() -> (Rig, Kept) {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.told(1, "one");
    rig.posts_in_turn(2);
    rig.done(0);
    rig.pass(2 * SECOND);
    let backup = rig.kept.clone();
    (rig, backup)
}

#[test]
fn what_its_own_posts_show_to_be_answered_is_not_handed_over_again() {
    let (mut rig, backup) = begun();
    rig.told(3, "two");
    rig.done(1);
    rig.told(4, "three");
    rig.posts_in_turn(5);
    rig.done(2);
    rig.told(6, "four");
    rig.done(3);
    assert_eq!(rig.heard(), [["one"], ["two"], ["three"], ["four"]]);
    rig.restored(backup);
    // Nothing shows that somebody was asked about the last one.
    assert_eq!(rig.heard()[4..], [["four"]]);
    assert!(rig.inbounds[4].recovered);
    assert_eq!(rig.older(), 1);
    rig.done(4);
    rig.told(7, "five");
    assert_eq!(rig.heard()[5..], [["five"]]);
}

#[test]
fn what_was_open_in_the_backup_and_is_over_is_forgotten() {
    let (mut rig, _) = begun();
    rig.told(3, "two");
    rig.pass(2 * SECOND);
    let backup = rig.kept.clone();
    assert_eq!(backup.turns.len(), 1);
    rig.done(1);
    rig.told(4, "three");
    rig.posts_in_turn(5);
    rig.done(2);
    rig.restored(backup);
    // It was offered before the rest of the channel was read, as the turn that it was.
    assert_eq!(rig.heard()[3..], [["two"]]);
    assert_eq!(rig.inbounds[3].turn_id, rig.inbounds[1].turn_id);
    rig.done(3);
    rig.pass(2 * SECOND);
    assert_eq!(rig.heard().len(), 4, "what was answered since is not");
    assert!(rig.kept.turns.is_empty());
}

#[test]
fn a_store_that_is_up_to_date_believes_itself() {
    let (mut rig, _) = begun();
    rig.told(3, "two");
    rig.told(4, "three");
    rig.posts_in_turn(5);
    rig.told(6, "four");
    let kept = rig.kept.clone();
    rig.restored(kept);
    // The turn is open and its post stands there: what came before and after it waits all the same.
    assert_eq!(rig.heard()[2..], [["two"]]);
    assert!(rig.inbounds[2].redelivered);
    rig.done(2);
    assert_eq!(rig.heard()[3], ["three", "four"]);
    assert_eq!(rig.older(), 0);
}

#[test]
fn posts_that_tell_of_no_turn_show_nothing() {
    let (mut rig, backup) = begun();
    let own = rig.inbounds[0].turn_id.as_str().split_once('.').unwrap().0;
    let nonces = [
        format!("{own}-7.0"),
        format!("{own}-7.0.9.1.0"),
        format!("{own}.9.1.0"),
        format!("{own}.9.x.1.0"),
        "somebody-else.9.9.1.0".to_string(),
    ];
    rig.told(3, "two");
    for (seq, nonce) in (4..).zip(nonces) {
        let author = json!({"id": ME, "name": "me"});
        let row = altered(
            message("c", seq, "x"),
            json!({"author": author, "nonce": nonce}),
        );
        let guild = rig.guild("g");
        guild.last_seq = Some(seq);
        guild.history.push(row);
    }
    rig.restored(backup);
    assert_eq!(rig.heard()[2..], [["two"]]);
    assert_eq!(rig.older(), 0);
}
