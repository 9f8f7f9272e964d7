//! The journal's file as a [`History`]: read as it is, whether or not a daemon writes to it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::blocking::blocking;
use super::dir::StateDir;
use super::load::{event, load, overrides, parsed, reading, server};
use super::reason_row::reasons_of;
use super::shadow::shadow_record;
use super::sqlite::{fault, looked_at, stored};
use super::{DATABASE, NO_JOURNAL};
use crate::ports::{History, Span, StoreFault};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, FleetHistory, InForce, Told};
use tidegate_engine::model::ledger::Ledger;
use tidegate_engine::model::reading::Reading;
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::shadow::ShadowRecord;
use tidegate_engine::model::time::Timestamp;

/// Reads the database of a state directory through connections of its own, which cannot write.
#[derive(Debug, Clone)]
pub struct SqliteHistory {
    path: PathBuf,
}

impl SqliteHistory {
    /// The history of the journal that this process holds.
    pub fn of(dir: &StateDir) -> Self {
        Self { path: dir.path().join(DATABASE) }
    }

    /// The history of a journal that a daemon may hold; `None`: there is no file.
    ///
    /// # Errors
    ///
    /// Fails for a file that this user may not read, and for one of an older version.
    pub fn look(state_dir: &Path) -> Result<Option<Self>, StoreFault> {
        let path = state_dir.join(DATABASE);
        Ok(looked_at(&path)?.map(|_| Self { path }))
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let path = self.path.clone();
        blocking(move || match looked_at(&path)? {
            Some(connection) => work(&connection),
            None => Err(StoreFault::Failed(NO_JOURNAL.to_owned())),
        })
        .await
    }
}

#[async_trait]
impl History for SqliteHistory {
    async fn of_fleet(&self, fleet: &FleetName, span: Span) -> Result<FleetHistory, StoreFault> {
        let fleet = fleet.clone();
        let all = move |connection: &Connection| {
            let look = Look::over(connection, &fleet, span);
            Ok(FleetHistory {
                fleet: fleet.clone(),
                from: span.0,
                to: span.1,
                readings: look.readings()?,
                decisions: look.decisions()?,
                servers: look.servers()?,
                overrides: overrides(connection)?,
                policies: look.policies()?,
            })
        };
        self.read(all).await
    }

    async fn lines(&self, fleet: Option<&FleetName>, span: Span) -> Result<Vec<Told>, StoreFault> {
        let fleet = fleet.cloned();
        self.read(move |connection| lines(connection, fleet.as_ref(), span)).await
    }

    async fn decisions(&self, fleet: &FleetName, span: Span) -> Result<Vec<Decided>, StoreFault> {
        let fleet = fleet.clone();
        self.read(move |connection| Look::over(connection, &fleet, span).decisions()).await
    }

    async fn readings(&self, fleet: &FleetName, span: Span) -> Result<Vec<Reading>, StoreFault> {
        let fleet = fleet.clone();
        self.read(move |connection| Look::over(connection, &fleet, span).readings()).await
    }

    async fn policy_at(&self, at: Timestamp) -> Result<Option<InForce>, StoreFault> {
        let sql = "SELECT since, digest, text FROM policies WHERE since <= ?1
             ORDER BY since DESC LIMIT 1";
        let last = move |connection: &Connection| {
            let found = connection.query_row(sql, [stored(at)], policy).optional();
            found.map_err(|e| fault(&e))
        };
        self.read(last).await
    }

    async fn shadow(&self) -> Result<Option<ShadowRecord>, StoreFault> {
        self.read(shadow_record).await
    }

    async fn ledger(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        self.read(move |connection| Ok(load(connection, now)?)).await
    }
}

fn lines(
    connection: &Connection,
    fleet: Option<&FleetName>,
    (from, to): Span,
) -> Result<Vec<Told>, StoreFault> {
    let sql = "SELECT e.at, e.kind, e.fleet, e.instance, e.text, d.capacity, d.desired, d.reasons
         FROM events e LEFT JOIN decisions d
             ON e.kind = 'decision' AND d.fleet = e.fleet AND d.at = e.at
         WHERE e.at >= ?2 AND e.at <= ?3 AND (?1 IS NULL OR e.fleet = ?1) ORDER BY e.id";
    let mut query = connection.prepare(sql).map_err(|e| fault(&e))?;
    let params = params![fleet.map(FleetName::as_str), stored(from), stored(to)];
    let read = |row: &Row<'_>| {
        let from_to = row.get::<_, Option<u32>>(5)?.zip(row.get::<_, Option<u32>>(6)?);
        let because = reasons_of(row.get::<_, Option<String>>(7)?.as_deref());
        Ok(Told { event: event(row)?, from_to, because })
    };
    let rows = query.query_map(params, read).map_err(|e| fault(&e))?;
    rows.collect::<Result<_, _>>().map_err(|e| fault(&e))
}

fn policy(row: &Row<'_>) -> rusqlite::Result<InForce> {
    let since = parsed(&row.get::<_, String>(0)?);
    Ok(InForce { since, digest: row.get(1)?, text: row.get(2)? })
}

/// One fleet over a span.
struct Look<'a> {
    connection: &'a Connection,
    fleet: &'a FleetName,
    from: String,
    to: String,
}

impl<'a> Look<'a> {
    fn over(connection: &'a Connection, fleet: &'a FleetName, (from, to): Span) -> Self {
        Self { connection, fleet, from: stored(from), to: stored(to) }
    }

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

    fn readings(&self) -> Result<Vec<Reading>, StoreFault> {
        self.rows(
            "SELECT fleet, at, waiting, oldest_seconds, unreadable, running, arrived, completed,
                 busy FROM readings WHERE fleet = ?1 AND at >= ?2 AND at <= ?3 ORDER BY at",
            reading,
        )
    }

    fn decisions(&self) -> Result<Vec<Decided>, StoreFault> {
        self.rows(
            "SELECT fleet, at, capacity, desired, target, rules, reasons FROM decisions
             WHERE fleet = ?1 AND at <= ?3 AND at >= coalesce(
                 (SELECT max(at) FROM decisions WHERE fleet = ?1 AND at < ?2), ?2)
             ORDER BY at",
            decided(self.fleet),
        )
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

    fn policies(&self) -> Result<Vec<InForce>, StoreFault> {
        self.rows(
            "SELECT since, digest, text FROM policies
             WHERE ?1 = ?1 AND since <= ?3 AND since >= coalesce(
                 (SELECT max(since) FROM policies WHERE since < ?2), ?2)
             ORDER BY since",
            policy,
        )
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
            because: reasons_of(row.get::<_, Option<String>>(6)?.as_deref()),
        })
    }
}
