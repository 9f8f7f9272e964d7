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
    /// Where each record is: its fleet, and when it was planned. Neither ever changes.
    places: BTreeMap<Token, (FleetName, Timestamp)>,
    /// The token of each instance that is known; of two, the open record's.
    token_of: BTreeMap<InstanceId, Token>,
    /// Those that were not launched from these books.
    found: BTreeSet<Token>,
}

/// The records of one fleet.
#[derive(Debug, Clone, Default)]
pub struct OfFleet {
    open: BTreeMap<Token, ServerRecord>,
    /// Those that have ended, and passed a health check before.
    proven: BTreeMap<Token, ServerRecord>,
    /// Those that ended without.
    failed: BTreeMap<Token, ServerRecord>,
    /// Launches that ended without ever having an instance, in the order in which they were planned:
    /// there may be hundreds where EC2 has no capacity, and only the latest matter.
    refused: BTreeMap<(Timestamp, Token), ServerRecord>,
    /// Of the proven, when the latest launch was planned.
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
        if !self.places.contains_key(token) {
            self.places.insert(token.clone(), (record.fleet.clone(), record.planned_at));
        }
        if record.request.is_none() {
            self.found.insert(token.clone());
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
        let (known, (fleet, planned_at)) = self.places.get_key_value(token)?;
        let fleet = self.fleets.get(fleet)?;
        let ended = || fleet.proven.get(token).or_else(|| fleet.failed.get(token));
        let refused = || fleet.refused.get(&(*planned_at, known.clone()));
        fleet.open.get(token).or_else(ended).or_else(refused)
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

    /// Those that were there, the open ones first.
    pub fn real(&self) -> impl Iterator<Item = &ServerRecord> {
        self.open().chain(self.fleets.values().flat_map(OfFleet::left))
    }

    /// Those that are gone.
    pub fn ended(&self) -> impl Iterator<Item = &ServerRecord> {
        self.fleets.values().flat_map(OfFleet::ended)
    }

    /// Those that were found in EC2 or handed over.
    pub fn found(&self) -> impl Iterator<Item = &ServerRecord> {
        self.found.iter().filter_map(|token| self.get(token))
    }

    pub fn all(&self) -> impl Iterator<Item = &ServerRecord> {
        self.open().chain(self.ended())
    }

    /// Drops those that ended at `old` or before.
    pub fn forget_ended(&mut self, old: Timestamp) {
        let Self { fleets, places, token_of, found } = self;
        for fleet in fleets.values_mut() {
            for record in fleet.forget_ended(old) {
                places.remove(&record.token);
                found.remove(&record.token);
                if let Some(id) = record.instance()
                    && token_of.get(id) == Some(&record.token)
                {
                    token_of.remove(id);
                }
            }
        }
        fleets.retain(|_, fleet| fleet.open().chain(fleet.ended()).next().is_some());
    }
}

impl OfFleet {
    fn insert(&mut self, record: ServerRecord) {
        let token = record.token.clone();
        let place = (record.planned_at, token.clone());
        let ended = self.proven.remove(&token).or_else(|| self.failed.remove(&token));
        let known = ended.or_else(|| self.refused.remove(&place)).is_some();
        self.open.remove(&token);
        let (proven, end) = (proven(&record), record.gone.as_ref().map(|gone| gone.at));
        if record.is_open() {
            self.open.insert(token, record);
        } else if record.healthy_at.is_some() {
            self.proven.insert(token, record);
        } else if record.instance().is_some() {
            self.failed.insert(token, record);
        } else {
            self.refused.insert(place, record);
        }
        if known {
            self.look_back();
        } else if let Some(end) = end {
            self.last_proven = self.last_proven.max(proven);
            self.first_end = Some(self.first_end.map_or(end, |first| first.min(end)));
        }
    }

    fn forget_ended(&mut self, old: Timestamp) -> Vec<ServerRecord> {
        if self.first_end.is_none_or(|first| first > old) {
            return Vec::new();
        }
        let over = |record: &ServerRecord| record.gone.as_ref().is_none_or(|gone| gone.at <= old);
        let mut forgotten = Vec::new();
        for ended in [&mut self.proven, &mut self.failed] {
            let old = ended.extract_if(.., |_, record| over(record));
            forgotten.extend(old.map(|(_, record)| record));
        }
        let old = self.refused.extract_if(.., |_, record| over(record));
        forgotten.extend(old.map(|(_, record)| record));
        self.look_back();
        forgotten
    }

    /// Finds anew what is known of those that have ended.
    fn look_back(&mut self) {
        self.last_proven = self.proven.values().filter_map(proven).max();
        self.first_end = self.ended().filter_map(|record| Some(record.gone.as_ref()?.at)).min();
    }

