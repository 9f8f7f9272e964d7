//! How the launches of a fleet go in each of its offerings, and what holds its launches back.

use std::fmt;
use std::sync::Arc;

use super::capacity::Capacity;
use super::fault::Fault;
use super::fleet::Pool;
use super::time::Timestamp;

/// One offering of a fleet, with the history of its launches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferingView {
    pub pool: Pool,
    /// Launches in it whose outcome is open.
    pub under_way: Capacity,
    /// When the latest of them was planned.
    pub last_under_way: Option<Timestamp>,
    /// When the latest launch was planned that passed its health check, under whatever settings.
    pub proven_at: Option<Timestamp>,
    pub track: TrackRecord,
}

/// How launches in an offering went under the fleet's present settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackRecord {
    /// No launch has had an outcome.
    Unproven,
    /// The latest outcome is a server that passed its health check.
    Proven,
    Failing(Failures),
}

/// Launches that failed in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    pub count: Capacity,
    /// How the last one failed.
    pub last: String,
    /// When the last one was planned.
    pub planned_at: Timestamp,
    /// Until then every other offering is preferred.
    pub backs_off_until: Timestamp,
    /// Whether EC2 did not find something that may only be too new to be shown.
    pub may_show_yet: bool,
    /// Whether the offering counts as broken: it is launched from only as a probe.
    pub broken: bool,
    /// Before this time the offering is not asked again, even where there is no other. In the past
    /// for most failures.
    pub retry_at: Timestamp,
}

impl OfferingView {
    pub fn failures(&self) -> Option<&Failures> {
        match &self.track {
            TrackRecord::Failing(failures) => Some(failures),
            TrackRecord::Unproven | TrackRecord::Proven => None,
        }
    }

    pub fn is_broken(&self) -> bool {
        self.failures().is_some_and(|failures| failures.broken)
    }
}

/// The launch breaker: a fleet whose offerings are all broken launches nothing but probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breaker {
    Closed {
        failures: Capacity,
    },
    /// Open: one probe launch is tried at `probe_at`.
    Open {
        failures: Capacity,
        last: String,
        probe_at: Timestamp,
    },
    /// Open, and the probe is under way.
    Probing {
        failures: Capacity,
        last: String,
    },
}

/// A refusal for want of capacity, addresses or quota, and until when it is respected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    pub scope: BackoffScope,
    pub until: Timestamp,
    pub fault: Fault,
}

/// What a refusal says nothing can be launched from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackoffScope {
    Pool(Pool),
    Subnet(Arc<str>),
    /// The instance types that share a quota.
    Quota(QuotaFamily),
    Account,
}

impl BackoffScope {
    pub fn covers(&self, pool: &Pool) -> bool {
        match self {
            Self::Account => true,
            Self::Quota(family) => QuotaFamily::of(pool.instance_type.as_deref()) == *family,
            Self::Subnet(subnet) => pool.subnet.as_ref() == Some(subnet),
            Self::Pool(refused) => refused == pool,
        }
    }
}

/// The instance types that share one vCPU quota. EC2 has a quota of each family for On-Demand
/// Instances and another for Spot Instances.
///
/// <https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaFamily {
    /// A, C, D, H, I, M, R, T and Z.
    Standard,
    Dl,
    F,
    /// G and VT.
    G,
    HighMemory,
    Hpc,
    Inf,
    Mac,
    P,
    Trn,
    X,
    /// The launch template names the type.
    OfTemplate,
}

impl QuotaFamily {
    pub fn of(instance_type: Option<&str>) -> Self {
        let Some(instance_type) = instance_type else { return Self::OfTemplate };
        let letters = instance_type.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or("");
        match letters {
            "dl" => Self::Dl,
            "f" => Self::F,
            "g" | "gr" | "vt" => Self::G,
            "u" => Self::HighMemory,
            "hpc" => Self::Hpc,
            "inf" => Self::Inf,
            "mac" => Self::Mac,
            "p" => Self::P,
            "trn" => Self::Trn,
            "x" => Self::X,
            _ => Self::Standard,
        }
    }
}

impl fmt::Display for QuotaFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "Standard (A, C, D, H, I, M, R, T, Z)",
            Self::Dl => "DL",
            Self::F => "F",
            Self::G => "G and VT",
            Self::HighMemory => "High Memory",
            Self::Hpc => "HPC",
            Self::Inf => "Inf",
            Self::Mac => "Mac",
            Self::P => "P",
            Self::Trn => "Trn",
            Self::X => "X",
            Self::OfTemplate => "the template's",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::QuotaFamily;

    #[test]
    fn types_share_the_quota_of_their_family() {
        for (family, types) in [
            (
                QuotaFamily::Standard,
                ["t3.small", "m5.large", "c6g.xlarge", "i4i.large", "im4gn.large"],
            ),
            (
                QuotaFamily::G,
                ["g4dn.xlarge", "g5.xlarge", "gr6.4xlarge", "vt1.3xlarge", "g6e.xlarge"],
            ),
            (
                QuotaFamily::P,
                ["p3.2xlarge", "p4d.24xlarge", "p5.48xlarge", "p2.xlarge", "p5en.48xlarge"],
            ),
            (
                QuotaFamily::X,
                ["x1.16xlarge", "x1e.xlarge", "x2gd.medium", "x2idn.16xlarge", "x8g.medium"],
            ),
        ] {
            for name in types {
                assert_eq!(QuotaFamily::of(Some(name)), family, "{name}");
            }
        }
        assert_eq!(QuotaFamily::of(Some("u-6tb1.metal")), QuotaFamily::HighMemory);
        assert_eq!(QuotaFamily::of(Some("u7i-12tb.224xlarge")), QuotaFamily::HighMemory);
        assert_eq!(QuotaFamily::of(None), QuotaFamily::OfTemplate);
    }
}
