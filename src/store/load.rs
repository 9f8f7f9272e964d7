//! Rows to the ledger, and to events.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Row};

use super::row::{FleetRow, ServerRow};
use super::sqlite::{fault, stored};
use super::work_row::busy_of;
use crate::ports::StoreFault;
use tidegate_engine::model::account::Account;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::ledger::{
    Change, Event, EventKind, Ledger, OpenProblem, Override, OverrideKey,
};
use tidegate_engine::model::problem::ProblemKey;
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::time::{self, Timestamp};

/// As long as the ledger keeps finished servers at hand.
const GONE_LOADED: Duration = Duration::from_hours(25);

/// Readings at hand per fleet, as in the ledger.
const READINGS_LOADED: u32 = 300;

/// Why the journal could not be read.
pub(super) enum LoadFault {
    /// What is in it was not written by us: the file is damaged, though SQLite finds it sound.
    Damaged(String),
    /// Anything else; a row in a shape that this version does not know, too.
    Failed(StoreFault),
}

impl LoadFault {
    fn of_json(row: &str, error: &serde_json::Error) -> Self {
        let text = format!("{row}: {error}");
        if error.is_data() { Self::Failed(StoreFault::Failed(text)) } else { Self::Damaged(text) }
    }
}

impl From<rusqlite::Error> for LoadFault {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        if let Error::Utf8Error(..)
        | Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..) = &error
        {
            return Self::Damaged(error.to_string());
        }
        Self::Failed(fault(&error))
    }
}

impl From<StoreFault> for LoadFault {
    fn from(fault: StoreFault) -> Self {
        Self::Failed(fault)
    }
}

impl From<LoadFault> for StoreFault {
    fn from(fault: LoadFault) -> Self {
        match fault {
            LoadFault::Damaged(why) => Self::Failed(format!("it is damaged: {why}")),
            LoadFault::Failed(fault) => fault,
        }
    }
}

pub(super) fn parsed(text: &str) -> Timestamp {
    // Written by us; a row that was damaged by hand reads as very old, which argues for holding.
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The operators' orders in force.
pub(super) fn overrides(connection: &Connection) -> Result<Vec<Override>, LoadFault> {
    let read = rows(
        connection,
        "SELECT kind, subject, capacity, owner, reason, since, until, at_once FROM overrides",
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
                    at_once: row.get(7)?,
                })
            });
            entry.transpose()
        },
    )?;
    Ok(read.into_iter().flatten().collect())
}

