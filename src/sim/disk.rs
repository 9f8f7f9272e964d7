//! The disk under an imagined daemon's journal, with the habits of bad ones: it is full, it loses what
//! it said was written, and somebody puts an old copy back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::{Store, StoreFault};
use tidegate_engine::model::ledger::{Change, Ledger};
use tidegate_engine::model::time::Timestamp;

#[derive(Debug, Default)]
pub struct Disk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What is there after a power cut.
    safe: Ledger,
    /// What is there only as long as the host lives, though it was said to be safe.
    cached: Vec<Change>,
    copy: Option<Ledger>,
    full: bool,
    forgetful: bool,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on there is room, or there is none.
    pub fn fill(&self, full: bool) {
        self.state().full = full;
    }

    /// From now on what is written is safe only after the next [`Self::sync`], or at once.
    pub fn forget(&self, forgetful: bool) {
        let mut state = self.state();
        state.sync();
        state.forgetful = forgetful;
    }

    /// What was written so far is safe.
    pub fn sync(&self) {
        self.state().sync();
    }

    /// The power fails: what was not safe is lost. Whether something was.
    pub fn cut_power(&self) -> bool {
        let lost = std::mem::take(&mut self.state().cached);
        !lost.is_empty()
    }

    /// Somebody copies the state directory away.
    pub fn copy(&self) {
        let mut state = self.state();
        state.copy = Some(state.safe.clone());
    }

    /// Somebody puts the copy back, if there is one.
    pub fn restore(&self) -> bool {
        let mut state = self.state();
        let Some(copy) = state.copy.clone() else { return false };
        state.cached.clear();
        state.safe = copy;
        true
    }
}

impl State {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.cached) {
            self.safe.apply(&change);
        }
    }
}

#[async_trait]
impl Store for Disk {
    async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        let state = self.state();
        let mut ledger = state.safe.clone();
        for change in &state.cached {
            ledger.apply(change);
        }
        ledger.forget_old(now);
        Ok(ledger)
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
        let mut state = self.state();
        if state.full {
            return Err(StoreFault::Failed("database or disk is full".to_owned()));
        }
        if state.forgetful {
            state.cached.extend_from_slice(changes);
        } else {
            for change in changes {
                state.safe.apply(change);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::model::account::Account;

    fn account(id: &str) -> Change {
        Change::Account(Account { id: id.into(), region: "us-east-1".into() })
    }

    #[tokio::test]
    async fn it_is_full_forgets_and_goes_back() {
        let disk = Disk::default();
        let known = async || {
            let ledger = disk.load(Timestamp::UNIX_EPOCH).await.unwrap();
            ledger.account.map(|account| account.id)
        };
        disk.commit(&[account("1")]).await.unwrap();
        disk.copy();
        disk.fill(true);
        disk.commit(&[account("2")]).await.unwrap_err();
        disk.fill(false);
        disk.forget(true);
        disk.commit(&[account("3")]).await.unwrap();
        assert_eq!(known().await.as_deref(), Some("3"), "while the host lives");
        assert!(disk.cut_power());
        assert_eq!(known().await.as_deref(), Some("1"));
        disk.commit(&[account("4")]).await.unwrap();
        disk.sync();
        assert!(!disk.cut_power());
        assert_eq!(known().await.as_deref(), Some("4"));
        assert!(disk.restore());
        assert_eq!(known().await.as_deref(), Some("1"));
    }
}
