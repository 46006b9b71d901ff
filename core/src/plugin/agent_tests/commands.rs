//! The slash commands of the host, in every guild.

use super::*;

fn rig() -> Rig {
    let mut rig = Rig::new(&[("g", Guild::new(&[])), ("h", Guild::new(&[]))]);
    rig.guild("h").commands = json!([{"about": "", "name": "help"}]);
    rig.start();
    assert!(rig.is_live("g") && rig.is_live("h"));
    rig
}

fn says(rig: &mut Rig, commands: &Value) {
    let params = json!({"commands": commands}).to_string();
    rig.host(HostEvent::Commands(params));
}

/// What was asked about commands since the last look; all guilds together.
fn asked(rig: &mut Rig) -> Vec<String> {
    let mut asked = core::mem::take(&mut rig.asked);
    asked.retain(|request| request.ends_with("/commands"));
    asked.sort();
    asked
}

const GET: &str = "GET /api/commands";
const PUT: &str = "PUT /api/commands";

#[test]
fn a_guild_gets_the_commands_only_where_it_has_others() {
    let mut rig = rig();
    assert!(asked(&mut rig).is_empty(), "the host has said nothing");
    let help = json!([{"name": "help", "about": ""}]);
    says(&mut rig, &help);
    assert_eq!(asked(&mut rig), [GET, GET, PUT]);
    assert_eq!(rig.guild("g").commands, help);
    let replaced = |note: &Note| matches!(note, Note::CommandsReplaced { commands: 1, .. });
    assert_eq!(rig.noted(replaced), 1);
    says(&mut rig, &help);
    assert_eq!(asked(&mut rig), [GET, GET]);
    rig.pass(10 * MINUTE);
    assert!(asked(&mut rig).is_empty());
}

#[test]
fn a_guild_that_was_away_gets_them_again_if_it_has_others_now() {
    let mut rig = rig();
    let help = json!([{"name": "help"}]);
    says(&mut rig, &help);
    asked(&mut rig);
    rig.guild("g").commands = json!([]);
    for guild in ["g", "h"] {
        rig.reset(guild);
    }
    rig.pass(MINUTE);
    assert_eq!(asked(&mut rig), [GET, GET, PUT]);
    assert_eq!(rig.guild("g").commands, help);
}

#[test]
fn what_the_host_says_before_there_is_a_guild_is_kept() {
    let mut rig = Rig::new(&[("g", Guild::new(&[]))]);
    says(&mut rig, &json!([{"name": "help"}]));
    rig.start();
    assert_eq!(asked(&mut rig), [GET, PUT]);
}

#[test]
fn bad_commands_are_told_and_change_nothing() {
    let mut rig = rig();
    rig.host(HostEvent::Commands("{\"commands\":7}".into()));
    says(&mut rig, &json!(["help"]));
    assert_eq!(
        rig.noted(|note| matches!(note, Note::BadCommands { .. })),
        2
    );
    assert!(asked(&mut rig).is_empty());
}
