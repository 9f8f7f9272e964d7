//! What was, bin by bin: each bin shows its most, so that nothing short is lost between two of them.

use std::time::Duration;

use super::asked::Bins;
use tidegate_engine::model::history::Decided;
use tidegate_engine::model::reading::Reading;
use tidegate_engine::model::server::{GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time::{self, Timestamp};

/// Servers by what they did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Servers {
    pub serving: u32,
    pub starting: u32,
    pub draining: u32,
}

impl Servers {
    pub(super) fn all(self) -> u32 {
        self.serving + self.starting + self.draining
    }

    /// Of two moments with as many, the one at which something moves tells more.
    fn rank(self) -> (u32, u32) {
        (self.all(), self.starting + self.draining)
    }
}

/// What a queue said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Queue {
    /// There was no reading for long.
    #[default]
    Unknown,
    Unreadable,
    Waiting {
        jobs: u64,
        oldest: Option<Duration>,
    },
}

/// What a server did from an instant on; `None`: nothing any more.
type Turn = (Timestamp, Option<Did>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Start,
    Serve,
    Drain,
}

fn turns(server: &ServerRecord) -> Vec<Turn> {
    let never = server.gone.as_ref().is_some_and(|gone| gone.how == GoneHow::NeverWas);
    if never || matches!(server.launch, LaunchState::Refused(_)) {
        return Vec::new();
    }
    let begun = server.launched_at.unwrap_or(server.planned_at);
    let gone = server.gone.as_ref().map_or(Timestamp::MAX, |gone| gone.at);
    let drained = server.retirement.as_ref().map(|retirement| retirement.begun_at);
    let serves = server.in_service_at.filter(|at| drained.is_none_or(|drained| *at < drained));
    let mut turns = vec![(begun, Some(Did::Start))];
    turns.extend(serves.map(|at| (at, Some(Did::Serve))));
    turns.extend(drained.map(|at| (at, Some(Did::Drain))));
    turns.retain(|(at, _)| *at < gone);
    if !turns.is_empty() && gone < Timestamp::MAX {
        turns.push((gone, None));
    }
    turns
}

/// The servers at the moment of each bin at which there were the most.
pub(super) fn servers(records: &[ServerRecord], bins: &Bins) -> Vec<Servers> {
    let mut changes: Vec<(Timestamp, Option<Did>, Option<Did>)> = Vec::new();
    for record in records {
        let mut before = None;
        for (at, did) in turns(record) {
            changes.push((at, before, did));
            before = did;
        }
    }
    changes.sort_by_key(|(at, ..)| *at);
    let mut now = Servers::default();
    let mut changes = changes.into_iter().peekable();
    let mut out = Vec::new();
    for begins in bins.begins() {
        let ends = time::after(begins, bins.width);
        while let Some((_, from, to)) = changes.next_if(|(at, ..)| *at <= begins) {
            now = turned(now, from, to);
        }
        let mut most = now;
        while let Some((at, from, to)) = changes.next_if(|(at, ..)| *at < ends) {
            now = turned(now, from, to);
            // What happens at one instant is one change.
            let settled = changes.peek().is_none_or(|(next, ..)| *next > at);
            if settled && now.rank() >= most.rank() {
                most = now;
            }
        }
        out.push(most);
    }
    out
}

fn turned(mut now: Servers, from: Option<Did>, to: Option<Did>) -> Servers {
    let mut count = |did: Option<Did>, add: bool| {
        let Some(did) = did else { return };
        let place = match did {
            Did::Start => &mut now.starting,
            Did::Serve => &mut now.serving,
            Did::Drain => &mut now.draining,
        };
        *place = if add { place.saturating_add(1) } else { place.saturating_sub(1) };
    };
    count(from, false);
    count(to, true);
    now
}

/// The most that was aimed at in each bin; `None` before the first decision.
pub(super) fn desired(decisions: &[Decided], bins: &Bins) -> Vec<Option<u32>> {
    let mut decisions = decisions.iter().peekable();
    let mut stands = None;
    let mut out = Vec::new();
    for begins in bins.begins() {
        let ends = time::after(begins, bins.width);
        while let Some(decided) = decisions.next_if(|decided| decided.at <= begins) {
            stands = Some(decided.desired);
        }
        let mut most = stands;
        while let Some(decided) = decisions.next_if(|decided| decided.at < ends) {
            stands = Some(decided.desired);
            most = most.max(stands);
        }
        out.push(most);
    }
    out
}

