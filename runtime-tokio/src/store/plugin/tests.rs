//! What is kept in the file is what [`Kept::apply`] says.

use std::time::Duration;

use selvedge_core::{
    Time, Wall,
    id::{ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::kept::{Cursor, KeptAgent, KeptChannel, Mark, TurnRecord, TurnState},
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
