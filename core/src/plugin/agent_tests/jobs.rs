//! The tools that ask a guild: what goes out, and what becomes of the answer.

use alloc::{boxed::Box, collections::BTreeSet};

use super::*;
use crate::{
    fabric::{
        bodies::{CreateChannel, EditMessage, ShareCanvas, UpdateCanvas},
        routes::{PAGE_MAX, Paging},
        types::{Format, XType},
    },
    plugin::tools::{Ask, PAGE_BYTES_MAX, TEXT_BYTES_MAX, USERS_MAX},
};

fn channel(id: &str) -> ChannelId {
    ChannelId::new(id).unwrap()
}

fn users(ids: &[&str]) -> Vec<UserId> {
    ids.iter().map(|id| UserId::new(id).unwrap()).collect()
}

fn ask(id: &str, ask: Ask) -> Tool {
    Tool::Ask {
        channel: channel(id),
        guild: None,
        ask,
    }
}

fn create(name: &str) -> Tool {
    Tool::CreateChannel {
        guild: None,
        body: Box::new(CreateChannel {
            name: name.into(),
            x_type: XType::Report,
            is_public: true,
            member_user_ids: users(&["bob"]),
            wake_mapping: vec![],
            bypass: vec![],
        }),
    }
}

fn add(ids: &[&str]) -> Tool {
    Tool::AddMembers {
        channel: channel("c"),
        guild: None,
        users: users(ids),
    }
}

fn start_discussion() -> Tool {
    Tool::StartDiscussion {
        channel: channel("c"),
        guild: None,
        topic: "tea".into(),
        users: users(&["bob"]),
        opening: "Green or black?".into(),
    }
}

fn end_discussion(post_to: Option<&str>) -> Tool {
    Tool::EndDiscussion {
        channel: channel("d"),
        guild: None,
        summary: "Green.".into(),
        post_to: post_to.map(channel),
    }
}

fn history(paging: Paging) -> Tool {
    ask("c", Ask::History(paging))
}

const NEWEST: Paging = Paging {
    after: None,
    before: None,
    limit: PAGE_MAX,
};

fn fields(id: &str, x_type: &str) -> Value {
    json!({"id": id, "name": "n", "xType": x_type, "isPublic": true, "lastSeq": 3})
}

fn canvas() -> Value {
    json!({"channelId": "c", "format": "md", "title": "t", "content": "x", "sharedBy": ME,
        "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"})
}

fn refusal(why: &str) -> Value {
    json!({"statusCode": 0, "message": why})
}

impl Rig {
    /// The next requests are answered like this.
    fn then(&mut self, answers: &[(u16, Value)]) {
        self.guild("g").answers = answers.iter().cloned().collect();
        self.asked.clear();
        self.bodies.clear();
    }

    /// What one call asked and was answered.
    fn ask(&mut self, tool: Tool, answers: &[(u16, Value)]) -> Result<ToolAnswer, String> {
        self.then(answers);
        let call = self.call(tool);
        self.outcome(call)
    }

    fn outcome(&self, call: u64) -> Result<ToolAnswer, String> {
        let answer = self.answer(call).expect("an answer");
        answer.cloned().map_err(ToString::to_string)
    }
}

