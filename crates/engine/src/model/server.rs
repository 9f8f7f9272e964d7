//! A server's durable record, from the intent to launch it until it is proven gone. One record per
//! client token: "one intent, at most one instance" is the key of the table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::fleet::FleetName;
use super::instance::{Instance, InstanceId};
use super::launch::{LaunchRequest, Token};
use super::retirement::Retirement;
use super::time::{self, Clocks, Timestamp};

/// What the journal knows of one server. EC2, the balancer and the health check say the rest at
/// each tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRecord {
    pub token: Token,
    pub fleet: FleetName,
    /// When the launch was planned; for a server found in EC2 and not in the journal, when found.
    pub planned_at: Timestamp,
    /// The same by EC2's clock. `None` for a server that was found, or was planned by an earlier version.
    pub planned_at_ec2: Option<Timestamp>,
    /// The frozen request; `None` for a server found in EC2 after the journal was lost.
    pub request: Option<Arc<LaunchRequest>>,
    pub launch: LaunchState,
    /// When the instance started, by EC2's clock.
    pub launched_at: Option<Timestamp>,
    /// The address RunInstances gave, for when DescribeInstances leaves it out for a while.
    pub private_ip: Option<Arc<str>>,
    /// First passed its health check since it was launched, or started again.
    pub healthy_at: Option<Timestamp>,
    /// First in service: healthy, and in the balancer where there is one.
    pub in_service_at: Option<Timestamp>,
    /// When it was started again after it was stopped, by EC2's clock. `None` again once it serves.
    pub restarted_at: Option<Timestamp>,
    /// Since when its health check has failed without a break, once it had passed.
    pub sick_since: Option<Timestamp>,
    /// Since when DescribeInstances has left it out, by EC2's clock. For a launch without an answer,
    /// since its last attempt.
    pub absent_since: Option<Timestamp>,
    pub retirement: Option<Retirement>,
    /// It was taken out of its balancer, other than for its retirement: after it was stopped, or died;
    /// by EC2's clock.
    pub cleared_at: Option<Timestamp>,
    pub gone: Option<Gone>,
}

/// What a server is called in texts and lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerName {
    Instance(InstanceId),
    /// The client token of a launch that EC2 has not answered with an instance.
    Launch(Token),
}

impl ServerName {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Instance(id) => id.as_str(),
            Self::Launch(token) => token.as_str(),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far RunInstances got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchState {
    /// Written down, and not settled. Counts as alive.
    Asked(Asked),
    /// EC2 answered with this instance.
    Launched(InstanceId),
    /// EC2 said no, for certain. The token is spent.
    Refused(Fault),
}

/// A RunInstances request without a certain answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// How often it was sent, the attempt in hand included.
    pub attempts: u32,
    pub last_attempt_at: Timestamp,
    /// Whether EC2 may have acted on some attempt: set before a request is sent, and cleared only
    /// by an answer that rules it out.
    pub in_doubt: bool,
    pub last_fault: Option<Fault>,
}

/// The end of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub at: Timestamp,
    pub how: GoneHow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoneHow {
    /// The launch was refused, so there never was an instance.
    NeverWas,
    /// Terminated because we asked.
    Retired,
    /// Terminated by somebody or something else; EC2's reason.
    BehindOurBack(String),
    /// EC2 has not shown it for long, against all expectation.
    Vanished,
}

impl ServerRecord {
    /// A launch about to be asked for.
    pub fn planned(request: Arc<LaunchRequest>, fleet: FleetName, clocks: Clocks) -> Self {
        let now = clocks.host;
        Self {
            token: request.token.clone(),
            fleet,
            planned_at: now,
            planned_at_ec2: Some(clocks.ec2),
            request: Some(request),
            launch: LaunchState::Asked(Asked {
                attempts: 1,
                last_attempt_at: now,
                in_doubt: true,
                last_fault: None,
            }),
            launched_at: None,
            private_ip: None,
            healthy_at: None,
            in_service_at: None,
            restarted_at: None,
            sick_since: None,
            absent_since: None,
            retirement: None,
            cleared_at: None,
            gone: None,
        }
    }

    /// A server that runs already, and was not launched from these books.
    pub fn running(token: Token, fleet: FleetName, instance: &Instance, now: Timestamp) -> Self {
        Self {
            token,
            fleet,
            planned_at: now,
            planned_at_ec2: None,
            request: None,
            launch: LaunchState::Launched(instance.id.clone()),
            launched_at: instance.launched_at,
            private_ip: instance.private_ip.clone(),
            healthy_at: None,
            in_service_at: None,
            restarted_at: None,
            sick_since: None,
            absent_since: None,
            retirement: None,
            cleared_at: None,
            gone: None,
        }
    }

    pub fn instance(&self) -> Option<&InstanceId> {
        match &self.launch {
            LaunchState::Launched(id) => Some(id),
            LaunchState::Asked(_) | LaunchState::Refused(_) => None,
        }
    }

    pub fn name(&self) -> ServerName {
        match &self.launch {
            LaunchState::Launched(id) => ServerName::Instance(id.clone()),
            LaunchState::Asked(_) | LaunchState::Refused(_) => {
                ServerName::Launch(self.token.clone())
            }
        }
    }

    /// Whether it has been in the books since it was young, `grace` old at the most: launched from
    /// them, or found before it had had its time.
    pub(crate) fn was_watched(&self, grace: Duration) -> bool {
        let young = || {
            let found_after = self.launched_at.map(|at| time::since(self.planned_at, at));
            found_after.is_some_and(|age| age < grace)
        };
        self.request.is_some() || (!self.token.is_adopted() && young())
    }

    /// Whether it has ever passed its health check: as a launch, it came to something.
    pub(crate) fn is_proven(&self) -> bool {
        self.healthy_at.is_some() || self.in_service_at.is_some()
    }

    pub fn is_open(&self) -> bool {
        self.gone.is_none()
    }
}
