//! What an agent tells of itself, and that telling changes nothing.

use super::*;
use crate::plugin::status::{AgentState, AgentStatus, Ends, GuildStatus, LinkState, Reports as _};

impl Rig {
    fn status(&self) -> AgentStatus {
        let before = self.agent.clone();
        let status = self.agent.status(self.now);
        assert!(self.agent == before, "asking changed the agent");
        status
    }

    /// How the only guild does.
    fn link(&self) -> GuildStatus {
        let [guild] = self.status().guilds.try_into().unwrap();
        guild
    }
}

#[test]
fn a_live_link_tells_what_it_has_heard_and_sent() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "dm")]);
    rig.pass(3 * SECOND);
    let link = rig.link();
    assert_eq!(link.link.state, LinkState::Live);
    assert_eq!((link.link.for_ms, link.link.lives), (3_000, 1));
    assert_eq!((link.channels, link.joined, link.busy.len()), (2, 2, 0));
    assert_eq!(link.link.frame_ms_ago, Some(3_000));
    assert_eq!(link.link.post_ms_ago, None);
    assert_eq!(link.link.trouble, None);
    rig.says("c", 1, "hello");
    rig.pass(SECOND);
    rig.send("c", None, "hello yourself");
    rig.pass(2 * SECOND);
    let link = rig.link();
    assert_eq!(link.link.event_ms_ago, Some(3_000));
    assert_eq!(link.link.post_ms_ago, Some(2_000));
    let status = rig.status();
    assert_eq!(status.state, AgentState::Running);
    assert_eq!(status.user_id.unwrap().as_str(), ME);
    assert_eq!(status.why, None);
}

#[test]
fn ends_are_counted_by_how_far_the_connection_had_come() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.pass(MINUTE);
    rig.reset("g");
    let link = rig.link();
    assert_eq!(link.link.state, LinkState::Waiting);
    assert!(link.link.dial_in_ms.unwrap() <= 1_000, "{link:?}");
    let trouble = link.link.trouble.unwrap();
    assert!(trouble.why.contains("reset"), "{trouble:?}");
    assert_eq!(
        link.link.ends,
        Ends {
            live: 1,
            ..Ends::default()
        }
    );

    rig.dials = false;
    rig.pass(5 * SECOND);
    let ends = rig.link().link.ends;
    assert!(ends.dial > 0);
    assert_eq!(
        ends,
        Ends {
            dial: ends.dial,
            live: 1,
            ..Ends::default()
        }
    );

    rig.dials = true;
    rig.guild("g").refuses = Some("unauthorized");
    rig.pass(MINUTE);
    let ends = rig.link().link.ends;
    assert!(ends.refused > 0, "{ends:?}");
    rig.guild("g").refuses = Some("unavailable");
    rig.pass(MINUTE);
    let ends = rig.link().link.ends;
    assert!(ends.handshake > 0, "{ends:?}");

    rig.center = Center::Refuses(503);
    rig.pass(9 * MINUTE);
    let ends = rig.link().link.ends;
    assert!(ends.login > 0, "{ends:?}");
    let why = rig.status().why.unwrap();
    assert!(why.contains("503"), "{why}");

    rig.center = Center::Grants(vec!["g"], 15 * MINUTE);
    rig.guild("g").refuses = None;
    rig.guild("g").holds = true;
    rig.pass(MINUTE);
    assert_eq!(rig.link().link.state, LinkState::Joining);
    assert_eq!(rig.link().joined, 1);
    rig.reset("g");
    rig.release("g");
    rig.pass(MINUTE);
    let link = rig.link();
    assert_eq!(link.link.state, LinkState::Live);
    assert_eq!((link.link.ends.joining, link.link.ends.live), (1, 1));
    assert_eq!(link.link.lives, 2);
    assert_eq!(link.link.dial_in_ms, None);
    assert!(
        link.link.trouble.is_some(),
        "what was last wrong is still told"
    );
    assert_eq!(rig.status().why, None);
}

#[test]
fn a_channel_that_is_behind_or_has_something_to_do_is_told() {
    let mut rig = Rig::live(&[("c", "general"), ("d", "general")]);
    rig.says("c", 1, "one");
    rig.says("c", 2, "two");
    rig.says("c", 3, "three");
    rig.pass(4 * SECOND);
    let link = rig.link();
    let [channel] = link.busy.as_slice() else {
        panic!("{link:?}");
    };
    assert_eq!(
        (channel.channel_id.as_str(), channel.name.as_str()),
        ("c", "#c")
    );
    assert_eq!(
        (channel.heard, channel.lag, channel.waiting),
        (Some(3), 0, 2)
    );
    let turn = channel.turn.as_ref().unwrap();
    assert_eq!(turn.turn_id, rig.inbounds[0].turn_id);
    assert_eq!(turn.age_ms, 4_000);
    assert_eq!(rig.status().waiting, 2);

    rig.guild("g").last_seq = Some(7);
    rig.guild("g").holds = true;
    rig.reset("g");
    rig.pass(5 * SECOND);
    let link = rig.link();
    let lags: Vec<_> = link
        .busy
        .iter()
        .map(|channel| (channel.lag, channel.joined))
        .collect();
    assert_eq!(lags, [(4, true), (7, true)], "{link:?}");
}

#[test]
fn rotations_are_counted_and_what_led_to_them_where_it_was_deafness() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").history = vec![message("c", 1, "unheard")];
    let listed = json!([{"id": "c", "xType": "general", "lastSeq": 1}]);
    rig.guild("g").body = Some(listed);
    rig.guild("g").last_seq = Some(1);
    rig.pass(2 * MINUTE);
    let link = rig.link().link;
    assert_eq!((link.rotations, link.deaf, link.lives), (1, 1, 1));
    assert_eq!((link.state, link.ends), (LinkState::Live, Ends::default()));
    rig.pass(15 * MINUTE);
    let link = rig.link().link;
    assert!(link.rotations > 1 && link.deaf == 1, "{link:?}");
}

#[test]
fn what_keeps_an_agent_from_a_guild_is_told() {
    let guilds = ["g", "h"].map(|id| GuildId::new(id).unwrap());
    let wanted = Config {
        guilds: Some(guilds.clone().into()),
        ..config()
    };
    let mut rig = Rig::with(wanted, &[("g", Guild::new(&[]))]);
    rig.center = Center::Holds;
    rig.start();
    assert_eq!(rig.status().absent, guilds);
    rig.center(Center::Grants(vec!["g"], 15 * MINUTE));
    assert_eq!(rig.status().absent, guilds[1..]);
    rig.user = "somebody else";
    rig.pass(9 * MINUTE);
    let status = rig.status();
    assert_eq!(status.state, AgentState::Stopped);
    assert!(status.why.unwrap().contains("somebody else"));
    rig.step(Some(Input::Shutdown));
    assert_eq!(rig.status().state, AgentState::Shut);
}

#[test]
fn it_is_read_back_as_it_was_written_and_holds_no_secret() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.says("c", 1, "a word of Alice's");
    rig.reset("g");
    let status = rig.status();
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<AgentStatus>(&text).unwrap(), status);
    assert!(text.contains(r#""state":"waiting""#), "{text}");
    for hidden in ["g-1", "a word"] {
        assert!(!text.contains(hidden), "{text}");
    }
}
