//! What is recorded of one fleet over a span of time, read from the file as it is.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::load::{event, overrides, parsed, reading, server};
use super::sqlite::{fault, looked_at, stored};
use crate::ports::StoreFault;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, History, InForce, Told};
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::time::Timestamp;

/// A fleet's past over a span, or `None` when there is no file.
pub fn history(
    path: &Path,
    fleet: &FleetName,
    (from, to): (Timestamp, Timestamp),
) -> Result<Option<History>, StoreFault> {
    let Some(connection) = looked_at(path)? else { return Ok(None) };
    let look = Look { connection, fleet, from: stored(from), to: stored(to) };
    Ok(Some(History {
        fleet: fleet.clone(),
        from,
        to,
        readings: look.rows(
            "SELECT fleet, at, waiting, oldest_seconds, unreadable, running, arrived, completed,
                 busy FROM readings WHERE fleet = ?1 AND at >= ?2 AND at <= ?3 ORDER BY at",
            reading,
        )?,
        decisions: look.rows(
            "SELECT fleet, at, capacity, desired, target, rules FROM decisions
             WHERE fleet = ?1 AND at <= ?3 AND at >= coalesce(
                 (SELECT max(at) FROM decisions WHERE fleet = ?1 AND at < ?2), ?2)
             ORDER BY at",
            decided(fleet),
        )?,
        servers: look.servers()?,
        overrides: overrides(&look.connection)?,
        policies: look.rows(
            "SELECT since, digest, text FROM policies
             WHERE ?1 = ?1 AND since <= ?3 AND since >= coalesce(
                 (SELECT max(since) FROM policies WHERE since < ?2), ?2)
             ORDER BY since",
            policy,
        )?,
    }))
}

/// The record's lines over a span, of one fleet or of all, or `None` when there is no file.
pub fn told(
    path: &Path,
    fleet: Option<&FleetName>,
    (from, to): (Timestamp, Timestamp),
) -> Result<Option<Vec<Told>>, StoreFault> {
    let Some(connection) = looked_at(path)? else { return Ok(None) };
    let sql = "SELECT e.at, e.kind, e.fleet, e.instance, e.text, d.capacity, d.desired
         FROM events e LEFT JOIN decisions d
             ON e.kind = 'decision' AND d.fleet = e.fleet AND d.at = e.at
         WHERE e.at >= ?2 AND e.at <= ?3 AND (?1 IS NULL OR e.fleet = ?1) ORDER BY e.id";
    let mut query = connection.prepare(sql).map_err(|e| fault(&e))?;
    let params = params![fleet.map(FleetName::as_str), stored(from), stored(to)];
    let read = |row: &Row<'_>| {
        let from_to = row.get::<_, Option<u32>>(5)?.zip(row.get::<_, Option<u32>>(6)?);
        Ok(Told { event: event(row)?, from_to })
    };
    let rows = query.query_map(params, read).map_err(|e| fault(&e))?;
    rows.collect::<Result<_, _>>().map(Some).map_err(|e| fault(&e))
}

/// The policy in force at an instant, as it was written, if a daemon noted one.
pub fn in_force(path: &Path, at: Timestamp) -> Result<Option<InForce>, StoreFault> {
    let Some(connection) = looked_at(path)? else { return Ok(None) };
    let sql = "SELECT since, digest, text FROM policies WHERE since <= ?1
         ORDER BY since DESC LIMIT 1";
    let found = connection.query_row(sql, [stored(at)], policy).optional();
    found.map_err(|e| fault(&e))
}

fn policy(row: &Row<'_>) -> rusqlite::Result<InForce> {
    let since = parsed(&row.get::<_, String>(0)?);
    Ok(InForce { since, digest: row.get(1)?, text: row.get(2)? })
}

struct Look<'a> {
    connection: Connection,
    fleet: &'a FleetName,
    from: String,
    to: String,
}

impl Look<'_> {
    /// Rows of a query with the fleet's name and both ends of the span as its parameters.
    fn rows<T>(
        &self,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreFault> {
        let mut query = self.connection.prepare(sql).map_err(|e| fault(&e))?;
        let params = params![self.fleet.as_str(), self.from, self.to];
        let rows = query.query_map(params, read).map_err(|e| fault(&e))?;
        rows.collect::<Result<_, _>>().map_err(|e| fault(&e))
    }

    fn servers(&self) -> Result<Vec<ServerRecord>, StoreFault> {
        let rows = self.rows(
            "SELECT token, body FROM servers
             WHERE fleet = ?1 AND planned_at <= ?3 AND (gone_at IS NULL OR gone_at >= ?2)
             ORDER BY planned_at, token",
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        rows.into_iter().map(|(token, body)| Ok(server(&token, &body)?)).collect()
    }
}

fn decided(fleet: &FleetName) -> impl FnMut(&Row<'_>) -> rusqlite::Result<Decided> {
    move |row| {
        let rules: String = row.get(5)?;
        Ok(Decided {
            at: parsed(&row.get::<_, String>(1)?),
            fleet: fleet.clone(),
            capacity: row.get(2)?,
            desired: row.get(3)?,
            target: row.get(4)?,
            rules: rules.split_whitespace().map(str::to_owned).collect(),
        })
    }
}
