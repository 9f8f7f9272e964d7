//! What holds an order up and until when, for the answer to it. The order is written down all the same,
//! and carried out when nothing holds it up any more.

use std::cmp::Ordering;

use jiff::tz::TimeZone;

use tidegate_engine::model::capacity::{Capacity, count};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Ledger, Override, OverrideKey};
use tidegate_engine::model::roster::{Breaker, FleetView, Roster, Server};
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::time::{self, Clocks};
use tidegate_engine::policy::{Mode, Policy};
use tidegate_engine::state::{launch_limit, termination_limit};

/// So many protected servers are named.
const NAMED_AT_MOST: usize = 5;

/// What an order is judged by.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    pub policy: &'a Policy,
    pub ledger: &'a Ledger,
    /// As of the last tick; `None` before the first.
    pub roster: Option<&'a Roster>,
    pub clocks: Clocks,
}

/// What an order changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Launches,
    /// So many servers are terminated.
    Ends(Capacity),
    Neither,
}

impl Situation<'_> {
    /// Returns each obstacle as a phrase; none if the next tick carries the order out.
    pub(super) fn obstacles(&self, order: &Override) -> Vec<String> {
        let Some(fleet) = self.fleet_of(&order.key) else { return Vec::new() };
        let effect = self.effect(order);
        if effect == Effect::Neither {
            return Vec::new();
        }
        let mut found = Vec::new();
        found.extend(self.observed(fleet));
        found.extend(self.overridden(order, fleet));
        match effect {
            Effect::Launches => found.extend(self.launches(fleet)),
            Effect::Ends(servers) => {
                found.extend(self.protected(order, fleet));
                found.extend(self.terminations(servers));
            }
            Effect::Neither => {}
        }
        found.extend(self.blind(effect));
        found
    }

    fn fleet_of<'b>(&'b self, key: &'b OverrideKey) -> Option<&'b FleetName> {
        match key {
            OverrideKey::Hold(fleet)
            | OverrideKey::Pause(fleet)
            | OverrideKey::Retire(fleet)
            | OverrideKey::Launch(fleet)
            | OverrideKey::Approve(fleet) => Some(fleet),
            OverrideKey::Keep(id) | OverrideKey::Terminate(id) => {
                self.ledger.servers.of_instance(id).map(|record| &record.fleet)
            }
        }
    }

    fn effect(&self, order: &Override) -> Effect {
        match &order.key {
            OverrideKey::Hold(fleet) => {
                let now = staying(self.ledger, fleet);
                match order.capacity.cmp(&now) {
                    Ordering::Greater => Effect::Launches,
                    Ordering::Equal => Effect::Neither,
                    Ordering::Less => Effect::Ends(now.saturating_sub(order.capacity)),
                }
            }
            OverrideKey::Launch(_) => Effect::Launches,
            OverrideKey::Terminate(_) => Effect::Ends(1),
            OverrideKey::Retire(fleet) => Effect::Ends(staying(self.ledger, fleet)),
            // An approval lets the rules go on, which say themselves what holds them up.
            OverrideKey::Pause(_) | OverrideKey::Keep(_) | OverrideKey::Approve(_) => {
                Effect::Neither
            }
        }
    }

    fn view(&self, fleet: &FleetName) -> Option<&FleetView> {
        let roster = self.roster?;
        roster.fleets.get(fleet).or_else(|| roster.unmanaged.get(fleet)).map(|view| &**view)
    }

    fn zone(&self) -> &TimeZone {
        &self.policy.zone
    }

    fn observed(&self, fleet: &FleetName) -> Option<String> {
        let observes = match self.policy.fleets.get(fleet) {
            Some(fleet) => fleet.mode == Mode::Observe,
            None => self.ledger.fleets.get(fleet).and_then(|memory| memory.acting) == Some(false),
        };
        observes.then(|| {
            "nothing is done while the fleet is in observe mode (`mode: act` in the policy)"
                .to_owned()
        })
    }

    /// Another order that comes first.
    fn overridden(&self, order: &Override, fleet: &FleetName) -> Option<String> {
        let stands = |key: OverrideKey| {
            let known = self.ledger.overrides.get(&key);
            known.filter(|known| known.until > self.clocks.host)
        };
        let pause = || stands(OverrideKey::Pause(fleet.clone())).map(|pause| ("paused", pause));
        let hold = || stands(OverrideKey::Hold(fleet.clone())).map(|hold| ("held", hold));
        let (what, first) = match order.key {
            OverrideKey::Hold(_) => pause(),
            OverrideKey::Launch(_) => pause().or_else(hold),
            OverrideKey::Pause(_)
            | OverrideKey::Retire(_)
            | OverrideKey::Keep(_)
            | OverrideKey::Terminate(_)
            | OverrideKey::Approve(_) => None,
        }?;
        let until = time::local(first.until, self.zone());
        Some(format!("the fleet is {what} by {} until {until}, which comes first", first.owner))
    }

    fn launches(&self, fleet: &FleetName) -> Vec<String> {
        let mut found = Vec::new();
        if let Err(limit) = launch_limit(self.policy, self.ledger, self.clocks).take() {
            found.push(format!("limits.launch: {}", limit.text(self.zone())));
        }
        let views = self.roster.into_iter().flat_map(|roster| {
            roster.fleets.values().chain(roster.unmanaged.values()).map(|view| view.alive())
        });
        let alive = views.fold(0, Capacity::saturating_add);
        if let Some(limit) = self.policy.limits.instances.filter(|limit| alive >= *limit) {
            found.push(format!("limits.instances is {limit}, and {alive} are alive in all"));
        }
        match self.view(fleet).map(|view| &view.breaker) {
            Some(Breaker::Open { probe_at, .. }) => {
                let at = time::local(*probe_at, self.zone());
                found.push(format!("launches have failed, and one is tried at {at}"));
            }
            Some(Breaker::Probing { .. }) => {
                found.push("launches have failed, and one is being tried".to_owned());
            }
            Some(Breaker::Closed { .. }) | None => {}
        }
        found
    }

    /// Servers that stay whatever is ordered.
    fn protected(&self, order: &Override, fleet: &FleetName) -> Vec<String> {
        let Some(view) = self.view(fleet) else { return Vec::new() };
        let ordered = |server: &&Server| match &order.key {
            OverrideKey::Terminate(id) => server.id() == Some(id),
            OverrideKey::Hold(_)
            | OverrideKey::Pause(_)
            | OverrideKey::Retire(_)
            | OverrideKey::Keep(_)
            | OverrideKey::Launch(_)
            | OverrideKey::Approve(_) => true,
        };
        let servers = view.servers.iter().filter(ordered);
        let mut kept: Vec<String> =
            servers.filter_map(|server| self.why_it_stays(order, server)).collect();
        if kept.len() > NAMED_AT_MOST {
            let more = kept.len().saturating_sub(NAMED_AT_MOST);
            kept.truncate(NAMED_AT_MOST);
            let stay = if more == 1 { "server stays" } else { "servers stay" };
            kept.push(format!("{more} more {stay}"));
        }
        kept
    }

    fn why_it_stays(&self, order: &Override, server: &Server) -> Option<String> {
        let label = server.name();
        if let Some(id) = server.id()
            && let Some(keep) = self.ledger.overrides.get(&OverrideKey::Keep(id.clone()))
            && keep.until > self.clocks.host
        {
            let until = time::local(keep.until, self.zone());
            return Some(format!(
                "{label} is kept by {} until {until}: {}",
                keep.owner, keep.reason
            ));
        }
        if let Some(kept) = &server.kept {
            return Some(format!("{label} stays: {}", kept.text(self.zone())));
        }
        let why = server.undrainable.filter(|_| !order.at_once)?;
        Some(format!("{label} cannot be told to finish its jobs, as {why}"))
    }

    fn terminations(&self, servers: Capacity) -> Option<String> {
        let limit = termination_limit(self.policy, self.ledger, self.clocks);
        let (now, limit) = limit.after(servers)?;
        let now =
            if servers == 1 { String::new() } else { format!(" ({now} of {servers} go now)") };
        Some(format!("limits.terminate: {}{now}", limit.text(self.zone())))
    }

    fn blind(&self, effect: Effect) -> Option<String> {
        let roster = self.roster?;
        if let Some(blind) = &roster.blind {
            return Some(format!("nothing is changed now: {blind}"));
        }
        let doubt = roster.doubt.as_ref().filter(|_| matches!(effect, Effect::Ends(_)))?;
        Some(format!("no server is terminated now: {doubt}"))
    }
}

/// Counts the servers of a fleet that are not on their way out.
pub(super) fn staying(ledger: &Ledger, fleet: &FleetName) -> Capacity {
    let stays = |record: &&ServerRecord| record.fleet == *fleet && record.retirement.is_none();
    count(ledger.servers.open().filter(stays))
}
