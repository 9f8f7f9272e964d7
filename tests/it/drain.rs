//! The graceful drain in the simulated world: what becomes of servers and of the jobs on them.

use std::sync::Arc;
use std::time::Duration;

use tidegate::sim::Simulation;
use tidegate::sim::faults::{Trouble, Troubles};
use tidegate::sim::load::{Interruption, Job, Queue};
use tidegate::sim::receiver::Manner;
use tidegate::sim::world::Settings;
use tidegate::store::memory::MemoryStore;
use tidegate::tick::TickRecord;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::launch::tag;
use tidegate_engine::model::ledger::{Change, Override, OverrideKey};
use tidegate_engine::model::reading::{Depth, Work};
use tidegate_engine::model::roster::Phase;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::load;

const POLICY: &str = r"
version: 1
timezone: UTC
mode: act
fleets:
  job:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
    min: 0
    max: 4
    DRAIN
    queue: { read: READ, every: 1m, scale_out: { above: 1000 }, scale_in: { below: 1, after: 4h } }
";

const TAG: &str = "drain: { via: tag, deadline: 30m }";
const HTTP: &str =
    r#"drain: { via: { http: "http://q.example/drain/{instance_id}" }, deadline: 30m }"#;
const PLAIN: &str = r#"{ http: "http://q.example/" }"#;
const TELLING: &str = r#"{ http: "http://q.example/", json: /waiting }"#;

fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn job() -> FleetName {
    FleetName::new("job").unwrap()
}

/// A fleet of two servers, each with a job that ends so many minutes after it has begun.
struct Shop {
    simulation: Simulation,
    last: Option<TickRecord>,
}

impl Shop {
    async fn open(drain: &str, read: &str, jobs: &[u64]) -> Self {
        Self::open_in(drain, read, jobs, Troubles::default()).await
    }

    async fn open_in(drain: &str, read: &str, jobs: &[u64], troubles: Troubles) -> Self {
        let text = POLICY.replace("DRAIN", drain).replace("READ", read);
        let policy = load("drain.yaml", &text, start()).policy.expect("the policy is valid");
        let settings = Settings { troubles, ..Settings::default() };
        let store = Arc::new(MemoryStore::default());
        let opened = Simulation::new(policy, settings, [].into(), store, start()).await;
        let job = |minutes: &u64| Job { arrives: start(), takes: Duration::from_mins(*minutes) };
        let queue = Queue::given(jobs.iter().map(job), 1, Interruption::default(), start());
        let mut shop = Self { simulation: opened.unwrap(), last: None };
        shop.simulation.front.state().queues.insert(self::job(), queue);
        shop.hold(2).await;
        shop.run(10).await;
        assert_eq!(shop.alive().len(), 2);
        shop
    }

    async fn order(&mut self, key: OverrideKey, capacity: u32, at_once: bool) {
        let since = self.simulation.now();
        let until = time::after(since, Duration::from_hours(24));
        let (owner, reason) = ("ann".to_owned(), "a test".to_owned());
        let order = Override { key, capacity, owner, reason, since, until, at_once };
        self.simulation.journal.commit(&[Change::Override(order)]).await.unwrap();
    }

    async fn hold(&mut self, capacity: u32) {
        self.order(OverrideKey::Hold(job()), capacity, false).await;
    }

    async fn run(&mut self, minutes: u64) {
        let end = time::after(self.simulation.now(), Duration::from_mins(minutes));
        while self.simulation.now() < end {
            self.tick().await;
        }
    }

    async fn tick(&mut self) {
        let record = self.simulation.tick().await.unwrap();
        self.simulation.wait(record.next);
        self.last = Some(record);
    }

    fn alive(&self) -> Vec<InstanceId> {
        let state = self.simulation.front.state();
        let now = state.world.now();
        let alive = state.world.machines().filter(|m| m.lifecycle(now) == Lifecycle::Running);
        alive.map(|machine| machine.id.clone()).collect()
    }

    fn launched(&self) -> usize {
        self.simulation.front.state().world.machines().count()
    }

    fn tagged(&self) -> Vec<InstanceId> {
        let state = self.simulation.front.state();
        let now = state.world.now();
        let tagged = state.world.machines().filter(|machine| {
            machine.lifecycle(now).is_alive() && machine.tags().contains_key(tag::DRAIN)
        });
        tagged.map(|machine| machine.id.clone()).collect()
    }

