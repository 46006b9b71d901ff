//! The laws of every machine (they stand at `selvedge_core::Machine`), each a check of one history.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use selvedge_core::{
    Machine as _, Snapshot, Time, canonical_hash,
    record::{Recorded, Redactor, SECRET_BYTES_MIN, digests},
    snapshot::Saved,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::history::{Advance, Choice, Id, Move, Run, Subject, Traffic, Wire, stepped, ticked};

/// What a check says: nothing, or how the law was broken.
pub type Verdict = Result<(), String>;

/// Every secret that a subject puts into an input contains this, so that one is noticed in a
/// recording whoever should have named it.
pub const SECRET_MARK: &str = "TopSecret";

/// When histories start: about now, as a runtime does.
pub const START: Time = Time::from_millis(1_790_000_000_000);

/// How many steps lie between two snapshots of a recording.
const SNAPSHOT_EVERY: u32 = 8;

const MINUTE: Duration = Duration::from_secs(60);
const MICRO: Duration = Duration::from_micros(1);

/// Law 1, total: any input in any state is legal.
///
/// # Errors
///
/// Where the machine panics.
pub fn total<S: Subject>(history: &[Move]) -> Verdict {
    walk::<S>(START, history, |_, _, _| Ok(()))
}

/// Law 2, closed: the same history twice gives the same outputs, and equal machines.
///
/// # Errors
///
/// Where two runs differ.
pub fn closed<S: Subject>(history: &[Move]) -> Verdict {
    let told = || {
        let mut told = Vec::new();
        let mut last = None;
        walk::<S>(START, history, |run, _, out| {
            told.push(format!("{out:?}"));
            last = Some(run.machine.clone());
            Ok(())
        })?;
        Ok::<_, String>((told, last))
    };
    let (first, second) = (told()?, told()?);
    for (at, (first, second)) in first.0.iter().zip(&second.0).enumerate() {
        same("the outputs", first, second).map_err(|why| format!("step {at}: {why}"))?;
    }
    same("the machines", &first.1, &second.1)
}

/// Law 3, no parking: a second tick at the same moment finds nothing to do.
///
/// # Errors
///
/// Where it says or changes anything.
pub fn no_parking<S: Subject>(history: &[Move]) -> Verdict {
    walk::<S>(START, history, |run, _, _| {
        nothing_at::<S>(&run.machine, run.now)
    })
}

/// Law 4, progress: after a step the next wake-up lies ahead.
///
/// # Errors
///
/// Where it does not.
pub fn progress<S: Subject>(history: &[Move]) -> Verdict {
    walk::<S>(START, history, |run, _, _| {
        match run.machine.next_wakeup() {
            Some(wakeup) if wakeup.at <= run.now => {
                Err(format!("{wakeup:?} is not after {}", run.now))
            }
            Some(_) | None => Ok(()),
        }
    })
}

/// Law 5, idle ticks are free: a tick before the deadline changes nothing, and a late tick does the
/// same whether there were idle ones before it or not.
///
/// # Errors
///
/// Where an idle tick says or changes anything, then or later.
pub fn idle_ticks_are_free<S: Subject>(history: &[Move]) -> Verdict {
    walk::<S>(START, history, |run, _, _| {
        let due = run.machine.next_wakeup().map(|wakeup| wakeup.at);
        let span = due.map_or(MINUTE * 60 * 24, |due| due.since(run.now) - MICRO);
        for idle in [span / 4, span / 2, span] {
            nothing_at::<S>(&run.machine, run.now + idle)?;
        }
        let Some(due) = due else { return Ok(()) };
        for late in [Duration::ZERO, MINUTE, MINUTE * 60] {
            let mut rested = run.machine.clone();
            let mut ticking = run.machine.clone();
            ticked(&mut ticking, run.now + span / 2)?;
            let rested_says = ticked(&mut rested, due + late)?;
            let ticking_says = ticked(&mut ticking, due + late)?;
            same("what is said", &rested_says, &ticking_says)?;
            same("the machines", &rested, &ticking)?;
        }
        Ok(())
    })
}

