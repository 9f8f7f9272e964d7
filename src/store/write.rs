//! Changes to rows.

use rusqlite::{Connection, params};

use super::reason_row::reasons_row;
use super::row::{FleetRow, ServerRow};
use super::sqlite::{fault, stored};
use super::work_row::busy_row;
use crate::ports::StoreFault;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, InForce};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::ledger::{Change, Override, OverrideKey};
use tidegate_engine::model::reading::Reading;

fn encoded<T: serde::Serialize>(row: &T) -> Result<String, StoreFault> {
    serde_json::to_string(row).map_err(|error| StoreFault::Failed(error.to_string()))
}

fn run(
    connection: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<(), StoreFault> {
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
    done.map(|_| ()).map_err(|error| fault(&error))
}

/// One change, as rows.
pub(super) fn write(connection: &Connection, change: &Change) -> Result<(), StoreFault> {
    match change {
        Change::Server(record) => run(
            connection,
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
            connection,
            "INSERT OR REPLACE INTO fleets (name, body) VALUES (?1, ?2)",
            params![name.as_str(), encoded(&FleetRow::from(&**memory))?],
        ),
        Change::Reading(fleet, reading) => write_reading(connection, fleet, reading),
        Change::Override(entry) => write_override(connection, entry),
        Change::OverrideEnded(key) => {
            let (kind, subject) = key_parts(key);
            run(
                connection,
                "DELETE FROM overrides WHERE kind = ?1 AND subject = ?2",
                params![kind, subject],
            )
        }
        Change::Problem(problem) => run(
            connection,
            "INSERT OR REPLACE INTO problems (key, fleet, since, text) VALUES (?1, ?2, ?3, ?4)",
            params![
                problem.key.as_str(),
                problem.fleet.as_ref().map(FleetName::as_str),
                stored(problem.since),
                problem.text,
            ],
        ),
        Change::ProblemEnded(key) => {
            run(connection, "DELETE FROM problems WHERE key = ?1", params![key.as_str()])
        }
        Change::Unasked(token) => {
            run(connection, "DELETE FROM servers WHERE token = ?1", params![token.as_str()])
        }
        Change::Event(event) => run(
            connection,
            "INSERT INTO events (at, kind, fleet, instance, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                stored(event.at),
                event.kind.as_str(),
                event.fleet.as_ref().map(FleetName::as_str),
                event.instance.as_ref().map(InstanceId::as_str),
                event.text,
            ],
        ),
        Change::Decided(decided) => write_decided(connection, decided),
        Change::Account(account) => run(
            connection,
            "INSERT OR REPLACE INTO account (one, id, region) VALUES (1, ?1, ?2)",
            params![account.id, account.region],
        ),
        Change::Begun(at) => run(
            connection,
            "INSERT OR REPLACE INTO begun (one, at) VALUES (1, ?1)",
            params![stored(*at)],
        ),
        Change::InForce(policy) => write_in_force(connection, policy),
    }
}

/// A restart with the same file changes nothing.
fn write_in_force(connection: &Connection, policy: &InForce) -> Result<(), StoreFault> {
    run(
        connection,
        "INSERT OR REPLACE INTO policies (since, digest, text) SELECT ?1, ?2, ?3
         WHERE ?2 IS NOT (SELECT digest FROM policies ORDER BY since DESC LIMIT 1)",
        params![stored(policy.since), policy.digest, policy.text],
    )
}

fn key_parts(key: &OverrideKey) -> (&'static str, &str) {
    match key {
        OverrideKey::Hold(fleet) => ("hold", fleet.as_str()),
        OverrideKey::Pause(fleet) => ("pause", fleet.as_str()),
        OverrideKey::Retire(fleet) => ("retire", fleet.as_str()),
        OverrideKey::Launch(fleet) => ("launch", fleet.as_str()),
        OverrideKey::Approve(fleet) => ("approve", fleet.as_str()),
        OverrideKey::Keep(id) => ("keep", id.as_str()),
        OverrideKey::Terminate(id) => ("terminate", id.as_str()),
    }
}

fn write_decided(connection: &Connection, decided: &Decided) -> Result<(), StoreFault> {
    let reasons =
        reasons_row(&decided.because).map_err(|error| StoreFault::Failed(error.to_string()))?;
    run(
        connection,
        "INSERT OR REPLACE INTO decisions
         (fleet, at, capacity, desired, target, rules, reasons)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            decided.fleet.as_str(),
            stored(decided.at),
            decided.capacity,
            decided.desired,
            decided.target,
            decided.rules.join(" "),
            reasons,
        ],
    )
}

fn write_reading(
    connection: &Connection,
    fleet: &FleetName,
    reading: &Reading,
) -> Result<(), StoreFault> {
    let depth = reading.depth.as_ref().ok();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let busy = depth.and_then(|depth| depth.work.busy.as_ref());
    let busy = busy.map(|busy| encoded(&busy_row(busy))).transpose()?;
    run(
        connection,
        "INSERT OR REPLACE INTO readings
         (fleet, at, waiting, oldest_seconds, unreadable, running, arrived, completed, busy)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            fleet.as_str(),
            stored(reading.at),
            depth.map(|depth| number(depth.waiting)),
            depth.and_then(|depth| depth.oldest).map(|oldest| number(oldest.as_secs())),
            reading.depth.as_ref().err(),
            depth.and_then(|depth| depth.work.running).map(number),
            depth.and_then(|depth| depth.work.arrived).map(number),
            depth.and_then(|depth| depth.work.completed).map(number),
            busy,
        ],
    )
}

fn write_override(connection: &Connection, entry: &Override) -> Result<(), StoreFault> {
    let (kind, subject) = key_parts(&entry.key);
    run(
        connection,
        "INSERT OR REPLACE INTO overrides
         (kind, subject, capacity, owner, reason, since, until, at_once)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            kind,
            subject,
            entry.capacity,
            entry.owner,
            entry.reason,
            stored(entry.since),
            stored(entry.until),
            entry.at_once,
        ],
    )
}
