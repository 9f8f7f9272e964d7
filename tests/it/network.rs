//! The built binary on a bad network: answers lost, late, broken off and made up. Every test ends by
//! looking at the world.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate::sim::faults::Troubles;
use tidegate::sim::rng::Rng;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::tag;
use tidegate_engine::model::time::Timestamp;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::proxy::{Proxy, Trick};
use crate::support::{wait_for, wait_or_tell};

fn classic() -> Balancer {
    Balancer::Classic("web".to_owned())
}

fn behind(seed: u64, app: (u32, u32)) -> (Cloud, Proxy, Daemon) {
    let cloud = Cloud::new(Troubles::new());
    let proxy = Proxy::new(&cloud.endpoint, seed);
    let daemon = Daemon::new(&proxy.endpoint, &cloud.policy("classic", app));
    (cloud, proxy, daemon)
}

/// Broken off between two elements, a list reads like a shorter one: servers that are in service
/// would count as drained.
#[test]
fn a_list_that_breaks_off_takes_no_server_for_drained() {
    let (cloud, proxy, mut daemon) = behind(1, (1, 3));
    daemon.start();
    daemon.wait_in_service("app", 1);
    daemon.order(&["hold", "app", "3", "--for", "1h", "before"]);
    daemon.wait_in_service("app", 3);
    proxy.on("DescribeInstanceHealth", Trick::Half, u32::MAX);
    daemon.order(&["resume", "app"]);
    let asked = proxy.seen("DescribeInstanceHealth");
    wait_for("it looks a few times", || {
        assert_eq!(cloud.alive("app").len(), 3, "{}", daemon.log());
        (proxy.seen("DescribeInstanceHealth") > asked + 8).then_some(())
    });
    assert_eq!(cloud.members(&classic()).len(), 3);
    proxy.on("DescribeInstanceHealth", Trick::Half, 0);
    wait_for("one is left", || (cloud.alive("app").len() == 1).then_some(()));
}

/// A launch that never arrived counts as capacity until that is certain; no server that serves has
/// to go for it.
#[test]
fn a_launch_without_an_answer_costs_no_server_that_serves() {
    let (cloud, proxy, mut daemon) = behind(1, (2, 3));
    daemon.start();
    let two = daemon.wait_in_service("app", 2);
    proxy.on("RunInstances", Trick::Unsent, u32::MAX);
    daemon.order(&["hold", "app", "3", "--for", "1h", "before"]);
    wait_for("a launch gets lost", || (proxy.seen("RunInstances") > 2).then_some(()));
    daemon.order(&["resume", "app"]);
    let looked = proxy.seen("DescribeInstances");
    wait_for("it looks a few times", || {
        assert_eq!(cloud.alive("app").len(), 2, "{}", daemon.log());
        (proxy.seen("DescribeInstances") > looked + 5).then_some(())
    });
    assert_eq!(BTreeSet::from_iter(daemon.in_phase("app", "in service")), BTreeSet::from_iter(two));
}

/// Chosen to go, and dead before the balancer was told: it is taken out all the same.
#[test]
fn a_server_that_dies_before_its_deregistration_is_taken_out_of_its_balancer() {
    let (cloud, proxy, mut daemon) = behind(1, (2, 3));
    daemon.start();
    daemon.wait_in_service("app", 2);
    proxy.on("DeregisterInstancesFromLoadBalancer", Trick::Unsent, u32::MAX);
    daemon.write_policy(&cloud.policy("classic", (1, 3)));
    daemon.wait_log("failed to deregister");
    let draining = wait_for("one is to go", || daemon.in_phase("app", "draining").pop());
    cloud.console_terminate(&draining);
    wait_for("its death is seen", || daemon.in_phase("app", "draining").is_empty().then_some(()));
    proxy.on("DeregisterInstancesFromLoadBalancer", Trick::Unsent, 0);
    wait_for("it leaves the balancer", || {
        (!cloud.members(&classic()).contains(&draining)).then_some(())
    });
    assert_eq!((cloud.alive("app").len(), cloud.launched()), (1, 2));
}

