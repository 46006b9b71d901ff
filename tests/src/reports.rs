//! What an agent tells of itself, held against what it is.

use std::collections::BTreeMap;

use selvedge_core::{
    id::GuildId,
    plugin::{
        agent::Agent,
        status::{AgentState, AgentStatus, GuildStatus, LinkState, Reports as _},
    },
};

use crate::{
    history::{Move, Subject},
    laws::{SECRET_MARK, START, Verdict, same, walk},
};

/// An agent that is asked how it does, at any time, tells what its parts know: which links are live,
/// what waits, and no secret; what is counted never goes back.
///
/// # Errors
///
/// Where it tells something else.
pub fn reports_are_sound<S: Subject<Machine = Agent>>(history: &[Move]) -> Verdict {
    let mut before: BTreeMap<GuildId, u64> = BTreeMap::new();
    walk::<S>(START, history, |run, _, _| {
        let status = run.machine.status(run.now);
        let text = serde_json::to_string(&status).map_err(|error| error.to_string())?;
        let read = serde_json::from_str::<AgentStatus>(&text).map_err(|error| error.to_string())?;
        same("the status that is read back", &read, &status)?;
        if text.contains(SECRET_MARK) {
            return Err(format!("a secret in {text}"));
        }
        let live = |guild: &GuildStatus| guild.link.state == LinkState::Live;
        let told: Vec<_> = status
            .guilds
            .iter()
            .map(|guild| (&guild.guild_id, live(guild), guild.channels as usize))
            .collect();
        let known: Vec<_> = run.machine.guilds().collect();
        if status.state == AgentState::Running {
            same("the guilds told and those there are", &told, &known)?;
        }
        let of = |guild: &GuildStatus| guild.busy.iter().map(|it| it.waiting).sum::<u64>();
        let waiting = status.guilds.iter().map(of).sum::<u64>();
        same(
            "what waits in all channels and in the agent",
            &waiting,
            &status.waiting,
        )?;
        for guild in &status.guilds {
            let (channels, busy) = (guild.channels, guild.busy.len() as u64);
            if guild.joined > channels || busy > channels {
                return Err(format!("more channels than there are: {guild:?}"));
            }
            let ends = guild
                .link
                .ends
                .each()
                .iter()
                .map(|(_, count)| count)
                .sum::<u64>();
            let counted = ends + guild.link.lives + guild.link.rotations;
            let former = before.insert(guild.guild_id.clone(), counted);
            if former.is_some_and(|former| former > counted) {
                return Err(format!("a count has gone back: {guild:?}"));
            }
        }
        Ok(())
    })
}
