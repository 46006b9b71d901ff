//! Tests of the status: what is a problem, and how it is told to machines and to people.

use std::collections::BTreeSet;

use selvedge_core::{
    id::{AgentId, ChannelId, GuildId, TurnId, UserId},
    plugin::status::{ChannelStatus, Ends, LinkStatus, Trouble, TurnStatus},
};

use super::*;

fn guild(id: &str, state: LinkState) -> GuildStatus {
    GuildStatus {
        guild_id: GuildId::new(id).unwrap(),
        link: LinkStatus {
            state,
            for_ms: 125_400,
            dial_in_ms: None,
            frame_ms_ago: Some(1_500),
            event_ms_ago: Some(61_000),
            post_ms_ago: None,
            lives: 3,
            rotations: 1,
            deaf: 4,
            held_back: 0,
            ends: Ends {
                dial: 1,
                live: 2,
                ..Ends::default()
            },
            trouble: None,
        },
        channels: 2,
        joined: 2,
        busy: vec![],
    }
}

fn channel(id: &str) -> ChannelStatus {
    ChannelStatus {
        channel_id: ChannelId::new(id).unwrap(),
        name: "hall\n".into(),
        joined: true,
        heard: Some(4),
        lag: 3,
        waiting: 2,
        turn: Some(TurnStatus {
            turn_id: TurnId::new("t_1").unwrap(),
            age_ms: 9_000,
        }),
        parked: 1,
    }
}

fn agent(id: &str, guilds: Vec<GuildStatus>) -> AgentStatus {
    AgentStatus {
        user_id: UserId::new("u"),
        guilds,
        ..AgentStatus::of(AgentId::new(id).unwrap(), AgentState::Running)
    }
}

fn report(agents: Vec<AgentStatus>) -> Report {
    Report {
        version: "1.2.3".into(),
        up_ms: 90_000,
        agents,
    }
}

#[test]
fn whatever_keeps_the_plugin_from_hearing_is_a_problem() {
    let live = || guild("g", LinkState::Live);
    assert_eq!(report(vec![agent("a", vec![live()])]).problems(), [""; 0]);
    let mut down = guild("h", LinkState::Waiting);
    down.link.trouble = Some(Trouble {
        why: "the guild disconnected the session".into(),
        ms_ago: 125_400,
    });
    let mut unknown = agent("b", vec![]);
    unknown.user_id = None;
    let mut refused = unknown.clone();
    refused.why = Some("Center refused the account".into());
    let mut stopped = agent("d", vec![live()]);
    (stopped.state, stopped.why) = (AgentState::Stopped, Some("it is another account".into()));
    let mut second = unknown.clone();
    second.served_by = Some("process 7 of this machine, which holds /l".into());
    let mut full = agent("g", vec![live()]);
    full.store = Some(Trouble {
        why: "/s: database or disk is full".into(),
        ms_ago: 5_000,
    });
    let mut broken = AgentStatus::of(AgentId::new("h").unwrap(), AgentState::Silent);
    broken.why = Some("/s: disk I/O error; check the file of [store] path".into());
    let mut apart = agent("e", vec![live()]);
    apart.absent = vec![GuildId::new("i").unwrap()];
    let mut nowhere = agent("i", vec![]);
    nowhere.absent = apart.absent.clone();
    for (agent, problem) in [
        (
            agent("a", vec![live(), down]),
            "agent a, guild h: waiting to dial for 2 min 5 s: the guild disconnected the session",
        ),
        (unknown, "agent b is not logged in yet"),
        (refused, "agent b cannot log in: Center refused the account"),
        (
            agent("c", vec![]),
            "agent c is in no guild: add its account to one",
        ),
        (stopped, "agent d is stopped: it is another account"),
        (
            apart,
            "agent e has no access to guild i: add it to the guild, or take the guild out of `guilds`",
        ),
        (
            AgentStatus::of(AgentId::new("f").unwrap(), AgentState::Silent),
            "agent f does not answer: it is being started, or has too much to do",
        ),
        (
            nowhere,
            "agent i has no access to guild i: add it to the guild, or take the guild out of `guilds`",
        ),
        (
            second,
            "agent b waits: its account is served by process 7 of this machine, which holds /l: end \
             that one, or leave the agent out here",
        ),
        (
            full,
            "agent g begins no turn, since nothing can be kept for 5 s: /s: database or disk is full; \
             see whether the disk of [store] path is full: it goes on by itself once the store works",
        ),
        (
            broken,
            "agent h does not run, and is started again: /s: disk I/O error; check the file of [store] \
             path",
        ),
    ] {
        assert_eq!(report(vec![agent]).problems(), [problem]);
    }
}

