//! A frozen RunInstances request, and the client token bound to it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::fleet::{FleetName, Pool};
use super::instance::InstanceId;
use super::time::Timestamp;

/// Every client token of ours starts with this, then the install's name.
const PREFIX: &str = "tg1";
/// No launch token begins like this.
const ADOPTED: &str = "adopted";

/// A RunInstances client token: `tg1.INSTALL.` and 32 hex digits. Derived from what it is for, so
/// that a repeated request repeats the same launch. At most 64 ASCII characters, as EC2 asks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Arc<str>);

impl Token {
    /// The token of the `ordinal`th launch of `fleet` planned at `now` into `pool`.
    pub fn derive(
        install: &str,
        fleet: &FleetName,
        now: Timestamp,
        ordinal: usize,
        pool: &Pool,
    ) -> Self {
        let seed = format!("{install}\n{fleet}\n{}\n{ordinal}\n{pool}", now.as_nanosecond());
        let digest = Sha256::digest(seed.as_bytes());
        let (whole, _) = digest.split_at(16);
        let hex = whole.iter().fold(0_u128, |hex, byte| (hex << 8) | u128::from(*byte));
        Self(format!("{PREFIX}.{install}.{hex:032x}").into())
    }

    /// What stands in the token's place for a server that a person handed over: nothing was launched.
    pub fn adopted(install: &str, id: &InstanceId) -> Self {
        Self(format!("{ADOPTED}.{install}.{id}").into())
    }

    pub fn is_adopted(&self) -> bool {
        self.0.strip_prefix(ADOPTED).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Reads back a stored token.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether `text` is a token that this install would have made.
    pub fn is_ours(text: &str, install: &str) -> bool {
        let Some(hex) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_prefix(install))
            .and_then(|rest| rest.strip_prefix('.'))
        else {
            return false;
        };
        hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, as EC2 shows it on the instance.
    pub fn text(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// Tokens are in the order of their texts, so that a map of them can be asked by text.
impl Borrow<str> for Token {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to boot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// An AMI id, or `resolve:ssm:PARAMETER`, which EC2 resolves itself.
    Id(String),
    /// A launch template by name or id, and its version (`$Default` unless said).
    Template { name: String, version: String },
}

/// One RunInstances request, frozen: the same bytes are sent at every repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    pub token: Token,
    pub image: Image,
    pub pool: Pool,
    pub key_pair: Option<String>,
    pub security_groups: Vec<String>,
    pub instance_profile: Option<String>,
    /// Plain text; encoded on the way out.
    pub user_data: String,
    /// All tags, ours included.
    pub tags: Arc<BTreeMap<String, String>>,
    /// Whether the server is to read its tags from its metadata service, and is gone for good once
    /// it powers off: what a drain asks of a launch.
    pub drains: bool,
}

/// The tags that every server of ours carries from its launch on.
pub mod tag {
    pub const INSTALL: &str = "tidegate:install";
    pub const FLEET: &str = "tidegate:fleet";
    /// Set by the operator who hands an instance over: `INSTALL/FLEET`.
    pub const ADOPTED: &str = "tidegate:adopted";
    pub const ROLE: &str = "tidegate:role";
    pub const VERSION: &str = "tidegate:version";
    /// Set by hand on an instance that must not be terminated.
    pub const KEEP: &str = "tidegate:keep";
    /// Set on a server that is to finish its jobs and power off; its value is the deadline.
    pub const DRAIN: &str = "tidegate:drain";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_its_purpose_and_known_again() {
        let fleet = FleetName::new("app").unwrap();
        let pool = |subnet: &str| Pool { instance_type: None, subnet: Some(subnet.into()) };
        let make = |ordinal, subnet: &str| {
            Token::derive("main", &fleet, Timestamp::UNIX_EPOCH, ordinal, &pool(subnet))
        };
        assert_eq!(make(0, "subnet-a"), make(0, "subnet-a"));
        assert_ne!(make(0, "subnet-a"), make(0, "subnet-b"));
        assert_ne!(make(0, "subnet-a"), make(1, "subnet-a"));
        assert!(make(0, "subnet-a").as_str().len() <= 64);
        assert!(Token::is_ours(make(0, "subnet-a").as_str(), "main"));
        assert!(!Token::is_ours(make(0, "subnet-a").as_str(), "mai"));
        assert!(!Token::is_ours("tg1.main.123", "main"));
    }
}
