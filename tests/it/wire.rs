//! The built binary and the real SDK against the imagined cloud over HTTP. Every test ends by looking
//! at the world, not at what the daemon says.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate::sim::faults::{Trouble, Troubles};
use tidegate::sim::front::State;
use tidegate::sim::rng::Rng;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::time::{self, Timestamp};

use crate::support::binary::{Daemon, user};
use crate::support::cloud::{Cloud, name};
use crate::support::{edge, wait_for};

fn classic() -> Balancer {
    Balancer::Classic("web".to_owned())
}

/// Launch, health, registration; queue out and in; hold and release with a drain; a clean stop.
#[track_caller]
fn a_life(balancer_key: &str, balancer: &Balancer) {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy(balancer_key, (2, 3)));
    daemon.start();
    let first = daemon.wait_in_service("app", 2);
    let machines = cloud.alive("app");
    let subnets: BTreeSet<_> = machines.iter().map(|m| m.request.pool.subnet.clone()).collect();
    assert_eq!(subnets.len(), 2, "spread over both subnets");
    for machine in &machines {
        assert_eq!(machine.request.user_data, "DB=10.126.17.1;ROLE=app");
        let tag = |key: &str| machine.request.tags.get(key).map(String::as_str);
        assert_eq!(tag("tidegate:install"), Some("main"));
        assert_eq!(tag("tidegate:fleet"), Some("app"));
        assert_eq!(tag("tidegate:role"), Some("app"));
        assert_eq!(tag("tidegate:version"), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!((tag("team"), tag("Name")), (Some("ops"), Some("app")));
    }
    assert_eq!(BTreeSet::from_iter(cloud.members(balancer)), BTreeSet::from_iter(first));

    cloud.pin(21);
    daemon.wait_in_service("job", 1);
    cloud.pin(20);
    cloud.pin(4);
    wait_for("the job server goes", || cloud.alive("job").is_empty().then_some(()));

    daemon.order(&["hold", "app", "3", "--for", "1h", "launch day"]);
    let three = daemon.wait_in_service("app", 3);
    daemon.order(&["resume", "app"]);
    daemon.wait_log("says ann");
    wait_for("back to two", || (cloud.alive("app").len() == 2).then_some(()));
    let left: BTreeSet<String> = cloud.alive("app").iter().map(|m| m.id.to_string()).collect();
    assert!(left.is_subset(&three.into_iter().collect()));
    wait_for("only they are members", || {
        (cloud.members(balancer).into_iter().collect::<BTreeSet<_>>() == left).then_some(())
    });
    assert_eq!(daemon.stop(), 0);
    assert_eq!(cloud.alive("app").len(), 2, "a stop leaves the servers as they are");
}

#[test]
fn a_life_behind_a_classic_load_balancer() {
    a_life("classic", &classic());
}

#[test]
fn a_life_behind_a_target_group() {
    a_life("target_group", &Balancer::TargetGroup("web".to_owned()));
}

/// The schedule's edges, by the real clock: up at one minute, down at the next.
#[test]
fn schedule_edges_up_and_down() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    daemon.wait_in_service("app", 1);
    for (before, after) in [(1, 2), (2, 1)] {
        let (lines, at) = edge("America/Winnipeg", before, after);
        daemon.write_policy(&policy.replace("    max: 3\n", &format!("    max: 3\n{lines}")));
        let count = usize::try_from(after).unwrap();
        wait_for("the edge", || (cloud.alive("app").len() == count).then_some(()));
        assert!(Timestamp::now() >= at, "before its time: {}", daemon.log());
    }
    let changes = ["1 -> 2: schedule", "2 -> 1: schedule"].map(|change| daemon.says(change));
    assert_eq!(changes, [1, 1], "{}", daemon.log());
}

