//! Canaries: for each law a machine that breaks it, so that no law is one that cannot fail.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    reason = "each place names the faults that show there, and one of them is a panic"
)]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use selvedge_core::{
    Canonical, Machine, Snapshot, Time, Wakeup,
    canon::Canon,
    record::Recorded,
    snapshot::{LoadError, Saver, Value},
    ws::ConnId,
};
use selvedge_tests::{
    histories::hold,
    history::{Choice, Move, Subject, Traffic, Wire},
    laws::{self, Verdict},
};
use serde::{Deserialize, Serialize};

/// What is wrong with a toy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    PanicsAtAStranger,
    CountsInTheProcess,
    Parks,
    NeverAdvances,
    CountsTicks,
    Grows,
    AsksTwiceUnderOneId,
    TakesStrayAnswers,
    ForgetsTwice,
    LeavesQuestionsOpen,
    RepliesTwice,
    NeverReplies,
    RingsAfterItsEnd,
    SpeaksAfterItsEnd,
    KnowsTheDate,
    HashesNothing,
    SavesHalf,
}

const FAULTS: [Fault; 18] = [
    Fault::Nothing,
    Fault::PanicsAtAStranger,
    Fault::CountsInTheProcess,
    Fault::Parks,
    Fault::NeverAdvances,
    Fault::CountsTicks,
    Fault::Grows,
    Fault::AsksTwiceUnderOneId,
    Fault::TakesStrayAnswers,
    Fault::ForgetsTwice,
    Fault::LeavesQuestionsOpen,
    Fault::RepliesTwice,
    Fault::NeverReplies,
    Fault::RingsAfterItsEnd,
    Fault::SpeaksAfterItsEnd,
    Fault::KnowsTheDate,
    Fault::HashesNothing,
    Fault::SavesHalf,
];

static PROCESS: AtomicU64 = AtomicU64::new(0);

/// A clock that rings a second after it was set, asks a question, and takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Toy {
    fault: Fault,
    due: Option<Time>,
    rings: u64,
    asked: Option<u64>,
    next: u64,
    calls: Vec<u64>,
    log: Vec<u64>,
    over: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Input {
    Set,
    Ask,
    Answer(u64),
    Call(u64),
    Secret {
        hidden: String,
        #[serde(skip)]
        lost: u64,
    },
    End,
}

impl Recorded for Input {
    fn secrets(&self, _: &mut dyn FnMut(&str)) {}
}

#[derive(Clone, Debug, PartialEq)]
enum Output {
    Rang(u64),
    Ask(u64),
    Forget(u64),
    Reply(u64),
}

impl Canonical for Toy {
    fn canonical(&self, canon: &mut Canon) {
        match self.fault {
            Fault::HashesNothing => return,
            Fault::KnowsTheDate => canon.number(self.due.map_or(0, Time::as_micros)),
            _ => self.due.canonical(canon),
        }
        self.asked.canonical(canon);
        self.over.canonical(canon);
    }
}

/// What a toy saves: a part of it, where that is its fault.
type Parts = (
    u64,
    (Option<Time>, Option<u64>),
    (Vec<u64>, Vec<u64>),
    (u64, u64, bool),
);

impl Snapshot for Toy {
    fn save(&self, saver: &mut Saver) -> Value {
        let place = FAULTS.iter().position(|fault| *fault == self.fault);
        let fault = place.unwrap_or_default() as u64;
        let next = match self.fault {
            Fault::SavesHalf => 0,
            _ => self.next,
        };
        let lists = (self.calls.clone(), self.log.clone());
        let parts: Parts = (
            fault,
            (self.due, self.asked),
            lists,
            (self.rings, next, self.over),
        );
        parts.save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let (fault, (due, asked), (calls, log), (rings, next, over)) = Parts::load(tree)?;
        let fault = FAULTS.get(fault as usize).copied();
        Ok(Self {
            fault: fault.ok_or_else(LoadError::default)?,
            due,
            rings,
            asked,
            next,
            calls,
            log,
            over,
        })
    }
}

