//! The goal, one snapshot after the other: what is launched for, and which servers may go.
#![expect(clippy::arithmetic_side_effects, reason = "numbers of a test are what they are")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Answer, Evaluator, FleetSnapshot, ServerSnapshot, ServerState};
use crate::model::fleet::FleetName;
use crate::model::instance::InstanceId;
use crate::model::reading::{Depth, Reading, Work};
use crate::model::time::{self, Timestamp};
use crate::policy;

fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn job() -> FleetName {
    FleetName::new("job").unwrap()
}

fn evaluator(lines: &str) -> Evaluator {
    let text = format!(
        "version: 1\nfleets:\n  job:\n    launch: {{ template: job }}\n    max: 20\n{lines}\n    queue: {{ read: {{ http: 'http://q.example/' }}, every: 5m, start_within: 15m, job_takes: 4m, jobs_at_once: 2, boot_takes: 4m }}\n"
    );
    let loaded = policy::load("test.yaml", &text, start());
    let policy = loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    Evaluator::of_readings(policy)
}

/// Evaluates a reading with these servers.
fn look(
    evaluator: &mut Evaluator,
    now: Timestamp,
    reading: Reading,
    servers: Vec<ServerSnapshot>,
) -> Answer {
    let told = FleetSnapshot { reading: Some(reading), servers, launches: Vec::new() };
    evaluator.evaluate_fleet(now, &job(), told).unwrap()
}

/// A stream of snapshots, five minutes apart, of a shop that this test keeps the books of.
struct Shop {
    evaluator: Evaluator,
    minute: u64,
    servers: Vec<(ServerSnapshot, u32)>,
    arrived: u64,
    completed: u64,
}

impl Shop {
    fn new(billing: &str) -> Self {
        let evaluator = evaluator(&format!("    billing: {billing}"));
        Self { evaluator, minute: 0, servers: Vec::new(), arrived: 0, completed: 0 }
    }

    fn at(minute: u64) -> Timestamp {
        time::after(start(), Duration::from_secs(minute * 60))
    }

    /// A server in service, launched so many minutes before the first snapshot.
    fn server(mut self, up: u64, busy: u32) -> Self {
        let id = InstanceId::new(&format!("i-{}", self.servers.len()));
        let launched_at = time::before(start(), Duration::from_secs(up * 60));
        self.servers.push((ServerSnapshot::new(id, launched_at, ServerState::InService), busy));
        self
    }

    fn look(&mut self, waiting: Option<u64>) -> Answer {
        let now = Self::at(self.minute);
        let busy: BTreeMap<InstanceId, u32> =
            self.servers.iter().map(|(server, busy)| (server.id.clone(), *busy)).collect();
        let running = busy.values().copied().map(u64::from).sum();
        self.arrived = self.arrived.max(waiting.unwrap_or(0) + running + self.completed);
        let work = Work {
            running: Some(running),
            arrived: Some(self.arrived),
            completed: Some(self.completed),
            busy: Some(busy),
        };
        let depth = waiting.map(|waiting| Depth { waiting, oldest: None, work });
        let depth = depth.ok_or_else(|| "HTTP 503".to_owned());
        let servers = self.servers.iter().map(|(server, _)| server.clone()).collect();
        look(&mut self.evaluator, now, Reading { at: now, depth }, servers)
    }

    /// Five minutes later, with so many more jobs ended.
    fn next(&mut self, ended: u64, waiting: u64) -> Answer {
        self.minute += 5;
        self.completed += ended;
        self.look(Some(waiting))
    }
}

fn rules(answer: &Answer) -> Vec<&'static str> {
    answer.decision.because.iter().map(crate::model::decision::Reason::rule).collect()
}

#[test]
fn without_work_there_is_nothing_to_launch() {
    for billing in ["hour", "second"] {
        let mut shop = Shop::new(billing);
        assert_eq!(shop.look(Some(0)).launch, 0);
        assert_eq!(shop.next(0, 0).launch, 0);
    }
}

#[test]
fn by_the_second_a_job_is_launched_for_when_the_next_reading_would_be_too_late() {
    let mut shop = Shop::new("second");
    shop.look(Some(0));
    // The job may have come just after the reading before: launched for at the next reading, a server is
    // there nine minutes from now, and the job waits fourteen.
    let first = shop.next(0, 1);
    assert_eq!((first.launch, rules(&first)[0]), (0, "goal_can_wait"));
    assert_eq!(shop.next(0, 1).launch, 1);
}

#[test]
fn by_the_hour_the_sooner_it_begins_the_more_of_it_is_of_use() {
    let mut shop = Shop::new("hour");
    shop.look(Some(0));
    let first = shop.next(0, 1);
    assert_eq!((first.launch, rules(&first)[0]), (1, "goal_missed"));
}

