//! The search: breadth first, every state once.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use super::{
    choice::Choice,
    scene::{Scene, Start},
    settle::Settled,
    world::World,
};
use crate::{
    oracle::{Breach, because::About},
    run::words_of,
};

/// How often whoever watches is asked whether to go on, in states that were gone on from.
const WATCH_EVERY: u64 = 256;
/// How long after its start an agent is live, and has kept that it was.
const KEPT_AFTER: Duration = Duration::from_secs(1);

/// How far a search has come.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many steps were taken, each to a state.
    pub steps: u64,
    /// How many of the states are not the same.
    pub unique: usize,
    /// How many steps it is from the first state to the last one.
    pub depth: u32,
    /// How many states wait to be gone on from.
    pub waiting: usize,
    /// How many of them are kept whole; the others are made again by their steps.
    pub kept: usize,
    /// How many events the settle probes have delivered.
    pub settling: u64,
    /// How many states they know to settle.
    pub settled: usize,
    /// How many states that were recognised were compared with the one they were taken for.
    pub compared: u64,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How far it has come.
    pub progress: Progress,
    /// Whether every state was gone on from.
    pub complete: bool,
    /// The broken rule, and the way there.
    pub violation: Option<Violation>,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, and why.
    pub breach: Breach,
    /// The way there: which of the choices was taken in each state.
    pub way: Vec<u16>,
}

/// What a search may use, and what it looks at besides.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How many states are kept whole at most. One more is made again by its steps when its time
    /// comes: slower, and some thousand bytes less.
    pub kept_max: usize,
    /// Of every so many states that are recognised again one is compared with that for which it is
    /// taken: whether the same follows from both. 0 for none.
    pub compare_every: u64,
}

/// A state, by the one from which it was reached and which choice led there.
#[derive(Clone, Copy, Debug)]
struct Node {
    from: u32,
    choice: u16,
    depth: u16,
}

/// The root is its own parent.
const ROOT: u32 = 0;

