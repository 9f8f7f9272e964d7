//! The graceful drain: how the servers of a fleet are told to finish their jobs, and what came of it.
//! Times are by EC2's clock, which a step of the host's clock does not move.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::instance::InstanceId;
use super::reading::SecretHeader;
use super::time::{self, Timestamp};

/// The durations of so many drains are kept.
const DURATIONS_KEPT: usize = 20;

/// How long after a drain that was not received the next one is tried.
const TRIED_AGAIN_AFTER: Duration = Duration::from_mins(15);

/// So many ignored drains in a row block scale-in.
const IGNORED_AT_MOST: u32 = 2;

/// A fleet's `drain`: how its servers are told to finish their jobs, and how long they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainTerms {
    pub carrier: Carrier,
    /// From the first signal to the termination at the latest.
    pub deadline: Duration,
    /// Whether a server takes up its work again when its drain is cancelled.
    pub cancel: bool,
}

/// What carries the signal to the server. The tag is written with either carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// The server reads the tag `tidegate:drain` from its metadata service.
    Tag,
    /// An HTTP receiver, which passes the signal on to the job system.
    Http(Receiver),
}

/// Where a drain is posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// With `{instance_id}`, `{private_ip}` or `{private_dns}` still in it.
    pub url: String,
    pub header: Option<SecretHeader>,
}

impl Carrier {
    /// Returns how long after the signal was received a server may still take a job. The shipped
    /// receiver reads the tag every 10 s, and EC2 may take a minute to show a changed tag.
    pub fn settles_after(&self) -> Duration {
        match self {
            Self::Tag => Duration::from_secs(90),
            Self::Http(_) => Duration::from_secs(30),
        }
    }
}

/// One POST to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainPost {
    pub receiver: Receiver,
    pub instance: InstanceId,
    pub private_ip: Option<Arc<str>>,
    pub private_dns: Option<Arc<str>>,
    pub deadline: Timestamp,
    pub reason: String,
    /// `false`: the drain is cancelled.
    pub drain: bool,
}

/// The drain of one server, written down before its first signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// When the load balancer accepted the deregistration; `None`: the server was not registered.
    pub deregistered_at: Option<Timestamp>,
    /// When the first signal was written down.
    pub begun_at: Timestamp,
    /// When the server is terminated at the latest.
    pub deadline: Timestamp,
    /// The last attempt to signal.
    pub signalled_at: Timestamp,
    pub delivery: Delivery,
    /// Whether the instance may carry the tag: some CreateTags was not refused for certain.
    pub may_be_tagged: bool,
    /// Why the server may be terminated, once that is known.
    pub end: Option<DrainEnd>,
}

/// Whether the signal has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// No attempt has succeeded yet; with the cause of the last failure.
    Pending { last_fault: Option<String> },
    /// EC2 refused the tag for certain.
    Refused { why: String },
    /// EC2 accepted the tag, and the receiver answered 2xx where there is one. `nothing_runs`: it has
    /// answered that no job runs, after the signal had settled.
    Received { at: Timestamp, nothing_runs: bool },
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainEnd {
    /// EC2 reports the server stopping, stopped or gone.
    PoweredOff,
    /// The receiver answered `"running": 0`.
    NothingRuns,
    /// A reading that was begun after the signal had settled shows no job on the server.
    NotBusy,
    /// The deadline came, and the instance still ran.
    Deadline,
    /// An operator wants the server terminated now.
    Operator,
}

impl DrainEnd {
    pub const ALL: [Self; 5] =
        [Self::PoweredOff, Self::NothingRuns, Self::NotBusy, Self::Deadline, Self::Operator];

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PoweredOff => "powered_off",
            Self::NothingRuns => "nothing_runs",
            Self::NotBusy => "not_busy",
            Self::Deadline => "deadline",
            Self::Operator => "operator",
        }
    }
}

impl Drain {
    pub fn begin(
        deregistered_at: Option<Timestamp>,
        terms: &DrainTerms,
        ec2_now: Timestamp,
    ) -> Self {
        Self {
            deregistered_at,
            begun_at: ec2_now,
            deadline: time::after(ec2_now, terms.deadline),
            signalled_at: ec2_now,
            delivery: Delivery::Pending { last_fault: None },
            may_be_tagged: true,
            end: None,
        }
    }

    pub fn received_at(&self) -> Option<Timestamp> {
        match self.delivery {
            Delivery::Received { at, .. } => Some(at),
            Delivery::Pending { .. } | Delivery::Refused { .. } => None,
        }
    }
}

/// A drain that was cancelled after its signal: the server is told to go on, and counts as capacity
/// on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The deadline that the signal named.
    pub deadline: Timestamp,
    pub cancelled_at: Timestamp,
    /// The last attempt to take the signal back.
    pub asked_at: Timestamp,
    /// Whether the server had received the signal.
    pub received: bool,
    /// When the signal was taken back for certain.
    pub done_at: Option<Timestamp>,
    /// Why the signal was never received, if that is why the drain was cancelled.
    pub undelivered: Option<String>,
}

/// What a fleet remembers of its drains.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrainRecord {
    /// The terms in force when the fleet was last in the policy.
    pub terms: Option<Arc<DrainTerms>>,
    /// How long the last drains took that ended by themselves, oldest first.
    pub took: VecDeque<Duration>,
    /// Whether a server has ended by itself under these terms.
    pub heeded: bool,
    /// Drains that reached their deadline since one ended by itself.
    pub ignored: u32,
    /// The last drain that could not be delivered, until one is.
    pub undelivered: Option<Undelivered>,
    /// How long servers with jobs drain.
    pub busy: BusyDrains,
}

