//! What was missed during an outage is one turn for each channel.

use super::*;

/// A guild with these channels that is away for so long, stores these messages meanwhile, and can be
/// reached again.
fn away(span: Duration, channels: &[(&'static str, &'static str)], missed: Vec<Value>) -> Rig {
    let mut rig = Rig::live(channels);
    rig.dials = false;
    rig.reset("g");
    rig.pass(span);
    let guild = rig.guild("g");
    guild.last_seq = missed.iter().filter_map(|row| row["seq"].as_u64()).max();
    guild.history = missed;
    rig.dials = true;
    rig
}

/// The same, a minute later.
fn after(span: Duration, channels: &[(&'static str, &'static str)], missed: Vec<Value>) -> Rig {
    let mut rig = away(span, channels, missed);
    rig.pass(MINUTE);
    assert!(rig.is_live("g"));
    rig
}

#[test]
fn what_was_missed_for_long_is_one_turn_and_the_next_message_another() {
    let missed = |quiet| {
        let rows = (1..=5).map(|seq| {
            let row = message("c", seq, &seq.to_string());
            altered(row, json!({"wakeup": seq != quiet}))
        });
        rows.collect()
    };
    let mut rig = after(5 * MINUTE, &[("c", "general")], missed(3));
    rig.says("c", 6, "6");
    rig.done(0);
    assert_eq!(rig.heard(), [vec!["1", "2", "4", "5"], vec!["6"]]);
    let recovered = rig.inbounds.iter().map(|inbound| inbound.recovered);
    assert_eq!(recovered.collect::<Vec<_>>(), [true, false]);
    assert_eq!(rig.inbounds[0].context[0].content, "3");

    let mut rig = after(5 * MINUTE, &[("c", "general")], missed(3));
    rig.restart();
    let again = &rig.inbounds[1];
    assert!(again.recovered && again.redelivered);

    let rig = after(MINUTE, &[("c", "general")], missed(3));
    assert_eq!(rig.heard(), [["1"]], "a reconnect is no outage");
    assert!(!rig.inbounds[0].recovered);
}

#[test]
fn what_merely_waits_for_a_slow_host_is_not_old() {
    let mut rig = Rig::live(&[("c", "general")]);
    for seq in 1..=3 {
        rig.says("c", seq, &seq.to_string());
    }
    rig.pass(9 * MINUTE);
    rig.done(0);
    rig.done(1);
    assert_eq!(rig.heard(), [["1"], ["2"], ["3"]], "a turn each");
    assert!(rig.inbounds.iter().all(|inbound| !inbound.recovered));
}

#[test]
fn all_of_it_is_read_before_any_is_handed_over() {
    let missed = (1..=250).map(|seq| message("c", seq, "x")).collect();
    let mut rig = away(5 * MINUTE, &[("c", "general")], missed);
    while !rig.is_live("g") {
        rig.pass(SECOND);
    }
    assert_eq!(rig.inbounds.len(), 1);
    assert_eq!(rig.inbounds[0].messages.len(), 200);
    assert_eq!(rig.inbounds[0].skipped, 50);
}

#[test]
fn a_turn_of_what_was_missed_has_its_limits_too() {
    let long = "é".repeat(30_000);
    let missed = vec![message("c", 1, &long), message("c", 2, &long)];
    let mut rig = after(5 * MINUTE, &[("c", "general")], missed);
    rig.done(0);
    let turns = rig.inbounds.iter();
    let told = turns.map(|inbound| (inbound.messages.len(), inbound.recovered));
    assert_eq!(told.collect::<Vec<_>>(), [(1, true), (1, true)]);
}

#[test]
fn direct_messages_and_mentions_go_first() {
    let channels = [
        ("a", "general"),
        ("b", "general"),
        ("c", "dm"),
        ("d", "general"),
    ];
    let missed = channels.map(|(id, _)| match id {
        "d" => altered(message(id, 1, id), json!({"mentions": [ME]})),
        _ => message(id, 1, id),
    });
    let rig = after(5 * MINUTE, &channels, missed.into());
    assert_eq!(rig.heard(), [["c"], ["d"], ["a"], ["b"]]);
}

