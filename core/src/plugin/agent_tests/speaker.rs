//! Where users take turns and history does not say whom it wakes, the current speaker is woken.

use super::*;

/// What the guild says of the turns in its channels: who is the current speaker, and was woken with
/// which message.
fn speaks(user: &str, message: Option<&str>) -> Value {
    let wake = message.map(|id| json!({"userId": user, "messageId": id, "acked": false}));
    json!({
        "phase": "active", "currentSpeaker": user, "order": [user], "bypass": [],
        "stack": [{"speakers": [user], "cursor": 0}], "wake": wake,
    })
}

/// An agent that was away from a channel of this kind while three messages were posted there.
fn away(kind: &'static str, turn: Option<Value>) -> Rig {
    let mut rig = Rig::live(&[("c", kind)]);
    for seq in 1..=3 {
        let silent = altered(message("c", seq, ""), json!({"wakeup": null}));
        rig.guild("g").history.push(silent);
    }
    rig.guild("g").last_seq = Some(3);
    rig.guild("g").turn = turn;
    rig.reset("g");
    rig
}

/// What it is handed over.
fn woken(rig: &mut Rig) -> Vec<u64> {
    rig.pass(5 * SECOND);
    let told = rig.inbounds.iter().flat_map(|inbound| &inbound.messages);
    told.map(|message| message.seq).collect()
}

fn questions(rig: &Rig) -> usize {
    let asked = rig.asked.iter();
    asked.filter(|asked| asked.ends_with("/turn")).count()
}

#[test]
fn the_current_speaker_is_woken_with_the_waking_message() {
    for kind in ["discuss", "work"] {
        for (waking, seq) in [(Some("c2"), 2), (None, 3)] {
            let mut rig = away(kind, Some(speaks(ME, waking)));
            assert_eq!(woken(&mut rig), [seq]);
            assert_eq!(questions(&rig), 1);
            assert_eq!(rig.context().len(), 2);
        }
    }
    let mut rig = away("discuss", Some(speaks("bob", Some("c3"))));
    assert_eq!(woken(&mut rig), [] as [u64; 0]);
    let mut rig = away("discuss", Some(speaks(ME, Some("c4"))));
    assert_eq!(woken(&mut rig), [] as [u64; 0], "it is yet to come");
}

#[test]
fn what_the_speaker_wrote_or_somebody_deleted_wakes_nobody() {
    let mut rig = away("discuss", Some(speaks(ME, None)));
    rig.guild("g").history[2]["author"]["id"] = json!(ME);
    rig.guild("g").history[1]["deletedAt"] = json!("2026-01-01T00:00:01Z");
    assert_eq!(woken(&mut rig), [1]);
}

#[test]
fn nobody_is_asked_who_speaks_where_that_says_nothing() {
    let mut rig = away("general", Some(speaks("bob", Some("c3"))));
    assert_eq!(woken(&mut rig).len(), 1);
    assert_eq!(questions(&rig), 0);
    let mut rig = away("discuss", Some(speaks(ME, Some("c2"))));
    for row in &mut rig.guild("g").history {
        row["wakeup"] = json!(row["seq"] == 1);
    }
    assert_eq!(woken(&mut rig), [1], "history says it");
    assert_eq!(questions(&rig), 0);
}

#[test]
fn a_guild_that_cannot_be_asked_wakes_by_mention_alone() {
    for turn in [None, Some(json!({"phase": "of the moon"}))] {
        let mut rig = away("discuss", turn);
        rig.guild("g").history[0]["mentions"] = json!([ME]);
        assert_eq!(woken(&mut rig), [1]);
        assert_eq!(questions(&rig), 1);
    }
}

#[test]
fn nothing_is_heard_before_it_is_known_who_speaks() {
    let mut rig = away("discuss", Some(speaks(ME, Some("c3"))));
    rig.guild("g").turns = [401, 503, 429].into();
    let logins = rig.login_count;
    assert_eq!(woken(&mut rig), [] as [u64; 0]);
    assert_eq!(rig.cursor(), 0);
    assert_eq!(rig.login_count, logins + 1, "the token was refused");
    let failed = rig.noted(|note| matches!(note, Note::HistoryFailed { .. }));
    assert_eq!((failed, questions(&rig)), (2, 3));
    rig.restart();
    assert_eq!(woken(&mut rig), [3]);
}

#[test]
fn an_answer_about_a_channel_that_was_left_goes_nowhere() {
    let mut rig = away("discuss", Some(speaks(ME, Some("c3"))));
    rig.guild("g").holds = true;
    rig.pass(5 * SECOND);
    while questions(&rig) == 0 {
        let (id, _, request) = rig.open.pop().unwrap();
        let answer = rig.guild("g").answer(&request);
        rig.step(Some(Input::Http(id, Ok(answer))));
    }
    assert!(rig.forgotten.is_empty());
    rig.push("g", "channel.left", &membership("c", json!({})));
    assert_eq!(rig.forgotten.len(), 1);
    rig.release("g");
    assert_eq!(woken(&mut rig), [] as [u64; 0]);
}

#[test]
fn the_current_speaker_is_woken_by_a_guild_that_was_restored_too() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    for seq in 1..=2 {
        rig.posts(altered(message("c", seq, ""), json!({"wakeup": false})));
    }
    rig.pass(2 * SECOND);
    let since = json!({"id": "n2", "wakeup": null, "createdAt": "2026-01-02T00:00:00Z"});
    let guild = rig.guild("g");
    guild.history[1] = altered(message("c", 2, "since"), since);
    guild.turn = Some(speaks(ME, Some("n2")));
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert_eq!(rig.heard(), [["since"]]);
}
