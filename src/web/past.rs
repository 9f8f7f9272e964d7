//! What the journal knows of the time that the page shows, read by its port, and made ready to be drawn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::asked::{Bins, Range};
use super::bins::{self, Queue, Servers};
use crate::ports::{History, StoreFault};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, FleetHistory, InForce, Told};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{self, FleetPolicy, Policy};

/// A queue is read at least this often, or it says how often itself.
const READING_LASTS: Duration = Duration::from_mins(15);

/// More policies than these in one week are somebody's experiments; the latest count.
const POLICIES_AT_MOST: usize = 12;

/// Lines that are kept at hand, the latest.
const LINES_AT_MOST: usize = 1000;

/// The record of a span.
#[derive(Debug)]
pub(super) struct Past {
    pub taken: Timestamp,
    /// The digest of the policy that was in force then.
    live: String,
    pub bins: Bins,
    pub fleets: BTreeMap<FleetName, FleetPast>,
    /// What changed, newest first.
    pub told: Vec<Told>,
    /// The policies of the span, each from when on.
    pub policies: Vec<(Timestamp, Arc<Policy>)>,
}

/// The record of one fleet, bin by bin.
#[derive(Debug, Default)]
pub(super) struct FleetPast {
    pub servers: Vec<Servers>,
    pub desired: Vec<Option<u32>>,
    pub queue: Vec<Queue>,
    /// What the schedule asked for; `None`: nothing beyond `min`.
    pub schedule: Vec<Option<u32>>,
    pub bounds: Vec<Option<(u32, u32)>>,
    /// Those that changed something.
    pub decisions: Vec<Decided>,
}

/// Policies that were read once; each by its digest.
pub(super) type Known = BTreeMap<String, Option<Arc<Policy>>>;

/// What the journal tells of a span, as it was read.
#[derive(Debug)]
pub(super) struct Read {
    taken: Timestamp,
    bins: Bins,
    fleets: Vec<FleetHistory>,
    lines: Vec<Told>,
}

impl Read {
    pub(super) async fn journal(
        history: &dyn History,
        fleets: &[FleetName],
        (range, now): (Range, Timestamp),
    ) -> Result<Self, StoreFault> {
        let bins = range.bins(now);
        let span = (time::before(bins.from, READING_LASTS), now);
        let mut histories = Vec::new();
        for name in fleets {
            histories.push(history.of_fleet(name, span).await?);
        }
        let lines = history.lines(None, (bins.from, now)).await?;
        Ok(Self { taken: now, bins, fleets: histories, lines })
    }
}

impl Past {
    /// Divides what was read into bins. `live` is the policy in force, which is not parsed again.
    pub(super) fn of(read: Read, live: &Arc<Policy>, known: &mut Known) -> Self {
        let Read { taken: now, bins, fleets: mut histories, lines: mut told } = read;
        let mut out = BTreeMap::new();
        // Policies are of no fleet alone: each history has them all.
        let ran = histories.last_mut().map(|history| std::mem::take(&mut history.policies));
        let policies = in_force(ran.unwrap_or_default(), live, known);
        for history in histories {
            let every = policies.last().and_then(|(_, policy)| policy.fleets.get(&history.fleet));
            let every = every.and_then(|fleet| fleet.queue.as_ref()).map(|queue| queue.every);
            let lasts = every.map_or(READING_LASTS, |every| (every * 2).max(READING_LASTS));
            let mut past = FleetPast {
                servers: bins::servers(&history.servers, &bins),
                desired: bins::desired(&history.decisions, &bins),
                queue: bins::queue(&history.readings, lasts, &bins),
                decisions: history.decisions,
                ..FleetPast::default()
            };
            past.decisions.retain(|d| d.capacity != d.desired && d.at >= bins.from);
            past.rule(&history.fleet, &policies, &bins);
            out.insert(history.fleet, past);
        }
        told.retain(Told::is_news);
        told.reverse();
        told.truncate(LINES_AT_MOST);
        Self { taken: now, live: live.digest.clone(), bins, fleets: out, told, policies }
    }

    /// Whether it is too old to be shown: by a small part of what a bin spans.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        now < self.taken || time::since(now, self.taken) >= self.bins.width.div_f64(10.0)
    }

    /// Whether another policy was in force when this was read.
    pub(super) fn is_before(&self, live: &Policy) -> bool {
        self.live != live.digest
    }

    /// Since when the policy is in force, where the journal says so.
    pub(super) fn in_force_since(&self, live: &Policy) -> Option<Timestamp> {
        let last = self.policies.last().filter(|(_, policy)| policy.digest == live.digest);
        last.map(|(since, _)| *since)
    }
}