#[test]
fn each_question_is_one_request_and_its_answer_is_told() {
    let changed = json!({"ok": true, "changed": true});
    let edit = EditMessage {
        content: "better".into(),
    };
    let share = ShareCanvas {
        format: Format::Md,
        title: "t".into(),
        content: "x".into(),
    };
    let update = UpdateCanvas {
        content: Some("y".into()),
        ..UpdateCanvas::default()
    };
    let of = |id: &str| MessageId::new(id).unwrap();
    let paging = Paging {
        after: Some(3),
        before: Some(9),
        limit: 2,
    };
    let page = json!({"messages": [], "hasMore": false});
    let text = message("c", 1, "better");
    for (what, asked, body, answer, kind) in [
        (
            Ask::Fields,
            "GET /api/channels/c",
            json!(null),
            fields("c", "work"),
            "channel",
        ),
        (
            Ask::Members,
            "GET /api/channels/c/members",
            json!(null),
            json!([]),
            "members",
        ),
        (
            Ask::History(NEWEST),
            "GET /api/channels/c/messages?limit=200",
            json!(null),
            page.clone(),
            "history",
        ),
        (
            Ask::History(paging),
            "GET /api/channels/c/messages?limit=2&afterSeq=3&beforeSeq=9",
            json!(null),
            page,
            "history",
        ),
        (
            Ask::Join,
            "POST /api/channels/c/join",
            json!(null),
            changed.clone(),
            "changed",
        ),
        (
            Ask::Close,
            "PATCH /api/channels/c",
            json!({"closed": true}),
            fields("c", "work"),
            "channel",
        ),
        (
            Ask::Edit(of("m/1"), edit),
            "PATCH /api/messages/m%2F1",
            json!({"content": "better"}),
            text,
            "message",
        ),
        (
            Ask::Delete(of("m1")),
            "DELETE /api/messages/m1",
            json!(null),
            json!({}),
            "done",
        ),
        (
            Ask::Canvas,
            "GET /api/channels/c/canvas",
            json!(null),
            canvas(),
            "canvas",
        ),
        (
            Ask::ShareCanvas(share),
            "PUT /api/channels/c/canvas",
            json!({"format": "md", "title": "t", "content": "x"}),
            canvas(),
            "canvas",
        ),
        (
            Ask::UpdateCanvas(update),
            "PATCH /api/channels/c/canvas",
            json!({"content": "y"}),
            canvas(),
            "canvas",
        ),
        (
            Ask::RemoveCanvas,
            "DELETE /api/channels/c/canvas",
            json!(null),
            json!({}),
            "done",
        ),
        (
            Ask::Leave,
            "POST /api/channels/c/leave",
            json!(null),
            changed,
            "changed",
        ),
    ] {
        let mut rig = Rig::live(&[("c", "general")]);
        let told = rig.ask(ask("c", what), &[(200, answer)]).unwrap();
        assert_eq!(rig.asked, [asked]);
        assert_eq!(rig.bodies, [body], "{asked}");
        let told = serde_json::to_value(told).unwrap();
        let name = told
            .as_str()
            .or_else(|| told.as_object()?.keys().next().map(String::as_str));
        assert_eq!(name, Some(kind), "{asked}");
    }
}

#[test]
fn a_channel_that_is_made_or_joined_can_be_posted_in_at_once() {
    let mut rig = Rig::live(&[("c", "general")]);
    let told = rig.ask(create("news"), &[(201, fields("n", "report"))]);
    assert!(matches!(told, Ok(ToolAnswer::Channel(channel)) if channel.id.as_str() == "n"));
    assert_eq!(rig.asked[0], "POST /api/channels");
    assert_eq!(rig.bodies[0]["memberUserIds"], json!(["bob"]));
    let call = rig.send("n", None, "hello");
    assert!(matches!(rig.answer(call), Some(Ok(_))));
    let joined = rig.ask(
        ask("p", Ask::Join),
        &[(201, json!({"ok": true, "changed": true}))],
    );
    assert_eq!(joined, Ok(ToolAnswer::Changed(true)));
    let call = rig.send("p", None, "hello");
    assert!(matches!(rig.answer(call), Some(Ok(_))));
    let left = rig.ask(
        ask("p", Ask::Leave),
        &[(201, json!({"ok": true, "changed": true}))],
    );
    assert_eq!(left, Ok(ToolAnswer::Changed(true)));
    let call = rig.send("p", None, "hello");
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("not in channel p")));
}

#[test]
fn what_can_be_repeated_is_tried_again_and_what_cannot_is_not() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.then(&[
        (503, refusal("later")),
        (429, refusal("slow")),
        (200, fields("c", "work")),
    ]);
    let call = rig.call(ask("c", Ask::Fields));
    assert_eq!(rig.answer(call), None);
    rig.pass(45 * SECOND);
    assert!(matches!(rig.answer(call), Some(Ok(ToolAnswer::Channel(_)))));
    // Nobody knows whether the channel is there now.
    let why = rig
        .ask(create("news"), &[(503, refusal("later"))])
        .unwrap_err();
    assert!(
        why.contains("not known whether it was made; look at list_channels"),
        "{why}"
    );
    // A guild that takes no more calls has certainly not made it.
    rig.then(&[(429, refusal("slow")), (201, fields("n", "report"))]);
    let call = rig.call(create("news"));
    rig.pass(45 * SECOND);
    assert!(matches!(rig.answer(call), Some(Ok(ToolAnswer::Channel(_)))));
}

#[test]
fn a_refused_token_costs_one_login() {
    let mut rig = Rig::live(&[("c", "general")]);
    let told = rig.ask(
        ask("c", Ask::Fields),
        &[(401, refusal("expired")), (200, fields("c", "work"))],
    );
    assert!(matches!(told, Ok(ToolAnswer::Channel(_))), "{told:?}");
    assert_eq!(rig.login_count, 2);
    let refused = (401, refusal("expired"));
    let why = rig
        .ask(ask("c", Ask::Fields), &[refused.clone(), refused])
        .unwrap_err();
    assert!(why.contains("a new one too"), "{why}");
}

