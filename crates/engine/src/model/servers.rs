//! The records of servers, by fleet, and those that are open apart from those that have ended: what
//! runs is asked for at every tick, and a busy day leaves many behind that no longer run.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fleet::{FleetName, Pool};
use super::instance::InstanceId;
use super::launch::Token;
use super::server::ServerRecord;
use super::time::Timestamp;

/// One record for each client token.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    fleets: BTreeMap<FleetName, OfFleet>,
    places: BTreeMap<Token, Place>,
    /// The token of each instance that is known; of two, the open record's.
    token_of: BTreeMap<InstanceId, Token>,
    /// Those that were not launched from these books.
    found: BTreeSet<Token>,
}

/// Where a record is.
#[derive(Debug, Clone)]
struct Place {
    fleet: FleetName,
    over: Option<Timestamp>,
}

/// The records of one fleet.
#[derive(Debug, Clone, Default)]
pub struct OfFleet {
    open: BTreeMap<Token, Arc<ServerRecord>>,
    /// Those that have ended, and passed a health check before.
    proven: Ended,
    /// Those that ended without.
    failed: Ended,
    /// Launches that ended without ever having an instance: there may be hundreds where EC2 has no
    /// capacity.
    refused: Ended,
    /// Of the proven, when the latest launch in each offering was planned.
    last_proven: BTreeMap<Pool, Timestamp>,
}

/// Records in the order in which they were over: of a day's, a tick asks for the last hour's.
type Ended = BTreeMap<(Timestamp, Token), Arc<ServerRecord>>;

/// What a fleet has before its first launch.
pub static NONE: OfFleet = OfFleet {
    open: BTreeMap::new(),
    proven: Ended::new(),
    failed: Ended::new(),
    refused: Ended::new(),
    last_proven: BTreeMap::new(),
};

impl Servers {
    /// Takes in a record, in place of an earlier one with the same token.
    pub fn insert(&mut self, record: Arc<ServerRecord>) {
        let token = &record.token;
        if let Some(id) = record.instance()
            && (record.is_open() || !self.token_of.contains_key(id))
        {
            self.token_of.insert(id.clone(), token.clone());
        }
        if record.request.is_none() {
            self.found.insert(token.clone());
        }
        let place = Place { fleet: record.fleet.clone(), over: over(&record) };
        let known = self.places.insert(token.clone(), place);
        if !self.fleets.contains_key(&record.fleet) {
            self.fleets.insert(record.fleet.clone(), OfFleet::default());
        }
        if let Some(known) = known
            && let Some(fleet) = self.fleets.get_mut(&known.fleet)
        {
            fleet.remove(token, known.over);
        }
        if let Some(fleet) = self.fleets.get_mut(&record.fleet) {
            fleet.insert(record);
        }
    }

    /// Takes out the record of a launch that was never asked for.
    pub(crate) fn drop_unasked(&mut self, token: &Token) {
        if let Some(place) = self.places.remove(token)
            && let Some(fleet) = self.fleets.get_mut(&place.fleet)
        {
            fleet.remove(token, place.over);
        }
    }

