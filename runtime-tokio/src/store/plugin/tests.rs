//! What is kept in the file is what [`Kept::apply`] says.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use selvedge_core::{
    Time, Wall,
    id::{ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::kept::{Cursor, KeptAgent, KeptChannel, Mark, Notice, TurnRecord, TurnState},
};

use super::*;

fn owner(agent: &str) -> Owner {
    Owner {
        center: "http://127.0.0.1:7001".into(),
        agent: AgentId::new(agent).unwrap(),
    }
}

fn guild(id: &str) -> GuildId {
    GuildId::new(id).unwrap()
}

fn channel(id: &str) -> ChannelId {
    ChannelId::new(id).unwrap()
}

fn turn(id: &str) -> TurnId {
    TurnId::new(id).unwrap()
}

fn record(seq: u64, state: TurnState) -> TurnRecord {
    TurnRecord {
        guild: guild("g"),
        channel: channel("c"),
        messages: vec![
            (seq, MessageId::new("m").unwrap()),
            (seq, MessageId::new("é\"").unwrap()),
        ],
        attempt: 3,
        context_from: seq / 2,
        state,
        owes_pass: state == TurnState::Ended,
        notice: Notice {
            skipped: seq,
            recovered: state == TurnState::Open,
            rewake: state == TurnState::Ended,
        },
    }
}

fn row(seq: u64) -> KeptChannel {
    KeptChannel {
        cursor: Some(Cursor {
            seq,
            at: Some(Mark {
                id: MessageId::new("m").unwrap(),
                created_at: Wall::from_millis(1_767_225_600_123),
            }),
        }),
        context_from: seq.saturating_add(1),
        left_at: None,
        notice: Notice {
            skipped: seq / 3,
            recovered: seq == 7,
            rewake: false,
        },
        missed_to: seq / 2,
    }
}

/// Every kind of change, and changes of what was there.
fn batches() -> Vec<Vec<Change>> {
    let agent = |user| KeptAgent {
        name: Some("name".into()),
        user,
        alive_at: Some(Time::from_micros(1_767_225_600_000_001)),
    };
    let left = KeptChannel {
        left_at: Some(Time::from_millis(9)),
        ..KeptChannel::default()
    };
    vec![
        vec![],
        vec![
            Change::Agent(agent(None)),
            Change::Guild(guild("g")),
            Change::Guild(guild("empty")),
            Change::Channel(guild("g"), channel("c"), KeptChannel::default()),
            Change::Channel(guild("g"), channel("d"), left),
        ],
        vec![
            Change::Agent(agent(UserId::new("u"))),
            Change::Channel(guild("g"), channel("c"), row(7)),
            Change::Turn(turn("t.1"), record(8, TurnState::Open)),
            Change::Turn(turn("t.2"), record(u64::MAX, TurnState::Parked)),
            Change::Turn(turn("t.3"), record(9, TurnState::Open)),
        ],
        vec![
            Change::Guild(guild("g")),
            Change::Channel(guild("g"), channel("c"), row(u64::MAX)),
            Change::NoChannel(guild("g"), channel("d")),
            Change::NoTurn(turn("t.1")),
            Change::NoTurn(turn("t.nobody")),
            Change::Turn(turn("t.3"), record(9, TurnState::Ended)),
        ],
    ]
}

#[tokio::test]
async fn every_batch_is_found_again_as_the_machine_means_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut kept = Kept::default();
    for batch in batches() {
        let (store, task) = Store::open(&path).await.unwrap();
        assert_eq!(store.load(owner("echo")).await, Ok(kept.clone()));
        kept.apply(&batch);
        store.keep(owner("echo"), batch).await.unwrap();
        assert_eq!(store.load(owner("echo")).await, Ok(kept.clone()));
        assert_eq!(store.load(owner("other")).await, Ok(Kept::default()));
        drop(store);
        task.await.unwrap();
    }
}

