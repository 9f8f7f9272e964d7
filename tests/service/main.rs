//! The shipped service under a real systemd: installed, started, ordered, killed, upgraded, purged.
//!
//! Only drop-ins are added to the unit: where the simulated AWS is, and a short watchdog for one step.
//! `tests/run service` makes the package and the Debian to try it in; root alone can boot one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "what failed is on stderr")]
#![expect(clippy::disallowed_methods, reason = "tests of processes wait by the real clock")]

#[expect(dead_code, reason = "another suite uses the rest")]
#[path = "../it/support/cloud.rs"]
mod cloud;
#[expect(dead_code, reason = "another suite uses the rest")]
mod container;
#[expect(dead_code, reason = "another suite uses the rest")]
#[path = "../it/hang.rs"]
mod hang;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tidegate::sim::faults::Troubles;

use self::cloud::Cloud;
use self::container::{Container, package};
use self::hang::wait_for;

const DROP_INS: &str = "/etc/systemd/system/tidegate.service.d";

/// Where the simulated AWS is; nothing else of the unit is changed.
fn point_at(container: &Container, cloud: &Cloud) {
    let environment = [
        ("AWS_ENDPOINT_URL", cloud.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let mut text = "[Service]\n".to_owned();
    for (name, value) in environment {
        text += &format!("Environment={name}={value}\n");
    }
    container.write(&format!("{DROP_INS}/aws.conf"), &text);
}

fn policy(cloud: &Cloud, max: u32) -> String {
    cloud.policy("classic", (2, max))
}

fn ids(cloud: &Cloud) -> BTreeSet<String> {
    cloud.alive("app").iter().map(|machine| machine.id.to_string()).collect()
}

/// Waits until so many servers of `app` are in service, by the daemon's own word.
#[track_caller]
fn wait_in_service(container: &Container, cloud: &Cloud, count: u64) -> BTreeSet<String> {
    wait_for("the servers are in service", || {
        let said = container.run(&["tidegate", "status", "--json"]);
        let status: Value = serde_json::from_slice(&said.stdout).ok()?;
        let fleets = status["fleets"].as_array()?;
        let app = fleets.iter().find(|fleet| fleet["name"] == "app")?;
        (app["in_service"] == count).then(|| ids(cloud))
    })
}

/// The package as it was one version ago: the same, but for its number.
fn older_package(folder: &Path) -> PathBuf {
    let (tree, older) = (folder.join("older"), folder.join("tidegate-older.deb"));
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).status().unwrap();
        assert!(status.success(), "{program} {args:?}");
    };
    let (tree, to) = (tree.to_str().unwrap(), older.to_str().unwrap());
    run("dpkg-deb", &["-R", package().to_str().unwrap(), tree]);
    let control = format!("{tree}/DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let version = |line: &str| line.starts_with("Version: ");
    let lines: Vec<&str> =
        text.lines().map(|line| if version(line) { "Version: 0.0.9-1" } else { line }).collect();
    fs::write(&control, lines.join("\n") + "\n").unwrap();
    run("dpkg-deb", &["--root-owner-group", "-Znone", "-b", tree, to]);
    fs::remove_dir_all(tree).unwrap();
    older
}

/// Every entry of the service's log that is about a fleet says so in its message.
fn assert_log_names_fleets(container: &Container) {
    let log = container.ok(&["journalctl", "--no-pager", "-o", "json", "-u", "tidegate"]);
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut named = 0;
    for entry in entries {
        let message = entry["MESSAGE"].as_str().unwrap_or_default();
        if let Some(fleet) = entry["F_FLEET"].as_str() {
            assert!(message.starts_with(&format!("{fleet}: ")), "{message}");
            named += 1;
        }
    }
    assert!(named > 4, "{log}");
}

#[test]
fn packaged_service_lives_from_install_to_purge() {
    let cloud = Cloud::new(Troubles::new());
    let container = Container::boot("package");
    let root = container.path("/");

    // Installed, and not started.
    let older = older_package(&root);
    container.ok(&["dpkg", "-i", &format!("/{}", older.file_name().unwrap().display())]);
    let unit = fs::read(container.path("/lib/systemd/system/tidegate.service")).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tidegate.service");
    assert_eq!(unit, fs::read(shipped).unwrap(), "the unit is the one that ships");
    assert_eq!(container.shows("ActiveState"), "inactive");

    // Started: systemd reports success once the daemon is ready.
    point_at(&container, &cloud);
    container.write("/etc/tidegate/policies.yaml", &policy(&cloud, 3));
    container.ok(&["systemctl", "daemon-reload"]);
    container.ok(&["systemctl", "enable", "--now", "tidegate"]);
    assert_eq!(container.shows("ActiveState"), "active");
    let state = container.path("/var/lib/tidegate");
    assert!(state.is_symlink(), "a dynamic user's directory is behind a link");
    let two = wait_in_service(&container, &cloud, 2);
    assert_eq!(two.len(), 2);

    // Orders are for the group and for nobody else.
    container.ok(&["useradd", "-G", "tidegate", "ann"]);
    container.ok(&["useradd", "bob"]);
    let hold = ["tidegate", "hold", "app", "3", "--for", "1h", "launch", "day"];
    let as_user = |user| [&["runuser", "-u", user, "--"][..], &hold].concat();
    let refused = container.run(&as_user("bob"));
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not open to this user"));
    assert_eq!(ids(&cloud), two);
    container.ok(&as_user("ann"));
    let three = wait_in_service(&container, &cloud, 3);
    let log = container.journal();
    let held = log.lines().find(|line| line.contains("app: held at 3 by ann")).unwrap();
    // The policy's zone is Winnipeg, the host's is UTC, and so is the line's stamp.
    assert!(held.contains("+00:00") && !held.contains("-06:00"), "{held}");

    // Reloaded, with a bad file and with a good one.
    let pid = container.shows("MainPID");
    container.write("/etc/tidegate/policies.yaml", "version: 1\nfleets: [\n");
    assert!(!container.run(&["systemctl", "reload", "tidegate"]).status.success());
    assert_eq!(container.shows("ActiveState"), "active");
    container.write("/etc/tidegate/policies.yaml", &policy(&cloud, 4));
    container.ok(&["systemctl", "reload", "tidegate"]);
    wait_for("the new policy is in force", || {
        let said = container.ok(&["tidegate", "status", "--json"]);
        said.contains("\"max\":4").then_some(())
    });
    assert_eq!(container.shows("MainPID"), pid);

    // Killed: systemd starts it again, and its journal still has the hold.
    container.ok(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "tidegate"]);
    container.wait_restarted(&pid);
    assert_eq!(wait_in_service(&container, &cloud, 3), three);
    assert!(container.ok(&["tidegate", "explain", "app"]).contains("held at 3 by ann"));

    // Stopped in its tracks: the watchdog ends it.
    let watchdog = format!("{DROP_INS}/watchdog.conf");
    container.write(&watchdog, "[Service]\nWatchdogSec=10\n");
    container.ok(&["systemctl", "daemon-reload"]);
    container.ok(&["systemctl", "restart", "tidegate"]);
    let pid = container.shows("MainPID");
    container.ok(&["systemctl", "kill", "--signal=STOP", "--kill-whom=main", "tidegate"]);
    let pid = container.wait_restarted(&pid);
    assert!(container.journal().contains("Watchdog timeout"), "{}", container.journal());
    fs::remove_file(container.path(&watchdog)).unwrap();
    container.ok(&["systemctl", "daemon-reload"]);
    assert_eq!(wait_in_service(&container, &cloud, 3), three);

    // Upgraded while it runs.
    fs::copy(package(), container.path("/tidegate.deb")).unwrap();
    container.ok(&["dpkg", "-i", "/tidegate.deb"]);
    container.wait_restarted(&pid);
    assert_eq!(wait_in_service(&container, &cloud, 3), three);
    assert_log_names_fleets(&container);

    // Stopped: servers stay, the socket goes.
    container.ok(&["systemctl", "stop", "tidegate"]);
    assert_eq!((container.shows("Result"), container.shows("ExecMainStatus")), ok_and_zero());
    assert!(!container.run(&["test", "-e", "/run/tidegate"]).status.success());
    assert_eq!(ids(&cloud), three);
    assert_eq!(cloud.launched(), 3);

    // Removed while it runs: policy and record stay. Purged: nothing does.
    container.ok(&["systemctl", "start", "tidegate"]);
    container.ok(&["dpkg", "-r", "tidegate"]);
    let processes = container.ok(&["sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null || true"]);
    assert!(!processes.lines().any(|name| name == "tidegate"), "{processes}");
    assert!(container.path("/etc/tidegate/policies.yaml").exists());
    assert!(state.join("state.db").exists());
    fs::remove_dir_all(container.path(DROP_INS)).unwrap();
    container.ok(&["dpkg", "-P", "tidegate"]);
    fs::remove_file(container.path("/tidegate.deb")).unwrap();
    fs::remove_file(older).unwrap();
    let left = container.ok(&["find", "/", "-xdev", "-name", "*tidegate*"]);
    assert_eq!(left, "", "a purge leaves files");
    assert_eq!(ids(&cloud), three);
}

