//! A WebSocket and its pump over a pipe in memory.

use tokio::{io::DuplexStream, task::JoinHandle};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

type Peer = WebSocketStream<DuplexStream>;

struct Ends {
    handle: WsHandle,
    events: mpsc::Receiver<Event>,
    peer: Peer,
    task: JoinHandle<()>,
}

/// A pumped server end with an inbox of `inbox` events, and its client on a pipe of `pipe`
/// bytes.
async fn ends(inbox: usize, pipe: usize) -> Ends {
    let (ours, theirs) = tokio::io::duplex(pipe);
    let ours = WebSocketStream::from_raw_socket(ours, Role::Server, Some(config(1_000_000))).await;
    let peer = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    let (sender, events) = mpsc::channel(inbox);
    let (handle, pump) = open(ours);
    let task = tokio::spawn(pump.run(sender, |event| event));
    Ends {
        handle,
        events,
        peer,
        task,
    }
}

fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

#[test]
fn a_websocket_has_small_buffers_and_its_limit() {
    let config = config(1_000);
    assert_eq!(config.read_buffer_size, 1 << 10);
    assert!(config.write_buffer_size <= 16 << 10);
    let limits = (config.max_message_size, config.max_frame_size);
    assert_eq!(limits, (Some(1_000), Some(1_000)));
}

#[tokio::test]
async fn frames_pass_both_ways_and_pings_are_answered_in_between() {
    let mut ends = ends(8, 1 << 16).await;
    ends.peer.send(Message::text("hällo")).await.unwrap();
    ends.peer
        .send(Message::Ping(Bytes::from_static(b"?")))
        .await
        .unwrap();
    ends.peer.send(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(ends.events.recv().await, Some(Event::Frame(text("hällo"))));
    assert_eq!(
        ends.events.recv().await,
        Some(Event::Frame(Frame::Binary(Bytes::from_static(&[0, 255]))))
    );
    assert_eq!(
        ends.peer.next().await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"?"))
    );
    ends.handle.send(Action::Send(text("a")));
    ends.handle
        .send(Action::Send(Frame::Binary(Bytes::from_static(b"b"))));
    assert_eq!(ends.peer.next().await.unwrap().unwrap(), Message::text("a"));
    assert_eq!(
        ends.peer.next().await.unwrap().unwrap(),
        Message::binary(b"b".to_vec())
    );
}

#[tokio::test]
async fn a_close_by_the_peer_is_answered_and_told_once() {
    let mut ends = ends(8, 1 << 16).await;
    ends.peer
        .close(Some(CloseFrame {
            code: CloseCode::Away,
            reason: "bye".into(),
        }))
        .await
        .unwrap();
    let Some(Ok(Message::Close(Some(answer)))) = ends.peer.next().await else {
        panic!("no answer to the close frame");
    };
    assert_eq!(answer.code, CloseCode::Away);
    assert_eq!(
        ends.events.recv().await,
        Some(Event::Closed(Closed::Peer {
            code: 1001,
            reason: "bye".into()
        }))
    );
    assert_eq!(ends.events.recv().await, None);
}

#[tokio::test]
async fn a_close_of_ours_flushes_first_and_no_event_follows() {
    let mut ends = ends(8, 1 << 16).await;
    ends.handle.send(Action::Send(text("last")));
    ends.handle.send(Action::Close);
    ends.handle.send(Action::Send(text("too late")));
    drop(ends.handle);
    assert_eq!(
        ends.peer.next().await.unwrap().unwrap(),
        Message::text("last")
    );
    assert!(matches!(
        ends.peer.next().await,
        Some(Ok(Message::Close(Some(_))))
    ));
    assert!(ends.peer.next().await.is_none());
    assert_eq!(ends.events.recv().await, None);
    ends.task.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_ignores_our_close_is_left_after_a_while() {
    let mut ends = ends(8, 1 << 16).await;
    ends.handle.send(Action::Close);
    ends.task.await.unwrap();
    assert_eq!(ends.events.recv().await, None);
}

#[tokio::test]
async fn a_dropped_handle_hangs_up() {
    let mut ends = ends(8, 1 << 16).await;
    drop(ends.handle);
    assert!(!matches!(ends.peer.next().await, Some(Ok(_))));
    assert_eq!(ends.events.recv().await, None);
}

#[tokio::test]
async fn a_broken_transport_is_told_once() {
    let mut ends = ends(8, 1 << 16).await;
    drop(ends.peer);
    assert_eq!(
        ends.events.recv().await,
        Some(Event::Closed(Closed::Broken(
            "ended without a close frame".into()
        )))
    );
    assert_eq!(ends.events.recv().await, None);
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection() {
    let mut ends = ends(8, 1 << 16).await;
    ends.peer
        .feed(Message::binary(vec![0; 1_000_001]))
        .await
        .unwrap();
    let (_, event) = tokio::join!(ends.peer.flush(), ends.events.recv());
    assert_eq!(event, Some(Event::Closed(Closed::TooLarge)));
}

#[tokio::test]
async fn a_peer_that_does_not_read_overruns_by_frames_or_by_bytes() {
    for (frames, length) in [(QUEUE_FRAMES_MAX + FRAMES_A_FLUSH + 1, 1), (9, 500_000)] {
        let mut ends = ends(8, 64).await;
        for _ in 0..frames {
            ends.handle
                .send(Action::Send(Frame::Binary(vec![0; length].into())));
        }
        assert_eq!(
            ends.events.recv().await,
            Some(Event::Closed(Closed::Overrun))
        );
        assert_eq!(ends.events.recv().await, None);
    }
}

#[tokio::test]
async fn a_full_inbox_holds_the_peer_back() {
    let mut ends = ends(1, 64).await;
    let sending = tokio::spawn(async move {
        for number in 0..100 {
            ends.peer
                .send(Message::text(number.to_string()))
                .await
                .unwrap();
        }
        ends.peer
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!sending.is_finished());
    for number in 0..100 {
        assert_eq!(
            ends.events.recv().await,
            Some(Event::Frame(text(&number.to_string())))
        );
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn nothing_is_read_while_it_is_held() {
    let (ours, theirs) = tokio::io::duplex(1_024);
    let ours = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
    let mut peer = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    let (sender, mut events) = mpsc::channel(8);
    let hold = Hold::default();
    hold.take();
    let (_handle, pump) = open(ours);
    tokio::spawn(pump.run_with(hold.clone(), sender, |event| event));
    peer.send(Message::text("a")).await.unwrap();
    let early = timeout(Duration::from_millis(20), events.recv()).await;
    assert!(early.is_err());
    hold.release();
    assert_eq!(events.recv().await, Some(Event::Frame(text("a"))));
}

#[tokio::test]
async fn whoever_waits_for_room_goes_on_when_there_is_some_or_the_connection_ends() {
    let one = Limits {
        frames: 1,
        bytes: 1_000,
    };
    for reads in [true, false] {
        let mut ends = ends(8, 64).await;
        let backlog = ends.handle.backlog().clone();
        backlog.below(one).await;
        ends.handle
            .send(Action::Send(Frame::Binary(vec![0; 500].into())));
        assert!(!backlog.is_below(one));
        let waiting = timeout(Duration::from_millis(20), backlog.below(one)).await;
        assert!(waiting.is_err());
        if reads {
            ends.peer.next().await.unwrap().unwrap();
        } else {
            drop(ends.peer);
        }
        backlog.below(one).await;
    }
}
