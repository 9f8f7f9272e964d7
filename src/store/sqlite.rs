//! The journal in one SQLite file: write-ahead log, every commit synced to disk, since an intent
//! that is not on disk must not be acted on.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params};
use rusqlite_migration::{M, Migrations};

use super::row::{FleetRow, ServerRow};
use crate::model::fleet::FleetName;
use crate::model::instance::InstanceId;
use crate::model::ledger::{Change, Event, Ledger, OpenProblem, Override, OverrideKey};
use crate::model::reading::{Depth, Reading};
use crate::model::time::{self, Timestamp};
use crate::ports::{Store, StoreFault};

/// How long another reader, a backup say, may keep us from writing.
const BUSY_FOR: Duration = Duration::from_secs(5);

/// As long as the ledger keeps finished servers at hand.
const GONE_LOADED: Duration = Duration::from_hours(25);

/// Readings at hand per fleet, as in the ledger.
const READINGS_LOADED: u32 = 300;

const MIGRATIONS: &[M<'static>] = &[M::up(include_str!("migrations/0001_journal.sql"))];

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
        Migrations::from_slice(MIGRATIONS).to_latest(&mut connection).map_err(
            |error| match error {
                rusqlite_migration::Error::MigrationDefinition(
                    rusqlite_migration::MigrationDefinitionError::DatabaseTooFarAhead,
                ) => OpenFault::Other("it was written by a newer tidegate".to_owned()),
                rusqlite_migration::Error::RusqliteError { err, .. } => judged(&err),
                other => OpenFault::Other(other.to_string()),
            },
        )?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// A look at the file as it is, for commands that change nothing. `None` when there is none.
    pub fn peek(path: &Path, now: Timestamp) -> Result<Option<Ledger>, StoreFault> {
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| fault(&e))?;
        connection.busy_timeout(BUSY_FOR).map_err(|e| fault(&e))?;
        load(&connection, now).map(Some)
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

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_FOR)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)
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

fn fault(error: &rusqlite::Error) -> StoreFault {
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
fn stored(at: Timestamp) -> String {
    format!("{at:.9}")
}

fn parsed(text: &str) -> Timestamp {
    // Written by us; a row that was damaged by hand reads as very old, which argues for holding.
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn encoded<T: serde::Serialize>(row: &T) -> Result<String, StoreFault> {
    serde_json::to_string(row).map_err(|error| StoreFault(error.to_string()))
}

fn write(connection: &Connection, change: &Change) -> Result<(), StoreFault> {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map(|_| ())
            .map_err(|e| fault(&e))
    };
    match change {
        Change::Server(record) => run(
            "INSERT OR REPLACE INTO servers (token, fleet, instance, planned_at, gone_at, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                record.token.as_str(),
                record.fleet.as_str(),
                record.instance().map(InstanceId::as_str),
                stored(record.planned_at),
                record.gone.as_ref().map(|gone| stored(gone.at)),
                encoded(&ServerRow::from(&**record))?,
            ],
        ),
        Change::Fleet(name, memory) => run(
            "INSERT OR REPLACE INTO fleets (name, body) VALUES (?1, ?2)",
            params![name.as_str(), encoded(&FleetRow::from(&**memory))?],
        ),
        Change::Reading(fleet, reading) => {
            let depth = reading.depth.as_ref().ok();
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            run(
                "INSERT OR REPLACE INTO readings (fleet, at, waiting, oldest_seconds, unreadable)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    fleet.as_str(),
                    stored(reading.at),
                    depth.map(|depth| number(depth.waiting)),
                    depth.and_then(|depth| depth.oldest).map(|oldest| number(oldest.as_secs())),
                    reading.depth.as_ref().err(),
                ],
            )
        }
        Change::Override(entry) => {
            let (kind, subject) = key_parts(&entry.key);
            run(
                "INSERT OR REPLACE INTO overrides
                 (kind, subject, capacity, owner, reason, since, until)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    kind,
                    subject,
                    entry.capacity,
                    entry.owner,
                    entry.reason,
                    stored(entry.since),
                    stored(entry.until),
                ],
            )
        }
        Change::OverrideEnded(key) => {
            let (kind, subject) = key_parts(key);
            run("DELETE FROM overrides WHERE kind = ?1 AND subject = ?2", params![kind, subject])
        }
        Change::Problem(problem) => run(
            "INSERT OR REPLACE INTO problems (key, fleet, since, text) VALUES (?1, ?2, ?3, ?4)",
            params![
                problem.key,
                problem.fleet.as_ref().map(FleetName::as_str),
                stored(problem.since),
                problem.text,
            ],
        ),
        Change::ProblemEnded(key) => run("DELETE FROM problems WHERE key = ?1", params![key]),
        Change::Event(event) => run(
            "INSERT INTO events (at, kind, fleet, instance, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                stored(event.at),
                event.kind.as_str(),
                event.fleet.as_ref().map(FleetName::as_str),
                event.instance.as_ref().map(InstanceId::as_str),
                event.text,
            ],
        ),
    }
}

fn key_parts(key: &OverrideKey) -> (&'static str, &str) {
    match key {
        OverrideKey::Hold(fleet) => ("hold", fleet.as_str()),
        OverrideKey::Pause(fleet) => ("pause", fleet.as_str()),
        OverrideKey::Retire(fleet) => ("retire", fleet.as_str()),
        OverrideKey::Launch(fleet) => ("launch", fleet.as_str()),
        OverrideKey::Keep(id) => ("keep", id.as_str()),
        OverrideKey::Terminate(id) => ("terminate", id.as_str()),
    }
}