/// Rows are written as JSON, in which SQLite looks for more than text.
#[tokio::test]
async fn whatever_a_name_is_it_is_found_again_as_it_was() {
    const NAMES: [&str; 14] = [
        "007",
        "1e3",
        "-9223372036854775808",
        "null",
        "true",
        "[1]",
        "{\"a\":1}",
        "\"",
        "\\u0041",
        "a\0b",
        "\n\u{1b}\u{7f}",
        "é\u{2028}",
        "🧵",
        "\u{fffd}",
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (store, _task) = Store::open(&path).await.unwrap();
    let numbers = [
        0,
        1 << 53,
        (1 << 53) + 1,
        i64::MAX as u64,
        1 << 63,
        u64::MAX,
    ];
    let made: Vec<Change> = NAMES
        .iter()
        .zip(numbers.into_iter().cycle())
        .flat_map(|(name, number)| {
            let mut kept = row(number);
            let at = kept.cursor.as_mut().and_then(|cursor| cursor.at.as_mut());
            at.unwrap().id = MessageId::new(name).unwrap();
            let mut of_turn = record(number, TurnState::Open);
            (of_turn.guild, of_turn.channel) = (guild(name), channel(name));
            of_turn.messages = vec![(number, MessageId::new(name).unwrap())];
            [
                Change::Channel(guild(name), channel(name), kept),
                Change::Turn(turn(name), of_turn),
            ]
        })
        .collect();
    let mut kept = Kept::default();
    kept.apply(&made);
    store.keep(owner("echo"), made).await.unwrap();
    assert_eq!(store.load(owner("echo")).await, Ok(kept.clone()));
    for name in NAMES {
        let gone = vec![Change::NoTurn(turn(name))];
        kept.apply(&gone);
        store.keep(owner("echo"), gone).await.unwrap();
        assert_eq!(
            store.load(owner("echo")).await,
            Ok(kept.clone()),
            "{name:?}"
        );
    }
    assert!(kept.turns.is_empty());
}

/// A statement writes many rows, and a commit the batches of many agents.
#[tokio::test]
async fn a_row_that_is_refused_takes_its_batch_with_it_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (store, task) = Store::open(&path).await.unwrap();
    drop(store);
    task.await.unwrap();
    let mut connection = open(&path, &SCHEMA).await.unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON turns WHEN NEW.turn = 't.refused'
        BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    sqlx::raw_sql(refuse)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let (store, _task) = Store::open(&path).await.unwrap();
    let batch = |last: &str| {
        let turns =
            ["t.1", "t.2", last].map(|id| Change::Turn(turn(id), record(8, TurnState::Open)));
        let mut batch = vec![
            Change::Guild(guild("g")),
            Change::Channel(guild("g"), channel("c"), row(7)),
        ];
        batch.extend(turns);
        batch
    };
    let all = [
        store.keep(owner("one"), batch("t.3")),
        store.keep(owner("two"), batch("t.refused")),
        store.keep(owner("three"), batch("t.3")),
    ];
    let [one, two, three] = futures::future::join_all(all).await.try_into().unwrap();
    let why = two.unwrap_err();
    assert!(why.contains("not this one"), "{why}");
    assert_eq!((one, three), (Ok(()), Ok(())));
    let mut kept = Kept::default();
    kept.apply(&batch("t.3"));
    assert_eq!(store.load(owner("one")).await, Ok(kept.clone()));
    assert_eq!(store.load(owner("two")).await, Ok(Kept::default()));
    assert_eq!(store.load(owner("three")).await, Ok(kept));
}

#[tokio::test]
async fn agents_share_a_commit_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (store, _task) = Store::open(&path).await.unwrap();
    let mut kept = Kept::default();
    let mut last = Vec::new();
    for batch in batches() {
        kept.apply(&batch);
        for number in 0..50 {
            last.push(store.keep(owner(&format!("a{number}")), batch.clone()));
        }
    }
    for kept in last {
        kept.await.unwrap();
    }
    for number in 0..50 {
        let loaded = store.load(owner(&format!("a{number}"))).await;
        assert_eq!(loaded, Ok(kept.clone()));
    }
}

#[tokio::test]
async fn two_processes_may_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (one, _one) = Store::open(&path).await.unwrap();
    let (two, _two) = Store::open(&path).await.unwrap();
    let mut kept = Kept::default();
    for batch in batches() {
        kept.apply(&batch);
        let both = [
            one.keep(owner("one"), batch.clone()),
            two.keep(owner("two"), batch),
        ];
        for kept in futures::future::join_all(both).await {
            kept.unwrap();
        }
    }
    assert_eq!(one.load(owner("two")).await, Ok(kept.clone()));
    assert_eq!(two.load(owner("one")).await, Ok(kept));
}

