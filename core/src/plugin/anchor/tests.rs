//! How a guild is known again, and what of it is new where it is not.

use alloc::{format, vec};
use core::time::Duration;

use super::*;
use crate::{id::MessageId, plugin::samples};

/// A message that was posted so many seconds after the beginning.
fn message(seq: u64, id: &str, second: u64) -> Message {
    Message {
        id: MessageId::new(id).unwrap(),
        created_at: Wall::default() + Duration::from_secs(second),
        ..samples::message(seq)
    }
}

fn page(messages: impl IntoIterator<Item = Message>) -> Page {
    Page {
        messages: messages.into_iter().collect(),
        has_more: false,
    }
}

fn at(seq: u64) -> Cursor {
    Cursor {
        seq,
        at: Some(Mark::of(&message(seq, &format!("m{seq}"), seq))),
    }
}

/// The anchor `m5`, posted in the fifth second.
fn doubted() -> Anchor {
    let mut anchor = Anchor::default();
    anchor.doubt(at(5), at(5));
    anchor
}

fn lost(known: u64) -> Anchor {
    let mut anchor = doubted();
    assert!(anchor.lose(known));
    anchor
}

fn seqs(found: &Found) -> Vec<u64> {
    found.messages.iter().map(|message| message.seq).collect()
}

#[test]
fn the_message_there_says_whether_it_is_the_same_guild() {
    let mut anchor = doubted();
    assert_eq!(anchor.read(200), Some(Read::Anchor { seq: 5 }));
    anchor.on_looked_up(&page([message(5, "m5", 5)]), 9);
    assert_eq!(anchor, Anchor::default());
    for told in [
        vec![message(5, "other", 5)],
        vec![message(5, "m5", 9)],
        vec![message(4, "m4", 4)],
        vec![],
    ] {
        let mut anchor = doubted();
        assert_eq!(anchor.on_looked_up(&page(told), 9), None);
        assert!(anchor.is_lost());
    }
    let mut anchor = doubted();
    anchor.on_looked_up(&page([message(9, "m9", 9)]), 9);
    assert_eq!(anchor, Anchor::default(), "the guild does not page");
}

#[test]
fn an_anchor_of_which_only_the_number_is_known_is_made_known() {
    let mut anchor = Anchor::default();
    let bare = Cursor { seq: 5, at: None };
    anchor.doubt(bare.clone(), bare);
    let there = message(5, "m5", 5);
    let mark = anchor.on_looked_up(&page([there.clone()]), 5);
    assert_eq!(mark, Some(Mark::of(&there)));
    assert_eq!(anchor, Anchor::default());
    anchor.doubt(Cursor::default(), Cursor::default());
    assert_eq!(anchor.read(200), None, "there is none");
}

#[test]
fn what_was_posted_since_is_new_whatever_its_number() {
    let mut anchor = lost(5);
    let first = Read::Back {
        before: None,
        limit: 200,
    };
    assert_eq!(anchor.read(200), Some(first));
    let old = (1..=3).map(|seq| message(seq, &format!("m{seq}"), seq));
    let new = (4..=6).map(|seq| message(seq, &format!("n{seq}"), 10 + seq));
    let found = anchor.on_back(page(old.chain(new)), 200).unwrap();
    assert!(found.restored);
    assert_eq!(seqs(&found), [4, 5, 6]);
    assert_eq!((found.newest, found.skipped), (6, 0));
    assert_eq!(found.cursor.at, Some(Mark::of(&message(3, "m3", 3))));
    assert_eq!(anchor, Anchor::default());
}

#[test]
fn what_is_finished_meanwhile_is_not_new() {
    let history = || {
        let old = (1..=8).map(|seq| message(seq, &format!("m{seq}"), seq));
        old.chain([message(9, "n9", 19)])
    };
    let mut anchor = doubted();
    anchor.finish(&at(7));
    assert!(anchor.lose(12));
    let found = anchor.on_back(page(history()), 200).unwrap();
    assert_eq!(seqs(&found), [8, 9]);
    let mut anchor = lost(12);
    assert_eq!(anchor.on_back(page(history().skip(5)), 2), None);
    anchor.finish(&at(8));
    let found = anchor.on_back(page(history().take(5)), 2).unwrap();
    assert_eq!((seqs(&found), found.skipped), (vec![9], 0));
    assert!(found.restored);
    let mut anchor = lost(12);
    anchor.finish(&Cursor { seq: 8, at: None });
    let found = anchor.on_back(page(history()), 200).unwrap();
    assert_eq!(seqs(&found), [6, 7, 8, 9], "a number says nothing");
}

