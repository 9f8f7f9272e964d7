//! What EC2 says of an instance beside its state: that its own check fails, and what AWS is about to
//! do to it.

use jiff::tz::TimeZone;

use super::instance::InstanceId;
use super::time::{self, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub instance: InstanceId,
    pub sign: Sign,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// EC2's own status check fails.
    Impaired { part: Part, since: Option<Timestamp> },
    /// A scheduled event that is still to come: `instance-retirement`, say.
    Event { code: String, not_before: Option<Timestamp> },
}

/// What a status check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// AWS's side: the host, its power and its network.
    System,
    /// The instance's own: its kernel, its network settings, its disk.
    Instance,
}

impl Sign {
    /// Describes the warning, with its time in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        match self {
            Self::Impaired { part, since } => {
                let part = match part {
                    Part::System => "system",
                    Part::Instance => "instance",
                };
                let since = since.map(|since| format!(" since {}", time::local(since, zone)));
                format!("EC2's own {part} status check fails{}", since.unwrap_or_default())
            }
            Self::Event { code, not_before } => {
                let at = not_before.map(|at| format!(", not before {}", time::local(at, zone)));
                format!("AWS announces {code}{}", at.unwrap_or_default())
            }
        }
    }
}
