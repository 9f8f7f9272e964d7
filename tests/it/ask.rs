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

/// A hold that looks like a slip is refused with exit code 1 and the reason on stderr. A held fleet is
/// marked wherever it is shown.
#[test]
fn held_fleet_is_marked_wherever_it_is_shown() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (2, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    daemon.wait_in_service("app", 2);
    let refused = daemon.ask(&["hold", "app", "0", "--for", "1h", "a", "slip"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("min is 2, and it would end more than half of 2 servers"), "{why}");
    assert!(why.contains("--force") && refused.stdout.is_empty(), "{why}");

    daemon.order(&["hold", "app", "1", "--force", "--for", "1h", "one", "is", "enough"]);
    daemon.wait_in_service("app", 1);
    let status = daemon.order(&["status"]);
    assert!(status.contains("app   act, held   desired 1"), "{status}");
    assert!(status.contains("  order    held at 1 by ann"), "{status}");
    assert!(!status.contains("job   act, held"), "{status}");
    let explained = daemon.order(&["explain", "app"]);
    assert!(explained.starts_with("app (held) stays at 1"), "{explained}");
    assert!(explained.contains("held at 1 by ann"), "{explained}");
    let json = daemon.status().unwrap();
    let order = &json["fleets"][0]["orders"][0];
    assert_eq!((&order["kind"], &order["capacity"]), (&"hold".into(), &1.into()), "{json}");

    // A pause stands above a hold.
    let paused = daemon.order(&["pause", "app", "--for", "1h", "a", "look"]);
    assert!(paused.starts_with("app: paused by ann"), "{paused}");
    let launch = daemon.order(&["launch", "app", "1"]);
    assert!(launch.contains("the fleet is paused by ann"), "{launch}");
    daemon.wait_ticks(1);
    assert!(daemon.order(&["status"]).contains("app   act, paused   desired 1"));
    daemon.order(&["resume", "app"]);
    daemon.wait_in_service("app", 2);
    assert!(daemon.order(&["status"]).contains("app   act   desired 2"));
}

#[test]
fn reload_of_a_file_in_force_says_since_when() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    daemon.wait_in_service("app", 1);
    let first = daemon.order(&["reload"]);
    assert!(first.contains(" is unchanged: policy "), "{first}");
    let since = |said: &str| said.split(" is in force since ").nth(1).map(str::to_owned);
    let began = since(&first).unwrap_or_else(|| panic!("{first}"));
    // A restart does not make it any younger.
    daemon.kill_9();
    daemon.start();
    daemon.wait_in_service("app", 1);
    assert_eq!(since(&daemon.order(&["reload"])), Some(began.clone()));

    // The daemon takes an edit by itself, and says so afterwards.
    let told = daemon.says("INFO policy ");
    daemon.write_policy(&format!("{policy}# Edited.\n"));
    wait_for("it is in force", || (daemon.says("INFO policy ") > told).then_some(()));
    let edited = daemon.order(&["reload"]);
    assert!(edited.contains(" is unchanged: policy "), "{edited}");
    assert!(since(&edited).is_some_and(|since| since > began), "{edited}, before {began}");
}
