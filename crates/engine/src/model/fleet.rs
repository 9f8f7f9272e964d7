//! Fleets: named groups of alike servers, and the pools of EC2 capacity they launch from.

use std::fmt;
use std::sync::Arc;

/// A fleet's name: 1 to 32 of `a-z`, `0-9`, `-`, starting with a letter. It goes into tags, so it
/// keeps to what tags in instance metadata allow. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetName(Arc<str>);

impl FleetName {
    /// `None` when the text is not a name.
    pub fn new(text: &str) -> Option<Self> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let good = text.len() <= 32
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(legal);
        good.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where EC2 is asked for capacity: one instance type in one subnet. Either may be left to a
/// launch template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pool {
    pub instance_type: Option<Arc<str>>,
    pub subnet: Option<Arc<str>>,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.instance_type.as_deref().unwrap_or("the template's type");
        match &self.subnet {
            Some(subnet) => write!(f, "{kind} in {subnet}"),
            None => write!(f, "{kind}"),
        }
    }
}
