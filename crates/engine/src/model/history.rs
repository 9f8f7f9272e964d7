//! What a fleet's past leaves behind for whoever reckons with it later.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::capacity::Capacity;
use super::decision::Reason;
use super::fleet::FleetName;
use super::ledger::{Event, EventKind, Override};
use super::reading::Reading;
use super::server::ServerRecord;
use super::time::Timestamp;

/// A fleet's past over a span of time, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetHistory {
    pub fleet: FleetName,
    pub from: Timestamp,
    pub to: Timestamp,
    pub readings: Vec<Reading>,
    /// What was decided in the span, and the last decision before it.
    pub decisions: Vec<Decided>,
    /// Servers that were there at some time of it.
    pub servers: Vec<ServerRecord>,
    /// The operators' orders that are in force. The journal does not keep orders that have ended.
    pub overrides: Vec<Override>,
    /// The policies that were in force at some time of it.
    pub policies: Vec<InForce>,
}

/// A decision as data: its numbers and its reasons. Its text is an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub at: Timestamp,
    pub fleet: FleetName,
    pub capacity: Capacity,
    pub desired: Capacity,
    /// What the next tick starts from.
    pub target: Capacity,
    /// The rules that led to it, the first first.
    pub rules: Vec<String>,
    /// The reasons with their numbers, one for each rule. Empty where version 0.1.0 decided, which did
    /// not store them, and some weeks after a decision that changed nothing.
    pub because: Vec<Reason>,
}

/// A policy that came into force, word for word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub since: Timestamp,
    pub digest: String,
    pub text: String,
}

/// A line of the record; a decision with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub event: Event,
    /// Of a decision: how many servers there were, and how many were aimed at.
    pub from_to: Option<(Capacity, Capacity)>,
    /// Of a decision: its reasons, where they are stored.
    pub because: Vec<Reason>,
}

impl Told {
    /// Whether it belongs into a short record: decisions that changed something, and all else but
    /// calls and sightings.
    pub fn is_news(&self) -> bool {
        match self.event.kind {
            EventKind::Decision => !self.changes_nothing(),
            EventKind::Action | EventKind::Failure | EventKind::Seen => false,
            EventKind::Problem | EventKind::Recovered | EventKind::Override | EventKind::Policy => {
                true
            }
        }
    }

    /// A decision that changed nothing: it stands there for its reasons.
    pub(crate) fn changes_nothing(&self) -> bool {
        self.from_to.is_some_and(|(from, to)| from == to)
    }
}

impl Decided {
    /// What a person names it by: `job-20260302T080000Z`. One tick decides once for a fleet, and
    /// ticks are more than a second apart.
    pub fn id(&self) -> String {
        id(&self.fleet, self.at)
    }
}

/// See [`Decided::id`].
pub fn id(fleet: &FleetName, at: Timestamp) -> String {
    format!("{fleet}-{}", at.strftime(ID_TIME))
}

const ID_TIME: &str = "%Y%m%dT%H%M%SZ";

/// The fleet and the second that an id names.
pub fn of_id(id: &str) -> Option<(FleetName, Timestamp)> {
    let (fleet, at) = id.rsplit_once('-')?;
    let at = DateTime::strptime(ID_TIME, at).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some((FleetName::new(fleet)?, at.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_fleet_and_its_second() {
        let fleet = FleetName::new("job-2").unwrap();
        let at: Timestamp = "2026-03-02T08:00:07.25Z".parse().unwrap();
        let id = id(&fleet, at);
        assert_eq!(id, "job-2-20260302T080007Z");
        assert_eq!(of_id(&id), Some((fleet, "2026-03-02T08:00:07Z".parse().unwrap())));
        for wrong in ["job", "job-2026", "-20260302T080007Z", "job-20260332T080007Z", ""] {
            assert_eq!(of_id(wrong), None, "{wrong}");
        }
    }
}
