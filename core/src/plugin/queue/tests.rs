//! Stories about the queue of one channel.

use alloc::{format, string::String, vec};

use super::*;
use crate::{
    fabric::types::Author,
    id::{AgentId, UserId},
    time::Wall,
};

fn config() -> Config {
    Config::new(AgentId::new("a").unwrap())
}

fn message(seq: u64, chars: usize) -> InboundMessage {
    InboundMessage {
        id: MessageId::new(&format!("m{seq}")).unwrap(),
        seq,
        author: Author {
            id: UserId::new("u").unwrap(),
            name: String::new(),
        },
        content: "é".repeat(chars),
        mentions: vec![],
        reply_to: None,
        attachments: vec![],
        created_at: Wall::default(),
    }
}

fn turn(id: &str) -> TurnId {
    TurnId::new(id).unwrap()
}

fn seqs(batch: Option<Batch>) -> Vec<u64> {
    batch
        .into_iter()
        .flat_map(|batch| batch.messages)
        .map(|message| message.seq)
        .collect()
}

#[test]
fn what_waits_is_not_finished_whatever_runs() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.push(now, message(7, 1), Cause::Posted, true);
    let first = queue.next_batch(now, &config).unwrap();
    queue.start(turn("t1"), &first);
    assert_eq!(queue.unfinished(), Some(7));
    // The guild was restored from a backup, and has begun to count anew.
    queue.push(now, message(8, 1), Cause::Posted, true);
    queue.push(now, message(2, 1), Cause::Posted, true);
    assert_eq!(queue.unfinished(), Some(2));
}

#[test]
fn turns_run_one_at_a_time_in_order() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.push(now, message(1, 1), Cause::Posted, true);
    queue.push(now, message(2, 1), Cause::Posted, true);
    let first = queue.next_batch(now, &config).unwrap();
    queue.start(turn("t1"), &first);
    assert_eq!(seqs(Some(first)), vec![1]);
    assert_eq!(queue.next_batch(now, &config), None);
    assert_eq!(queue.end(&turn("t0")), None);
    assert!(queue.end(&turn("t1")).is_some());
    assert_eq!(queue.end(&turn("t1")), None);
    assert_eq!(seqs(queue.next_batch(now, &config)), vec![2]);
}

#[test]
fn a_turn_that_never_ends_is_ended() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.push(now, message(1, 1), Cause::Posted, true);
    let batch = queue.next_batch(now, &config).unwrap();
    queue.start(turn("t1"), &batch);
    assert_eq!(queue.next_wakeup(&config, true), None, "it is not kept yet");
    assert_eq!(queue.running(), None);
    queue.hand_over(now, &turn("t1"), config.turn_timeout);
    assert_eq!(queue.call_off(), None);
    assert_eq!(
        queue.next_wakeup(&config, true).unwrap().at,
        now + config.turn_timeout
    );
    assert_eq!(
        queue.expire(now + config.turn_timeout - Duration::from_micros(1)),
        None
    );
    assert!(queue.expire(now + config.turn_timeout).is_some());
}

#[test]
fn an_idle_queue_is_spent_after_five_seconds_and_not_before() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    let idle = config.queue_idle;
    assert!(!queue.is_spent(now, idle, Planted::default()));
    assert_eq!(queue.next_wakeup(&config, true).unwrap().at, now + idle);
    assert!(!queue.is_spent(
        now + idle - Duration::from_micros(1),
        idle,
        Planted::default()
    ));
    queue.push(
        now + idle - Duration::from_micros(1),
        message(1, 1),
        Cause::Posted,
        true,
    );
    assert!(!queue.is_spent(now + idle, idle, Planted::default()));
    assert_eq!(queue.clear(), (1, 2));
    assert!(!queue.is_spent(now + idle, idle, Planted::default()));
    assert!(queue.is_spent(now + idle * 2, idle, Planted::default()));
}

#[test]
fn what_does_not_fit_is_counted_in_the_next_turn() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.skip(1, 1);
    assert!(!queue.is_spent(
        now + config.queue_idle * 2,
        config.queue_idle,
        Planted::default()
    ));
    queue.push(now, message(2, 1), Cause::Posted, true);
    assert_eq!(queue.next_batch(now, &config).unwrap().skips.total(), 1);
    queue.push(now, message(3, 1), Cause::Posted, true);
    assert_eq!(queue.next_batch(now, &config).unwrap().skips.total(), 0);
}

#[test]
fn coalesced_turns_are_bounded_by_messages_and_characters() {
    let span = Duration::from_millis(500);
    let config = Config {
        coalesce: Some(span),
        ..config()
    };
    let now = Time::from_millis(1);
    let mut queue = Queue::default();
    queue.push(now, message(1, 30_000), Cause::Posted, true);
    queue.push(now, message(2, 20_000), Cause::Posted, true);
    queue.push(now, message(3, 1), Cause::Posted, true);
    assert_eq!(queue.next_batch(now, &config), None);
    assert_eq!(queue.next_wakeup(&config, true).unwrap().at, now + span);
    assert_eq!(queue.next_wakeup(&config, false), None);
    assert_eq!(seqs(queue.next_batch(now + span, &config)), vec![1, 2]);
    assert_eq!(seqs(queue.next_batch(now + span, &config)), vec![3]);
    for seq in 0..25 {
        queue.push(now, message(seq, 1), Cause::Posted, true);
    }
    assert_eq!(
        queue.next_batch(now, &config).unwrap().messages.len(),
        TURN_MESSAGES_MAX
    );
}