/// The longest queue of each bin. A reading stands until the next, for `lasts` at most.
pub(super) fn queue(readings: &[Reading], lasts: Duration, bins: &Bins) -> Vec<Queue> {
    let mut readings = readings.iter().peekable();
    let mut stands: Option<&Reading> = None;
    let mut out = Vec::new();
    for begins in bins.begins() {
        let ends = time::after(begins, bins.width);
        while let Some(reading) = readings.next_if(|reading| reading.at <= begins) {
            stands = Some(reading);
        }
        let fresh = stands.filter(|reading| time::since(begins, reading.at) < lasts);
        let mut most = fresh.map_or(Queue::Unknown, said);
        while let Some(reading) = readings.next_if(|reading| reading.at < ends) {
            stands = Some(reading);
            most = longer(most, said(reading));
        }
        out.push(most);
    }
    out
}

fn said(reading: &Reading) -> Queue {
    match &reading.depth {
        Ok(depth) => Queue::Waiting { jobs: depth.waiting, oldest: depth.oldest },
        Err(_) => Queue::Unreadable,
    }
}

fn longer(one: Queue, other: Queue) -> Queue {
    match (one, other) {
        (Queue::Waiting { jobs: a, oldest: x }, Queue::Waiting { jobs: b, oldest: y }) => {
            Queue::Waiting { jobs: a.max(b), oldest: x.max(y) }
        }
        (known @ Queue::Waiting { .. }, Queue::Unreadable | Queue::Unknown)
        | (Queue::Unreadable | Queue::Unknown, known) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::model::fleet::FleetName;
    use tidegate_engine::model::instance::InstanceId;
    use tidegate_engine::model::launch::Token;
    use tidegate_engine::model::server::Gone;

    fn at(minutes: u64) -> Timestamp {
        time::after(Timestamp::UNIX_EPOCH, Duration::from_mins(minutes))
    }

    fn bins() -> Bins {
        Bins { from: at(0), to: at(40), width: Duration::from_mins(10) }
    }

    fn server(n: u32, launched: u64, serves: Option<u64>, gone: Option<u64>) -> ServerRecord {
        ServerRecord {
            token: Token::from_stored(&n.to_string()),
            fleet: FleetName::new("app").unwrap(),
            planned_at: at(launched),
            planned_at_ec2: None,
            request: None,
            launch: LaunchState::Launched(InstanceId::new(&format!("i-{n}"))),
            launched_at: None,
            private_ip: None,
            healthy_at: None,
            in_service_at: serves.map(at),
            restarted_at: None,
            sick_since: None,
            absent_since: None,
            retirement: None,
            cleared_at: None,
            gone: gone.map(|gone| Gone { at: at(gone), how: GoneHow::Retired }),
        }
    }

    #[test]
    fn a_server_that_came_and_went_between_two_bins_is_seen() {
        let brief = server(1, 12, Some(13), Some(17));
        let long = server(2, 5, Some(25), None);
        let seen = servers(&[brief, long], &bins());
        let counts: Vec<_> = seen.iter().map(|s| (s.serving, s.starting, s.draining)).collect();
        assert_eq!(counts, [(0, 1, 0), (0, 2, 0), (0, 1, 0), (1, 0, 0)]);
    }

    #[test]
    fn the_most_that_was_wanted_stands_until_the_next_decision() {
        let decided = |minute, desired| Decided {
            at: at(minute),
            fleet: FleetName::new("app").unwrap(),
            capacity: 0,
            desired,
            target: desired,
            rules: Vec::new(),
            because: Vec::new(),
        };
        let decisions = [decided(11, 3), decided(14, 1), decided(30, 2)];
        assert_eq!(desired(&decisions, &bins()), [None, Some(3), Some(1), Some(2)]);
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let lasts = Duration::from_mins(12);
        let readings = [
            Reading::known(at(1), 7),
            Reading::known(at(2), 40),
            Reading::unreadable(at(11), "503"),
        ];
        let waiting = |jobs| Queue::Waiting { jobs, oldest: None };
        assert_eq!(
            queue(&readings, lasts, &bins()),
            [waiting(40), waiting(40), Queue::Unreadable, Queue::Unknown]
        );
    }
}
