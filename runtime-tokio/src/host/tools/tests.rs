//! What each tool makes of its arguments, and that what it answers is what it has declared.

use selvedge_core::{
    fabric::types as wire,
    id::{ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::{
        tools::{ChannelEntry, PendingEntry, SentMessage, Tool as Call},
        transfer::Saved,
    },
};
use serde_json::json;

use super::*;

/// Every tool, in the order of the list.
const ALL: &[&str] = &[
    "send",
    "edit_message",
    "delete_message",
    "get_history",
    "list_channels",
    "get_channel",
    "create_channel",
    "join_channel",
    "leave_channel",
    "close_channel",
    "list_members",
    "add_members",
    "share_canvas",
    "get_canvas",
    "update_canvas",
    "remove_canvas",
    "start_discussion",
    "end_discussion",
    "upload_file",
    "download_file",
    "no_reply",
    "turn_done",
    "list_pending",
];

fn listed() -> Vec<Value> {
    let tools = list().unwrap();
    tools
        .iter()
        .map(|tool| serde_json::to_value(tool).unwrap())
        .collect()
}

/// What a call becomes; its words where it is refused.
fn call(name: &str, arguments: Value) -> Result<Call, String> {
    let words = |outcome: Outcome| match outcome {
        Ok(result) => result.content[0].as_text().unwrap().text.clone(),
        Err(error) => error.message.to_string(),
    };
    let named = read(name, arguments.as_object()).map_err(words)?;
    named.tool(&|session| {
        let channel = session.strip_prefix("s_fab_")?;
        Some((ChannelId::new(channel)?, GuildId::new("g1")))
    })
}

/// The same, as a recording has it.
fn called(name: &str, arguments: Value) -> Value {
    serde_json::to_value(call(name, arguments).unwrap()).unwrap()
}

#[test]
fn no_tool_is_missing_and_each_says_what_it_is() {
    let tools = listed();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ALL);
    for tool in &tools {
        for text in ["title", "description"] {
            assert!(tool[text].as_str().is_some_and(|it| it.len() > 5), "{tool}");
        }
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{tool}");
            let properties = tool[schema]["properties"].as_object().unwrap();
            for (name, property) in properties {
                assert!(property["description"].is_string(), "{name} of {tool}");
            }
        }
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        let agent = &tool["inputSchema"]["properties"]["agent_id"];
        assert_eq!(agent["type"], json!(["string", "null"]), "{tool}");
        for hint in [
            "readOnlyHint",
            "destructiveHint",
            "idempotentHint",
            "openWorldHint",
        ] {
            assert!(tool["annotations"][hint].is_boolean(), "{tool}");
        }
    }
}

