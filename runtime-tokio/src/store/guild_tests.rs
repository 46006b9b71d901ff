//! Tests of the guild's store.

use selvedge_core::fabric::{
    realtime::Activity,
    types::{Attachment, Canvas, Format, XType},
};
use tokio::task::JoinHandle;

use super::*;

#[path = "guild_files_tests.rs"]
mod files;
#[path = "guild_turns_tests.rs"]
mod turns;

fn id<T>(new: fn(&str) -> Option<T>, text: &str) -> T {
    new(text).unwrap()
}

fn channel_row(name: &str) -> ChannelRow {
    ChannelRow {
        id: id(ChannelId::new, name),
        name: format!("the {name}"),
        x_type: XType::Triage,
        is_public: true,
        closed: false,
        wake_mapping: vec![id(UserId::new, "bo"), id(UserId::new, "al")],
        last_seq: 0,
        created_at: Wall::from_millis(5),
    }
}

fn member_row(user: &str, joined_seq: u64) -> MemberRow {
    MemberRow {
        channel: id(ChannelId::new, "c"),
        user: id(UserId::new, user),
        name: user.to_uppercase(),
        joined_seq,
        joined_at: Wall::from_millis(6),
    }
}

fn post(seq: u64, nonce: Option<&str>) -> Message {
    Message {
        id: id(MessageId::new, &format!("m{seq}")),
        channel_id: id(ChannelId::new, "c"),
        guild_id: GuildId::new("g"),
        seq,
        author: Author {
            id: id(UserId::new, "al"),
            name: "Al 'x\" --".into(),
        },
        content: format!("text {seq} \u{0}\u{1F600}"),
        reply_to_id: MessageId::new("m1"),
        mentions: vec![id(UserId::new, "bo")],
        attachments: vec![Attachment {
            id: "f".into(),
            name: "n".into(),
            mime: "text/plain".into(),
            bytes: 3,
            url: "/api/files/f".into(),
        }],
        created_at: Wall::from_millis(1_000_000 + seq as i64),
        edited_at: None,
        deleted_at: Some(Wall::from_millis(9)),
        nonce: nonce.map(Into::into),
        wakeup: None,
        rewake: None,
        wake_id: None,
    }
}

fn posted(message: Message, woken: &[&str]) -> Vec<Fact> {
    vec![Fact::Posted {
        message: Box::new(message),
        woken: woken.iter().map(|user| id(UserId::new, user)).collect(),
    }]
}

fn founding() -> Vec<Fact> {
    vec![
        Fact::Channel(channel_row("c")),
        Fact::Member(member_row("zoe", 0)),
        Fact::Member(member_row("al", 0)),
    ]
}

fn history(after: Option<u64>, before: Option<u64>, limit: u64) -> Query {
    Query::History {
        channel: id(ChannelId::new, "c"),
        asker: id(UserId::new, "bo"),
        after,
        before,
        limit,
    }
}

fn nonce(nonce: &str, since: i64) -> Query {
    Query::Nonce {
        author: id(UserId::new, "al"),
        nonce: nonce.into(),
        since: Wall::from_millis(since),
    }
}

/// A running store with its inbox.
struct Running {
    jobs: mpsc::UnboundedSender<Job>,
    answers: mpsc::Receiver<Input>,
    _strong: mpsc::Sender<Input>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(path: &Path) -> (Vec<Fact>, Self) {
        let mut store = GuildStore::open(path).await.unwrap();
        let rows = store.load_rows().await.unwrap();
        let (jobs, queue) = mpsc::unbounded_channel();
        let (inbox, answers) = mpsc::channel(64);
        let task = tokio::spawn(store.run(queue, inbox.downgrade()));
        let running = Self {
            jobs,
            answers,
            _strong: inbox,
            task,
        };
        (rows, running)
    }

    fn store(&self, number: u64, facts: Vec<Fact>) {
        self.jobs
            .send(Job::Store(RequestId::from_number(number), facts))
            .unwrap();
    }

    async fn stored(&mut self) -> (u64, Result<(), Unavailable>) {
        let Some(Input::Stored(id, result)) = self.answers.recv().await else {
            panic!("no answer to a transaction");
        };
        (id.number(), result)
    }

    async fn load(&mut self, query: Query) -> Loaded {
        self.jobs
            .send(Job::Load(RequestId::from_number(0), query))
            .unwrap();
        let Some(Input::Loaded(_, result)) = self.answers.recv().await else {
            panic!("no answer to a read");
        };
        result.unwrap()
    }

