//! How the link to a guild does, and what its channels have to do.

use alloc::{collections::BTreeMap, vec::Vec};

use super::GuildLink;
use crate::{
    id::ChannelId,
    plugin::{
        status::{ChannelStatus, GuildStatus},
        turns::Work,
    },
    time::Time,
};

impl GuildLink {
    /// How it does, with the work of its channels and how many turns are parked in each.
    pub(in crate::plugin) fn status(
        &self,
        now: Time,
        mut work: BTreeMap<&ChannelId, Work>,
        parked: &BTreeMap<&ChannelId, u64>,
    ) -> GuildStatus {
        let (mut joined, mut busy) = (0, Vec::new());
        for (id, channel) in &self.channels {
            let heard = channel.sequence.heard();
            let behind = channel.sequence.behind().zip(heard);
            let Work { waiting, turn } = work.remove(id).unwrap_or_default();
            let status = ChannelStatus {
                channel_id: id.clone(),
                name: channel.name.clone(),
                joined: self.is_joined(id),
                heard,
                lag: behind.map_or(0, |(told, heard)| told.saturating_sub(heard)),
                waiting,
                turn,
                parked: parked.get(id).copied().unwrap_or_default(),
            };
            joined += u64::from(status.joined);
            let idle = status.lag == 0 && status.waiting == 0 && status.turn.is_none();
            if !(status.joined && idle && status.parked == 0) {
                busy.push(status);
            }
        }
        GuildStatus {
            guild_id: self.id.clone(),
            link: self.chronicle.status(now),
            channels: self.membership.len() as u64,
            joined,
            busy,
        }
    }
}