/// How long drains take on servers that have jobs, old ones fading. A drain is counted from the time by
/// which an idle server would be gone: what a job takes from then on does not depend on what it has taken
/// so far, as long as run times are exponential.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BusyDrains {
    /// Seconds that servers have spent draining, those whose drain was cancelled included.
    pub seconds: f64,
    /// The drains that ended.
    pub ended: f64,
}

/// A server that is gone so soon after its drain began had no job: its receiver reads the tag every 10 s,
/// and a tick shows that it is gone.
const IDLE_GONE_WITHIN: Duration = Duration::from_secs(90);

/// How many drains `BusyDrains` reaches back.
const DRAINS_REMEMBERED: f64 = 30.0;

/// Drains weigh as much once four have ended.
const DRAINS_NEEDED: f64 = 3.7;

impl BusyDrains {
    /// Learns from a drain that ended when the jobs did.
    pub fn ended(&mut self, took: Duration) {
        if took > IDLE_GONE_WITHIN {
            let kept = 1.0 - 1.0 / DRAINS_REMEMBERED;
            self.seconds = self.seconds * kept + counted(took);
            self.ended = self.ended * kept + 1.0;
        }
    }

    /// Learns from a drain that was given up.
    pub fn given_up(&mut self, after: Duration) {
        self.seconds += counted(after);
    }

    /// Returns the mean in seconds, once four drains have ended. `open`: how long those have lasted that are
    /// under way.
    pub fn mean(&self, open: impl Iterator<Item = Duration>) -> Option<f64> {
        let spent = self.seconds + open.map(counted).sum::<f64>();
        (self.ended >= DRAINS_NEEDED).then(|| spent / self.ended)
    }
}

fn counted(took: Duration) -> f64 {
    took.saturating_sub(IDLE_GONE_WITHIN).as_secs_f64()
}

/// A drain that no server received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub at: Timestamp,
    pub instance: InstanceId,
    pub why: String,
}

impl DrainRecord {
    /// Takes in the fleet's terms. What was learned under other terms says nothing of these.
    pub fn adopt(&mut self, terms: Option<&Arc<DrainTerms>>) {
        if self.terms.as_ref() != terms {
            *self = Self { terms: terms.cloned(), ..Self::default() };
        }
    }

    /// Learns from a drain that has ended.
    pub fn learn(&mut self, took: Duration, end: DrainEnd) {
        match end {
            DrainEnd::PoweredOff | DrainEnd::NothingRuns | DrainEnd::NotBusy => {
                self.took.push_back(took);
                while self.took.len() > DURATIONS_KEPT {
                    self.took.pop_front();
                }
                self.heeded = true;
                self.ignored = 0;
                self.busy.ended(took);
            }
            DrainEnd::Deadline => {
                self.ignored = self.ignored.saturating_add(1);
                self.busy.given_up(took);
            }
            DrainEnd::Operator => self.busy.given_up(took),
        }
    }

    /// Returns the median duration of the last drains; zero while none has ended.
    pub fn usual(&self) -> Duration {
        let mut took: Vec<Duration> = self.took.iter().copied().collect();
        took.sort_unstable();
        let middle = took.len().checked_div(2).unwrap_or(0);
        took.get(middle).copied().unwrap_or_default()
    }

    /// Returns how long before the end of a paid hour a server is signalled for its jobs' sake: the usual
    /// duration of a drain without its whole hours, which are paid for anyway.
    pub fn lead(&self) -> Duration {
        Duration::from_secs(self.usual().as_secs() % 3600)
    }

    /// Returns from when on a drain is tried again after one that was not received.
    pub(crate) fn tried_again_at(&self) -> Option<Timestamp> {
        self.undelivered.as_ref().map(|last| time::after(last.at, TRIED_AGAIN_AFTER))
    }

    /// Returns whether so many drains were ignored that scale-in is blocked.
    pub fn is_ignored(&self) -> bool {
        self.ignored >= IGNORED_AT_MOST
    }
}

/// Returns the value of the tag: the deadline to the second, in UTC.
pub fn tag_value(deadline: Timestamp) -> String {
    deadline.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_the_last_drains_and_ignored_ones_in_a_row() {
        let mut record = DrainRecord::default();
        assert_eq!(record.usual(), Duration::ZERO);
        for minutes in 1..=25 {
            record.learn(Duration::from_mins(minutes), DrainEnd::PoweredOff);
        }
        assert_eq!(record.took.len(), DURATIONS_KEPT);
        assert_eq!(record.usual(), Duration::from_mins(16));
        record.learn(Duration::from_mins(90), DrainEnd::Deadline);
        assert!(!record.is_ignored());
        record.learn(Duration::from_mins(90), DrainEnd::Deadline);
        assert!(record.is_ignored());
        assert_eq!(record.usual(), Duration::from_mins(16), "an ignored drain says nothing");
        record.learn(Duration::from_mins(3), DrainEnd::NotBusy);
        assert!(!record.is_ignored());
        let terms =
            DrainTerms { carrier: Carrier::Tag, deadline: Duration::from_mins(30), cancel: true };
        record.adopt(Some(&Arc::new(terms)));
        assert!(!record.heeded && record.took.is_empty());
    }

    #[test]
    fn tag_value_is_a_deadline_that_parses_again() {
        let deadline: Timestamp = "2026-03-02T08:00:07.25Z".parse().unwrap();
        assert_eq!(tag_value(deadline), "2026-03-02T08:00:07Z");
        assert!(tag_value(deadline).parse::<Timestamp>().is_ok());
    }
}
