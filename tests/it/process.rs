//! The built binary as a process among others: stopped and continued, told to end in the midst of
//! things, its log unread, signals by the hundred, a twin beside it. Every test ends by looking at
//! the world.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidegate::sim::faults::Troubles;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::instance::InstanceId;

use crate::support::binary::{Daemon, user};
use crate::support::cloud::Cloud;
use crate::support::proxy::{Proxy, Trick};
use crate::support::{HANG, wait_for};

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

/// Stopped for several ticks in the midst of looking, it goes on with a picture of the world as it
/// was. What it decides on that must not cost the one server that is left.
#[test]
fn stopped_and_continued_it_ends_no_server_on_an_old_picture() {
    let (cloud, proxy, mut daemon) = behind((1, 3));
    daemon.start();
    daemon.wait_in_service("app", 1);
    daemon.order(&["hold", "app", "3", "--for", "1h", "before"]);
    let three = daemon.wait_in_service("app", 3);
    // The list of servers has been read when the balancer's answer is held.
    proxy.on("DescribeInstanceHealth", Trick::Held, 1);
    let asked = proxy.seen("DescribeInstanceHealth");
    daemon.order(&["resume", "app"]);
    wait_for("it looks", || (proxy.seen("DescribeInstanceHealth") > asked).then_some(()));
    daemon.signal("STOP");
    for id in &three[..2] {
        cloud.console_terminate(id);
    }
    proxy.release();
    // Several ticks long.
    std::thread::sleep(Duration::from_secs(4));
    daemon.signal("CONT");
    let left = BTreeSet::from([three[2].clone()]);
    wait_for("it has seen that two are gone", || {
        assert_eq!(ids(&cloud, "app"), left, "{}", daemon.log());
        (daemon.in_phase("app", "in service") == left.iter().cloned().collect::<Vec<_>>())
            .then_some(())
    });
    assert_eq!(cloud.launched(), 3, "the one that is left is as many as are wanted");
    wait_for("only it is in the balancer", || {
        (cloud.members(&classic()).into_iter().collect::<BTreeSet<_>>() == left).then_some(())
    });
}

/// SIGTERM while a launch has no answer: it waits a while, ends well, and the next start finds the
/// instance.
#[test]
fn told_to_end_in_mid_launch_it_ends_and_the_next_start_goes_on() {
    let (cloud, proxy, mut daemon) = behind((2, 3));
    proxy.on("RunInstances", Trick::Held, 1);
    daemon.start();
    wait_for("the launch is made", || (cloud.launched() == 1).then_some(()));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(cloud.launched(), 1, "the launch after it is not begun");
    assert_eq!(daemon.says("stopped before the last calls were answered"), 1, "{}", daemon.log());
    daemon.start();
    let two: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    assert_eq!(ids(&cloud, "app"), two);
    assert_eq!(cloud.launched(), 2);
}

/// SIGTERM while a server drains: the next start goes on draining that one and takes no other. The
/// drain lasts an hour until the daemon has stopped, so to wait for the drain is to hang.
#[test]
fn told_to_end_in_mid_drain_it_ends_and_the_next_start_drains_on() {
    let (cloud, proxy, mut daemon) = behind((2, 3));
    daemon.start();
    daemon.wait_in_service("app", 2);
    daemon.order(&["hold", "app", "3", "--for", "1h", "before"]);
    let three: BTreeSet<String> = daemon.wait_in_service("app", 3).into_iter().collect();
    let drain = |lasts| cloud.front.state().world.members.set_drain(&classic(), lasts);
    drain(Duration::from_hours(1));
    proxy.on("DeregisterInstancesFromLoadBalancer", Trick::Unanswered, 1);
    daemon.order(&["resume", "app"]);
    daemon.wait_log("failed to deregister");
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ids(&cloud, "app"), three, "the drain is not over");
    drain(Duration::from_secs(2));
    daemon.start();
    let left = wait_for("two are left", || Some(ids(&cloud, "app")).filter(|left| left.len() == 2));
    let served: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    assert_eq!(served, left);
    assert!(left.is_subset(&three));
    assert_eq!(daemon.says("retire i-"), 1, "{}", daemon.log());
    assert_eq!(cloud.launched(), 3);
}

