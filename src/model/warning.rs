//! What EC2 says of an instance beside its state: that its own check fails, and what AWS is about to
//! do to it.

use std::fmt;

use super::instance::InstanceId;
use super::time::Timestamp;

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

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impaired { part, since } => {
                let part = match part {
                    Part::System => "system",
                    Part::Instance => "instance",
                };
                write!(f, "EC2's own {part} status check fails")?;
                since.map_or(Ok(()), |since| write!(f, " since {since}"))
            }
            Self::Event { code, not_before } => {
                write!(f, "AWS announces {code}")?;
                not_before.map_or(Ok(()), |at| write!(f, ", not before {at}"))
            }
        }
    }
}
