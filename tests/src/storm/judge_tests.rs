//! The judge, with runs that are right and runs in which one thing is wrong.

use std::time::Duration;

use selvedge_core::Time;

use super::{
    judge::{Author, Channel, Evidence, Posted, Said, Verdict, answer, judge},
    ledger::{Deed, Entry, Handed, Place, Told},
};

/// A run with one channel, whose parts are told one after the other, a second apart.
struct Run {
    evidence: Evidence,
    life: usize,
}

fn said(seq: u64, author: &str, content: &str, reply_to: Option<u64>) -> Said {
    Said {
        id: format!("m{seq}"),
        seq,
        author: Author { id: author.into() },
        content: content.into(),
        reply_to_id: reply_to.map(|seq| format!("m{seq}")),
    }
}

impl Run {
    fn new() -> Self {
        let channel = Channel {
            id: "c".into(),
            wakes: true,
            takes_turns: false,
            said: vec![],
        };
        let evidence = Evidence {
            agent: "echo".into(),
            channels: vec![channel],
            posted: vec![],
            entries: vec![],
        };
        Self { evidence, life: 0 }
    }

    fn now(&self) -> Time {
        let told = self.evidence.entries.len() + self.evidence.posted.len();
        Time::ZERO + Duration::from_secs(told as u64)
    }

    fn channel(&mut self) -> &mut Channel {
        &mut self.evidence.channels[0]
    }

    /// Somebody posts; the `seq`.
    fn posts(&mut self) -> u64 {
        let seq = self.channel().said.len() as u64 + 1;
        let content = format!("say {seq}");
        self.channel().said.push(said(seq, "alice", &content, None));
        self.evidence.posted.push(Posted {
            channel: "c".into(),
            content,
            at: self.now(),
        });
        seq
    }

    fn notes(&mut self, deed: Deed) {
        let (at, life) = (self.now(), self.life);
        self.evidence.entries.push(Entry { at, life, deed });
    }

    /// The host is handed a turn with one message.
    fn handed(&mut self, turn: &str, attempt: u32, seq: u64) {
        self.notes(Deed::Handed(Handed {
            turn: turn.into(),
            attempt,
            channel: Place { id: "c".into() },
            messages: vec![Told {
                id: format!("m{seq}"),
                seq,
                content: format!("say {seq}"),
            }],
            context: vec![],
            skipped: 0,
            redelivered: attempt > 1,
            recovered: false,
        }));
    }

    /// The agent answers.
    fn replies(&mut self, to: u64) {
        let seq = self.channel().said.len() as u64 + 1;
        let reply = said(seq, "echo", &answer(&format!("say {to}")), Some(to));
        self.channel().said.push(reply);
        let message = format!("m{to}");
        self.notes(Deed::Answered {
            message,
            already: false,
        });
    }

    fn ends(&mut self, turn: &str) {
        self.notes(Deed::Ending(turn.into()));
        self.notes(Deed::Ended(turn.into()));
    }

    fn killed(&mut self) {
        self.notes(Deed::Killed);
        self.life += 1;
    }

    /// Posts, is handed over, is answered and ended.
    fn round(&mut self, turn: &str) -> u64 {
        let seq = self.posts();
        self.handed(turn, 1, seq);
        self.replies(seq);
        self.ends(turn);
        seq
    }

    fn verdict(&self) -> Verdict {
        judge(&self.evidence)
    }

    /// What is wrong, of which one thing holds these words.
    fn violates(&self, words: &str) -> Verdict {
        let verdict = self.verdict();
        let found = verdict.violations.iter().any(|it| it.contains(words));
        assert!(found, "{words}: {:#?}", verdict.violations);
        verdict
    }
}

#[test]
fn a_run_without_a_fault_is_right() {
    let mut run = Run::new();
    run.round("t0");
    run.round("t1");
    let verdict = run.verdict();
    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!(verdict.slowest, Duration::from_secs(1));
    let figures = (verdict.messages, verdict.waking, verdict.deliveries);
    assert_eq!(figures, (2, 2, 2));
}

#[test]
fn what_was_open_at_a_kill_may_come_again() {
    let mut run = Run::new();
    let seq = run.posts();
    run.handed("t0", 1, seq);
    run.killed();
    run.handed("t0", 2, seq);
    run.replies(seq);
    run.ends("t0");
    run.round("t1");
    run.killed();
    run.handed("t1", 2, 3);
    run.ends("t1");
    let verdict = run.verdict();
    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!((verdict.redeliveries, verdict.deliveries), (2, 4));
}

#[test]
fn a_turn_that_nobody_saw_may_come_marked() {
    let mut run = Run::new();
    let seq = run.posts();
    run.killed();
    run.handed("t0", 2, seq);
    run.replies(seq);
    run.ends("t0");
    assert_eq!(run.verdict().violations, Vec::<String>::new());
}

#[test]
fn what_never_came_is_lost() {
    let mut run = Run::new();
    run.round("t0");
    let seq = run.posts();
    run.round("t1");
    let verdict = run.violates("never came");
    assert_eq!(verdict.lost, 1);
    run.violates(&format!("\"m{seq}\""));
    run.violates("has the answers []");
}

