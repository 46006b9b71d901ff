//! A model of the plugin's disk: what was committed survives a kill, what is being written may or may
//! not.

use std::{collections::VecDeque, time::Duration};

use selvedge_core::{
    plugin::{
        io::Store,
        kept::{Change, Kept},
    },
    request::RequestId,
};

/// How long a commit takes, where the trace says nothing else.
const COMMIT: Duration = Duration::from_millis(1);

/// The disk of one agent.
#[derive(Debug)]
pub struct Disk {
    kept: Kept,
    /// A copy of what was committed, made once.
    backup: Kept,
    writing: VecDeque<(RequestId<Store>, Vec<Change>)>,
    /// How long a commit takes.
    pub commit: Duration,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            kept: Kept::default(),
            backup: Kept::default(),
            writing: VecDeque::new(),
            commit: COMMIT,
        }
    }
}

impl Disk {
    /// A batch is being written.
    pub fn write(&mut self, id: RequestId<Store>, batch: Vec<Change>) {
        self.writing.push_back((id, batch));
    }

    /// The oldest batch is committed.
    pub fn commit(&mut self) -> Option<RequestId<Store>> {
        let (id, batch) = self.writing.pop_front()?;
        self.kept.apply(&batch);
        Some(id)
    }

    /// The process is killed: what is being written is committed all the same, or lost.
    pub fn kill(&mut self, commits: bool) {
        while commits && self.commit().is_some() {}
        self.writing.clear();
    }

    /// What is committed by now is copied.
    pub fn back_up(&mut self) {
        self.backup.clone_from(&self.kept);
    }

    /// The copy takes the place of what was committed since.
    pub fn restore(&mut self) {
        self.kept.clone_from(&self.backup);
    }

    /// What the next process finds.
    pub fn kept(&self) -> Kept {
        self.kept.clone()
    }
}
