//! The built binary when its disk fails it: full, failing, read-only, damaged, emptied, or set back to
//! an old copy. Every test ends by looking at the world.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::proxy::{Proxy, Trick};
use crate::support::wait_for;

const REFUSED: &str = "nothing is launched or terminated meanwhile";

fn behind(app: (u32, u32)) -> (Cloud, Proxy, Daemon) {
    let cloud = Cloud::new(Troubles::new());
    let proxy = Proxy::new(&cloud.endpoint, 1);
    let daemon = Daemon::new(&proxy.endpoint, &cloud.policy("classic", app));
    (cloud, proxy, daemon)
}

fn ids(cloud: &Cloud) -> BTreeSet<String> {
    cloud.alive("app").iter().map(|machine| machine.id.to_string()).collect()
}

/// While nothing can be written: no launch, no termination, and it says so on paths that need no
/// disk. With room again it goes on by itself, and a launch whose answer could not be written down
/// is not made twice.
#[track_caller]
fn holds_still_while_the_disk_fails(
    (cloud, proxy, mut daemon): (Cloud, Proxy, Daemon),
    why: &str,
    fail: impl Fn(&Daemon),
    mend: impl Fn(&Daemon),
) {
    let two: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    let fails_on = |daemon: &Daemon| {
        let from = daemon.says(REFUSED);
        wait_for("three ticks fail", || (daemon.says(REFUSED) > from + 2).then_some(()));
    };
    let policy = |min| cloud.policy("classic", (min, 3));

    // A termination is due.
    fail(&daemon);
    daemon.write_policy(&policy(1));
    fails_on(&daemon);
    assert_eq!(ids(&cloud), two, "{}", daemon.log());
    assert!(daemon.says(why) > 0, "{}", daemon.log());
    let status = daemon.ask(&["status", "--check"]);
    assert_eq!(status.status.code(), Some(3), "{status:?}");
    assert!(String::from_utf8_lossy(&status.stdout).contains(REFUSED), "{status:?}");
    let refused = daemon.ask(&["hold", "app", "3", "--for", "1h", "cannot be kept"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    mend(&daemon);
    wait_for("one is left", || (ids(&cloud).len() == 1).then_some(()));
    daemon.wait_in_service("app", 1);
    assert_eq!(daemon.ask(&["status", "--check"]).status.code(), Some(0));

    // A launch is due.
    fail(&daemon);
    daemon.write_policy(&policy(2));
    fails_on(&daemon);
    assert_eq!(cloud.launched(), 2, "{}", daemon.log());
    mend(&daemon);
    daemon.wait_in_service("app", 2);
    assert_eq!(cloud.launched(), 3);

    // The answer to a launch comes when it cannot be written down.
    proxy.on("RunInstances", Trick::Held, 1);
    daemon.write_policy(&policy(3));
    wait_for("the launch is made", || (cloud.launched() == 4).then_some(()));
    fail(&daemon);
    proxy.release();
    fails_on(&daemon);
    assert_eq!(cloud.launched(), 4);
    mend(&daemon);
    let three: BTreeSet<String> = daemon.wait_in_service("app", 3).into_iter().collect();
    assert_eq!((ids(&cloud), cloud.launched()), (three, 4));
    assert_eq!(daemon.stop(), 0);
}

/// The daemon's own view of its state directory.
fn within(daemon: &Daemon, file: &str) -> PathBuf {
    let state = daemon.state();
    Path::new("/proc")
        .join(daemon.pid())
        .join("root")
        .join(state.strip_prefix("/").unwrap())
        .join(file)
}

/// Whether this host lets us mount a file system for one process; root, or anybody where user
/// namespaces are allowed.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    let may = tried.is_ok_and(|tried| tried.status.success());
    if !may {
        eprintln!("not tried: this host lets nobody mount a file system for one process");
    }
    may
}

#[test]
fn on_a_full_disk_it_holds_still_and_goes_on_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let mut world = behind((2, 3));
    world.2.start_after("mount -t tmpfs -o size=2m,mode=700 tmpfs \"$0\" && exec \"$@\"", true);
    let fill = |daemon: &Daemon| {
        let mut ballast = fs::File::create(within(daemon, "ballast")).unwrap();
        while ballast.write_all(&[7; 1024]).is_ok() {}
    };
    let free = |daemon: &Daemon| fs::remove_file(within(daemon, "ballast")).unwrap();
    holds_still_while_the_disk_fails(world, "the disk is full", fill, free);
}