    pub fn get<T: Ord + ?Sized>(&self, token: &T) -> Option<&ServerRecord>
    where
        Token: Borrow<T>,
    {
        let (known, place) = self.places.get_key_value(token)?;
        let fleet = self.fleets.get(&place.fleet)?;
        let Some(over) = place.over else { return fleet.open.get(token).map(Arc::as_ref) };
        let key = (over, known.clone());
        let ended = [&fleet.proven, &fleet.failed, &fleet.refused];
        ended.into_iter().find_map(|ended| ended.get(&key)).map(Arc::as_ref)
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

    /// Whether a fleet has servers that are not proven gone.
    pub fn has_open(&self, fleet: &FleetName) -> bool {
        self.fleets.get(fleet).is_some_and(OfFleet::has_open)
    }

    /// Those that are not proven gone.
    pub fn open(&self) -> impl Iterator<Item = &ServerRecord> {
        self.fleets.values().flat_map(OfFleet::open)
    }

    /// Those that are not proven gone, and those that were planned, retired or gone at `from` or later.
    pub fn since(&self, from: Timestamp) -> impl Iterator<Item = &ServerRecord> {
        self.fleets.values().flat_map(move |fleet| fleet.since(from))
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

    /// Drops those that were over at `old` or before.
    pub(crate) fn forget_ended(&mut self, old: Timestamp) {
        let Self { fleets, places, token_of, found } = self;
        let mut emptied = false;
        for fleet in fleets.values_mut() {
            for record in fleet.forget_ended(old) {
                places.remove(&record.token);
                found.remove(&record.token);
                if let Some(id) = record.instance()
                    && token_of.get(id) == Some(&record.token)
                {
                    token_of.remove(id);
                }
                emptied = true;
            }
        }
        if emptied {
            fleets.retain(|_, fleet| fleet.has_open() || fleet.ended().next().is_some());
        }
    }
}

impl OfFleet {
    fn insert(&mut self, record: Arc<ServerRecord>) {
        let token = record.token.clone();
        let Some(over) = over(&record) else {
            self.open.insert(token, record);
            return;
        };
        if record.is_proven() {
            if let Some((pool, at)) = proven(&record) {
                let last = self.last_proven.entry(pool.clone()).or_insert(at);
                *last = at.max(*last);
            }
            self.proven.insert((over, token), record);
        } else if record.instance().is_some() {
            self.failed.insert((over, token), record);
        } else {
            self.refused.insert((over, token), record);
        }
    }

    /// `over`: when, as far as it was known.
    fn remove(&mut self, token: &Token, over: Option<Timestamp>) {
        let Some(over) = over else {
            self.open.remove(token);
            return;
        };
        let key = (over, token.clone());
        if self.proven.remove(&key).is_some() {
            self.look_back();
        } else if self.failed.remove(&key).is_none() {
            self.refused.remove(&key);
        }
    }

    fn forget_ended(&mut self, old: Timestamp) -> Vec<Arc<ServerRecord>> {
        let mut forgotten = Vec::new();
        for ended in [&mut self.proven, &mut self.failed, &mut self.refused] {
            while ended.first_key_value().is_some_and(|((over, _), _)| *over <= old) {
                forgotten.extend(ended.pop_first().map(|(_, record)| record));
            }
        }
        let last = |(pool, at): (&Pool, Timestamp)| self.last_proven.get(pool) == Some(&at);
        if forgotten.iter().filter_map(|record| proven(record)).any(last) {
            self.look_back();
        }
        forgotten
    }

    /// Finds anew which launch was the latest that was proven.
    fn look_back(&mut self) {
        self.last_proven.clear();
        for (pool, at) in self.proven.values().filter_map(|record| proven(record)) {
            let last = self.last_proven.entry(pool.clone()).or_insert(at);
            *last = at.max(*last);
        }
    }

    /// Those that are not proven gone, in order of their tokens.
    pub fn open(&self) -> impl Iterator<Item = &ServerRecord> {
        self.open_shared().map(Arc::as_ref)
    }

    /// The same, to be held on to.
    pub fn open_shared(&self) -> impl Iterator<Item = &Arc<ServerRecord>> {
        self.open.values()
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Those that are gone.
    pub fn ended(&self) -> impl Iterator<Item = &ServerRecord> {
        self.left().chain(self.refused.values().map(Arc::as_ref))
    }

    /// Those that are gone and were there.
    pub fn left(&self) -> impl Iterator<Item = &ServerRecord> {
        self.proven.values().chain(self.failed.values()).map(Arc::as_ref)
    }

    /// Those that are open, and those that were planned, retired or gone at `from` or later.
    pub fn since(&self, from: Timestamp) -> impl Iterator<Item = &ServerRecord> {
        self.unproven_since(from).chain(later(&self.proven, from))
    }

    /// The same, less those that ended and had passed a health check.
    pub(crate) fn unproven_since(&self, from: Timestamp) -> impl Iterator<Item = &ServerRecord> {
        self.open().chain(later(&self.failed, from)).chain(self.refused_since(from))
    }

    /// Launches that ended without an instance, planned or over at `from` or later.
    pub fn refused_since(&self, from: Timestamp) -> impl Iterator<Item = &ServerRecord> {
        later(&self.refused, from)
    }

    /// When the latest launch of ours was planned that passed its health check once, and has ended.
    pub(crate) fn last_proven(&self) -> Option<Timestamp> {
        self.last_proven.values().max().copied()
    }

    /// The same, of the launches in one offering.
    pub(crate) fn last_proven_in(&self, pool: &Pool) -> Option<Timestamp> {
        self.last_proven.get(pool).copied()
    }
}

fn later(ended: &Ended, from: Timestamp) -> impl Iterator<Item = &ServerRecord> {
    // From the youngest back, since most of them are older; no key has to be made for it.
    ended.iter().rev().take_while(move |((over, _), _)| *over >= from).map(|(_, record)| &**record)
}

/// When the last thing happened to a server that is gone: its end, unless the clock was set back.
fn over(record: &ServerRecord) -> Option<Timestamp> {
    let gone = record.gone.as_ref()?.at;
    let retired = record.retirement.as_ref().map(|retirement| retirement.begun_at);
    Some(gone.max(record.planned_at).max(retired.unwrap_or(gone)))
}

/// Of a launch of ours that passed its health check: its offering, and when it was planned.
fn proven(record: &ServerRecord) -> Option<(&Pool, Timestamp)> {
    let request = record.request.as_ref().filter(|_| record.is_proven())?;
    Some((&request.pool, record.planned_at))
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
            servers.insert(Arc::new(record));
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
    use crate::model::launch::{Image, LaunchRequest};
    use crate::model::retirement::{RetireReason, Retirement, Stage};
    use crate::model::server::{Gone, GoneHow, LaunchState};
    use crate::model::time;

    fn at(minute: u64) -> Timestamp {
        time::after(Timestamp::UNIX_EPOCH, Duration::from_mins(minute))
    }

    /// When it ended, if it has, and when its retirement began: after its end too, where the clock was
    /// set back.
    type End = (Option<u64>, Option<u64>);

    /// A record by a few numbers; its token says its fleet and when it was planned.
    fn record(n: u64, (instance, healthy, ours): (bool, bool, bool), end: End) -> ServerRecord {
        let token = Token::from_stored(&format!("token-{n}"));
        let request = LaunchRequest {
            token: token.clone(),
            image: Image::Id("ami-1".to_owned()),
            pool: Pool { instance_type: None, subnet: None },
            key_pair: None,
            security_groups: Vec::new(),
            instance_profile: None,
            user_data: String::new(),
            drains: false,
            tags: Arc::default(),
        };
        let fleet = FleetName::new(["app", "job"][usize::from(n.is_multiple_of(2))]).unwrap();
        let mut record = ServerRecord::planned(
            Arc::new(request),
            fleet,
            time::Clocks::new(at([9, 3, 5, 5, 1, 50, 0, 40][usize::try_from(n).unwrap()]), None),
        );
        if instance || healthy {
            record.launch = LaunchState::Launched(InstanceId::new(&format!("i-{n}")));
        }
        record.healthy_at = healthy.then(|| at(20));
        record.request = record.request.filter(|_| ours);
        record.gone = end.0.map(|minute| Gone { at: at(minute), how: GoneHow::Retired });
        record.retirement = end.1.map(|minute| Retirement {
            why: RetireReason::ScaleIn,
            begun_at: at(minute),
            begun_at_ec2: None,
            drain: None,
            stage: Stage::Begun,
        });
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
                (
                    0..8_u64,
                    (any::<bool>(), any::<bool>(), any::<bool>()),
                    (prop::option::of(21..60_u64), prop::option::of(21..60_u64)),
                ),
                1..40,
            ),
            old in 0..60_u64,
            from in 0..60_u64,
        ) {
            let mut servers = Servers::default();
            let mut whole: BTreeMap<Token, ServerRecord> = BTreeMap::new();
            for (n, (instance, healthy, ours), end) in changes {
                // Whether it is ours, and which instance it is, never changes.
                let known = whole.get(format!("token-{n}").as_str());
                let ours = known.map_or(ours, |known| known.request.is_some());
                let instance = instance || known.is_some_and(|known| known.instance().is_some());
                let record = record(n, (instance, healthy, ours), end);
                whole.insert(record.token.clone(), record.clone());
                servers.insert(Arc::new(record));
            }
            servers.forget_ended(at(old));
            whole.retain(|_, record| over(record).is_none_or(|over| over > at(old)));

            let all = || whole.values();
            let ended = |record: &&ServerRecord| !record.is_open();
            prop_assert_eq!(tokens(servers.all()), tokens(all()));
            prop_assert_eq!(tokens(servers.open()), tokens(all().filter(|r| r.is_open())));
            prop_assert_eq!(tokens(servers.ended()), tokens(all().filter(ended)));
            prop_assert_eq!(tokens(servers.found()), tokens(all().filter(|r| r.request.is_none())));
            let since = |record: &&ServerRecord| over(record).is_none_or(|over| over >= at(from));
            prop_assert_eq!(tokens(servers.since(at(from))), tokens(all().filter(since)));
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
                let unproven = here().filter(since).filter(|r| r.is_open() || !proven(r));
                prop_assert_eq!(tokens(records.unproven_since(at(from))), tokens(unproven));
            }
            prop_assert_eq!(&servers, &whole.into_values().collect::<Servers>());
        }
    }
}