#[test]
fn a_scraper_reads_a_series_for_each_link_and_name() {
    let mut busy = guild("g\"1", LinkState::Live);
    busy.busy = vec![channel("c"), channel("d")];
    let text = metrics::metrics(&report(vec![agent("a", vec![busy.clone()])]));
    for line in [
        "# TYPE selvedge_link_live gauge",
        "selvedge_build_info{version=\"1.2.3\"} 1",
        "selvedge_up_seconds 90",
        "selvedge_agent_up{agent=\"a\"} 1",
        "selvedge_link_live{agent=\"a\",guild=\"g\\\"1\"} 1",
        "selvedge_link_frame_age_seconds{agent=\"a\",guild=\"g\\\"1\"} 1.5",
        "selvedge_link_lag_messages{agent=\"a\",guild=\"g\\\"1\"} 6",
        "selvedge_agent_store_works{agent=\"a\"} 1",
        "selvedge_agent_parked_turns{agent=\"a\"} 0",
        "selvedge_link_parked_turns{agent=\"a\",guild=\"g\\\"1\"} 2",
        "selvedge_link_running_turns{agent=\"a\",guild=\"g\\\"1\"} 2",
        "selvedge_link_oldest_turn_seconds{agent=\"a\",guild=\"g\\\"1\"} 9",
        "# TYPE selvedge_link_rotations_total counter",
        "selvedge_link_lives_total{agent=\"a\",guild=\"g\\\"1\"} 3",
        "selvedge_link_rotations_total{agent=\"a\",guild=\"g\\\"1\"} 1",
        "selvedge_link_deaf_total{agent=\"a\",guild=\"g\\\"1\"} 4",
        "# TYPE selvedge_link_ends_total counter",
        "selvedge_link_ends_total{agent=\"a\",guild=\"g\\\"1\",reason=\"live\"} 2",
        "selvedge_link_ends_total{agent=\"a\",guild=\"g\\\"1\",reason=\"login\"} 0",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    assert!(!text.contains("post_age_seconds{"), "it has never posted");
    // A scraper takes nothing of a text in which a series, or what is said of a name, comes twice.
    let series = text
        .lines()
        .filter_map(|line| Some(line.rsplit_once(' ')?.0));
    let mut seen = BTreeSet::new();
    for series in series {
        assert!(seen.insert(series), "{series} comes twice\n{text}");
    }
    for hidden in ["hall", "t_1", "\"c\""] {
        assert!(!text.contains(hidden), "{hidden}\n{text}");
    }
    let lines = text.lines().count();
    busy.busy = (0..500)
        .map(|number| channel(&number.to_string()))
        .collect();
    let crowded = metrics::metrics(&report(vec![agent("a", vec![busy])]));
    assert_eq!(crowded.lines().count(), lines, "channels are no series");
}

#[test]
fn people_read_a_line_for_each_link_and_what_is_wrong_beneath() {
    let mut busy = guild("guild-1", LinkState::Live);
    busy.busy = vec![channel("c")];
    let mut down = guild("g2", LinkState::Dialing);
    down.link.trouble = Some(Trouble {
        why: "reset".into(),
        ms_ago: 3_700_000,
    });
    let told = table(&report(vec![
        agent("echo", vec![busy, down]),
        AgentStatus::of(AgentId::new("b").unwrap(), AgentState::Silent),
    ]));
    assert_eq!(
        told,
        "\
AGENT  GUILD    STATE      SINCE      CHANNELS  EVENT      POST  ROTATIONS  ENDS
echo   guild-1  live       2 min 5 s  2/2       1 min 1 s  -     1          1 dial, 2 live
  hall  (c): 3 behind, 2 waiting, turn t_1 for 9 s, 1 parked (the tool list_pending names them, turn_done ends them)
echo   g2       dialing    2 min 5 s  2/2       1 min 1 s  -     1          1 dial, 2 live
  last end, 1 h 1 min ago: reset
b      -        no answer  -          -         -          -     -          -

agent echo, guild g2: dialing for 2 min 5 s: reset
agent b does not answer: it is being started, or has too much to do
"
    );
}