    fn interrupted(&self) -> u64 {
        self.simulation.front.state().queues[&job()].interrupted
    }

    fn phases(&self) -> Vec<Phase> {
        let survey = &self.last.as_ref().unwrap().survey;
        survey.roster.fleets[&job()].servers.iter().map(|server| server.phase.clone()).collect()
    }

    fn has_problem(&self, kind: &str) -> bool {
        self.simulation.journal.ledger().problems.keys().any(|key| key.as_str().starts_with(kind))
    }

    fn set_receivers(&self, manner: Manner) {
        for id in self.alive() {
            self.simulation.front.state().world.set_receiver(&id, manner);
        }
    }
}

#[tokio::test]
async fn drained_server_finishes_its_job() {
    for (drain, read) in [(TAG, PLAIN), (TAG, TELLING), (HTTP, PLAIN), (HTTP, TELLING)] {
        let mut shop = Shop::open(drain, read, &[24, 24]).await;
        shop.hold(0).await;
        shop.run(5).await;
        assert_eq!(shop.alive().len(), 2, "one drains, and the other waits for it");
        assert_eq!(shop.tagged().len(), 1, "{drain} {read}");
        shop.run(60).await;
        assert_eq!(shop.alive(), [], "{drain} {read}");
        assert_eq!(shop.interrupted(), 0, "{drain} {read}");
        assert!(!shop.has_problem("drain"), "{drain} {read}");
    }
}

#[tokio::test]
async fn deadline_ends_a_drain_and_names_the_job() {
    let jobs = [(TELLING, "1 job on it is interrupted"), (PLAIN, "jobs on it, if any, are")];
    for (read, named) in jobs {
        let mut shop = Shop::open(TAG, read, &[600, 600]).await;
        shop.hold(1).await;
        shop.run(29).await;
        assert_eq!((shop.alive().len(), shop.interrupted()), (2, 0));
        let drains = shop.tagged().remove(0);
        assert!(!shop.has_problem("drain-ignored"));
        let (key, mut notices) = (format!("drain-ignored:{drains}"), Vec::new());
        for _ in 0..24 {
            shop.tick().await;
            let mut open = shop.simulation.journal.ledger().problems.values();
            let open = open.find(|problem| problem.key.as_str() == key);
            notices.extend(open.map(|problem| problem.text.clone()));
        }
        assert_eq!((shop.alive().len(), shop.interrupted()), (1, 1));
        assert!(!notices.is_empty(), "the notice {key} was not open");
        assert!(notices.iter().all(|text| text.contains(named)), "{notices:?}");
        assert!(!shop.has_problem("drain-ignored"), "it is over once the server is gone");
        assert_eq!(shop.simulation.journal.ledger().fleets[&job()].drains.ignored, 1);
    }
}

#[tokio::test]
async fn cancelled_drain_brings_the_same_server_back() {
    for drain in [TAG, HTTP] {
        let mut shop = Shop::open(drain, TELLING, &[600, 600]).await;
        shop.hold(1).await;
        shop.run(3).await;
        assert_eq!(shop.tagged().len(), 1);
        shop.hold(2).await;
        shop.run(4).await;
        assert_eq!(shop.tagged(), [], "{drain}");
        assert_eq!(shop.phases(), [Phase::InService, Phase::InService], "{drain}");
        assert_eq!((shop.launched(), shop.interrupted()), (2, 0), "{drain}");
        shop.run(60).await;
        assert_eq!((shop.alive().len(), shop.launched()), (2, 2), "{drain}");
    }
}

#[tokio::test]
async fn drain_without_a_way_back_is_not_cancelled() {
    let drain = "drain: { via: tag, deadline: 30m, cancel: false }";
    let mut shop = Shop::open(drain, TELLING, &[22, 600]).await;
    shop.hold(1).await;
    shop.run(3).await;
    shop.hold(2).await;
    shop.run(60).await;
    assert_eq!(shop.launched(), 3, "a launch takes the place");
}

