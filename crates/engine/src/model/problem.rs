//! What needs a person: the kinds of problems, and the key under which each open problem is stored.

use std::fmt;

use super::fleet::FleetName;

/// Declares [`ProblemKind`] from one row for each kind: its variant, its stored spelling, its severity.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $spelling:literal, $severity:ident;)*) => {
        /// The kind of a problem. The spelling is stored, exported and sent: it never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Returns the stored spelling, which is also the word of the runbook and of the metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $spelling,)*
                }
            }

            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$kind => Severity::$severity,)*
                }
            }
        }
    };
}

kinds! {
    /// The clock of this host is off.
    Clock = "clock", Emergency;
    /// EC2's list of instances failed, or is not believed.
    InventoryUnusable = "ec2-list", Emergency;
    /// EC2's list of instances is incomplete or old.
    InventoryDegraded = "ec2-doubt", Warning;
    /// An instance carries the tag of this install and is not provably its own.
    UnownedInstance = "stranger", Warning;
    /// An edit of the policy file waits for `tidegate approve`.
    Approval = "approval", Warning;
    /// Servers run for a fleet that is not in the policy file.
    Unmanaged = "unmanaged", Warning;
    QueueUnreadable = "queue", Warning;
    /// The load balancer does not exist, or its service does not answer.
    Balancer = "balancer", Warning;
    InstanceLimit = "limit-instances", Warning;
    LaunchLimit = "limit-launch", Warning;
    TerminationLimit = "limit-terminate", Warning;
    /// The launch breaker of a fleet is open.
    LaunchesStopped = "launches-stopped", Emergency;
    /// Launches fail in some offerings, and work in others.
    LaunchesFailing = "launches-failing", Warning;
    NoCapacity = "no-capacity", Emergency;
    /// More than half of a fleet is unhealthy at once.
    MostlyUnhealthy = "mostly-sick", Emergency;
    /// A plan broke a rule of the audit, or the rules of a fleet panicked.
    Audit = "audit", Emergency;
    /// The policy names another load balancer than the servers are registered with.
    BalancerChanged = "balancer-changed", Warning;
    Credentials = "credentials", Emergency;
    /// A call to AWS keeps failing.
    Call = "call", Warning;
    Stopped = "stopped", Warning;
    Unhealthy = "sick", Warning;
    /// A server in service fails its health check again and again.
    Flapping = "flapping", Warning;
    /// Our health check and the load balancer's disagree.
    HealthConflict = "disputed", Warning;
    /// A volume or network interface was attached to a server.
    Attached = "attached", Warning;
    /// An order to terminate a server waits.
    OrderWaits = "order-waits", Warning;
    /// A kept server was taken out of its load balancer.
    TakenOut = "taken-out", Warning;
    NotInService = "not-in-service", Warning;
    Booting = "booting", Warning;
    /// A launch has no certain answer.
    Unanswered = "unanswered", Warning;
    /// A server is still there after several calls of TerminateInstances.
    Termination = "termination", Warning;
    ShuttingDown = "shutting-down", Warning;
    /// The tag `tidegate:fleet` of a server names another fleet than the journal.
    Retagged = "retagged", Warning;
    /// Volumes that terminated servers left behind.
    Volumes = "volumes", Warning;
    /// EC2's own status check of a server fails.
    Impaired = "impaired", Warning;
    /// AWS announced an event for an instance.
    ScheduledEvent = "event", Warning;
    JobsAtRisk = "jobs-at-risk", Warning;
    /// The queue reports jobs on a server that is not known.
    BusyElsewhere = "busy-elsewhere", Warning;
    DrainUndelivered = "drain-undelivered", Warning;
    DrainIgnored = "drain-ignored", Warning;
    /// The metadata service of servers does not show tags.
    NoMetadataTags = "no-metadata-tags", Warning;
    /// The deregistration delay of a load balancer does not fit the policy.
    DeregistrationDelay = "drain", Warning;
    /// Another daemon runs with the same install name.
    DuplicateDaemon = "twin", Emergency;
    /// Servers were in EC2 and not in the journal.
    ServersFound = "servers-found", Warning;
    StateRebuilt = "state-rebuilt", Warning;
    /// The last tick took too long.
    SlowTick = "slow", Warning;
    PolicyRefused = "policy-refused", Warning;
    /// A route of `notify` delivers nothing.
    Undelivered = "notify", Warning;
    /// Other users may write the policy file.
    PolicyWritable = "policy-writable", Warning;
    /// The port for the page and the metrics cannot be opened.
    Listen = "listen", Warning;
    /// The journal cannot be written. The journal cannot keep this problem.
    StateDatabase = "state-database", Emergency;
}

/// How soon a person is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Now: servers are wrong, or will be, and the daemon cannot mend it.
    Emergency,
    /// When there is time.
    Warning,
}

impl ProblemKind {
    /// Returns the kind with this stored spelling.
    pub fn parse(spelling: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == spelling)
    }

    /// Returns the anchor of the kind in `docs/operations.md`.
    pub fn runbook_anchor(self) -> String {
        format!("problem-{}", self.as_str())
    }

    /// Returns the key of the problem of this kind with `subject`.
    pub fn about(self, subject: impl fmt::Display) -> ProblemKey {
        ProblemKey { spelling: format!("{}:{subject}", self.as_str()), kind: Some(self) }
    }
}

