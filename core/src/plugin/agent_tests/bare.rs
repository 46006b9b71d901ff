//! What waits without its text is read again for its turn, and nothing overtakes it.

use super::*;

/// Ten bytes of text may wait.
fn rig(channels: &[(&'static str, &'static str)]) -> Rig {
    let config = Config {
        waiting_bytes_max: 10,
        ..config()
    };
    let mut rig = Rig::with(config, &[("g", Guild::new(channels))]);
    rig.start();
    rig
}

fn reads(rig: &Rig) -> Vec<&str> {
    let asked = rig.asked.iter();
    let pages = asked.filter_map(|asked| Some(asked.split_once("/messages?")?.1));
    pages.collect()
}

const LONG: [&str; 3] = ["a long text", "another one", "a third one"];

/// Posts one that begins a turn, then the long ones.
fn hangs(rig: &mut Rig) {
    rig.posts(message("c", 1, "one"));
    for (seq, text) in (2..).zip(LONG) {
        rig.posts(message("c", seq, text));
    }
    assert_eq!(rig.heard(), [["one"]]);
}

#[test]
fn what_waits_without_its_text_is_handed_over_with_it() {
    let mut rig = rig(&[("c", "general")]);
    hangs(&mut rig);
    assert!(reads(&rig).is_empty(), "not before its turn");
    let edited = altered(
        message("c", 3, "edited since"),
        json!({"mentions": ["bob"]}),
    );
    rig.guild("g").history[2] = edited;
    for turn in 0..3 {
        rig.done(turn);
    }
    assert_eq!(
        rig.heard(),
        [["one"], [LONG[0]], ["edited since"], [LONG[2]]]
    );
    assert_eq!(rig.inbounds[2].messages[0].mentions.len(), 1);
    let one = |seq| format!("limit=1&afterSeq={}&beforeSeq={}", seq - 1, seq + 1);
    assert_eq!(reads(&rig), [one(2), one(3), one(4)]);
    rig.done(3);
    rig.pass(SECOND);
    assert_eq!(rig.cursor(), 4);
}

#[test]
fn an_agent_whose_host_hangs_takes_no_more_memory_than_it_may() {
    let mut rig = Rig::live(&[("c", "general")]);
    let text = "x".repeat(8_000);
    for seq in 1..=500 {
        rig.posts(message("c", seq, &text));
    }
    assert_eq!(rig.inbounds.len(), 1);
    let held = format!("{:?}", rig.agent).len();
    assert!((1 << 20..3 << 19).contains(&held), "{held}");
    for turn in 0..499 {
        rig.done(turn);
    }
    assert_eq!(rig.inbounds.len(), 500);
    let whole = |inbound: &&Inbound| inbound.messages[0].content == text && inbound.skipped == 0;
    assert_eq!(rig.inbounds.iter().filter(whole).count(), 500);
}

#[test]
fn a_read_that_fails_is_repeated_and_nothing_overtakes_it() {
    let mut rig = rig(&[("c", "general")]);
    hangs(&mut rig);
    rig.guild("g").histories.extend([500, 429, 401]);
    rig.done(0);
    rig.posts(message("c", 5, "short"));
    rig.pass(10 * SECOND);
    assert_eq!(rig.heard(), [["one"]], "the guild wants to be left alone");
    assert_eq!(
        rig.noted(|note| matches!(note, Note::HistoryFailed { .. })),
        2
    );
    let logins = rig.login_count;
    rig.pass(30 * SECOND);
    assert_eq!(rig.heard(), [["one"], [LONG[0]]]);
    assert_eq!(rig.login_count, logins + 1, "the token was refused");
    for turn in 1..4 {
        rig.done(turn);
    }
    assert_eq!(rig.heard()[4], ["short"]);
}

#[test]
fn what_is_deleted_or_gone_meanwhile_is_not_handed_over() {
    let mut rig = rig(&[("c", "general")]);
    hangs(&mut rig);
    let blank = altered(
        message("c", 2, ""),
        json!({"deletedAt": "2026-01-01T00:00:00Z"}),
    );
    let guild = rig.guild("g");
    guild.history[1] = blank;
    guild.history.remove(2);
    let by_the_way = altered(message("c", 5, "by the way"), json!({"wakeup": false}));
    rig.posts(by_the_way);
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], [LONG[2]]]);
    assert_eq!(
        rig.inbounds[1].skipped, 1,
        "what is gone, not what is deleted"
    );
    assert_eq!(rig.context(), ["by the way"]);
    rig.done(1);
    rig.pass(SECOND);
    assert_eq!(rig.cursor(), 5);
}

