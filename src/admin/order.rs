//! What a person may order over the socket, and what makes an order a valid one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::ledger::OverrideKey;
use tidegate_engine::model::time;

/// The largest capacity that can be asked for by hand; `limits` still hold.
const CAPACITY_AT_MOST: Capacity = 10_000;

/// An override lasts at most this long: what is wanted for longer belongs into the policy.
pub const LASTS_AT_MOST: Duration = Duration::from_hours(24 * 31);

/// How long an order to terminate may take to be carried out before it lapses.
const CARRIED_OUT_WITHIN: Duration = Duration::from_hours(24);

const NO_REASON: &str = "a reason is needed, for whoever reads the record";

/// What one call of EC2 can be asked about.
const ADOPTED_AT_MOST: usize = 200;

/// Something that a person wants.
#[derive(Debug, Clone)]
pub enum Order {
    /// To be written down as it is.
    Entry(Entry),
    /// EC2 has to be asked first.
    Adopt(Adoption),
}

/// An override to begin or to end. When it begins is the daemon's to say.
#[derive(Debug, Clone)]
pub enum Entry {
    Begin {
        key: OverrideKey,
        capacity: Capacity,
        owner: String,
        reason: String,
        lasts: Duration,
        /// Whether a termination is to be without a drain.
        at_once: bool,
        /// Whether a hold that looks like a slip is meant.
        force: bool,
    },
    /// Ends what was ordered for a fleet.
    Resume { fleet: FleetName, owner: String },
    /// Ends the keep of an instance.
    Unkeep { instance: InstanceId, owner: String },
}

/// Instances that run already, to be handed over to a fleet.
#[derive(Debug, Clone)]
pub struct Adoption {
    pub fleet: FleetName,
    pub instances: BTreeSet<InstanceId>,
    pub owner: String,
    pub reason: String,
}

impl Order {
    /// Who wants it.
    pub fn owner(&self) -> &str {
        let (Self::Entry(
            Entry::Begin { owner, .. } | Entry::Resume { owner, .. } | Entry::Unkeep { owner, .. },
        )
        | Self::Adopt(Adoption { owner, .. })) = self;
        owner
    }

    pub(super) fn signed(mut self, by: String) -> Self {
        let (Self::Entry(
            Entry::Begin { owner, .. } | Entry::Resume { owner, .. } | Entry::Unkeep { owner, .. },
        )
        | Self::Adopt(Adoption { owner, .. })) = &mut self;
        *owner = by;
        self
    }
}

impl Entry {
    /// The fleet or the instance that it is about.
    pub fn subject(&self) -> (Option<FleetName>, Option<InstanceId>) {
        match self {
            Self::Begin { key, .. } => match key {
                OverrideKey::Hold(fleet)
                | OverrideKey::Pause(fleet)
                | OverrideKey::Retire(fleet)
                | OverrideKey::Launch(fleet)
                | OverrideKey::Approve(fleet) => (Some(fleet.clone()), None),
                OverrideKey::Keep(id) | OverrideKey::Terminate(id) => (None, Some(id.clone())),
            },
            Self::Resume { fleet, .. } => (Some(fleet.clone()), None),
            Self::Unkeep { instance, .. } => (None, Some(instance.clone())),
        }
    }
}

/// The body of `POST /orders`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderView {
    /// `hold`, `pause`, `resume`, `keep`, `unkeep`, `launch`, `terminate`, `retire`, `approve` or
    /// `adopt`.
    pub order: String,
    /// The fleet, or the instance.
    pub subject: String,
    /// The instances that the fleet is to adopt.
    #[serde(default)]
    pub instances: Vec<String>,
    #[serde(default)]
    pub capacity: Capacity,
    #[serde(default)]
    pub for_seconds: u64,
    pub owner: String,
    #[serde(default)]
    pub reason: String,
    /// `terminate` without a drain: jobs on the server are lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
    /// `hold` below `min`, or with the end of more than half of the fleet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

