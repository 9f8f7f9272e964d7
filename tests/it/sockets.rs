//! The admin socket's file: who may take it, what is left alone, what is made again.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::{output, wait_for};

fn daemon(cloud: &Cloud) -> Daemon {
    Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 3)))
}

/// The same command at another socket.
fn at_socket(command: &Command, socket: &Path) -> Command {
    let mut at = Command::new(command.get_program());
    let args: Vec<_> = command.get_args().collect();
    let named = args.iter().position(|arg| *arg == "--socket").unwrap();
    at.args(&args[..=named]).arg(socket).args(&args[named + 2..]);
    at.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    at.stdin(Stdio::null());
    at
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|found| found.ino())
}

#[test]
fn second_daemon_leaves_a_live_socket_alone() {
    let cloud = Cloud::new(Troubles::new());
    let (mut first, second) = (daemon(&cloud), daemon(&cloud));
    first.start();
    let served = first.wait_in_service("app", 1);
    let before = inode(&first.socket());
    // Running, and stopped in its tracks: its queue of connections still stands for a daemon.
    for stopped in [false, true] {
        if stopped {
            first.signal("STOP");
        }
        let run = at_socket(&second.command(&["run", "--listen", "off"]), &first.socket());
        let output = output(&mut { run });
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("another daemon answers at"), "{said}");
        assert!(said.contains("--socket"), "{said}");
        assert_eq!(inode(&first.socket()), before);
    }
    first.signal("CONT");
    first.order(&["hold", "app", "1", "--for", "1h", "it hears its own orders"]);
    assert_eq!(first.wait_in_service("app", 1), served);
}

#[test]
fn path_that_is_no_socket_is_left_alone() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = daemon(&cloud);
    let socket = daemon.socket();
    let precious = daemon.folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let plant: [(&str, &dyn Fn()); 3] = [
        ("a file", &|| fs::write(&socket, "precious").unwrap()),
        ("a link", &|| symlink(&precious, &socket).unwrap()),
        ("a folder", &|| fs::create_dir(&socket).unwrap()),
    ];
    for (what, plant) in plant {
        plant();
        let before = inode(&socket);
        daemon.start();
        assert_eq!(daemon.ended(), 1, "{what}");
        assert_eq!(inode(&socket), before, "{what}");
        daemon.wait_log("is not a socket, so it is left alone");
        fs::remove_file(&socket).or_else(|_| fs::remove_dir(&socket)).unwrap();
        fs::remove_file(daemon.folder.path().join("log")).unwrap();
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

#[test]
fn deleted_socket_is_made_again_and_reported() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = daemon(&cloud);
    daemon.start();
    daemon.wait_in_service("app", 1);
    fs::remove_file(daemon.socket()).unwrap();
    daemon.wait_log("was deleted, and is made again");
    daemon.wait_in_service("app", 1);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(inode(&daemon.socket()), None, "the daemon takes its socket along");
}

#[test]
fn replaced_socket_is_reported_and_left_alone() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = daemon(&cloud);
    daemon.start();
    daemon.wait_in_service("app", 1);
    fs::write(daemon.folder.path().join("other"), "precious").unwrap();
    fs::rename(daemon.folder.path().join("other"), daemon.socket()).unwrap();
    daemon.wait_log("was replaced by another file");
    assert_eq!(daemon.stop(), 0);
    assert_eq!(fs::read(daemon.socket()).unwrap(), b"precious");
}

#[test]
fn drill_uses_the_socket_it_is_given() {
    let cloud = Cloud::new(Troubles::new());
    let daemon = daemon(&cloud);
    let mut drill = daemon
        .command(&["drill", "--for", "10h", "--speed", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the drill answers", || daemon.status());
    let term = ["-s", "TERM", &drill.id().to_string()];
    assert!(Command::new("kill").args(term).status().unwrap().success());
    let mut said = String::new();
    drill.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    drill.wait().unwrap();
    assert!(said.contains(&format!("--socket {}", daemon.socket().display())), "{said}");
    assert_eq!(inode(&daemon.socket()), None);
}
