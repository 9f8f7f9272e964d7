//! Where servers are: an account's servers of one region are invisible from any other place.

use std::fmt;
use std::sync::Arc;

/// An AWS account and a region of it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: Arc<str>,
    pub region: Arc<str>,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {} in {}", self.id, self.region)
    }
}
