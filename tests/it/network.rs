//! The built binary on a bad network: answers lost, late, broken off and made up. Every test ends by
//! looking at the world.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate::model::balancer::Balancer;
use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::proxy::{Proxy, Trick};
use crate::support::wait_for;

const PATIENCE: Duration = Duration::from_mins(1);

fn classic() -> Balancer {
    Balancer::Classic("web".to_owned())
}

fn behind(seed: u64, app: (u32, u32)) -> (Cloud, Proxy, Daemon) {
    let cloud = Cloud::new(Troubles::new());
    let proxy = Proxy::new(&cloud.endpoint, seed);
    let daemon = Daemon::new(&proxy.endpoint, &cloud.policy("classic", app));
    (cloud, proxy, daemon)
}

/// Broken off between two elements, a list reads like a shorter one: servers that are in service
/// would count as drained.
#[test]
fn a_list_that_breaks_off_takes_no_server_for_drained() {
    let (cloud, proxy, mut daemon) = behind(1, (1, 3));
    daemon.start();
    daemon.wait_in_service("app", 1);
    daemon.order(&["hold", "app", "3", "--for", "1h", "before"]);
    daemon.wait_in_service("app", 3);
    proxy.on("DescribeInstanceHealth", Trick::Half, u32::MAX);
    daemon.order(&["resume", "app"]);
    let asked = proxy.seen("DescribeInstanceHealth");
    wait_for("it looks a few times", PATIENCE, || {
        assert_eq!(cloud.alive("app").len(), 3, "{}", daemon.log());
        (proxy.seen("DescribeInstanceHealth") > asked + 8).then_some(())
    });
    assert_eq!(cloud.members(&classic()).len(), 3);
    proxy.on("DescribeInstanceHealth", Trick::Half, 0);
    wait_for("one is left", PATIENCE, || (cloud.alive("app").len() == 1).then_some(()));
}

/// A launch that never arrived counts as capacity until that is certain; no server that serves has
/// to go for it.
#[test]
fn a_launch_without_an_answer_costs_no_server_that_serves() {
    let (cloud, proxy, mut daemon) = behind(1, (2, 3));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    proxy.on("RunInstances", Trick::Unsent, u32::MAX);
    daemon.order(&["hold", "app", "3", "--for", "1h", "before"]);
    wait_for("a launch gets lost", PATIENCE, || (proxy.seen("RunInstances") > 2).then_some(()));
    daemon.order(&["resume", "app"]);
    let looked = proxy.seen("DescribeInstances");
    wait_for("it looks a few times", PATIENCE, || {
        assert_eq!(cloud.alive("app").len(), 2, "{}", daemon.log());
        (proxy.seen("DescribeInstances") > looked + 5).then_some(())
    });
    assert_eq!(BTreeSet::from_iter(daemon.in_phase("app", "in service")), BTreeSet::from_iter(two));
}