#[test]
fn a_refusal_says_what_and_why_at_once() {
    let mut words = BTreeSet::new();
    for status in [400, 403, 404, 409, 413] {
        let mut rig = Rig::live(&[("c", "general")]);
        let why = rig
            .ask(ask("c", Ask::RemoveCanvas), &[(status, refusal("because"))])
            .unwrap_err();
        assert!(why.ends_with(": because"), "{why}");
        assert_eq!(rig.asked.len(), 1);
        words.insert(why);
    }
    assert_eq!(words.len(), 5, "{words:?}");
}

#[test]
fn a_guild_that_does_not_answer_is_given_up_after_a_minute() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    let call = rig.call(ask("c", Ask::Fields));
    rig.pass(80 * SECOND);
    let why = rig.outcome(call).unwrap_err();
    assert!(why.contains("did not answer in time"), "{why}");
}

#[test]
fn the_end_of_the_process_answers_every_job() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    let call = rig.call(ask("c", Ask::Close));
    rig.step(Some(Input::Shutdown));
    let why = rig.outcome(call).unwrap_err();
    assert!(why.contains("shutting down; it is not known"), "{why}");
}

#[test]
fn a_failed_login_is_told_to_the_job_that_waits_for_it() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(8 * MINUTE - 30 * SECOND);
    rig.center = Center::Refuses(401);
    rig.pass(31 * SECOND);
    let call = rig.call(ask("c", Ask::Close));
    rig.pass(30 * SECOND);
    let why = rig.outcome(call).unwrap_err();
    assert!(why.contains("refused the account"), "{why}");
    rig.center = Center::Refuses(503);
    rig.pass(31 * SECOND);
    let call = rig.call(ask("c", Ask::Close));
    rig.pass(80 * SECOND);
    let why = rig.outcome(call).unwrap_err();
    assert!(why.contains("nothing was changed"), "{why}");
}

#[test]
fn members_are_added_one_after_the_other_and_a_failure_says_who_was() {
    let mut rig = Rig::live(&[("c", "general")]);
    let changed = |changed| (201, json!({"ok": true, "changed": changed}));
    let told = rig.ask(
        add(&["a", "b", "d"]),
        &[changed(true), changed(false), changed(true)],
    );
    let (added, already) = (users(&["a", "d"]), users(&["b"]));
    assert_eq!(told, Ok(ToolAnswer::Added { added, already }));
    let why = rig
        .ask(
            add(&["a", "b", "d"]),
            &[changed(true), (404, refusal("no b"))],
        )
        .unwrap_err();
    assert!(why.contains("no b; made members before that: a"), "{why}");
    assert_eq!(rig.asked.len(), 2);
    let why = rig.ask(add(&[]), &[]).unwrap_err();
    assert!(why.contains("nobody was added"), "{why}");
}

#[test]
fn what_is_too_large_is_refused_before_anybody_is_asked() {
    let mut rig = Rig::live(&[("c", "general")]);
    let many: Vec<String> = (0..=USERS_MAX).map(|id| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let why = rig.ask(add(&many), &[]).unwrap_err();
    assert!(why.contains("101 users are too many"), "{why}");
    let content = "x".repeat(TEXT_BYTES_MAX + 1);
    let edit = Ask::Edit(MessageId::new("m").unwrap(), EditMessage { content });
    let why = rig.ask(ask("c", edit), &[]).unwrap_err();
    assert!(why.contains("1048577 bytes is too long"), "{why}");
    assert_eq!(rig.asked, Vec::<String>::new());
}

#[test]
fn a_page_of_history_fits_into_an_answer() {
    let mut rig = Rig::live(&[("c", "general")]);
    let text = "x".repeat(PAGE_BYTES_MAX / 4);
    let messages: Vec<Value> = (1..=6).map(|seq| message("c", seq, &text)).collect();
    let page = json!({"messages": messages, "hasMore": false});
    let seqs = |told: Result<ToolAnswer, String>| match told {
        Ok(ToolAnswer::History(page)) => {
            assert!(page.has_more);
            page.messages.iter().map(|it| it.seq).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let newest = rig.ask(history(NEWEST), &[(200, page.clone())]);
    assert_eq!(seqs(newest), [3, 4, 5, 6]);
    let forward = Paging {
        after: Some(0),
        ..NEWEST
    };
    let oldest = rig.ask(history(forward), &[(200, page)]);
    assert_eq!(seqs(oldest), [1, 2, 3, 4]);
    let huge = message("c", 1, &"x".repeat(PAGE_BYTES_MAX + 1));
    let page = json!({"messages": [huge.clone(), huge], "hasMore": false});
    let one = rig.ask(history(NEWEST), &[(200, page)]);
    assert_eq!(seqs(one), [1]);
}

#[test]
fn a_discussion_knows_where_it_came_from() {
    let mut rig = Rig::live(&[("c", "general")]);
    let told = rig.ask(
        start_discussion(),
        &[(201, fields("d", "discuss")), (201, message("d", 1, "x"))],
    );
    let (channel, first) = (channel("d"), MessageId::new("d1").unwrap());
    assert_eq!(
        told,
        Ok(ToolAnswer::Started {
            channel,
            message: first
        })
    );
    assert_eq!(
        rig.asked[..2],
        ["POST /api/channels", "POST /api/channels/d/messages"]
    );
    assert_eq!(rig.bodies[0]["xType"], "discuss");
    assert_eq!(rig.bodies[0]["name"], "tea");
    let opening = rig.bodies[1]["content"].as_str().unwrap().to_string();
    assert_eq!(opening, "Green or black?\n\norigin: c");
    assert!(rig.bodies[1]["nonce"].is_string());

    let own = altered(message("d", 1, &opening), json!({"author": {"id": ME}}));
    let page = json!({"messages": [own], "hasMore": true});
    let told = rig.ask(
        end_discussion(None),
        &[
            (200, page),
            (200, fields("d", "discuss")),
            (201, message("c", 9, "Green.")),
        ],
    );
    assert!(
        matches!(told, Ok(ToolAnswer::Ended { seq: 9, .. })),
        "{told:?}"
    );
    assert_eq!(
        rig.asked,
        [
            "GET /api/channels/d/messages?limit=1&afterSeq=0&beforeSeq=2",
            "PATCH /api/channels/d",
            "POST /api/channels/c/messages"
        ]
    );
    assert_eq!(rig.bodies[2]["content"], "Green.");
}

#[test]
fn nobody_else_says_where_a_discussion_came_from() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "discuss")]);
    let foreign = json!({"messages": [message("d", 1, "x\n\norigin: c")], "hasMore": false});
    let why = rig
        .ask(end_discussion(None), &[(200, foreign)])
        .unwrap_err();
    assert!(
        why.contains("call again with post_to; nothing was changed"),
        "{why}"
    );
    assert_eq!(rig.asked.len(), 1);
    let told = rig.ask(
        end_discussion(Some("c")),
        &[
            (200, fields("d", "discuss")),
            (201, message("c", 9, "Green.")),
        ],
    );
    assert!(matches!(told, Ok(ToolAnswer::Ended { .. })), "{told:?}");
}