/// The network swallows the answer for longer than the SDK waits: it gives up, asks again with the
/// same token, and there is one instance.
#[test]
fn an_answer_later_than_the_sdk_waits_is_asked_for_again() {
    let (cloud, proxy, mut daemon) = behind(1, (1, 3));
    proxy.on("RunInstances", Trick::Held, 1);
    daemon.start();
    wait_for("the launch is made", || (cloud.launched() == 1).then_some(()));
    // Nothing else is done meanwhile, and then everything is.
    daemon.wait_log("launch of t3.small in subnet-0a1 failed: Timeout");
    daemon.wait_in_service("app", 1);
    assert_eq!(cloud.launched(), 1);
}

/// One world in a storm: its cloud, its network, its daemon, and somebody else's instance.
struct Storm {
    seed: u64,
    cloud: Cloud,
    proxy: Proxy,
    daemon: Daemon,
    whims: Rng,
    stranger: InstanceId,
    policies: Vec<String>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let (cloud, proxy, daemon) = behind(seed, (2, 3));
        let policy =
            |min| cloud.policy("classic", (min, 3)).replace(&cloud.endpoint, &proxy.endpoint);
        let policies = [1, 2, 3].map(policy).to_vec();
        let stranger = stranger(&cloud);
        Self { seed, whims: Rng::new(seed, "storm"), cloud, proxy, daemon, stranger, policies }
    }

    /// Starts, waits for some calls and a moment, kills; and somebody makes work meanwhile.
    fn round(&mut self, round: u32) {
        self.daemon.write_policy(&self.policies[self.whims.up_to(2)]);
        self.cloud.pin([0, 10, 30][self.whims.up_to(2)]);
        // By calls, since a slow machine makes none in a moment.
        let calls = u32::try_from(self.whims.up_to(8)).unwrap();
        let before = self.proxy.calls();
        self.daemon.start();
        wait_or_tell(
            || format!("seed {}: {calls} calls\n{}", self.seed, self.daemon.log()),
            || (self.proxy.calls() >= before + calls).then_some(()),
        );
        std::thread::sleep(self.whims.between(Duration::ZERO, Duration::from_millis(300)));
        self.daemon.kill_9();
        self.check(&format!("round {round}"));
        if round % 6 == 5 {
            let of_traffic =
                |id: &&InstanceId| self.cloud.front.state().world.members.carries_traffic(id);
            let ours = self.ours("app");
            if let Some(id) = ours.iter().find(of_traffic) {
                self.cloud.console_terminate(id.as_str());
            }
        }
    }

    /// The fleet's instances that are alive in truth.
    fn ours(&self, fleet: &str) -> BTreeSet<InstanceId> {
        let alive = self.cloud.alive(fleet).into_iter().map(|machine| machine.id);
        alive.filter(|id| *id != self.stranger).collect()
    }

    #[track_caller]
    fn check(&self, when: &str) {
        let told =
            |what: &str| format!("seed {}, {when}: {what}\n{}", self.seed, self.daemon.log());
        for (fleet, max) in [("app", 3), ("job", 2)] {
            let alive = self.ours(fleet).len();
            assert!(alive <= max, "{}", told(&format!("{alive} of {fleet} alive, max is {max}")));
        }
        let state = self.cloud.front.state();
        let mut tokens: BTreeMap<&str, u32> = BTreeMap::new();
        for machine in state.world.machines() {
            *tokens.entry(machine.request.token.as_str()).or_default() += 1;
        }
        assert!(tokens.values().all(|n| *n == 1), "{}", told("two instances for a token"));
        let stranger = state.world.machine(&self.stranger).unwrap();
        assert!(stranger.ends.is_none(), "{}", told("somebody else's instance is ended"));
    }

    /// Fair weather: all comes right, and the books have every instance there ever was.
    fn settle(&mut self) {
        self.proxy.rage(0.0);
        // All servers are wanted at first, so that every launch without an answer is asked for again.
        // One that is not wanted counts as capacity until EC2 has not listed it for fifteen minutes.
        self.daemon.write_policy(&self.policies[2]);
        self.cloud.pin(30);
        self.daemon.start();
        self.daemon.wait_in_service("app", 3);
        self.daemon.wait_in_service("job", 2);
        self.daemon.write_policy(&self.policies[1]);
        self.cloud.pin(0);
        let why = || {
            let (status, log) = (self.daemon.status(), self.daemon.log());
            format!("two serve, and nothing else is there: seed {}: {status:?}\n{log}", self.seed)
        };
        let members = wait_or_tell(why, || {
            let served = self.daemon.in_phase("app", "in service");
            let served: BTreeSet<InstanceId> =
                served.iter().map(|id| InstanceId::new(id)).collect();
            let mut members: BTreeSet<_> = served.iter().cloned().collect();
            members.insert(self.stranger.clone());
            let listed = self.cloud.members(&classic());
            let listed: BTreeSet<_> = listed.iter().map(|id| InstanceId::new(id)).collect();
            let right = served.len() == 2
                && self.ours("app") == served
                && self.ours("job").is_empty()
                && listed == members;
            right.then_some(members)
        });
        assert!(members.contains(&self.stranger));
        self.check("in the end");
        assert_eq!(self.daemon.stop(), 0);
        let known = self.daemon.tokens();
        let state = self.cloud.front.state();
        let ever = state.world.machines().filter(|machine| machine.id != self.stranger);
        for machine in ever {
            assert!(known.contains(machine.request.token.as_str()), "{} is in no book", machine.id);
        }
    }
}

