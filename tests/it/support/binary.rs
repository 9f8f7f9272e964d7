//! The built binary as a process: started, asked, killed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tidegate_engine::model::time::Timestamp;

use super::{Folder, output, wait_for, wait_or_tell};

/// A daemon with a policy file and a state directory of its own; killed at the latest on drop.
pub(crate) struct Daemon {
    pub folder: Folder,
    /// What its environment holds besides the usual.
    pub env: Vec<(&'static str, String)>,
    endpoint: String,
    child: Option<Child>,
}

/// The user that these tests run as, whom the daemon sees at the other end of its socket.
pub(crate) fn user() -> String {
    let told = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(told).unwrap().trim().to_owned()
}

fn in_phase(status: &Value, fleet: &str, phase: &str) -> Vec<String> {
    let fleets = status["fleets"].as_array().unwrap().iter();
    let instances = fleets
        .filter(|shown| shown["name"] == fleet)
        .flat_map(|shown| shown["instances"].as_array().unwrap());
    instances
        .filter(|instance| instance["phase"] == phase)
        .map(|instance| instance["id"].as_str().unwrap().to_owned())
        .collect()
}

impl Daemon {
    /// Writes the policy; nothing runs yet.
    pub(crate) fn new(endpoint: &str, policy: &str) -> Self {
        let endpoint = endpoint.to_owned();
        let daemon = Self { folder: Folder::new(), env: Vec::new(), endpoint, child: None };
        daemon.write_policy(policy);
        daemon
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.folder.path().join("policies.yaml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Replaces the file in one step, as an editor does.
    pub(crate) fn write_policy(&self, text: &str) {
        let new = self.folder.path().join("policies.yaml.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.policy()).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        // Another build of the binary can be tried: the one that ships, say.
        let other = std::env::var_os("TIDEGATE_BIN");
        let built = || env!("CARGO_BIN_EXE_tidegate").into();
        let mut command = Command::new(other.unwrap_or_else(built));
        command
            .args(args)
            .arg("--config")
            .arg(self.policy())
            .arg("--state-dir")
            .arg(self.state())
            .arg("--socket")
            .arg(self.socket())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("USER", "ann")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    pub(crate) fn start_with(&mut self, more: &[&str]) {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"));
        self.start_logging_to(log.unwrap().into(), more);
    }

    pub(crate) fn start_logging_to(&mut self, stderr: Stdio, more: &[&str]) {
        let mut command = self.command(&["run", "--log-format", "text"]);
        // Tests run beside one another, and there is one usual port.
        if !more.contains(&"--listen") {
            command.args(["--listen", "off"]);
        }
        command.args(more).stdout(Stdio::null()).stderr(stderr);
        self.child = Some(command.spawn().unwrap());
    }

    /// Every client token in the journal.
    pub(crate) fn tokens(&self) -> BTreeSet<String> {
        let journal = rusqlite::Connection::open(self.state().join("state.db")).unwrap();
        let mut query = journal.prepare("SELECT token FROM servers").unwrap();
        let tokens = query.query_map([], |row| row.get(0)).unwrap();
        tokens.map(Result::unwrap).collect()
    }

    /// Restarts the daemon on a journal that was begun long ago, with all that is in it.
    pub(crate) fn age_journal(&mut self) {
        assert_eq!(self.stop(), 0);
        let journal = rusqlite::Connection::open(self.state().join("state.db")).unwrap();
        let old = "UPDATE begun SET at = '2020-01-01T00:00:00.000000000Z'";
        assert_eq!(journal.execute(old, []).unwrap(), 1);
        drop(journal);
        self.start();
        wait_for("it looks again", || self.status());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How often the log says so.
    pub(crate) fn says(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Runs another command of the binary to its end.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        output(&mut self.command(args))
    }

    #[track_caller]
    pub(crate) fn order(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}\n{}",
            said,
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.ask(&["status", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// `fleet`'s instances in the phase.
    pub(crate) fn in_phase(&self, fleet: &str, phase: &str) -> Vec<String> {
        self.status().map_or_else(Vec::new, |status| in_phase(&status, fleet, phase))
    }

    /// Until so many are in service by a tick that begins from here on: the picture is one of a
    /// finished tick, so what the log or the world has told already may not be in it yet.
    #[track_caller]
    pub(crate) fn wait_in_service(&self, fleet: &str, count: usize) -> Vec<String> {
        let asked = Timestamp::now();
        let begun_since = |status: &Value| {
            let tick: Timestamp = status["last_tick"].as_str().unwrap().parse().unwrap();
            tick > asked
        };
        wait_or_tell(
            || {
                let (status, log) = (self.status(), self.log());
                format!("{count} of {fleet} in service\n{status:?}\n{log}")
            },
            || {
                let status = self.status().filter(begun_since)?;
                Some(in_phase(&status, fleet, "in service")).filter(|found| found.len() == count)
            },
        )
    }

    /// Waits until so many ticks that begin from here on are finished: for what must not happen.
    #[track_caller]
    pub(crate) fn wait_ticks(&self, count: usize) {
        let (asked, mut seen) = (Timestamp::now(), BTreeSet::new());
        wait_or_tell(
            || format!("{count} ticks\n{}", self.log()),
            || {
                let last = self.status()?["last_tick"].as_str()?.to_owned();
                if last.parse::<Timestamp>().unwrap() > asked {
                    seen.insert(last);
                }
                (seen.len() >= count).then_some(())
            },
        );
    }

    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str) {
        wait_or_tell(
            || format!("the log says `{text}`:\n{}", self.log()),
            || (self.says(text) > 0).then_some(()),
        );
    }

    /// Waits until the last reading of `fleet`'s queue has so many jobs.
    #[track_caller]
    pub(crate) fn wait_reading(&self, fleet: &str, waiting: u64) {
        wait_or_tell(
            || format!("{waiting} jobs of {fleet} wait:\n{}", self.log()),
            || {
                let told = self.ask(&["explain", "--json"]).stdout;
                let told: Value = serde_json::from_slice(&told).ok()?;
                let mut fleets = told["fleets"].as_array()?.iter();
                let found = fleets.find(|shown| shown["name"] == fleet)?;
                (found["reading"]["waiting"] == waiting).then_some(())
            },
        );
    }

    pub(crate) fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it with a shell script in front, which ends with `exec "$@"`. `$0` is the state
    /// directory; what the script mounts is seen by the daemon alone, and gone with it.
    pub(crate) fn start_after(&mut self, script: &str, namespace: bool) {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"));
        let run = self.command(&["run", "--log-format", "text", "--listen", "off"]);
        let mut command = Command::new(if namespace { "unshare" } else { "sh" });
        if namespace {
            command.args(["--user", "--map-root-user", "--mount", "sh"]);
        }
        command.arg("-c").arg(script).arg(self.state()).arg(run.get_program());
        command.args(run.get_args()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(run.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap());
        std::fs::create_dir_all(self.state()).unwrap();
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits for it to end by itself.
    pub(crate) fn ended(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let look = || child.try_wait().unwrap();
        wait_for("an end", look).code().unwrap()
    }

    pub(crate) fn pid(&self) -> String {
        self.child.as_ref().unwrap().id().to_string()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Processor time so far, in user and kernel; the kernel counts hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let pid = self.child.as_ref().unwrap().id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // Behind the name in brackets, which may hold anything: state is field 3, utime 14, stime 15.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let used: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(used * 10)
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal("TERM");
        let mut child = self.child.take().unwrap();
        let status = wait_for("exit after SIGTERM", || child.try_wait().unwrap());
        status.code().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill_9();
    }
}
