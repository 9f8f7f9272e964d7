//! How long load balancers leave connections to a server that is taken out, against what the policy
//! thinks.

use std::sync::Arc;
use std::time::Duration;

use super::Looked;
use crate::ports::Balancers;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::FaultKind;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Ledger, OpenProblem};
use tidegate_engine::model::problem::{Problem, ProblemKey, ProblemKind};
use tidegate_engine::model::time;
use tidegate_engine::policy::Policy;

/// What there is to be compared for one fleet.
pub(super) struct Said {
    fleet: FleetName,
    /// The balancer that its servers are in.
    balancer: Balancer,
    /// Of the policy.
    drain: Duration,
    /// What is told of it already.
    stands: Option<Problem>,
}

pub(super) fn said(policy: &Policy, ledger: &Ledger) -> Vec<Said> {
    let said = policy.fleets.values().filter_map(|fleet| {
        let entry = fleet.balancer.as_ref()?;
        let held = ledger.fleets.get(&fleet.name).and_then(|memory| memory.balancer.as_ref());
        let held = held.filter(|_| ledger.servers.has_open(&fleet.name)).map(|(held, _)| held);
        let stands = ledger.problems.get(&key(&fleet.name)).map(OpenProblem::problem);
        Some(Said {
            fleet: fleet.name.clone(),
            balancer: held.unwrap_or(&entry.balancer).clone(),
            drain: entry.deregistration_delay,
            stands,
        })
    });
    said.collect()
}

fn key(fleet: &FleetName) -> ProblemKey {
    ProblemKind::DeregistrationDelay.about(fleet)
}

/// Of a balancer that cannot be asked stands what stood.
pub(super) async fn look(balancers: Arc<dyn Balancers>, said: Vec<Said>) -> Looked<Vec<Problem>> {
    let (mut problems, mut failed) = (Vec::new(), None);
    for Said { fleet, balancer, drain, stands } in said {
        match balancers.drain(&balancer).await {
            Ok(theirs) => problems.extend(told(&fleet, &balancer, drain, theirs)),
            // That it is gone is told by the ticks.
            Err(fault) if fault.kind == FaultKind::BalancerNotFound => {}
            Err(fault) => {
                problems.extend(stands);
                failed = Some(fault);
            }
        }
    }
    Looked { seen: Some(problems), fault: failed }
}

/// `theirs`: how long the balancer leaves connections, `None` where it cuts them.
fn told(
    fleet: &FleetName,
    balancer: &Balancer,
    drain: Duration,
    theirs: Option<Duration>,
) -> Option<Problem> {
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
    Some(Problem::of_fleet(ProblemKind::DeregistrationDelay, fleet, text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sim::faults::Trouble;
    use crate::sim::front::Front;
    use crate::sim::world::{Settings, World};
    use tidegate_engine::model::time::Timestamp;

    #[test]
    fn a_drain_that_is_off_or_longer_than_the_policy_s_is_told() {
        let (fleet, web) = (FleetName::new("app").unwrap(), Balancer::Classic("web".to_owned()));
        let said = |drain: u64, theirs: Option<u64>| {
            let theirs = theirs.map(Duration::from_secs);
            told(&fleet, &web, Duration::from_secs(drain), theirs).map(|problem| problem.text)
        };
        assert_eq!(said(300, Some(300)), None);
        assert_eq!(said(300, Some(60)), None, "the shorter one is waited for as long as it lasts");
        let longer = said(120, Some(3600)).unwrap();
        assert!(longer.contains("connections 1h, and `drain` is 2m"), "{longer}");
        assert!(said(120, None).unwrap().contains("is off"));
    }

    /// One that cannot be asked hides nothing of the others, and what stood of it stands.
    #[tokio::test]
    async fn what_can_be_seen_is_told_beside_what_cannot() {
        let now = Timestamp::UNIX_EPOCH;
        let mut world = World::new(Settings::default(), now);
        let (web, api) = (Balancer::Classic("web".to_owned()), Balancer::Classic("api".to_owned()));
        world.add_balancer(web.clone(), Duration::ZERO);
        world.add_balancer(api.clone(), Duration::from_secs(30));
        let front = Front::new(world, BTreeMap::new());
        let name = |name: &str| FleetName::new(name).unwrap();
        let said = |fleet: &str, balancer: &Balancer, stands| Said {
            fleet: name(fleet),
            balancer: balancer.clone(),
            drain: Duration::from_secs(30),
            stands,
        };
        let stood = Problem::new(key(&name("old")), Some(&name("old")), "it is off");
        let asked = vec![
            said("app", &web, None),
            said("gone", &Balancer::Classic("gone".to_owned()), Some(stood.clone())),
            said("api", &api, None),
        ];
        let looked = look(Arc::new(front.clone()), asked).await;
        let keys = |looked: &Looked<Vec<Problem>>| -> Vec<String> {
            looked.seen.iter().flatten().map(|problem| problem.key.to_string()).collect()
        };
        assert_eq!((keys(&looked), looked.fault), (vec!["drain:app".to_owned()], None));

        let dead = Settings { troubles: [Trouble::DeadBalancer].into(), ..Settings::default() };
        let mut world = World::new(dead, now);
        world.add_balancer(web.clone(), Duration::ZERO);
        let front = Front::new(world, BTreeMap::new());
        let asked = (0..20).map(|n| said(&format!("app-{n}"), &web, Some(stood.clone())));
        let looked = look(Arc::new(front), asked.collect()).await;
        let told = keys(&looked);
        assert_eq!(told.len(), 20);
        assert!(told.contains(&"drain:old".to_owned()) && looked.fault.is_some(), "{told:?}");
    }
}
