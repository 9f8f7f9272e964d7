//! What the built binary finds beside its ticks. All of it is told, and nothing is done upon it.

use std::time::Duration;

use tidegate::sim::faults::{Trouble, Troubles};
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::model::warning::{Part, Sign, Warning};

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::wait_for;

/// The bill is all that would tell of it: told, and not touched.
#[test]
fn a_volume_that_a_server_left_behind_is_told() {
    let cloud = Cloud::new([Trouble::KeptVolumes].into());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 1)));
    daemon.start();
    let server = daemon.wait_in_service("app", 1).pop().unwrap();
    assert_eq!(daemon.stop(), 0);
    cloud.console_terminate(&server);
    let free = || {
        let mut state = cloud.front.state();
        // Nobody asks the cloud anything meanwhile, and time goes on all the same.
        state.advance(Timestamp::now());
        state.world.free_volumes("main")
    };
    wait_for("its end", || (!free().is_empty()).then_some(()));
    daemon.start();
    daemon.wait_log("1 left behind (20 GiB)");
    let left = free();
    assert_eq!(left.len(), 1);
    let status = daemon.order(&["status"]);
    assert!(status.contains(&format!("{} of app", left[0].id)), "{status}");
    assert_eq!(daemon.stop(), 0);
}

/// What EC2 says of our servers, and of no others.
#[test]
fn an_impaired_server_and_one_that_aws_will_end_are_told() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 2)));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    assert_eq!(daemon.stop(), 0);
    let foreign = cloud.launch_by_hand(&[]);
    let (since, not_before): (Timestamp, Timestamp) =
        ("2026-03-02T08:00:00Z".parse().unwrap(), "2026-03-16T08:00:00Z".parse().unwrap());
    let impaired = |part| Sign::Impaired { part, since: Some(since) };
    let event =
        Sign::Event { code: "instance-retirement".to_owned(), not_before: Some(not_before) };
    let warn = |id: &str, sign: &Sign| {
        let warning = Warning { instance: InstanceId::new(id), sign: sign.clone() };
        cloud.front.state().world.warnings.push(warning);
    };
    warn(&two[0], &impaired(Part::System));
    warn(&two[1], &event);
    warn(foreign.as_str(), &impaired(Part::Instance));
    daemon.start();
    daemon.wait_log(&format!(
        "{}: EC2's own system status check fails since 2026-03-02 02:00-06:00",
        two[0]
    ));
    daemon.wait_log(&format!(
        "{}: AWS announces instance-retirement, not before 2026-03-16 03:00-05:00",
        two[1]
    ));
    assert_eq!(daemon.says(foreign.as_str()), 0, "{}", daemon.log());
    assert_eq!(daemon.wait_in_service("app", 2), two, "told, and left to whoever reads it");
    // What stands is no news after a restart, and not over before somebody has looked.
    assert_eq!(daemon.stop(), 0);
    daemon.start();
    assert_eq!(daemon.wait_in_service("app", 2), two);
    daemon.wait_ticks(3);
    assert_eq!(
        (daemon.says("over after"), daemon.says("AWS announces")),
        (0, 1),
        "{}",
        daemon.log()
    );
    assert_eq!(daemon.stop(), 0);
    cloud.front.state().world.warnings.clear();
    daemon.start();
    wait_for("both are over", || (daemon.says("over after") == 2).then_some(()));
}

#[track_caller]
fn a_drain_that_differs(key: &str, balancer: &Balancer) {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy(key, (1, 1));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    let drain = |seconds| {
        let drain = Duration::from_secs(seconds);
        cloud.front.state().world.members.set_drain(balancer, drain);
    };
    drain(0);
    daemon.start();
    daemon.wait_log(&format!("connection draining of {balancer} is off"));
    // A new policy is reason enough to look again.
    drain(3600);
    daemon.write_policy(&policy.replace("drain: 2s", "drain: 5m"));
    let longer = format!("{balancer} leaves connections 1h, and `drain` is 5m");
    wait_for("the same problem, in other words", || {
        daemon.order(&["status"]).contains(&longer).then_some(())
    });
    drain(300);
    daemon.write_policy(&policy.replace("drain: 2s", "drain: 6m"));
    daemon.wait_log("over after");
    assert_eq!(daemon.says("failed to look"), 0, "{}", daemon.log());
}

#[test]
fn a_classic_load_balancer_that_drains_otherwise_than_the_policy_thinks_is_told() {
    a_drain_that_differs("classic", &Balancer::Classic("web".to_owned()));
}

#[test]
fn a_target_group_that_drains_otherwise_than_the_policy_thinks_is_told() {
    a_drain_that_differs("target_group", &Balancer::TargetGroup("web".to_owned()));
}
