//! The names in a text that Center is asked about, and the text with those that it knows.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use crate::{
    canonical,
    guild::{config::Limits, mention},
    id::UserId,
};

/// The names of one text, while Center resolves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// So many answers are to come.
    open: usize,
    found: BTreeMap<String, UserId>,
}
canonical!(struct Names { open, found });

impl Names {
    /// What Center is to be asked about for `content`, and how the answers are awaited. Names beyond
    /// the limit stay text.
    pub(super) fn of(content: &str, limits: &Limits) -> (Self, Vec<String>) {
        let asked: Vec<_> = mention::names(content)
            .into_iter()
            .take(limits.names_max)
            .map(String::from)
            .collect();
        let names = Self {
            open: asked.len(),
            found: BTreeMap::new(),
        };
        (names, asked)
    }

    /// Center has said, or did not say in time, whose name this is.
    pub(super) fn on_name(&mut self, name: String, user: Option<UserId>) {
        self.open = self.open.saturating_sub(1);
        if let Some(user) = user {
            self.found.insert(name, user);
        }
    }

    /// Whether no answer is to come any more.
    pub(super) fn are_resolved(&self) -> bool {
        self.open == 0
    }

    /// The text with ids for the names that were found, and who is mentioned in it.
    pub(super) fn rewrite(&self, content: &str) -> (String, Vec<UserId>) {
        mention::rewrite(content, |name| self.found.get(name))
    }
}