/// Whom it could not ask for want of a file of its own has not failed a check.
#[test]
fn out_of_files_it_takes_no_server_for_sick() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start();
    let both = daemon.wait_in_service("app", 2);
    let limit = |files: &str| {
        let nofile = format!("--nofile={files}:");
        let set = Command::new("prlimit").args(["--pid", &daemon.pid(), &nofile]).status();
        assert!(set.unwrap().success());
    };
    // Connections that are open stay open, and there is no new one.
    limit("3");
    let looks = || cloud.front.state().world.calls()["DescribeInstances"];
    let before = looks();
    wait_for("several looks", || (looks() >= before + 6).then_some(()));
    assert_eq!(daemon.says("fails its health check"), 0, "{}", daemon.log());
    limit("1024");
    assert_eq!(daemon.wait_in_service("app", 2), both);
    assert_eq!(ids(&cloud, "app").len(), 2);
    // It is asked again, and found out.
    cloud.front.state().world.set_page(&InstanceId::new(&both[0]), false);
    daemon.wait_log("fails its health check");
    assert_eq!(daemon.stop(), 0);
}

/// Its log is a pipe: full and never read, or closed at the other end. The loop goes on.
#[track_caller]
fn goes_on_without_a_log(stderr: impl Into<Stdio>) {
    let (cloud, _proxy, mut daemon) = behind((2, 3));
    daemon.start_logging_to(stderr.into(), &[]);
    let two = daemon.wait_in_service("app", 2);
    cloud.console_terminate(&two[0]);
    wait_for("it is replaced", || (cloud.launched() == 3).then_some(()));
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
    wait_for("the pipe is full", || {
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

/// Five hundred signals to reload and more, for as long as it takes: the world is looked after
/// meanwhile, and AWS is not asked for each of them.
#[test]
fn a_storm_of_reloads_neither_stops_the_ticks_nor_storms_aws() {
    let (cloud, proxy, mut daemon) = behind((2, 3));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    let before = proxy.seen("DescribeInstances");
    let begun = Instant::now();
    let sent = daemon.folder.path().join("sent");
    let storm_script =
        "while kill -HUP \"$0\" 2>/dev/null; do printf . >>\"$1\"; sleep 0.004; done";
    // It ends with the daemon, if this test fails.
    let mut storm = Command::new("sh");
    let mut storm = storm.args(["-c", storm_script, &daemon.pid()]).arg(&sent).spawn().unwrap();
    let signals = || std::fs::metadata(&sent).map_or(0, |file| file.len());
    wait_for("the storm begins", || (signals() > 0).then_some(()));
    cloud.console_terminate(&two[0]);
    wait_for("it is replaced", || (cloud.launched() == 3).then_some(()));
    wait_for("five hundred signals", || (signals() >= 500).then_some(()));
    storm.kill().unwrap();
    storm.wait().unwrap();
    let (lasted, asked) = (begun.elapsed(), proxy.seen("DescribeInstances") - before);
    assert!(f64::from(asked) <= lasted.as_secs_f64() * 5.0 + 2.0, "{asked} in {lasted:?}");
    daemon.wait_in_service("app", 2);
    assert_eq!(cloud.launched(), 3);
}

/// Two daemons with one install and a state directory each, as on two hosts. Nothing keeps them
/// apart: while they want different numbers one launches what the other ends, a server a tick. But
/// the servers that serve are left alone, `max` is kept, both tell of it, and they come to rest.
#[test]
fn two_daemons_of_one_install_quarrel_over_the_newest_servers_only() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (2, 3));
    let mut twins = [0, 1].map(|_| Daemon::new(&cloud.endpoint, &policy));
    twins.iter_mut().for_each(Daemon::start);
    let rest = || {
        wait_for("both see the same two, and there are no others", || {
            let served = twins.each_ref().map(|twin| {
                twin.in_phase("app", "in service").into_iter().collect::<BTreeSet<_>>()
            });
            let alive = ids(&cloud, "app");
            // Both may have begun with two of their own.
            assert!(alive.len() <= 4, "{alive:?}");
            let right = alive.len() == 2 && served.iter().all(|served| *served == alive);
            right.then_some(alive)
        })
    };
    let two = rest();
    let before = cloud.launched();
    twins[0].order(&["hold", "app", "3", "--for", "1h", "the other knows nothing of this"]);
    wait_for("they quarrel", || {
        let alive = ids(&cloud, "app");
        assert!(two.is_subset(&alive), "{}", twins[1].log());
        assert!(alive.len() <= 3, "{alive:?}");
        (cloud.launched() > before + 4).then_some(())
    });
    assert!(twins[1].says("were in EC2 and not in the journal") > 0, "{}", twins[1].log());
    twins[1].wait_log("another tidegate with `install: main` is at work");
    twins[0].order(&["resume", "app"]);
    assert_eq!(rest(), two);
    assert!(two.iter().all(|id| cloud.members(&classic()).contains(id)));
}

/// A request over the daemon's socket as anybody may write one.
fn say(daemon: &Daemon, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// What a request says of its owner is what somebody typed; the kernel knows who connected.
#[test]
fn an_order_is_recorded_with_the_user_who_gave_it() {
    let (_cloud, _proxy, mut daemon) = behind((1, 3));
    daemon.start();
    daemon.wait_in_service("app", 1);
    let us = user();
    let body =
        r#"{"order":"pause","subject":"app","for_seconds":600,"owner":"mallory","reason":"fun"}"#;
    let head =
        "POST /orders HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: application/json";
    let length = body.len();
    let request = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
    let mut told = String::new();
    say(&daemon, &request).read_to_string(&mut told).unwrap();
    let signed = format!("paused by mallory (user {us}) until ");
    assert!(told.contains(&format!("app: {signed}")), "{told}");
    let kept = String::from_utf8(daemon.ask(&["history", "app"]).stdout).unwrap();
    assert!(kept.contains(&signed), "{kept}");
    let paused = format!("paused by mallory (user {us})");
    wait_for("the next tick goes by it", || {
        let why = String::from_utf8(daemon.ask(&["explain", "app"]).stdout).unwrap();
        why.contains(&paused).then_some(())
    });
}

/// Whether the other end has hung up.
fn is_over(stream: &mut UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0; 1024]).map_err(|error| error.kind());
    stream.set_nonblocking(false).unwrap();
    read != Err(ErrorKind::WouldBlock)
}