fn key_of(kind: &str, subject: &str) -> Option<OverrideKey> {
    let fleet = || FleetName::new(subject);
    match kind {
        "hold" => fleet().map(OverrideKey::Hold),
        "pause" => fleet().map(OverrideKey::Pause),
        "retire" => fleet().map(OverrideKey::Retire),
        "launch" => fleet().map(OverrideKey::Launch),
        "keep" => Some(OverrideKey::Keep(InstanceId::new(subject))),
        "terminate" => Some(OverrideKey::Terminate(InstanceId::new(subject))),
        _ => None,
    }
}

fn load(connection: &Connection, now: Timestamp) -> Result<Ledger, StoreFault> {
    let mut ledger = Ledger::default();
    load_servers(connection, now, &mut ledger)?;
    load_fleets(connection, &mut ledger)?;
    load_readings(connection, &mut ledger)?;
    let overrides = rows(
        connection,
        "SELECT kind, subject, capacity, owner, reason, since, until FROM overrides",
        |row| {
            let (kind, subject): (String, String) = (row.get(0)?, row.get(1)?);
            let entry = key_of(&kind, &subject).map(|key| -> rusqlite::Result<Override> {
                Ok(Override {
                    key,
                    capacity: row.get(2)?,
                    owner: row.get(3)?,
                    reason: row.get(4)?,
                    since: parsed(&row.get::<_, String>(5)?),
                    until: parsed(&row.get::<_, String>(6)?),
                })
            });
            entry.transpose()
        },
    )?;
    ledger.overrides = overrides.into_iter().flatten().map(|o| (o.key.clone(), o)).collect();
    let problems = rows(connection, "SELECT key, fleet, since, text FROM problems", |row| {
        Ok(OpenProblem {
            key: row.get(0)?,
            fleet: row.get::<_, Option<String>>(1)?.and_then(|name| FleetName::new(&name)),
            since: parsed(&row.get::<_, String>(2)?),
            text: row.get(3)?,
        })
    })?;
    ledger.problems = problems.into_iter().map(|p| (p.key.clone(), p)).collect();
    Ok(ledger)
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreFault> {
    let mut query = connection.prepare(sql).map_err(|e| fault(&e))?;
    let rows = query.query_map([], read).map_err(|e| fault(&e))?;
    rows.collect::<Result<_, _>>().map_err(|e| fault(&e))
}

fn load_servers(
    connection: &Connection,
    now: Timestamp,
    ledger: &mut Ledger,
) -> Result<(), StoreFault> {
    let after = stored(time::before(now, GONE_LOADED));
    let mut query = connection
        .prepare("SELECT token, body FROM servers WHERE gone_at IS NULL OR gone_at > ?1")
        .map_err(|e| fault(&e))?;
    let mut found = query.query([after]).map_err(|e| fault(&e))?;
    while let Some(row) = found.next().map_err(|e| fault(&e))? {
        let (token, body): (String, String) =
            (row.get(0).map_err(|e| fault(&e))?, row.get(1).map_err(|e| fault(&e))?);
        let record = serde_json::from_str::<ServerRow>(&body)
            .map_err(|error| StoreFault(format!("server {token}: {error}")))?
            .into_record(&token)
            .map_err(|error| StoreFault(error.to_string()))?;
        ledger.servers.insert(record.token.clone(), record);
    }
    Ok(())
}

fn load_fleets(connection: &Connection, ledger: &mut Ledger) -> Result<(), StoreFault> {
    let found = rows(connection, "SELECT name, body FROM fleets", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    for (name, body) in found {
        let memory = serde_json::from_str::<FleetRow>(&body)
            .map_err(|error| StoreFault(format!("fleet {name}: {error}")))?
            .into_memory(&name)
            .map_err(|error| StoreFault(error.to_string()))?;
        if let Some(name) = FleetName::new(&name) {
            ledger.fleets.insert(name, memory);
        }
    }
    Ok(())
}

fn load_readings(connection: &Connection, ledger: &mut Ledger) -> Result<(), StoreFault> {
    let mut query = connection
        .prepare(
            "SELECT fleet, at, waiting, oldest_seconds, unreadable FROM (
                 SELECT *, row_number() OVER (PARTITION BY fleet ORDER BY at DESC) AS nth
                 FROM readings)
             WHERE nth <= ?1 ORDER BY fleet, at",
        )
        .map_err(|e| fault(&e))?;
    let found = query
        .query_map([READINGS_LOADED], |row| {
            let number = |n: i64| u64::try_from(n).unwrap_or(0);
            let oldest =
                row.get::<_, Option<i64>>(3)?.map(|secs| Duration::from_secs(number(secs)));
            let depth = match row.get::<_, Option<i64>>(2)? {
                Some(waiting) => Ok(Depth { waiting: number(waiting), oldest }),
                None => Err(row.get::<_, Option<String>>(4)?.unwrap_or_default()),
            };
            let at = parsed(&row.get::<_, String>(1)?);
            Ok((row.get::<_, String>(0)?, Reading { at, depth }))
        })
        .map_err(|e| fault(&e))?;
    for row in found {
        let (fleet, reading) = row.map_err(|e| fault(&e))?;
        if let Some(name) = FleetName::new(&fleet) {
            ledger.apply(&Change::Reading(name, reading));
        }
    }
    Ok(())
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    use crate::model::ledger::EventKind;
    let kind: String = row.get(1)?;
    Ok(Event {
        at: parsed(&row.get::<_, String>(0)?),
        kind: EventKind::ALL.into_iter().find(|k| k.as_str() == kind).unwrap_or(EventKind::Seen),
        fleet: row.get::<_, Option<String>>(2)?.and_then(|name| FleetName::new(&name)),
        instance: row.get::<_, Option<String>>(3)?.map(|id| InstanceId::new(&id)),
        text: row.get(4)?,
    })
}
