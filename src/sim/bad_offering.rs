//! Offerings that do not work: launches in a subnet or of a type that fail, each in its own way.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::faults::Trouble;
use super::world::World;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::Pool;

/// How launches fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// No server passes its health check.
    NeverHealthy,
    /// Servers end while they are pending.
    DiePending,
    /// EC2 refuses: the type is not known in this zone.
    Refused,
    /// EC2 refuses: the subnet does not exist.
    SubnetNotFound,
    /// EC2 refuses: the role may not launch there.
    Forbidden,
    /// EC2 has no capacity.
    NoCapacity,
    /// The vCPU quota of the type's family is reached.
    Quota,
    /// EC2 does not find the key pair.
    KeyNotFound,
}

impl Failing {
    pub const ALL: [Self; 8] = [
        Self::NeverHealthy,
        Self::DiePending,
        Self::Refused,
        Self::SubnetNotFound,
        Self::Forbidden,
        Self::NoCapacity,
        Self::Quota,
        Self::KeyNotFound,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::NeverHealthy => "never-healthy",
            Self::DiePending => "die-pending",
            Self::Refused => "refused",
            Self::SubnetNotFound => "subnet-not-found",
            Self::Forbidden => "forbidden",
            Self::NoCapacity => "no-capacity",
            Self::Quota => "quota",
            Self::KeyNotFound => "key-not-found",
        }
    }

    /// Returns EC2's refusal, where there is one.
    fn fault(self) -> Option<Fault> {
        let (kind, code, message) = match self {
            Self::NeverHealthy | Self::DiePending => return None,
            Self::Refused => (
                FaultKind::Config,
                "InvalidParameterValue",
                "The requested instance type is not supported.",
            ),
            Self::SubnetNotFound => (
                FaultKind::SubnetNotFound,
                "InvalidSubnetID.NotFound",
                "The subnet ID does not exist.",
            ),
            Self::Forbidden => (
                FaultKind::Permission,
                "UnauthorizedOperation",
                "You are not authorized to perform this operation.",
            ),
            Self::NoCapacity => (
                FaultKind::NoCapacity,
                "InsufficientInstanceCapacity",
                "There is no capacity of that type in this zone at the moment.",
            ),
            Self::Quota => (
                FaultKind::Quota,
                "VcpuLimitExceeded",
                "You have requested more vCPU capacity than your current vCPU limit allows.",
            ),
            Self::KeyNotFound => {
                (FaultKind::NotFound, "InvalidKeyPair.NotFound", "The key pair does not exist.")
            }
        };
        Some(Fault::new(kind, code, message))
    }
}

impl FromStr for Failing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|failing| failing.as_str() == text);
        found.ok_or_else(|| format!("no launch fails by `{text}`"))
    }
}

/// What fails, by the name of a subnet, of a type, or of both as `TYPE in SUBNET`; `*` is everything.
pub(super) type BadOfferings = BTreeMap<String, Failing>;

/// How often and for how long [`Trouble::BadOfferings`] strikes each subnet.
const EVERY: Duration = Duration::from_hours(6);
const LASTS: Duration = Duration::from_hours(2);

impl World {
    /// Lets launches of the named type, in the named subnet or in `TYPE in SUBNET` fail from now on, or
    /// succeed again.
    pub fn spoil(&mut self, what: &str, how: Option<Failing>) {
        match how {
            Some(how) => self.bad_offerings.insert(what.to_owned(), how),
            None => self.bad_offerings.remove(what),
        };
    }

    /// Returns how a launch in this pool fails now, if it does.
    pub(super) fn fails(&self, pool: &Pool) -> Option<Failing> {
        let whole = pool.to_string();
        let names = [
            Some("*"),
            Some(whole.as_str()),
            pool.instance_type.as_deref(),
            pool.subnet.as_deref(),
        ];
        let spoilt = names.into_iter().flatten().find_map(|name| self.bad_offerings.get(name));
        spoilt.copied().or_else(|| {
            let subnet = pool.subnet.as_deref()?;
            let ways = [Failing::NeverHealthy, Failing::DiePending, Failing::Refused];
            let struck = |way: &Failing| {
                let whose = format!("{subnet} {}", way.as_str());
                self.spell(Trouble::BadOfferings, &whose, EVERY, LASTS)
            };
            ways.into_iter().find(struck)
        })
    }

    /// Returns EC2's refusal of a launch in this pool.
    pub(super) fn refuses(&self, pool: &Pool) -> Option<Fault> {
        self.fails(pool).and_then(Failing::fault)
    }
}
