//! How long load balancers leave connections to a server that is taken out, against what the policy
//! thinks.

use std::sync::Arc;
use std::time::Duration;

use crate::model::balancer::Balancer;
use crate::model::fault::{Fault, FaultKind};
use crate::model::fleet::FleetName;
use crate::model::ledger::Ledger;
use crate::model::time;
use crate::policy::Policy;
use crate::ports::Balancers;
use crate::record::Concern;

/// A fleet, the balancer that its servers are in, and `drain` of the policy.
type Said = (FleetName, Balancer, Duration);

pub(super) fn said(policy: &Policy, ledger: &Ledger) -> Vec<Said> {
    let said = policy.fleets.values().filter_map(|fleet| {
        let entry = fleet.balancer.as_ref()?;
        let held = ledger.fleets.get(&fleet.name).and_then(|memory| memory.balancer.as_ref());
        let held = held.filter(|_| ledger.servers.has_open(&fleet.name)).map(|(held, _)| held);
        Some((fleet.name.clone(), held.unwrap_or(&entry.balancer).clone(), entry.drain))
    });
    said.collect()
}

pub(super) async fn look(
    balancers: Arc<dyn Balancers>,
    said: Vec<Said>,
) -> Result<Vec<Concern>, Fault> {
    let mut concerns = Vec::new();
    for (fleet, balancer, drain) in said {
        match balancers.drain(&balancer).await {
            Ok(theirs) => concerns.extend(told(&fleet, &balancer, drain, theirs)),
            // That it is gone is told by the ticks.
            Err(fault) if fault.kind == FaultKind::BalancerNotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(concerns)
}

/// `theirs`: how long the balancer leaves connections, `None` where it cuts them.
fn told(
    fleet: &FleetName,
    balancer: &Balancer,
    drain: Duration,
    theirs: Option<Duration>,
) -> Option<Concern> {
    let text = match theirs {
        None => format!(
            "connection draining of {balancer} is off: what is under way is cut when a server is taken out, whatever `drain` says; switch it on there"
        ),
        Some(theirs) if theirs > drain => format!(
            "{balancer} leaves connections {}, and `drain` is {}: those that need longer are cut when the server ends; raise `drain`, or lower it there",
            time::text(theirs),
            time::text(drain)
        ),
        Some(_) => return None,
    };
    Some(Concern::new(format!("drain:{fleet}"), Some(fleet), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_that_is_off_or_longer_than_the_policy_s_is_told() {
        let (fleet, web) = (FleetName::new("app").unwrap(), Balancer::Classic("web".to_owned()));
        let said = |drain: u64, theirs: Option<u64>| {
            let theirs = theirs.map(Duration::from_secs);
            told(&fleet, &web, Duration::from_secs(drain), theirs).map(|concern| concern.text)
        };
        assert_eq!(said(300, Some(300)), None);
        assert_eq!(said(300, Some(60)), None, "the shorter one is waited for as long as it lasts");
        let longer = said(120, Some(3600)).unwrap();
        assert!(longer.contains("connections 1h, and `drain` is 2m"), "{longer}");
        assert!(said(120, None).unwrap().contains("is off"));
    }
}
