//! Load balancers, and what one says of a member.

use std::fmt;

/// A classic load balancer by name, or a target group by name or ARN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Balancer {
    Classic(String),
    TargetGroup(String),
}

impl fmt::Display for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classic(name) => write!(f, "load balancer {name}"),
            Self::TargetGroup(name) => write!(f, "target group {name}"),
        }
    }
}

/// What the balancer says of one instance. An instance it does not mention is not a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// Registered and receiving traffic, by the balancer's own word.
    InService,
    /// Registered, first health checks still running.
    Registering,
    /// Registered, and failing the balancer's health check; its reason in its own words.
    OutOfService(String),
    /// Deregistered, connections still running out.
    Draining,
    /// The balancer does not use the target (no listener, zone disabled): a fault of the
    /// configuration, never of the instance.
    Unused(String),
    /// The balancer could not say, or said something this version does not know.
    Unknown(String),
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InService => f.write_str("in service"),
            Self::Registering => f.write_str("registering"),
            Self::OutOfService(why) => write!(f, "out of service: {why}"),
            Self::Draining => f.write_str("draining"),
            Self::Unused(why) => write!(f, "unused: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}
