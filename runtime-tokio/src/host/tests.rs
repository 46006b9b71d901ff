//! The host side over a pipe in memory, spoken to line by line.

use std::time::Duration;

use selvedge_core::{
    Wall,
    fabric::types::{Author, XType},
    id::{ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::{
        inbound::{self, InboundChannel, InboundMessage},
        io::HostEvent,
        tools::Tool,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf,
        WriteHalf,
    },
    task::JoinHandle,
    time::timeout,
};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// The host's end of the pipe.
struct Client {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    write: WriteHalf<DuplexStream>,
    served: JoinHandle<Result<(), HostError>>,
}

fn agent(id: &str) -> AgentId {
    AgentId::new(id).unwrap()
}

fn start(agents: &[&str], log: LogFeed) -> (HostLink, Client) {
    start_as(Profile::Plexum, agents, log)
}

fn start_as(profile: Profile, agents: &[&str], log: LogFeed) -> (HostLink, Client) {
    let (link, host) = channel(agents.iter().map(|id| agent(id)), profile, log);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (read, write) = tokio::io::split(theirs);
    let served = tokio::spawn(host.serve(read, write));
    let (read, write) = tokio::io::split(ours);
    let lines = BufReader::new(read).lines();
    (
        link,
        Client {
            lines,
            write,
            served,
        },
    )
}

/// A host side with one agent whose inputs are seen.
fn one_agent() -> (HostLink, Client, mpsc::Receiver<Input>, mpsc::Sender<Input>) {
    let (link, client) = start(&["echo"], log::channel().1);
    let (inbox_in, inbox) = mpsc::channel(256);
    link.attach(&agent("echo"), inbox_in.clone());
    (link, client, inbox, inbox_in)
}

impl Client {
    async fn say(&mut self, message: Value) {
        let line = format!("{message}\n");
        self.write.write_all(line.as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.say(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    async fn call(&mut self, id: u64, name: &str, arguments: Value) {
        let params = json!({"name": name, "arguments": arguments});
        self.say(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
            .await;
    }

    async fn initialize(&mut self, version: &str, capabilities: Value) -> Value {
        let params = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "0"},
        });
        let answer = self.ask(0, "initialize", params).await;
        self.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        answer
    }

    async fn begin(&mut self) {
        self.initialize("2025-11-25", json!({})).await;
    }
}

fn inbound(turn: &str, session: &str) -> Inbound {
    Inbound {
        session_id: session.into(),
        agent_id: agent("echo"),
        turn_id: TurnId::new(turn).unwrap(),
        attempt: 1,
        channel: InboundChannel {
            id: ChannelId::new("c1").unwrap(),
            name: "general".into(),
            x_type: XType::General,
            guild_id: GuildId::new("g2").unwrap(),
        },
        messages: vec![],
        context: vec![],
        skipped: 0,
        redelivered: false,
        recovered: false,
        rewake: false,
    }
}

async fn next(inbox: &mut mpsc::Receiver<Input>) -> Input {
    timeout(PATIENCE, inbox.recv()).await.unwrap().unwrap()
}

/// The next input that is a call, in short.
async fn next_call(inbox: &mut mpsc::Receiver<Input>) -> (CallId, Tool) {
    loop {
        if let Input::Host(HostEvent::Call { call, tool }) = next(inbox).await {
            return (call, tool);
        }
    }
}

#[tokio::test]
async fn the_newest_revision_that_knows_notifications_is_negotiated() {
    for (asked, answered) in [
        ("2026-07-28", "2025-11-25"),
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let (_link, mut client) = start(&["echo"], log::channel().1);
        let answer = client.initialize(asked, json!({})).await;
        assert_eq!(answer["result"]["protocolVersion"], answered);
        assert_eq!(
            answer["result"]["capabilities"],
            json!({"logging": {}, "tools": {}})
        );
        assert_eq!(answer["result"]["serverInfo"]["name"], "selvedge");
    }
}

#[tokio::test]
async fn before_initialize_there_is_ping_alone() {
    let (_link, mut client) = start(&["echo"], log::channel().1);
    let meta = json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2025-11-25",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }});
    client
        .say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        .await;
    assert_eq!(client.ask(1, "ping", json!({})).await["result"], json!({}));
    assert_eq!(
        client.ask(2, "server/discover", json!({})).await["error"]["code"],
        -32601
    );
    assert_eq!(
        client.ask(3, "server/discover", meta.clone()).await["error"]["code"],
        -32601
    );
    assert_eq!(
        client.ask(4, "tools/list", meta).await["error"]["code"],
        -32600
    );
    client.begin().await;
    assert_eq!(
        client
            .ask(
                5,
                "initialize",
                json!({
                    "protocolVersion": "2025-11-25", "capabilities": {},
                    "clientInfo": {"name": "t", "version": "0"},
                })
            )
            .await["error"]["code"],
        -32600
    );
    assert_eq!(
        client.ask(6, "server/discover", json!({})).await["error"]["code"],
        -32601
    );
}

#[tokio::test]
async fn tools_have_schemas_and_annotations() {
    let (_link, mut client) = start(&["echo"], log::channel().1);
    client.begin().await;
    let answer = client.ask(1, "tools/list", json!({})).await;
    let tools = answer["result"]["tools"].as_array().unwrap();
    assert!(tools.len() > 20, "{answer}");
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
    }
    let hints = |name: &str| {
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        let hints = &tool["annotations"];
        ["readOnlyHint", "destructiveHint", "idempotentHint"].map(|hint| hints[hint] == true)
    };
    assert_eq!(hints("send"), [false, false, false]);
    assert_eq!(hints("turn_done"), [false, false, true]);
    assert_eq!(hints("list_channels"), [true, false, true]);
    assert_eq!(hints("remove_canvas"), [false, true, true]);
    assert_eq!(hints("end_discussion"), [false, true, false]);
    assert_eq!(tools[0]["name"], "send");
    assert_eq!(tools[0]["inputSchema"]["required"], json!(["content"]));
}

#[tokio::test]
async fn calls_reach_the_agent_in_their_order_and_are_answered() {
    let (link, mut client, mut inbox, _) = one_agent();
    client.begin().await;
    for id in 0..100 {
        client
            .call(id, "turn_done", json!({"turn_id": format!("t{id}")}))
            .await;
        let Tool::TurnDone { turn } = next_call(&mut inbox).await.1 else {
            panic!("another tool");
        };
        assert_eq!(turn.as_str(), format!("t{id}"));
        if id % 8 == 0 {
            link.answer(CallId(id), Ok(ToolAnswer::Done));
            let answer = client.hear().await;
            assert_eq!(answer["id"], id);
            assert_eq!(answer["result"]["structuredContent"], json!({"done": true}));
            assert_eq!(answer["result"]["isError"], false);
        }
    }
    let send = json!({"session_id": "s_fab_c1", "content": "hi", "reply_to": "m1"});
    client.call(200, "send", send).await;
    let (call, tool) = next_call(&mut inbox).await;
    let expected = Tool::Send {
        channel: ChannelId::new("c1").unwrap(),
        guild: None,
        content: "hi".into(),
        reply_to: MessageId::new("m1"),
        attachments: vec![],
    };
    assert_eq!(tool, expected);
    link.answer(call, Err(ToolError("the channel is closed".into())));
    let answer = client.hear().await;
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(
        answer["result"]["content"][0]["text"],
        "the channel is closed"
    );
    link.answer(call, Ok(ToolAnswer::Done));
}

#[tokio::test]
async fn a_session_that_was_handed_out_names_its_guild() {
    let (link, mut client, mut inbox, inbox_in) = one_agent();
    client.begin().await;
    link.notify(inbound("t1", "s_fab_c1_g2"), inbox_in.downgrade());
    client.hear().await;
    client
        .call(1, "no_reply", json!({"session_id": "s_fab_c1_g2"}))
        .await;
    let expected = Tool::NoReply {
        channel: ChannelId::new("c1").unwrap(),
        guild: GuildId::new("g2"),
    };
    assert_eq!(next_call(&mut inbox).await.1, expected);
}

#[tokio::test]
async fn inbounds_wait_for_the_host_and_keep_their_order() {
    let (link, mut client, mut inbox, inbox_in) = one_agent();
    for turn in 0..50 {
        link.notify(
            inbound(&format!("t{turn}"), "s_fab_c1"),
            inbox_in.downgrade(),
        );
    }
    assert_eq!(client.ask(1, "ping", json!({})).await["result"], json!({}));
    let mut beginnings = link.beginnings();
    client
        .initialize(
            "2025-11-25",
            json!({"experimental": {TURNS_CAPABILITY: {}}}),
        )
        .await;
    let ready = HostEvent::Ready { turns: true };
    assert_eq!(beginnings.next().await, Some(ready));
    for turn in 0..50 {
        let notification = client.hear().await;
        assert_eq!(notification["method"], inbound::METHOD);
        assert_eq!(notification["params"]["turn_id"], format!("t{turn}"));
    }
    for turn in 0..50 {
        let written = Input::Host(HostEvent::Written(
            TurnId::new(&format!("t{turn}")).unwrap(),
        ));
        assert_eq!(next(&mut inbox).await, written);
    }
}

#[tokio::test]
async fn claude_is_told_of_a_turn_as_of_a_channels_message() {
    let (link, mut client) = start_as(Profile::Claude, &["echo"], log::channel().1);
    let (inbox_in, mut inbox) = mpsc::channel(256);
    link.attach(&agent("echo"), inbox_in.clone());
    let answer = client.initialize("2025-11-25", json!({})).await;
    assert_eq!(
        answer["result"]["capabilities"],
        json!({"logging": {}, "tools": {}, "experimental": {"claude/channel": {}}})
    );
    let instructions = answer["result"]["instructions"].as_str().unwrap();
    for said in ["channel_id", "`send`", "never change access"] {
        assert!(instructions.contains(said), "{said}");
    }
    let mut told = inbound("t1", "s_fab_c1");
    told.messages = vec![InboundMessage {
        id: MessageId::new("m1").unwrap(),
        seq: 1,
        author: Author {
            id: UserId::new("u1").unwrap(),
            name: "Ann".into(),
        },
        content: "hi".into(),
        mentions: vec![],
        reply_to: None,
        attachments: vec![],
        created_at: Wall::default(),
    }];
    link.notify(told, inbox_in.downgrade());
    let notification = client.hear().await;
    assert_eq!(notification["method"], "notifications/claude/channel");
    let params = &notification["params"];
    assert_eq!(params["content"], "hi");
    let meta = params["meta"].as_object().unwrap();
    assert!(meta.values().all(Value::is_string), "{meta:?}");
    for (key, value) in [("channel_id", "c1"), ("turn_id", "t1"), ("author_id", "u1")] {
        assert_eq!(meta[key], value);
    }
    let written = HostEvent::Written(TurnId::new("t1").unwrap());
    assert_eq!(next(&mut inbox).await, Input::Host(written));
}

#[tokio::test]
async fn every_agent_hears_how_the_host_began_however_late_it_starts() {
    let (link, mut client) = start(&["echo"], log::channel().1);
    let mut early = link.beginnings();
    client.begin().await;
    let ready = HostEvent::Ready { turns: false };
    assert_eq!(early.next().await, Some(ready.clone()));
    client.ask(1, "tools/list", json!({})).await;
    assert_eq!(early.next().await, Some(HostEvent::ToolsListed));
    client.ask(2, "tools/list", json!({})).await;
    assert_eq!(early.next().await, None);
    let mut late = link.beginnings();
    for told in [Some(ready), Some(HostEvent::ToolsListed), None] {
        assert_eq!(late.next().await, told);
    }
}

#[tokio::test]
async fn written_means_taken_by_the_pipe() {
    let (link, mut client, mut inbox, inbox_in) = one_agent();
    client.begin().await;
    let mut large = inbound("t1", "s_fab_c1");
    large.channel.name = "x".repeat(1 << 17);
    link.notify(large, inbox_in.downgrade());
    assert!(
        timeout(Duration::from_millis(100), inbox.recv())
            .await
            .is_err()
    );
    client.hear().await;
    assert!(matches!(
        next(&mut inbox).await,
        Input::Host(HostEvent::Written(_))
    ));
}

#[tokio::test]
async fn whatever_else_is_said_inbounds_keep_their_order_and_all_is_whole_lines() {
    const MANY: u64 = 300;
    let (link, mut client, mut inbox, inbox_in) = one_agent();
    client.begin().await;
    for number in 0..MANY {
        link.notify(
            inbound(&format!("t{number}"), "s_fab_c1"),
            inbox_in.downgrade(),
        );
        let ask = json!({"jsonrpc": "2.0", "id": number + 10, "method": "ping"});
        client.say(ask).await;
    }
    let heard = tokio::spawn(async move {
        let mut written = vec![];
        while written.len() < MANY as usize {
            let input = next(&mut inbox).await;
            let Input::Host(HostEvent::Written(turn)) = input else {
                panic!("{input:?}");
            };
            written.push(turn.to_string());
        }
        written
    });
    let (mut turns, mut answers) = (vec![], 0);
    while turns.len() + answers < 2 * MANY as usize {
        let line = client.hear().await;
        match line["method"] == inbound::METHOD {
            true => turns.push(line["params"]["turn_id"].as_str().unwrap().to_owned()),
            false => {
                assert_eq!(line["result"], json!({}), "{line}");
                answers += 1;
            }
        }
    }
    let expected: Vec<_> = (0..MANY).map(|number| format!("t{number}")).collect();
    assert_eq!(turns, expected);
    assert_eq!(heard.await.unwrap(), expected);
}

#[tokio::test]
async fn commands_go_to_the_agent_that_syncs_them_and_again_when_it_is_restarted() {
    let (link, mut client) = start(&["ann", "bob"], log::channel().1);
    let mut inboxes = ["ann", "bob"].map(|id| {
        let (inbox_in, inbox) = mpsc::channel(16);
        link.attach(&agent(id), inbox_in);
        inbox
    });
    link.sync_commands(Some(&agent("bob")));
    client.begin().await;
    let commands = json!({"commands": [{"name": "help"}]});
    client
        .say(json!({"jsonrpc": "2.0", "method": "notifications/plexum/commands", "params": commands}))
        .await;
    client.ask(1, "ping", json!({})).await;
    let told = Input::Host(HostEvent::Commands(commands.to_string()));
    assert_eq!(inboxes[1].try_recv(), Ok(told.clone()));
    assert!(inboxes[0].try_recv().is_err());
    let (inbox_in, mut again) = mpsc::channel(16);
    link.attach(&agent("bob"), inbox_in);
    assert_eq!(again.try_recv(), Ok(told));
}

#[tokio::test]
async fn commands_that_nobody_can_take_are_told_to_the_host() {
    let (layer, feed) = log::channel();
    let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let (link, mut client) = start(&["echo"], feed);
    client.begin().await;
    let say = |params: Value| json!({"jsonrpc": "2.0", "method": "notifications/plexum/commands", "params": params});
    client.say(say(json!({"commands": []}))).await;
    let line = client.hear().await;
    let words = "the host's commands are ignored: no agent of the configuration has \
                 sync_commands = true";
    assert_eq!(line["params"]["data"]["message"], words);
    link.sync_commands(Some(&agent("echo")));
    let large = json!({"commands": [{"name": "x".repeat(1 << 19)}]});
    client.say(say(large)).await;
    let line = client.hear().await;
    assert_eq!(line["params"]["level"], "warning");
    let words = line["params"]["data"]["message"].as_str().unwrap();
    assert!(
        words.ends_with("bytes are too many, 262144 are allowed"),
        "{words}"
    );
    for bare in [
        json!({"jsonrpc": "2.0", "method": "notifications/plexum/commands"}),
        say(json!(7)),
    ] {
        client.say(bare).await;
    }
    assert_eq!(client.ask(1, "ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_cancelled_call_is_told_and_not_answered() {
    let (link, mut client, mut inbox, _) = one_agent();
    client.begin().await;
    client.call(7, "list_channels", json!({})).await;
    let (call, _) = next_call(&mut inbox).await;
    client
        .say(
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": 7}}),
        )
        .await;
    assert_eq!(
        next(&mut inbox).await,
        Input::Host(HostEvent::Cancelled(call))
    );
    link.answer(call, Ok(ToolAnswer::Channels(vec![])));
    assert_eq!(client.ask(8, "ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn an_agent_that_is_dismissed_is_there_no_more() {
    let (link, mut client) = start(&["ann", "bob"], log::channel().1);
    client.begin().await;
    link.detach(&agent("bob"));
    link.dismiss(&agent("bob"));
    client
        .call(1, "list_channels", json!({"agent_id": "bob"}))
        .await;
    let answer = client.hear().await;
    let words = "there is no agent \"bob\"; agent_id is one of: ann";
    assert_eq!(answer["result"]["content"][0]["text"], words);
    let (inbox_in, mut inbox) = mpsc::channel(1);
    link.attach(&agent("ann"), inbox_in);
    client.call(2, "list_channels", json!({})).await;
    let taken = timeout(PATIENCE, inbox.recv()).await.unwrap();
    assert!(
        matches!(taken, Some(Input::Host(HostEvent::Call { .. }))),
        "whom is meant is clear: {taken:?}"
    );
}

#[tokio::test]
async fn a_wrong_call_says_what_to_do_next() {
    let (link, mut client) = start(&["ann", "bob"], log::channel().1);
    client.begin().await;
    let mut id = 0;
    let mut refused = async |client: &mut Client, name: &str, arguments: Value| {
        id += 1;
        client.call(id, name, arguments).await;
        let answer = client.hear().await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        refused(&mut client, "list_channels", json!({})).await,
        "agent_id is missing, and there is more than one agent; it is one of: ann, bob"
    );
    assert_eq!(
        refused(&mut client, "list_channels", json!({"agent_id": "eve"})).await,
        "there is no agent \"eve\"; agent_id is one of: ann, bob"
    );
    assert_eq!(
        refused(&mut client, "list_channels", json!({"agent_id": "ann"})).await,
        "agent ann is not running; try again in a few seconds, and see the plugin's log if it \
         stays so"
    );
    assert_eq!(
        refused(
            &mut client,
            "send",
            json!({"agent_id": "ann", "content": "x"})
        )
        .await,
        "channel_id is missing; give it, or the session_id of an inbound"
    );
    assert_eq!(
        refused(
            &mut client,
            "send",
            json!({"agent_id": "ann", "content": "x", "session_id": "c1"})
        )
        .await,
        "there is no session \"c1\"; give the session_id of an inbound as it came, or a \
         channel_id from list_channels"
    );
    assert_eq!(
        refused(&mut client, "send", json!({"content": 1})).await,
        "the arguments of send are wrong: content: invalid type: integer `1`, expected a string; \
         see its input schema"
    );
    let (inbox_in, _inbox) = mpsc::channel(1);
    link.attach(&agent("ann"), inbox_in.clone());
    inbox_in.try_send(Input::Shutdown).unwrap();
    assert_eq!(
        refused(&mut client, "list_channels", json!({"agent_id": "ann"})).await,
        "agent ann has too much to do; try again in a few seconds"
    );
    client.call(90, "post", json!({})).await;
    let answer = client.hear().await;
    assert_eq!(answer["error"]["code"], -32602);
    let words = answer["error"]["message"].as_str().unwrap();
    assert!(
        words.starts_with("there is no tool \"post\"; the tools are send, edit_message, "),
        "{words}"
    );
}

#[tokio::test]
async fn an_agent_that_is_restarted_fails_its_open_calls() {
    let (link, mut client, mut inbox, _) = one_agent();
    client.begin().await;
    client.call(1, "list_channels", json!({})).await;
    next_call(&mut inbox).await;
    link.detach(&agent("echo"));
    assert_eq!(
        client.hear().await["result"]["content"][0]["text"],
        "agent echo is being restarted; try again in a few seconds"
    );
}

#[tokio::test]
async fn log_lines_follow_the_level_that_the_host_sets() {
    let (layer, feed) = log::channel();
    let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let (_link, mut client) = start(&["echo"], feed);
    client.begin().await;
    tracing::debug!("not yet");
    tracing::info!(target: "rmcp::service", "not ours");
    tracing::warn!(agent = "echo", turns = 3_u64, "look");
    let line = client.hear().await;
    assert_eq!(line["method"], "notifications/message");
    assert_eq!(
        line["params"],
        json!({"level": "warning", "logger": "selvedge::host::tests",
            "data": {"message": "look", "agent": "echo", "turns": 3}})
    );
    let set = client
        .ask(1, "logging/setLevel", json!({"level": "error"}))
        .await;
    assert_eq!(set["result"], json!({}));
    tracing::warn!("not any more");
    tracing::error!("but this");
    assert_eq!(client.hear().await["params"]["data"]["message"], "but this");
    client
        .ask(2, "logging/setLevel", json!({"level": "debug"}))
        .await;
    tracing::debug!("and this");
    assert_eq!(client.hear().await["params"]["data"]["message"], "and this");
}

#[tokio::test]
async fn the_end_of_the_input_is_the_end() {
    let (_link, mut client, mut inbox, _) = one_agent();
    client.begin().await;
    // A call that nobody answers does not delay it.
    client.call(1, "list_channels", json!({})).await;
    next_call(&mut inbox).await;
    client.write.shutdown().await.unwrap();
    let served = timeout(Duration::from_millis(500), client.served).await;
    assert!(matches!(served, Ok(Ok(Ok(())))), "{served:?}");
    let (_link, mut client) = start(&["echo"], log::channel().1);
    client.write.shutdown().await.unwrap();
    let served = timeout(Duration::from_millis(500), client.served).await;
    assert!(matches!(served, Ok(Ok(Ok(())))), "{served:?}");
}

#[tokio::test]
async fn a_host_that_reads_no_answers_is_not_read_either() {
    let (_link, mut client) = start(&["echo"], log::channel().1);
    client.begin().await;
    let ask = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"});
    let flood = async {
        for id in 1.. {
            client.say(ask(id)).await;
        }
    };
    assert!(timeout(Duration::from_secs(2), flood).await.is_err());
    // It did stop: what the pipe and the limits hold is all that was taken.
    let first = client.hear().await;
    assert_eq!(first["jsonrpc"], "2.0");
}