/// A disk that takes what it is given and cannot say that it has it.
#[test]
fn on_a_disk_that_cannot_be_synced_it_holds_still_and_goes_on_when_it_can() {
    let mut world = behind((2, 3));
    let folder = world.2.policy().parent().unwrap().to_owned();
    let (shim, flag) = (folder.join("unsynced.so"), folder.join("unsynced"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/unsynced.c");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status();
    assert!(built.unwrap().success(), "the linker of Rust's toolchain also compiles C");
    let env = [("LD_PRELOAD", &shim), ("UNSYNCED_WHILE", &flag)];
    world.2.env.extend(env.map(|(name, path)| (name, path.to_str().unwrap().to_owned())));
    world.2.start();
    let fail = |_: &Daemon| drop(fs::File::create(&flag).unwrap());
    let mend = |_: &Daemon| fs::remove_file(&flag).unwrap();
    holds_still_while_the_disk_fails(world, "the disk failed", fail, mend);
}

/// A disk that takes no more than it has fails otherwise than a full one: with an error of its own.
#[test]
fn on_a_failing_disk_it_holds_still_and_goes_on_when_it_works() {
    let mut world = behind((2, 3));
    world.2.start_after("trap '' XFSZ; exec \"$@\"", false);
    let limit = |daemon: &Daemon, bytes: &str| {
        let done = Command::new("prlimit")
            .args(["--pid", &daemon.pid(), &format!("--fsize={bytes}:")])
            .status();
        assert!(done.unwrap().success());
    };
    let fail = |daemon: &Daemon| {
        let log = fs::metadata(daemon.state().join("state.db-wal")).unwrap().len();
        limit(daemon, &log.to_string());
    };
    holds_still_while_the_disk_fails(world, "the disk failed", fail, |daemon| {
        limit(daemon, "unlimited");
    });
}

#[test]
fn on_a_read_only_disk_it_does_not_start_and_does_nothing() {
    if !may_mount() {
        return;
    }
    let (cloud, _proxy, mut daemon) = behind((2, 3));
    daemon.start_after("mount -t tmpfs -o ro,mode=700 tmpfs \"$0\" && exec \"$@\"", true);
    assert_eq!(daemon.ended(), 1);
    assert_eq!(daemon.says("Read-only file system"), 1, "{}", daemon.log());
    assert_eq!(cloud.launched(), 0);
    daemon.start();
    daemon.wait_in_service("app", 2);
}

/// Garbage in the midst of the file, at several places, while it is stopped.
#[test]
fn a_database_with_garbage_in_it_loses_no_server() {
    let (cloud, _proxy, mut daemon) = behind((2, 3));
    daemon.start();
    let two: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    assert_eq!(daemon.stop(), 0);
    let path = daemon.state().join("state.db");
    let whole = fs::read(&path).unwrap();
    let pages = whole.len().div_euclid(4096);
    for page in 0..pages {
        for within in [0, 1000, 2000, 3000, 3500] {
            for suffix in ["-wal", "-shm"] {
                fs::remove_file(daemon.state().join(format!("state.db{suffix}"))).ok();
            }
            fs::write(&path, &whole).unwrap();
            let mut file = fs::File::options().write(true).open(&path).unwrap();
            file.seek(SeekFrom::Start(u64::try_from(page * 4096 + within).unwrap())).unwrap();
            file.write_all(&[0xa7; 400]).unwrap();
            drop(file);
            let once = daemon.ask(&["run", "--once"]);
            let told = format!("page {page} + {within}: {once:?}");
            assert!(once.status.success(), "{told}");
            assert_eq!((ids(&cloud), cloud.launched()), (two.clone(), 2), "{told}");
        }
    }
    daemon.start();
    let served: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    assert_eq!((served, cloud.launched()), (two, 2));
}

/// The whole directory is gone under the running daemon, and with it its lock.
#[test]
fn a_state_directory_deleted_under_it_loses_no_server() {
    let (cloud, _proxy, mut daemon) = behind((2, 3));
    daemon.start();
    let two: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    fs::remove_dir_all(daemon.state()).unwrap();
    cloud.console_terminate(two.first().unwrap());
    // What it wrote would be lost with it, and a second daemon could take its place.
    daemon.wait_log("was deleted or replaced while in use: restart the daemon");
    let second = daemon.ask(&["run", "--once"]);
    assert!(second.status.success(), "{second:?}");
    assert_eq!(cloud.launched(), 3, "one of the two replaces it");
    assert_eq!(daemon.ask(&["status", "--check"]).status.code(), Some(3));
    daemon.kill_9();
    daemon.start();
    let served: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    assert_eq!((served, cloud.launched()), (ids(&cloud), 3));
    assert!(ids(&cloud).contains(two.last().unwrap()));
}

/// An old copy is put back between two runs; since it was made, servers were launched and others
/// ended.
#[test]
fn an_old_copy_of_the_state_launches_nothing_twice_and_ends_nothing() {
    let (cloud, _proxy, mut daemon) = behind((1, 3));
    daemon.start();
    let first = daemon.wait_in_service("app", 1);
    assert_eq!(daemon.stop(), 0);
    let (path, copy) = (daemon.state().join("state.db"), daemon.folder.path().join("copy.db"));
    fs::copy(&path, &copy).unwrap();
    daemon.write_policy(&cloud.policy("classic", (3, 3)));
    daemon.start();
    daemon.wait_in_service("app", 3);
    cloud.console_terminate(&first[0]);
    wait_for("it is replaced", || (cloud.launched() == 4).then_some(()));
    let three: BTreeSet<String> = daemon.wait_in_service("app", 3).into_iter().collect();
    daemon.kill_9();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(daemon.state().join(format!("state.db{suffix}"))).ok();
    }
    fs::copy(&copy, &path).unwrap();
    daemon.start();
    daemon.wait_log("were in EC2 and not in the journal");
    let served: BTreeSet<String> = daemon.wait_in_service("app", 3).into_iter().collect();
    assert_eq!((&served, ids(&cloud)), (&three, three.clone()));
    assert_eq!(daemon.stop(), 0);
    assert_eq!((ids(&cloud), cloud.launched()), (three, 4));
}
