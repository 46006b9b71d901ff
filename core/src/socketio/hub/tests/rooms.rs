//! Who gets what is said to rooms.

use super::*;

/// Four sockets: 0 in x, 1 in x and y, 2 in y, 3 in none.
fn scene() -> Scene {
    let mut scene = Scene::inside(config(), 4);
    for (socket, room) in [(0, "x"), (1, "x"), (1, "y"), (2, "y")] {
        scene.enter(socket, room);
    }
    scene
}

#[track_caller]
fn hears(scene: &mut Scene, audience: Audience, wanted: &[u64]) {
    scene.emit(audience, "e");
    let wanted: Vec<_> = wanted
        .iter()
        .map(|conn| format!("{conn} 42[\"e\"]"))
        .collect();
    assert_eq!(mem::take(&mut scene.wire), wanted);
}

#[test]
fn each_of_an_audience_hears_once_and_in_order() {
    let mut scene = scene();
    hears(&mut scene, Audience::default(), &[0, 1, 2, 3]);
    hears(&mut scene, to(&["x"]), &[0, 1]);
    hears(&mut scene, to(&["y", "x"]), &[0, 1, 2]);
    hears(&mut scene, to(&["nowhere"]), &[]);
    let except = |rooms: &[&str], sockets: &[u64], mut audience: Audience| {
        audience.except_rooms = to(rooms).rooms;
        audience.except_sockets = sockets.iter().copied().map(id).collect();
        audience
    };
    let everybody = Audience::default;
    hears(&mut scene, except(&["x"], &[], everybody()), &[2, 3]);
    hears(&mut scene, except(&[], &[0, 2], everybody()), &[1, 3]);
    hears(&mut scene, except(&["y"], &[3], to(&["x", "z"])), &[0]);
    hears(&mut scene, except(&["x", "y"], &[3], everybody()), &[]);
}

#[test]
fn whoever_leaves_a_room_or_ends_hears_no_more() {
    let mut scene = scene();
    let (socket, name) = (id(0), room("x"));
    scene.step(Some(Input::Exit { socket, room: name }));
    hears(&mut scene, to(&["x"]), &[1]);
    scene.frame(1, "41");
    hears(&mut scene, to(&["x", "y"]), &[2]);
    scene.lose(2);
    scene.told.clear();
    scene.enter(2, "x");
    hears(&mut scene, to(&["x", "y"]), &[]);
    scene.told(&[]);
    let members = &scene.hub.namespaces[&Namespace::root()];
    let mut fresh = Members::default();
    for socket in [id(0), id(3)] {
        fresh.insert(socket, scene.hub.sockets[&socket].session, &[]);
    }
    assert_eq!(*members, fresh, "nothing is left of them");
}

#[test]
fn an_event_is_encoded_once() {
    let mut scene = scene();
    let mut out = vec![];
    let emission = Emission::event(&Namespace::root(), "e", &()).unwrap();
    let frame = emission.frame();
    let emit = Input::Emit {
        to: Target::Audience(Audience::default()),
        emission,
        volatile: false,
    };
    step(&mut scene.hub, scene.now, Some(emit), &mut out);
    assert_eq!(out.len(), 4);
    for output in out {
        let Output::Effect(Effect::Transport(_, ws::Action::Send(ws::Frame::Text(sent)))) = output
        else {
            panic!("{output:?}");
        };
        let ws::Frame::Text(text) = &frame else {
            panic!()
        };
        assert_eq!(sent.as_ptr(), text.as_ptr());
    }
}

#[test]
fn a_socket_is_in_only_so_many_rooms() {
    let mut scene = Scene::inside(
        Config {
            rooms_max: 2,
            ..config()
        },
        1,
    );
    for name in ["x", "x", "y"] {
        scene.enter(0, name);
    }
    scene.told(&[]);
    scene.enter(0, "z");
    scene.told(&[dropped(Some(0), Unsent::TooMany)]);
    hears(&mut scene, to(&["z"]), &[]);
    hears(&mut scene, to(&["x", "y"]), &[0]);
}