/// What a problem is about: its kind and, where there can be several of the kind, its subject. It is
/// the same for as long as the problem is open, and is stored as `KIND` or `KIND:SUBJECT`.
///
/// Keys sort by their spelling, so that lists keep their order on every surface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProblemKey {
    spelling: String,
    /// `None`: another version of tidegate wrote the key.
    kind: Option<ProblemKind>,
}

impl ProblemKey {
    /// Reads a stored key. A key with an unknown kind is kept as it is.
    pub fn parse(spelling: &str) -> Self {
        let mut key = Self { spelling: spelling.to_owned(), kind: None };
        key.kind = ProblemKind::parse(key.word());
        key
    }

    pub fn as_str(&self) -> &str {
        &self.spelling
    }

    /// Returns the kind, if this version knows it.
    pub fn kind(&self) -> Option<ProblemKind> {
        self.kind
    }

    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind == Some(kind)
    }

    /// Returns whether a person is needed now.
    pub fn is_emergency(&self) -> bool {
        self.kind.is_some_and(|kind| kind.severity() == Severity::Emergency)
    }

    /// Returns the spelling of the kind, known or not.
    pub fn word(&self) -> &str {
        self.spelling.split_once(':').map_or(&*self.spelling, |(word, _)| word)
    }

    /// Returns what distinguishes the problem from others of its kind.
    pub fn subject(&self) -> Option<&str> {
        self.spelling.split_once(':').map(|(_, subject)| subject)
    }
}

impl From<ProblemKind> for ProblemKey {
    fn from(kind: ProblemKind) -> Self {
        Self { spelling: kind.as_str().to_owned(), kind: Some(kind) }
    }
}

impl fmt::Display for ProblemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelling)
    }
}

/// A problem that one tick or the daemon found. The journal adds since when it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub key: ProblemKey,
    pub fleet: Option<FleetName>,
    pub text: String,
}

impl Problem {
    pub fn new(
        key: impl Into<ProblemKey>,
        fleet: Option<&FleetName>,
        text: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), fleet: fleet.cloned(), text: text.into() }
    }

    /// Creates the problem of which a fleet has at most one.
    pub fn of_fleet(kind: ProblemKind, fleet: &FleetName, text: impl Into<String>) -> Self {
        Self::new(kind.about(fleet), Some(fleet), text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The spellings of version 0.1.0, which are in journals, alerts and dashboards.
    const STORED: &str = "approval attached audit balancer balancer-changed booting busy-elsewhere \
         call clock credentials disputed drain drain-ignored drain-undelivered ec2-doubt ec2-list \
         event flapping impaired jobs-at-risk launches-failing launches-stopped limit-instances \
         limit-launch limit-terminate listen mostly-sick no-capacity no-metadata-tags \
         not-in-service notify order-waits policy-refused policy-writable queue retagged \
         servers-found shutting-down sick slow state-database state-rebuilt stopped stranger \
         taken-out termination twin unanswered unmanaged volumes";

    #[test]
    fn kinds_keep_their_stored_spellings() {
        let kinds: BTreeSet<&str> = ProblemKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(kinds.len(), ProblemKind::ALL.len(), "two kinds have one spelling");
        assert_eq!(kinds, STORED.split_whitespace().collect());
    }

    #[test]
    fn emergencies_are_those_of_version_0_1_0() {
        let urgent = ProblemKind::ALL.iter().filter(|kind| kind.severity() == Severity::Emergency);
        let urgent: Vec<&str> = urgent.map(|kind| kind.as_str()).collect();
        let expected = [
            "clock",
            "ec2-list",
            "launches-stopped",
            "no-capacity",
            "mostly-sick",
            "audit",
            "credentials",
            "twin",
            "state-database",
        ];
        assert_eq!(urgent, expected);
    }

    #[test]
    fn keys_are_read_back_as_they_were_written() {
        for kind in ProblemKind::ALL.iter().copied() {
            let alone = ProblemKey::from(kind);
            let about = kind.about("app:Classic load balancer web");
            for key in [&alone, &about] {
                assert_eq!(ProblemKey::parse(key.as_str()), *key);
                assert!(key.is(kind) && key.word() == kind.as_str(), "{key}");
            }
            assert_eq!(alone.subject(), None);
            assert_eq!(about.subject(), Some("app:Classic load balancer web"));
        }
    }

    #[test]
    fn unknown_kind_is_kept_as_it_is() {
        for (spelling, word) in
            [("spot-lost:i-1", "spot-lost"), ("", ""), (":", ""), ("Clock", "Clock")]
        {
            let key = ProblemKey::parse(spelling);
            assert_eq!((key.as_str(), key.kind(), key.word()), (spelling, None, word));
            assert!(!key.is_emergency());
        }
    }

    #[test]
    fn keys_sort_by_their_spelling() {
        let spellings = ["drain-ignored:job", "drain:job", "future:x", "queue:job", "sick:i-1"];
        let mut keys: Vec<ProblemKey> =
            spellings.iter().rev().map(|s| ProblemKey::parse(s)).collect();
        keys.sort();
        let sorted: Vec<&str> = keys.iter().map(ProblemKey::as_str).collect();
        assert_eq!(sorted, spellings);
    }
}