/// Everything that is open or recent.
pub(super) fn load(connection: &Connection, now: Timestamp) -> Result<Ledger, LoadFault> {
    let mut ledger = Ledger::default();
    load_servers(connection, now, &mut ledger)?;
    load_fleets(connection, &mut ledger)?;
    load_readings(connection, &mut ledger)?;
    let overrides = overrides(connection)?;
    ledger.overrides = overrides.into_iter().map(|o| (o.key.clone(), o)).collect();
    let problems = rows(connection, "SELECT key, fleet, since, text FROM problems", |row| {
        Ok(OpenProblem {
            key: ProblemKey::parse(&row.get::<_, String>(0)?),
            fleet: row.get::<_, Option<String>>(1)?.and_then(|name| FleetName::new(&name)),
            since: parsed(&row.get::<_, String>(2)?),
            text: row.get(3)?,
        })
    })?;
    let account = rows(connection, "SELECT id, region FROM account", |row| {
        Ok(Account { id: row.get(0)?, region: row.get(1)? })
    })?;
    ledger.account = account.into_iter().next();
    let begun = rows(connection, "SELECT at FROM begun", |row| row.get::<_, String>(0))?;
    ledger.begun = begun.first().map(|at| parsed(at));
    ledger.problems = problems.into_iter().map(|p| (p.key.clone(), p)).collect();
    Ok(ledger)
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LoadFault> {
    let mut query = connection.prepare(sql).map_err(LoadFault::from)?;
    let rows = query.query_map([], read).map_err(LoadFault::from)?;
    rows.collect::<Result<_, _>>().map_err(LoadFault::from)
}

fn load_servers(
    connection: &Connection,
    now: Timestamp,
    ledger: &mut Ledger,
) -> Result<(), LoadFault> {
    let after = stored(time::before(now, GONE_LOADED));
    let mut query = connection
        .prepare("SELECT token, body FROM servers WHERE gone_at IS NULL OR gone_at > ?1")
        .map_err(LoadFault::from)?;
    let mut found = query.query([after]).map_err(LoadFault::from)?;
    while let Some(row) = found.next().map_err(LoadFault::from)? {
        let (token, body): (String, String) =
            (row.get(0).map_err(LoadFault::from)?, row.get(1).map_err(LoadFault::from)?);
        let record = server(&token, &body)?;
        ledger.servers.insert(Arc::new(record));
    }
    Ok(())
}

pub(super) fn server(token: &str, body: &str) -> Result<ServerRecord, LoadFault> {
    serde_json::from_str::<ServerRow>(body)
        .map_err(|error| LoadFault::of_json(&format!("server {token}"), &error))?
        .into_record(token)
        .map_err(|error| StoreFault::Failed(error.to_string()).into())
}

fn load_fleets(connection: &Connection, ledger: &mut Ledger) -> Result<(), LoadFault> {
    let found = rows(connection, "SELECT name, body FROM fleets", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    for (name, body) in found {
        let memory = serde_json::from_str::<FleetRow>(&body)
            .map_err(|error| LoadFault::of_json(&format!("fleet {name}"), &error))?
            .into_memory(&name)
            .map_err(|error| StoreFault::Failed(error.to_string()))?;
        if let Some(name) = FleetName::new(&name) {
            ledger.fleets.insert(name, memory);
        }
    }
    Ok(())
}

fn load_readings(connection: &Connection, ledger: &mut Ledger) -> Result<(), LoadFault> {
    let mut query = connection
        .prepare(
            "SELECT fleet, at, waiting, oldest_seconds, unreadable, running, arrived, completed, busy
             FROM (
                 SELECT *, row_number() OVER (PARTITION BY fleet ORDER BY at DESC) AS nth
                 FROM readings)
             WHERE nth <= ?1 ORDER BY fleet, at",
        )
        .map_err(LoadFault::from)?;
    let found = query
        .query_map([READINGS_LOADED], |row| Ok((row.get::<_, String>(0)?, reading(row)?)))
        .map_err(LoadFault::from)?;
    for row in found {
        let (fleet, reading) = row.map_err(LoadFault::from)?;
        if let Some(name) = FleetName::new(&fleet) {
            ledger.apply(&Change::Reading(name, reading));
        }
    }
    Ok(())
}

/// One row of the readings: fleet, at, waiting, oldest_seconds, unreadable, running, arrived,
/// completed, busy.
pub(super) fn reading(row: &Row<'_>) -> rusqlite::Result<Reading> {
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let told = |column| row.get::<_, Option<i64>>(column).map(|n| n.map(number));
    let busy = row.get::<_, Option<String>>(8)?.and_then(|busy| busy_of(&busy));
    let work = Work { running: told(5)?, arrived: told(6)?, completed: told(7)?, busy };
    let depth = match told(2)? {
        Some(waiting) => Ok(Depth { waiting, oldest: told(3)?.map(Duration::from_secs), work }),
        None => Err(row.get::<_, Option<String>>(4)?.unwrap_or_default()),
    };
    Ok(Reading { at: parsed(&row.get::<_, String>(1)?), depth })
}

fn key_of(kind: &str, subject: &str) -> Option<OverrideKey> {
    let fleet = || FleetName::new(subject);
    match kind {
        "hold" => fleet().map(OverrideKey::Hold),
        "pause" => fleet().map(OverrideKey::Pause),
        "retire" => fleet().map(OverrideKey::Retire),
        "launch" => fleet().map(OverrideKey::Launch),
        "approve" => fleet().map(OverrideKey::Approve),
        "keep" => Some(OverrideKey::Keep(InstanceId::new(subject))),
        "terminate" => Some(OverrideKey::Terminate(InstanceId::new(subject))),
        _ => None,
    }
}

/// One row of the events.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let kind: String = row.get(1)?;
    Ok(Event {
        at: parsed(&row.get::<_, String>(0)?),
        kind: EventKind::ALL.into_iter().find(|k| k.as_str() == kind).unwrap_or(EventKind::Seen),
        fleet: row.get::<_, Option<String>>(2)?.and_then(|name| FleetName::new(&name)),
        instance: row.get::<_, Option<String>>(3)?.map(|id| InstanceId::new(&id)),
        text: row.get(4)?,
    })
}
