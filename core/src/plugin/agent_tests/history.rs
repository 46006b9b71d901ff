//! What was not heard is read from history.

use super::*;

/// The guild stores a message, and pushes nothing.
fn stores(rig: &mut Rig, row: Value) {
    let seq = row["seq"].as_u64();
    let guild = rig.guild("g");
    guild.last_seq = seq;
    guild.history.push(row);
}

fn reads(rig: &Rig) -> Vec<&str> {
    let asked = rig.asked.iter();
    asked
        .filter_map(|asked| Some(asked.split_once("/messages?")?.1))
        .collect()
}

#[test]
fn a_first_contact_starts_at_the_newest_message() {
    let guild = Guild {
        last_seq: Some(1),
        history: vec![message("c", 1, "long ago")],
        ..Guild::new(&[("c", "dm")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    rig.says("c", 2, "hello");
    assert_eq!(rig.heard(), [["hello"]]);
    assert!(reads(&rig).is_empty());
}

#[test]
fn what_was_said_during_a_reconnect_is_read() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.done(0);
    for (seq, content) in [(1, "one"), (2, "two"), (3, "three")] {
        stores(&mut rig, message("c", seq, content));
    }
    rig.reset("g");
    rig.pass(5 * SECOND);
    rig.done(1);
    assert_eq!(rig.heard(), [["one"], ["two"], ["three"]]);
    let expected = ["limit=1&beforeSeq=2", "limit=2&afterSeq=1&beforeSeq=4"];
    assert_eq!(reads(&rig), expected, "is it the same guild?");
}

/// The guild knows no `afterSeq` and answers what is nearest to `beforeSeq`, which is not what comes
/// first in the gap.
#[test]
fn a_gap_before_newer_messages_is_filled_by_a_guild_that_pages_back() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").pages_back = true;
    for seq in 1..=2 {
        stores(&mut rig, message("c", seq, &seq.to_string()));
    }
    for seq in 3..=4 {
        stores(&mut rig, message("c", seq, &seq.to_string()));
        rig.says("c", seq, &seq.to_string());
    }
    rig.pass(SECOND);
    for turn in 0..3 {
        rig.done(turn);
    }
    assert_eq!(rig.heard(), [["1"], ["2"], ["3"], ["4"]]);
    assert_eq!(reads(&rig), ["limit=2&afterSeq=0&beforeSeq=3"]);
}

/// The same where it takes several pages.
#[test]
fn a_gap_is_filled_from_its_end_page_by_page() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").pages_back = true;
    rig.guild("g").holds = true;
    for seq in 1..=150 {
        let row = altered(message("c", seq, "x"), json!({"wakeup": seq == 1}));
        stores(&mut rig, row);
    }
    rig.says("c", 151, "far away");
    rig.pass(SECOND);
    let (id, ..) = rig.open.pop().unwrap();
    rig.step(Some(Input::Http(id, Err(Failure::TooLarge))));
    rig.release("g");
    rig.done(0);
    assert_eq!(rig.heard(), [["x"], ["far away"]]);
    let pages = [
        "limit=150&afterSeq=0&beforeSeq=151",
        "limit=100&afterSeq=0&beforeSeq=151",
        "limit=50&afterSeq=0&beforeSeq=51",
    ];
    assert_eq!(reads(&rig), pages);
}

#[test]
fn a_gap_is_waited_for_read_three_times_and_then_accepted_and_counted() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 3, "three");
    rig.pass(Duration::from_millis(249));
    assert!(reads(&rig).is_empty());
    rig.pass(Duration::from_millis(1));
    assert_eq!(reads(&rig).len(), 1);
    rig.pass(2 * SECOND - Duration::from_millis(1));
    assert!(rig.inbounds.is_empty());
    rig.pass(Duration::from_millis(1));
    assert_eq!(reads(&rig).len(), 3);
    assert_eq!(rig.heard(), [["three"]]);
    let accepted = |note: &Note| matches!(note, Note::GapAccepted { missing: 2, .. });
    assert_eq!(rig.noted(accepted), 1);
}

/// Had its id entered dedup with the push, it would be dropped now as known.
#[test]
fn what_waited_behind_a_gap_when_the_connection_ended_is_heard_from_history() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 2, "two");
    rig.reset("g");
    for (seq, content) in [(1, "one"), (2, "two")] {
        stores(&mut rig, message("c", seq, content));
    }
    rig.pass(5 * SECOND);
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    rig.done(1);
    rig.says("c", 2, "two");
    assert_eq!(rig.heard().len(), 2);
}

