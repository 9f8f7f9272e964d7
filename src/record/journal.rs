//! The store and its picture in memory, kept in step.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ports::{Store, StoreFault};
use tidegate_engine::evaluate::{Evaluation, evaluate};
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::InForce;
use tidegate_engine::model::ledger::{Change, Ledger};
use tidegate_engine::model::observation::Observation;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

/// The durable state, as one process holds it. After a failed write the picture in memory is no
/// longer trusted and is read anew.
pub struct Journal {
    store: Arc<dyn Store>,
    ledger: Ledger,
    /// When this process took it up.
    opened_at: Timestamp,
    /// Facts were taken in that are not on disk yet.
    ahead: bool,
    /// A list of all that there is has been taken in since.
    seen_all: bool,
    /// A write failed or was not waited for: what is on disk is unknown until it is read.
    unsure: bool,
    /// Calls that failed at the last tick and are tried again: for the list of problems only.
    pub(super) failing: BTreeMap<String, FailingCall>,
}

/// A call that failed at the last tick.
#[derive(Debug, Clone)]
pub(super) struct FailingCall {
    pub(super) fleet: FleetName,
    pub(super) is_launch: bool,
    pub(super) fault: Fault,
}

impl Journal {
    pub async fn open(store: Arc<dyn Store>, now: Timestamp) -> Result<Self, StoreFault> {
        let ledger = store.load(now).await?;
        let (ahead, unsure, seen_all) = (false, false, false);
        Ok(Self {
            store,
            ledger,
            opened_at: now,
            ahead,
            unsure,
            seen_all,
            failing: BTreeMap::new(),
        })
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// Whether what EC2 has of ours was held against these books since they were opened. Until then they
    /// may be an old copy, and lack servers that run.
    pub fn has_seen_all(&self) -> bool {
        self.seen_all
    }

    /// Returns the failing calls by name.
    pub(super) fn failing(&self) -> &BTreeMap<String, FailingCall> {
        &self.failing
    }

    /// Makes sure that what is in memory is what is on disk, less what is of no use any more; called
    /// before anything is concluded from it.
    pub async fn refresh(&mut self, now: Timestamp) -> Result<(), StoreFault> {
        self.make_sure(now).await?;
        self.ledger.forget_old(now);
        Ok(())
    }

    /// Makes sure that what is in memory is what is on disk.
    pub async fn make_sure(&mut self, now: Timestamp) -> Result<(), StoreFault> {
        if self.ahead || self.unsure {
            self.ledger = self.store.load(now).await?;
            (self.ahead, self.unsure) = (false, false);
        }
        Ok(())
    }

    /// A list of all that there is, and that is believed, was held against these books.
    pub(crate) fn saw_all(&mut self) {
        self.seen_all = true;
    }

    /// Evaluates an observation. The facts that it notes are in the picture ahead of their commit:
    /// until [`Journal::commit_noted`] succeeds with them, the picture is ahead of the disk.
    pub(crate) fn evaluate(&mut self, policy: &Policy, seen: &Observation) -> Evaluation {
        let was_ahead = std::mem::replace(&mut self.ahead, true);
        let evaluation = evaluate(policy, &mut self.ledger, seen);
        self.ahead = was_ahead || !evaluation.noted.is_empty();
        evaluation
    }

    /// Writes a batch, durable when it returns.
    pub async fn commit(&mut self, changes: &[Change]) -> Result<(), StoreFault> {
        self.commit_noted(changes, 0).await
    }

    /// Writes a batch of which the first `noted` were taken in already.
    pub(super) async fn commit_noted(
        &mut self,
        changes: &[Change],
        noted: usize,
    ) -> Result<(), StoreFault> {
        if changes.is_empty() {
            return Ok(());
        }
        let known = self.unsure;
        // The caller may drop this future, and the batch be on disk all the same.
        self.unsure = true;
        self.store.commit(changes).await?;
        self.unsure = known;
        for change in changes.iter().skip(noted) {
            self.ledger.apply(change);
        }
        // An order that comes before the facts that were taken in leaves them to be written.
        self.ahead &= noted == 0;
        Ok(())
    }

    /// Notes which policy is in force from now on.
    pub async fn in_force(&mut self, policy: &Policy, since: Timestamp) -> Result<(), StoreFault> {
        let (digest, text) = (policy.digest.clone(), policy.text.to_string());
        self.commit(&[Change::InForce(InForce { since, digest, text })]).await
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::store::memory::MemoryStore;
    use tidegate_engine::model::account::Account;

    /// Writes a batch, and never says so.
    #[derive(Default)]
    struct Unheard(MemoryStore);

    #[async_trait]
    impl Store for Unheard {
        async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
            self.0.load(now).await
        }

        async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
            self.0.commit(changes).await?;
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn dropped_commit_leaves_the_ledger_to_be_read_again() {
        let now = Timestamp::UNIX_EPOCH;
        let mut journal = Journal::open(Arc::new(Unheard::default()), now).await.unwrap();
        let account = Account { id: "123456789012".into(), region: "us-east-1".into() };
        let commit = [Change::Account(account.clone())];
        assert_eq!(journal.commit(&commit).now_or_never(), None);
        assert_eq!(journal.ledger().account, None);
        journal.make_sure(now).await.unwrap();
        assert_eq!(journal.ledger().account, Some(account));
    }
}
