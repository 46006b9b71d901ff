//! A model of the plugin's disk: what was committed survives a kill, what is being written may or may
//! not.

use std::{collections::VecDeque, time::Duration};

use selvedge_core::{
    canonical,
    plugin::{
        io::Store,
        kept::{Change, Kept},
    },
    request::RequestId,
};

use crate::path::take;

/// How long a commit takes, where the trace says nothing else.
const COMMIT: Duration = Duration::from_millis(1);

/// What became of a batch: what is kept now, or why it is not.
pub type Committed = Result<Vec<Change>, String>;

/// The disk of one agent.
#[derive(Clone, Debug)]
pub struct Disk {
    kept: Kept,
    /// A copy of what was committed, made once.
    backup: Kept,
    writing: VecDeque<(RequestId<Store>, Vec<Change>)>,
    /// How long a commit takes.
    pub commit: Duration,
    /// How many of the next batches are not taken.
    pub fails: u32,
}
canonical!(unsaved struct Disk { kept, writing, fails; - backup, commit });

impl Default for Disk {
    fn default() -> Self {
        Self {
            kept: Kept::default(),
            backup: Kept::default(),
            writing: VecDeque::new(),
            commit: COMMIT,
            fails: 0,
        }
    }
}

impl Disk {
    /// A batch is being written.
    pub fn write(&mut self, id: RequestId<Store>, batch: Vec<Change>) {
        self.writing.push_back((id, batch));
    }

    /// The oldest batch is committed, or is not: gives back what is kept now.
    pub fn commit(&mut self) -> Option<(RequestId<Store>, Committed)> {
        let (id, batch) = self.writing.pop_front()?;
        if take(&mut self.fails) {
            return Some((id, Err("the disk is full".to_string())));
        }
        self.kept.apply(&batch);
        Some((id, Ok(batch)))
    }

    /// The process is killed: what is being written is committed all the same, and given back, or is
    /// lost.
    pub fn kill(&mut self, commits: bool) -> Vec<Vec<Change>> {
        let mut kept = Vec::new();
        while commits && let Some((_, result)) = self.commit() {
            kept.extend(result);
        }
        self.writing.clear();
        kept
    }

    /// What is committed by now is copied.
    pub fn back_up(&mut self) {
        self.backup.clone_from(&self.kept);
    }

    /// The copy takes the place of what was committed since.
    pub fn restore(&mut self) {
        self.kept.clone_from(&self.backup);
    }

    /// Whether anything is being written.
    pub fn is_writing(&self) -> bool {
        !self.writing.is_empty()
    }

    /// What the next process finds.
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }
}
