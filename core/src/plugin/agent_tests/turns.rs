//! Turns: one at a time in each channel, and none wedges its queue.

use super::*;

#[test]
fn turns_of_a_channel_follow_one_another_and_channels_go_side_by_side() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "dm")]);
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    rig.says("d", 1, "there");
    assert_eq!(rig.heard(), [["one"], ["there"]]);
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], ["there"], ["two"]]);
    let turn = TurnId::new("t_nobody.7").unwrap();
    let call = rig.call(Tool::TurnDone { turn });
    assert_eq!(rig.answer(call), Some(Ok(&ToolAnswer::Done)));
}

#[test]
fn no_reply_ends_the_running_turn() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    let call = rig.call(Tool::NoReply {
        channel: ChannelId::new("c").unwrap(),
        guild: None,
    });
    assert_eq!(rig.answer(call), Some(Ok(&ToolAnswer::Done)));
    assert_eq!(rig.heard(), [["one"], ["two"]]);
}

#[test]
fn a_turn_that_the_host_forgets_times_out_and_can_still_post() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    rig.pass(10 * MINUTE);
    assert_eq!(rig.heard(), [["one"], ["two"]]);
    assert_eq!(
        rig.noted(|note| matches!(note, Note::TurnTimedOut { .. })),
        1
    );
    rig.done(0);
    assert_eq!(rig.heard().len(), 2, "a late turn_done ends no other turn");
    let call = rig.send("c", None, "late");
    assert!(matches!(rig.answer(call), Some(Ok(ToolAnswer::Sent(_)))));
}

#[test]
fn a_host_without_turns_is_done_once_it_was_told() {
    let mut rig = Rig::new(&[("g", Guild::new(&[("c", "general")]))]);
    rig.host(HostEvent::Ready { turns: false });
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    assert_eq!(rig.heard(), [["one"], ["two"]]);
}

#[test]
fn what_comes_before_the_host_is_ready_waits_for_it() {
    let mut rig = Rig::new(&[("g", Guild::new(&[("c", "general")]))]);
    rig.step(None);
    rig.says("c", 1, "one");
    rig.pass(MINUTE);
    assert!(rig.inbounds.is_empty());
    rig.start();
    assert_eq!(rig.heard(), [["one"]]);
}

#[test]
fn a_full_queue_counts_what_it_skips() {
    let config = Config {
        waiting_max: 2,
        ..config()
    };
    let mut rig = Rig::with(config, &[("g", Guild::new(&[("c", "general")]))]);
    rig.start();
    for seq in 1..=6 {
        rig.says("c", seq, "more");
    }
    assert_eq!(rig.noted(|note| matches!(note, Note::Skipped { .. })), 3);
    rig.done(0);
    assert_eq!(rig.inbounds[1].skipped, 3);
    rig.done(1);
    assert_eq!(rig.inbounds[2].skipped, 0);
}

#[test]
fn what_waits_in_all_channels_together_is_bounded_too() {
    let config = Config {
        waiting_agent_max: 2,
        ..config()
    };
    let channels = [("c", "general"), ("d", "general")];
    let mut rig = Rig::with(config, &[("g", Guild::new(&channels))]);
    rig.start();
    for (channel, _) in channels {
        rig.says(channel, 1, "runs");
    }
    for (channel, _) in channels {
        rig.says(channel, 2, "waits");
        rig.says(channel, 3, "waits or not");
    }
    let skipped =
        |note: &Note| matches!(note, Note::Skipped { channel, .. } if channel.as_str() == "d");
    assert_eq!(rig.noted(skipped), 1);
    rig.done(1);
    let next = rig.inbounds.last().unwrap();
    assert_eq!(
        (next.messages[0].seq, next.skipped),
        (2, 1),
        "none is silent"
    );
    rig.done(0);
    rig.says("d", 4, "room again");
    rig.done(2);
    let next = rig.inbounds.last().unwrap();
    assert_eq!((next.messages[0].seq, next.skipped), (4, 0));
}

#[test]
fn leaving_drops_what_waits_and_lets_the_turn_end() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    rig.push("g", "channel.left", &membership("c", json!({})));
    assert_eq!(
        rig.noted(|note| matches!(note, Note::Left { dropped: 1, .. })),
        1
    );
    rig.guild("g").last_seq = Some(2);
    rig.push(
        "g",
        "channel.joined",
        &membership("c", json!({"xType": "general"})),
    );
    rig.says("c", 3, "three");
    assert_eq!(rig.heard(), [["one"]], "the turn still runs");
    rig.done(0);
    assert_eq!(rig.heard(), [["one"], ["three"]]);
}

#[test]
fn people_see_an_agent_that_is_at_work_for_longer() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "dm")]);
    let (busy, online) = (presence("busy"), presence("online"));
    let typing = |channel| json!(["typing", {"channelId": channel}]);
    rig.emitted.clear();
    rig.says("c", 1, "one");
    rig.pass(SECOND / 2);
    rig.done(0);
    rig.pass(MINUTE);
    assert!(rig.emitted.is_empty(), "its answer is there already");
    rig.says("c", 2, "two");
    rig.pass(SECOND);
    assert_eq!(rig.emitted, [typing("c"), busy.clone()]);
    rig.says("d", 1, "there");
    rig.pass(4 * SECOND);
    let also = [typing("d"), typing("c"), typing("d")];
    assert_eq!(rig.emitted[2..], also);
    rig.done(1);
    assert_eq!(rig.emitted.len(), 5, "the other turn runs");
    rig.reset("g");
    rig.pass(2 * SECOND);
    assert_eq!(rig.emitted.last(), Some(&busy), "on the new connection too");
    rig.emitted.clear();
    rig.done(2);
    assert_eq!(rig.emitted, [online]);
    rig.pass(MINUTE);
    assert_eq!(rig.emitted.len(), 1);
}

fn presence(status: &str) -> Value {
    json!(["presence", {"status": status}])
}
