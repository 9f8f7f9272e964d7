//! A store that lasts as long as the process: for the imagined world and for tests.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::ports::{Store, StoreFault};
use tidegate_engine::model::ledger::{Change, Event, Ledger};
use tidegate_engine::model::time::Timestamp;

/// Keeps the ledger and every event in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    ledger: Ledger,
    events: Vec<Event>,
}

impl MemoryStore {
    /// A store that begins with this ledger.
    pub fn holding(ledger: Ledger) -> Self {
        Self { kept: Mutex::new(Kept { ledger, events: Vec::new() }) }
    }

    /// Every event so far, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).events.clone()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        let mut ledger = self.kept.lock().unwrap_or_else(PoisonError::into_inner).ledger.clone();
        ledger.forget_old(now);
        Ok(ledger)
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            kept.ledger.apply(change);
            if let Change::Event(event) = change {
                kept.events.push(event.clone());
            }
        }
        Ok(())
    }
}
