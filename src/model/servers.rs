//! The records of servers, by fleet, and those that are open apart from those that have ended: what
//! runs is asked for at every tick, and a busy day leaves many behind that no longer run.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use super::fleet::FleetName;
use super::instance::InstanceId;
use super::launch::Token;
use super::server::ServerRecord;
use super::time::Timestamp;

/// One record for each client token.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    fleets: BTreeMap<FleetName, OfFleet>,
    /// Where each record is.
    fleet_of: BTreeMap<Token, FleetName>,
    /// The token of each instance that is known; of two, the open record's.
    token_of: BTreeMap<InstanceId, Token>,
}

/// The records of one fleet.
#[derive(Debug, Clone, Default)]
pub struct OfFleet {
    open: BTreeMap<Token, ServerRecord>,
    ended: BTreeMap<Token, ServerRecord>,
    /// Of those that have ended, the ones that never passed a health check.
    unproven: BTreeSet<Token>,
    /// Of the others, when the latest launch was planned.
    last_proven: Option<Timestamp>,
    /// None ended before this; `None`: none has ended.
    first_end: Option<Timestamp>,
}

impl Servers {
    /// Takes in a record, in place of an earlier one with the same token.
    pub fn insert(&mut self, record: ServerRecord) {
        let token = &record.token;
        if let Some(id) = record.instance()
            && (record.is_open() || !self.token_of.contains_key(id))
        {
            self.token_of.insert(id.clone(), token.clone());
        }
        // A record keeps its fleet for life.
        if !self.fleet_of.contains_key(token) {
            self.fleet_of.insert(token.clone(), record.fleet.clone());
        }
        if !self.fleets.contains_key(&record.fleet) {
            self.fleets.insert(record.fleet.clone(), OfFleet::default());
        }
        if let Some(fleet) = self.fleets.get_mut(&record.fleet) {
            fleet.insert(record);
        }
    }

    pub fn get<T: Ord + ?Sized>(&self, token: &T) -> Option<&ServerRecord>
    where
        Token: Borrow<T>,
    {
        let fleet = self.fleets.get(self.fleet_of.get(token)?)?;
        fleet.open.get(token).or_else(|| fleet.ended.get(token))
    }

    pub fn of_instance(&self, id: &InstanceId) -> Option<&ServerRecord> {
        self.get(self.token_of.get(id)?)
    }

    /// The fleets that have records, and theirs.
    pub fn by_fleet(&self) -> impl Iterator<Item = (&FleetName, &OfFleet)> {
        self.fleets.iter()
    }

    pub fn of_fleet(&self, fleet: &FleetName) -> Option<&OfFleet> {
        self.fleets.get(fleet)
    }

    /// Those that are not proven gone.
    pub fn open(&self) -> impl Iterator<Item = &ServerRecord> {
        self.fleets.values().flat_map(OfFleet::open)
    }

    /// Those that are gone.
    pub fn ended(&self) -> impl Iterator<Item = &ServerRecord> {
        self.fleets.values().flat_map(OfFleet::ended)
    }

    pub fn all(&self) -> impl Iterator<Item = &ServerRecord> {
        self.open().chain(self.ended())
    }

    /// Drops those that ended at `old` or before.
    pub fn forget_ended(&mut self, old: Timestamp) {
        let Self { fleets, fleet_of, token_of } = self;
        for fleet in fleets.values_mut() {
            for record in fleet.forget_ended(old) {
                fleet_of.remove(&record.token);
                if let Some(id) = record.instance()
                    && token_of.get(id) == Some(&record.token)
                {
                    token_of.remove(id);
                }
            }
        }
        fleets.retain(|_, fleet| !fleet.open.is_empty() || !fleet.ended.is_empty());
    }
}

impl OfFleet {
    fn insert(&mut self, record: ServerRecord) {
        let Some(gone) = &record.gone else {
            if self.ended.remove(&record.token).is_some() {
                self.unproven.remove(&record.token);
                self.look_back();
            }
            self.open.insert(record.token.clone(), record);
            return;
        };
        self.first_end = Some(self.first_end.map_or(gone.at, |first| first.min(gone.at)));
        if record.healthy_at.is_some() {
            self.last_proven = self.last_proven.max(proven(&record));
        } else {
            self.unproven.insert(record.token.clone());
        }
        self.open.remove(&record.token);
        self.ended.insert(record.token.clone(), record);
    }

    fn forget_ended(&mut self, old: Timestamp) -> Vec<ServerRecord> {
        if self.first_end.is_none_or(|first| first > old) {
            return Vec::new();
        }
        let over = |record: &ServerRecord| record.gone.as_ref().is_none_or(|gone| gone.at <= old);
        let forgotten = self.ended.extract_if(.., |_, record| over(record));
        let forgotten: Vec<ServerRecord> = forgotten.map(|(_, record)| record).collect();
        for record in &forgotten {
            self.unproven.remove(&record.token);
        }
        self.look_back();
        forgotten
    }

    /// Finds anew what is known of those that have ended.
    fn look_back(&mut self) {
        let ended = || self.ended.values();
        self.last_proven = ended().filter_map(proven).max();
        self.first_end = ended().filter_map(|record| Some(record.gone.as_ref()?.at)).min();
    }

    /// Those that are not proven gone, in order of their tokens.
    pub fn open(&self) -> impl Iterator<Item = &ServerRecord> {
        self.open.values()
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Those that are gone, in order of their tokens.
    pub fn ended(&self) -> impl Iterator<Item = &ServerRecord> {
        self.ended.values()
    }

    /// Those that are open, and those that ended without ever passing a health check.
    pub fn open_or_unproven(&self) -> impl Iterator<Item = &ServerRecord> {
        self.open().chain(self.unproven.iter().filter_map(|token| self.ended.get(token)))
    }

    /// When the latest launch of ours was planned that passed its health check once, and has ended.
    pub fn last_proven(&self) -> Option<Timestamp> {
        self.last_proven
    }
}

/// When a launch of ours was planned that passed its health check.
fn proven(record: &ServerRecord) -> Option<Timestamp> {
    (record.healthy_at.is_some() && record.request.is_some()).then_some(record.planned_at)
}

/// What is known of the records follows from them.
impl PartialEq for Servers {
    fn eq(&self, other: &Self) -> bool {
        self.fleets == other.fleets
    }
}

impl PartialEq for OfFleet {
    fn eq(&self, other: &Self) -> bool {
        self.open == other.open && self.ended == other.ended
    }
}

impl FromIterator<ServerRecord> for Servers {
    fn from_iter<I: IntoIterator<Item = ServerRecord>>(records: I) -> Self {
        let mut servers = Self::default();
        records.into_iter().for_each(|record| servers.insert(record));
        servers
    }
}
