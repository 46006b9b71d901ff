//! The lock of an account: a file that the system unlocks when its process ends, however that comes.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    fs::{Access, FlockOperation, access, flock},
    io::Errno,
};
use selvedge_core::id::UserId;
use sha2::{Digest as _, Sha256};

use crate::report::clipped;

/// As much as is read of who holds a lock.
const HOLDER_CHARS_MAX: usize = 64;

/// The files of an account's lock. One lies beside the store. The other, in a folder that all stores
/// of a user share, keeps two plugins apart whose stores are different ones.
pub(crate) fn paths(
    folder: Option<&Path>,
    store: &Path,
    center: &str,
    user: &UserId,
) -> Vec<PathBuf> {
    let digest = Sha256::digest(format!("{center}\n{user}"));
    let name: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut path = store.as_os_str().to_owned();
    path.push(format!(".{name}.lock"));
    let shared = folder.map(|folder| folder.join(format!("{name}.lock")));
    shared.into_iter().chain([path.into()]).collect()
}

/// The folder for the locks of accounts, made where it is not there; none where it cannot be used, and
/// only the locks beside the stores are left.
pub(super) fn folder(wanted: Option<&Path>) -> Option<Arc<Path>> {
    let folder = wanted?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let made = made.and_then(|()| Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?));
    match made {
        Ok(()) => Some(folder.into()),
        Err(error) => {
            tracing::warn!(
                folder = %folder.display(),
                %error,
                "locks of accounts cannot be kept there: a second plugin of the same account is noticed \
                 only where it has the same [store] path"
            );
            None
        }
    }
}

/// The lock that an agent holds, from one life to the next.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    paths: Vec<PathBuf>,
    /// Open for as long as they are locked.
    _files: Vec<File>,
}

impl Slot {
    /// Takes the lock whose files these are, in place of another one.
    ///
    /// # Errors
    ///
    /// By whom it is held, in words.
    pub(super) fn take(&self, paths: &[PathBuf]) -> Result<(), String> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|held| held.paths == paths) {
            return Ok(());
        }
        let files: Result<_, _> = paths.iter().map(|path| hold(path)).collect();
        *slot = Some(Held {
            paths: paths.to_vec(),
            _files: files?,
        });
        Ok(())
    }
}

/// Locks one file, and writes into it who does.
pub(crate) fn hold(path: &Path) -> Result<File, String> {
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
            Ok(file)
        }
        Err(Errno::WOULDBLOCK) => Err(format!(
            "process {} of this machine, which holds {at}",
            holder(file)
        )),
        Err(error) => Err(unknown(&error)),
    }
}

/// Who has written itself into a lock that is held; it may not have done so yet.
fn holder(file: File) -> String {
    let mut holder = String::new();
    let _ = file
        .take(HOLDER_CHARS_MAX as u64)
        .read_to_string(&mut holder);
    clipped(&holder, HOLDER_CHARS_MAX)
}

/// The number of the process that holds a lock, `None` where nobody does. The lock is not made, and is
/// touched for no longer than this takes.
///
/// # Errors
///
/// Where that cannot be seen.
pub(crate) fn held_by(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(Some(holder(file))),
        Err(error) => Err(error.into()),
    }
}

/// Says that a store is in use, for as long as it lives. Any number of processes may say so at a time,
/// but none while somebody has the store to itself.
///
/// # Errors
///
/// Where somebody has, or the lock cannot be made.
pub(super) fn share_store(store: &Path) -> io::Result<File> {
    lock_store(store, FlockOperation::NonBlockingLockShared)
}

/// The same, alone.
///
/// # Errors
///
/// Where the store is in use, or the lock cannot be made.
pub(crate) fn own_store(store: &Path) -> io::Result<File> {
    lock_store(store, FlockOperation::NonBlockingLockExclusive)
}

fn lock_store(store: &Path, operation: FlockOperation) -> io::Result<File> {
    let mut path = store.as_os_str().to_owned();
    path.push(".lock");
    let file = open(Path::new(&path))?;
    flock(&file, operation)?;
    Ok(file)
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

    fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn a_lock_is_held_once_until_its_holder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let lock = |center, id| paths(None, &folder.path().join("s"), center, &user(id));
        let (first, second) = (Slot::default(), Slot::default());
        assert_eq!(held_by(&lock("c", "u")[0]).unwrap(), None);
        assert!(!lock("c", "u")[0].exists(), "a look makes none");
        assert_eq!(first.take(&lock("c", "u")), Ok(()));
        assert_eq!(first.take(&lock("c", "u")), Ok(()), "it has it");
        let by = second.take(&lock("c", "u")).unwrap_err();
        let me = std::process::id().to_string();
        assert!(by.starts_with(&format!("process {me} of")), "{by}");
        assert_eq!(held_by(&lock("c", "u")[0]).unwrap(), Some(me));
        for other in [lock("d", "u"), lock("c", "v")] {
            assert_eq!(Slot::default().take(&other), Ok(()));
        }
        drop(first);
        assert_eq!(held_by(&lock("c", "u")[0]).unwrap(), None);
        assert_eq!(second.take(&lock("c", "u")), Ok(()));
    }

    #[test]
    fn an_account_is_held_whatever_the_store_is_and_a_store_whatever_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let lock = |locks: Option<&str>, store: &str| {
            let locks = locks.map(|locks| folder.path().join(locks));
            let made = super::folder(locks.as_deref());
            paths(made.as_deref(), &folder.path().join(store), "c", &user("u"))
        };
        let held = Slot::default();
        held.take(&lock(Some("locks"), "one")).unwrap();
        for (locks, store) in [(Some("locks"), "two"), (None, "one"), (Some("more"), "one")] {
            let by = Slot::default().take(&lock(locks, store)).unwrap_err();
            assert!(by.starts_with("process "), "{by}");
        }
        for (locks, store) in [(None, "two"), (Some("more"), "three")] {
            assert_eq!(Slot::default().take(&lock(locks, store)), Ok(()));
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(super::folder(Some(&folder.path().join("file/locks"))), None);
    }

    #[test]
    fn a_store_is_shared_or_owned() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("s");
        let (one, two) = (share_store(&store).unwrap(), share_store(&store).unwrap());
        assert!(own_store(&store).is_err());
        drop(one);
        assert!(own_store(&store).is_err());
        drop(two);
        let owned = own_store(&store).unwrap();
        assert!(share_store(&store).is_err());
        drop(owned);
        share_store(&store).unwrap();
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let by = Slot::default()
            .take(&[folder.path().join("no/where")])
            .unwrap_err();
        assert!(by.contains("cannot be used"), "{by}");
    }
}
