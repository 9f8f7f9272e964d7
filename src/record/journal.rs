//! The store and its picture in memory, kept in step.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::ledger::{Change, Ledger};
use crate::model::time::Timestamp;
use crate::ports::{Store, StoreFault};

/// The durable state, as one process holds it. After a failed write the picture in memory is no
/// longer trusted and is read anew.
pub struct Journal {
    store: Arc<dyn Store>,
    ledger: Ledger,
    trusted: bool,
    /// Calls that failed at the last tick and are tried again: for the list of problems only.
    pub(super) failing: BTreeMap<String, (crate::model::fleet::FleetName, Fault)>,
}

impl Journal {
    pub fn open(store: Arc<dyn Store>, now: Timestamp) -> Result<Self, StoreFault> {
        let ledger = store.load(now)?;
        Ok(Self { store, ledger, trusted: true, failing: BTreeMap::new() })
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn failing(&self) -> &BTreeMap<String, (crate::model::fleet::FleetName, Fault)> {
        &self.failing
    }

    /// Makes sure that what is in memory is what is on disk; called at the start of a tick.
    pub fn refresh(&mut self, now: Timestamp) -> Result<(), StoreFault> {
        if !self.trusted {
            self.ledger = self.store.load(now)?;
            self.trusted = true;
        }
        self.ledger.forget_old(now);
        Ok(())
    }

    /// Takes facts into the picture ahead of their commit. Until [`Journal::commit`] succeeds with
    /// the same changes the picture is ahead of the disk.
    pub(crate) fn take_in(&mut self, changes: &[Change]) {
        if !changes.is_empty() {
            self.trusted = false;
            for change in changes {
                self.ledger.apply(change);
            }
        }
    }

    /// Writes a batch, durable when it returns.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreFault> {
        if changes.is_empty() {
            return Ok(());
        }
        self.trusted = false;
        self.store.commit(changes)?;
        for change in changes {
            self.ledger.apply(change);
        }
        self.trusted = true;
        Ok(())
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
