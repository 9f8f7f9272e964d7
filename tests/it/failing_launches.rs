//! The built binary where launches fail: what stops them, and what starts them again.

use tidegate::sim::bad_offering::Failing;
use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;

/// EC2 refuses every launch; then its cause is mended.
fn stopped(how: Failing) -> (Cloud, Daemon) {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 3)));
    cloud.front.state().world.spoil("*", Some(how));
    daemon.start();
    daemon.wait_log("launches stopped after");
    cloud.front.state().world.spoil("*", None);
    daemon.wait_ticks(3);
    assert_eq!(cloud.launched(), 0, "{}", daemon.log());
    (cloud, daemon)
}

#[test]
fn resume_launches_at_once_after_failures() {
    let (_cloud, daemon) = stopped(Failing::Forbidden);
    let said = daemon.order(&["status"]);
    assert!(said.contains("tidegate resume app"), "{said}");
    let said = daemon.order(&["explain", "app"]);
    assert!(said.contains("one probe at "), "{said}");
    let said = daemon.order(&["resume", "app"]);
    assert!(said.contains("its failed launches do not count any more"), "{said}");
    daemon.wait_in_service("app", 1);
    daemon.wait_log("over after");
}

#[test]
fn edit_of_health_launches_at_once_after_failures() {
    let (_cloud, mut daemon) = stopped(Failing::Refused);
    daemon.kill_9();
    daemon.start();
    daemon.wait_ticks(3);
    assert!(daemon.in_phase("app", "in service").is_empty(), "a restart forgives nothing");
    let text = std::fs::read_to_string(daemon.policy()).unwrap();
    let edited = text.replace("timeout: 1m", "timeout: 59s");
    daemon.write_policy(&edited);
    daemon.wait_in_service("app", 1);
}
