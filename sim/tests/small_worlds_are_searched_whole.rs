//! A small world is walked whole and breaks no rule, and planted defects are found in it.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::time::Duration;

use selvedge_core::{
    fabric::types::XType,
    plugin::defect::{Defect, Planted},
};
use selvedge_sim::{
    explore::{Found, Scene, Terms, explore, walk},
    run::hushed,
};

/// Every state is kept, and none is compared.
const TERMS: Terms = Terms {
    kept_max: usize::MAX,
    compare_every: 0,
};

/// One message, and nothing that goes wrong.
fn scene() -> Scene {
    Scene {
        messages: 1,
        faults: 0,
        firings: 0,
        ..Scene::default()
    }
}

fn search(scene: &Scene, terms: Terms) -> Found {
    let found = hushed(|| explore(scene.clone(), terms, &mut |_| true)).unwrap();
    if let Some(violation) = &found.violation {
        let walked = hushed(|| walk(scene.clone(), &violation.way)).unwrap();
        assert_eq!(walked.breach.as_ref(), Some(&violation.breach));
    }
    found
}

/// That the defect is found, and that nothing is without it on the same way.
fn finds(defect: Defect, scene: Scene) {
    let planted = Scene {
        planted: Planted::new(defect),
        ..scene.clone()
    };
    let found = search(&planted, TERMS);
    let violation = found.violation.unwrap();
    assert!(!found.complete);
    let sound = hushed(|| walk(scene, &violation.way));
    // Where the sound plugin does something else there may be no such way.
    assert!(sound.is_err() || sound.unwrap().breach.is_none());
}

#[test]
fn with_one_fault_no_order_of_events_breaks_a_rule() {
    let scene = Scene {
        faults: 1,
        ..scene()
    };
    let found = search(&scene, TERMS);
    assert_eq!(found.violation, None);
    assert!(found.complete);
    assert!(found.progress.unique > 1_000, "{:?}", found.progress);
}

#[test]
fn the_same_follows_from_states_that_are_taken_for_one_whether_they_are_kept_or_made_again() {
    let scene = Scene {
        answers: false,
        faults: 1,
        ..scene()
    };
    let kept = search(&scene, TERMS);
    let compared = Terms {
        kept_max: 0,
        compare_every: 9,
    };
    let made = search(&scene, compared);
    assert_eq!((kept.violation, made.violation), (None, None));
    assert!(kept.complete && made.complete);
    assert!(made.progress.compared > 50, "{:?}", made.progress);
    let size = |found: &selvedge_sim::explore::Progress| (found.steps, found.unique, found.depth);
    assert_eq!(size(&kept.progress), size(&made.progress));
}

#[test]
fn a_channel_that_begins_with_each_connection_is_found() {
    let faults = 1;
    finds(Defect::StartsAtTheJoin, Scene { faults, ..scene() });
}

#[test]
fn what_is_not_pushed_and_not_asked_for_is_found() {
    let faults = 1;
    finds(Defect::AcceptsGaps, Scene { faults, ..scene() });
}

#[test]
fn a_turn_that_no_store_knows_is_found() {
    let faults = 1;
    finds(Defect::NotifiesBeforeCommit, Scene { faults, ..scene() });
}

#[test]
fn a_turn_that_is_not_passed_on_is_found() {
    let discuss = Scene {
        x_type: XType::Discuss,
        answers: false,
        ..scene()
    };
    finds(Defect::ForgetsToPass, discuss);
}

#[test]
fn what_is_heard_on_two_connections_is_found() {
    let rotation = Scene {
        channels: 2,
        firings: 1,
        token_life: Duration::from_secs(30),
        ..scene()
    };
    finds(Defect::HearsTwice, rotation);
}
