//! Why it did, and why it did not, asked of the running daemon.

use serde_json::Value;
use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::terminal::Terminal;
use crate::support::wait_for;

#[test]
fn the_daemon_explains_what_it_did_and_what_it_leaves() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    daemon.wait_in_service("app", 1);
    let line = |text: &str| policy.lines().position(|line| line.contains(text)).unwrap() + 1;

    let told = |words: &str| {
        let explain = || {
            let said = daemon.order(&["explain", "app"]);
            said.contains(words).then_some(said)
        };
        wait_for(words, explain)
    };
    let said = told("app stays at 1 since");
    let min = line("    min: 1");
    assert!(
        said.contains(&format!("no schedule line and no queue: min is 1   (line {min})")),
        "{said}"
    );
    assert!(said.contains("servers   1 in service") && said.contains("range     1 to 3"), "{said}");
    assert!(said.contains("next      nothing is due"), "{said}");

    daemon.order(&["hold", "app", "2", "--for", "1h", "launch day"]);
    daemon.wait_in_service("app", 2);
    for machine in cloud.alive("app") {
        daemon.order(&["keep", machine.id.as_str(), "--for", "1h", "a look inside"]);
    }
    daemon.order(&["resume", "app"]);
    let said = told("It would shrink to 1, but:");
    assert!(said.starts_with("app stays at 2 since"), "{said}");
    assert!(said.contains("1 more than wanted, 0 may go now"), "{said}");
    assert_eq!(said.matches("  stays     i-").count(), 2, "{said}");
    assert!(said.contains("next      by itself, not before"), "{said}");
    assert_eq!(cloud.alive("app").len(), 2, "and so it is");

    cloud.pin(12);
    let explain = || {
        let said: Value = serde_json::from_str(&daemon.order(&["explain", "--json"])).ok()?;
        let job = said["fleets"].as_array()?.iter().find(|fleet| fleet["name"] == "job")?.clone();
        (job["reading"]["waiting"] == 12).then_some(job)
    };
    let job = wait_for("a reading of 12", explain);
    assert_eq!(job["because"][0]["rule"], "queue_between", "{job}");
    assert_eq!(job["because"][0]["line"], line("    queue: {"), "{job}");
    assert!(job["next_reading"].is_string(), "{job}");

    let history = daemon.order(&["history", "app", "--since", "10m"]);
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines.iter().any(|line| line.contains("0 -> 1: ")), "{history}");
    assert!(lines.iter().any(|line| line.contains("1 -> 2: held at 2 by ann")), "{history}");
    assert!(lines.iter().any(|line| line.contains("  override ")), "{history}");

    let unknown = daemon.ask(&["explain", "none"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(daemon.ask(&["explain"]).status.code(), Some(69), "nobody is there to ask");
    let past = daemon.order(&["explain", "app", "--at", "now"]);
    assert!(past.contains("app stayed at 2 from"), "{past}");
}

/// In a terminal, as a person has it: what changes is seen, a daemon that goes away is told over what
/// it said last, and Ctrl-C gives the terminal back.
#[test]
fn a_watched_status_follows_the_daemon_through_its_death_and_back() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 3)));
    let nobody = daemon.ask(&["status", "--watch", "--json"]);
    assert_eq!(nobody.status.code(), Some(69), "{nobody:?}");
    daemon.start();
    daemon.wait_in_service("app", 1);
    let piped = daemon.ask(&["status", "--watch"]);
    assert_eq!(piped.status.code(), Some(2), "no terminal: {piped:?}");

    let mut terminal = Terminal::open(&daemon.command(&["status", "--watch"]), 100, 30);
    terminal.wait("desired 1   capacity 1   in service 1");
    daemon.order(&["hold", "app", "2", "--for", "1h", "a look"]);
    terminal.wait("desired 2   capacity 2   in service 2");
    daemon.kill_9();
    terminal.wait("STALE  no daemon listens at ");
    assert!(terminal.shown().contains("in service 2"), "what it said last stays");
    daemon.start();
    let back = || Some(terminal.shown()).filter(|shown| !shown.contains("STALE"));
    let shown = wait_for("it is back", back);
    assert!(shown.contains("in service 2"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100));
    let (code, rest) = terminal.interrupt();
    assert_eq!(code, 0);
    assert!(rest.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{rest:?}");
}
