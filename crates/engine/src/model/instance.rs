//! An EC2 instance as EC2 describes it. Absent fields are unknown, never assumed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fleet::FleetName;
use super::time::Timestamp;

/// `i-0123…`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// EC2's instance state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
    /// A state this version does not know: it counts as alive and is never terminated.
    Unknown,
}

impl Lifecycle {
    /// Whether the instance is on its way out for good, or out.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }

    /// Whether the instance holds EC2 capacity: what `max` and `limits` count.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Unknown)
    }

    /// EC2's own word for the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

/// One row of DescribeInstances.
#[expect(
    clippy::struct_field_names,
    reason = "`type` is a keyword, and the field's name in EC2 is InstanceType"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: InstanceId,
    pub lifecycle: Lifecycle,
    /// EC2's `LaunchTime`: the last start. Billing and minimum uptime count from it.
    pub launched_at: Option<Timestamp>,
    pub instance_type: Option<Arc<str>>,
    pub subnet: Option<Arc<str>>,
    /// The Availability Zone. Several subnets may be in one.
    pub zone: Option<Arc<str>>,
    pub private_ip: Option<Arc<str>>,
    pub public_ip: Option<Arc<str>>,
    pub private_dns: Option<Arc<str>>,
    /// The client token of the RunInstances call that made it. Nobody can set it afterwards.
    pub token: Option<Arc<str>>,
    pub tags: OurTags,
    /// Why EC2 changed the state, in its own words.
    pub state_reason: Option<Arc<str>>,
    /// The last that was attached to it.
    pub attached: Option<Attachment>,
    /// Whether its metadata service shows its tags; `None`: EC2 does not say.
    pub metadata_tags: Option<bool>,
}

/// What our own tags on an instance say. Tags can be written by anybody who may create tags, so
/// they prove nothing without the client token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OurTags {
    pub install: Option<Arc<str>>,
    pub fleet: Option<FleetName>,
    /// The value of `tidegate:adopted`: the install and the fleet that it was handed over to.
    pub adopted: Option<Arc<str>>,
    /// `tidegate:keep` is present: a person asked that this instance is not terminated.
    pub keep: bool,
    /// The value of `tidegate:drain`: the deadline of a drain that it was told.
    pub drain: Option<Arc<str>>,
    /// `aws:autoscaling:groupName` is present: an Auto Scaling group owns it.
    pub auto_scaling_group: bool,
}

/// A volume or a network interface that an instance has and was not born with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// `vol-…` or `eni-…`.
    pub id: Arc<str>,
    /// How long after the instance was first launched it was attached.
    pub after: Duration,
}
