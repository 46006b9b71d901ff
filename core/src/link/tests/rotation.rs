//! Make before break: a connection goes on until the one that replaces it is live.

use super::*;

impl Rig {
    /// A live connection, a minute old, that is to be replaced; and what the link says to that.
    fn rotating() -> (Self, ConnId, Vec<Output<Hello>>) {
        let mut rig = Self::new();
        let old = rig.up();
        rig.step(Some(Input::Live(old)));
        rig.now = rig.now + Duration::from_secs(60);
        let out = rig.rotate(old);
        (rig, old, out)
    }

    fn rotate(&mut self, conn: ConnId) -> Vec<Output<Hello>> {
        self.step(Some(Input::Rotate(conn, "old".to_string())))
    }

    /// The next connection, up and not live.
    fn next_up(&mut self, out: &[Output<Hello>]) -> ConnId {
        let conn = self.authorize(out);
        self.step(Some(Input::Dialed(conn, Ok(()))));
        assert_eq!(self.says(conn, "hello"), vec![Output::Up(conn)]);
        conn
    }

    fn says(&mut self, conn: ConnId, words: &str) -> Vec<Output<Hello>> {
        self.step(Some(Input::Transport(conn, text(words))))
    }

    fn dies(&mut self, conn: ConnId) -> Vec<Output<Hello>> {
        let closed = Event::Closed(Closed::TooLarge);
        self.step(Some(Input::Transport(conn, closed)))
    }
}

