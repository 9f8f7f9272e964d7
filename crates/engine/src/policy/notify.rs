//! Who is told of what: the routes of `notify`. A secret is a name here and a value nowhere; whoever
//! sends reads the file at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The routes by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    pub routes: BTreeMap<String, Route>,
}

/// One way to somebody, and what goes over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub target: Target,
    /// Empty for a heartbeat, which tells nothing but that it beats.
    pub send: BTreeSet<Topic>,
    /// The line of the file.
    pub at_line: usize,
}

/// What a route can be asked to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A fleet's desired capacity is not what it has.
    Scaled,
    /// A problem begins, or stands for long.
    Problem,
    /// One that was told is over.
    Recovered,
    /// As `Problem`, of those alone that need a person now.
    Emergency,
    /// Somebody gave an order.
    Override,
    /// Another policy is in force.
    Policy,
}

impl Topic {
    pub const ALL: [Self; 6] = [
        Self::Scaled,
        Self::Problem,
        Self::Recovered,
        Self::Emergency,
        Self::Override,
        Self::Policy,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::Problem => "problem",
            Self::Recovered => "recovered",
            Self::Emergency => "emergency",
            Self::Override => "override",
            Self::Policy => "policy",
        }
    }
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An incoming webhook of Slack, or of what understands the same.
    Slack {
        url: SecretName,
    },
    /// A POST of our own JSON.
    Webhook {
        url: Address,
    },
    /// Events of version 2: a problem triggers, its end resolves.
    PagerDuty {
        key: SecretName,
        url: String,
    },
    Email(Email),
    /// A standard topic of SNS, by its ARN.
    Sns {
        topic: String,
    },
    /// A URL that is asked for as long as ticks succeed. When it goes quiet, the daemon is dead.
    Ping {
        url: Address,
        every: Duration,
    },
}

impl Target {
    /// As the policy file calls it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Webhook { .. } => "webhook",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Email(_) => "email",
            Self::Sns { .. } => "sns",
            Self::Ping { .. } => "ping",
        }
    }

    /// The secret it needs, if it needs one. No target needs two.
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::Slack { url } => Some(url),
            Self::PagerDuty { key, .. } => Some(key),
            Self::Webhook { url } | Self::Ping { url, .. } => match url {
                Address::Secret(name) => Some(name),
                Address::Open(_) => None,
            },
            Self::Email(email) => email.login.as_ref().map(|(_, password)| password),
            // By the same credentials as EC2.
            Self::Sns { .. } => None,
        }
    }
}

/// A URL, written out or in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Open(String),
    Secret(SecretName),
}

/// The name of a secret: `$CREDENTIALS_DIRECTORY/NAME`, else `/etc/tidegate/secrets/NAME`, else an
/// absolute path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(pub(super) String);

impl SecretName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Mail over somebody's SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    pub to: Vec<String>,
    pub from: String,
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// User, and the name of the password.
    pub login: Option<(String, SecretName)>,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// In clear until STARTTLS, which must succeed.
    Upgraded,
    /// From the first byte.
    Implicit,
    /// In clear: for a relay on this host.
    Off,
}