fn in_force(
    ran: Vec<InForce>,
    live: &Arc<Policy>,
    known: &mut Known,
) -> Vec<(Timestamp, Arc<Policy>)> {
    let skipped = ran.len().saturating_sub(POLICIES_AT_MOST);
    let mut fresh = Known::new();
    let mut out = Vec::new();
    for ran in ran.into_iter().skip(skipped) {
        let policy = if ran.digest == live.digest {
            Some(live.clone())
        } else {
            known.remove(&ran.digest).unwrap_or_else(|| {
                policy::load("the policy that ran", &ran.text, ran.since).policy.map(Arc::new)
            })
        };
        out.extend(policy.clone().map(|policy| (ran.since, policy)));
        fresh.insert(ran.digest, policy);
    }
    // What is no longer shown need not be known.
    *known = fresh;
    out
}

impl FleetPast {
    /// What the policies asked of it, each in its time.
    fn rule(&mut self, name: &FleetName, policies: &[(Timestamp, Arc<Policy>)], bins: &Bins) {
        let mut rest = policies.iter().peekable();
        let mut fleet: Option<&FleetPolicy> = None;
        let mut level = Level::default();
        for begins in bins.begins() {
            while let Some((_, policy)) = rest.next_if(|(since, _)| *since <= begins) {
                fleet = policy.fleets.get(name);
                level = Level::default();
            }
            // What ruled before the record began is not known. Its lines go across, so that they can
            // be named; what its schedule would have asked for then nobody was asked for.
            let first = rest.peek().and_then(|(_, p)| p.fleets.get(name));
            let bounds = fleet.or(first).map(|fleet| (fleet.bounds.min(), fleet.bounds.max()));
            self.bounds.push(bounds);
            self.schedule.push(fleet.and_then(|fleet| level.at(fleet, begins)));
        }
    }
}

/// A schedule walked along: the calendar is asked at its edges alone.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// What stands, and until when.
    stands: Option<(Option<u32>, Timestamp)>,
}

impl Level {
    /// The schedule's capacity at an instant; each later than the one before.
    pub(super) fn at(&mut self, fleet: &FleetPolicy, at: Timestamp) -> Option<u32> {
        let schedule = fleet.schedule.as_ref()?;
        if let Some((capacity, until)) = self.stands
            && at < until
        {
            return capacity;
        }
        let capacity = schedule.standing(at).map(|standing| standing.capacity);
        let until = schedule.next_change(at, Duration::ZERO).map_or(Timestamp::MAX, |(at, _)| at);
        self.stands = Some((capacity, until));
        capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r"
version: 1
timezone: UTC
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, subnets: [subnet-0a1], types: [t3.small] }
    min: 1
    max: 3
    schedule: [{ during: mon-sun 08:00-21:00, capacity: 3 }]
";

    #[test]
    fn what_a_schedule_asks_for_begins_with_the_record() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (from, since) = (at("2026-03-02T10:00:00Z"), at("2026-03-02T11:00:00Z"));
        let policy = policy::load("policy.yaml", POLICY, from).policy.unwrap();
        let bins = Bins::ahead(from, Duration::from_hours(2), Duration::from_mins(30));
        let mut past = FleetPast::default();
        let name = FleetName::new("app").unwrap();
        past.rule(&name, &[(since, Arc::new(policy))], &bins);
        assert_eq!(past.schedule, [None, None, Some(3), Some(3)]);
        assert_eq!(past.bounds, [Some((1, 3)); 4]);
    }

    #[test]
    fn policy_in_force_is_not_parsed_again() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let live = Arc::new(policy::load("policy.yaml", POLICY, now).policy.unwrap());
        let since = time::before(now, Duration::from_hours(1));
        // What cannot be read shows that it was not asked for.
        let ran = InForce { since, digest: live.digest.clone(), text: "no policy".to_owned() };
        let before = InForce { digest: "other".to_owned(), text: POLICY.to_owned(), ..ran.clone() };
        let history = FleetHistory {
            fleet: FleetName::new("app").unwrap(),
            from: since,
            to: now,
            readings: Vec::new(),
            decisions: Vec::new(),
            servers: Vec::new(),
            overrides: Vec::new(),
            policies: vec![before, ran],
        };
        let bins = Range::Hours6.bins(now);
        let read = Read { taken: now, bins, fleets: vec![history], lines: Vec::new() };
        let past = Past::of(read, &live, &mut Known::new());
        assert_eq!(past.policies.len(), 2);
        assert!(Arc::ptr_eq(&past.policies[1].1, &live));
        assert_eq!(past.in_force_since(&live), Some(since));
        assert!(!past.is_before(&live));
    }
}
