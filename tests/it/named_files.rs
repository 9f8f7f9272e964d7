//! Files that an operator names, when they are not what they should be, and when they change behind a
//! link.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::proxy::{Proxy, Trick};
use crate::support::{output_of, wait_for};

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg("-m").arg("600").arg(path).status().unwrap().success());
}

type Make<'a> = &'a dyn Fn(&Path);

/// Puts what `make` makes in the place of the policy file, in one step.
fn replace_policy(daemon: &Daemon, make: impl FnOnce(&Path)) {
    let new = daemon.folder.path().join("replacement");
    make(&new);
    fs::rename(new, daemon.policy()).unwrap();
}

/// A change that has nothing to do with which servers there should be.
fn edited(policy: &str) -> String {
    policy.replace("limits: { instances: 10", "limits: { instances: 9")
}

#[test]
fn special_policy_files_never_stop_the_daemon() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    daemon.wait_in_service("app", 1);
    let mut refused = 0;
    let special: [(&str, Make<'_>); 4] = [
        ("it is a pipe", &mkfifo),
        ("device", &|path| symlink("/dev/zero", path).unwrap()),
        ("would wait for more", &|path| symlink("/proc/kmsg", path).unwrap()),
        ("a directory", &|path| symlink("/etc", path).unwrap()),
    ];
    for (why, make) in special {
        // Where the kernel's log cannot be opened, that is the reason.
        let readable = why != "would wait for more" || fs::File::open("/proc/kmsg").is_ok();
        replace_policy(&daemon, |path| make(path));
        refused += 1;
        wait_for("the file is refused", || {
            let warned = |line: &&str| line.contains("WARN") && line.contains("stays in force");
            (daemon.log().lines().filter(warned).count() >= refused).then_some(())
        });
        let log = daemon.log();
        let last =
            log.lines().rfind(|line| line.contains("WARN") && line.contains("stays in force"));
        let last = last.unwrap();
        assert!(last.contains(why) || !readable, "{why}: {last}");
        // It ticks, it hears orders, and it reads a good file again.
        daemon.wait_in_service("app", 1);
        let known = daemon.says("policy ");
        daemon.write_policy(&if refused % 2 == 1 { edited(&policy) } else { policy.clone() });
        wait_for("a good file is read", || (daemon.says("policy ") > known).then_some(()));
        daemon.order(&["reload"]);
    }
    replace_policy(&daemon, mkfifo);
    assert_eq!(daemon.stop(), 0);
    // Nor does it start from one.
    daemon.start();
    assert_eq!(daemon.ended(), 78);
}

#[test]
fn special_secret_files_never_stop_the_daemon() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let folder = Daemon::new(&cloud.endpoint, &policy);
    let secret = folder.folder.path().join("secret");
    mkfifo(&secret);
    let header = format!("header: {{ name: X-Key, secret: {} }}", secret.display());
    let read = format!("{}/queue/job\"", cloud.endpoint);
    let mut daemon = Daemon::new(
        &cloud.endpoint,
        &policy.replace(&format!("{read} }}"), &format!("{read}, {header} }}")),
    );
    daemon.start();
    daemon.wait_in_service("app", 1);
    daemon.wait_log("it is a pipe");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn policy_behind_links_is_read_when_a_link_changes() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    let base = daemon.folder.path().to_owned();
    for (version, text) in [("v1", policy.clone()), ("v2", edited(&policy)), ("v3", policy)] {
        fs::create_dir_all(base.join("conf").join(version)).unwrap();
        fs::write(base.join("conf").join(version).join("p.yaml"), text).unwrap();
    }
    // As configuration management lays releases: the file is a link into a folder that is a link.
    symlink("v1", base.join("conf/current")).unwrap();
    replace_policy(&daemon, |path| symlink("conf/current/p.yaml", path).unwrap());
    daemon.start();
    daemon.wait_in_service("app", 1);
    let changes = || daemon.log().lines().filter(|line| line.contains("policy ")).count();
    let before = changes();
    symlink("v2", base.join("conf/next")).unwrap();
    fs::rename(base.join("conf/next"), base.join("conf/current")).unwrap();
    wait_for("the link's new target is read", || (changes() == before + 1).then_some(()));
    // The folder itself is replaced.
    fs::rename(base.join("conf"), base.join("old")).unwrap();
    fs::create_dir_all(base.join("conf/current")).unwrap();
    fs::copy(base.join("old/v3/p.yaml"), base.join("conf/current/p.yaml")).unwrap();
    wait_for("the new folder is read", || (changes() >= before + 2).then_some(()));
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn commands_read_the_policy_from_a_pipe() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let check = |text: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["check", "--offline", "-c", "/dev/stdin"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It hangs up on what is too large.
        child.stdin.take().unwrap().write_all(text.as_bytes()).ok();
        output_of(child)
    };
    let good = check(&policy);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let large = check(&format!("{policy}{}", "# and more\n".repeat(200_000)));
    let said = String::from_utf8_lossy(&large.stderr);
    assert!(!large.status.success() && said.contains("larger than 1 MiB"), "{said}");
}

/// Whatever creates a file in the state directory, other users cannot read it.
#[test]
fn state_files_are_closed_to_other_users() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 3)));
    fs::create_dir(daemon.state()).unwrap();
    fs::set_permissions(daemon.state(), fs::Permissions::from_mode(0o755)).unwrap();
    daemon.start();
    daemon.wait_in_service("app", 1);
    let mut seen = 0;
    for entry in fs::read_dir(daemon.state()).unwrap() {
        let (path, mode) =
            entry.map(|entry| (entry.path(), entry.metadata().unwrap().mode())).unwrap();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        seen += 1;
    }
    assert!(seen >= 4, "database, log, index and lock: {seen}");
    assert_eq!(daemon.stop(), 0);
    fs::set_permissions(daemon.state(), fs::Permissions::from_mode(0o777)).unwrap();
    daemon.start();
    assert_eq!(daemon.ended(), 1);
    daemon.wait_log("can be written by every user (mode 0777)");
}

/// A launch that fails needs a look; its line begins with the fleet, and has one time zone.
#[test]
fn failed_launch_is_a_warning_with_its_fleet() {
    let cloud = Cloud::new(Troubles::new());
    let proxy = Proxy::new(&cloud.endpoint, 1);
    let mut daemon = Daemon::new(&proxy.endpoint, &cloud.policy("classic", (1, 3)));
    proxy.on("RunInstances", Trick::Unanswered, 1);
    daemon.start();
    daemon.wait_in_service("app", 1);
    daemon.order(&["hold", "app", "1", "--for", "1h", "a time in its text"]);
    daemon.wait_log("app: held at 1 by ann");
    let log = daemon.log();
    let failed = log.lines().find(|line| line.contains("launch of")).unwrap();
    assert!(failed.contains("WARN app: launch of t3"), "{failed}");
    let offset = |text: &str| text.chars().skip(23).take(6).collect::<String>();
    let held = log.lines().find(|line| line.contains("held at 1 by ann")).unwrap();
    // 2026-03-02T08:00:00.000-06:00, and the same offset behind the time in the text.
    assert!(held.matches(&offset(held)).count() >= 2, "{held}");
    assert_eq!(daemon.stop(), 0);
}
