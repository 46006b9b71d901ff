//! Tests of what the doctor says about the store and the locks, and that it leaves both as they are.

use std::{fs, os::unix::fs::PermissionsExt as _};

use selvedge_core::{
    id::{ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::kept::{Change, KeptAgent, Notice, TurnRecord, TurnState},
};

use super::{
    tests::{GOOD, checked_in, config, serve},
    *,
};
use crate::{
    plugin::lock,
    store::plugin::{Owner, Store},
};

/// What an agent of that Center keeps: its account, and a turn that is parked.
async fn kept(folder: &Path, origin: &str) -> (Store, tokio::task::JoinHandle<()>) {
    let (store, task) = Store::open(&folder.join("store.sqlite")).await.unwrap();
    let owner = Owner {
        center: origin.to_owned(),
        agent: selvedge_core::id::AgentId::new("echo").unwrap(),
    };
    let agent = KeptAgent {
        user: UserId::new("u_1"),
        ..KeptAgent::default()
    };
    let turn = TurnRecord {
        guild: GuildId::new("g1").unwrap(),
        channel: ChannelId::new("c1").unwrap(),
        messages: vec![(7, MessageId::new("m").unwrap())],
        attempt: 3,
        context_from: 7,
        state: TurnState::Parked,
        owes_pass: false,
        notice: Notice::default(),
    };
    let turn = Change::Turn(TurnId::new("t.1").unwrap(), turn);
    let batch = vec![Change::Agent(agent), turn];
    store.keep(owner, batch).await.unwrap();
    (store, task)
}

/// Everything in a folder, and what is in each file.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap_or_default();
        (path, content)
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

/// The lines of a verdict that are about this.
fn lines<'t>(told: &'t str, start: &str) -> Vec<&'t str> {
    told.lines()
        .filter(|line| line.starts_with(start))
        .collect()
}

#[tokio::test]
async fn a_store_is_looked_at_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let origin = serve(GOOD).await;
    let (store, task) = kept(folder.path(), &origin).await;
    let whole = "ok       the store: FOLDER/store.sqlite is whole, and has version 3 of its schema";
    let parked = "warning  agent echo: 1 turn(s) are parked, since the host got each too often without \
                  ending it: channel c1 of guild g1; the tool list_pending names them, and turn_done \
                  ends one";
    let (told, result) = checked_in(folder.path(), origin.clone()).await;
    assert!(
        told.contains(whole) && told.contains(parked),
        "in use: {told}"
    );
    assert_eq!(result, Ok(()));
    drop(store);
    task.await.unwrap();
    let before = contents(folder.path());
    let (told, result) = checked_in(folder.path(), origin.clone()).await;
    assert!(told.contains(whole) && told.contains(parked), "{told}");
    assert_eq!(result, Ok(()));
    assert_eq!(contents(folder.path()), before);

    let path = folder.path().join("store.sqlite");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (told, _) = checked_in(folder.path(), origin.clone()).await;
    let open = "warning  the store: FOLDER/store.sqlite is open to other users (mode 644); the plugin \
                closes it at its next start, or do so now: chmod 600 FOLDER/store.sqlite";
    assert_eq!(lines(&told, "warning  the store"), [open]);

    let mut newer = fs::read(&path).unwrap();
    // The user version, at its place in the header.
    newer[60..64].copy_from_slice(&7_u32.to_be_bytes());
    fs::write(&path, newer).unwrap();
    let (told, result) = checked_in(folder.path(), origin.clone()).await;
    let error = lines(&told, "error    the store")[0];
    let words =
        "has version 7 of the plugin schema, this program knows versions up to 3; run the newer";
    assert!(error.contains(words), "{told}");
    assert!(result.is_err());

    fs::write(&path, "no database at all, however long this text is").unwrap();
    let (told, _) = checked_in(folder.path(), origin).await;
    let error = lines(&told, "error    the store")[0];
    assert!(error.contains("not a database"), "{told}");
}

#[tokio::test]
async fn a_folder_that_takes_no_store_is_an_error_before_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let origin = serve(GOOD).await;
    fs::write(folder.path().join("file"), "").unwrap();
    let (told, result) = checked_in(&folder.path().join("file/folder"), origin).await;
    let error = lines(&told, "error    the store")[0];
    assert!(
        error.contains("its folder FOLDER cannot be used: "),
        "{told}"
    );
    assert!(error.contains("set [store] path"), "{told}");
    assert!(result.is_err());
}

#[tokio::test]
async fn who_serves_an_account_is_said_also_where_nobody_can_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (origin, user) = (serve(GOOD).await, UserId::new("u_1").unwrap());
    let locks = folder.path().join("locks");
    fs::create_dir(&locks).unwrap();
    let lock = |origin: &str| lock::paths(Some(&locks), &path, origin, &user);
    let me = std::process::id();
    let held = lock::hold(&lock(&origin)[0]).unwrap();
    let (told, result) = checked_in(folder.path(), origin.clone()).await;
    let line = &lines(&told, "ok       agent echo: process")[..];
    let start =
        format!("ok       agent echo: process {me} of this machine serves the account, as FOLDER");
    assert!(line[0].starts_with(&start), "{told}");
    assert_eq!(result, Ok(()));
    drop(held);
    let (told, _) = checked_in(folder.path(), origin).await;
    let free = "ok       agent echo: no process of this machine serves the account now\n";
    assert!(told.contains(free), "{told}");

    let nowhere = "http://127.0.0.1:1";
    let (store, task) = kept(folder.path(), nowhere).await;
    let _held = lock::hold(&lock(nowhere)[1]).unwrap();
    let (told, _) = checked_in(folder.path(), nowhere.to_owned()).await;
    let start = format!("ok       agent echo: process {me} of");
    assert_eq!(lines(&told, &start).len(), 1, "{told}");
    drop(store);
    task.await.unwrap();
}

#[tokio::test]
async fn an_address_that_another_program_has_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let origin = serve(GOOD).await;
    let mut config = config(folder.path(), origin.clone());
    for (listen, words) in [
        (
            "127.0.0.1:1",
            "ok       [status] listen: nobody uses 127.0.0.1:1 now",
        ),
        (
            origin.as_str(),
            "error    [status] listen: what answers at ",
        ),
    ] {
        config.status = listen.trim_start_matches("http://").parse().ok();
        let mut out = Vec::new();
        let result = examine(&config, &mut out).await;
        let told = String::from_utf8(out).unwrap();
        assert!(told.contains(words), "{told}");
        assert_eq!(result.is_err(), words.starts_with("error"), "{told}");
    }
}