#[tokio::test]
async fn refused_tags_leave_the_fleet_as_it_is() {
    let mut shop = Shop::open(TAG, PLAIN, &[24, 600]).await;
    shop.simulation.front.state().world.refuses_tags = true;
    shop.hold(1).await;
    shop.run(60).await;
    assert!(shop.has_problem("drain-undelivered"));
    assert_eq!((shop.alive().len(), shop.launched(), shop.interrupted()), (2, 2, 0));
    // It is tried again now and then, and goes on once it is allowed.
    shop.simulation.front.state().world.refuses_tags = false;
    shop.run(40).await;
    assert!(!shop.has_problem("drain-undelivered"));
    assert!(!shop.tagged().is_empty() || shop.alive().len() == 1);
}

#[tokio::test]
async fn receiver_that_never_answers_gets_its_server_back() {
    let mut shop = Shop::open_in(HTTP, PLAIN, &[600, 600], [Trouble::DeadQueue].into()).await;
    // Dead in every second span of ten minutes; the first signal falls into one.
    while shop.simulation.now().as_second().div_euclid(600) % 2 == 0 {
        shop.run(1).await;
    }
    shop.hold(1).await;
    shop.run(7).await;
    assert!(shop.has_problem("drain-undelivered"));
    assert_eq!(shop.alive().len(), 2);
    assert_eq!(shop.interrupted(), 0);
}

#[tokio::test]
async fn never_received_drain_is_not_ended_by_its_deadline() {
    let mut shop = Shop::open_in(HTTP, PLAIN, &[600, 600], [Trouble::DeadQueue].into()).await;
    while shop.simulation.now().as_second().div_euclid(600) % 2 == 0 {
        shop.run(1).await;
    }
    // The tag is written and the POST fails. Then the drain is cancelled, and the tag cannot be removed.
    shop.hold(1).await;
    shop.run(1).await;
    let drains = shop.tagged();
    assert_eq!(drains.len(), 1);
    shop.simulation.front.state().world.refuses_tags = true;
    shop.set_receivers(Manner::Ignores);
    shop.hold(2).await;
    shop.run(60).await;
    assert!(shop.alive().contains(&drains[0]));
    assert_eq!(shop.interrupted(), 0);
}

#[tokio::test]
async fn job_taken_after_the_signal_is_not_interrupted() {
    let mut shop = Shop::open(HTTP, PLAIN, &[]).await;
    shop.set_receivers(Manner::ClosesLate);
    shop.hold(1).await;
    let arrives = time::after(shop.simulation.now(), Duration::from_secs(5));
    let job = Job { arrives, takes: Duration::from_mins(10) };
    let queue = Queue::given([job; 2].into_iter(), 1, Interruption::default(), start());
    shop.simulation.front.state().queues.insert(self::job(), queue);
    shop.run(9).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (2, 0));
    shop.run(30).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (1, 0));
}

#[tokio::test]
async fn ignored_drains_go_one_by_one_and_stop_scale_in() {
    let mut shop = Shop::open(TAG, PLAIN, &[600, 600, 600]).await;
    shop.hold(3).await;
    shop.run(10).await;
    shop.set_receivers(Manner::Ignores);
    shop.hold(0).await;
    shop.run(20).await;
    assert_eq!(shop.tagged().len(), 1, "one at a time");
    shop.run(12).await;
    assert_eq!(shop.alive().len(), 2);
    shop.run(35).await;
    assert_eq!(shop.alive().len(), 1);
    assert!(shop.has_problem("drain-ignored:job"));
    shop.run(120).await;
    assert_eq!(shop.alive().len(), 1, "after the second, no server goes");
    let last = shop.alive();
    shop.order(OverrideKey::Terminate(last[0].clone()), 0, true).await;
    shop.run(3).await;
    assert_eq!(shop.alive(), []);
}

#[tokio::test]
async fn keep_stops_a_drain() {
    let mut shop = Shop::open(TAG, PLAIN, &[600, 600]).await;
    shop.hold(1).await;
    shop.run(3).await;
    let drains = shop.tagged();
    shop.order(OverrideKey::Keep(drains[0].clone()), 0, false).await;
    shop.run(2).await;
    assert!(!shop.tagged().contains(&drains[0]), "its tag is gone");
    shop.run(60).await;
    assert!(shop.alive().contains(&drains[0]));
}

