//! One imagined instance: a life that is drawn at its launch, and what can be told of it at an instant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::receiver::Receiver;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Attachment, Instance, InstanceId, Lifecycle, OurTags};
use tidegate_engine::model::launch::{LaunchRequest, tag};
use tidegate_engine::model::time::{self, Timestamp};

/// How long EC2 keeps showing a terminated instance.
const SHOWN_TERMINATED: Duration = Duration::from_hours(1);

/// `stopping` to `stopped`.
const STOPPING: Duration = Duration::from_secs(40);

/// An instance as the world knows it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub id: InstanceId,
    pub request: LaunchRequest,
    pub launched_at: Timestamp,
    pub running_at: Timestamp,
    /// When it begins to serve; `None`: never.
    pub serves_at: Option<Timestamp>,
    /// When a person stopped it.
    pub stopped_at: Option<Timestamp>,
    /// When a person started it again.
    pub started_at: Option<Timestamp>,
    /// When a person attached a volume to it.
    pub attached_at: Option<Timestamp>,
    /// When its end begins, and why.
    pub ends: Option<(Timestamp, String)>,
    /// How long its end takes.
    pub shuts_down: Duration,
    /// Whether its second volume outlives it.
    pub keeps_volume: bool,
    pub private_ip: Arc<str>,
    pub receiver: Receiver,
    /// As they are now: a person may have changed them since.
    pub(super) tags: Arc<BTreeMap<String, String>>,
    /// What of them EC2 tells this program, read off once.
    pub(super) ours: OurTags,
}

/// What of an instance's tags is ours.
pub(super) fn ours(tags: &BTreeMap<String, String>) -> OurTags {
    OurTags {
        install: tags.get(tag::INSTALL).map(|install| install.as_str().into()),
        fleet: tags.get(tag::FLEET).and_then(|name| FleetName::new(name)),
        adopted: tags.get(tag::ADOPTED).map(|value| value.as_str().into()),
        keep: tags.contains_key(tag::KEEP),
        drain: tags.get(tag::DRAIN).map(|value| value.as_str().into()),
        auto_scaling_group: tags.contains_key("aws:autoscaling:groupName"),
    }
}

impl Machine {
    pub fn lifecycle(&self, now: Timestamp) -> Lifecycle {
        match &self.ends {
            Some((at, _)) if now >= *at && time::since(now, *at) >= self.shuts_down => {
                Lifecycle::Terminated
            }
            Some((at, _)) if now >= *at => Lifecycle::ShuttingDown,
            Some(_) | None if self.is_stopped(now, STOPPING) => Lifecycle::Stopped,
            Some(_) | None if self.is_stopped(now, Duration::ZERO) => Lifecycle::Stopping,
            Some(_) | None if now >= self.running_at => Lifecycle::Running,
            Some(_) | None => Lifecycle::Pending,
        }
    }

    fn is_stopped(&self, now: Timestamp, takes: Duration) -> bool {
        self.stopped_at.is_some_and(|at| now >= time::after(at, takes))
    }

    /// EC2's launch time: when it was launched, or started again.
    pub fn launch_time(&self) -> Timestamp {
        self.started_at.unwrap_or(self.launched_at)
    }

    /// Whether its page says welcome.
    pub fn serves(&self, now: Timestamp) -> bool {
        self.lifecycle(now) == Lifecycle::Running && self.serves_at.is_some_and(|at| at <= now)
    }

    /// The span that is paid, so far or in all.
    pub fn billed(&self, now: Timestamp) -> Duration {
        let until = self.ends.as_ref().map_or(now, |(at, _)| (*at).min(now));
        time::since(until, self.launched_at)
    }

    /// Whether [`super::faults::Trouble::PartialList`] leaves it out.
    pub(super) fn is_easily_missed(&self) -> bool {
        !self.id.as_str().ends_with(['0', '4', '8', 'c'])
    }

    /// Whether EC2 still lists it.
    pub(super) fn is_shown(&self, now: Timestamp) -> bool {
        let ends = self.ends.as_ref().map(|(at, _)| *at);
        ends.is_none_or(|at| time::since(now, at) < self.shuts_down + SHOWN_TERMINATED)
    }

    pub fn fleet(&self) -> Option<&FleetName> {
        self.ours.fleet.as_ref()
    }

    pub fn install(&self) -> Option<&str> {
        self.ours.install.as_deref()
    }

    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// Boots once more, as long as it did at first.
    pub(super) fn start_again(&mut self, now: Timestamp) {
        let again = |then: Timestamp| time::after(now, time::since(then, self.launched_at));
        let (running_at, serves_at) = (again(self.running_at), self.serves_at.map(again));
        (self.running_at, self.serves_at) = (running_at, serves_at);
        (self.stopped_at, self.started_at) = (None, Some(now));
    }

    pub(super) fn tag(&mut self, key: &str, value: &str) {
        Arc::make_mut(&mut self.tags).insert(key.to_owned(), value.to_owned());
        self.ours = ours(&self.tags);
    }

    pub(super) fn untag(&mut self, key: &str) {
        Arc::make_mut(&mut self.tags).remove(key);
        self.ours = ours(&self.tags);
    }

    /// The id of a volume of its own.
    pub(super) fn volume(&self, prefix: &str) -> String {
        self.id.as_str().replacen("i-", prefix, 1)
    }

    /// The row of DescribeInstances.
    pub fn describe(&self, now: Timestamp) -> Instance {
        let lifecycle = self.lifecycle(now);
        Instance {
            id: self.id.clone(),
            lifecycle,
            launched_at: Some(self.launch_time()),
            instance_type: self.request.pool.instance_type.clone(),
            subnet: self.request.pool.subnet.clone(),
            zone: self.request.pool.subnet.as_deref().map(|subnet| zone(subnet).into()),
            private_ip: Some(self.private_ip.clone()),
            public_ip: None,
            private_dns: None,
            token: Some(self.request.token.text()).filter(|token| !token.is_empty()),
            tags: self.ours.clone(),
            state_reason: self
                .ends
                .as_ref()
                .filter(|_| lifecycle.is_ending())
                .map(|(_, why)| why.as_str().into()),
            metadata_tags: Some(self.request.drains),
            attached: self.attached_at.map(|at| Attachment {
                id: self.volume("vol-a").into(),
                after: time::since(at, self.launched_at),
            }),
        }
    }
}

/// The Availability Zones of the region.
pub(super) const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// Returns the zone of a subnet.
pub(super) fn zone(subnet: &str) -> &'static str {
    let [a, b, c] = ZONES;
    let sum: u32 = subnet.bytes().map(u32::from).sum();
    match sum % 3 {
        0 => a,
        1 => b,
        _ => c,
    }
}
