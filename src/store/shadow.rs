//! The record of a second policy beside the live one. Apart from the journal: nothing that acts
//! reads it.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::load::parsed;
use super::sqlite::{SqliteStore, fault, stored};
use crate::ports::{ShadowBook, StoreFault};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::InForce;
use tidegate_engine::model::shadow::{Differs, Imagined, ShadowChange, ShadowRecord};

#[async_trait]
impl ShadowBook for SqliteStore {
    async fn begin(&self, policy: &InForce, path: &str) -> Result<Vec<Imagined>, StoreFault> {
        let (policy, path) = (policy.clone(), path.to_owned());
        self.with(move |connection| begin(connection, &policy, &path)).await
    }

    async fn note(&self, changes: &[ShadowChange]) -> Result<(), StoreFault> {
        let changes = changes.to_vec();
        self.with(move |connection| note(connection, &changes)).await
    }
}

fn begin(
    connection: &mut Connection,
    policy: &InForce,
    path: &str,
) -> Result<Vec<Imagined>, StoreFault> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|e| fault(&e))?;
    let known: Option<String> = transaction
        .query_row("SELECT digest FROM shadow", [], |row| row.get(0))
        .optional()
        .map_err(|e| fault(&e))?;
    if known.as_ref() != Some(&policy.digest) {
        transaction
            .execute_batch(
                "DELETE FROM shadow; DELETE FROM shadow_servers; DELETE FROM shadow_differs;",
            )
            .map_err(|e| fault(&e))?;
        let row = params![stored(policy.since), policy.digest, path, policy.text];
        transaction
            .execute("INSERT INTO shadow VALUES (1, ?1, ?2, ?3, ?4)", row)
            .map_err(|e| fault(&e))?;
    }
    let open = servers(&transaction, "WHERE ended_at IS NULL")?;
    transaction.commit().map_err(|e| fault(&e))?;
    Ok(open)
}

fn note(connection: &mut Connection, changes: &[ShadowChange]) -> Result<(), StoreFault> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|e| fault(&e))?;
    for change in changes {
        write(&transaction, change).map_err(|e| fault(&e))?;
    }
    transaction.commit().map_err(|e| fault(&e))
}

fn write(connection: &Connection, change: &ShadowChange) -> rusqlite::Result<usize> {
    match change {
        ShadowChange::Server(server) => connection.execute(
            "INSERT OR REPLACE INTO shadow_servers VALUES (?1, ?2, ?3, ?4)",
            params![
                i64::try_from(server.number).unwrap_or(i64::MAX),
                server.fleet.as_str(),
                stored(server.launched_at),
                server.ended_at.map(stored),
            ],
        ),
        ShadowChange::Differs(differs) => connection.execute(
            "INSERT OR REPLACE INTO shadow_differs VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                differs.fleet.as_str(),
                stored(differs.at),
                differs.live,
                differs.shadow,
                differs.why_live,
                differs.why_shadow,
            ],
        ),
    }
}

/// Returns the record as it is in the file; `None`: no second policy ever ran.
pub(super) fn shadow_record(connection: &Connection) -> Result<Option<ShadowRecord>, StoreFault> {
    let head = connection
        .query_row("SELECT since, digest, path, text FROM shadow", [], |row| {
            let since = parsed(&row.get::<_, String>(0)?);
            Ok((since, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()
        .map_err(|e| fault(&e))?;
    let Some((since, digest, path, text)) = head else { return Ok(None) };
    let mut query = connection
        .prepare(
            "SELECT fleet, at, live, shadow, why_live, why_shadow FROM shadow_differs
             ORDER BY at, fleet",
        )
        .map_err(|e| fault(&e))?;
    let differs = query
        .query_map([], differs)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| fault(&e))?;
    let servers = servers(connection, "")?;
    let differs = differs.into_iter().flatten().collect();
    Ok(Some(ShadowRecord { since, digest, path, text, servers, differs }))
}

fn servers(connection: &Connection, which: &str) -> Result<Vec<Imagined>, StoreFault> {
    let sql = format!(
        "SELECT number, fleet, launched_at, ended_at FROM shadow_servers {which} ORDER BY number"
    );
    let mut query = connection.prepare(&sql).map_err(|e| fault(&e))?;
    let rows = query
        .query_map([], server)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| fault(&e))?;
    Ok(rows.into_iter().flatten().collect())
}

/// `None`: the fleet's name is none, so the row was damaged.
fn server(row: &Row<'_>) -> rusqlite::Result<Option<Imagined>> {
    let Some(fleet) = FleetName::new(&row.get::<_, String>(1)?) else { return Ok(None) };
    Ok(Some(Imagined {
        number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        fleet,
        launched_at: parsed(&row.get::<_, String>(2)?),
        ended_at: row.get::<_, Option<String>>(3)?.map(|at| parsed(&at)),
    }))
}

fn differs(row: &Row<'_>) -> rusqlite::Result<Option<Differs>> {
    let Some(fleet) = FleetName::new(&row.get::<_, String>(0)?) else { return Ok(None) };
    Ok(Some(Differs {
        at: parsed(&row.get::<_, String>(1)?),
        fleet,
        live: row.get(2)?,
        shadow: row.get(3)?,
        why_live: row.get(4)?,
        why_shadow: row.get(5)?,
    }))
}
