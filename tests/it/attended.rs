//! Orders to the built binary while a tick waits for AWS. Each call of AWS is held until the test lets
//! it go, so an order that is answered before has not waited for it.

use std::time::Duration;

use tidegate::sim::faults::Troubles;
use tidegate_engine::model::launch::Image;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::proxy::{Proxy, Trick};
use crate::support::wait_for;

/// Several ticks.
const A_WHILE: usize = 4;

/// More than are made while the test looks.
const ALL: u32 = 100;

/// From now on no such call is answered, and one is waited for; how many were made.
fn stuck(daemon: &Daemon, proxy: &Proxy, call: &str) -> u32 {
    proxy.on(call, Trick::Held, ALL);
    let asked = proxy.seen(call);
    wait_for("it asks", || (proxy.seen(call) > asked).then_some(()));
    assert!(daemon.ask(&["status"]).status.success());
    proxy.seen(call)
}

fn behind(app: (u32, u32)) -> (Cloud, Proxy, Daemon, String) {
    let cloud = Cloud::new(Troubles::new());
    let proxy = Proxy::new(&cloud.endpoint, 1);
    let policy = cloud.policy("classic", app);
    let daemon = Daemon::new(&proxy.endpoint, &policy);
    (cloud, proxy, daemon, policy)
}

/// What is ordered while it looks is obeyed by the plan of the same tick.
#[test]
fn an_order_in_the_midst_of_an_outage_is_answered_and_obeyed() {
    let (cloud, proxy, mut daemon, _) = behind((2, 4));
    daemon.start();
    daemon.wait_in_service("app", 2);
    // A call is given up in the end. An order that waited for that would never be before it.
    wait_for("answered before the call is given up", || {
        let asked = stuck(&daemon, &proxy, "DescribeInstances");
        daemon.order(&["hold", "app", "4", "--for", "1h", "launch day"]);
        daemon.order(&["pause", "app", "--for", "1h", "not now"]);
        (proxy.seen("DescribeInstances") == asked).then_some(())
    });
    proxy.release();
    daemon.wait_ticks(A_WHILE);
    assert_eq!(cloud.launched(), 2, "paused before the list came: {}", daemon.log());
    daemon.order(&["resume", "app"]);
    daemon.order(&["hold", "app", "3", "--for", "1h", "launch day"]);
    daemon.wait_in_service("app", 3);
}

/// The look under way is for a policy that is no longer in force: it is given up.
#[test]
fn a_reload_in_the_midst_of_an_outage_is_answered_and_in_force() {
    let (cloud, proxy, mut daemon, policy) = behind((3, 4));
    daemon.start();
    let three = daemon.wait_in_service("app", 3);
    let mut edited = policy.replace("min: 3", "min: 2");
    // A call is given up in the end. A reload that waited for that would never be before it.
    wait_for("in force before a call is given up", || {
        let asked = stuck(&daemon, &proxy, "DescribeInstances");
        let told = daemon.says("INFO policy ");
        // Whether by its watch on the file or by the order, it is read once, and the look begins anew.
        edited.push_str("# Edited.\n");
        daemon.write_policy(&edited);
        daemon.order(&["reload"]);
        daemon.order(&["reload"]);
        wait_for("it is in force", || (daemon.says("INFO policy ") > told).then_some(()));
        (proxy.seen("DescribeInstances") <= asked + 1).then_some(())
    });
    proxy.release();
    wait_for("one goes", || (cloud.alive("app").len() == 2).then_some(()));
    let left = daemon.wait_in_service("app", 2);
    assert!(left.iter().all(|id| three.contains(id)));
    assert_eq!(cloud.launched(), 3);
}

/// What is ordered while it acts: the call in hand ends, and none is begun after it.
#[test]
fn an_order_in_the_midst_of_acting_ends_the_turn() {
    let (cloud, proxy, mut daemon, _) = behind((1, 5));
    daemon.start();
    daemon.wait_in_service("app", 1);
    proxy.on("RunInstances", Trick::Held, ALL);
    daemon.order(&["hold", "app", "5", "--for", "1h", "launch day"]);
    wait_for("one is launched", || (cloud.launched() == 2).then_some(()));
    daemon.order(&["pause", "app", "--for", "1h", "not now"]);
    proxy.release();
    daemon.wait_in_service("app", 2);
    daemon.wait_ticks(A_WHILE);
    assert_eq!(cloud.launched(), 2, "{}", daemon.log());
    daemon.order(&["resume", "app"]);
    daemon.order(&["hold", "app", "5", "--for", "1h", "launch day"]);
    daemon.wait_in_service("app", 5);
    assert_eq!(cloud.launched(), 5, "one for each, and none for what was not begun");
}

/// Launches that were not begun are of the policy before: the next plan makes its own.
#[test]
fn a_reload_in_the_midst_of_acting_launches_nothing_by_the_policy_before() {
    let (cloud, proxy, mut daemon, policy) = behind((1, 5));
    daemon.start();
    daemon.wait_in_service("app", 1);
    proxy.on("RunInstances", Trick::Held, ALL);
    daemon.order(&["hold", "app", "4", "--for", "1h", "launch day"]);
    wait_for("one is launched", || (cloud.launched() == 2).then_some(()));
    daemon.write_policy(&policy.replace("ami-0123456789abcdef0", "ami-0fedcba9876543210"));
    daemon.order(&["reload"]);
    proxy.release();
    daemon.wait_in_service("app", 4);
    let images = cloud.alive("app").into_iter().map(|machine| match &machine.request.image {
        Image::Id(id) => id.clone(),
        Image::Template { name, .. } => name.clone(),
    });
    let old = images.filter(|image| image == "ami-0123456789abcdef0").count();
    assert_eq!((old, cloud.launched()), (2, 4), "{}", daemon.log());
}

/// The fleet whose load balancer hangs waits for it, and not for long; the other one goes on.
#[test]
fn a_load_balancer_that_hangs_keeps_no_other_fleet_from_its_servers() {
    let (cloud, proxy, mut daemon, _) = behind((1, 2));
    daemon.start();
    daemon.wait_in_service("app", 1);
    let asked = stuck(&daemon, &proxy, "DescribeInstanceHealth");
    cloud.pin(21);
    wait_for("a job server is launched", || (!cloud.alive("job").is_empty()).then_some(()));
    let waited = proxy.seen("DescribeInstanceHealth");
    assert!(waited <= asked + 2, "not waited for to its end: {}", daemon.log());
    proxy.release();
    daemon.wait_log("over after");
    assert_eq!(daemon.wait_in_service("app", 1).len(), 1);
}

/// What makes others wait for half a minute is told, and once it is over, that too.
#[test]
fn a_slow_tick_is_told() {
    let (_cloud, proxy, mut daemon, _) = behind((1, 2));
    daemon.start();
    daemon.wait_in_service("app", 1);
    stuck(&daemon, &proxy, "DescribeInstances");
    std::thread::sleep(Duration::from_secs(31));
    proxy.release();
    daemon.wait_log("the last tick took");
    daemon.wait_log("over after");
}