#[test]
fn a_history_that_cannot_be_read_holds_the_others_up_for_half_a_minute() {
    let missed = vec![message("a", 1, "a"), message("b", 1, "b")];
    let mut rig = away(5 * MINUTE, &[("a", "general"), ("b", "general")], missed);
    rig.guild("g").holds = true;
    while rig.open.is_empty() {
        rig.pass(SECOND);
    }
    // The listing, and then both histories, of which the second breaks off again and again.
    rig.guild("g").holds = false;
    while let Some((id, _, request)) = rig.open.pop() {
        let answer = rig.guild("g").answer(&request);
        rig.guild("g").histories = vec![503; 6].into();
        rig.step(Some(Input::Http(id, Ok(answer))));
    }
    assert!(rig.is_live("g"));
    rig.pass(MINUTE);
    assert_eq!(rig.inbounds.len(), 2);
    assert!(rig.inbounds.iter().all(|inbound| inbound.recovered));
}

#[test]
fn whoever_hangs_up_again_gets_what_was_read() {
    let missed = vec![message("a", 1, "a")];
    let mut rig = away(5 * MINUTE, &[("a", "general"), ("b", "general")], missed);
    while !rig.is_live("g") {
        rig.pass(SECOND / 10);
    }
    assert!(rig.inbounds.is_empty(), "b is asked three times");
    rig.reset("g");
    assert_eq!(rig.heard(), [["a"]]);
    assert!(rig.inbounds[0].recovered);
}

fn five() -> Vec<Value> {
    (1..=5)
        .map(|seq| message("c", seq, &seq.to_string()))
        .collect()
}

#[test]
fn a_kill_before_everything_is_joined_does_not_hide_the_outage() {
    let mut rig = away(5 * MINUTE, &[("c", "general")], five());
    rig.guild("g").join_error = Some("silence");
    rig.pass(10 * SECOND);
    assert!(rig.asked.len() > 1, "the listing was answered");
    rig.guild("g").join_error = None;
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["1", "2", "3", "4", "5"]]);
    assert!(rig.inbounds[0].recovered);
}

#[test]
fn a_kill_before_it_is_read_does_not_hide_what_was_missed() {
    let mut rig = away(5 * MINUTE, &[("c", "general")], five());
    rig.guild("g").holds = true;
    while rig.open.is_empty() {
        rig.pass(SECOND);
    }
    let (id, _, request) = rig.open.pop().unwrap();
    let answer = rig.guild("g").answer(&request);
    rig.step(Some(Input::Http(id, Ok(answer))));
    rig.pass(2 * SECOND);
    assert!(rig.is_live("g") && rig.inbounds.is_empty());
    rig.guild("g").holds = false;
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.heard(), [["1", "2", "3", "4", "5"]]);
    assert!(rig.inbounds[0].recovered);
}

#[test]
fn a_kill_while_it_waits_does_not_hide_what_was_missed() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.posts(message("c", 1, "1"));
    rig.dials = false;
    rig.reset("g");
    rig.pass(5 * MINUTE);
    rig.guild("g").history = five();
    rig.guild("g").last_seq = Some(5);
    rig.dials = true;
    rig.pass(MINUTE);
    rig.posts(message("c", 6, "6"));
    assert_eq!(rig.inbounds.len(), 1);
    for kills in 1..=2 {
        rig.pass(2 * SECOND);
        rig.restart();
        rig.pass(MINUTE);
        assert_eq!(
            rig.inbounds.len(),
            1 + kills,
            "the turn that ran is offered again"
        );
    }
    rig.done(2);
    rig.done(3);
    let missed = vec!["2", "3", "4", "5"];
    assert_eq!(rig.heard()[2..], [vec!["1"], missed, vec!["6"]]);
    let recovered = rig.inbounds.iter().map(|inbound| inbound.recovered);
    assert_eq!(recovered.collect::<Vec<_>>()[2..], [false, true, false]);
    rig.done(4);
    rig.pass(2 * SECOND);
    let guild = &rig.kept.guilds[&GuildId::new("g").unwrap()];
    assert_eq!(guild[&ChannelId::new("c").unwrap()].missed_to, 0);
}
