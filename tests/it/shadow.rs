//! A second policy beside the live one, in the real daemon: it changes nothing, outlives a
//! `kill -9`, and is compared in the end.

use serde_json::Value;
use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::wait_for;

fn fleet(daemon: &Daemon, name: &str) -> Option<Value> {
    let output = daemon.ask(&["shadow", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).ok()?;
    said["fleets"].as_array()?.iter().find(|fleet| fleet["fleet"] == name).cloned()
}

#[test]
fn a_shadow_tells_and_changes_nothing() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    let next = daemon.folder.path().join("next.yaml");
    std::fs::write(&next, policy.replace("scale_out: { above: 20 }", "scale_out: { above: 7 }"))
        .unwrap();
    let output = daemon.ask(&["shadow"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    daemon.start_with(&["--shadow", next.to_str().unwrap()]);
    daemon.wait_in_service("app", 1);
    // Over the one threshold, and not over the other.
    cloud.pin(12);
    let wants = |fleet: &Value| {
        let last = fleet["decisions"].as_array()?.last()?.clone();
        Some((last["live"].as_u64()?, last["shadow"].as_u64()?))
    };
    let apart = || fleet(&daemon, "job").filter(|fleet| wants(fleet) == Some((0, 2)));
    let told = wait_for("the two are apart", apart);
    assert_eq!(told["shadow"]["launches"], 2, "{told}");
    assert_eq!(told["live"]["launches"], 0, "{told}");
    assert!(cloud.alive("job").is_empty(), "nothing is launched for the second policy");
    let text = daemon.order(&["shadow"]);
    assert!(text.contains("They wanted different numbers"), "{text}");
    assert!(text.contains("12 jobs waiting, over 7: add 1"), "{text}");

    daemon.kill_9();
    daemon.start_with(&["--shadow", next.to_str().unwrap()]);
    cloud.pin(0);
    let again = || fleet(&daemon, "job").filter(|fleet| wants(fleet) == Some((0, 0)));
    let told = wait_for("it goes on from there", again);
    assert_eq!(told["shadow"]["launches"], 2, "the record is the same: {told}");
    assert!(told["apart_seconds"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(cloud.launched(), 1);
    assert_eq!(daemon.stop(), 0);
}