#[test]
fn a_wake_whose_message_is_deleted_meanwhile_is_passed_on() {
    let mut rig = rig(&[("c", "discuss")]);
    hangs(&mut rig);
    let blank = altered(
        message("c", 2, ""),
        json!({"deletedAt": "2026-01-01T00:00:00Z"}),
    );
    rig.guild("g").history[1] = blank;
    rig.done(0);
    rig.pass(SECOND);
    let passes = rig
        .bodies
        .iter()
        .filter(|body| body["content"] == "/no-reply");
    let about: Vec<_> = passes.map(|body| &body["replyToId"]).collect();
    assert_eq!(about, ["c1", "c2"]);
    assert_eq!(rig.heard(), [["one"], [LONG[1]]]);
}

#[test]
fn what_is_read_for_a_channel_that_was_left_goes_nowhere() {
    let mut rig = rig(&[("c", "general")]);
    hangs(&mut rig);
    rig.guild("g").holds = true;
    rig.done(0);
    rig.push("g", "channel.left", &membership("c", json!({})));
    rig.release("g");
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["one"]]);
}

#[test]
fn many_turns_are_read_for_a_few_at_a_time() {
    let names: Vec<&'static str> = (0..40).map(|n| &*format!("c{n}").leak()).collect();
    let channels: Vec<_> = names.iter().map(|name| (*name, "general")).collect();
    let mut rig = rig(&channels);
    for name in &names {
        rig.says(name, 1, "one");
        rig.says(name, 2, LONG[0]);
    }
    assert_eq!(rig.inbounds.len(), 40);
    rig.guild("g").holds = true;
    for turn in 0..40 {
        rig.done(turn);
    }
    assert_eq!(reads(&rig).len(), 16);
    for _ in 0..3 {
        rig.release("g");
    }
    assert_eq!(reads(&rig).len(), 40);
}

#[test]
fn how_many_are_gone_is_told_by_the_next_process_too() {
    let mut config = config();
    config.waiting_bytes_max = 10;
    config.coalesce = Some(SECOND);
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "general")]))]);
    rig.start();
    rig.posts(message("c", 1, "one"));
    rig.pass(SECOND);
    for (seq, text) in (2..).zip(LONG) {
        rig.posts(message("c", seq, text));
    }
    rig.guild("g").history.remove(2);
    rig.pass(SECOND);
    rig.done(0);
    for attempt in 1..=3 {
        let told = rig.inbounds.last().unwrap();
        let about: Vec<u64> = told.messages.iter().map(|told| told.seq).collect();
        assert_eq!(
            (about, told.skipped, told.attempt),
            (vec![2, 4], 1, attempt)
        );
        rig.restart();
        rig.pass(5 * SECOND);
    }
}

/// The guild was restored from a backup while a turn ran, and what was posted since is deleted before
/// its own begins.
#[test]
fn what_a_turn_would_have_said_of_which_nothing_is_left_the_next_one_says() {
    for kill in [false, true] {
        let mut rig = rig(&[("c", "general")]);
        for seq in 1..=2 {
            rig.posts(altered(message("c", seq, ""), json!({"wakeup": false})));
        }
        rig.posts(message("c", 3, "three"));
        rig.pass(2 * SECOND);
        let since = |seq, content| {
            let id = format!("n{seq}");
            let fields = json!({"id": id, "createdAt": "2026-01-02T00:00:00Z"});
            altered(message("c", seq, content), fields)
        };
        let guild = rig.guild("g");
        guild.history.truncate(1);
        guild.history.push(since(2, LONG[0]));
        guild.last_seq = Some(2);
        rig.reset("g");
        rig.pass(5 * SECOND);
        rig.guild("g").history[1]["deletedAt"] = json!("2026-01-02T00:00:01Z");
        rig.done(0);
        rig.pass(2 * SECOND);
        assert_eq!(rig.inbounds.len(), 1);
        if kill {
            rig.restart();
            rig.pass(2 * SECOND);
        }
        for seq in 3..=4 {
            rig.posts(since(seq, "next"));
            rig.done(rig.inbounds.len() - 1);
        }
        let told = rig.inbounds.iter().map(|inbound| inbound.recovered);
        assert_eq!(told.collect::<Vec<_>>(), [false, true, false], "{kill}");
    }
}
