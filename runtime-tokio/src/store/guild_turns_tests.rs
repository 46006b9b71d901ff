//! Tests of what the guild's store keeps about channels that take turns, and of its older versions.

use selvedge_core::{Rng, fabric::turns::Command, guild::turn::Turn};

use super::*;

fn turn_fact(turn: &Turn) -> Fact {
    Fact::Turn {
        channel: id(ChannelId::new, "c"),
        turn: Box::new(turn.clone()),
    }
}

fn rewoken(message: &str, user: &str, wake_id: &str) -> Fact {
    Fact::Rewoken {
        channel: id(ChannelId::new, "c"),
        message: id(MessageId::new, message),
        user: id(UserId::new, user),
        wake_id: wake_id.into(),
    }
}

fn commanded(nonce: &str, at: i64) -> Fact {
    Fact::Commanded {
        author: id(UserId::new, "al"),
        nonce: nonce.into(),
        channel: id(ChannelId::new, "c"),
        command: Command::ForceProceed,
        at: Wall::from_millis(at),
    }
}

#[tokio::test]
async fn turns_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    let (_, mut running) = Running::start(&path).await;
    let (al, zoe) = (id(UserId::new, "al"), id(UserId::new, "zoe"));
    let mut turn = Turn::new(vec![al.clone(), zoe], Default::default());
    running.store(0, founding());
    running.store(1, vec![turn_fact(&turn)]);
    let rng = &mut Rng::from_number(1);
    turn.message(rng, &al, &[], id(MessageId::new, "m1"));
    turn.rewake(id(MessageId::new, "m1"));
    running.store(2, vec![turn_fact(&turn)]);
    for number in 0..=2 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    running.stop().await;
    let (rows, running) = Running::start(&path).await;
    assert_eq!(rows.last(), Some(&turn_fact(&turn)));
    assert_eq!(rows.len(), 4);
    running.stop().await;
}

#[tokio::test]
async fn a_turn_is_written_with_its_message_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    let (_, mut running) = Running::start(&path).await;
    let (al, zoe) = (id(UserId::new, "al"), id(UserId::new, "zoe"));
    let mut turn = Turn::new(vec![al.clone(), zoe], Default::default());
    let mut speaks = |message: Message| {
        let rng = &mut Rng::from_number(1);
        turn.message(rng, &al, &[], message.id.clone());
        // The message comes last, so that it alone is what can fail.
        let mut facts = vec![turn_fact(&turn)];
        facts.extend(posted(message, &["zoe"]));
        facts
    };
    running.store(0, founding());
    let first = speaks(post(1, None));
    running.store(1, first.clone());
    let place_is_taken = Message {
        id: id(MessageId::new, "other"),
        ..post(1, None)
    };
    running.store(2, speaks(place_is_taken));
    for number in 0..=1 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    assert!(running.stored().await.1.is_err());
    running.stop().await;
    let (rows, mut running) = Running::start(&path).await;
    assert_eq!(rows.last(), first.first());
    assert_eq!(running.page(history(None, None, 9)).await, (vec![1], false));
    running.stop().await;
}

#[tokio::test]
async fn a_later_wake_takes_the_place_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut running) = Running::start(&folder.path().join("guild.sqlite")).await;
    running.store(0, founding());
    running.store(1, posted(post(1, None), &["bo", "zoe"]));
    running.store(2, posted(post(2, None), &["bo"]));
    running.store(3, vec![rewoken("m1", "al", "w0")]);
    running.store(4, vec![rewoken("m2", "al", "w1")]);
    running.store(5, vec![rewoken("m2", "bo", "w2")]);
    for number in 0..=5 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    let Loaded::Page(page) = running.load(history(None, None, 9)).await else {
        panic!("no page");
    };
    let wakes = page.messages.into_iter();
    let wakes: Vec<_> = wakes.map(|it| (it.wakeup, it.rewake, it.wake_id)).collect();
    let rewoken = (Some(true), Some(true), Some("w2".to_owned()));
    assert_eq!(wakes, vec![(Some(false), None, None), rewoken]);
    running.stop().await;
}