/// `kill -9` at random moments, with every third answer to a launch lost: never two instances for
/// one launch, never more than `max`, and all is right in the end.
#[test]
fn killed_at_random_moments_it_never_launches_twice() {
    let rounds = std::env::var("TIDEGATE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let cloud = Cloud::new([Trouble::LostReplies].into());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    let mut whims = Rng::new(1, "kills");
    for round in 0..rounds {
        // By calls, since a slow machine makes none in a moment.
        let calls = cloud.calls() + u64::try_from(whims.up_to(15)).unwrap();
        daemon.start();
        wait_for("some calls", || (cloud.calls() >= calls).then_some(()));
        std::thread::sleep(whims.between(Duration::ZERO, Duration::from_millis(300)));
        daemon.kill_9();
        assert!(cloud.alive("app").len() <= 3, "round {round}");
        // Somebody makes work: one of them dies now and then.
        if round % 5 == 4
            && let Some(machine) = cloud.alive("app").first()
        {
            cloud.console_terminate(machine.id.as_str());
        }
    }
    daemon.start();
    let served: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    let alive: BTreeSet<String> = cloud.alive("app").iter().map(|m| m.id.to_string()).collect();
    assert_eq!(alive, served, "every instance in the world is in the books");
    let tokens: Vec<String> = {
        let state = cloud.front.state();
        state.world.machines().map(|m| m.request.token.to_string()).collect()
    };
    assert_eq!(tokens.len(), tokens.iter().collect::<BTreeSet<_>>().len(), "one instance a token");
}

#[test]
fn a_lost_state_directory_loses_no_server() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start();
    let before = daemon.wait_in_service("app", 2);
    daemon.kill_9();
    std::fs::remove_dir_all(daemon.state()).unwrap();
    daemon.start();
    daemon.wait_log("were in EC2 and not in the journal");
    assert_eq!(BTreeSet::from_iter(daemon.wait_in_service("app", 2)), BTreeSet::from_iter(before));
    assert_eq!(cloud.launched(), 2, "nothing was launched beside them");
    // A damaged file, the same.
    daemon.kill_9();
    for suffix in ["", "-wal", "-shm"] {
        let file = daemon.state().join(format!("state.db{suffix}"));
        if file.exists() {
            std::fs::write(file, vec![7_u8; 8192]).unwrap();
        }
    }
    daemon.start();
    daemon.wait_log("the state database was begun anew");
    daemon.wait_in_service("app", 2);
    assert_eq!(cloud.launched(), 2);
}

#[test]
fn a_server_killed_behind_our_back_is_replaced_and_deregistered() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start();
    let before = daemon.wait_in_service("app", 2);
    cloud.console_terminate(&before[0]);
    wait_for("a third is launched", || (cloud.launched() == 3).then_some(()));
    let after = daemon.wait_in_service("app", 2);
    assert!(!after.contains(&before[0]) && after.contains(&before[1]));
    wait_for("the dead one leaves the balancer", || {
        (!cloud.members(&classic()).contains(&before[0])).then_some(())
    });
    assert_eq!(daemon.says(&format!("{} was terminated, not by us", before[0])), 1);
}

/// To look at a server in peace: keep it, and take it out. Without the keep it is put back.
#[test]
fn a_kept_server_that_is_taken_out_of_its_load_balancer_stays_out() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    let take_out = || {
        let mut state = cloud.front.state();
        state.world.members.deregister(&classic(), &InstanceId::new(&two[0]), Timestamp::now())
    };
    let is_member = || cloud.members(&classic()).contains(&two[0]);
    daemon.order(&["keep", &two[0], "--for", "1h", "looking at a core dump"]);
    take_out().unwrap();
    daemon.wait_log(&format!("{} is kept and was taken out of its load balancer", two[0]));
    daemon.wait_ticks(3);
    assert!(!is_member(), "{}", daemon.log());
    daemon.order(&["unkeep", &two[0]]);
    assert_eq!(daemon.wait_in_service("app", 2), two);
    assert!(is_member());
    let registered = || daemon.says(&format!("registered {} with", two[0]));
    let before = registered();
    take_out().unwrap();
    wait_for("it is put back", || (registered() > before).then_some(()));
    assert_eq!(daemon.wait_in_service("app", 2), two);
    assert_eq!(cloud.launched(), 2);

    // An order to end it is answered with who keeps it, and waits.
    daemon.order(&["keep", &two[0], "--for", "1h", "looking again"]);
    let said = daemon.order(&["terminate", &two[0], "--reason", "of no use"]);
    assert!(said.contains("is kept by ann (user "), "{said}");
    daemon.wait_log(&format!("{} is not ended, as ann (user ", two[0]));
    assert_eq!(daemon.wait_in_service("app", 2), two);
    daemon.order(&["unkeep", &two[0]]);
    wait_for("it is replaced", || (cloud.launched() == 3).then_some(()));
}

