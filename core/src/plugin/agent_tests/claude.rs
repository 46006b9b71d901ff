//! A host that loses notifications without a word.

use super::*;
use crate::plugin::config::Profile;

/// A rig whose host loses what comes early, and is initialised.
fn rig(channels: &[(&'static str, &'static str)]) -> Rig {
    let config = Config {
        profile: Profile::Claude,
        ..config()
    };
    let mut rig = Rig::with(config, &[("g", Guild::new(channels))]);
    rig.host(HostEvent::Ready { turns: false });
    rig
}

/// The same, and it can be given inbounds.
fn open(channels: &[(&'static str, &'static str)]) -> Rig {
    let mut rig = rig(channels);
    rig.host(HostEvent::ToolsListed);
    rig.pass(SECOND);
    assert!(rig.is_live("g"), "{:?}", rig.notes);
    rig
}

/// What was handed over: its text, the attempt, and whether it is marked.
fn offers(rig: &Rig) -> Vec<(&str, u32, bool)> {
    let offers = rig.inbounds.iter();
    let offers = offers.map(|inbound| {
        let text = inbound.messages[0].content.as_str();
        (text, inbound.attempt, inbound.redelivered)
    });
    offers.collect()
}

fn get_channel(channel: &str) -> Tool {
    Tool::Ask {
        channel: ChannelId::new(channel).unwrap(),
        guild: None,
        ask: Ask::Fields,
    }
}

#[test]
fn nothing_is_handed_over_before_the_tools_are_listed_and_half_a_second_has_passed() {
    let mut rig = rig(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.pass(MINUTE);
    assert!(rig.inbounds.is_empty(), "it has not asked for the tools");
    rig.host(HostEvent::ToolsListed);
    rig.pass(SECOND / 2 - Duration::from_micros(1));
    assert!(rig.inbounds.is_empty());
    rig.pass(Duration::from_micros(1));
    assert_eq!(rig.heard(), [["one"]]);
}

#[test]
fn a_turn_ends_when_it_is_said_to_be_done_or_after_ten_minutes() {
    let mut rig = open(&[("c", "general")]);
    for (seq, text) in [(1, "one"), (2, "two"), (3, "three")] {
        rig.says("c", seq, text);
    }
    assert_eq!(rig.heard(), [["one"]], "written is not done");
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    rig.call(get_channel("c"));
    rig.pass(10 * MINUTE);
    assert_eq!(rig.heard(), [["one"], ["two"], ["three"]]);
}

#[test]
fn a_turn_without_a_receipt_is_handed_over_once_more_and_never_twice() {
    let mut rig = open(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.pass(2 * MINUTE - SECOND);
    assert_eq!(offers(&rig), [("one", 1, false)]);
    rig.pass(SECOND);
    assert_eq!(offers(&rig), [("one", 1, false), ("one", 2, true)]);
    assert_eq!(rig.inbounds[0].turn_id, rig.inbounds[1].turn_id);
    let noted = rig.noted(|note| matches!(note, Note::OfferedAgain { .. }));
    assert_eq!(noted, 1);
    rig.pass(20 * MINUTE);
    assert_eq!(rig.inbounds.len(), 2);
}

#[test]
fn an_offer_that_is_made_once_more_counts_after_a_restart() {
    let mut rig = open(&[("c", "general")]);
    let row = message("c", 1, "one");
    rig.guild("g").history.push(row.clone());
    rig.push("g", "message.created", &row);
    rig.pass(2 * MINUTE);
    rig.guild("g").last_seq = Some(1);
    rig.restart();
    rig.host(HostEvent::ToolsListed);
    rig.pass(SECOND);
    let expected = [("one", 1, false), ("one", 2, true), ("one", 3, true)];
    assert_eq!(offers(&rig), expected);
}

#[test]
fn any_call_that_names_the_channel_is_the_receipt() {
    let no_reply = || Tool::NoReply {
        channel: ChannelId::new("c").unwrap(),
        guild: None,
    };
    for tool in [get_channel("c"), no_reply()] {
        let mut rig = open(&[("c", "general"), ("d", "dm")]);
        rig.says("c", 1, "one");
        rig.says("d", 1, "there");
        rig.call(tool);
        rig.pass(5 * MINUTE);
        let expected = [("one", 1, false), ("there", 1, false), ("there", 2, true)];
        assert_eq!(offers(&rig), expected);
    }
}

#[test]
fn a_turn_that_is_done_is_not_handed_over_again() {
    let mut rig = open(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.done(0);
    rig.pass(5 * MINUTE);
    assert_eq!(offers(&rig), [("one", 1, false)]);
}

#[test]
fn nothing_of_a_channel_that_was_left_is_handed_over_again() {
    let mut rig = open(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.guild("g").channels.clear();
    rig.push("g", "channel.left", &membership("c", json!({})));
    rig.pass(5 * MINUTE);
    assert_eq!(offers(&rig), [("one", 1, false)]);
}

#[test]
fn what_the_other_profile_writes_has_arrived() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.pass(5 * MINUTE);
    assert_eq!(offers(&rig), [("one", 1, false)]);
}
