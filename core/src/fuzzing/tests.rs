//! The laws without a fuzzer: whole stories, and inputs from a seeded generator.

use alloc::vec::Vec;

use super::*;
use crate::rng::Rng;

/// The seeds of each law.
const SEEDS: u64 = 150;

/// So many choices.
fn noise(label: &str, seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::from_number(seed).fork(label);
    let byte = |_| rng.next_u32().to_le_bytes()[0];
    (0..length).map(byte).collect()
}

#[test]
fn a_client_and_a_server_agree_under_any_schedule() {
    let (mut arrived, mut answered) = (0, 0);
    for seed in 0..SEEDS {
        let mut input = noise("session", seed, 1_200);
        // In at first.
        input[1..13].copy_from_slice(&[21, 0, 21, 1, 11, 31, 23, 254, 23, 255, 11, 31]);
        // All transports, and forged frames in one run of four.
        input[0] = seed as u8 % 8 + if seed % 4 == 3 { 8 } else { 0 };
        let (events, answers) = session::run(&input);
        arrived += events;
        answered += answers;
    }
    // It is not the silence that keeps the laws.
    assert!(arrived > SEEDS as usize * 20, "{arrived}");
    assert!(answered > SEEDS as usize, "{answered}");
}

#[test]
fn managers_and_a_hub_agree_under_any_schedule() {
    let (mut arrived, mut recovered) = (0, 0);
    for seed in 0..SEEDS {
        let mut input = noise("hub", seed, 1_600);
        input[0] = seed as u8;
        // Everybody is in at first.
        let join = [12, 0, 12, 1, 12, 2, 12, 3];
        let get_in = [10, 254, 10, 255, 9, 31, 22, 255];
        let prelude: Vec<u8> = join.into_iter().chain(get_in.repeat(9)).collect();
        input[1..=prelude.len()].copy_from_slice(&prelude);
        let (events, recoveries) = hub::run(&input);
        arrived += events;
        recovered += recoveries;
    }
    assert!(arrived > SEEDS as usize * 8, "{arrived}");
    assert!(recovered > SEEDS as usize / 4, "{recovered}");
}

#[test]
fn what_is_read_can_be_written_and_read_again() {
    for seed in 0..SEEDS {
        let wild = noise("wild", seed, 40);
        let alphabet = br#"0123456789{}[]",:-\/ab_placeholdernum "#;
        let words = wild
            .iter()
            .map(|it| alphabet[usize::from(*it) % alphabet.len()]);
        let words: Vec<u8> = words.collect();
        for input in [&wild, &words] {
            engineio_packet(input);
            engineio_payload(input);
            socketio_packet(input);
            socketio_ends(input);
        }
    }
}

/// The inputs that fuzzing starts from.
#[test]
fn the_laws_hold_for_a_whole_story() {
    socketio_ends(concat!(
        "<0{\"sid\":\"x\",\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":99}\n",
        "j/a\n<42/a,[\"early\"]\n<40/a,{\"sid\":\"s\"}\nc/a\nc/a1\ne/a\n<43/a,0[1]\n",
        "<42/a,7[\"ask\",{}]\na/a\nt0123\nd/a\nj/a\nd/a\n<40/a,{\"sid\":\"s\"}\nt01234567890\n<2\n",
        ">40/b,{\"token\":1}\ni/b\n>42/b,0[\"x\"]\nc/b\nd/b\n>42/b,[\"late\"]\n>40/b\nr/b\n",
        ">40/b\ni/b\nc/b\nt0123456789012345678901234567890\n>3\nx\n<2\n>3\nc/b\n",
    ).as_bytes());
    socketio_ends(concat!(
        "<0{\"sid\":\"x\",\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":99}\n",
        "j/a\ne/a\nv/a\nq/a\nq/a\nb/a\ne/a\n<452-/a,0[\"early\",{\"_placeholder\":true,\"num\":1}]\n[1\n[\x1e\n",
        "<40/a,{\"sid\":\"s\"}\nq/a\nb/a\np/a\n<461-/a,0[{\"_placeholder\":true,\"num\":0}]\nt0\n<2\n[\n",
        ">40/a\ni/a\n>451-/a,[\"x\",{\"_placeholder\":true,\"num\":0}]\n]1\nq/a\np/a\n",
        ">461-/a,0[1]\n]2\n>451-/a,[\"x\"]\nd/a\n<451-/a,[\"x\"]\n",
        "t012345678901234567890123456789012345678901234567890\n",
    ).as_bytes());
    engineio_packet(b"0{\"sid\":\"x\",\"pingInterval\":1,\"pingTimeout\":1}");
    engineio_packet(b"\xff\x1e");
    engineio_payload(b"4a\x1ebAQIDBA\x1e2probe\x1eb\x1e4");
    engineio_payload(b"");
    socketio_packet(b"2/a,7[\"name\",1,{}]");
    socketio_packet(b"610-7[{}]");
    socketio_packet(b"51-[\"a\",[{\"_placeholder\":true,\"num\":0}]]");
    socketio_packet(b"4/a,{\"message\":\"no\",\"data\":null}");
    socketio_packet(br#"2["n",1,"1\"a"]"#);
    socketio_packet(b"52-[\"n\"]\x1eb12345678\x1eb12345678");
    socketio_packet(b"52-[\"n\"]\x1eb123456789\x1eb12345678");
    socketio_packet(br#"0{"pid":"p","offset":"12"}"#);
    socketio_packet(br#"{"emit":"42/a,[\"n\",1]"}"#);
    // The last poll before the move to a WebSocket lets in whoever has kept something to say.
    session::run(&[
        2, 21, 224, 46, 224, 224, 224, 224, 224, 224, 224, 2, 21, 0, 21, 91, 224, 1, 50, 224, 224,
        49, 49,
    ]);
}

#[test]
fn findings_do_not_come_back() {
    // A post is lost, and before the client hears of it, it closes with more to say.
    session::run(&[
        5, 21, 0, 21, 1, 11, 31, 23, 254, 23, 255, 31, 11, 12, 13, 1, 14, 0, 15, 240, 18, 240, 16,
        1, 17, 0, 11, 31, 0, 0, 137, 0, 19, 0, 20, 251, 0, 20, 86, 236, 1, 94,
    ]);
}
