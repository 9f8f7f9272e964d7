//! A clean Debian with a systemd of its own, in namespaces that end with the test.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::hang::{HANG, wait_for};

/// Longer than all tests together, in case this process is killed.
const LIFE_SECONDS: &str = "3000";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service/boot.sh");

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

/// Unpacks the archive that `variable` names into a folder of its own. It is in memory, because some
/// disks take a minute to delete so many files.
fn unpack(name: &str, variable: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("service-{name}"));
    // What a test left that was killed.
    remove(&root);
    fs::remove_file(root.with_extension("log")).ok();
    fs::create_dir_all(&root).unwrap();
    succeeds(
        Command::new("mount").args(["-t", "tmpfs", "-o", "mode=0755,size=3g", "tmpfs"]).arg(&root),
    );
    succeeds(Command::new("tar").arg("-C").arg(&root).arg("-xf").arg(given(variable)));
    root
}

fn remove(root: &Path) {
    if root.exists() {
        Command::new("umount").args(["-l", "-q"]).arg(root).status().ok();
        fs::remove_dir_all(root).ok();
    }
}

/// Starts systemd over `root`; returns the process to end, and systemd's own.
fn start(root: &Path) -> (Child, u32) {
    let mut log = fs::File::options();
    let log = log.create(true).append(true).open(root.with_extension("log")).unwrap();
    // Each process dies with the one before it, and the first of a PID namespace takes the rest.
    let dies_too = ["setpriv", "--pdeathsig", "KILL", "--"];
    let mut chain = Command::new("env")
        .args(dies_too)
        .args(["timeout", "--foreground", "-s", "KILL", LIFE_SECONDS])
        .args(dies_too)
        .args(["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--kill-child", "sh"])
        .arg(SCRIPT)
        .arg(root)
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
    (chain, init)
}

impl Container {
    /// Unpacks the Debian into a folder of its own and boots it.
    pub(crate) fn boot(name: &str) -> Self {
        let root = unpack(name, "TIDEGATE_DEBIAN");
        let (chain, init) = start(&root);
        let container = Self { root, chain, init };
        container.wait_booted();
        container
    }

    /// Boots the Debian that has a database and a job system, after `configure` has written into its
    /// folder. Does not wait until it has booted.
    pub(crate) fn start_with_jobs(name: &str, configure: impl FnOnce(&Path)) -> Self {
        let root = unpack(name, "TIDEGATE_DEBIAN_JOBS");
        configure(&root);
        let (chain, init) = start(&root);
        Self { root, chain, init }
    }

    /// Boots the same root again, after [`Self::wait_powered_off`].
    pub(crate) fn start_again(&mut self) {
        assert!(self.chain.try_wait().unwrap().is_some(), "it has not powered off");
        (self.chain, self.init) = start(&self.root);
    }

    pub(crate) fn wait_booted(&self) {
        wait_for("Debian has booted", || {
            let said = self.run(&["systemctl", "is-system-running"]);
            String::from_utf8_lossy(&said.stdout).contains("running").then_some(())
        });
    }

    /// Waits until the machine has powered itself off; a reboot or a crash fails.
    pub(crate) fn wait_powered_off(&mut self) {
        let status = wait_for("the machine powers off", || self.chain.try_wait().unwrap());
        // In a PID namespace the kernel ends the first process so at a power-off.
        assert!(status.signal() == Some(2) || status.code() == Some(130), "{status}");
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
        let off = matches!(self.chain.try_wait(), Ok(Some(_)));
        self.chain.kill().ok();
        self.chain.wait().ok();
        while !off && runs(self.init) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let groups = Command::new("unshare")
            .args(["--mount", "sh", SCRIPT])
            .args([self.root.as_os_str(), "remove".as_ref()])
            .status();
        if !groups.is_ok_and(|status| status.success()) {
            eprintln!("the control groups of {} are left", self.root.display());
        }
        remove(&self.root);
    }
}

/// A first process that has ended took its namespace with it, even if its new parent is slow to reap it.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