/// Walks all states of a scene, until `goes_on` says no.
///
/// # Errors
///
/// Where the scene cannot be begun.
pub fn explore(
    scene: Scene,
    terms: Terms,
    goes_on: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Found, String> {
    let root = begin(scene)?;
    let mut search = Search::new(root, terms);
    let complete = search.run(goes_on);
    Ok(Found {
        complete,
        progress: search.progress,
        violation: search.violation,
    })
}

/// The first state of a scene.
///
/// # Errors
///
/// Where nothing can begin in it.
pub(super) fn begin(scene: Scene) -> Result<World, String> {
    let start = scene.start;
    let mut world = World::new(scene)?;
    world.start_guild();
    world.make_channels();
    world.start_agent();
    if start == Start::Live {
        settle(&mut world)?;
        // The first things that are kept are kept a little later.
        while world.since_start() < KEPT_AFTER {
            world.fire();
            settle(&mut world)?;
        }
    }
    if world.channels.len() != world.fixed.scene.channels {
        return Err("the channels could not be made".to_owned());
    }
    Ok(world)
}

fn settle(world: &mut World) -> Result<(), String> {
    let settled = Settled::default().probe(world, &mut |_, _| {});
    settled.map_err(|breach| format!("{}: {}", breach.rule, breach.why))
}

struct Search {
    root: World,
    terms: Terms,
    nodes: Vec<Node>,
    seen: BTreeMap<u128, u32>,
    ahead: VecDeque<(u32, Option<World>)>,
    /// The state that was made again last: those that are made next have the same parent, mostly.
    parent: Option<(u32, World)>,
    settled: Settled,
    recognised: u64,
    progress: Progress,
    violation: Option<Violation>,
}

impl Search {
    fn new(root: World, terms: Terms) -> Self {
        let node = Node {
            from: ROOT,
            choice: 0,
            depth: 0,
        };
        Self {
            terms,
            nodes: vec![node],
            seen: [(root.hash(), ROOT)].into(),
            ahead: [(ROOT, Some(root.clone()))].into(),
            root,
            parent: None,
            settled: Settled::default(),
            recognised: 0,
            progress: Progress {
                unique: 1,
                ..Progress::default()
            },
            violation: None,
        }
    }

    /// Whether every state was gone on from.
    fn run(&mut self, goes_on: &mut dyn FnMut(&Progress) -> bool) -> bool {
        for gone_on in 1.. {
            let Some((index, world)) = self.ahead.pop_front() else {
                return true;
            };
            self.progress.kept -= usize::from(world.is_some() && index != ROOT);
            let world = match world {
                Some(world) => world,
                None => self.remake(index),
            };
            for (number, choice) in world.choices().into_iter().enumerate() {
                let mut next = world.clone();
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                if let Err(breach) = self.step(&mut next, index, number, choice) {
                    let mut way = self.way(index);
                    way.push(number);
                    self.violation = Some(Violation { breach, way });
                    return false;
                }
            }
            self.progress.waiting = self.ahead.len();
            if u64::is_multiple_of(gone_on, WATCH_EVERY) && !goes_on(&self.progress) {
                return false;
            }
        }
        false
    }

    fn step(
        &mut self,
        next: &mut World,
        from: u32,
        number: u16,
        choice: Choice,
    ) -> Result<(), Breach> {
        self.progress.steps += 1;
        guarded(next, |next| {
            next.take(choice);
            Ok(())
        })?;
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let known = *self.seen.entry(next.hash()).or_insert(index);
        if known != index {
            self.recognised += 1;
            let every = self.terms.compare_every;
            return match every > 0 && self.recognised.is_multiple_of(every) {
                true => self.compare(known, next),
                false => Ok(()),
            };
        }
        let depth = self.depth(from) + 1;
        self.nodes.push(Node {
            from,
            choice: number,
            depth,
        });
        self.progress.unique = self.nodes.len();
        self.progress.depth = self.progress.depth.max(u32::from(depth));
        let keeps = self.progress.kept < self.terms.kept_max;
        self.progress.kept += usize::from(keeps);
        self.ahead.push_back((index, keeps.then(|| next.clone())));
        let settled = &mut self.settled;
        guarded(next, |next| settled.probe(next, &mut |_, _| {}))?;
        self.progress.settling = self.settled.events;
        self.progress.settled = self.settled.len();
        Ok(())
    }

    fn depth(&self, index: u32) -> u16 {
        self.node(index).map_or(0, |node| node.depth)
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).ok()?)
    }

    /// Which of the choices were taken on the way to a state.
    fn way(&self, mut index: u32) -> Vec<u16> {
        let mut way = Vec::new();
        while index != ROOT
            && let Some(node) = self.node(index)
        {
            way.push(node.choice);
            index = node.from;
        }
        way.reverse();
        way
    }

    /// Makes a state again.
    fn remake(&mut self, index: u32) -> World {
        let node = self.node(index).copied();
        let from = node.map_or(ROOT, |node| node.from);
        let parent = match self.parent.take_if(|(parent, _)| *parent == from) {
            Some((_, parent)) => parent,
            None => follow(self.root.clone(), &self.way(from)),
        };
        let last: Vec<u16> = node.iter().map(|node| node.choice).collect();
        let world = follow(parent.clone(), &last);
        self.parent = Some((from, parent));
        world
    }

    /// Whether from a state the same follows as from the one it is taken for.
    fn compare(&mut self, known: u32, world: &World) -> Result<(), Breach> {
        self.progress.compared += 1;
        let known = follow(self.root.clone(), &self.way(known));
        let (ours, theirs) = (world.choices(), known.choices());
        let differs = |what: String| Breach {
            rule: "what looks alike behaves alike",
            at: world.now,
            why: what,
            about: About::default(),
        };
        if ours != theirs {
            return Err(differs(format!("{ours:?} can follow, or {theirs:?}")));
        }
        for choice in ours {
            let (mut one, mut other) = (world.clone(), known.clone());
            one.take(choice);
            other.take(choice);
            if one.hash() != other.hash() {
                return Err(differs(format!("{choice:?} leads to two states")));
            }
        }
        Ok(())
    }
}

/// Takes choices by their numbers.
pub(super) fn follow(mut world: World, way: &[u16]) -> World {
    for number in way {
        if let Some(choice) = world.choices().get(usize::from(*number)) {
            world.take(*choice);
        }
    }
    world
}

/// Does something with a world: a rule that it breaks, or a panic of a machine, is the error.
pub(super) fn guarded(
    world: &mut World,
    act: impl FnOnce(&mut World) -> Result<(), Breach>,
) -> Result<(), Breach> {
    let at = world.now;
    // After a panic the world is not looked at any more.
    match catch_unwind(AssertUnwindSafe(|| act(world))) {
        Ok(Ok(())) => world.breach().cloned().map_or(Ok(()), Err),
        Ok(Err(breach)) => Err(breach),
        Err(panic) => Err(Breach {
            rule: "no panic",
            at,
            why: words_of(panic),
            about: About::default(),
        }),
    }
}
