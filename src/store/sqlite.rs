//! The journal in one SQLite file: write-ahead log, every commit synced to disk, since an intent
//! that is not on disk must not be acted on.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use rusqlite_migration::{M, Migrations};

use super::load::{event, load, reading};
use super::write::write;
use crate::model::fleet::FleetName;
use crate::model::ledger::{Change, Event, Ledger};
use crate::model::reading::Reading;
use crate::model::time::{self, Timestamp};
use crate::ports::{Store, StoreFault};

/// How long another reader, a backup say, may keep us from writing.
const BUSY_FOR: Duration = Duration::from_secs(5);

const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001_journal.sql")),
    M::up(include_str!("migrations/0002_work.sql")),
];

/// The store on disk.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Mutex<Connection>,
}

/// Why a database file could not be opened.
#[derive(Debug)]
pub(super) enum OpenFault {
    /// The file is damaged: it can be set aside.
    Corrupt(String),
    /// Anything else, which setting the file aside would not mend.
    Other(String),
}

impl SqliteStore {
    /// Opens or creates the file, checks it, and brings its schema up to date.
    pub(super) fn open(path: &Path) -> Result<Self, OpenFault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(|e| judged(&e))?;
        prepare(&mut connection).map_err(|error| judged(&error))?;
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| judged(&error))?;
        if verdict != "ok" {
            return Err(OpenFault::Corrupt(verdict));
        }
        Migrations::from_slice(MIGRATIONS)
            .to_latest(&mut connection)
            .map_err(|error| unmigrated(&error))?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// A look at the file as it is, for commands that change nothing. `None` when there is none.
    pub fn peek(path: &Path, now: Timestamp) -> Result<Option<Ledger>, StoreFault> {
        let Some(connection) = looked_at(path)? else { return Ok(None) };
        load(&connection, now).map(Some)
    }

    /// The readings of a fleet from `since` on, oldest first, from the file as it is. `None` when
    /// there is no file.
    pub fn readings(
        path: &Path,
        fleet: &FleetName,
        since: Timestamp,
    ) -> Result<Option<Vec<Reading>>, StoreFault> {
        let Some(connection) = looked_at(path)? else { return Ok(None) };
        let mut query = connection
            .prepare(
                "SELECT fleet, at, waiting, oldest_seconds, unreadable, running, arrived, completed
                 FROM readings WHERE fleet = ?1 AND at >= ?2 ORDER BY at",
            )
            .map_err(|e| fault(&e))?;
        let rows = query
            .query_map(params![fleet.as_str(), stored(since)], reading)
            .map_err(|e| fault(&e))?;
        rows.collect::<Result<_, _>>().map(Some).map_err(|e| fault(&e))
    }

    /// Events from `since` on, oldest first, of one fleet or of all.
    pub fn events(
        &self,
        since: Timestamp,
        fleet: Option<&FleetName>,
    ) -> Result<Vec<Event>, StoreFault> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut query = connection
            .prepare_cached(
                "SELECT at, kind, fleet, instance, text FROM events
                 WHERE at >= ?1 AND (?2 IS NULL OR fleet = ?2) ORDER BY id",
            )
            .map_err(|e| fault(&e))?;
        let rows = query
            .query_map(params![stored(since), fleet.map(FleetName::as_str)], event)
            .map_err(|e| fault(&e))?;
        rows.collect::<Result<_, _>>().map_err(|e| fault(&e))
    }

    /// Removes what is older than 13 months: a year, and the month before it to compare with.
    pub fn prune(&self, now: Timestamp) -> Result<(), StoreFault> {
        let before = stored(time::before(now, Duration::from_hours(24 * 396)));
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        for sql in [
            "DELETE FROM events WHERE at < ?1",
            "DELETE FROM readings WHERE at < ?1",
            "DELETE FROM servers WHERE gone_at < ?1",
        ] {
            connection.execute(sql, [&before]).map_err(|e| fault(&e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl SqliteStore {
    /// A disk that is full after so many pages.
    pub(super) fn limit_pages(&self, pages: u32) {
        let connection = self.connection.lock().unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

impl Store for SqliteStore {
    fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        load(&connection, now)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| fault(&e))?;
        for change in changes {
            write(&transaction, change)?;
        }
        transaction.commit().map_err(|e| fault(&e))
    }
}

/// The file, opened to be read only.
fn looked_at(path: &Path) -> Result<Option<Connection>, StoreFault> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| fault(&e))?;
    connection.busy_timeout(BUSY_FOR).map_err(|e| fault(&e))?;
    let version: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|e| fault(&e))?;
    if usize::try_from(version).unwrap_or(usize::MAX) < MIGRATIONS.len() {
        let why =
            "it was written by an older tidegate: restart the daemon, which brings it up to date";
        return Err(StoreFault(why.to_owned()));
    }
    Ok(Some(connection))
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_FOR)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn unmigrated(error: &rusqlite_migration::Error) -> OpenFault {
    use rusqlite_migration::{Error, MigrationDefinitionError};
    if let Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) = error {
        return OpenFault::Other("it was written by a newer tidegate".to_owned());
    }
    if let Error::RusqliteError { err, .. } = error {
        return judged(err);
    }
    OpenFault::Other(error.to_string())
}

fn judged(error: &rusqlite::Error) -> OpenFault {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenFault::Corrupt(error.to_string())
        }
        _ => OpenFault::Other(error.to_string()),
    }
}

pub(super) fn fault(error: &rusqlite::Error) -> StoreFault {
    use rusqlite::ErrorCode;
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full: ",
        Some(ErrorCode::ReadOnly) => "it cannot be written to: ",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another process holds it: ",
        Some(ErrorCode::SystemIoFailure) => "the disk failed: ",
        _ => "",
    };
    StoreFault(format!("{hint}{error}"))
}

/// Sorts as it reads: always the same number of digits.
pub(super) fn stored(at: Timestamp) -> String {
    format!("{at:.9}")
}
