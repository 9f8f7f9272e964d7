//! What stands, in sentences: for `tidegate explain` and for the daemon's page.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::view::{FleetMode, FleetStatus, OrderInForce, ReadingView};
use super::wire::Known;
use tidegate_engine::model::ledger::OverrideKind;
use tidegate_engine::model::reading::jobs;
use tidegate_engine::model::time::{self, Timestamp};

/// Tells in the policy's zone, as of the daemon's last look.
#[derive(Debug, Clone)]
pub struct Teller {
    pub zone: TimeZone,
    /// When the daemon looked.
    pub now: Option<Timestamp>,
}

impl Teller {
    /// What is aimed at, and whether that is what is wanted.
    pub fn headline(&self, fleet: &FleetStatus) -> String {
        let name = &fleet.name;
        let since = fleet.since;
        let since = since.map_or_else(String::new, |since| {
            let ago = self.now.map(|now| time::text(time::since(now, since)));
            let ago = ago.map_or_else(String::new, |ago| format!(" ({ago})"));
            format!(" since {}{ago}", time::local(since, &self.zone))
        });
        let (Some(desired), Some(wanted)) = (fleet.desired, fleet.wanted) else {
            let capacity = fleet.capacity;
            return format!(
                "{name} is not in the policy: its {capacity} servers are left as they are"
            );
        };
        let observe = if fleet.mode.is(FleetMode::Observe) {
            ", in observe mode: nothing is done"
        } else {
            ""
        };
        let by_hand = mark(fleet).map_or_else(String::new, |mark| format!(" ({mark})"));
        let name = format!("{name}{by_hand}");
        if desired == fleet.capacity && wanted == desired {
            format!("{name} stays at {desired}{since}{observe}")
        } else if desired == fleet.capacity {
            let verb = if wanted < desired { "shrink" } else { "grow" };
            format!("{name} stays at {desired}{since}. It would {verb} to {wanted}, but{observe}:")
        } else {
            let more =
                if wanted == desired { String::new() } else { format!(", and then to {wanted}") };
            format!("{name} goes from {} to {desired}{more}{observe}", fleet.capacity)
        }
    }

    /// The orders by hand that are in force, with owner, end and reason.
    pub fn orders(&self, fleet: &FleetStatus) -> Vec<String> {
        let phrase = |order: &OrderInForce| {
            let OrderInForce { kind, capacity, owner, reason, until } = order;
            let until = time::local(*until, &self.zone);
            let what = match kind {
                Known::Word(OverrideKind::Hold) => format!("held at {capacity}"),
                Known::Word(OverrideKind::Pause) => "paused".to_owned(),
                Known::Word(OverrideKind::Launch) => format!("{capacity} more"),
                Known::Word(OverrideKind::Retire) => "to be retired".to_owned(),
                Known::Word(
                    OverrideKind::Keep | OverrideKind::Terminate | OverrideKind::Approve,
                )
                | Known::Other(_) => kind.to_string(),
            };
            format!("{what} by {owner} until {until}: {reason}")
        };
        fleet.orders.iter().map(phrase).collect()
    }

    /// What the queue said, and how long ago.
    pub fn reading(&self, reading: &ReadingView) -> String {
        let ago = self.now.map(|now| time::text(time::since(now, reading.at)));
        let when = ago.map_or_else(String::new, |ago| format!(", read {ago} ago"));
        match (reading.waiting, &reading.unreadable) {
            (Some(waiting), _) => {
                let oldest = reading.oldest;
                let oldest =
                    oldest.map(|oldest| format!(", the oldest for {}", time::text(oldest)));
                format!("{} waiting{}{when}", jobs(waiting), oldest.unwrap_or_default())
            }
            (None, why) => {
                format!("not readable: {}{when}", why.as_deref().unwrap_or("no cause known"))
            }
        }
    }

    /// When its answer may change.
    pub fn next(&self, fleet: &FleetStatus) -> String {
        let local = |at| time::local(at, &self.zone);
        let reading = fleet.next_reading.map(local);
        let look = fleet.next_look.map(local);
        match (reading, look) {
            (Some(reading), Some(look)) => {
                format!("the queue is read at {reading}; otherwise, by itself, not before {look}")
            }
            (Some(reading), None) => format!("the queue is read at {reading}"),
            (None, Some(look)) => format!("by itself, not before {look}"),
            (None, None) => {
                "nothing is due: only an edit, an order or a lost server changes this".to_owned()
            }
        }
    }
}

/// Returns the order by hand that stands above a fleet's rules, in one word: `held` or `paused`.
pub fn mark(fleet: &FleetStatus) -> Option<&'static str> {
    let has = |kind| fleet.orders.iter().any(|order| order.kind.is(kind));
    if has(OverrideKind::Pause) {
        Some("paused")
    } else if has(OverrideKind::Hold) {
        Some("held")
    } else {
        None
    }
}

/// Who else is in the fleet's load balancer, and how they are handed over.
pub fn others(fleet: &FleetStatus) -> Option<String> {
    let first = fleet.others.first()?;
    let (n, more) = (fleet.others.len(), if fleet.others.len() > 1 { " …" } else { "" });
    let (are, them) = if n == 1 { ("is no server", "it") } else { ("are no servers", "them") };
    let told =
        format!("{n} more in its load balancer {are} of its own: not counted, never touched");
    // Nothing is handed over to a fleet that is not in the policy.
    let name = Some(&fleet.name).filter(|_| !fleet.mode.is(FleetMode::Unmanaged));
    let over =
        name.map(|name| format!("; `tidegate adopt {name} {first}{more}` hands {them} over"));
    Some(format!("{told}{}", over.unwrap_or_default()))
}

/// How many servers are in each phase.
pub fn servers(fleet: &FleetStatus) -> String {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in &fleet.instances {
        let n = phases.entry(instance.phase.as_str()).or_default();
        *n = n.saturating_add(1);
    }
    let counts: Vec<String> = phases.iter().map(|(phase, n)| format!("{n} {phase}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