#[test]
fn a_backup_may_be_newer_than_the_anchor_and_older_than_what_was_heard() {
    let mut anchor = Anchor::default();
    anchor.doubt(at(5), at(7));
    assert_eq!(anchor.read(200), Some(Read::Anchor { seq: 7 }));
    assert_eq!(anchor.on_looked_up(&page([message(7, "n7", 17)]), 7), None);
    let old = [message(5, "m5", 5), message(6, "m6", 6)];
    let found = anchor.on_back(page(old.into_iter().chain([message(7, "n7", 17)])), 200);
    let found = found.unwrap();
    assert!(found.restored, "though the anchor is there");
    assert_eq!(seqs(&found), [6, 7]);
    assert_eq!(found.cursor, at(5));
}

#[test]
fn where_nothing_was_finished_all_that_is_found_is_new() {
    let mut anchor = Anchor::default();
    anchor.doubt(Cursor::default(), at(2));
    assert_eq!(anchor.on_looked_up(&page([message(2, "n2", 12)]), 2), None);
    let found = anchor.on_back(page([message(1, "m1", 1), message(2, "n2", 12)]), 200);
    let found = found.unwrap();
    assert!(found.restored);
    assert_eq!(
        (seqs(&found), found.cursor),
        (vec![1, 2], Cursor::default())
    );
}

/// What stands there was heard long after what waits in between, and its mark is forgotten.
#[test]
fn where_only_the_anchors_number_is_known_what_is_later_than_all_that_was_heard_is_new() {
    let mut anchor = Anchor::default();
    anchor.doubt(Cursor { seq: 5, at: None }, at(7));
    assert!(anchor.lose(7));
    let old = [message(5, "m5", 5), message(6, "n6", 7)];
    let found = anchor.on_back(page(old.into_iter().chain([message(7, "n7", 17)])), 200);
    let found = found.unwrap();
    assert_eq!(seqs(&found), [7]);
    assert!(found.restored);
}

#[test]
fn too_many_are_counted_page_by_page() {
    let mut anchor = lost(5);
    let row = |seq: u64| message(seq, &format!("n{seq}"), if seq > 2 { 99 } else { seq });
    assert_eq!(anchor.on_back(page((8..=10).map(row)), 2), None);
    let back = Read::Back {
        before: Some(8),
        limit: 3,
    };
    assert_eq!(anchor.read(3), Some(back));
    assert_eq!(anchor.on_back(page((5..=7).map(row)), 2), None);
    let found = anchor.on_back(page((2..=4).map(row)), 2).unwrap();
    assert_eq!(seqs(&found), [9, 10]);
    assert_eq!(found.skipped, 6, "3 to 8");
    let last = Some(Mark::of(&row(8)));
    assert_eq!(found.cursor, Cursor { seq: 8, at: last }, "known again");
}

#[test]
fn a_guild_that_pages_without_end_is_not_read_without_end() {
    let mut anchor = lost(5);
    let mut pages = 0;
    let mut seq = 10_000;
    let found = loop {
        seq -= 1;
        pages += 1;
        if let Some(found) = anchor.on_back(page([message(seq, "n", 99)]), 200) {
            break found;
        }
    };
    assert_eq!((pages, found.messages.len()), (PAGES_MAX, 10));
    let mut anchor = lost(5);
    let same = || page([message(9, "n9", 99)]);
    assert_eq!(anchor.on_back(same(), 200), None);
    let found = anchor.on_back(same(), 200).unwrap();
    assert_eq!(seqs(&found), [9], "it knows no way back");
}

#[test]
fn nothing_is_new_where_nothing_is_and_a_false_alarm_is_none() {
    let mut anchor = lost(9);
    let found = anchor.on_back(Page::default(), 200).unwrap();
    assert!(found.restored && found.messages.is_empty());
    assert_eq!(found.cursor, Cursor::default());
    let all = || page((4..=9).map(|seq| message(seq, &format!("m{seq}"), seq)));
    let found = lost(9).on_back(all(), 200).unwrap();
    assert!(!found.restored, "nothing is gone");
    let found = lost(10).on_back(all(), 200).unwrap();
    assert!(found.restored, "the tenth is");
    let mut unknown = Anchor::default();
    let bare = Cursor { seq: 7, at: None };
    unknown.doubt(bare.clone(), bare);
    assert!(unknown.lose(7));
    let found = unknown.on_back(page([message(5, "m5", 5)]), 200).unwrap();
    assert!(found.messages.is_empty(), "nobody knows what is new");
    assert_eq!((found.cursor.seq, found.newest), (5, 5));
}

#[test]
fn what_was_read_is_read_again_after_a_loss_of_the_connection() {
    let mut anchor = lost(5);
    let row = |seq: u64| message(seq, "n", 99);
    assert_eq!(anchor.on_back(page((8..=10).map(row)), 2), None);
    anchor.on_conn_end();
    assert_eq!(anchor, lost(5));
    let mut anchor = doubted();
    anchor.on_conn_end();
    let bare = Cursor { seq: 9, at: None };
    anchor.doubt(bare.clone(), bare);
    assert_eq!(anchor, doubted(), "the older one is the better one");
}