#[test]
fn a_load_balancer_that_is_gone_freezes_scale_in_and_is_told() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 3)));
    daemon.start();
    daemon.wait_in_service("app", 1);
    daemon.order(&["hold", "app", "2", "--for", "1h", "before"]);
    daemon.wait_in_service("app", 2);
    cloud.front.state().world.members.remove(&classic());
    daemon.wait_log("load balancer web is gone");
    daemon.order(&["resume", "app"]);
    daemon.wait_log(
        "2 -> 2: no schedule line and no queue: min is 1; 1 more than wanted, 0 may go now",
    );
    daemon.wait_ticks(3);
    assert_eq!(cloud.alive("app").len(), 2, "none is terminated that cannot be drained");
    assert_eq!(daemon.says("load balancer web is gone"), 1, "told once: {}", daemon.log());
}

#[test]
fn a_fleet_taken_out_of_the_file_is_left_alone_until_it_is_retired() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (2, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    daemon.wait_in_service("app", 2);
    let (before, fleets) = policy.split_once("  app:").unwrap();
    let (_, job) = fleets.split_once("  job:").unwrap();
    daemon.write_policy(&format!("{before}  job:{job}"));
    daemon.wait_log("which is not in the policy");
    daemon.wait_ticks(3);
    assert_eq!(cloud.alive("app").len(), 2);
    assert_eq!(cloud.members(&classic()).len(), 2, "they go on serving");
    daemon.order(&["retire", "app", "--reason", "moved away"]);
    wait_for("they are drained and gone", || cloud.alive("app").is_empty().then_some(()));
    assert!(cloud.members(&classic()).is_empty());
}

/// EC2 shows nothing of one zone, and so no list of all: the fleet grows in the other, and nobody is
/// ended, not even by order.
#[test]
fn while_one_zone_is_disturbed_servers_are_launched_in_the_other() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 5)));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    let silence = |subnet: Option<&str>| {
        cloud.front.state().world.silent_subnet = subnet.map(Into::into);
    };
    silence(Some("subnet-0a1"));
    daemon.wait_log("and says nothing of subnet-0a1; 1 servers are not seen");
    daemon.order(&["hold", "app", "5", "--for", "1h", "launch day"]);
    wait_for("three more", || (cloud.alive("app").len() == 5).then_some(()));
    let new = cloud.alive("app").into_iter().filter(|m| !two.contains(&m.id.to_string()));
    let subnets: Vec<_> = new.map(|machine| machine.request.pool.subnet).collect();
    assert_eq!(subnets, vec![Some("subnet-0b2".into()); 3]);
    for id in &two {
        daemon.order(&["terminate", id, "--reason", "it is old"]);
    }
    daemon.wait_ticks(3);
    assert_eq!(cloud.alive("app").len(), 5, "somebody was ended in the dark");
    silence(None);
    let old = |id: &str| cloud.alive("app").iter().any(|machine| machine.id.as_str() == id);
    wait_for("the old two are gone", || (!two.iter().any(|id| old(id))).then_some(()));
}

/// Somebody works with it: another goes in its place, and itself once what was attached is off.
#[test]
fn a_server_that_somebody_attached_a_volume_to_is_kept() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    let lent = InstanceId::new(&two[0]);
    let attach = |at| cloud.front.state().world.console_attach(&lent, at);
    attach(Some(time::after(Timestamp::now(), Duration::from_hours(3))));
    daemon.wait_log("is never ended: somebody attached vol-a");
    daemon.order(&["hold", "app", "0", "--force", "--for", "1h", "nobody works today"]);
    wait_for("the other is gone", || (cloud.alive("app").len() == 1).then_some(()));
    let status = daemon.order(&["status"]);
    assert!(status.contains("was attached to it 3h"), "{status}");
    daemon.order(&["terminate", lent.as_str(), "--reason", "by mistake"]);
    daemon.wait_log(&format!("{lent} is not ended, as ann (user "));
    assert_eq!(cloud.alive("app")[0].id, lent);
    attach(None);
    wait_for("it is gone as well", || cloud.alive("app").is_empty().then_some(()));
}

