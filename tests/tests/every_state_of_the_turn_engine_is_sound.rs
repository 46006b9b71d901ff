//! An exhaustive walk of the turn engine: every sequence of actions of three users, with at most two
//! mentions inside one another, and what must hold in each state that it leads to.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is broken is the failure of a test"
)]

use std::collections::{BTreeSet, VecDeque};

use selvedge_core::{Rng, Time, canonical_hash};
use selvedge_tests::turns::{
    Engine, Post, User, View,
    conversation::{holds, order_of_rounds, passing_ends, state},
    engine::Real,
};

/// Everybody.
const USERS: [User; 3] = [0, 1, 2];
/// The deepest stack in which a mention is posted: the root frame and one of mentions.
const DEPTH: usize = 2;
/// Every message is this one, and commands and acks answer it or the other: a message of the past
/// does nothing but not to be the waking one.
const MESSAGE: Post = 1;
const OTHER: Post = 2;
/// How many states there are.
const STATES: usize = 46_480;
/// The generators that every step is tried with: together they draw every order that a round of
/// three can begin with.
const GENERATORS: [u64; 4] = [0, 3, 5, 7];

/// One thing that can happen.
#[derive(Clone, Debug)]
enum Step {
    Post(User, Vec<User>),
    NoReply(User, Option<Post>),
    ForceProceed(Option<Post>),
    Bypass(User, bool),
    Join(User),
    Leave(User),
    Ack(User, Post),
    Rewake,
    PassUnasked,
    Delete,
    Close,
}

/// Everything that can happen in a state.
fn steps(view: &View) -> Vec<Step> {
    let mut steps = vec![Step::Close, Step::Delete, Step::ForceProceed(None)];
    if let Some(speaker) = view.current() {
        steps.push(Step::NoReply(speaker, Some(MESSAGE)));
        steps.push(Step::NoReply(speaker, Some(OTHER)));
        steps.push(Step::Ack(speaker, OTHER));
    }
    for user in USERS {
        steps.push(Step::NoReply(user, None));
        steps.push(Step::Ack(user, MESSAGE));
        if !view.order.contains(&user) && !view.bypass.contains(&user) {
            steps.push(Step::Join(user));
            continue;
        }
        steps.push(Step::Leave(user));
        steps.push(Step::Bypass(user, !view.bypass.contains(&user)));
        steps.push(Step::Post(user, Vec::new()));
        let others: Vec<_> = USERS.into_iter().filter(|it| *it != user).collect();
        if let [a, b] = others[..]
            && view.stack.len() <= DEPTH
        {
            let lists = [vec![a], vec![b], vec![a, b], vec![b, a]];
            steps.extend(lists.map(|mentions| Step::Post(user, mentions)));
        }
    }
    if view.is_due() {
        steps.push(Step::PassUnasked);
    }
    if !view.stack.is_empty() {
        steps.push(Step::Rewake);
    }
    steps
}

/// Whether it was not refused.
fn take(engine: &mut Real, step: &Step) -> bool {
    match step {
        Step::Post(by, mentions) => engine.message(*by, mentions, MESSAGE),
        Step::NoReply(by, answers) => return engine.no_reply(*by, *answers).is_ok(),
        Step::ForceProceed(answers) => return engine.force_proceed(*answers).is_ok(),
        Step::Bypass(user, bypass) => engine.set_bypass(*user, *bypass),
        Step::Join(user) => engine.join(*user),
        Step::Leave(user) => engine.leave(*user),
        Step::Ack(by, post) => return engine.ack(*by, *post) == Ok(true),
        Step::Rewake => engine.rewake(MESSAGE),
        Step::PassUnasked => engine.pass_unasked(),
        Step::Delete => engine.delete(MESSAGE),
        Step::Close => engine.close(),
    }
    true
}

fn look(step: &Step, done: bool, before: &View, after: &View) -> Result<(), String> {
    holds(done || before == after, "a refusal changes nothing")?;
    order_of_rounds(before, after)?;
    let paused = !before.stack.is_empty() && after.stack.is_empty();
    if let Step::Post(by, _) = step {
        holds(after.current() != Some(*by), "no author is current")
    } else if matches!(step, Step::Close) {
        holds(after.stack.is_empty(), "a closed channel is idle")
    } else {
        let passed = |user: &User| before.done.contains(user) || before.current() == Some(*user);
        let asked = after.order.iter().all(passed);
        holds(!paused || asked, "at a pause everybody was asked")
    }
}

/// The hash of a state in which users are told apart by their places alone, and wakes not by their
/// ids. The engine knows nothing else of users, so one of those states that differ in names stands
/// for all; and it never reads the id of a wake.
fn hash(view: &View) -> u128 {
    let mut named = view.order.clone();
    for (speakers, _) in &view.stack {
        named.extend(speakers);
    }
    let mut rest = view.bypass.clone();
    rest.sort_by_key(|user| (view.spoken.contains(user), view.done.contains(user)));
    named.extend(rest);
    let place = |user: &User| named.iter().position(|it| it == user);
    let places = |users: &[User]| users.iter().map(place).collect::<BTreeSet<_>>();
    let stack: Vec<_> = view
        .stack
        .iter()
        .map(|(speakers, cursor)| (speakers.iter().map(place).collect::<Vec<_>>(), *cursor))
        .collect();
    let users = (view.order.len(), places(&view.bypass));
    let said = (places(&view.spoken), places(&view.done));
    canonical_hash(&(users, said, (stack, view.wake)), Time::ZERO)
}

#[derive(Default)]
struct Walk {
    seen: BTreeSet<u128>,
    ahead: VecDeque<(Real, View)>,
}

impl Walk {
    /// A state is reached: the way goes on from it, if it is a new one.
    fn reach(&mut self, engine: Real, view: View) {
        if self.seen.insert(hash(&view)) {
            sound(&engine, &view);
            self.ahead.push_back((engine, view));
        }
    }

    /// Takes one step, with every generator if it draws.
    fn step(&mut self, engine: &Real, before: &View, step: &Step) {
        for generator in GENERATORS {
            let unused = Rng::from_number(generator);
            let mut next = Real {
                rng: unused.clone(),
                ..engine.clone()
            };
            let done = take(&mut next, step);
            if next.turn == engine.turn {
                return;
            }
            let after = next.view();
            look(step, done, before, &after)
                .unwrap_or_else(|why| panic!("{why}: {step:?} leads from {before:?} to {after:?}"));
            let drew = next.rng != unused;
            self.reach(next, after);
            if !drew {
                return;
            }
        }
    }
}

fn sound(engine: &Real, view: &View) {
    let members = view.order.iter().chain(&view.bypass).copied().collect();
    state(view, &members).unwrap();
    passing_ends(engine).unwrap();
}

#[test]
fn three_users_reach_no_state_that_is_not_sound() {
    let mut walk = Walk::default();
    for bypass in 0..=USERS.len() {
        let start = Real::new(&USERS, &USERS[..bypass]);
        let view = start.view();
        walk.reach(start, view);
    }
    while let Some((engine, view)) = walk.ahead.pop_front() {
        for step in steps(&view) {
            walk.step(&engine, &view, &step);
        }
    }
    assert_eq!(walk.seen.len(), STATES);
}

#[test]
fn the_generators_draw_every_order_that_a_round_of_three_can_begin_with() {
    let next = GENERATORS.map(|generator| {
        let mut engine = Real::new(&USERS, &[]);
        engine.rng = Rng::from_number(generator);
        for user in USERS {
            engine.message(user, &[], MESSAGE);
        }
        engine.view().order
    });
    assert_eq!(BTreeSet::from(next).len(), 4);
}