/// A transaction that is never ended.
async fn hold(path: &Path) -> SqliteConnection {
    let mut connection = open(path, &SCHEMA).await.unwrap();
    let begin = sqlx::raw_sql("BEGIN IMMEDIATE");
    begin.execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn what_cannot_be_written_is_said_and_works_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (store, _task) = Store::open(&path).await.unwrap();
    let held = hold(&path).await;
    let batch = || vec![Change::Guild(guild("g"))];
    let refused = store.keep(owner("echo"), batch());
    let refused = tokio::time::timeout(Duration::from_secs(60), refused).await;
    assert!(refused.unwrap().unwrap_err().contains("in use"));
    held.close().await.unwrap();
    store.keep(owner("echo"), batch()).await.unwrap();
    let kept = store.load(owner("echo")).await.unwrap();
    assert!(kept.guilds.contains_key(&guild("g")));
}

/// A store that is in use, with what is kept in it.
async fn in_use(path: &Path) -> (Store, JoinHandle<()>, Kept) {
    let (store, task) = Store::open(path).await.unwrap();
    let mut kept = Kept::default();
    for batch in batches() {
        kept.apply(&batch);
        store.keep(owner("echo"), batch).await.unwrap();
    }
    (store, task, kept)
}

#[tokio::test]
async fn a_store_in_use_is_looked_at_and_copied_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (store, task, kept) = in_use(&path).await;
    let found = look(&path).await.unwrap();
    assert_eq!(found.version, (3, 3));
    assert_eq!(found.agents, [(owner("echo"), kept.clone())]);
    let copy = folder.path().join("it's a ?1 copy.sqlite");
    back_up(&path, &copy).await.unwrap();
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = back_up(&path, &copy).await.unwrap_err().to_string();
    assert!(again.contains("exists"), "{again}");
    drop(store);
    task.await.unwrap();
    assert_eq!(look(&copy).await.unwrap(), found);
    assert_eq!(
        look(&path).await.unwrap(),
        found,
        "and of one that nobody uses"
    );
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["it's a ?1 copy.sqlite", "store.sqlite"],
        "a look makes no file"
    );
    let nowhere = folder.path().join("no/where");
    assert!(back_up(&path, &nowhere).await.is_err());
}

#[tokio::test]
async fn a_store_that_is_damaged_or_newer_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (store, task, _) = in_use(&path).await;
    for number in 0..200 {
        let change = Change::Turn(turn(&format!("t.{number}")), record(9, TurnState::Parked));
        store.keep(owner("echo"), vec![change]).await.unwrap();
    }
    drop(store);
    task.await.unwrap();
    let good = std::fs::read(&path).unwrap();
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 2_048].fill(0xff);
    std::fs::write(&path, &damaged).unwrap();
    let copy = folder.path().join("copy");
    for error in [
        look(&path).await.unwrap_err(),
        back_up(&path, &copy).await.unwrap_err(),
        restore(&path, &copy, GoesOn::WhereItWas).await.unwrap_err(),
    ] {
        let error = error.to_string();
        let said = ["damaged", "malformed"]
            .iter()
            .any(|said| error.contains(said));
        assert!(said, "{error}");
    }
    assert!(!copy.exists());
    let mut newer = good;
    // The user version, at its place in the header.
    newer[60..64].copy_from_slice(&7_u32.to_be_bytes());
    std::fs::write(&path, &newer).unwrap();
    let refused = restore(&path, &copy, GoesOn::WhereItWas).await;
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("has version 7 of the plugin schema"),
        "{error}"
    );
    assert!(!copy.exists());
}