/// A server that ran before tidegate came: tagged by a person, named by its id, and from then on one
/// of the fleet.
#[test]
fn a_server_is_handed_over_to_a_fleet_by_its_id() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    let old = cloud.launch_by_hand(&[("Name", "app-by-hand")]);
    daemon.start();
    let own = daemon.wait_in_service("app", 2);
    daemon.age_journal();
    let refused = daemon.ask(&["adopt", "app", old.as_str()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let remedy = format!("aws ec2 create-tags --resources {old} --tags Key=tidegate:install,");
    assert!(said.contains(&remedy), "{said}");
    assert!(!cloud.members(&classic()).contains(&old.to_string()), "nothing is done without a tag");

    for (key, value) in [("install", "main"), ("fleet", "app"), ("adopted", "main/app")] {
        cloud.front.state().world.console_tag(&old, &format!("tidegate:{key}"), value);
    }
    daemon.wait_log(&format!("{old} is left alone"));
    daemon.order(&["pause", "app", "--for", "1h", "the old one joins"]);
    let said = daemon.order(&["adopt", "app", old.as_str(), "--reason", "it ran before"]);
    let told = format!(" asked by ann (user {}): it ran before; it has 3 now and wants 2", user());
    assert!(said.starts_with(&format!("app: takes over {old},{told}")), "{said}");
    let three = daemon.wait_in_service("app", 3);
    assert!(three.contains(&old.to_string()) && own.iter().all(|id| three.contains(id)));
    wait_for("it is a member", || {
        cloud.members(&classic()).contains(&old.to_string()).then_some(())
    });
    let twice = daemon.order(&["adopt", "app", old.as_str()]);
    assert_eq!(twice.trim_end(), format!("app: {old}: in the fleet already"));

    daemon.order(&["terminate", old.as_str(), "--reason", "its time has come"]);
    wait_for("it is drained and ended", || {
        let alive = cloud.alive("app").iter().any(|machine| machine.id == old);
        (!alive && !cloud.members(&classic()).contains(&old.to_string())).then_some(())
    });
    let left = cloud.alive("app");
    assert!(own.iter().all(|id| left.iter().any(|m| m.id.as_str() == id)), "its own are untouched");
}

#[test]
fn a_large_cut_by_an_edit_waits_for_a_person() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (3, 3)));
    daemon.start();
    daemon.wait_in_service("app", 3);
    let slip = daemon.ask(&["approve", "app"]);
    assert!(!slip.status.success(), "{slip:?}");
    daemon.write_policy(&cloud.policy("classic", (1, 1)));
    daemon.wait_log("nothing goes until `tidegate approve app`");
    assert_eq!(daemon.ask(&["status", "--check"]).status.code(), Some(3));
    daemon.kill_9();
    daemon.start();
    daemon.wait_in_service("app", 3);
    assert_eq!(cloud.alive("app").len(), 3);
    daemon.order(&["approve", "app", "--reason", "the season is over"]);
    wait_for("down to one", || (cloud.alive("app").len() == 1).then_some(()));
    let over = || daemon.ask(&["status", "--check"]).status.success().then_some(());
    wait_for("the problem ends", over);
}

#[test]
fn a_bad_file_never_replaces_a_good_one() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    daemon.wait_in_service("app", 1);
    daemon.write_policy(&policy.replace("min: 1\n    max: 3", "min: 4\n    max: 3"));
    daemon.wait_log("is refused and policy");
    let refused = daemon.ask(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`min`"), "{refused:?}");
    assert_eq!(cloud.alive("app").len(), 1);
    daemon.write_policy(&policy.replace("min: 1\n    max: 3", "min: 2\n    max: 3"));
    daemon.signal("HUP");
    daemon.wait_in_service("app", 2);
    wait_for("the problem is over", || (daemon.says("over after") > 0).then_some(()));
}

#[test]
fn a_second_daemon_is_refused() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 3)));
    daemon.start();
    daemon.wait_in_service("app", 1);
    let second = daemon.ask(&["run", "--once"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another tidegate"));
    assert_eq!(cloud.launched(), 1);
}

#[test]
fn refused_capacity_leads_to_the_next_type_and_throttling_to_patience() {
    let cloud = Cloud::new([Trouble::NoCapacity, Trouble::Throttling].into());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start();
    // Every third call is refused, and a launch that was is repeated at growing intervals.
    wait_for("two of the second type", || {
        let alive = cloud.alive("app");
        let second = |m: &tidegate::sim::machine::Machine| {
            m.request.pool.instance_type.as_deref() == Some("t3a.small")
        };
        (alive.len() == 2 && alive.iter().all(second)).then_some(())
    });
    assert_eq!(cloud.launched(), 2);
}

#[test]
fn a_queue_that_cannot_be_read_is_told_once_and_never_scales_in() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    cloud.pin(30);
    daemon.start();
    daemon.wait_in_service("job", 1);
    daemon.write_policy(&policy.replace("/queue/job\"", "/queue/nobody\""));
    daemon.wait_log("the queue cannot be read: HTTP 404");
    daemon.wait_ticks(12);
    assert!(!cloud.alive("job").is_empty());
    assert_eq!(daemon.says("the queue cannot be read"), 1, "{}", daemon.log());
    cloud.pin(0);
    daemon.write_policy(&policy);
    daemon.wait_log("over after");
    wait_for("then it scales in", || cloud.alive("job").is_empty().then_some(()));
}