#[tokio::test]
async fn terminate_drains_and_with_now_it_does_not() {
    let mut shop = Shop::open(TAG, PLAIN, &[600, 600]).await;
    let servers = shop.alive();
    shop.order(OverrideKey::Terminate(servers[0].clone()), 0, true).await;
    shop.run(3).await;
    assert!(!shop.alive().contains(&servers[0]));
    assert_eq!(shop.interrupted(), 1);
    shop.order(OverrideKey::Terminate(servers[1].clone()), 0, false).await;
    shop.run(3).await;
    assert_eq!(shop.tagged(), [servers[1].clone()]);
    assert_eq!(shop.interrupted(), 1);
    // Nobody waits any longer.
    shop.order(OverrideKey::Terminate(servers[1].clone()), 0, true).await;
    shop.run(3).await;
    assert!(!shop.alive().contains(&servers[1]));
}

#[tokio::test]
async fn drain_outlives_the_loss_of_the_journal() {
    let mut shop = Shop::open(TAG, PLAIN, &[24, 24]).await;
    shop.hold(1).await;
    shop.run(3).await;
    let drains = shop.tagged();
    assert_eq!(drains.len(), 1);
    let (policy, front) = (shop.simulation.policy.clone(), shop.simulation.front.clone());
    let store = Arc::new(MemoryStore::default());
    shop.simulation = Simulation::resume(policy, front, store).await.unwrap();
    shop.hold(1).await;
    shop.run(1).await;
    assert!(shop.phases().contains(&Phase::Draining));
    shop.run(40).await;
    assert!(!shop.alive().contains(&drains[0]), "it has finished and is gone");
    assert_eq!(shop.interrupted(), 0);
}

#[tokio::test]
async fn server_without_metadata_tags_is_not_drained() {
    let mut shop = Shop::open("drain: none", PLAIN, &[600, 600]).await;
    let servers = shop.alive();
    let text = POLICY.replace("DRAIN", TAG).replace("READ", PLAIN);
    shop.simulation.policy = load("drain.yaml", &text, start()).policy.unwrap();
    shop.hold(1).await;
    shop.run(20).await;
    assert_eq!(shop.alive(), servers);
    assert!(shop.has_problem("no-metadata-tags"));
    assert_eq!(shop.interrupted(), 0);
}

#[tokio::test]
async fn jobs_at_risk_keep_the_fleet_from_shrinking() {
    let mut shop = Shop::open("", PLAIN, &[12, 12]).await;
    shop.hold(0).await;
    shop.run(120).await;
    assert_eq!(shop.alive().len(), 2);
    assert!(shop.has_problem("jobs-at-risk"));
    let mut shop = Shop::open("", TELLING, &[12, 40]).await;
    assert!(!shop.has_problem("jobs-at-risk"));
    shop.hold(0).await;
    shop.run(15).await;
    assert_eq!(shop.alive().len(), 1, "the idle one goes");
    shop.run(45).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (0, 0));
}

#[tokio::test]
async fn field_map_says_which_jobs_are_known() {
    let read =
        |more: &str| format!("{{ http: \"http://q.example/\", json: {{ waiting: /n{more} }} }}");
    let mut shop = Shop::open("", &read(""), &[12, 12]).await;
    shop.hold(0).await;
    shop.run(60).await;
    assert_eq!(shop.alive().len(), 2);
    assert!(shop.has_problem("jobs-at-risk"));
    // What runs is counted, and not where: all go together.
    let mut shop = Shop::open("", &read(", running: /r"), &[12, 40]).await;
    shop.hold(0).await;
    shop.run(15).await;
    assert_eq!(shop.alive().len(), 2);
    shop.run(45).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (0, 0));
    assert!(!shop.has_problem("jobs-at-risk"));
    let mut shop = Shop::open("", &read(", busy: /b"), &[12, 40]).await;
    shop.hold(0).await;
    shop.run(15).await;
    assert_eq!(shop.alive().len(), 1, "the idle one goes");
    shop.run(45).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (0, 0));
}

#[tokio::test]
async fn drain_none_waits_for_an_empty_queue() {
    let mut shop = Shop::open("drain: none", PLAIN, &[12, 12]).await;
    shop.hold(0).await;
    shop.run(60).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (0, 0));
}