    /// Those that are not proven gone, in order of their tokens.
    pub fn open(&self) -> impl Iterator<Item = &ServerRecord> {
        self.open.values()
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Those that are gone.
    pub fn ended(&self) -> impl Iterator<Item = &ServerRecord> {
        self.left().chain(self.refused.values())
    }

    /// Those that are gone and were there.
    pub fn left(&self) -> impl Iterator<Item = &ServerRecord> {
        self.proven.values().chain(self.failed.values())
    }

    /// Those that are open, those that ended without ever passing a health check, and of those that
    /// never had an instance the ones planned at `from` or later.
    pub fn unproven_since(&self, from: Timestamp) -> impl Iterator<Item = &ServerRecord> {
        self.open.values().chain(self.failed.values()).chain(self.refused_since(from))
    }

    /// Launches that ended without an instance, planned at `from` or later.
    pub fn refused_since(&self, from: Timestamp) -> impl Iterator<Item = &ServerRecord> {
        let first = (from, Token::from_stored(""));
        self.refused.range(first..).map(|(_, record)| record)
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
        let Self { open, proven, failed, refused, .. } = self;
        let ended = *proven == other.proven && *failed == other.failed;
        *open == other.open && ended && *refused == other.refused
    }
}

impl FromIterator<ServerRecord> for Servers {
    fn from_iter<I: IntoIterator<Item = ServerRecord>>(records: I) -> Self {
        let mut servers = Self::default();
        for record in records {
            servers.insert(record);
        }
        servers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::fleet::Pool;
    use crate::model::launch::{Image, LaunchRequest};
    use crate::model::server::{Gone, GoneHow, LaunchState};
    use crate::model::time;

    fn at(minute: u64) -> Timestamp {
        time::after(Timestamp::UNIX_EPOCH, Duration::from_mins(minute))
    }

    /// A record by a few numbers; its token says its fleet and when it was planned.
    fn record(n: u64, instance: bool, healthy: bool, ours: bool, end: Option<u64>) -> ServerRecord {
        let token = Token::from_stored(&format!("token-{n}"));
        let request = LaunchRequest {
            token: token.clone(),
            image: Image::Id("ami-1".to_owned()),
            pool: Pool { instance_type: None, subnet: None },
            key_pair: None,
            security_groups: Vec::new(),
            instance_profile: None,
            user_data: String::new(),
            tags: BTreeMap::new(),
        };
        let fleet = FleetName::new(["app", "job"][usize::from(n.is_multiple_of(2))]).unwrap();
        let mut record = ServerRecord::planned(
            Arc::new(request),
            fleet,
            at([9, 3, 5, 5, 1, 11, 0, 7][usize::try_from(n).unwrap()]),
        );
        if instance || healthy {
            record.launch = LaunchState::Launched(InstanceId::new(&format!("i-{n}")));
        }
        record.healthy_at = healthy.then(|| at(20));
        record.request = record.request.filter(|_| ours);
        record.gone = end.map(|minute| Gone { at: at(minute), how: GoneHow::Retired });
        record
    }

    fn tokens<'a>(records: impl Iterator<Item = &'a ServerRecord>) -> BTreeSet<&'a str> {
        records.map(|record| record.token.as_str()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// However records come, change, come back and are forgotten, the parts say what the whole does.
        #[test]
        fn the_parts_are_those_of_the_whole(
            changes in prop::collection::vec(
                (0..8_u64, any::<bool>(), any::<bool>(), any::<bool>(), prop::option::of(21..60_u64)),
                1..40,
            ),
            old in 0..60_u64,
            from in 0..12_u64,
        ) {
            let mut servers = Servers::default();
            let mut whole: BTreeMap<Token, ServerRecord> = BTreeMap::new();
            for (n, instance, healthy, ours, end) in changes {
                // Whether it is ours, and which instance it is, never changes.
                let known = whole.get(format!("token-{n}").as_str());
                let ours = known.map_or(ours, |known| known.request.is_some());
                let instance = instance || known.is_some_and(|known| known.instance().is_some());
                let record = record(n, instance, healthy, ours, end);
                whole.insert(record.token.clone(), record.clone());
                servers.insert(record);
            }
            servers.forget_ended(at(old));
            whole.retain(|_, record| record.gone.as_ref().is_none_or(|gone| gone.at > at(old)));

            let all = || whole.values();
            let ended = |record: &&ServerRecord| !record.is_open();
            prop_assert_eq!(tokens(servers.all()), tokens(all()));
            prop_assert_eq!(tokens(servers.open()), tokens(all().filter(|r| r.is_open())));
            prop_assert_eq!(tokens(servers.ended()), tokens(all().filter(ended)));
            prop_assert_eq!(tokens(servers.found()), tokens(all().filter(|r| r.request.is_none())));
            let real = |record: &&ServerRecord| record.is_open() || record.instance().is_some();
            prop_assert_eq!(tokens(servers.real()), tokens(all().filter(real)));
            for record in all() {
                prop_assert_eq!(servers.get(&record.token), Some(record));
                if let Some(id) = record.instance() {
                    prop_assert_eq!(servers.of_instance(id), Some(record));
                }
            }
            for (name, records) in servers.by_fleet() {
                let here = || all().filter(|record| record.fleet == *name);
                let proven = |record: &&ServerRecord| record.healthy_at.is_some();
                let last = here().filter(ended).filter(proven).filter(|r| r.request.is_some());
                prop_assert_eq!(records.last_proven(), last.map(|record| record.planned_at).max());
                let unproven = here().filter(|record| {
                    let refused = ended(record) && record.instance().is_none();
                    record.is_open()
                        || (!proven(record) && (!refused || record.planned_at >= at(from)))
                });
                prop_assert_eq!(tokens(records.unproven_since(at(from))), tokens(unproven));
            }
            prop_assert_eq!(&servers, &whole.into_values().collect::<Servers>());
        }
    }
}
