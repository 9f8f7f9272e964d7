//! The journal in one SQLite file: write-ahead log, every commit synced to disk, since an intent
//! that is not on disk must not be acted on.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rusqlite_migration::{M, Migrations};
use tokio::sync::Mutex;

use super::blocking::blocking;
use super::load::{LoadFault, load};
use super::write::write;
use crate::ports::{Store, StoreFault};
use tidegate_engine::model::ledger::{Change, Ledger};
use tidegate_engine::model::time::{self, Timestamp};

/// How long another reader, a backup say, may keep us from writing.
const BUSY_FOR: Duration = Duration::from_secs(5);

/// Thirteen months: a year, and the month before it to compare with.
const KEPT_DAYS: u64 = 396;

/// Who was busy is the longest part of a reading, what a server was launched with that of its record,
/// and reasons that of a decision which changed nothing: all serve to look into the last weeks.
const DETAILS_KEPT_DAYS: u64 = 35;

/// Calls and sightings, line by line; what became of each server is in its record.
const LINES_KEPT_DAYS: u64 = 92;

/// A file below this many bytes stays as it is.
const WORTH_PACKING: i64 = 1 << 20;

pub(super) const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001_journal.sql")),
    M::up(include_str!("migrations/0002_work.sql")),
    M::up(include_str!("migrations/0003_decisions.sql")),
    M::up(include_str!("migrations/0004_shadow.sql")),
    M::up(include_str!("migrations/0005_events_by_id.sql")),
    M::up(include_str!("migrations/0006_account.sql")),
    M::up(include_str!("migrations/0007_at_once.sql")),
    M::up(include_str!("migrations/0008_begun.sql")),
    M::up(include_str!("migrations/0009_reasons.sql")),
];

/// The store on disk.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
    /// What has to stay where it is for a commit to be found again, and to be ours alone.
    places: Arc<Vec<Place>>,
}

/// A file that was opened by a name, and is not to lose it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: identity(path)? })
    }

    /// A file that was deleted takes writes as before, and keeps none beyond the process's end.
    fn stands(&self) -> Result<(), StoreFault> {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            return Ok(());
        }
        let shown = self.path.display();
        Err(StoreFault::Failed(format!(
            "{shown} was deleted or replaced while in use: restart the daemon"
        )))
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = std::fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
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
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<Self, OpenFault> {
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
        // SQLite checks how pages hang together, not what is in them.
        if let Err(LoadFault::Damaged(why)) = load(&connection, now) {
            return Err(OpenFault::Corrupt(why));
        }
        let place = Place::of(path).map_err(|error| OpenFault::Other(error.to_string()))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), places: Arc::new(vec![place]) })
    }

    /// From now on nothing is committed once this file has lost its name.
    pub(super) fn lean_on(&mut self, place: Place) {
        Arc::make_mut(&mut self.places).push(place);
    }

    /// Runs `work` over the connection. Calls take turns in the order in which they come.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let mut connection = self.connection.clone().lock_owned().await;
        blocking(move || work(&mut connection)).await
    }

    /// Waits for the end of a call whose caller did not. Until then the lock of the state directory
    /// must be held.
    pub async fn settle(&self) {
        drop(self.connection.lock().await);
    }
}