#[test]
fn edits_and_deletions_reach_what_waits() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.push(now, message(1, 1), Cause::Posted, true);
    queue.push(now, message(2, 1), Cause::Posted, true);
    assert_eq!(queue.update(&message(2, 5), 1_000), (2, 10));
    assert_eq!(queue.update(&message(3, 5), 1_000), (0, 0));
    assert_eq!(queue.remove(&message(1, 1).id), Some(message(1, 1)));
    assert_eq!(queue.remove(&message(1, 1).id), None);
    let batch = queue.next_batch(now, &config).unwrap();
    assert_eq!(batch.messages, vec![message(2, 5)]);
}

#[test]
fn a_turn_that_was_begun_before_comes_first_and_whole() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.push(now, message(9, 1), Cause::Rewake, true);
    for (id, first) in [("t1", 1), ("t2", 5)] {
        let again = Redelivery {
            turn: turn(id),
            attempt: 2,
            notice: Notice::default(),
        };
        queue.push_again(now, &again, vec![message(first, 1), message(first + 2, 1)]);
    }
    assert!(queue.knows(&turn("t2")) && !queue.knows(&turn("t3")));
    for (id, told) in [("t1", vec![1, 3]), ("t2", vec![5, 7])] {
        let batch = queue.next_batch(now, &config).unwrap();
        assert_eq!(batch.again.as_ref().unwrap().turn, turn(id));
        queue.start(turn(id), &batch);
        assert!(queue.knows(&turn(id)));
        assert_eq!(seqs(Some(batch)), told);
        assert!(queue.call_off().is_some());
        assert!(!queue.knows(&turn(id)));
    }
    let batch = queue.next_batch(now, &config).unwrap();
    assert_eq!((batch.again, batch.rewake), (None, true));
}

#[test]
fn where_users_take_turns_each_turn_needs_a_permit() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.take_turns();
    for seq in 1..=3 {
        queue.push(now, message(seq, 1), Cause::Posted, true);
    }
    let id = |seq| message(seq, 1).id;
    assert_eq!(queue.next_batch(now, &config), None);
    assert_eq!(queue.ask_permit(now, &config), Some(id(1)));
    assert_eq!(queue.ask_permit(now, &config), None, "it is being asked");
    assert_eq!(queue.refuse(&id(2)), (0, vec![]), "about another");
    assert_eq!(queue.refuse(&id(1)), (1, vec![message(1, 1)]));
    assert_eq!(queue.fate(&id(1)), Fate::Unknown);
    assert_eq!(queue.ask_permit(now, &config), Some(id(2)));
    assert_eq!(queue.remove(&id(2)), Some(message(2, 1)));
    queue.permit(&id(2), 3);
    assert_eq!(
        queue.next_batch(now, &config),
        None,
        "the permit was for another"
    );
    assert_eq!(queue.ask_permit(now, &config), Some(id(3)));
    queue.permit(&id(3), 3);
    assert_eq!(queue.fate(&id(3)), Fate::Open);
    let batch = queue.next_batch(now, &config).unwrap();
    assert!(batch.awaited);
    queue.start(turn("t"), &batch);
    queue.hand_over(now, &turn("t"), config.turn_timeout);
    assert_eq!(queue.fate(&id(3)), Fate::Open);
    queue.running().unwrap().posted = true;
    assert_eq!(queue.fate(&id(3)), Fate::Posted);
}

#[test]
fn what_was_posted_before_a_wake_does_not_answer_it() {
    let (config, now) = (config(), Time::from_millis(1));
    let id = message(5, 1).id;
    let answered = |cause, own: &[u64], act: fn(&mut Queue)| {
        let mut queue = Queue::default();
        queue.take_turns();
        queue.push(now, message(5, 1), cause, true);
        queue.ask_permit(now, &config);
        queue.permit(&id, 0);
        let batch = queue.next_batch(now, &config).unwrap();
        queue.start(turn("t"), &batch);
        own.iter().for_each(|seq| queue.on_own(*seq));
        act(&mut queue);
        queue.is_answered()
    };
    assert!(answered(Cause::Posted, &[6, 4], |_| {}));
    assert!(!answered(Cause::Posted, &[4], |_| {}));
    assert!(
        !answered(Cause::Rewake, &[6], |_| {}),
        "it is an old message"
    );
    let again = |queue: &mut Queue| queue.rewake(&message(5, 1).id, 6);
    assert!(!answered(Cause::Posted, &[6], again));
    assert!(answered(Cause::Posted, &[7], again));
    assert!(
        !answered(Cause::Posted, &[6], Queue::recover),
        "numbers come again"
    );
}