/// More connections than there are places, none of which says a whole word: the loop goes on, their
/// time runs out, and who has something to ask is answered.
#[test]
fn connections_that_say_nothing_give_their_places_back() {
    let (cloud, _proxy, mut daemon) = behind((2, 3));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    let mut idle: Vec<UnixStream> = (0..48).map(|_| say(&daemon, "GET /sta")).collect();
    cloud.console_terminate(&two[0]);
    // Who loses a place tries again, so a loop that waited for them would wait for ever.
    wait_for("it is replaced meanwhile", || {
        for stream in &mut idle {
            if is_over(stream) {
                *stream = say(&daemon, "GET /sta");
            }
        }
        (cloud.launched() == 3).then_some(())
    });
    for mut stream in idle {
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest).map_err(|error| error.kind());
        assert_ne!(read, Err(ErrorKind::WouldBlock), "its time never runs out");
        let said = String::from_utf8_lossy(&rest);
        assert!(!said.contains("fleets"), "half a word was answered: {said}");
    }
    daemon.wait_in_service("app", 2);
    // Nor is a body taken in that is longer than any order.
    let body = "x".repeat(100_000);
    let head = "POST /orders HTTP/1.1\r\nhost: t\r\nconnection: close";
    let kind = "content-type: application/json\r\ncontent-length: 100000";
    let request = format!("{head}\r\n{kind}\r\n\r\n{body}");
    let mut told = Vec::new();
    // It hangs up on what it does not want to read, which is an error behind its answer.
    say(&daemon, &request).read_to_end(&mut told).ok();
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with("HTTP/1.1 413"), "{told}");
}