/// Removes what is older than it is kept.
fn prune(connection: &Connection, now: Timestamp) -> Result<(), StoreFault> {
    let before = |days| stored(time::before(now, Duration::from_hours(24 * days)));
    let last: Option<String> = connection
        .query_row("SELECT max(at) FROM events", [], |row| row.get(0))
        .map_err(|e| fault(&e))?;
    if last.is_some_and(|last| last < before(DETAILS_KEPT_DAYS)) {
        // Nothing was written for weeks: rather is the clock wrong. A daemon that comes back
        // from a long rest writes first and prunes a day later.
        return Ok(());
    }
    for sql in [
        "DELETE FROM events WHERE at < ?1",
        "DELETE FROM readings WHERE at < ?1",
        "DELETE FROM servers WHERE gone_at < ?1",
        "DELETE FROM decisions WHERE at < ?1",
        "DELETE FROM shadow_differs WHERE at < ?1",
        "DELETE FROM shadow_servers WHERE ended_at < ?1",
        // The latest stays, however long it has been in force.
        "DELETE FROM policies WHERE since < ?1 AND since < (SELECT max(since) FROM policies)",
    ] {
        connection.execute(sql, [before(KEPT_DAYS)]).map_err(|e| fault(&e))?;
    }
    let sql = "DELETE FROM events WHERE at < ?1 AND kind IN ('action', 'failure', 'seen')";
    connection.execute(sql, [before(LINES_KEPT_DAYS)]).map_err(|e| fault(&e))?;
    for sql in [
        "UPDATE readings SET busy = NULL WHERE at < ?1 AND busy IS NOT NULL",
        "UPDATE decisions SET reasons = NULL
             WHERE at < ?1 AND capacity = desired AND reasons IS NOT NULL",
        "UPDATE servers SET body = json_remove(body, '$.request.user_data',
                 '$.request.tags', '$.request.security_groups')
             WHERE gone_at < ?1 AND json_type(body, '$.request.tags') IS NOT NULL",
    ] {
        connection.execute(sql, [before(DETAILS_KEPT_DAYS)]).map_err(|e| fault(&e))?;
    }
    compact(connection).map_err(|e| fault(&e))
}

/// Packs the file anew once a fifth of its pages' room lies idle: rows that grow, and rows between
/// others, leave pages half empty.
fn compact(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT coalesce(sum(unused), 0), coalesce(sum(pgsize), 0) FROM dbstat";
    let (idle, whole): (i64, i64) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if whole > WORTH_PACKING && idle > whole.div_euclid(5) {
        connection.execute_batch("VACUUM")?;
    }
    Ok(())
}

#[cfg(test)]
impl SqliteStore {
    /// A disk that is full after so many pages.
    pub(super) fn limit_pages(&self, pages: u32) {
        let connection = self.connection.try_lock().unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        self.with(move |connection| Ok(load(connection, now)?)).await
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
        let (changes, places) = (changes.to_vec(), self.places.clone());
        let write_all = move |connection: &mut Connection| {
            places.iter().try_for_each(Place::stands)?;
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|e| fault(&e))?;
            for change in &changes {
                write(&transaction, change)?;
            }
            transaction.commit().map_err(|e| fault(&e))
        };
        self.with(write_all).await
    }

    async fn prune(&self, now: Timestamp) -> Result<(), StoreFault> {
        self.with(move |connection| prune(connection, now)).await
    }
}

/// The file, opened to be read only.
pub(super) fn looked_at(path: &Path) -> Result<Option<Connection>, StoreFault> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(StoreFault::Failed("it is not a regular file".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(closed()),
        Err(error) => return Err(StoreFault::Failed(error.to_string())),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let unopened = |error: &rusqlite::Error| match error.sqlite_error_code() {
        // Of several causes the usual one: the file, or the log beside it, is the daemon's alone.
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) => {
            StoreFault::Failed(format!("{error}; if it is not open to this user, ask as root"))
        }
        _ => fault(error),
    };
    let connection = Connection::open_with_flags(path, flags).map_err(|e| unopened(&e))?;
    connection.busy_timeout(BUSY_FOR).map_err(|e| fault(&e))?;
    let version: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|e| unopened(&e))?;
    if usize::try_from(version).unwrap_or(usize::MAX) < MIGRATIONS.len() {
        let why =
            "it was written by an older tidegate: restart the daemon, which brings it up to date";
        return Err(StoreFault::Failed(why.to_owned()));
    }
    Ok(Some(connection))
}

/// The journal belongs to the daemon's user, and to nobody else.
fn closed() -> StoreFault {
    StoreFault::Failed("the journal is not open to this user: ask as root, with `sudo`".to_owned())
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_FOR)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Pages of 4 KiB: the log is folded into the file at every MiB, and cut back after a packing.
    connection.pragma_update(None, "wal_autocheckpoint", 256)?;
    connection.pragma_update(None, "journal_size_limit", 1 << 20)?;
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
    let text = format!("{hint}{error}");
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::Unreachable(text),
        _ => StoreFault::Failed(text),
    }
}

/// Sorts as it reads: always the same number of digits.
pub(super) fn stored(at: Timestamp) -> String {
    format!("{at:.9}")
}