/// The guild wakes the agent once more while it is being asked: its answer may be older than that.
#[test]
fn a_refusal_does_not_take_what_has_woken_the_agent_since() {
    let (config, now) = (config(), Time::from_millis(1));
    let id = |seq| message(seq, 1).id;
    for (rewoken, gone, left) in [(1, 0, 1), (2, 1, 2), (3, 1, 2)] {
        let mut queue = Queue::default();
        queue.take_turns();
        for seq in 1..=3 {
            queue.push(now, message(seq, 1), Cause::Posted, true);
        }
        queue.rewake(&id(rewoken), 3);
        assert_eq!(queue.ask_permit(now, &config), Some(id(1)));
        queue.rewake(&id(rewoken), 3);
        let stale = (1..=gone).map(|seq| message(seq, 1)).collect();
        let gone = usize::try_from(gone).unwrap();
        assert_eq!(queue.refuse(&id(1)), (gone, stale), "{rewoken}");
        assert_eq!(queue.ask_permit(now, &config), Some(id(left)), "{rewoken}");
        // Nobody has woken it since this question.
        let (gone, _) = queue.refuse(&id(left));
        assert_eq!(gone, 1, "{rewoken}");
    }
}

/// What waits becomes one turn, which is asked about by its last message; but the guild has gone back to an
/// earlier one, since the last was deleted, perhaps, before the question.
#[test]
fn a_refusal_does_not_take_what_has_woken_the_agent_after_the_last() {
    let config = Config {
        coalesce: Some(Duration::ZERO),
        ..config()
    };
    let now = Time::from_millis(1);
    let id = |seq| message(seq, 1).id;
    for (before, after, left) in [(2, 0, 1), (1, 1, 0)] {
        let mut queue = Queue::default();
        queue.take_turns();
        for seq in 1..=before {
            queue.push(now, message(seq, 1), Cause::Posted, true);
        }
        // A guild that was restored from a backup knows of no more.
        queue.rewake(&id(1), 1);
        for seq in before + 1..=before + after {
            queue.push(now, message(seq, 1), Cause::Posted, true);
        }
        assert_eq!(queue.ask_permit(now, &config), Some(id(2)));
        queue.refuse(&id(2));
        assert_eq!(queue.waiting(), left, "{before}");
        if left > 0 {
            assert_eq!(queue.ask_permit(now, &config), Some(id(1)));
            queue.refuse(&id(1));
            assert_eq!(queue.waiting(), 0);
        }
    }
}

#[test]
fn a_permit_for_messages_that_become_one_turn_is_about_the_last() {
    let config = Config {
        coalesce: Some(Duration::ZERO),
        ..config()
    };
    let now = Time::from_millis(1);
    let mut queue = Queue::default();
    queue.take_turns();
    queue.push(now, message(1, 1), Cause::Posted, true);
    queue.push(now, message(2, 1), Cause::Rewake, true);
    let id = |seq| message(seq, 1).id;
    assert_eq!(queue.ask_permit(now, &config), Some(id(2)));
    queue.permit(&id(2), 3);
    queue.push(now, message(3, 1), Cause::Posted, true);
    assert_eq!(queue.next_batch(now, &config), None);
    assert_eq!(queue.ask_permit(now, &config), Some(id(3)));
    queue.permit(&id(3), 3);
    let batch = queue.next_batch(now, &config).unwrap();
    assert!(batch.rewake);
    assert_eq!(seqs(Some(batch)), vec![1, 2, 3]);
}

#[test]
fn what_waits_without_its_text_counts_as_long_as_it_is() {
    let config = Config {
        coalesce: Some(Duration::ZERO),
        ..config()
    };
    let now = Time::from_millis(1);
    let mut queue = Queue::default();
    for (seq, whole) in [(1, true), (2, false), (3, false)] {
        queue.push(now, message(seq, 20_000), Cause::Posted, whole);
    }
    assert_eq!(queue.update(&message(3, 40_000), 1 << 20), (0, 0));
    let batch = queue.next_batch(now, &config).unwrap();
    assert_eq!(batch.bare, [(2, message(2, 1).id)]);
    let lengths = batch.messages.iter().map(|message| message.content.len());
    assert_eq!(lengths.collect::<Vec<_>>(), [40_000, 0]);
    queue.push(now, message(4, 1), Cause::Posted, true);
    assert_eq!(queue.update(&message(4, 5), 8), (2, 10));
    assert_eq!(
        queue.update(&message(4, 10), 8),
        (10, 0),
        "it grew too much"
    );
    assert_eq!(queue.clear(), (2, 0));
}

#[test]
fn what_has_no_text_is_no_context_where_its_wake_was_stale() {
    let (config, now) = (config(), Time::from_millis(1));
    let mut queue = Queue::default();
    queue.take_turns();
    queue.push(now, message(1, 1), Cause::Posted, false);
    let id = message(1, 1).id;
    assert_eq!(queue.ask_permit(now, &config), Some(id.clone()));
    assert_eq!(queue.refuse(&id), (1, vec![]));
}
