//! The journal on disk, and in memory for the imagined world.
//!
//! One process holds a state directory at a time: [`StateDir::lock`] comes first, [`open`] needs its
//! proof. A damaged database is set aside, never deleted, and a new one begun: EC2's tags and client
//! tokens say which servers are ours, so losing the file loses no server.

mod blocking;
mod dir;
mod ground;
mod history;
mod load;
pub mod memory;
mod reason_row;
mod retirement_row;
mod row;
mod shadow;
mod sqlite;
mod work_row;
mod write;

use std::path::{Path, PathBuf};

use crate::ports::StoreFault;
use tidegate_engine::model::time::Timestamp;

pub use self::dir::StateDir;
pub use self::history::SqliteHistory;
pub use self::sqlite::SqliteStore;
use self::sqlite::{OpenFault, Place};

/// The database's name in the state directory.
pub const DATABASE: &str = "state.db";

/// Why a history cannot be read whose file is gone.
const NO_JOURNAL: &str = "there is no journal";

/// What SQLite keeps beside the database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// A database, ready for use.
#[derive(Debug)]
pub struct Opened {
    pub store: SqliteStore,
    /// A damaged file was set aside: what was wrong, and where it is now.
    pub rebuilt: Option<String>,
    /// There was no file before.
    pub created: bool,
}

/// Opens the journal of a locked state directory.
pub fn open(dir: &StateDir, now: Timestamp) -> Result<Opened, StoreFault> {
    let path = dir.path().join(DATABASE);
    let created = !path.exists();
    close_to_others(dir)?;
    let mut opened = match SqliteStore::open(&path, now) {
        Ok(store) => Opened { store, rebuilt: None, created },
        Err(OpenFault::Other(why)) => {
            return Err(StoreFault::Failed(format!("failed to open {}: {why}", path.display())));
        }
        Err(OpenFault::Corrupt(why)) => {
            let aside = set_aside(&path, now)?;
            close_to_others(dir)?;
            let store = SqliteStore::open(&path, now).map_err(|fault| match fault {
                OpenFault::Corrupt(why) | OpenFault::Other(why) => StoreFault::Failed(why),
            })?;
            let rebuilt = Some(format!("it was damaged ({why}) and is now {}", aside.display()));
            Opened { store, rebuilt, created: true }
        }
    };
    let lock = dir.lock_file();
    let place = Place::of(&lock).map_err(|error| {
        StoreFault::Failed(format!("failed to find {}: {error}", lock.display()))
    })?;
    opened.store.lean_on(place);
    Ok(opened)
}

/// Makes the database's files private before SQLite opens them.
fn close_to_others(dir: &StateDir) -> Result<(), StoreFault> {
    dir.close_to_others(DATABASE, true)?;
    COMPANIONS.iter().try_for_each(|end| dir.close_to_others(&format!("{DATABASE}{end}"), false))
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
    let companions = COMPANIONS.map(|suffix| (suffix, false));
    for (suffix, needed) in [("", true)].into_iter().chain(companions) {
        let to = name(&format!(".corrupt-{stamp}{suffix}"));
        match std::fs::rename(name(suffix), &to) {
            Ok(()) => {}
            Err(error) if !needed && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(StoreFault::Failed(format!(
                    "failed to set aside {}: {error}",
                    path.display()
                )));
            }
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests;