#[test]
fn arguments_become_calls() {
    let c = |ask: Value| json!({"ask": {"channel": "c", "guild": null, "ask": ask}});
    for (name, arguments, expected) in [
        ("get_channel", json!({}), c(json!("fields"))),
        ("list_members", json!({}), c(json!("members"))),
        ("join_channel", json!({}), c(json!("join"))),
        ("leave_channel", json!({}), c(json!("leave"))),
        ("close_channel", json!({}), c(json!("close"))),
        ("get_canvas", json!({}), c(json!("canvas"))),
        ("remove_canvas", json!({}), c(json!("remove_canvas"))),
        (
            "get_history",
            json!({"after_seq": 3, "limit": 7}),
            c(json!({"history": {"after": 3, "before": null, "limit": 7}})),
        ),
        (
            "edit_message",
            json!({"message_id": "m", "content": "x"}),
            c(json!({"edit": ["m", {"content": "x"}]})),
        ),
        (
            "delete_message",
            json!({"message_id": "m"}),
            c(json!({"delete": "m"})),
        ),
        (
            "share_canvas",
            json!({"format": "md", "title": "t", "content": "x"}),
            c(json!({"share_canvas": {"format": "md", "title": "t", "content": "x"}})),
        ),
        (
            "update_canvas",
            json!({"format": "html"}),
            c(json!({"update_canvas": {"format": "html"}})),
        ),
        (
            "add_members",
            json!({"user_ids": ["a", "b"]}),
            json!({"add_members": {"channel": "c", "guild": null, "users": ["a", "b"]}}),
        ),
        (
            "start_discussion",
            json!({"topic": "tea", "user_ids": ["a"]}),
            json!({"start_discussion": {"channel": "c", "guild": null, "topic": "tea",
                "users": ["a"], "opening": "tea"}}),
        ),
        (
            "end_discussion",
            json!({"summary": "green", "post_to": "d"}),
            json!({"end_discussion": {"channel": "c", "guild": null, "summary": "green",
                "post_to": "d"}}),
        ),
        (
            "send",
            json!({"content": "", "attachments": ["f"]}),
            json!({"send": {"channel": "c", "guild": null, "content": "", "reply_to": null,
                "attachments": ["f"]}}),
        ),
    ] {
        let mut arguments = arguments;
        arguments["channel_id"] = json!("c");
        assert_eq!(called(name, arguments), expected, "{name}");
    }
    assert_eq!(called("list_pending", json!({})), "list_pending");
    assert_eq!(
        called("upload_file", json!({"path": "a.txt", "guild_id": "g"})),
        json!({"upload": {"guild": "g", "path": "a.txt", "name": null}})
    );
    assert_eq!(
        called("download_file", json!({"file_id": "f", "name": "b.txt"})),
        json!({"download": {"guild": null, "file": "f", "name": "b.txt"}})
    );
    assert_eq!(
        called(
            "create_channel",
            json!({"name": "n", "x_type": "triage", "wake_user_ids": ["a"], "guild_id": "g"})
        ),
        json!({"create_channel": {"guild": "g", "body": {"name": "n", "xType": "triage",
            "isPublic": false, "memberUserIds": [], "wakeMapping": ["a"], "bypass": []}}})
    );
}

#[test]
fn a_session_stands_for_its_channel_in_every_tool_that_has_one() {
    for tool in listed() {
        let name = tool["name"].as_str().unwrap();
        if tool["inputSchema"]["properties"]["session_id"].is_null() {
            continue;
        }
        let mut arguments = json!({"session_id": "s_fab_c", "content": "x", "message_id": "m",
            "format": "md", "user_ids": [], "topic": "x", "summary": "x"});
        let known = tool["inputSchema"]["properties"].as_object().unwrap();
        let arguments = arguments.as_object_mut().unwrap();
        arguments.retain(|key, _| known.contains_key(key));
        let told = called(name, Value::Object(arguments.clone()));
        let told = told.as_object().unwrap().values().next().unwrap();
        assert_eq!(told["channel"], "c", "{name}");
        assert_eq!(told["guild"], "g1", "{name}");
    }
}

#[test]
fn wrong_arguments_are_told_in_words() {
    for (name, arguments, words) in [
        (
            "get_history",
            json!({"channel_id": "c", "limit": 201}),
            "limit is 201; give 1 to 200",
        ),
        (
            "get_history",
            json!({"channel_id": "c", "limit": 0}),
            "limit is 0; give 1 to 200",
        ),
        (
            "update_canvas",
            json!({"channel_id": "c"}),
            "give format, title or content",
        ),
        (
            "start_discussion",
            json!({"channel_id": "c", "topic": " ", "user_ids": []}),
            "topic is empty",
        ),
        (
            "send",
            json!({"channel_id": "c", "content": ""}),
            "call no_reply",
        ),
        ("upload_file", json!({"path": ""}), "path is empty"),
        (
            "download_file",
            json!({"file_id": ""}),
            "file_id is not an id",
        ),
        ("get_channel", json!({}), "channel_id is missing"),
        (
            "get_channel",
            json!({"channel_id": 1}),
            "channel_id: invalid type",
        ),
        (
            "get_channel",
            json!({"channel_id": "c", "x": 1}),
            "unknown field `x`",
        ),
        (
            "get_channel",
            json!({"channel_id": "c", "agent_id": 1}),
            "agent_id: invalid type",
        ),
        (
            "edit_message",
            json!({"channel_id": "c", "message_id": "", "content": "x"}),
            "message_id is not an id",
        ),
        (
            "create_channel",
            json!({"x_type": "chat"}),
            "x_type: unknown variant `chat`",
        ),
    ] {
        let why = call(name, arguments).unwrap_err();
        assert!(why.contains(words), "{name}: {why}");
    }
}