impl OrderView {
    /// The order, or why it makes none.
    pub fn lower(&self) -> Result<Order, String> {
        let owner = printable(&self.owner, 64);
        let reason = printable(&self.reason, 200);
        if owner.is_empty() {
            return Err("an order has an owner".to_owned());
        }
        let capacity = self.capacity;
        if capacity > CAPACITY_AT_MOST {
            return Err(format!(
                "{capacity} servers are more than the {CAPACITY_AT_MOST} one may ask for"
            ));
        }
        let at_once = self.now;
        if at_once && self.order != "terminate" {
            return Err("only `terminate` can be told to do without a drain".to_owned());
        }
        let force = self.force;
        if force && self.order != "hold" {
            return Err("only `hold` can be forced".to_owned());
        }
        let (key, ends) = match self.order.as_str() {
            "adopt" => return self.adopt(owner, reason),
            "resume" => return Ok(Order::Entry(Entry::Resume { fleet: self.fleet()?, owner })),
            "unkeep" => {
                return Ok(Order::Entry(Entry::Unkeep { instance: self.instance()?, owner }));
            }
            "hold" => (OverrideKey::Hold(self.fleet()?), true),
            "pause" => (OverrideKey::Pause(self.fleet()?), true),
            "launch" => (OverrideKey::Launch(self.fleet()?), true),
            "keep" => (OverrideKey::Keep(self.instance()?), true),
            "terminate" => (OverrideKey::Terminate(self.instance()?), false),
            "retire" => (OverrideKey::Retire(self.fleet()?), false),
            "approve" => (OverrideKey::Approve(self.fleet()?), false),
            other => return Err(format!("there is no order `{}`", printable(other, 32))),
        };
        let lasts = Duration::from_secs(self.for_seconds);
        if ends && (lasts.is_zero() || lasts > LASTS_AT_MOST) {
            return Err(format!("an end within {} is needed: --for 2h", time::text(LASTS_AT_MOST)));
        }
        if reason.is_empty() {
            return Err(NO_REASON.to_owned());
        }
        let lasts = if ends { lasts } else { CARRIED_OUT_WITHIN };
        Ok(Order::Entry(Entry::Begin { key, capacity, owner, reason, lasts, at_once, force }))
    }

    fn adopt(&self, owner: String, reason: String) -> Result<Order, String> {
        if reason.is_empty() {
            return Err(NO_REASON.to_owned());
        }
        let instances: Result<BTreeSet<_>, _> =
            self.instances.iter().map(|id| instance(id)).collect();
        let instances = instances?;
        if instances.is_empty() {
            return Err("which instances? name their ids".to_owned());
        }
        if instances.len() > ADOPTED_AT_MOST {
            return Err(format!("{} are more than {ADOPTED_AT_MOST} at once", instances.len()));
        }
        Ok(Order::Adopt(Adoption { fleet: self.fleet()?, instances, owner, reason }))
    }

    fn fleet(&self) -> Result<FleetName, String> {
        let wrong = || format!("`{}` is no fleet name", printable(&self.subject, 64));
        FleetName::new(&self.subject).ok_or_else(wrong)
    }

    fn instance(&self) -> Result<InstanceId, String> {
        instance(&self.subject)
    }
}

fn instance(text: &str) -> Result<InstanceId, String> {
    let hex = text.strip_prefix("i-").unwrap_or_default();
    let good = (8..=17).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let wrong = || format!("`{}` is no instance id", printable(text, 64));
    good.then(|| InstanceId::new(text)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(order: &str, subject: &str) -> OrderView {
        OrderView {
            order: order.to_owned(),
            subject: subject.to_owned(),
            instances: Vec::new(),
            capacity: 3,
            for_seconds: 3600,
            owner: "ann".to_owned(),
            reason: "launch day".to_owned(),
            now: false,
            force: false,
        }
    }

    #[test]
    fn only_a_termination_can_be_without_a_drain() {
        for now in [false, true] {
            let terminate = OrderView { now, ..order("terminate", "i-0123456789abcdef0") };
            let lowered = terminate.lower().unwrap();
            let Order::Entry(Entry::Begin { at_once, .. }) = lowered else { panic!("{lowered:?}") };
            assert_eq!(at_once, now);
        }
        for other in ["hold", "pause", "resume", "retire"] {
            let refused = OrderView { now: true, ..order(other, "app") };
            assert!(refused.lower().is_err(), "{other}");
        }
        // What an earlier version sends, and what it understands.
        let text = serde_json::to_string(&order("hold", "app")).unwrap();
        assert!(!text.contains("now"), "{text}");
        assert!(!serde_json::from_str::<OrderView>(&text).unwrap().now);
    }

    #[test]
    fn an_order_has_a_subject_an_owner_a_reason_and_an_end() {
        assert!(order("hold", "app").lower().is_ok());
        assert!(order("terminate", "i-0123456789abcdef0").lower().is_ok());
        let refused = [
            OrderView { owner: " ".to_owned(), ..order("hold", "app") },
            OrderView { reason: String::new(), ..order("hold", "app") },
            OrderView { for_seconds: 0, ..order("pause", "app") },
            OrderView { for_seconds: u64::MAX, ..order("pause", "app") },
            OrderView { capacity: 10_001, ..order("hold", "app") },
            order("hold", "App"),
            order("terminate", "app"),
            order("terminate", "i-*"),
            order("empty", "app"),
        ];
        for refused in refused {
            assert!(refused.lower().is_err(), "{refused:?}");
        }
    }
}
