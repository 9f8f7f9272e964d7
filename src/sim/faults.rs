//! What can go wrong in the imagined cloud, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// One kind of trouble. Several combine freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Instances take three times as long to serve.
    SlowBoot,
    /// The first instance type asked for is never to be had.
    NoCapacity,
    /// The queue endpoint answers with an error page, half of the time for minutes on end.
    DeadQueue,
    /// Every third answer to a launch is lost after the launch took effect.
    LostReplies,
    /// Every third call is refused for being one too many.
    Throttling,
    /// Half of the instances never pass their health check.
    NeverHealthy,
    /// A third of the instances die while they boot.
    DieYoung,
    /// Somebody terminates an instance at the console every hour or so.
    ConsoleKill,
    /// EC2's list fails every fifth time.
    BlindSpots,
    /// For twenty minutes of every hundred EC2's list lacks most instances, and says nothing of it.
    PartialList,
    /// For ten minutes of every two hours no page answers, although every server works.
    AllSick,
    /// New instances are missing from EC2's list for a minute.
    LateListing,
    /// Half of the instances take two hours to shut down.
    SlowEnd,
    /// The daemon's clock jumps: some minutes ahead and behind, and now and then two hours ahead.
    WrongClock,
    /// For twenty minutes of every two hours the credentials are refused for every call that changes
    /// something.
    StaleCredentials,
    /// The image's second volume outlives its server.
    KeptVolumes,
    /// Each type is out of capacity in each subnet for an hour of every three, at hours of its own.
    ScarcePools,
    /// The account may have no more than six instances.
    Quota,
    /// For half an hour of every four, nothing starts in one subnet and no page in it answers.
    ZoneOutage,
    /// AWS takes an instance back every hour or so, as it does with spot instances.
    SpotReclaim,
    /// Somebody stops an instance every two hours or so, and terminates it half an hour later.
    ConsoleStop,
    /// Somebody takes our tag off an instance, or tags it to be kept, every hour or so, and puts that
    /// right half an hour later.
    ConsoleTag,
    /// Somebody takes a server out of its load balancer every hour or so.
    ConsoleDeregister,
    /// The load balancer's API fails every fifth time, and for ten minutes of every two hours always.
    DeadBalancer,
    /// For a quarter of each hour the queue endpoint says what it said at the beginning of it, or that
    /// nobody waits, or a thousand times too many, or counts from zero again.
    LyingQueue,
    /// For twenty minutes of every three hours EC2 shows nothing of one subnet, and no list of all.
    ZoneUnlisted,
    /// For fifteen minutes of every two hours EC2's list is ten minutes old.
    OldList,
    /// Half of the servers do not drain as they should: they take jobs for a while, never power off,
    /// power off at once, reboot, or ignore the signal.
    OddReceivers,
    /// A changed tag shows on the server up to 40 s late.
    LateTags,
    /// For twenty minutes of every two hours tags may not be changed.
    RefusedTags,
    /// In each subnet, for two hours of every six, launches are refused, die while they are pending, or
    /// never pass their health check.
    BadOfferings,
}

impl Trouble {
    pub const ALL: [Self; 31] = [
        Self::SlowBoot,
        Self::NoCapacity,
        Self::DeadQueue,
        Self::LostReplies,
        Self::Throttling,
        Self::NeverHealthy,
        Self::DieYoung,
        Self::ConsoleKill,
        Self::BlindSpots,
        Self::PartialList,
        Self::AllSick,
        Self::LateListing,
        Self::SlowEnd,
        Self::WrongClock,
        Self::StaleCredentials,
        Self::KeptVolumes,
        Self::ScarcePools,
        Self::Quota,
        Self::ZoneOutage,
        Self::SpotReclaim,
        Self::ConsoleStop,
        Self::ConsoleTag,
        Self::ConsoleDeregister,
        Self::DeadBalancer,
        Self::LyingQueue,
        Self::ZoneUnlisted,
        Self::OldList,
        Self::OddReceivers,
        Self::LateTags,
        Self::RefusedTags,
        Self::BadOfferings,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::SlowBoot => "slow-boot",
            Self::NoCapacity => "no-capacity",
            Self::DeadQueue => "dead-queue",
            Self::LostReplies => "lost-replies",
            Self::Throttling => "throttling",
            Self::NeverHealthy => "never-healthy",
            Self::DieYoung => "die-young",
            Self::ConsoleKill => "console-kill",
            Self::BlindSpots => "blind-spots",
            Self::PartialList => "partial-list",
            Self::AllSick => "all-sick",
            Self::LateListing => "late-listing",
            Self::SlowEnd => "slow-end",
            Self::WrongClock => "wrong-clock",
            Self::StaleCredentials => "stale-credentials",
            Self::KeptVolumes => "kept-volumes",
            Self::ScarcePools => "scarce-pools",
            Self::Quota => "quota",
            Self::ZoneOutage => "zone-outage",
            Self::SpotReclaim => "spot-reclaim",
            Self::ConsoleStop => "console-stop",
            Self::ConsoleTag => "console-tag",
            Self::ConsoleDeregister => "console-deregister",
            Self::DeadBalancer => "dead-balancer",
            Self::LyingQueue => "lying-queue",
            Self::ZoneUnlisted => "zone-unlisted",
            Self::OldList => "old-list",
            Self::OddReceivers => "odd-receivers",
            Self::LateTags => "late-tags",
            Self::RefusedTags => "refused-tags",
            Self::BadOfferings => "bad-offerings",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|trouble| trouble.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("no fault is called `{text}`; there are {known}")
        })
    }
}

pub type Troubles = BTreeSet<Trouble>;

/// How often troubles come, in multiples of what each says of itself; once as often where it is not
/// named.
#[derive(Debug, Clone, Default)]
pub struct Severity(BTreeMap<Trouble, f64>);

impl Severity {
    pub fn set(&mut self, trouble: Trouble, times: f64) {
        self.0.insert(trouble, times);
    }

    pub fn of(&self, trouble: Trouble) -> f64 {
        self.0.get(&trouble).copied().unwrap_or(1.0)
    }
}