impl Machine for Toy {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.over {
            if self.fault == Fault::SpeaksAfterItsEnd {
                out.push(Output::Rang(0));
            }
            return;
        }
        match input {
            Input::Set => {
                self.rings += 1;
                self.due.get_or_insert(now + Duration::from_secs(1));
                if self.fault == Fault::Grows {
                    self.log.push(self.rings);
                }
            }
            Input::Ask if self.asked.is_none() => {
                self.asked = Some(self.next);
                out.push(Output::Ask(self.next));
                if self.fault != Fault::AsksTwiceUnderOneId {
                    self.next += 1;
                }
            }
            Input::Answer(id) if self.asked == Some(id) => {
                self.asked = None;
                if self.fault == Fault::ForgetsTwice {
                    out.push(Output::Forget(id));
                }
            }
            Input::Answer(_) => match self.fault {
                Fault::PanicsAtAStranger => panic!("a stranger"),
                Fault::TakesStrayAnswers => self.next += 1,
                _ => {}
            },
            Input::Call(call) => match self.fault {
                Fault::NeverReplies => self.calls.push(call),
                Fault::RepliesTwice => out.extend([Output::Reply(call), Output::Reply(call)]),
                _ => out.push(Output::Reply(call)),
            },
            Input::Ask | Input::Secret { .. } => {}
            Input::End => {
                self.over = true;
                if self.fault != Fault::LeavesQuestionsOpen {
                    out.extend(self.asked.take().map(Output::Forget));
                }
                if self.fault != Fault::RingsAfterItsEnd {
                    self.due = None;
                }
                self.rings = 0;
                out.extend(self.calls.drain(..).map(Output::Reply));
            }
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.fault == Fault::CountsTicks {
            self.next = now.as_micros();
        }
        if self.due.is_none_or(|due| due > now) {
            if self.due.is_none() && self.fault == Fault::Parks && self.rings > 0 {
                self.rings -= 1;
                out.push(Output::Rang(0));
            }
            return;
        }
        out.push(Output::Rang(match self.fault {
            Fault::CountsInTheProcess => PROCESS.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        }));
        match self.fault {
            Fault::NeverAdvances => {}
            Fault::Parks => {
                self.rings -= 1;
                self.due = None;
            }
            _ => {
                self.rings = 0;
                self.due = None;
            }
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        self.due.map(|at| Wakeup { at, why: "ring" })
    }
}

/// A toy with the fault of that number.
#[derive(Clone, Debug, Default)]
struct Canary<const FAULT: usize> {
    next_call: u64,
    over: bool,
}

impl<const FAULT: usize> Subject for Canary<FAULT> {
    type Input = Input;
    type Output = Output;
    type Machine = Toy;

    const KINDS: u8 = 8;
    const DEBUG_MAX: usize = 500;

    fn start(_: Time) -> (Self, Toy) {
        let toy = Toy {
            fault: FAULTS.get(FAULT).copied().unwrap_or(Fault::Nothing),
            due: None,
            rings: 0,
            asked: None,
            next: 0,
            calls: Vec::new(),
            log: Vec::new(),
            over: false,
        };
        (Self::default(), toy)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        match kind % Self::KINDS {
            0 | 1 => Some(Input::Set),
            2 => Some(Input::Ask),
            3 => Some(Input::Answer(a % 8)),
            4 => {
                self.next_call += 1;
                Some(Input::Call(self.next_call))
            }
            5 => Some(Input::Secret {
                hidden: laws::SECRET_MARK.to_string(),
                lost: b,
            }),
            6 if a % 32 == 0 => Some(self.end()),
            _ => None,
        }
    }

    fn heard(&mut self, _: &Output) {}

    fn end(&mut self) -> Input {
        self.over = true;
        Input::End
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn of_input(input: &Input) -> Option<Traffic> {
        match input {
            Input::Answer(id) => Some(Traffic::Answer(("question", *id))),
            Input::Call(id) => Some(Traffic::Call(("call", *id))),
            Input::Set | Input::Ask | Input::Secret { .. } | Input::End => None,
        }
    }

    /// Every ring ends the same connection, which no sound machine does.
    fn on_wire(output: &Output) -> Option<Wire> {
        match output {
            Output::Rang(_) => Some(Wire::Ends(ConnId(1))),
            Output::Ask(_) | Output::Forget(_) | Output::Reply(_) => None,
        }
    }

    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Ask(id) => Some(Traffic::Ask(("question", *id))),
            Output::Forget(id) => Some(Traffic::Forget(("question", *id))),
            Output::Reply(id) => Some(Traffic::Reply(("call", *id))),
            Output::Rang(_) => None,
        }
    }
}