/// Law 6, bounded: a flood of one kind of input, after a history that opens the machine up, leaves
/// it within its limits.
///
/// # Errors
///
/// Where the machine grows beyond [`Subject::DEBUG_MAX`].
pub fn bounded<S: Subject>(opening: &[Move], kind: u8, flood: u64) -> Verdict {
    let mut run = Run::<S>::start(START)?;
    for next in opening {
        let input = run.next(*next);
        run.step(input)?;
    }
    for number in 0..flood {
        if run.subject.is_over() {
            break;
        }
        let choice = Choice {
            kind,
            a: number,
            b: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7,
        };
        let advance = Advance::Stay;
        let input = run.next(Move { advance, choice });
        run.step(input)?;
    }
    let length = format!("{:?}", run.machine).len();
    if length > S::DEBUG_MAX {
        return Err(format!(
            "after {flood} inputs of kind {kind} its text has {length} bytes, more than {}",
            S::DEBUG_MAX
        ));
    }
    Ok(())
}

/// Law 7, every question is closed once: ids are not used twice, only an open question is
/// forgotten, an answer to a closed one changes nothing, and each call gets one reply: at the end,
/// and (where `patient`, and the machine is) also when the world says nothing for hours.
///
/// # Errors
///
/// Where a question or a call is closed twice, or never.
pub fn questions_are_closed_once<S: Subject>(history: &[Move], patient: bool) -> Verdict {
    let mut run = Run::<S>::start(START)?;
    let mut ledger = Ledger::default();
    // The first tick may have asked: it is played again for the ledger.
    let (_, mut fresh) = S::start(START);
    ledger.on_outputs::<S>(&stepped(&mut fresh, START, None)?)?;
    for next in history {
        let was_over = run.subject.is_over();
        let input = run.next(*next);
        step_on::<S>(&mut run, input, was_over, &mut ledger)?;
    }
    if patient && S::PATIENT {
        let until = run.now + MINUTE * 60 * 3;
        while let Some(wakeup) = run.machine.next_wakeup().filter(|it| it.at < until) {
            run.now = wakeup.at;
            step_on::<S>(&mut run, None, false, &mut ledger)?;
        }
        if let Some(call) = ledger.calls.first() {
            return Err(format!("{call:?} has no reply after three hours"));
        }
    }
    let was_over = run.subject.is_over();
    let end = run.subject.end();
    step_on::<S>(&mut run, Some(end), was_over, &mut ledger)?;
    match (ledger.open.first(), ledger.calls.first()) {
        (None, None) => Ok(()),
        (Some(question), _) => Err(format!("{question:?} is open after the end")),
        (None, Some(call)) => Err(format!("{call:?} has no reply after the end")),
    }
}

/// Law 8, drop-safe: after the end there is no wake-up and no output.
///
/// # Errors
///
/// Where there is one.
pub fn drop_safe<S: Subject>(history: &[Move]) -> Verdict {
    let (before, after) = history.split_at(history.len() / 2);
    let mut run = Run::<S>::start(START)?;
    for next in before {
        let input = run.next(*next);
        run.step(input)?;
    }
    let end = run.subject.end();
    run.step(Some(end))?;
    for next in after {
        if !run.subject.is_over() {
            return Err("it is not over after its end".to_string());
        }
        if let Some(wakeup) = run.machine.next_wakeup() {
            return Err(format!("it wants {wakeup:?} after its end"));
        }
        let input = run.next(*next);
        let out = run.step(input.clone())?;
        if !out.is_empty() {
            return Err(format!("{input:?} makes it say {out:?} after its end"));
        }
    }
    Ok(())
}

/// Law 9, comparable: a clone equals its original, and the canonical hash depends neither on the
/// clone nor on the moment of the start; the end gives another one than the start.
///
/// # Errors
///
/// Where hashes differ that should not, or do not that should.
pub fn comparable<S: Subject>(history: &[Move]) -> Verdict {
    let hashes = |start: Time| {
        let mut hashes = Vec::new();
        walk::<S>(start, history, |run, _, _| {
            let clone = run.machine.clone();
            same("the clone", &clone, &run.machine)?;
            let hash = canonical_hash(&run.machine, run.now);
            same(
                "the hash of the clone",
                &canonical_hash(&clone, run.now),
                &hash,
            )?;
            hashes.push(hash);
            Ok(())
        })?;
        Ok::<_, String>(hashes)
    };
    let (now, then) = (hashes(START)?, hashes(Time::ZERO)?);
    if let Some(at) = now.iter().zip(&then).position(|(now, then)| now != then) {
        return Err(format!(
            "after step {at} the canonical hash depends on when the machine was started"
        ));
    }
    let mut run = Run::<S>::start(START)?;
    let before = canonical_hash(&run.machine, START);
    let end = run.subject.end();
    run.step(Some(end))?;
    if canonical_hash(&run.machine, START) == before {
        return Err("the canonical hash is the same before and after the end".to_string());
    }
    Ok(())
}

