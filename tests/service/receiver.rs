//! The receiver of a graceful drain as it ships, under a real systemd: it stops delayed_job workers
//! that work on a real PostgreSQL, and reads the drain from a simulated metadata service.
//!
//! `tests/run service` makes the Debian to boot; root alone can boot one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "what failed is on stderr")]
#![expect(clippy::disallowed_methods, reason = "tests of processes wait by the real clock")]

#[expect(dead_code, reason = "another suite uses the rest")]
mod container;
#[expect(dead_code, reason = "another suite uses the rest")]
#[path = "../it/hang.rs"]
mod hang;
mod metadata;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use self::container::Container;
use self::hang::{wait_for, wait_or_tell};
use self::metadata::{Metadata, Mode};

/// After this systemd kills a unit that it stops, unless the unit says otherwise.
const DEFAULT_STOP: Duration = Duration::from_secs(90);
const DEADLINE: &str = "2026-12-01T12:30:00Z";
const CONFIG: &str = "etc/tidegate-server/drain.conf";
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants";

fn draining() -> Mode {
    Mode::Tag(Some(DEADLINE.to_owned()))
}

/// Copies files of this repository into a folder of a container.
fn install(root: &Path, from: &str, names: &[&str], to: &str, mode: u32) {
    let to = root.join(to);
    fs::create_dir_all(&to).unwrap();
    for name in names {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(from).join(name);
        fs::copy(source, to.join(name)).unwrap();
        fs::set_permissions(to.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
}

fn install_app(root: &Path, port: u16) {
    install(root, "tests/service/app", &["app.rb", "setup.rb", "enqueue.rb"], "srv/app", 0o644);
    install(root, "tests/service/app", &["delayed_job"], "srv/app", 0o755);
    fs::write(root.join("srv/app/port"), port.to_string()).unwrap();
}

/// A host with PostgreSQL, as an application has one beside its servers.
struct Database {
    container: Container,
    port: u16,
}

impl Database {
    fn start(name: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let container = Container::start_with_jobs(name, |root| {
            let folder = root.join("etc/postgresql/15/main");
            fs::write(folder.join("conf.d/test.conf"), format!("port = {port}\n")).unwrap();
            let anybody = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
            fs::write(folder.join("pg_hba.conf"), anybody).unwrap();
            install_app(root, port);
        });
        container.wait_booted();
        let database = Self { container, port };
        wait_for("PostgreSQL answers", || {
            let user = ["-U", "postgres", "-c", "CREATE ROLE app LOGIN"];
            database.psql(&user).status.success().then_some(())
        });
        database.container.ok(&[
            "createdb",
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-U",
            "postgres",
            "-O",
            "app",
            "app",
        ]);
        database.container.ok(&["ruby", "/srv/app/setup.rb"]);
        database
    }

    fn psql(&self, arguments: &[&str]) -> std::process::Output {
        let port = self.port.to_string();
        let fixed = ["psql", "-h", "127.0.0.1", "-p", &port, "-At"];
        self.container.run(&[&fixed[..], arguments].concat())
    }

    /// A job that takes so many seconds, or is `held` until the test releases it.
    fn enqueue(&self, queue: &str, name: &str, seconds: &str) {
        self.container.ok(&["ruby", "/srv/app/enqueue.rb", queue, name, seconds]);
    }

    /// What has happened to a job, as it recorded itself.
    #[track_caller]
    fn events(&self, job: &str) -> String {
        let query = format!("SELECT event FROM events WHERE job = '{job}' ORDER BY id");
        let output = self.psql(&["-U", "app", "-c", &query, "app"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().replace('\n', " ")
    }

    #[track_caller]
    fn wait_events(&self, job: &str, events: &str) {
        wait_or_tell(
            || format!("{job}: {events}; {}", self.events(job)),
            || (self.events(job) == events).then_some(()),
        );
    }

    /// Rows of delayed_job's own table: what is queued, at work, or failed.
    fn rows(&self) -> String {
        let output = self.psql(&["-U", "app", "-c", "SELECT count(*) FROM delayed_jobs", "app"]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// The receiver's configuration file.
fn settings(metadata: &Metadata, units: &str) -> String {
    let endpoint = &metadata.endpoint;
    format!("UNITS=\"{units}\"\nBOOT_WAIT=15\nAWS_EC2_METADATA_SERVICE_ENDPOINT={endpoint}\n")
}

/// Boots a server as an AMI would: worker units that start at boot, and the receiver.
fn server(name: &str, workers: &[&str], database: &Database, metadata: &Metadata) -> Container {
    Container::start_with_jobs(name, |root| {
        fs::remove_file(root.join(ENABLED).join("postgresql.service")).unwrap();
        // The journal outlives a power-off.
        fs::create_dir_all(root.join("var/log/journal")).unwrap();
        install_app(root, database.port);
        let units = "etc/systemd/system";
        install(root, "tests/service/app", &["delayed_job@.service"], units, 0o644);
        // As deploy/server/README.md has it.
        let ours =
            ["tidegate-drain.service", "tidegate-drain.timer", "tidegate-drain-boot.service"];
        install(root, "deploy/server", &["tidegate-drain"], "usr/local/sbin", 0o755);
        install(root, "deploy/server", &ours, units, 0o644);
        install(
            root,
            "deploy/server",
            &["worker.conf"],
            &format!("{units}/delayed_job@.service.d"),
            0o644,
        );
        let enable = |wanted_by: &str, name: &str, unit: &str| {
            let folder = root.join(units).join(wanted_by);
            fs::create_dir_all(&folder).unwrap();
            symlink(format!("/{units}/{unit}"), folder.join(name)).unwrap();
        };
        enable("timers.target.wants", ours[1], ours[1]);
        enable("multi-user.target.wants", ours[2], ours[2]);
        for worker in workers {
            let unit = format!("delayed_job@{worker}.service");
            enable("multi-user.target.wants", &unit, "delayed_job@.service");
        }
        fs::create_dir_all(root.join("etc/tidegate-server")).unwrap();
        fs::write(root.join(CONFIG), settings(metadata, "delayed_job@*.service")).unwrap();
    })
}

impl Container {
    fn shows_of(&self, worker: &str, property: &str) -> String {
        let unit = format!("delayed_job@{worker}.service");
        let argument = format!("--property={property}");
        self.ok(&["systemctl", "show", "--value", &argument, &unit]).trim().to_owned()
    }

    #[track_caller]
    fn wait_state(&self, worker: &str, state: &str) {
        wait_or_tell(
            || format!("worker {worker} is {state}\n{}", self.log()),
            || (self.shows_of(worker, "ActiveState") == state).then_some(()),
        );
    }

    /// The journal of the receiver and the workers, since the first boot; also after a power-off.
    fn log(&self) -> String {
        let output = std::process::Command::new("journalctl")
            .arg("-D")
            .arg(self.path("/var/log/journal"))
            .args(["--no-pager", "-o", "short-precise"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let about_us =
            |line: &&str| ["tidegate", "delayed_job"].iter().any(|name| line.contains(name));
        text.lines().filter(about_us).collect::<Vec<_>>().join("\n")
    }
}

/// Waits until the receiver has run so many times in the present mode.
#[track_caller]
fn wait_runs(metadata: &Metadata, count: u32) {
    let before = metadata.answered();
    wait_for("the receiver reads the tag", || {
        (metadata.answered() >= before + count).then_some(())
    });
}

/// The job lasts twice as long as systemd waits by default. A server that boots with the tag starts
/// no work.
#[test]
fn drain_finishes_the_job_then_powers_off() {
    let database = Database::start("receiver-database-1");
    let metadata = Metadata::new(Mode::Tag(None));
    let mut server = server("receiver-drain", &["a"], &database, &metadata);
    server.wait_booted();
    let units = ["tidegate-drain.service", "tidegate-drain.timer", "tidegate-drain-boot.service"];
    let verified = server.run(&[&["systemd-analyze", "verify"][..], &units].concat());
    let found = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !found.contains("tidegate-drain"), "{found}");
    database.enqueue("a", "long", "180");
    database.wait_events("long", "started");
    database.enqueue("a", "next", "0");
    metadata.set(draining());
    server.wait_state("a", "deactivating");
    let stopped = Instant::now();
    assert_eq!(server.shows_of("a", "TimeoutStopUSec"), "infinity");
    std::thread::sleep(DEFAULT_STOP + Duration::from_secs(10));
    assert_eq!(database.events("long"), "started");
    assert_eq!(server.shows_of("a", "ActiveState"), "deactivating");
    server.wait_powered_off();
    assert_eq!(
        (database.events("long"), database.events("next")),
        ("started done".into(), String::new())
    );
    assert_eq!(database.rows(), "1", "the next job is queued, the long one is done");
    assert!(stopped.elapsed() > DEFAULT_STOP);
    let first = server.log();
    eprintln!("{first}");
    assert_eq!(first.matches("Started delayed_job@a").count(), 1, "{first}");
    assert!(first.contains("draining: waiting for delayed_job@a.service to finish"), "{first}");
    assert_eq!(first.matches("powering off").count(), 1, "{first}");

    // Booted with the tag: it powers off and starts no worker.
    server.start_again();
    server.wait_powered_off();
    let second = server.log();
    assert_eq!(second.matches("Started delayed_job@a").count(), 1, "{second}");
    assert_eq!(second.matches("powering off").count(), 2, "{second}");
    assert_eq!(database.events("next"), "");

    // Without the tag the same server works.
    metadata.set(Mode::Tag(None));
    server.start_again();
    database.wait_events("next", "started done");

    // A mistyped name in the settings: the server may do more than the receiver can stop.
    server.write(CONFIG, &settings(&metadata, "delayed_job@*.service mistyped@*.service"));
    metadata.set(draining());
    wait_runs(&metadata, 2);
    assert_eq!(server.shows_of("a", "ActiveState"), "active");
    let third = server.log();
    assert_eq!(third.matches("no unit is called mistyped@*.service").count(), 1, "{third}");
    assert_eq!(metadata.without_token(), 0);
}

/// Unknown is neither a drain nor its end. A cancelled drain brings each worker back as soon as it
/// can.
#[test]
fn cancelled_drain_restarts_each_worker() {
    let database = Database::start("receiver-database-2");
    let metadata = Metadata::new(Mode::Unavailable);
    let server = server("receiver-cancel", &["busy", "idle"], &database, &metadata);
    // The role waits for the metadata service for a limited time.
    server.wait_booted();
    database.enqueue("busy", "held", "held");
    database.wait_events("held", "started");
    let workers = ["busy", "idle"].map(|worker| server.shows_of(worker, "MainPID"));
    for mode in [Mode::Unavailable, Mode::Refusing, Mode::NoTags] {
        metadata.set(mode);
        wait_runs(&metadata, 2);
    }
    assert_eq!(["busy", "idle"].map(|worker| server.shows_of(worker, "MainPID")), workers);
    let log = server.log();
    assert_eq!(
        log.matches("no session token (503)").count(),
        1,
        "each state is logged once: {log}"
    );
    assert_eq!(log.matches("InstanceMetadataTags=enabled").count(), 1, "{log}");

    metadata.set(draining());
    server.wait_state("busy", "deactivating");
    let stopped = Instant::now();
    server.wait_state("idle", "inactive");
    // A start by another process has no effect, and no answer is not a cancellation.
    server.ok(&["systemctl", "start", "delayed_job@idle.service"]);
    for mode in [Mode::NoTags, Mode::Unavailable] {
        metadata.set(mode);
        wait_runs(&metadata, 2);
    }
    assert_eq!(server.shows_of("idle", "ActiveState"), "inactive");
    assert_eq!(database.events("held"), "started");

    metadata.set(Mode::Tag(None));
    database.enqueue("idle", "fresh", "0");
    database.wait_events("fresh", "started done");
    server.wait_state("idle", "active");
    // Drained and cancelled again, while the other one's start is queued.
    metadata.set(draining());
    server.wait_state("idle", "inactive");
    wait_runs(&metadata, 1);
    let queued = server.ok(&["systemctl", "list-jobs", "--no-legend", "delayed_job@busy.service"]);
    assert!(!queued.contains("start"), "{queued}");
    metadata.set(Mode::Tag(None));
    server.wait_state("idle", "active");
    // The other one still has its job, and all the time that it needs.
    assert_eq!(server.shows_of("busy", "ActiveState"), "deactivating");
    std::thread::sleep((DEFAULT_STOP + Duration::from_secs(10)).saturating_sub(stopped.elapsed()));
    wait_runs(&metadata, 2);
    assert_eq!(database.events("held"), "started");
    assert_eq!(server.shows_of("busy", "ActiveState"), "deactivating");
    server.write("/srv/app/release", "");
    database.wait_events("held", "started done");
    server.wait_state("busy", "active");
    database.enqueue("busy", "last", "0");
    database.wait_events("last", "started done");
    // The unit is as the operator wrote it, and the next drain finds it so.
    wait_for("the drop-ins are gone", || {
        let own = |worker| server.shows_of(worker, "TimeoutStopUSec") == "1min 30s";
        (own("busy") && own("idle")).then_some(())
    });
    assert_eq!(database.rows(), "0");
    assert_eq!(metadata.without_token(), 0);
    eprintln!("{}", server.log());
}
