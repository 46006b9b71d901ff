//! What people and faults do.

use std::time::Duration;

use super::Teller;
use crate::{
    script::{Deed, Strike},
    story::{Kind, Party, frames::name_of},
};

impl Teller {
    /// A fault strikes, or ends: somebody, or everybody whom it can befall.
    pub fn struck(
        &mut self,
        at: Duration,
        target: (Option<usize>, Option<usize>),
        strike: &Strike,
    ) {
        let is_meant = |party: &Party| {
            let (agent, guild) = target;
            let fits = |meant: Option<usize>, is: usize| meant.is_none_or(|meant| meant == is);
            match (strike, party) {
                (Strike::Quiet, Party::People) => true,
                (Strike::Quiet, _) => false,
                (Strike::FailLogins { .. }, Party::Center) => true,
                (Strike::FailLogins { .. }, _) => false,
                (strike, Party::Guild(of)) => befalls_guild(strike) && fits(guild, *of),
                (strike, Party::Agent(of)) => befalls_agent(strike) && fits(agent, *of),
                (Strike::LoseNotifications(_), Party::Host(of)) => fits(agent, *of),
                (Strike::LoseNotifications(_), _) => false,
                (strike, Party::Link(of, there)) => {
                    let other = befalls_guild(strike) || befalls_agent(strike);
                    !other && fits(agent, *of) && fits(guild, *there)
                }
                (_, Party::People | Party::Center | Party::Host(_)) => false,
            }
        };
        let parties = self.lanes.iter().map(|lane| lane.party);
        let parties: Vec<Party> = parties.filter(is_meant).collect();
        let what = serde_json::to_string(strike).unwrap_or_default();
        let ends = matches!(strike, Strike::Quiet);
        let (kind, label) = match ends {
            true => (Kind::Deed, "all faults end"),
            false => (Kind::Fault, what.trim_matches(['{', '}', '"'])),
        };
        let label = label.replace('"', "");
        for party in parties {
            self.mark(at, party, kind, &label, what.clone());
        }
    }

    /// A person does something.
    pub fn did(&mut self, at: Duration, who: &str, deed: &Deed) {
        let mut label = format!("{who}: {} in {}", name_of(deed), deed.channel());
        if let Deed::Post { content, .. } | Deed::Edit { content, .. } = deed {
            label.push_str(": ");
            label.push_str(content);
        }
        self.mark(
            at,
            Party::People,
            Kind::Deed,
            &label,
            format!("{who}: {deed:?}"),
        );
    }

    /// Every token of an agent is dead.
    pub fn revoked(&mut self, at: Duration, agent: usize) {
        let parties = self.lanes.iter().enumerate();
        let links =
            parties.filter(|(_, lane)| matches!(lane.party, Party::Link(of, _) if of == agent));
        let lanes: Vec<usize> = links.map(|(place, _)| place).collect();
        for lane in lanes {
            self.end_all(at, lane, Kind::Token);
        }
    }
}

/// Whether a fault is one of a guild's process, disk or clock.
const fn befalls_guild(strike: &Strike) -> bool {
    matches!(
        strike,
        Strike::CrashGuild { .. }
            | Strike::RestoreGuild { .. }
            | Strike::BackUpGuild
            | Strike::SetClock(_)
            | Strike::FailIntrospections(_)
    )
}

/// Whether a fault is one of an agent's process, disk or account.
const fn befalls_agent(strike: &Strike) -> bool {
    matches!(
        strike,
        Strike::Kill { .. }
            | Strike::Crash { .. }
            | Strike::Start
            | Strike::BackUp
            | Strike::Restore
            | Strike::DelayCommits(_)
            | Strike::FailCommits(_)
            | Strike::Revoke
    )
}
