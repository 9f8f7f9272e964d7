//! A store that lasts as long as the process: for simulations and for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::{History, ShadowBook, Span, Store, StoreFault};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, FleetHistory, InForce, Told};
use tidegate_engine::model::ledger::{Change, Event, EventKind, Ledger};
use tidegate_engine::model::reading::Reading;
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::shadow::{Imagined, ShadowChange, ShadowRecord};
use tidegate_engine::model::time::Timestamp;

/// Keeps everything in memory: the ledger, and what was recorded beside it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    ledger: Ledger,
    events: Vec<Event>,
    readings: BTreeMap<FleetName, BTreeMap<Timestamp, Reading>>,
    decisions: BTreeMap<FleetName, BTreeMap<Timestamp, Decided>>,
    policies: BTreeMap<Timestamp, InForce>,
    shadow: Option<ShadowRecord>,
}

impl MemoryStore {
    /// A store that begins with this ledger.
    pub fn holding(ledger: Ledger) -> Self {
        Self { kept: Mutex::new(Kept { ledger, ..Kept::default() }) }
    }

    /// Every event so far, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.kept().events.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self, change: &Change) {
        self.ledger.apply(change);
        match change {
            Change::Event(event) => self.events.push(event.clone()),
            Change::Reading(fleet, reading) => {
                let readings = self.readings.entry(fleet.clone()).or_default();
                readings.insert(reading.at, reading.clone());
            }
            Change::Decided(decided) => {
                let decisions = self.decisions.entry(decided.fleet.clone()).or_default();
                decisions.insert(decided.at, decided.clone());
            }
            // A restart with the same file changes nothing.
            Change::InForce(policy) => {
                let last = self.policies.values().next_back();
                if last.is_none_or(|last| last.digest != policy.digest) {
                    self.policies.insert(policy.since, policy.clone());
                }
            }
            Change::Server(_)
            | Change::Fleet(..)
            | Change::Override(_)
            | Change::OverrideEnded(_)
            | Change::Problem(_)
            | Change::ProblemEnded(_)
            | Change::Unasked(_)
            | Change::Account(_)
            | Change::Begun(_) => {}
        }
    }

    /// Servers that were there at some time of a span, in the order in which they were planned.
    fn servers(&self, fleet: &FleetName, (from, to): Span) -> Vec<ServerRecord> {
        let there = |record: &&ServerRecord| {
            let ended_before = record.gone.as_ref().is_some_and(|gone| gone.at < from);
            record.fleet == *fleet && record.planned_at <= to && !ended_before
        };
        let mut servers: Vec<_> = self.ledger.servers.all().filter(there).cloned().collect();
        servers.sort_by(|a, b| {
            a.planned_at.cmp(&b.planned_at).then_with(|| a.token.as_str().cmp(b.token.as_str()))
        });
        servers
    }
}

/// The entries of a span.
fn within<T: Clone>(entries: Option<&BTreeMap<Timestamp, T>>, (from, to): Span) -> Vec<T> {
    let Some(entries) = entries.filter(|_| from <= to) else { return Vec::new() };
    entries.range(from..=to).map(|(_, entry)| entry.clone()).collect()
}

/// The entries of a span, and the last one before it.
fn from_last_before<T: Clone>(
    entries: Option<&BTreeMap<Timestamp, T>>,
    (from, to): Span,
) -> Vec<T> {
    let last = entries.and_then(|entries| entries.range(..from).next_back());
    within(entries, (last.map_or(from, |(at, _)| *at), to))
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        let mut ledger = self.kept().ledger.clone();
        ledger.forget_old(now);
        Ok(ledger)
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
        let mut kept = self.kept();
        for change in changes {
            kept.take(change);
        }
        Ok(())
    }
}

#[async_trait]
impl History for MemoryStore {
    async fn of_fleet(&self, fleet: &FleetName, span: Span) -> Result<FleetHistory, StoreFault> {
        let kept = self.kept();
        Ok(FleetHistory {
            fleet: fleet.clone(),
            from: span.0,
            to: span.1,
            readings: within(kept.readings.get(fleet), span),
            decisions: from_last_before(kept.decisions.get(fleet), span),
            servers: kept.servers(fleet, span),
            overrides: kept.ledger.overrides.values().cloned().collect(),
            policies: from_last_before(Some(&kept.policies), span),
        })
    }

    async fn lines(&self, fleet: Option<&FleetName>, span: Span) -> Result<Vec<Told>, StoreFault> {
        let kept = self.kept();
        let asked = |event: &&Event| {
            let in_span = event.at >= span.0 && event.at <= span.1;
            in_span && fleet.is_none_or(|fleet| event.fleet.as_ref() == Some(fleet))
        };
        let told = |event: &Event| {
            let decided = event.fleet.as_ref().filter(|_| event.kind == EventKind::Decision);
            let decided = decided.and_then(|fleet| kept.decisions.get(fleet)?.get(&event.at));
            let from_to = decided.map(|decided| (decided.capacity, decided.desired));
            let because = decided.map_or_else(Vec::new, |decided| decided.because.clone());
            Told { event: event.clone(), from_to, because }
        };
        Ok(kept.events.iter().filter(asked).map(told).collect())
    }

    async fn decisions(&self, fleet: &FleetName, span: Span) -> Result<Vec<Decided>, StoreFault> {
        Ok(from_last_before(self.kept().decisions.get(fleet), span))
    }

    async fn readings(&self, fleet: &FleetName, span: Span) -> Result<Vec<Reading>, StoreFault> {
        Ok(within(self.kept().readings.get(fleet), span))
    }

    async fn policy_at(&self, at: Timestamp) -> Result<Option<InForce>, StoreFault> {
        Ok(self.kept().policies.range(..=at).next_back().map(|(_, policy)| policy.clone()))
    }

    async fn shadow(&self) -> Result<Option<ShadowRecord>, StoreFault> {
        Ok(self.kept().shadow.clone())
    }

    async fn ledger(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        self.load(now).await
    }
}

#[async_trait]
impl ShadowBook for MemoryStore {
    async fn begin(&self, policy: &InForce, path: &str) -> Result<Vec<Imagined>, StoreFault> {
        let mut kept = self.kept();
        let begun = || ShadowRecord {
            since: policy.since,
            digest: policy.digest.clone(),
            path: path.to_owned(),
            text: policy.text.clone(),
            servers: Vec::new(),
            differs: Vec::new(),
        };
        let known = kept.shadow.take().filter(|record| record.digest == policy.digest);
        let record = kept.shadow.insert(known.unwrap_or_else(begun));
        let open = record.servers.iter().filter(|server| server.ended_at.is_none());
        Ok(open.cloned().collect())
    }

    async fn note(&self, changes: &[ShadowChange]) -> Result<(), StoreFault> {
        let mut kept = self.kept();
        let Some(record) = &mut kept.shadow else {
            let why = "no record of a second policy was begun".to_owned();
            return Err(StoreFault::Failed(why));
        };
        for change in changes {
            match change {
                ShadowChange::Server(server) => {
                    record.servers.retain(|known| known.number != server.number);
                    record.servers.push(server.clone());
                }
                ShadowChange::Differs(differs) => {
                    let same = |at: Timestamp, fleet: &FleetName| {
                        at == differs.at && *fleet == differs.fleet
                    };
                    record.differs.retain(|known| !same(known.at, &known.fleet));
                    record.differs.push(differs.clone());
                }
            }
        }
        record.servers.sort_by_key(|server| server.number);
        record.differs.sort_by(|a, b| (a.at, &a.fleet).cmp(&(b.at, &b.fleet)));
        Ok(())
    }
}
