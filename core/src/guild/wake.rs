//! Who is woken by a new message.

use alloc::{collections::BTreeSet, vec::Vec};

use crate::{fabric::types::XType, guild::state::Channel, id::UserId};

/// The members of `channel` who are woken by a message of `author`, never the author.
///
/// Channels that take turns wake nobody here: their speaker is the turn engine's.
pub fn woken(channel: &Channel, author: &UserId) -> Vec<UserId> {
    let others = channel.members.keys().filter(|user| *user != author);
    match channel.row.x_type {
        XType::General | XType::Dm => others.cloned().collect(),
        XType::Triage | XType::Custom => {
            let listed: BTreeSet<_> = channel.row.wake_mapping.iter().collect();
            others
                .filter(|user| listed.contains(user))
                .cloned()
                .collect()
        }
        XType::Report | XType::Work | XType::Discuss => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, string::String};

    use super::*;
    use crate::{
        guild::fact::{ChannelRow, MemberRow},
        id::ChannelId,
        time::Wall,
    };

    fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    fn channel(x_type: XType) -> Channel {
        let id = ChannelId::new("c").unwrap();
        let members = ["a", "b", "c"].map(|name| {
            let row = MemberRow {
                channel: id.clone(),
                user: user(name),
                name: name.into(),
                joined_seq: 0,
                joined_at: Wall::default(),
            };
            (user(name), row)
        });
        Channel {
            row: ChannelRow {
                id,
                name: String::new(),
                x_type,
                is_public: false,
                closed: false,
                wake_mapping: [user("a"), user("b"), user("stranger")].into(),
                last_seq: 0,
                created_at: Wall::default(),
            },
            members: BTreeMap::from(members),
            turn: None,
        }
    }

    #[test]
    fn the_kind_of_the_channel_says_who_is_woken_and_never_the_author() {
        for (x_type, by_a, by_c) in [
            (XType::General, &["b", "c"][..], &["a", "b"][..]),
            (XType::Dm, &["b", "c"], &["a", "b"]),
            (XType::Report, &[], &[]),
            (XType::Triage, &["b"], &["a", "b"]),
            (XType::Custom, &["b"], &["a", "b"]),
        ] {
            let channel = channel(x_type);
            for (author, expected) in [("a", by_a), ("c", by_c)] {
                let expected: Vec<_> = expected.iter().map(|id| user(id)).collect();
                assert_eq!(woken(&channel, &user(author)), expected, "{x_type:?}");
            }
        }
    }
}