#[test]
fn a_gap_stays_open_while_reads_fail() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").histories = [401, 500, 503, 429, 403, 401, 401].into();
    stores(&mut rig, message("c", 1, "one"));
    rig.says("c", 2, "two");
    rig.pass(20 * SECOND);
    assert!(rig.inbounds.is_empty(), "429 asks for 20 s");
    rig.pass(MINUTE);
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    assert_eq!(reads(&rig).len(), 8);
    assert!(rig.login_count <= 4, "{}", rig.login_count);
    let failed = rig.noted(|note| matches!(note, Note::HistoryFailed { .. }));
    assert_eq!(failed, 5, "neither of the two that cost a login");
}

#[test]
fn a_page_that_is_too_long_is_asked_for_in_parts() {
    let mut rig = Rig::live(&[("c", "general")]);
    for seq in 1..=3 {
        stores(&mut rig, message("c", seq, "long"));
    }
    rig.guild("g").holds = true;
    rig.says("c", 200, "far away");
    rig.pass(SECOND);
    let (id, ..) = rig.open.pop().unwrap();
    rig.step(Some(Input::Http(id, Err(Failure::TooLarge))));
    assert_eq!(
        reads(&rig),
        [
            "limit=199&afterSeq=0&beforeSeq=200",
            "limit=100&afterSeq=0&beforeSeq=200"
        ]
    );
    rig.release("g");
    assert_eq!(rig.heard(), [["long"]]);
}

#[test]
fn a_listing_tells_of_a_push_that_was_lost() {
    let mut rig = Rig::live(&[("c", "general")]);
    stores(&mut rig, message("c", 1, "one"));
    rig.guild("g").body = Some(json!([{"id": "c", "xType": "general", "lastSeq": 1}]));
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["one"]]);
}

#[test]
fn a_channel_that_appears_later_starts_where_the_membership_began() {
    let mut rig = Rig::live(&[]);
    for seq in 1..=3 {
        stores(&mut rig, message("d", seq, &seq.to_string()));
    }
    rig.guild("g").joined_seq = Some(2);
    rig.guild("g").channels = vec![("d", "general")];
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["3"]]);
}

#[test]
fn of_a_channel_that_appears_later_the_newest_are_read_too_and_the_others_counted() {
    let mut rig = Rig::live(&[]);
    for seq in 1..=300 {
        stores(&mut rig, message("d", seq, &seq.to_string()));
    }
    rig.guild("g").joined_seq = Some(40);
    rig.guild("g").channels = vec![("d", "general")];
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["101"]]);
    assert_eq!(rig.inbounds[0].skipped, 60);
}

#[test]
fn a_new_dm_of_a_guild_that_tells_little_starts_at_its_first_message() {
    let mut rig = Rig::live(&[]);
    stores(&mut rig, message("d", 1, "hello"));
    rig.guild("g").channels = vec![("d", "dm")];
    rig.push("g", "channel.joined", &membership("d", json!({})));
    assert_eq!(rig.heard(), [["hello"]]);
}

#[test]
fn a_channel_of_a_guild_that_tells_little_starts_when_its_membership_began() {
    let at = |seq, time: &str| {
        let created = format!("2026-01-01T{time}Z");
        let fields = json!({"createdAt": created, "wakeup": null});
        altered(message("d", seq, time), fields)
    };
    for tells in [true, false] {
        let mut rig = Rig::live(&[]);
        for (seq, time) in [
            (1, "10:00:00"),
            (2, "11:59:59"),
            (3, "12:00:00"),
            (4, "12:00:01"),
        ] {
            stores(&mut rig, at(seq, time));
        }
        let guild = rig.guild("g");
        guild.channels = vec![("d", "general")];
        guild.last_seq = Some(4).filter(|_| tells);
        let began = json!({"occurredAt": "2026-01-01T12:00:00Z"});
        rig.push("g", "channel.joined", &membership("d", began));
        let pushed = altered(at(5, "12:00:02"), json!({"wakeup": true}));
        rig.push("g", "message.created", &pushed);
        for turn in 0..2 {
            rig.done(turn);
        }
        let said = ["12:00:00", "12:00:01", "12:00:02"].map(|it| [it]);
        assert_eq!(rig.heard(), said);
        assert!(rig.context().is_empty());
    }
    // Where nothing tells when it began, it begins at the newest message.
    let mut rig = Rig::live(&[]);
    stores(&mut rig, at(1, "10:00:00"));
    rig.guild("g").channels = vec![("d", "general")];
    rig.push("g", "channel.joined", &membership("d", json!({})));
    assert!(rig.heard().is_empty());
}