/// A person's instance with our tags copied onto it, put into the balancer by that person.
fn stranger(cloud: &Cloud) -> InstanceId {
    let tags = [(tag::INSTALL, "main"), (tag::FLEET, "app")];
    let id = cloud.launch_by_hand(&tags);
    cloud.front.state().world.members.register(&classic(), &id, Timestamp::now()).unwrap();
    id
}

/// `kill -9` at random moments while three calls in ten go wrong in some way, three worlds beside
/// one another; then fair weather. `TIDEGATE_KILLS=N`: so many kills in each.
#[test]
fn killed_at_random_moments_on_a_bad_network_it_keeps_its_books() {
    let rounds = std::env::var("TIDEGATE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    std::thread::scope(|scope| {
        for seed in crate::swarm::asked().unwrap_or(1..4) {
            scope.spawn(move || {
                let mut storm = Storm::new(seed);
                storm.proxy.rage(0.3);
                for round in 0..rounds {
                    storm.round(round);
                }
                let befell = storm.proxy.befell();
                assert!(befell > rounds.div_euclid(3), "only {befell} calls went wrong");
                storm.settle();
            });
        }
    });
}

/// EC2's answers say what time it is. A host that is far off does nothing, and says why.
#[test]
fn a_host_whose_clock_is_wrong_does_nothing_and_says_so() {
    let (cloud, proxy, mut daemon) = behind(1, (2, 3));
    daemon.start();
    daemon.wait_in_service("app", 2);
    let said = |words: &'static str| {
        let said = || daemon.order(&["status"]).contains(words).then_some(());
        wait_for(words, said);
    };
    // Two minutes: told, and life goes on.
    proxy.on("DescribeInstances", Trick::Dated(120), u32::MAX);
    said("behind EC2's: schedules are off");
    cloud.console_terminate(cloud.alive("app")[0].id.as_str());
    wait_for("it is replaced", || (cloud.launched() == 3).then_some(()));
    daemon.wait_in_service("app", 2);
    // Ten: nothing is done any more.
    proxy.on("DescribeInstances", Trick::Dated(-600), u32::MAX);
    said("ahead of EC2's, which AWS does not accept");
    cloud.console_terminate(cloud.alive("app")[0].id.as_str());
    let asked = proxy.seen("DescribeInstances");
    wait_for("it looks a few times", || {
        (proxy.seen("DescribeInstances") > asked + 6).then_some(())
    });
    assert_eq!(cloud.launched(), 3, "{}", daemon.log());
    proxy.on("DescribeInstances", Trick::Dated(0), 0);
    wait_for("it goes on", || (cloud.launched() == 4).then_some(()));
    wait_for("all is well", || (!daemon.order(&["status"]).contains("EC2's")).then_some(()));
}
