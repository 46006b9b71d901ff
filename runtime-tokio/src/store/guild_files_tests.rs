//! Tests of what the guild's store keeps about files, and of which messages carry them.

use selvedge_core::{guild::file::FileRow, id::FileId};

use super::*;

fn file(name: &str) -> FileRow {
    FileRow {
        id: id(FileId::new, name),
        owner: id(UserId::new, "al"),
        name: "Übung 'x\" --".into(),
        mime: "text/plain".into(),
        bytes: 5_000_000_000,
        created_at: Wall::from_millis(7),
    }
}

#[tokio::test]
async fn files_are_there_after_a_restart_until_they_are_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    let (_, mut running) = Running::start(&path).await;
    running.store(0, vec![Fact::File(file("g")), Fact::File(file("f"))]);
    assert_eq!(running.stored().await, (0, Ok(())));
    running.stop().await;
    let (rows, mut running) = Running::start(&path).await;
    assert_eq!(rows, [Fact::File(file("g")), Fact::File(file("f"))]);
    running.store(1, vec![Fact::NoFile(id(FileId::new, "g"))]);
    assert_eq!(running.stored().await, (1, Ok(())));
    running.stop().await;
    let (rows, running) = Running::start(&path).await;
    assert_eq!(rows, [Fact::File(file("f"))]);
    running.stop().await;
}

#[tokio::test]
async fn a_file_is_attached_where_a_live_message_carries_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    let (_, mut running) = Running::start(&path).await;
    let live = |seq| Message {
        deleted_at: None,
        ..post(seq, None)
    };
    let attached = || Query::Attached(id(FileId::new, "f"));
    let deleted = |seq| Message {
        attachments: Vec::new(),
        ..post(seq, None)
    };
    let in_channel = Loaded::Channels(vec![id(ChannelId::new, "c")]);
    let nowhere = Loaded::Channels(Vec::new());
    running.store(0, founding());
    running.store(1, vec![Fact::File(file("f"))]);
    running.store(2, posted(live(1), &[]));
    running.store(3, posted(live(2), &[]));
    running.store(4, vec![Fact::Amended(Box::new(deleted(1)))]);
    for number in 0..=4 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    assert_eq!(running.load(attached()).await, in_channel);
    let other = Query::Attached(id(FileId::new, "g"));
    assert_eq!(running.load(other).await, nowhere);
    running.store(5, vec![Fact::Amended(Box::new(deleted(2)))]);
    assert_eq!(running.stored().await, (5, Ok(())));
    assert_eq!(running.load(attached()).await, nowhere);
    running.stop().await;
}