#[test]
fn a_burst_is_launched_for_at_once_since_later_it_takes_more_servers() {
    let mut shop = Shop::new("second");
    shop.look(Some(0));
    let burst = shop.next(0, 60);
    assert!((4..=12).contains(&burst.launch), "{burst:?}");
}

#[test]
fn a_job_that_has_waited_too_long_no_longer_waits_for_a_place_to_come_free() {
    // Two jobs that never end hold the only server.
    let mut shop = Shop::new("second").server(30, 2);
    shop.look(Some(0));
    let launched: Vec<u32> = (0..6).map(|_| shop.next(0, 1).launch).collect();
    let first = launched.iter().position(|n| *n > 0).unwrap();
    assert!(first <= 5, "somebody launches for it: {launched:?}");
}

/// A queue that was purged, or that counts wrongly: the second reading is believed, and the first
/// where the queue tells that the jobs were started.
#[test]
fn a_sudden_zero_ends_no_server_before_a_second_reading() {
    for ended in [0, 400] {
        let mut shop = Shop::new("second").server(30, 0).server(20, 0);
        shop.look(Some(400));
        let zero = shop.next(ended, 0);
        let doubted = rules(&zero).contains(&"goal_doubted");
        assert_eq!((zero.terminate.is_empty(), doubted), (ended == 0, ended == 0), "{zero:?}");
        if ended == 0 {
            let again = shop.next(0, 0);
            assert_eq!(again.terminate.len(), 2, "{again:?}");
        }
    }
}

#[test]
fn by_the_second_idle_servers_go_once_nobody_waits() {
    let drained = "second\n    drain: { via: tag, deadline: 30m }";
    // Two jobs fit on one server: the idle one goes, and with a drain the newest of the others.
    for (billing, go) in [("second", vec!["i-1"]), (drained, vec!["i-1", "i-2"])] {
        let mut shop = Shop::new(billing).server(30, 1).server(20, 0).server(10, 1);
        shop.look(Some(0));
        let answer = shop.next(2, 0);
        let gone: Vec<&str> = answer.terminate.iter().map(InstanceId::as_str).collect();
        assert_eq!(gone, go);
        assert!(rules(&answer).contains(&"goal_spare"));
    }
    let mut shop = Shop::new("second").server(30, 1).server(20, 0);
    assert!(shop.look(Some(3)).terminate.is_empty(), "somebody waits");
}

#[test]
fn by_the_hour_a_server_goes_at_the_last_reading_of_its_hour() {
    for (up, goes) in [(10, false), (50, false), (55, true), (60, false), (115, true)] {
        let mut shop = Shop::new("hour").server(up, 0);
        assert_eq!(shop.look(Some(0)).terminate.len(), usize::from(goes), "up {up} minutes");
    }
}

#[test]
fn a_draining_server_whose_next_hour_has_begun_is_taken_back_and_another_goes_in_its_place() {
    let mut shop = Shop::new("hour").server(60, 1).server(55, 0);
    shop.servers[0].0.state = ServerState::Draining(None);
    let answer = shop.look(Some(0));
    assert_eq!(answer.cancel_drains, [InstanceId::new("i-0")]);
    assert_eq!(answer.terminate, [InstanceId::new("i-1")]);
    assert_eq!(answer.launch, 0);
}

#[test]
fn draining_servers_are_taken_back_before_any_is_launched() {
    let mut shop = Shop::new("second").server(30, 1);
    shop.servers[0].0.state = ServerState::Draining(None);
    shop.look(Some(0));
    let mut answers = (0..4).map(|_| shop.next(0, 2));
    let acted =
        answers.find(|answer| answer.launch + 1 > 1 || !answer.cancel_drains.is_empty()).unwrap();
    assert_eq!(acted.cancel_drains, [InstanceId::new("i-0")], "{acted:?}");
}

#[test]
fn a_queue_that_cannot_be_read_releases_nobody() {
    let mut shop = Shop::new("second").server(30, 0).server(20, 0);
    let answer = shop.look(None);
    assert!(answer.terminate.is_empty());
    assert_eq!(rules(&answer), ["queue_unreadable"]);
}

#[test]
fn one_reading_is_answered_once() {
    let mut shop = Shop::new("hour");
    shop.look(Some(0));
    assert_eq!(shop.next(0, 1).launch, 1);
    let id = InstanceId::new("i-0");
    let launched_at = Shop::at(shop.minute);
    let coming = ServerSnapshot::new(id, launched_at, ServerState::Booting);
    shop.servers.push((coming, 0));
    let again = shop.look(Some(1));
    assert_eq!((again.launch, rules(&again)), (0, vec!["queue_answered"]));
}