type Law = fn(&[Move]) -> Verdict;

fn once<S: Subject>(history: &[Move]) -> Verdict {
    laws::questions_are_closed_once::<S>(history, false)
}

fn once_in_silence<S: Subject>(history: &[Move]) -> Verdict {
    laws::questions_are_closed_once::<S>(history, true)
}

fn bounded<S: Subject>(opening: &[Move]) -> Verdict {
    laws::bounded::<S>(opening, 0, 200)
}

fn all<S: Subject>() -> [Law; 10] {
    [
        laws::total::<S>,
        laws::closed::<S>,
        laws::no_parking::<S>,
        laws::progress::<S>,
        laws::idle_ticks_are_free::<S>,
        bounded::<S>,
        once::<S>,
        once_in_silence::<S>,
        laws::drop_safe::<S>,
        laws::comparable::<S>,
    ]
}

#[test]
fn a_sound_machine_keeps_them_all() {
    for law in all::<Canary<0>>() {
        hold(law).unwrap();
    }
}

#[track_caller]
fn breaks(law: Law, words: &str) {
    let Err(why) = hold(law) else {
        panic!("a broken machine keeps the law");
    };
    assert!(why.contains(words), "it fails for another reason: {why}");
}

#[test]
fn what_follows_the_end_of_a_connection_is_not_missed() {
    let law = laws::connections_end_once::<Canary<0>>;
    breaks(law, "after the end of its connection");
}

#[test]
fn law_1_misses_no_panic() {
    breaks(laws::total::<Canary<1>>, "panicked: a stranger");
}

#[test]
fn law_2_misses_no_counter_of_the_process() {
    breaks(laws::closed::<Canary<2>>, "the outputs should be the same");
}

#[test]
fn law_3_misses_nothing_parked() {
    breaks(laws::no_parking::<Canary<3>>, "an idle tick at");
}

#[test]
fn law_4_misses_no_standstill() {
    breaks(laws::progress::<Canary<4>>, "no progress");
}

#[test]
fn law_5_misses_no_tick_that_is_counted() {
    breaks(laws::idle_ticks_are_free::<Canary<5>>, "after an idle tick");
}

#[test]
fn law_6_misses_no_growth() {
    breaks(bounded::<Canary<6>>, "more than 500");
}

#[test]
fn law_7_misses_no_question_asked_answered_or_forgotten_twice_or_left_open() {
    breaks(once::<Canary<7>>, "is asked a second time");
    breaks(once::<Canary<8>>, "which nobody waits for");
    breaks(once::<Canary<9>>, "is forgotten, but not open");
    breaks(once::<Canary<10>>, "is open after the end");
}

#[test]
fn law_7_misses_no_call_without_exactly_one_reply() {
    breaks(once::<Canary<11>>, "is replied to, but not open");
    breaks(
        once_in_silence::<Canary<12>>,
        "has no reply after three hours",
    );
}

#[test]
fn law_8_misses_no_life_after_the_end() {
    breaks(laws::drop_safe::<Canary<13>>, "it wants Wakeup");
    breaks(laws::drop_safe::<Canary<14>>, "after its end");
}

#[test]
fn law_9_misses_no_hash_that_says_too_much_or_nothing() {
    breaks(laws::comparable::<Canary<15>>, "depends on when");
    breaks(laws::comparable::<Canary<16>>, "before and after the end");
}

#[test]
fn a_snapshot_misses_no_field() {
    breaks(
        laws::goes_on_from_a_snapshot::<Canary<17>>,
        "after a snapshot",
    );
}

#[test]
fn recordings_are_searched_for_secrets_and_read_back() {
    breaks(
        laws::recordings_hold_no_secret::<Canary<0>>,
        "a secret stands in",
    );
    breaks(
        laws::inputs_can_be_written_down::<Canary<0>>,
        "the input should be the same",
    );
}
