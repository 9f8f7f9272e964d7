//! The imagined day on the daemon's page: the same page, over an imagined journal and clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tempfile::TempDir;

use super::super::folder;
use super::super::listen::{self, Listen};
use super::super::{FAILED, Failure};
use crate::admin::Handle;
use crate::admin::view::StatusView;
use crate::metrics::{Done, Meter};
use crate::sim::Simulation;
use crate::store::{self, SqliteHistory, SqliteStore, StateDir};
use crate::tick::TickRecord;
use crate::web::Shown;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

/// Where the day is written down, since the page reads it from there.
pub(super) struct Desk {
    pub store: Arc<SqliteStore>,
    listen: Listen,
    lock: StateDir,
    _folder: TempDir,
}

/// The page, open.
pub(super) struct Page {
    address: SocketAddr,
    handle: Handle,
    meter: Arc<Meter>,
    policy: Arc<Policy>,
    _desk: Desk,
}

impl Desk {
    /// `None`: no page is wanted.
    pub(super) fn prepare(listen: Listen, start: Timestamp) -> Result<Option<Self>, Failure> {
        if listen == Listen::Off {
            return Ok(None);
        }
        let folder = folder::private("demo")?;
        let lock = StateDir::lock(folder.path()).map_err(anyhow::Error::new)?;
        let opened = store::open(&lock, start).map_err(anyhow::Error::new)?;
        Ok(Some(Self { store: Arc::new(opened.store), listen, lock, _folder: folder }))
    }

    pub(super) async fn open(self, simulation: &mut Simulation) -> Result<Page, Failure> {
        let now = simulation.now();
        simulation.journal.in_force(&simulation.policy, now).await.map_err(anyhow::Error::new)?;
        let (handle, _) = Handle::new();
        let meter = Arc::new(Meter::new());
        meter.begin(&simulation.policy, simulation.journal.ledger(), now);
        let front = simulation.front.clone();
        let shown = Shown {
            meter: meter.clone(),
            picture: handle.watch(),
            history: Arc::new(SqliteHistory::of(&self.lock)),
            now: Arc::new(move || front.state().world.now()),
        };
        let opened = listen::open(self.listen, shown).await;
        let address = opened.map_err(|why| Failure::Error(FAILED, anyhow!(why)))?;
        let address = address.ok_or_else(|| anyhow!("there is no address to listen on"))?;
        eprintln!("The page is at http://{address}/");
        let policy = Arc::new(simulation.policy.clone());
        Ok(Page { address, handle, meter, policy, _desk: self })
    }
}

impl Page {
    pub(super) fn show(&self, record: &TickRecord, simulation: &Simulation) {
        let (policy, ledger) = (&simulation.policy, simulation.journal.ledger());
        let at = simulation.now();
        self.meter.ticked(&Done { policy, ledger, record, at, took: Duration::ZERO });
        self.handle.show(StatusView::of(policy, ledger, &record.survey), &self.policy);
    }

    /// Until somebody interrupts it.
    pub(super) async fn stay(self) -> Result<(), Failure> {
        eprintln!("The page stays at http://{}/ until Ctrl-C.", self.address);
        tokio::signal::ctrl_c().await.map_err(anyhow::Error::new)?;
        Ok(())
    }
}