fn not_replaced(out: &[Output<Hello>]) -> (Option<ConnId>, &str, Duration) {
    match out.last() {
        Some(Output::NotReplaced { new, end, retry_in }) => (*new, &end.why, *retry_in),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_old_connection_goes_on_until_the_new_one_is_live() {
    let (mut rig, old, out) = Rig::rotating();
    let asked =
        matches!(out.as_slice(), [Output::Authorize { replaces, .. }] if *replaces == Some(old));
    assert!(asked, "{out:?}");
    let new = rig.authorize(&out);
    assert_eq!(rig.says(old, "x"), vec![Output::Event(old, "event")]);
    rig.step(Some(Input::Dialed(new, Ok(()))));
    assert_eq!(rig.says(new, "hello"), vec![Output::Up(new)]);
    assert_eq!((rig.link.up(), rig.link.next_up()), (Some(old), Some(new)));
    assert_eq!(rig.says(old, "x"), vec![Output::Event(old, "event")]);
    assert_eq!(rig.says(new, "x"), vec![Output::Event(new, "event")]);
    assert_eq!(
        rig.step(Some(Input::Command(old, "to the old"))),
        vec![Output::Transport(
            old,
            Action::Send(Frame::Text("to the old".into()))
        )]
    );
    assert_eq!(
        rig.step(Some(Input::Command(new, "to the new"))),
        vec![Output::Transport(
            new,
            Action::Send(Frame::Text("to the new".into()))
        )]
    );
    assert!(rig.link.is_live());
    let replaced = Output::Replaced {
        old,
        new,
        why: "old".to_string(),
        lived: Some(Duration::from_secs(60)),
    };
    assert_eq!(
        rig.step(Some(Input::Live(new))),
        vec![Output::Transport(old, Action::Close), replaced]
    );
    assert!(rig.link.is_live());
    assert_eq!((rig.link.up(), rig.link.next_up()), (Some(new), None));
    assert_eq!(rig.says(old, "x"), vec![]);
    assert_eq!(rig.says(new, "x"), vec![Output::Event(new, "event")]);
}

#[test]
fn one_rotation_at_a_time() {
    let (mut rig, old, out) = Rig::rotating();
    assert_eq!(rig.rotate(old), vec![]);
    rig.next_up(&out);
    assert_eq!(rig.rotate(old), vec![]);
    assert_eq!(rig.rotate(ConnId(99)), vec![]);
}

#[test]
fn a_new_connection_that_fails_leaves_the_old_one_and_is_tried_again_with_backoff() {
    type Fails = fn(&mut Rig, &[Output<Hello>]) -> Vec<Output<Hello>>;
    let ways: [(Fails, &str); 5] = [
        (
            |rig, out| {
                let conn = rig.authorize(out);
                rig.step(Some(Input::Dialed(conn, Err("no".to_string()))))
            },
            "could not dial: no",
        ),
        (
            |rig, out| {
                let conn = rig.next_up(out);
                rig.dies(conn)
            },
            "ended",
        ),
        (
            |rig, out| {
                let conn = rig.authorize(out);
                rig.step(Some(Input::Dialed(conn, Ok(()))));
                rig.says(conn, "refused")
            },
            "ended",
        ),
        (
            |rig, out| {
                let conn = rig.next_up(out);
                rig.rotate(conn)
            },
            "old",
        ),
        (
            |rig, out| {
                rig.authorize(out);
                rig.sleep()
            },
            "the dial took too long",
        ),
    ];
    for (fails, why) in ways {
        let (mut rig, old, mut out) = Rig::rotating();
        for most in [1, 2, 4, 8, 16, 30, 30] {
            let said = fails(&mut rig, &out);
            let (_, told, retry_in) = not_replaced(&said);
            assert_eq!(told, why);
            assert!(retry_in <= Duration::from_secs(most), "{retry_in:?}");
            assert_eq!(rig.says(old, "x"), vec![Output::Event(old, "event")]);
            assert!(rig.link.is_live());
            out = rig.sleep();
        }
        let new = rig.next_up(&out);
        rig.step(Some(Input::Live(new)));
        assert_eq!(rig.link.up(), Some(new));
    }
}

#[test]
fn a_rotation_that_is_not_complete_in_time_is_given_up_in_any_step() {
    let (mut rig, old, out) = Rig::rotating();
    let [Output::Authorize { id, .. }] = out.as_slice() else {
        panic!("{out:?}")
    };
    rig.now = rig.now + ROTATION;
    let said = rig.step(None);
    assert_eq!(said.first(), Some(&Output::Forget(*id)));
    assert_eq!(not_replaced(&said).0, None);
    let out = rig.sleep();
    let new = rig.next_up(&out);
    rig.now = rig.now + ROTATION;
    let said = rig.step(None);
    assert_eq!(said.first(), Some(&Output::HangUp(new)));
    assert_eq!(not_replaced(&said).0, Some(new));
    assert_eq!(rig.says(new, "x"), vec![]);
    assert_eq!(rig.says(old, "x"), vec![Output::Event(old, "event")]);
}

#[test]
fn where_the_old_connection_dies_first_the_new_one_becomes_the_link() {
    type Gets = fn(&mut Rig, &[Output<Hello>]) -> Option<ConnId>;
    let steps: [Gets; 4] = [
        |_, _| None,
        |rig, out| Some(rig.authorize(out)),
        |rig, out| {
            let conn = rig.authorize(out);
            rig.step(Some(Input::Dialed(conn, Ok(()))));
            Some(conn)
        },
        |rig, out| Some(rig.next_up(out)),
    ];
    for get in steps {
        let (mut rig, old, out) = Rig::rotating();
        let got = get(&mut rig, &out);
        let down = rig.dies(old);
        let [
            Output::Down {
                conn,
                lived,
                retry_in,
                ..
            },
        ] = down.as_slice()
        else {
            panic!("{down:?}")
        };
        assert_eq!(*conn, Some(old));
        assert_eq!(*lived, Some(Duration::from_secs(60)));
        assert_eq!(*retry_in, None, "it is under way");
        let new = got.unwrap_or_else(|| rig.authorize(&out));
        rig.step(Some(Input::Dialed(new, Ok(()))));
        rig.says(new, "hello");
        assert_eq!((rig.link.up(), rig.link.next_up()), (Some(new), None));
        assert!(!rig.link.is_live());
        rig.step(Some(Input::Live(new)));
        rig.now = rig.now + ROTATION;
        assert_eq!(rig.step(None), vec![], "it is no rotation any more");
        assert!(rig.link.is_live());
    }
}

#[test]
fn a_rotation_that_waits_does_not_hold_the_reconnect_up() {
    let (mut rig, old, mut out) = Rig::rotating();
    for _ in 0..6 {
        let conn = rig.authorize(&out);
        rig.step(Some(Input::Dialed(conn, Err("no".to_string()))));
        out = rig.sleep();
    }
    let conn = rig.authorize(&out);
    rig.step(Some(Input::Dialed(conn, Err("no".to_string()))));
    let down = rig.dies(old);
    let retry_in = super::down(&down).2;
    assert!(retry_in <= Duration::from_secs(1), "{retry_in:?}");
    let out = rig.sleep();
    assert!(matches!(
        out.as_slice(),
        [Output::Authorize { replaces: None, .. }]
    ));
}

#[test]
fn rotations_and_reconnects_share_the_permits() {
    let (mut rig, _, mut out) = Rig::rotating();
    let start = rig.now;
    let mut dials = 0;
    while rig.now.since(start) < Duration::from_secs(600) {
        if !out.is_empty() {
            let old = rig.link.up().unwrap();
            let new = rig.next_up(&out);
            dials += 1;
            rig.step(Some(Input::Live(new)));
            assert_ne!(old, new);
            out = rig.rotate(new);
            if !out.is_empty() {
                continue;
            }
        }
        out = rig.sleep();
    }
    assert!((100..=12 + 120).contains(&dials), "{dials}");
}

#[test]
fn shutdown_closes_both() {
    for ends in [Input::Shutdown, Input::Rest] {
        let (mut rig, old, out) = Rig::rotating();
        let new = rig.next_up(&out);
        let close = |conn| Output::Transport(conn, Action::Close);
        assert_eq!(rig.step(Some(ends.clone())), vec![close(old), close(new)]);
        assert_eq!(rig.link.next_wakeup(), None);

        let (mut rig, old, out) = Rig::rotating();
        let [Output::Authorize { id, .. }] = out.as_slice() else {
            panic!("{out:?}")
        };
        assert_eq!(rig.step(Some(ends)), vec![close(old), Output::Forget(*id)]);
    }
}