#[tokio::test]
async fn time_that_the_daemon_was_down_counts_for_nothing() {
    let mut shop = Shop::open(TAG, PLAIN, &[600, 600]).await;
    shop.simulation.front.state().world.refuses_tags = true;
    shop.hold(1).await;
    shop.run(1).await;
    // Longer than the deadline without a tick.
    let later = time::after(shop.simulation.now(), Duration::from_mins(45));
    shop.simulation.advance(later);
    shop.simulation.restart().await.unwrap();
    shop.simulation.front.state().world.refuses_tags = false;
    shop.run(25).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (2, 0), "it was never told");
}

#[tokio::test]
async fn answers_of_a_receiver_that_no_job_runs_are_learned_from() {
    let mut shop = Shop::open(HTTP, PLAIN, &[12, 12]).await;
    shop.run(20).await;
    shop.hold(0).await;
    shop.run(10).await;
    assert_eq!(shop.alive(), []);
    let ledger = shop.simulation.journal.ledger();
    let drains = &ledger.fleets[&job()].drains;
    assert!(drains.heeded && drains.took.len() == 2, "{drains:?}");
}

#[tokio::test]
async fn server_that_cannot_be_told_to_go_on_drains_on() {
    let mut shop = Shop::open(TAG, PLAIN, &[600, 600]).await;
    shop.hold(1).await;
    shop.run(3).await;
    shop.simulation.front.state().world.refuses_tags = true;
    shop.hold(2).await;
    shop.run(5).await;
    assert!(shop.phases().contains(&Phase::Resuming));
    shop.run(15).await;
    assert!(shop.phases().contains(&Phase::Draining), "{:?}", shop.phases());
    assert!(shop.launched() == 3, "another takes its place");
    let drains = shop.tagged();
    shop.order(OverrideKey::Terminate(drains[0].clone()), 0, true).await;
    shop.run(3).await;
    assert!(!shop.alive().contains(&drains[0]));
}

#[tokio::test]
async fn hold_interrupts_no_job_of_a_fleet_with_fixed_size() {
    let mut shop = Shop::open("", PLAIN, &[600, 600]).await;
    let text = POLICY.replace("DRAIN", "").replace("READ", PLAIN).replace("max: 4", "max: 2");
    let text = text.replace("min: 0", "min: 2");
    shop.simulation.policy = load("drain.yaml", &text, start()).policy.unwrap();
    shop.hold(1).await;
    shop.run(30).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (2, 0));
}

#[tokio::test]
async fn servers_are_known_to_be_busy_by_address_and_unknown_ones_hold_all() {
    let mut shop = Shop::open("", TELLING, &[600, 600]).await;
    let tell = |shop: &Shop, busy: &[(&str, u32)]| {
        let busy = busy.iter().map(|(key, jobs)| (InstanceId::new(key), *jobs)).collect();
        let work = Work { busy: Some(busy), ..Work::default() };
        let depth = Depth { waiting: 0, oldest: None, work };
        shop.simulation.front.state().pin_depth(job(), depth);
    };
    let address = |shop: &Shop, id: &InstanceId| {
        let state = shop.simulation.front.state();
        state.world.machine(id).unwrap().private_ip.to_string()
    };
    let servers = shop.alive();
    let (first, second) = (address(&shop, &servers[0]), address(&shop, &servers[1]));
    shop.hold(0).await;
    tell(&shop, &[(&first, 1), (&second, 2)]);
    shop.run(10).await;
    assert_eq!(shop.alive().len(), 2, "both are busy");
    tell(&shop, &[("ip-172-31-0-99", 2)]);
    shop.run(10).await;
    assert_eq!(shop.alive().len(), 2, "either may run them");
    assert!(shop.has_problem("busy-elsewhere"));
    tell(&shop, &[(&first, 1)]);
    shop.run(10).await;
    assert_eq!(shop.alive(), servers[..1], "the idle one goes");
    assert!(!shop.has_problem("busy-elsewhere"));
}

#[tokio::test]
async fn drain_goes_on_while_jobs_run_on_a_host_that_is_not_known() {
    let mut shop = Shop::open(HTTP, TELLING, &[600, 600]).await;
    shop.hold(1).await;
    let busy = [(InstanceId::new("ip-172-31-0-99"), 1)].into();
    let work = Work { busy: Some(busy), ..Work::default() };
    let depth = Depth { waiting: 0, oldest: None, work };
    shop.simulation.front.state().pin_depth(job(), depth);
    shop.run(20).await;
    assert_eq!((shop.alive().len(), shop.interrupted()), (2, 0));
}