/// The guild's clock was put back since the membership began.
#[test]
fn what_is_said_in_a_channel_that_was_joined_is_newer_than_the_membership_whatever_its_date() {
    let mut rig = Rig::live(&[]);
    let date = json!({"createdAt": "2026-01-01T11:59:59Z"});
    stores(&mut rig, altered(message("d", 1, "before"), date.clone()));
    let guild = rig.guild("g");
    guild.channels = vec![("d", "general")];
    guild.last_seq = None;
    let began = json!({"occurredAt": "2026-01-01T12:00:00Z"});
    rig.push("g", "channel.joined", &membership("d", began));
    rig.says("d", 2, "later");
    let said = altered(message("d", 3, "hello"), date);
    rig.push("g", "message.created", &said);
    for turn in 0..2 {
        rig.done(turn);
    }
    assert_eq!(rig.heard().concat().last(), Some(&"hello"));
    assert!(!rig.heard().concat().contains(&"before"));
}

#[test]
fn what_was_said_before_a_membership_is_not_counted_as_left_out() {
    let mut rig = Rig::live(&[]);
    for seq in 1..=300 {
        stores(&mut rig, message("d", seq, "x"));
    }
    rig.guild("g").channels = vec![("d", "general")];
    let began = json!({"occurredAt": "2026-01-01T12:00:00Z"});
    rig.push("g", "channel.joined", &membership("d", began));
    let fields = json!({"createdAt": "2026-01-01T12:00:01Z"});
    rig.push(
        "g",
        "message.created",
        &altered(message("d", 301, "hello"), fields),
    );
    assert_eq!(rig.heard(), [["hello"]]);
    assert_eq!(rig.inbounds[0].skipped, 0);
}

#[test]
fn after_a_long_time_the_oldest_messages_are_skipped_and_counted() {
    let mut rig = Rig::live(&[("c", "general")]);
    for seq in 1..=300 {
        let row = altered(message("c", seq, "x"), json!({"wakeup": seq == 300}));
        stores(&mut rig, row);
    }
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert_eq!(reads(&rig), ["limit=200&afterSeq=100&beforeSeq=301"]);
    assert_eq!(rig.inbounds[0].skipped, 100);
    assert_eq!(rig.inbounds[0].messages[0].seq, 300);
    let skipped = |note: &Note| matches!(note, Note::BackfillSkipped { skipped: 100, .. });
    assert_eq!(rig.noted(skipped), 1);
}

#[test]
fn a_blanked_row_wakes_nobody() {
    let mut rig = Rig::live(&[("c", "dm")]);
    let blank = json!({"deletedAt": "2026-01-01T00:00:01Z"});
    stores(&mut rig, altered(message("c", 1, ""), blank));
    stores(&mut rig, message("c", 2, "two"));
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert_eq!(rig.heard(), [["two"]]);
}

#[test]
fn where_history_does_not_say_who_is_woken_the_channel_does() {
    let wakes = |kind, fields: Value| {
        let mut rig = Rig::live(&[("c", kind)]);
        for (seq, mentions) in [(1, json!([])), (2, json!([ME]))] {
            let silent = json!({"wakeup": null, "mentions": mentions});
            stores(&mut rig, altered(message("c", seq, ""), silent));
        }
        let listed = json!({"id": "c", "xType": kind, "lastSeq": 2});
        rig.guild("g").body = Some(json!([altered(listed, fields)]));
        rig.pass(MINUTE);
        if !rig.inbounds.is_empty() {
            rig.done(0);
        }
        let told = rig.inbounds.iter().flat_map(|inbound| &inbound.messages);
        told.map(|message| message.seq).collect::<Vec<_>>()
    };
    assert_eq!(wakes("general", json!({})), [1, 2]);
    assert_eq!(wakes("dm", json!({})), [1, 2]);
    assert_eq!(wakes("report", json!({})), [] as [u64; 0]);
    assert_eq!(wakes("triage", json!({})), [2]);
    assert_eq!(wakes("triage", json!({"wakeMapping": [ME]})), [1, 2]);
    assert_eq!(
        wakes("custom", json!({"wakeMapping": ["bob"]})),
        [] as [u64; 0]
    );
    assert_eq!(wakes("custom", json!({})), [2]);
    assert_eq!(wakes("discuss", json!({})), [2]);
    assert_eq!(wakes("work", json!({})), [2]);
}

