//! The real daemon tells people: of what really happens, over HTTP, and not twice.

use serde_json::Value;
use tidegate::sim::faults::Troubles;

use crate::notices::Server;
use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::{wait_for, wait_or_tell};

/// `KIND KEY` of everything that came.
fn told(server: &Server) -> Vec<String> {
    let letters = server.asked();
    let letters = letters.iter().map(|(_, body)| serde_json::from_str::<Value>(body).unwrap());
    let notices = letters.flat_map(|letter| letter["notices"].as_array().unwrap().clone());
    let text =
        |n: Value| format!("{} {}", n["kind"].as_str().unwrap(), n["key"].as_str().unwrap_or("-"));
    notices.map(text).collect()
}

fn wait_told(server: &Server, daemon: &Daemon, what: &str) {
    let found = || told(server).contains(&what.to_owned()).then_some(());
    wait_or_tell(|| format!("{what} is told; {}", daemon.log()), found);
}

#[test]
fn the_daemon_tells_what_happens_and_a_kill_repeats_nothing() {
    let hook = Server::http(&["200 OK"]);
    let cloud = Cloud::new(Troubles::new());
    let good = cloud.policy("classic", (1, 3));
    let policy = format!(
        "{good}\nnotify:\n  hook: {{ webhook: \"http://{}/\", send: all }}\n",
        hook.address
    );
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    wait_told(&hook, &daemon, "scaled -");
    daemon.write_policy(&policy.replace("/queue/job\"", "/queue/nobody\""));
    wait_told(&hook, &daemon, "problem queue:job");
    wait_told(&hook, &daemon, "policy -");
    // What has arrived and is not written down yet would be told again.
    wait_for("all is written down", || {
        let kept = std::fs::read(daemon.state().join("notices.json")).ok()?;
        let kept: Value = serde_json::from_slice(&kept).ok()?;
        kept["routes"]["hook"]["outbox"]["waiting"].as_array()?.is_empty().then_some(())
    });
    daemon.kill_9();
    daemon.start();
    daemon.wait_log("the queue cannot be read");
    wait_for("it ticks", || daemon.status());
    daemon.order(&["hold", "app", "2", "--for", "1h", "launch", "day"]);
    wait_told(&hook, &daemon, "override -");
    let problems = told(&hook).into_iter().filter(|told| told == "problem queue:job").count();
    assert_eq!(problems, 1, "{:?}", told(&hook));
}
