//! What a person orders: written into the journal, or refused where it can only be a slip.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Telling;
use super::obstacles::{Situation, staying};
use super::stake::stake;
use crate::admin::order::{Adoption, Entry};
use crate::record::Journal;
use crate::telemetry;
use tidegate_engine::model::capacity::{count, is_large_cut};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Instance, InstanceId};
use tidegate_engine::model::ledger::{Change, Event, EventKind, Override, OverrideKey};
use tidegate_engine::model::problem::ProblemKind;
use tidegate_engine::model::retirement::Retirement;
use tidegate_engine::model::roster::Roster;
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::time::{self, Clocks};
use tidegate_engine::policy::Policy;
use tidegate_engine::state::{Handover, adopt, failures};

/// Where orders are written, and by what they are judged.
pub(super) struct Orders<'a> {
    pub policy: &'a Policy,
    /// As of the last tick; `None` before the first.
    pub roster: Option<&'a Roster>,
    pub telling: &'a mut Telling,
    pub journal: &'a mut Journal,
    pub clocks: Clocks,
}

impl Orders<'_> {
    /// Writes an order down, to be carried out by the next plan; or says why it is none.
    pub(super) async fn take(&mut self, order: Entry) -> Result<String, String> {
        let (fleet, instance) = order.subject();
        let known = instance.as_ref().and_then(|id| self.journal.ledger().servers.of_instance(id));
        let fleet = fleet.or_else(|| known.map(|record| record.fleet.clone()));
        let (changes, text) = match order {
            Entry::Begin { key, capacity, owner, reason, lasts, at_once, force } => {
                let until = time::after(self.clocks.host, lasts);
                let since = self.clocks.host;
                let entry = Override { key, capacity, owner, reason, since, until, at_once };
                self.sensible(&entry)?;
                if !force {
                    self.harmless(&entry)?;
                }
                let mut text = self.told(&entry);
                let stake = stake(self.policy, self.journal.ledger(), &entry, self.clocks.host);
                for more in stake.into_iter().chain(self.situation().obstacles(&entry)) {
                    text.push_str("; ");
                    text.push_str(&more);
                }
                (vec![Change::Override(entry)], text)
            }
            Entry::Resume { fleet, owner } => {
                let mut text = format!("follows its rules again, says {owner}");
                let keys = [
                    OverrideKey::Hold(fleet.clone()),
                    OverrideKey::Pause(fleet.clone()),
                    OverrideKey::Launch(fleet.clone()),
                    OverrideKey::Retire(fleet.clone()),
                ];
                let forgiven = self.forgive(&fleet);
                if forgiven.is_some() {
                    text.push_str("; its failed launches do not count any more");
                }
                let mut changes = match (self.end(&keys), &forgiven) {
                    (Ok(changes), _) => changes,
                    (Err(_), Some(_)) => Vec::new(),
                    (Err(why), None) => return Err(why),
                };
                changes.extend(forgiven);
                (changes, text)
            }
            Entry::Unkeep { instance, owner } => {
                let text = format!("{instance} is kept no longer, says {owner}");
                (self.end(&[OverrideKey::Keep(instance)])?, text)
            }
        };
        self.write(fleet, instance, changes, text).await
    }

    /// Takes instances over by what EC2 said of them.
    pub(super) async fn hand_over(
        &mut self,
        adoption: &Adoption,
        found: &[Instance],
    ) -> Result<String, String> {
        let (changes, text) = self.adopt(adoption, found)?;
        if changes.is_empty() {
            return Ok(format!("{}: {text}", adoption.fleet));
        }
        self.write(Some(adoption.fleet.clone()), None, changes, text).await
    }

    async fn write(
        &mut self,
        fleet: Option<FleetName>,
        instance: Option<InstanceId>,
        mut changes: Vec<Change>,
        text: String,
    ) -> Result<String, String> {
        // The event has its fleet beside it, and whoever asked is told it with the text.
        let whose = fleet.as_ref().map_or_else(String::new, |fleet| format!("{fleet}: "));
        let answer = format!("{whose}{text}");
        let event =
            Event { at: self.clocks.host, kind: EventKind::Override, fleet, instance, text };
        changes.push(Change::Event(event.clone()));
        self.journal.commit(&changes).await.map_err(|fault| fault.to_string())?;
        telemetry::log(&event);
        self.telling.note(&event);
        Ok(answer)
    }

    /// Returns the change by which launches of a fleet that failed count no longer, if there are any.
    fn forgive(&self, fleet: &FleetName) -> Option<Change> {
        let policy = self.policy.fleets.get(fleet)?;
        let ledger = self.journal.ledger();
        let mut memory = ledger.fleets.get(fleet)?.clone();
        if failures(policy, ledger, self.clocks.host) == 0 {
            return None;
        }
        memory.settings.as_mut()?.since = self.clocks.host;
        // Readings have a change of their own.
        memory.readings = Arc::default();
        Some(Change::Fleet(fleet.clone(), Box::new(memory)))
    }

    /// Ends whichever of the overrides stand.
    fn end(&self, keys: &[OverrideKey]) -> Result<Vec<Change>, String> {
        let open = keys.iter().filter(|key| self.journal.ledger().overrides.contains_key(*key));
        let changes: Vec<Change> = open.map(|key| Change::OverrideEnded(key.clone())).collect();
        if changes.is_empty() {
            return Err("there is nothing to end".to_owned());
        }
        Ok(changes)
    }

    /// Refuses an order that can only be a slip.
    fn sensible(&self, entry: &Override) -> Result<(), String> {
        let known: Vec<&str> = self.policy.fleets.keys().map(FleetName::as_str).collect();
        match &entry.key {
            OverrideKey::Hold(fleet) | OverrideKey::Pause(fleet) | OverrideKey::Launch(fleet) => {
                if !self.policy.fleets.contains_key(fleet) {
                    return Err(format!(
                        "no fleet {fleet} in the policy; there are {}",
                        known.join(", ")
                    ));
                }
                let limit = self.policy.limits.instances;
                if let (OverrideKey::Hold(_), Some(limit)) = (&entry.key, limit)
                    && entry.capacity > limit
                {
                    return Err(format!(
                        "limits.instances is {limit}: {} cannot be held",
                        entry.capacity
                    ));
                }
                Ok(())
            }
            OverrideKey::Retire(fleet) if self.policy.fleets.contains_key(fleet) => Err(format!(
                "{fleet} is in the policy and would be filled again; take it out of the file first"
            )),
            OverrideKey::Retire(fleet) => {
                let any = self.journal.ledger().servers.open().any(|r| r.fleet == *fleet);
                if any { Ok(()) } else { Err(format!("{fleet} has no servers")) }
            }
            OverrideKey::Approve(fleet) => {
                let key = ProblemKind::Approval.about(fleet);
                let asked = self.journal.ledger().problems.contains_key(&key);
                if asked { Ok(()) } else { Err(format!("{fleet} has nothing to approve of")) }
            }
            OverrideKey::Keep(id) | OverrideKey::Terminate(id) => {
                self.not_too_late(&entry.key)?;
                let ours = self
                    .journal
                    .ledger()
                    .servers
                    .of_instance(id)
                    .is_some_and(ServerRecord::is_open);
                if ours { Ok(()) } else { Err(format!("{id} is not a server of ours")) }
            }
        }
    }

    /// A server that EC2 was asked to terminate cannot be kept.
    fn not_too_late(&self, key: &OverrideKey) -> Result<(), String> {
        let OverrideKey::Keep(id) = key else { return Ok(()) };
        let record = self.journal.ledger().servers.of_instance(id);
        let retirement = record.and_then(|record| record.retirement.as_ref());
        match retirement.and_then(Retirement::termination) {
            Some(asked) => Err(format!(
                "{id} cannot be kept: EC2 was asked to terminate it at {}",
                time::local(asked.last_asked_at, &self.policy.zone)
            )),
            None => Ok(()),
        }
    }

    fn situation(&self) -> Situation<'_> {
        let (policy, ledger) = (self.policy, self.journal.ledger());
        Situation { policy, ledger, roster: self.roster, clocks: self.clocks }
    }

    /// Refuses a hold that is more likely a slip: below `min`, or the end of more than half of the fleet.
    fn harmless(&self, entry: &Override) -> Result<(), String> {
        let OverrideKey::Hold(fleet) = &entry.key else { return Ok(()) };
        let (to, now) = (entry.capacity, staying(self.journal.ledger(), fleet));
        let min = self.policy.fleets.get(fleet).map_or(0, |fleet| fleet.bounds.min());
        let mut against = Vec::new();
        if to < min {
            against.push(format!("min is {min}"));
        }
        if is_large_cut(now, to) {
            against.push(format!("it would end more than half of {now} servers"));
        }
        if against.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{fleet} is not held at {to}: {}; if that is meant, say so with --force",
            against.join(", and ")
        ))
    }

    /// The records of the instances that a fleet takes over.
    fn adopt(
        &self,
        adoption: &Adoption,
        found: &[Instance],
    ) -> Result<(Vec<Change>, String), String> {
        let Adoption { fleet, instances: asked, owner, reason } = adoption;
        let ledger = self.journal.ledger();
        let records =
            adopt(self.policy, ledger, Handover { fleet, asked, found }, self.clocks.host)?;
        let of_fleet = ledger.servers.open().filter(|r| r.fleet == *fleet);
        let all = count(of_fleet).saturating_add(count(&records));
        let wanted = ledger.fleets.get(fleet).and_then(|memory| memory.target);
        let most = self.policy.fleets.get(fleet).map(|fleet| fleet.bounds.max());
        // Before its first decision only `max` is known.
        let limit = wanted.map(|wanted| (wanted, "wants"));
        let limit = limit.or(most.map(|most| (most, "may have")));
        let but = match limit {
            Some((limit, verb)) if limit < all => format!(
                "; it has {all} now and {verb} {limit}, so its rules will drain and end the rest (`tidegate keep` protects one)"
            ),
            Some(_) | None => String::new(),
        };
        let taken: BTreeSet<&InstanceId> = records.iter().filter_map(|r| r.instance()).collect();
        let names = |ids: &mut dyn Iterator<Item = &InstanceId>| {
            ids.map(InstanceId::as_str).collect::<Vec<_>>().join(", ")
        };
        let had = names(&mut asked.iter().filter(|id| !taken.contains(id)));
        let had = if had.is_empty() { had } else { format!("{had}: in the fleet already") };
        let takes = names(&mut taken.iter().copied());
        let text = match (takes.is_empty(), had.is_empty()) {
            (true, _) => had,
            (false, true) => format!("takes over {takes}, asked by {owner}: {reason}{but}"),
            (false, false) => {
                format!("takes over {takes}, asked by {owner}: {reason}{but}; {had}")
            }
        };
        let changes = records.into_iter().map(|record| Change::Server(Arc::new(record)));
        Ok((changes.collect(), text))
    }

    /// What a person asked for, in words that leave the fleet's name to whoever shows them.
    fn told(&self, entry: &Override) -> String {
        let Override { key, capacity, owner, reason, until, .. } = entry;
        let zone = &self.policy.zone;
        let until = time::local(*until, zone);
        match key {
            OverrideKey::Hold(_) => {
                format!("held at {capacity} by {owner} until {until}: {reason}")
            }
            OverrideKey::Pause(_) => format!("paused by {owner} until {until}: {reason}"),
            OverrideKey::Launch(fleet) => {
                let max = self.policy.fleets.get(fleet).map_or(0, |fleet| fleet.bounds.max());
                let but = format!(" (max is {max}: never more than that in all)");
                let but = if *capacity > max { but.as_str() } else { "" };
                format!("{capacity} more{but} until {until}, asked by {owner}: {reason}")
            }
            OverrideKey::Keep(id) => format!("{id} is kept by {owner} until {until}: {reason}"),
            OverrideKey::Terminate(id) => {
                format!(
                    "{id} will be {}terminated, asked by {owner}: {reason}",
                    if entry.at_once { "" } else { "drained and " }
                )
            }
            OverrideKey::Approve(_) => {
                format!("what the edited policy makes of it is approved by {owner}: {reason}")
            }
            OverrideKey::Retire(_) => {
                format!("every server will be drained and terminated, asked by {owner}: {reason}")
            }
        }
    }
}
