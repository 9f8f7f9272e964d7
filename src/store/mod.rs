//! The journal on disk, and in memory for the imagined world.
//!
//! One process holds a state directory at a time: [`StateDir::lock`] comes first, [`open`] needs its
//! proof. A damaged database is set aside, never deleted, and a new one begun: EC2's tags and client
//! tokens say which servers are ours, so losing the file loses no server.

mod ground;
mod history;
mod load;
pub mod memory;
mod row;
mod shadow;
mod sqlite;
mod work_row;
mod write;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::model::time::Timestamp;
use crate::ports::StoreFault;

pub use self::history::{history, in_force, told};
pub use self::shadow::shadow_record;
pub use self::sqlite::SqliteStore;
use self::sqlite::{OpenFault, Place};

/// The database's name in the state directory.
pub const DATABASE: &str = "state.db";
const LOCK: &str = "tidegate.lock";

/// Proof that no other process uses the state directory; the lock ends with the value, or with the
/// process, however that ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// A database, ready for use.
#[derive(Debug)]
pub struct Opened {
    pub store: SqliteStore,
    /// A damaged file was set aside: what was wrong, and where it is now.
    pub rebuilt: Option<String>,
    /// There was no file before.
    pub created: bool,
}

impl StateDir {
    /// Makes the directory if need be (for the owner alone) and takes its lock, or says who has it.
    pub fn lock(path: &Path) -> Result<Self, StoreFault> {
        let shown = path.display();
        let failed =
            |what: &str, error: std::io::Error| StoreFault(format!("{what} {shown}: {error}"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| failed("failed to make", error))?;
        ground::firm(path).map_err(StoreFault)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(|error| failed("failed to lock", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).ok();
                return Err(StoreFault(format!(
                    "{shown} is in use by another tidegate (process {}); stop it first",
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed("failed to lock", error)),
        }
        let id = std::process::id().to_string();
        let named = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(id.as_bytes()));
        named.map_err(|error| failed("failed to write to", error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

/// Opens the journal of a locked state directory.
pub fn open(dir: &StateDir, now: Timestamp) -> Result<Opened, StoreFault> {
    let path = dir.path.join(DATABASE);
    let created = !path.exists();
    let mut opened = match SqliteStore::open(&path, now) {
        Ok(store) => Opened { store, rebuilt: None, created },
        Err(OpenFault::Other(why)) => {
            return Err(StoreFault(format!("failed to open {}: {why}", path.display())));
        }
        Err(OpenFault::Corrupt(why)) => {
            let aside = set_aside(&path, now)?;
            let store = SqliteStore::open(&path, now).map_err(|fault| match fault {
                OpenFault::Corrupt(why) | OpenFault::Other(why) => StoreFault(why),
            })?;
            let rebuilt = Some(format!("it was damaged ({why}) and is now {}", aside.display()));
            Opened { store, rebuilt, created: true }
        }
    };
    let lock = dir.path.join(LOCK);
    let place = Place::of(&lock)
        .map_err(|error| StoreFault(format!("failed to find {}: {error}", lock.display())))?;
    opened.store.lean_on(place);
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, mode)
        .map_err(|error| StoreFault(format!("failed to protect {}: {error}", path.display())))?;
    Ok(opened)
}

/// Renames a damaged database with its companions; gives back the new name.
fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StoreFault> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let name = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = name(&format!(".corrupt-{stamp}"));
    for (suffix, needed) in [("", true), ("-wal", false), ("-shm", false)] {
        let to = name(&format!(".corrupt-{stamp}{suffix}"));
        match std::fs::rename(name(suffix), &to) {
            Ok(()) => {}
            Err(error) if !needed && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(StoreFault(format!("failed to set aside {}: {error}", path.display())));
            }
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests;