/// Twelve jobs with a goal, in the real daemon: served by servers that go when they are idle, and
/// none of the jobs is cut off. What was read can be exported.
#[test]
fn a_goal_is_kept_and_no_job_is_cut_off() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (1, 3)).replace(
        "/queue/job\" }, every: 5s, scale_out: { above: 20 }, scale_in: { below: 5 } }",
        "/queue/job.json\", json: /waiting }, every: 5s, start_within: 1m, job_takes: 15s, jobs_at_once: 2, boot_takes: 10s }",
    );
    assert!(policy.contains("start_within"));
    cloud.fill(0, Duration::from_secs(15));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start();
    // What arrives before the first reading is not known to have arrived.
    daemon.wait_reading("job", 0);
    cloud.fill(12, Duration::from_secs(15));
    let done = |state: &State| state.queues[&name("job")].done;
    wait_for("all are done", || (done(&cloud.front.state()) == 12).then_some(()));
    wait_for("idle servers go", || cloud.alive("job").is_empty().then_some(()));
    assert_eq!(cloud.front.state().queues[&name("job")].interrupted, 0);
    assert!(daemon.log().contains("would not start within 1m"), "{}", daemon.log());
    let told = daemon.order(&["export", "--fleet", "job"]);
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("time,arrivals,mean_runtime_s"));
    let arrived = lines.map(|line| line.split(',').nth(1).unwrap().parse::<u64>().unwrap());
    assert_eq!(arrived.sum::<u64>(), 12, "{told}");
    let nobody = daemon.ask(&["export", "--fleet", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
}

/// Observe mode and `plan` tell, and touch nothing; `run --once` does one tick.
#[test]
fn observing_and_planning_change_nothing() {
    let cloud = Cloud::new(Troubles::new());
    let acting = cloud.policy("classic", (2, 3));
    let daemon = Daemon::new(&cloud.endpoint, &acting.replace("mode: act", "mode: observe"));
    let planned = daemon.order(&["plan"]);
    assert_eq!(planned.matches("would    launch").count(), 2, "{planned}");
    assert!(daemon.ask(&["run", "--once"]).status.success());
    assert_eq!(cloud.launched(), 0);
    daemon.write_policy(&acting);
    assert_eq!(daemon.ask(&["plan", "--exit-code"]).status.code(), Some(3));
    assert_eq!(cloud.launched(), 0);
    assert!(daemon.ask(&["run", "--once"]).status.success());
    assert_eq!(cloud.launched(), 2);
    let unreachable = daemon.ask(&["status"]);
    assert_eq!(unreachable.status.code(), Some(69));
    daemon.write_policy("version: 2\n");
    assert_eq!(daemon.ask(&["run"]).status.code(), Some(78));
}

/// With another account's credentials the list is empty, and launching anew would be the worst to do.
#[test]
fn in_another_account_nothing_is_launched_anew() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start();
    daemon.wait_in_service("app", 2);
    daemon.stop();
    let ours = cloud.front.state().world.account().id.clone();
    cloud.front.state().world.move_to_account("999999999999");
    cloud.console_terminate(cloud.alive("app")[0].id.as_str());
    daemon.start();
    daemon.wait_log("the credentials are of account 999999999999 in us-east-1");
    let asked = daemon.order(&["status"]);
    assert!(asked.contains("and the servers of this journal are in account"), "{asked}");
    let before = daemon.order(&["explain", "app"]);
    assert!(
        before.contains("nothing is changed: EC2 could not be listed: OtherAccount"),
        "{before}"
    );
    daemon.wait_ticks(4);
    assert_eq!(cloud.launched(), 2, "{}", daemon.log());
    daemon.stop();
    cloud.front.state().world.move_to_account(&ours);
    daemon.start();
    wait_for("it is replaced at home", || (cloud.launched() == 3).then_some(()));
    assert_eq!(daemon.stop(), 0);
}