#[test]
fn a_push_that_comes_after_history_wakes_all_the_same() {
    let mut rig = Rig::live(&[("c", "discuss")]);
    for seq in [1, 2] {
        let silent = json!({"wakeup": null});
        stores(&mut rig, altered(message("c", seq, ""), silent));
    }
    let listed = json!([{"id": "c", "xType": "discuss", "lastSeq": 2}]);
    rig.guild("g").body = Some(listed);
    rig.pass(MINUTE);
    assert!(rig.inbounds.is_empty());
    for _ in 0..2 {
        rig.says("c", 1, "");
    }
    assert_eq!(rig.inbounds.len(), 1);
    assert_eq!(rig.inbounds[0].messages[0].seq, 1);
    let context = rig.inbounds[0].context.iter().map(|told| told.seq);
    assert_eq!(context.collect::<Vec<_>>(), [2]);
}

#[test]
fn a_guild_that_tells_no_seq_is_asked_for_its_newest_message() {
    let guild = Guild {
        last_seq: None,
        history: vec![message("c", 1, "long ago")],
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    assert_eq!(reads(&rig), ["limit=1"]);
    rig.guild("g").history.push(message("c", 2, "lost"));
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["lost"]]);
    rig.done(0);
    rig.guild("g").history.push(message("c", 3, "meanwhile"));
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert_eq!(rig.heard(), [["lost"], ["meanwhile"]]);
}

/// The guild has stored a message after the join, and its answer of what is newest overtakes the push.
#[test]
fn a_push_is_newer_than_a_first_contact_that_is_read() {
    let row = |seq, content| {
        let mut row = message("c", seq, content);
        row["wakeup"] = Value::Null;
        row
    };
    let guild = Guild {
        last_seq: None,
        history: vec![row(1, "long ago"), row(2, "one"), row(3, "two")],
        ..Guild::new(&[("c", "general")])
    };
    let mut rig = Rig::new(&[("g", guild)]);
    rig.start();
    assert_eq!(reads(&rig), ["limit=1"]);
    assert_eq!(rig.inbounds.len(), 0);
    for (seq, content) in [(2, "one"), (3, "two")] {
        rig.says("c", seq, content);
    }
    rig.pass(2 * SECOND);
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    rig.says("c", 1, "long ago");
    rig.pass(MINUTE);
    rig.done(1);
    assert_eq!(rig.inbounds.len(), 2, "what came before it is old");
}

#[test]
fn thousands_of_channels_do_not_ask_at_once() {
    let mut rig = Rig::live(&[]);
    let names: Vec<String> = (0..100).map(|channel| format!("c{channel:02}")).collect();
    let listed = names
        .iter()
        .map(|id| json!({"id": id, "xType": "dm", "joinedSeq": 0}));
    rig.guild("g").body = Some(listed.collect());
    rig.guild("g").last_seq = Some(1);
    rig.guild("g").history = names.iter().map(|id| message(id, 1, "hi")).collect();
    let before = rig.asked.len();
    rig.pass(MINUTE - Duration::from_millis(1));
    assert_eq!(rig.asked.len(), before);
    rig.guild("g").holds = true;
    rig.pass(Duration::from_millis(1));
    rig.release("g");
    assert_eq!(rig.inbounds.len(), 100);
    rig.reset("g");
    rig.pass(5 * SECOND);
    assert_eq!(reads(&rig).len(), 100, "nothing is read twice");
}

#[test]
fn a_read_is_not_waited_for_when_its_connection_or_channel_is_gone() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "general")]);
    rig.guild("g").holds = true;
    rig.says("c", 2, "two");
    rig.says("d", 2, "two");
    rig.pass(SECOND);
    rig.push("g", "channel.left", &membership("d", json!({})));
    assert_eq!(rig.forgotten.len(), 1);
    rig.reset("g");
    assert_eq!(rig.forgotten.len(), 2);
}