fn ok_and_zero() -> (String, String) {
    ("success".to_owned(), "0".to_owned())
}

/// Without the package there is no user of that name beforehand: systemd makes one up.
#[test]
fn hand_installed_unit_runs_as_a_dynamic_user() {
    let cloud = Cloud::new(Troubles::new());
    let container = Container::boot("by-hand");
    let tree = container.path("/unpacked");
    let unpacked = Command::new("dpkg-deb").arg("-x").arg(package()).arg(&tree).status().unwrap();
    assert!(unpacked.success());
    fs::copy(tree.join("usr/bin/tidegate"), container.path("/usr/bin/tidegate")).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tidegate.service");
    let unit = container.path("/etc/systemd/system/tidegate.service");
    fs::copy(shipped, unit).unwrap();
    point_at(&container, &cloud);
    container.write("/etc/tidegate/policies.yaml", &policy(&cloud, 3));
    assert!(!container.run(&["id", "tidegate"]).status.success());
    container.ok(&["systemctl", "daemon-reload"]);
    container.ok(&["systemctl", "enable", "--now", "tidegate"]);
    let two = wait_in_service(&container, &cloud, 2);
    assert_eq!(two.len(), 2);
    let pid = container.shows("MainPID");
    container.ok(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "tidegate"]);
    container.wait_restarted(&pid);
    assert_eq!(wait_in_service(&container, &cloud, 2), two);
    container.ok(&["systemctl", "stop", "tidegate"]);
    assert_eq!((container.shows("Result"), container.shows("ExecMainStatus")), ok_and_zero());
    assert_eq!(ids(&cloud), two);
}