/// A queue that tells its length alone: what is only reckoned to run must come to an end.
#[test]
fn an_idle_fleet_comes_down_though_the_queue_tells_only_its_length() {
    let mut evaluator = evaluator("    billing: second\n    drain: { via: tag, deadline: 30m }");
    let server = |n: u64| {
        let id = InstanceId::new(&format!("i-{n}"));
        ServerSnapshot::new(id, start(), ServerState::InService)
    };
    let mut servers: Vec<ServerSnapshot> = (0..4).map(server).collect();
    let mut launched = 0;
    for minute in 0..200 {
        let now = time::after(start(), Duration::from_secs(minute * 60));
        let waiting = if minute < 5 { 9 } else { 0 };
        let answer = look(&mut evaluator, now, Reading::known(now, waiting), servers.clone());
        servers.retain(|server| !answer.terminate.contains(&server.id));
        launched = if minute > 60 { launched + answer.launch } else { 0 };
    }
    assert!(servers.is_empty(), "{servers:?}");
    assert_eq!(launched, 0, "nothing is launched for the dust of a job");
}

#[test]
fn the_run_time_is_learned_from_completions() {
    let mut shop = Shop::new("second").server(30, 2).server(30, 2);
    shop.look(Some(9));
    // Four places and ten ends in five minutes: two minutes a job, where four were declared.
    let last = (0..60).map(|_| shop.next(10, 9)).last().unwrap();
    let terms = last.decision.because.iter().find(|r| r.rule() == "goal_terms").unwrap();
    let numbers: BTreeMap<_, _> = terms.numbers().into_iter().collect();
    assert!((118..=130).contains(&numbers["job_takes_s"]), "{numbers:?}");
}

#[test]
fn totals_that_begin_anew_teach_nothing() {
    let mut shop = Shop::new("second").server(30, 2);
    shop.look(Some(0));
    shop.next(3, 0);
    (shop.arrived, shop.completed) = (0, 0);
    let answer = shop.next(0, 0);
    assert_eq!(answer.launch, 0, "{answer:?}");
}

/// Seconds since the last snapshot, jobs waiting, what else the queue tells, and of each server its
/// uptime and state.
type Seen = (u64, Option<u64>, [Option<u64>; 3], Vec<(u64, u8)>);

fn seen() -> impl Strategy<Value = Seen> {
    let count = || prop_oneof![0..50_u64, Just(0), Just(u64::MAX)];
    let told = || prop::option::of(count());
    let servers = prop::collection::vec((0..10_000_u64, 0..3_u8), 0..8);
    (0..1000_u64, prop::option::of(count()), [told(), told(), told()], servers)
}

proptest! {
    /// Whatever is seen: no more than `max` is wanted, only servers in service are let go and only
    /// draining ones taken back, nobody goes on a reading that is none, and the next look is ahead.
    #[test]
    fn answers_are_sound(hour in any::<bool>(), seen in prop::collection::vec(seen(), 1..12)) {
        let billing = if hour { "    billing: hour" } else { "    billing: second" };
        let mut evaluator = evaluator(billing);
        let mut now = start();
        for (ahead, waiting, [running, arrived, completed], servers) in seen {
            now = time::after(now, Duration::from_secs(ahead));
            let servers: Vec<ServerSnapshot> = servers.iter().enumerate().map(|(n, (up, state))| {
                let id = InstanceId::new(&format!("i-{n}"));
                let launched_at = time::before(now, Duration::from_secs(*up));
                let state = match state {
                    0 => ServerState::Booting,
                    1 => ServerState::InService,
                    _ => ServerState::Draining(None),
                };
                ServerSnapshot::new(id, launched_at, state)
            }).collect();
            let work = Work { running, arrived, completed, busy: None };
            let depth = waiting.map(|waiting| Depth { waiting, oldest: None, work });
            let reading = Reading { at: now, depth: depth.ok_or_else(String::new) };
            let answer = look(&mut evaluator, now, reading, servers.clone());
            let is = |id: &InstanceId, state: ServerState| {
                servers.iter().any(|server| server.id == *id && server.state == state)
            };
            let (serves, drains) = (ServerState::InService, ServerState::Draining(None));
            prop_assert!(answer.terminate.iter().all(|id| is(id, serves.clone())));
            prop_assert!(answer.cancel_drains.iter().all(|id| is(id, drains.clone())));
            prop_assert!(waiting.is_some() || answer.terminate.is_empty());
            prop_assert!(answer.terminate.is_empty() || answer.launch == 0);
            prop_assert!(answer.launch <= 20);
            prop_assert!(answer.next_look > now);
            prop_assert!(!answer.decision.because.is_empty());
        }
    }
}