#[tokio::test]
async fn a_nonce_stands_for_one_message_or_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut running) = Running::start(&folder.path().join("guild.sqlite")).await;
    running.store(0, founding());
    running.store(1, vec![commanded("n", 5_000_000)]);
    for number in 0..=1 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    let command = Loaded::Command {
        channel: id(ChannelId::new, "c"),
        command: Command::ForceProceed,
    };
    assert_eq!(running.load(nonce("n", 0)).await, command);
    let none = Loaded::Message(None);
    assert_eq!(running.load(nonce("n", 5_000_000)).await, none);
    let mut late = post(1, Some("n"));
    late.created_at = Wall::from_millis(5_000_000 + 2 * 3_600_000);
    running.store(2, posted(late.clone(), &[]));
    assert_eq!(running.stored().await, (2, Ok(())));
    let found = Loaded::Message(Some(Box::new(late)));
    assert_eq!(running.load(nonce("n", 0)).await, found);
    running.store(3, vec![commanded("n", 5_000_000 + 2 * 3_600_000)]);
    assert!(running.stored().await.1.is_err());
    running.stop().await;
}

#[tokio::test]
async fn the_newest_message_of_the_others_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut running) = Running::start(&folder.path().join("guild.sqlite")).await;
    let by = |seq, author: &str, deleted| {
        let mut message = post(seq, None);
        message.author.id = id(UserId::new, author);
        message.deleted_at = Some(Wall::from_millis(9)).filter(|_| deleted);
        message
    };
    running.store(0, founding());
    for (seq, author, deleted) in [(1, "al", false), (2, "bo", false), (3, "bo", true)] {
        running.store(seq, posted(by(seq, author, deleted), &[]));
    }
    for number in 0..=3 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    for (channel, not_by, found) in [
        ("c", "al", Some(2)),
        ("c", "bo", Some(1)),
        ("c", "zoe", Some(2)),
        ("other", "zoe", None),
    ] {
        let query = Query::Newest {
            channel: id(ChannelId::new, channel),
            not_by: id(UserId::new, not_by),
        };
        let Loaded::Message(message) = running.load(query).await else {
            panic!("no message");
        };
        assert_eq!(message.map(|message| message.seq), found, "{not_by}");
    }
    running.stop().await;
}

/// A file as an older version of this program left it, with what both of its versions know.
async fn older(path: &Path, versions: usize) {
    let schema = Schema {
        migrations: SCHEMA.migrations.split_at(versions).0,
        ..SCHEMA
    };
    let mut connection = open(path, &schema).await.unwrap();
    let mut rows = vec![
        "INSERT INTO channels VALUES ('c', 'the c', 'general', 1, 0, '[]', 1, 5)",
        "INSERT INTO members VALUES ('c', 'al', 'AL', 0, 6)",
        "INSERT INTO messages VALUES ('m1', 'c', 1, 'g', 'al', 'Al', 'text', NULL, '[]', '[]',
         1000001, NULL, NULL, 'n')",
    ];
    rows.extend(if versions < 3 {
        [
            "INSERT INTO nonces VALUES ('al', 'n', 'm1', 1000001)",
            "INSERT INTO recipients VALUES ('m1', 'bo')",
        ]
    } else {
        [
            "INSERT INTO nonces VALUES ('al', 'n', 'm1', NULL, NULL, 1000001)",
            "INSERT INTO recipients VALUES ('m1', 'bo', NULL)",
        ]
    });
    if versions > 1 {
        rows.push("INSERT INTO commands VALUES (1, '[]')");
    }
    for sql in rows {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn keeps_everything(versions: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    older(&path, versions).await;
    let (rows, mut running) = Running::start(&path).await;
    let expected = 2 + usize::from(versions > 1);
    assert_eq!(rows.len(), expected, "{rows:?}");
    let Loaded::Page(page) = running.load(history(None, None, 9)).await else {
        panic!("no page");
    };
    let [message] = page.messages.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!((message.wakeup, message.rewake), (Some(true), None));
    let Loaded::Message(Some(known)) = running.load(nonce("n", 0)).await else {
        panic!("the nonce is forgotten");
    };
    assert_eq!(known.seq, 1);
    running.store(
        0,
        vec![commanded("o", 1_000_002), rewoken("m1", "al", "w0")],
    );
    running.store(1, posted(post(2, Some("p")), &["bo"]));
    for number in 0..=1 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    running.stop().await;
    let (rows, running) = Running::start(&path).await;
    assert_eq!(rows.len(), expected, "a migration is not made twice");
    running.stop().await;
}

#[tokio::test]
async fn a_file_of_the_first_version_keeps_everything() {
    keeps_everything(1).await;
}

#[tokio::test]
async fn a_file_of_the_second_version_keeps_everything() {
    keeps_everything(2).await;
}

#[tokio::test]
async fn a_file_of_the_third_version_keeps_everything() {
    keeps_everything(3).await;
}