/// A machine that is written down and read back before every step does in each what the one does that
/// was never written down, and equals it.
///
/// # Errors
///
/// Where it does not.
pub fn goes_on_from_a_snapshot<S: Subject>(history: &[Move]) -> Verdict {
    let (_, mut twin) = S::start(START);
    stepped(&mut twin, START, None)?;
    walk::<S>(START, history, |run, input, out| {
        let restored = Saved::of(&twin).load();
        twin = restored.map_err(|error| error.to_string())?;
        let twins = stepped(&mut twin, run.now, input.cloned())?;
        same("what is said after a snapshot", &twins.as_slice(), &out)?;
        same("the machine after a snapshot", &twin, &run.machine)?;
        same(
            "its canonical hash",
            &canonical_hash(&twin, run.now),
            &canonical_hash(&run.machine, run.now),
        )
    })
}

/// Every input can be written down and read back.
///
/// # Errors
///
/// Where what is read differs.
pub fn inputs_can_be_written_down<S>(history: &[Move]) -> Verdict
where
    S: Subject<Input: Serialize + DeserializeOwned>,
{
    walk::<S>(START, history, |_, input, _| {
        let Some(input) = input else { return Ok(()) };
        let line = serde_json::to_string(input).map_err(|error| format!("{input:?}: {error}"))?;
        let read: S::Input =
            serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        same("the input", &read, input)
    })
}

/// No secret of an input stands in its recording, and the recording can still be read.
///
/// # Errors
///
/// Where one does.
pub fn recordings_hold_no_secret<S>(history: &[Move]) -> Verdict
where
    S: Subject<Input: Recorded>,
{
    let mut redactor = Redactor::default();
    walk::<S>(START, history, |_, input, _| {
        let Some(input) = input else { return Ok(()) };
        let line = redactor.line(input).map_err(|error| error.to_string())?;
        let mut leaked = line.contains(SECRET_MARK);
        input.secrets(&mut |secret| {
            leaked |= secret.len() >= SECRET_BYTES_MIN && line.contains(secret)
        });
        if leaked {
            return Err(format!("a secret stands in {line}"));
        }
        let read: S::Input =
            serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        let again = serde_json::to_string(&read).map_err(|error| error.to_string())?;
        same("the redacted line", &again, &line)
    })
}

/// A recording replays from any snapshot in it to the same outputs, also one with filler, and no secret
/// stands in one.
///
/// # Errors
///
/// Where it does not, or one does.
pub fn recordings_go_on_from_a_snapshot<S>(history: &[Move]) -> Verdict
where
    S: Subject<Input: Recorded, Output: Serialize>,
{
    let all = [Redactor::default(), Redactor::default().filling()];
    all.into_iter()
        .try_for_each(|redactor| replays_from_each_snapshot::<S>(history, redactor))
}

fn replays_from_each_snapshot<S>(history: &[Move], mut redactor: Redactor) -> Verdict
where
    S: Subject<Input: Recorded, Output: Serialize>,
{
    let (_, mut twin) = S::start(START);
    stepped(&mut twin, START, None)?;
    let mut steps = 0;
    walk::<S>(START, history, |run, input, out| {
        steps += 1;
        let input = input.map(|input| {
            let line = redactor.line(input).map_err(|error| error.to_string())?;
            serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))
        });
        let twins = stepped(&mut twin, run.now, input.transpose()?)?;
        let told = redactor.digests(out);
        if told != digests(&twins, &mut |_, _| None) {
            return Err(format!("a replay says\n{twins:?} instead of\n{out:?}"));
        }
        if steps % SNAPSHOT_EVERY > 0 {
            return Ok(());
        }
        let state = redactor.state(&run.machine);
        let state = state.map_err(|error| error.to_string())?;
        if state.contains(SECRET_MARK) {
            return Err(format!("a secret stands in {state}"));
        }
        let tree = serde_json::from_str(&state).map_err(|error| error.to_string())?;
        twin = Snapshot::load(tree).map_err(|error| format!("{error} in {state}"))?;
        Ok(())
    })
}

/// Nothing is done to a connection that the machine has closed or hung up.
///
/// # Errors
///
/// Where something is.
pub fn connections_end_once<S: Subject>(history: &[Move]) -> Verdict {
    let mut ended = BTreeSet::new();
    walk::<S>(START, history, |_, _, out| {
        for output in out {
            let Some(wire) = S::on_wire(output) else {
                continue;
            };
            let (Wire::Uses(conn) | Wire::Ends(conn)) = wire;
            if ended.contains(&conn) {
                return Err(format!("{output:?} comes after the end of its connection"));
            }
            if wire == Wire::Ends(conn) {
                ended.insert(conn);
            }
        }
        Ok(())
    })
}