/// An answer of each kind, and the tool that gives it.
fn answers() -> Vec<(&'static str, ToolAnswer)> {
    let message: wire::Message = serde_json::from_value(json!({
        "id": "m", "channelId": "c", "seq": 1, "author": {"id": "u"}, "content": "x",
        "attachments": [{"id": "f"}], "createdAt": "2026-01-01T00:00:00Z",
    }))
    .unwrap();
    let channel: wire::Channel =
        serde_json::from_value(json!({"id": "c", "xType": "work"})).unwrap();
    let member: wire::Member =
        serde_json::from_value(json!({"id": "u", "joinedAt": "2026-01-01T00:00:00Z"})).unwrap();
    let canvas: wire::Canvas = serde_json::from_value(json!({
        "channelId": "c", "format": "md", "title": "t", "content": "x", "sharedBy": "u",
        "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
    }))
    .unwrap();
    let (channel_id, message_id) = (ChannelId::new("c").unwrap(), MessageId::new("m").unwrap());
    let guild_id = GuildId::new("g").unwrap();
    let user = UserId::new("u").unwrap();
    let page = wire::Page {
        messages: vec![message.clone()],
        has_more: true,
    };
    let entry = ChannelEntry {
        channel_id: channel_id.clone(),
        guild_id: guild_id.clone(),
        name: "n".into(),
        x_type: None,
        live: true,
    };
    let pending = PendingEntry {
        channel_id: channel_id.clone(),
        guild_id,
        turn: TurnId::new("t"),
        waiting: 1,
        parked: false,
    };
    let sent = |already: Option<&str>| SentMessage {
        message: message_id.clone(),
        seq: 1,
        already: already.map(String::from),
    };
    let sent = ToolAnswer::Sent(vec![sent(Some("x")), sent(None)]);
    let members = ToolAnswer::Members {
        members: vec![member],
        omitted: 0,
    };
    let added = ToolAnswer::Added {
        added: vec![user],
        already: vec![],
    };
    let started = ToolAnswer::Started {
        channel: channel_id.clone(),
        message: message_id.clone(),
    };
    let ended = ToolAnswer::Ended {
        channel: channel_id,
        message: message_id,
        seq: 1,
    };
    let file = message.attachments.first().unwrap().clone();
    let saved = Saved {
        path: "/x".into(),
        mime: "text/plain".into(),
        bytes: 1,
    };
    let pending = ToolAnswer::Pending {
        channels: vec![pending],
        calls: 0,
    };
    vec![
        ("send", sent),
        ("turn_done", ToolAnswer::Done),
        ("join_channel", ToolAnswer::Changed(true)),
        ("list_channels", ToolAnswer::Channels(vec![entry])),
        ("list_pending", pending),
        ("get_channel", ToolAnswer::Channel(channel)),
        ("upload_file", ToolAnswer::Uploaded(file)),
        ("download_file", ToolAnswer::Downloaded(saved)),
        ("list_members", members),
        ("add_members", added),
        ("get_history", ToolAnswer::History(page)),
        ("edit_message", ToolAnswer::Message(Box::new(message))),
        ("get_canvas", ToolAnswer::Canvas(Box::new(canvas))),
        ("start_discussion", started),
        ("end_discussion", ended),
    ]
}

#[test]
fn what_is_answered_has_exactly_the_fields_that_are_declared() {
    let tools = listed();
    for (name, answer) in answers() {
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        let told = result(Ok(answer)).structured_content.unwrap();
        let told: Vec<&String> = told.as_object().unwrap().keys().collect();
        let declared = tool["outputSchema"]["properties"].as_object().unwrap();
        assert_eq!(told, declared.keys().collect::<Vec<_>>(), "{name}");
    }
}