    async fn page(&mut self, query: Query) -> (Vec<u64>, bool) {
        match self.load(query).await {
            Loaded::Page(page) => (
                page.messages.iter().map(|message| message.seq).collect(),
                page.has_more,
            ),
            Loaded::Message(_)
            | Loaded::Canvas(_)
            | Loaded::Channels(_)
            | Loaded::Command { .. } => panic!("no page"),
        }
    }

    async fn stop(self) {
        drop(self.jobs);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    let (rows, mut running) = Running::start(&path).await;
    assert_eq!(rows, vec![]);
    running.store(1, founding());
    running.store(2, posted(post(1, Some("n")), &["bo", "zoe"]));
    running.store(
        3,
        vec![Fact::NoMember {
            channel: id(ChannelId::new, "c"),
            user: id(UserId::new, "zoe"),
        }],
    );
    // A read sees what was asked for before it, though nobody has waited for the commits.
    running
        .jobs
        .send(Job::Load(RequestId::from_number(9), history(None, None, 9)))
        .unwrap();
    for number in 1..=3 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    let Some(Input::Loaded(_, Ok(Loaded::Page(page)))) = running.answers.recv().await else {
        panic!("no page");
    };
    let mut expected = post(1, Some("n"));
    expected.wakeup = Some(true);
    assert_eq!(page.messages, vec![expected]);
    running.stop().await;

    let (rows, mut running) = Running::start(&path).await;
    let mut channel = channel_row("c");
    channel.last_seq = 1;
    assert_eq!(
        rows,
        vec![
            Fact::Channel(channel.clone()),
            Fact::Member(member_row("al", 0))
        ]
    );
    channel.closed = true;
    running.store(1, vec![Fact::Channel(channel)]);
    assert_eq!(running.stored().await, (1, Ok(())));
    assert_eq!(
        running.load(nonce("n", 0)).await,
        Loaded::Message(Some(Box::new(post(1, Some("n")))))
    );
    assert_eq!(
        running.load(nonce("n", 1_000_001)).await,
        Loaded::Message(None)
    );
    assert_eq!(running.load(nonce("o", 0)).await, Loaded::Message(None));
    running.stop().await;
}

#[tokio::test]
async fn history_pages_forwards_and_backwards() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut running) = Running::start(&folder.path().join("guild.sqlite")).await;
    running.store(0, founding());
    for seq in 1..=7 {
        running.store(seq, posted(post(seq, None), &[]));
    }
    for number in 0..=7 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    for (after, before, limit, seqs, has_more) in [
        (None, None, 3, vec![5, 6, 7], true),
        (None, None, 7, vec![1, 2, 3, 4, 5, 6, 7], false),
        (None, Some(5), 2, vec![3, 4], true),
        (None, Some(3), 2, vec![1, 2], false),
        (Some(0), None, 2, vec![1, 2], true),
        (Some(5), None, 2, vec![6, 7], false),
        (Some(2), Some(5), 9, vec![3, 4], false),
        (Some(u64::MAX), None, 9, vec![], false),
        (None, Some(0), 9, vec![], false),
    ] {
        assert_eq!(
            running.page(history(after, before, limit)).await,
            (seqs, has_more),
            "{after:?} {before:?} {limit}"
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn a_refused_transaction_leaves_nothing_and_ends_the_writing() {
    let broken: [Vec<Fact>; 4] = [
        // The same place in the channel.
        posted(
            Message {
                id: id(MessageId::new, "other"),
                ..post(1, None)
            },
            &[],
        ),
        // The same id.
        posted(
            Message {
                id: id(MessageId::new, "m1"),
                ..post(2, None)
            },
            &[],
        ),
        // The same nonce.
        posted(post(2, Some("n")), &[]),
        // No such channel.
        posted(
            Message {
                channel_id: id(ChannelId::new, "nowhere"),
                ..post(2, None)
            },
            &[],
        ),
    ];
    for facts in broken {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guild.sqlite");
        let (_, mut running) = Running::start(&path).await;
        running.store(0, founding());
        running.store(1, posted(post(1, Some("n")), &[]));
        let mut refused = vec![Fact::Channel(channel_row("half"))];
        refused.extend(facts);
        running.store(2, refused);
        running.store(3, vec![Fact::Channel(channel_row("after"))]);
        assert_eq!(running.stored().await, (0, Ok(())));
        assert_eq!(running.stored().await, (1, Ok(())));
        for number in [2, 3] {
            let (answered, result) = running.stored().await;
            assert_eq!(answered, number);
            assert!(result.is_err());
        }
        assert_eq!(running.page(history(None, None, 9)).await.0, vec![1]);
        running.stop().await;
        let (rows, running) = Running::start(&path).await;
        assert_eq!(rows.len(), 3, "{rows:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_nonce_may_come_again_when_its_window_is_long_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut running) = Running::start(&folder.path().join("guild.sqlite")).await;
    running.store(0, founding());
    running.store(1, posted(post(1, Some("n")), &[]));
    let mut later = post(2, Some("n"));
    later.created_at = Wall::from_millis(1_000_000 + 25 * 3_600_000);
    running.store(2, posted(later.clone(), &[]));
    for number in 0..=2 {
        assert_eq!(running.stored().await, (number, Ok(())));
    }
    assert_eq!(
        running.load(nonce("n", 1_000_001)).await,
        Loaded::Message(Some(Box::new(later)))
    );
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    let mut store = GuildStore::open(&path).await.unwrap();
    assert_eq!(store.commit([founding().as_slice()].into_iter()).await, 1);
    store
        .sql("UPDATE channels SET wake_mapping = 'nonsense'")
        .await
        .unwrap();
    let error = store.load_rows().await.unwrap_err();
    assert!(error.to_string().contains("wake_mapping"), "{error}");
}

/// What a process leaves behind that is killed right after its answer: the files as they are.
#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut running) = Running::start(&folder.path().join("guild.sqlite")).await;
    running.store(0, founding());
    assert_eq!(running.stored().await, (0, Ok(())));
    let left = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
    }
    let (rows, found) = Running::start(&left.path().join("guild.sqlite")).await;
    assert_eq!(rows, founding());
    running.stop().await;
    found.stop().await;
}

#[tokio::test]
async fn what_is_written_over_is_read_back_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guild.sqlite");
    let (_, mut store) = Running::start(&path).await;
    store.store(1, founding());
    store.store(2, posted(post(1, Some("n")), &["bo"]));
    let edited = Message {
        content: "edited".into(),
        mentions: vec![],
        attachments: vec![],
        edited_at: Some(Wall::from_millis(70)),
        deleted_at: None,
        ..post(1, Some("n"))
    };
    let canvas = Canvas {
        channel_id: id(ChannelId::new, "c"),
        format: Format::Html,
        title: "a 'title'".into(),
        content: "\u{0}<b>".into(),
        shared_by: id(UserId::new, "al"),
        created_at: Wall::from_millis(1),
        updated_at: Wall::from_millis(2),
    };
    let newer = Canvas {
        content: "newer".into(),
        ..canvas.clone()
    };
    store.store(3, vec![Fact::Amended(Box::new(edited.clone()))]);
    store.store(4, vec![Fact::Canvas(Box::new(canvas.clone()))]);
    store.store(5, vec![Fact::Commands("[]".into())]);
    store.store(6, vec![Fact::Commands(r#"[{"name":"x"}]"#.into())]);
    for number in 1..=6 {
        assert_eq!(store.stored().await, (number, Ok(())));
    }
    let message = Query::Message(id(MessageId::new, "m1"));
    assert_eq!(
        store.load(message).await,
        Loaded::Message(Some(Box::new(edited.clone())))
    );
    let Loaded::Message(Some(by_nonce)) = store.load(nonce("n", 0)).await else {
        panic!("the nonce is gone");
    };
    assert_eq!(*by_nonce, edited);
    let none = Query::Message(id(MessageId::new, "m2"));
    assert_eq!(store.load(none).await, Loaded::Message(None));
    let of_channel = || Query::Canvas(id(ChannelId::new, "c"));
    assert_eq!(
        store.load(of_channel()).await,
        Loaded::Canvas(Some(Box::new(canvas)))
    );
    store.store(7, vec![Fact::Canvas(Box::new(newer.clone()))]);
    assert_eq!(store.stored().await, (7, Ok(())));
    store.stop().await;

    let (rows, mut store) = Running::start(&path).await;
    assert!(
        rows.contains(&Fact::Commands(r#"[{"name":"x"}]"#.into())),
        "{rows:?}"
    );
    assert_eq!(
        store.load(of_channel()).await,
        Loaded::Canvas(Some(Box::new(newer)))
    );
    store.store(
        8,
        vec![Fact::NoCanvas(Activity {
            channel_id: id(ChannelId::new, "c"),
            user_id: id(UserId::new, "al"),
            occurred_at: Wall::from_millis(3),
        })],
    );
    assert_eq!(store.stored().await, (8, Ok(())));
    assert_eq!(store.load(of_channel()).await, Loaded::Canvas(None));
    store.stop().await;
}