#[test]
fn what_comes_after_a_later_one_is_out_of_order() {
    let mut run = Run::new();
    let first = run.posts();
    let second = run.posts();
    for (turn, seq) in [("t0", second), ("t1", first)] {
        run.handed(turn, 1, seq);
        run.replies(seq);
        run.ends(turn);
    }
    run.violates("1 came after 2");
}

#[test]
fn what_comes_again_without_a_crash_is_a_duplicate() {
    let mut run = Run::new();
    let seq = run.round("t0");
    run.handed("t1", 1, seq);
    run.ends("t1");
    assert_eq!(run.violates("1 came again").duplicates, 1);
    let mut run = Run::new();
    let seq = run.round("t0");
    run.handed("t0", 2, seq);
    run.ends("t0");
    run.violates("without a crash");
    // Nor after a crash, where something newer has come since.
    let mut run = Run::new();
    let seq = run.round("t0");
    run.killed();
    run.round("t1");
    run.handed("t0", 2, seq);
    run.ends("t0");
    run.violates("without a crash");
}

#[test]
fn what_comes_again_after_a_crash_is_marked_and_the_same() {
    let mut run = Run::new();
    let seq = run.round("t0");
    run.killed();
    run.handed("t0", 1, seq);
    run.ends("t0");
    run.violates("1 came again");
    let mut run = Run::new();
    let seq = run.round("t0");
    run.killed();
    run.handed("t9", 2, seq);
    run.ends("t9");
    run.violates("1 came again");
    let mut run = Run::new();
    let first = run.posts();
    let second = run.posts();
    run.handed("t0", 1, first);
    run.killed();
    run.handed("t0", 2, second);
    run.ends("t0");
    run.violates("then as");
}

#[test]
fn a_turn_that_was_over_for_long_does_not_come_again() {
    let mut run = Run::new();
    let seq = run.round("t0");
    for _ in 0..30 {
        run.notes(Deed::Refused {
            message: "m1".into(),
            why: "later".into(),
        });
    }
    run.killed();
    run.handed("t0", 2, seq);
    run.ends("t0");
    run.violates("over for long");
}

#[test]
fn a_turn_that_was_open_at_a_kill_must_come_again() {
    let mut run = Run::new();
    let seq = run.posts();
    run.handed("t0", 1, seq);
    run.replies(seq);
    run.killed();
    run.round("t1");
    run.violates("never ended");
    // But where users take turns, it was answered, and is nobody's any more.
    run.channel().takes_turns = true;
    assert_eq!(run.verdict().violations, Vec::<String>::new());
}

#[test]
fn two_answers_to_a_message_are_one_too_many() {
    let mut run = Run::new();
    let seq = run.round("t0");
    run.replies(seq);
    assert_eq!(run.violates("has the answers").duplicates, 1);
}

#[test]
fn the_agent_says_nothing_else() {
    let mut run = Run::new();
    run.round("t0");
    let words = said(3, "echo", "by the way", None);
    run.channel().said.push(words);
    run.violates("nobody was to say");
    let mut run = Run::new();
    run.round("t0");
    run.channel().said[1].content = "echo: other".into();
    run.violates("nobody was to say");
}

#[test]
fn nobody_is_woken_where_nobody_is_to_be() {
    let mut run = Run::new();
    let seq = run.posts();
    run.channel().wakes = false;
    assert_eq!(run.verdict().violations, Vec::<String>::new());
    run.handed("t0", 1, seq);
    run.ends("t0");
    run.violates("nobody should be woken");
}

#[test]
fn nobody_is_woken_by_own_words() {
    let mut run = Run::new();
    run.round("t0");
    run.handed("t1", 1, 2);
    run.ends("t1");
    run.violates("nobody should be woken");
}

#[test]
fn what_the_guild_has_taken_it_keeps_once() {
    let mut run = Run::new();
    run.round("t0");
    run.evidence.posted.push(Posted {
        channel: "c".into(),
        content: "gone".into(),
        at: Time::ZERO,
    });
    run.violates("\"gone\" 0 times");
    let mut run = Run::new();
    run.round("t0");
    let twice = said(3, "alice", "say 1", None);
    run.channel().said.push(twice);
    run.violates("\"say 1\" 2 times");
    let mut run = Run::new();
    run.round("t0");
    run.channel().said[1].seq = 3;
    run.violates("the guild has 3 in place 2");
}

#[test]
fn what_was_left_out_is_told_of() {
    let mut run = Run::new();
    run.round("t0");
    if let Deed::Handed(handed) = &mut run.evidence.entries[0].deed {
        handed.skipped = 2;
    }
    run.violates("2 left out");
}

#[test]
fn a_message_comes_as_it_was_said() {
    let mut run = Run::new();
    run.round("t0");
    if let Deed::Handed(handed) = &mut run.evidence.entries[0].deed {
        handed.messages[0].content = "sya 1".into();
    }
    run.violates("came as");
    if let Deed::Handed(handed) = &mut run.evidence.entries[0].deed {
        handed.messages[0].seq = 9;
    }
    run.violates("the guild has no");
}
