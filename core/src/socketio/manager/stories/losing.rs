//! Servers that are gone for long, or end every connection soon: how often they are tried.

use super::*;

/// The longest wait between two attempts.
fn most() -> Duration {
    Config::default().link.backoff.most
}

/// How many attempts may be made within a span, at the very most.
fn attempts_max(span: Duration) -> u64 {
    let backoff = Config::default().link.backoff;
    u64::from(backoff.dials) + span.as_secs() / backoff.refill.as_secs() + 1
}

/// Tries for `span`, each time as `attempt` has it, from [`Output::Prepare`] to the loss; gives
/// back how long each wait was.
fn waits(rig: &mut Rig, span: Duration, mut attempt: impl FnMut(&mut Rig)) -> Vec<Duration> {
    let end = rig.now + span;
    let mut waits = Vec::new();
    while rig.now < end {
        attempt(rig);
        let before = rig.now;
        // The wait for an attempt, and where the attempts are too many, the wait for a permit.
        while rig.prepare.is_none() {
            rig.sleep();
        }
        waits.push(rig.now.since(before));
    }
    waits
}

#[test]
fn an_outage_of_a_day_is_neither_given_up_nor_met_by_a_hot_loop() {
    let day = SECOND * 86_400;
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    let waits = waits(&mut rig, day, |rig| {
        rig.prepared();
        assert_eq!(rig.dialed(Err("refused")), ["down"]);
    });
    assert!(waits.iter().all(|wait| *wait <= most()));
    // After an hour as after a day, they are as long as they get: 15 s on average.
    for hour in [100..300, waits.len() - 200..waits.len()] {
        let hour = &waits[hour];
        let mean = hour.iter().sum::<Duration>() / 200;
        assert!((most() / 3..most() * 2 / 3).contains(&mean), "{mean:?}");
    }
    rig.open();
    assert_eq!(rig.auth("/a", None), ["> 40/a,"]);
    let joined = rig.hear(r#"40/a,{"sid":"x"}"#);
    assert_eq!(joined, ["connected /a x"]);
}

#[test]
fn a_handshake_without_a_namespace_does_not_shorten_the_waits() {
    let hour = SECOND * 3_600;
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    let waits = waits(&mut rig, hour, |rig| {
        rig.open();
        rig.auth("/a", None);
        assert_eq!(rig.lose(), ["down"]);
    });
    let mean = waits.iter().sum::<Duration>() / u32::try_from(waits.len()).unwrap();
    assert!((most() / 3..most() * 2 / 3).contains(&mean), "{mean:?}");
}

#[test]
fn a_server_that_admits_and_hangs_up_is_tried_no_oftener_than_the_bucket_fills() {
    let hour = SECOND * 3_600;
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    let waits = waits(&mut rig, hour, |rig| {
        rig.open();
        rig.auth("/a", None);
        rig.hear(r#"40/a,{"sid":"x"}"#);
        assert_eq!(rig.lose(), ["disconnected /a again", "down"]);
    });
    assert!(
        (waits.len() as u64) <= attempts_max(hour),
        "{}",
        waits.len()
    );
    assert!(waits.iter().all(|wait| *wait <= most()));
}

#[test]
fn whoever_leaves_in_the_wait_is_not_brought_back() {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    rig.prepared();
    assert_eq!(rig.dialed(Err("refused")), ["down"]);
    assert!(rig.manager.next_wakeup().is_some());
    assert_eq!(rig.leave("/a"), [""; 0]);
    assert_eq!(rig.manager.next_wakeup(), None);
    assert_eq!(rig.wait(SECOND * 86_400), [""; 0]);
}