#[tokio::test]
async fn a_restored_store_is_the_backup_and_the_former_one_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let backup = folder.path().join("backup.sqlite");
    let (store, task, kept) = in_use(&path).await;
    back_up(&path, &backup).await.unwrap();
    let later = Change::NoTurn(turn("t.2"));
    store
        .keep(owner("echo"), vec![later.clone()])
        .await
        .unwrap();
    // As a crash leaves it: what was kept last is in the log alone.
    let crashed = folder.path().join("crashed.sqlite");
    for suffix in ["", "-wal"] {
        let (from, to) = (
            backup::beside(&path, suffix),
            backup::beside(&crashed, suffix),
        );
        std::fs::copy(from, to).unwrap();
    }
    drop(store);
    task.await.unwrap();

    let aside = restore(&backup, &crashed, GoesOn::WhereItWas)
        .await
        .unwrap();
    let aside = aside.unwrap();
    assert_eq!(aside, folder.path().join("crashed.sqlite.before-restore"));
    let mut newest = kept.clone();
    newest.apply(&[later]);
    let found = look(&aside).await.unwrap();
    assert_eq!(
        found.agents,
        [(owner("echo"), newest)],
        "nothing of it is lost"
    );
    let mut restored = kept.clone();
    restored.agent.alive_at = Some(Time::ZERO);
    let found = look(&crashed).await.unwrap();
    assert_eq!(found.agents, [(owner("echo"), restored)]);
    let mode = std::fs::metadata(&crashed).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for suffix in ["-wal", "-shm"] {
        assert!(!backup::beside(&crashed, suffix).exists());
    }

    let aside = restore(&backup, &crashed, GoesOn::FromNow).await.unwrap();
    assert!(aside.unwrap().ends_with("crashed.sqlite.before-restore-2"));
    let found = look(&crashed).await.unwrap();
    let [(_, from_now)] = found.agents.as_slice() else {
        panic!("{found:?}");
    };
    assert!(from_now.turns.is_empty());
    let row = &from_now.guilds[&guild("g")][&channel("c")];
    assert_eq!(*row, KeptChannel::default());
    assert_eq!(from_now.agent, kept.agent);

    let missing = folder.path().join("new.sqlite");
    let aside = restore(&backup, &missing, GoesOn::WhereItWas)
        .await
        .unwrap();
    assert_eq!(aside, None);
    Store::open(&missing).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said_keeps_what_was_there_and_takes_more_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (store, task, mut kept) = in_use(&path).await;
    drop(store);
    task.await.unwrap();
    let mut store = PluginStore {
        connection: open(&path, &SCHEMA).await.unwrap(),
        path: path.clone(),
    };
    let pages = async |store: &mut PluginStore, most: &'static str| {
        let set = sqlx::raw_sql(most).execute(&mut store.connection);
        set.await.unwrap();
    };
    pages(&mut store, "PRAGMA max_page_count = 1").await;
    let batch: Vec<Change> = (0..500)
        .map(|number| Change::Turn(turn(&format!("t.{number}")), record(9, TurnState::Open)))
        .collect();
    let keep = async |store: &mut PluginStore| {
        let (done, answer) = oneshot::channel();
        let keeping = Keeping {
            owner: owner("echo"),
            batch: batch.clone(),
            done,
        };
        store.keep(&mut vec![keeping]).await;
        answer.await.unwrap()
    };
    for _ in 0..3 {
        let why = keep(&mut store).await.unwrap_err();
        assert!(why.contains("database or disk is full"), "{why}");
        let found = store.load(&owner("echo")).await.unwrap();
        assert_eq!(found, kept, "all of a batch or nothing");
    }
    pages(&mut store, "PRAGMA max_page_count = 100000").await;
    keep(&mut store).await.unwrap();
    kept.apply(&batch);
    assert_eq!(store.load(&owner("echo")).await.unwrap(), kept);
}

/// What a row of the first version does not tell was not counted: it reads as nothing.
#[tokio::test]
async fn a_store_of_the_first_version_is_brought_to_the_newest_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let first = Schema {
        migrations: &SCHEMA.migrations[..1],
        ..SCHEMA
    };
    let mut connection = open(&path, &first).await.unwrap();
    let rows = "INSERT INTO agents (center, agent) VALUES ('http://127.0.0.1:7001', 'echo');
        INSERT INTO channels VALUES (1, 'g', 'c', 7, NULL, NULL, 8, NULL);
        INSERT INTO turns VALUES (1, 't.1', 'g', 'c', '[[8,\"m\"],[8,\"é\\\"\"]]', 3, 4, 'open', 0);";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(look(&path).await.unwrap().version, (1, 3));
    let (store, task) = Store::open(&path).await.unwrap();
    let cursor = Cursor { seq: 7, at: None };
    let mut kept = Kept::default();
    kept.apply(&[
        Change::Channel(
            guild("g"),
            channel("c"),
            KeptChannel {
                cursor: Some(cursor),
                context_from: 8,
                ..KeptChannel::default()
            },
        ),
        Change::Turn(
            turn("t.1"),
            TurnRecord {
                notice: Notice::default(),
                ..record(8, TurnState::Open)
            },
        ),
    ]);
    assert_eq!(store.load(owner("echo")).await.unwrap(), kept);
    let news = vec![
        Change::Channel(guild("g"), channel("c"), row(9)),
        Change::Turn(turn("t.1"), record(8, TurnState::Ended)),
    ];
    kept.apply(&news);
    store.keep(owner("echo"), news).await.unwrap();
    assert_eq!(store.load(owner("echo")).await.unwrap(), kept);
    drop(store);
    task.await.unwrap();
    assert_eq!(look(&path).await.unwrap().version, (3, 3));
}