/// The words of everything that the machine says in a history: which outputs it reaches.
///
/// # Errors
///
/// Where the machine panics.
pub fn reach<S: Subject>(history: &[Move]) -> Result<BTreeSet<String>, String> {
    let mut words = BTreeSet::new();
    walk::<S>(START, history, |_, _, out| {
        let text = format!("{out:?}");
        let found = text.split(|it: char| !it.is_alphanumeric() && it != '_');
        words.extend(
            found
                .filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase()))
                .map(str::to_string),
        );
        Ok(())
    })?;
    Ok(words)
}

/// Plays a history, with a look at the machine after each step.
pub(crate) fn walk<S: Subject>(
    start: Time,
    history: &[Move],
    mut look: impl FnMut(&Run<S>, Option<&S::Input>, &[S::Output]) -> Verdict,
) -> Verdict {
    let mut run = Run::<S>::start(start)?;
    for (at, next) in history.iter().enumerate() {
        let input = run.next(*next);
        let out = run.step(input.clone());
        let looked = out.and_then(|out| look(&run, input.as_ref(), &out));
        looked.map_err(|why| format!("step {at}, {input:?}: {why}"))?;
    }
    Ok(())
}

fn nothing_at<S: Subject>(machine: &S::Machine, now: Time) -> Verdict {
    let mut idle = machine.clone();
    let out = ticked(&mut idle, now)?;
    if !out.is_empty() {
        return Err(format!("an idle tick at {now} says {out:?}"));
    }
    same("the machine after an idle tick", &idle, machine)
}

pub(crate) fn same<T: PartialEq + Debug>(what: &str, left: &T, right: &T) -> Verdict {
    if left == right {
        return Ok(());
    }
    Err(format!("{what} should be the same:\n{left:?}\n{right:?}"))
}

/// What is open between a machine and the world.
#[derive(Debug, Default)]
struct Ledger {
    asked: BTreeSet<Id>,
    open: BTreeSet<Id>,
    orders: BTreeSet<Id>,
    calls: BTreeSet<Id>,
}

impl Ledger {
    fn on_outputs<S: Subject>(&mut self, out: &[S::Output]) -> Verdict {
        for output in out {
            match S::of_output(output) {
                Some(Traffic::Ask(id)) => {
                    if !self.asked.insert(id) {
                        return Err(format!("{id:?} is asked a second time"));
                    }
                    self.open.insert(id);
                }
                Some(Traffic::Order(id)) => {
                    if !self.asked.insert(id) {
                        return Err(format!("{id:?} is ordered a second time"));
                    }
                    self.orders.insert(id);
                }
                Some(Traffic::Forget(id)) => {
                    if !self.open.remove(&id) {
                        return Err(format!("{id:?} is forgotten, but not open"));
                    }
                }
                Some(Traffic::Reply(id)) => {
                    if !self.calls.remove(&id) {
                        return Err(format!("{id:?} is replied to, but not open"));
                    }
                }
                Some(Traffic::Answer(_) | Traffic::Call(_) | Traffic::Gone(_)) | None => {}
            }
        }
        Ok(())
    }
}

fn step_on<S: Subject>(
    run: &mut Run<S>,
    input: Option<S::Input>,
    was_over: bool,
    ledger: &mut Ledger,
) -> Verdict {
    let before = run.machine.clone();
    let mut stray = false;
    match input.as_ref().and_then(S::of_input) {
        Some(Traffic::Answer(id)) => {
            stray = !ledger.open.remove(&id) && !ledger.orders.remove(&id);
        }
        Some(Traffic::Gone(id)) => {
            ledger.calls.remove(&id);
        }
        Some(Traffic::Call(id)) if !was_over => {
            ledger.calls.insert(id);
        }
        Some(
            Traffic::Call(_)
            | Traffic::Ask(_)
            | Traffic::Order(_)
            | Traffic::Forget(_)
            | Traffic::Reply(_),
        )
        | None => {}
    }
    let out = run.step(input.clone())?;
    if stray {
        let mut without = before;
        let plain = stepped(&mut without, run.now, None)?;
        let words = format!("after {input:?}, which nobody waits for, ");
        same(&format!("{words}the outputs"), &out, &plain)?;
        same(&format!("{words}the machine"), &run.machine, &without)?;
    }
    ledger.on_outputs::<S>(&out)
}
