//! The built binary as a process among others: stopped and continued, told to end in the midst of
//! things, its log unread, signals by the hundred, a twin beside it. Every test ends by looking at
//! the world.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidegate::model::balancer::Balancer;
use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::proxy::{Proxy, Trick};
use crate::support::wait_for;

const PATIENCE: Duration = Duration::from_mins(1);

fn classic() -> Balancer {
    Balancer::Classic("web".to_owned())
}

fn behind(app: (u32, u32)) -> (Cloud, Proxy, Daemon) {
    let cloud = Cloud::new(Troubles::new());
    let proxy = Proxy::new(&cloud.endpoint, 1);
    let daemon = Daemon::new(&proxy.endpoint, &cloud.policy("classic", app));
    (cloud, proxy, daemon)
}

fn ids(cloud: &Cloud, fleet: &str) -> BTreeSet<String> {
    cloud.alive(fleet).iter().map(|machine| machine.id.to_string()).collect()
}

/// Its log is a pipe: full and never read, or closed at the other end. The loop goes on.
#[track_caller]
fn goes_on_without_a_log(stderr: impl Into<Stdio>) {
    let (cloud, _proxy, mut daemon) = behind((2, 3));
    daemon.start_logging_to(stderr.into());
    let two = daemon.wait_in_service("app", 2);
    cloud.console_terminate(&two[0]);
    wait_for("it is replaced", PATIENCE, || (cloud.launched() == 3).then_some(()));
    daemon.wait_in_service("app", 2);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    let filled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&filled);
    // Writes until the pipe is full, and waits there until the reader goes.
    let filling = std::thread::spawn(move || {
        while filler.write_all(&[b'.'; 1024]).is_ok() {
            count.fetch_add(1024, Ordering::Relaxed);
        }
    });
    wait_for("the pipe is full", PATIENCE, || {
        let before = filled.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
        (before > 0 && filled.load(Ordering::Relaxed) == before).then_some(())
    });
    goes_on_without_a_log(writer);
    drop(reader);
    filling.join().unwrap();
}

#[test]
fn a_log_that_is_closed_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    goes_on_without_a_log(writer);
}

/// Five hundred signals to reload in a few seconds: the world is looked after meanwhile, and AWS is
/// not asked for each of them.
#[test]
fn a_storm_of_reloads_neither_stops_the_ticks_nor_storms_aws() {
    let (cloud, proxy, mut daemon) = behind((2, 3));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    let before = proxy.seen("DescribeInstances");
    let begun = Instant::now();
    let storm =
        "i=0; while [ $i -lt 500 ]; do kill -HUP \"$0\" || exit 1; sleep 0.004; i=$((i+1)); done";
    let mut storm = Command::new("sh").args(["-c", storm, &daemon.pid()]).spawn().unwrap();
    cloud.console_terminate(&two[0]);
    wait_for("it is replaced", PATIENCE, || (cloud.launched() == 3).then_some(()));
    assert!(storm.try_wait().unwrap().is_none(), "the storm is over too soon to prove anything");
    assert!(storm.wait().unwrap().success());
    let (lasted, asked) = (begun.elapsed(), proxy.seen("DescribeInstances") - before);
    assert!(f64::from(asked) <= lasted.as_secs_f64() * 5.0 + 2.0, "{asked} in {lasted:?}");
    daemon.wait_in_service("app", 2);
    assert_eq!(cloud.launched(), 3);
}