#[test]
fn a_discussion_that_fails_half_way_says_what_was_done() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "discuss")]);
    let why = rig
        .ask(
            start_discussion(),
            &[(201, fields("e", "discuss")), (413, refusal("8000"))],
        )
        .unwrap_err();
    assert!(
        why.contains("too long: 8000; the channel e was made"),
        "{why}"
    );
    let why = rig
        .ask(
            end_discussion(Some("c")),
            &[(200, fields("d", "discuss")), (403, refusal("no member"))],
        )
        .unwrap_err();
    assert!(why.contains("no member; the discussion is closed"), "{why}");
    let not_one = Tool::EndDiscussion {
        channel: channel("c"),
        guild: None,
        summary: "x".into(),
        post_to: None,
    };
    let why = rig.ask(not_one, &[]).unwrap_err();
    assert!(why.contains("general and no discussion"), "{why}");
}

#[test]
fn a_guild_must_be_named_where_there_are_several() {
    let mut rig = Rig::new(&[
        ("g", Guild::new(&[("c", "general")])),
        ("h", Guild::new(&[])),
    ]);
    rig.start();
    let why = rig.ask(create("news"), &[]).unwrap_err();
    assert!(why.contains("`guild_id`, one of g, h"), "{why}");
    // A channel that the agent is in tells its guild.
    let told = rig.ask(ask("c", Ask::Fields), &[(200, fields("c", "work"))]);
    assert!(told.is_ok(), "{told:?}");
    let why = rig.ask(ask("x", Ask::Fields), &[]).unwrap_err();
    assert!(why.contains("`guild_id`, one of g, h"), "{why}");
    let elsewhere = Tool::Ask {
        channel: channel("x"),
        guild: GuildId::new("z"),
        ask: Ask::Fields,
    };
    let why = rig.ask(elsewhere, &[]).unwrap_err();
    assert!(why.contains("not in guild z"), "{why}");
}

#[test]
fn what_waits_and_runs_is_listed() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "general")]);
    for seq in 1..=3 {
        rig.says("c", seq, "hello");
    }
    rig.guild("g").holds = true;
    rig.call(ask("c", Ask::Fields));
    let call = rig.call(Tool::ListPending);
    let Ok(ToolAnswer::Pending { channels, calls }) = rig.outcome(call) else {
        panic!("another answer");
    };
    assert_eq!(calls, 1);
    let [entry] = channels.as_slice() else {
        panic!("{channels:?}");
    };
    assert_eq!(entry.channel_id, channel("c"));
    assert_eq!(entry.turn.as_ref(), Some(&rig.inbounds[0].turn_id));
    assert_eq!(entry.waiting, 2);
}
