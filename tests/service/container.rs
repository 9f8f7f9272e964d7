//! A clean Debian with a systemd of its own, in namespaces that end with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::hang::{HANG, wait_for};

/// Longer than all tests together, in case this process is killed.
const LIFE_SECONDS: &str = "3000";

pub(crate) struct Container {
    root: PathBuf,
    chain: Child,
    init: u32,
}

/// A path that `tests/run` hands over.
fn given(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!("{variable} is not set: run these tests with `tests/run service`, as root"),
    }
}

/// The Debian package under test.
pub(crate) fn package() -> PathBuf {
    given("TIDEGATE_PACKAGE")
}

fn succeeds(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

impl Container {
    /// Unpacks the Debian into a folder of its own and boots it.
    pub(crate) fn boot(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("service-{name}"));
        fs::remove_dir_all(&root).ok();
        fs::create_dir_all(&root).unwrap();
        succeeds(Command::new("tar").arg("-C").arg(&root).arg("-xf").arg(given("TIDEGATE_DEBIAN")));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/boot.sh");
        let log = fs::File::create(root.with_extension("log")).unwrap();
        // Each process dies with the one before it, and the first of a PID namespace takes the rest.
        let dies_too = ["setpriv", "--pdeathsig", "KILL", "--"];
        let mut chain = Command::new("env")
            .args(dies_too)
            .args(["timeout", "--foreground", "-s", "KILL", LIFE_SECONDS])
            .args(dies_too)
            .args(["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup"])
            .args(["--kill-child", "sh"])
            .arg(script)
            .arg(&root)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let init = wait_for("systemd runs", || {
            assert_eq!(chain.try_wait().unwrap(), None, "it ended: see {}.log", root.display());
            // timeout, unshare, and the process that becomes systemd.
            let init = child_of(child_of(chain.id())?)?;
            let name = fs::read_to_string(format!("/proc/{init}/comm")).ok()?;
            (name.trim() == "systemd").then_some(init)
        });
        let container = Self { root, chain, init };
        wait_for("Debian has booted", || {
            let said = container.run(&["systemctl", "is-system-running"]);
            String::from_utf8_lossy(&said.stdout).contains("running").then_some(())
        });
        container
    }

    /// The path of a file from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a command inside to its end.
    pub(crate) fn run(&self, command: &[&str]) -> Output {
        let init = self.init.to_string();
        // Without -r and -w systemctl says that there is no systemd.
        Command::new("timeout")
            .args(["-k", "5", &HANG.as_secs().to_string(), "nsenter", "-t", &init])
            .args(["-m", "-p", "-u", "-i", "-C", "-r", "-w", "env", "-i"])
            .args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}\n{error}\n{}", self.journal());
        said
    }

    /// One property of the service, as systemd has it.
    pub(crate) fn shows(&self, property: &str) -> String {
        let argument = format!("--property={property}");
        self.ok(&["systemctl", "show", "--value", &argument, "tidegate"]).trim().to_owned()
    }

    /// The service's log as `journalctl` prints it.
    pub(crate) fn journal(&self) -> String {
        let said = self.run(&["journalctl", "--no-pager", "-u", "tidegate"]);
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// Waits until the service runs in another process than `before`.
    #[track_caller]
    pub(crate) fn wait_restarted(&self, before: &str) -> String {
        wait_for("the service runs again", || {
            let (state, pid) = (self.shows("ActiveState"), self.shows("MainPID"));
            (state == "active" && pid != before && pid != "0").then_some(pid)
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.journal());
        }
        self.chain.kill().ok();
        self.chain.wait().ok();
        let process = PathBuf::from(format!("/proc/{}", self.init));
        while process.exists() {
            std::thread::sleep(Duration::from_millis(100));
        }
        fs::remove_dir_all(&self.root).ok();
    }
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
