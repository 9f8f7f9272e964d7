//! How well EC2 is seen: not at all, or well enough to launch by and not to end anybody.

use std::fmt;

use jiff::SignedDuration;

use super::capacity::Capacity;
use super::fault::Fault;
use super::instance::InstanceId;
use super::observation::Gap;
use super::time;

/// Why the picture of EC2 cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blind {
    /// DescribeInstances failed.
    Unlisted(Fault),
    /// This host's clock is so far ahead of EC2's, or behind it.
    WrongClock(SignedDuration),
    /// Too many servers that should be there are not in the list.
    Implausible { absent: Capacity, expected: Capacity },
}

/// Why the picture of EC2 is good enough to launch by and not to end anybody: who is missing in it, or
/// dead in it, may be alive, and who is alive in it may be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The list could not be had as a whole.
    Partial(Gap),
    /// The list shows as alive what EC2 had said is terminated: it is an old one.
    Old(InstanceId),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partial(Gap { fault, silent, unseen }) => {
                write!(f, "EC2 could not be listed as a whole ({fault})")?;
                if !silent.is_empty() {
                    let silent: Vec<&str> = silent.iter().map(AsRef::as_ref).collect();
                    write!(f, ", and says nothing of {}", silent.join(", "))?;
                }
                write!(f, "; {unseen} servers are not seen")
            }
            Self::Old(id) => {
                write!(f, "EC2's list is out of date: {id} runs in it, and was terminated before")
            }
        }
    }
}

/// An offset of clocks in words: `2m ahead of EC2's`.
pub fn clock_text(ahead: SignedDuration) -> String {
    let which = if ahead.is_negative() { "behind" } else { "ahead of" };
    format!("the clock of this host is {} {which} EC2's", time::text(ahead.unsigned_abs()))
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted(fault) => write!(f, "EC2 could not be listed: {fault}"),
            Self::WrongClock(ahead) => write!(
                f,
                "{}, which AWS does not accept: set it by NTP (`timedatectl`)",
                clock_text(*ahead)
            ),
            Self::Implausible { absent, expected } => write!(
                f,
                "EC2's list lacks {absent} of {expected} servers that should be in it, which is not believed within the hour"
            ),
        }
    }
}
