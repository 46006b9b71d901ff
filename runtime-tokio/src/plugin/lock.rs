//! The lock of an account: a file that the system unlocks when its process ends, however that comes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use selvedge_core::id::UserId;
use sha2::{Digest as _, Sha256};

use crate::report::clipped;

/// As much as is read of who holds a lock.
const HOLDER_CHARS_MAX: usize = 64;

/// The file of an account's lock: beside the store, and another one for each account and Center.
pub(super) fn path(store: &Path, center: &str, user: &UserId) -> PathBuf {
    let digest = Sha256::digest(format!("{center}\n{user}"));
    let name: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut path = store.as_os_str().to_owned();
    path.push(format!(".{name}.lock"));
    path.into()
}

/// The lock that an agent holds, from one life to the next.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Option<(PathBuf, File)>>);

impl Slot {
    /// Takes the lock at `path`, in place of another one.
    ///
    /// # Errors
    ///
    /// By whom it is held, in words.
    pub(super) fn take(&self, path: &Path) -> Result<(), String> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|(held, _)| held == path) {
            return Ok(());
        }
        let at = path.display();
        let unknown = |error: &dyn std::error::Error| {
            format!("an unknown process, since the lock {at} cannot be used: {error}")
        };
        let mut file = open(path).map_err(|error| unknown(&error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Only for people: a process that cannot say its number holds the lock all the same.
                let told = file.set_len(0);
                let _ = told.and_then(|()| write!(file, "{}", std::process::id()));
                *slot = Some((path.to_owned(), file));
                Ok(())
            }
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // It may not have said yet.
                let _ = file
                    .take(HOLDER_CHARS_MAX as u64)
                    .read_to_string(&mut holder);
                let holder = clipped(&holder, HOLDER_CHARS_MAX);
                Err(format!(
                    "process {holder} of this machine, which holds {at}"
                ))
            }
            Err(error) => Err(unknown(&error)),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_until_its_holder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let user = |id| UserId::new(id).unwrap();
        let path = |center, id| path(&folder.path().join("s"), center, &user(id));
        let (first, second) = (Slot::default(), Slot::default());
        assert_eq!(first.take(&path("c", "u")), Ok(()));
        assert_eq!(first.take(&path("c", "u")), Ok(()), "it has it");
        let by = second.take(&path("c", "u")).unwrap_err();
        assert!(
            by.starts_with(&format!("process {} of", std::process::id())),
            "{by}"
        );
        for other in [path("d", "u"), path("c", "v")] {
            assert_eq!(Slot::default().take(&other), Ok(()));
        }
        drop(first);
        assert_eq!(second.take(&path("c", "u")), Ok(()));
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let by = Slot::default()
            .take(&folder.path().join("no/where"))
            .unwrap_err();
        assert!(by.contains("cannot be used"), "{by}");
    }
}
