//! The goal, one sighting after the other: who is launched for, and who may go.
#![expect(clippy::arithmetic_side_effects, reason = "numbers of a test are what they are")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Answer, Filter, SightedServer, SightedState, Sighting};
use crate::model::fleet::FleetName;
use crate::model::instance::InstanceId;
use crate::model::reading::{Depth, Reading, Work};
use crate::model::time::{self, Timestamp};
use crate::policy;

fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn filter(lines: &str) -> Filter {
    let text = format!(
        "version: 1\nfleets:\n  job:\n    launch: {{ template: job }}\n    max: 20\n{lines}\n    queue: {{ read: {{ http: 'http://q.example/' }}, every: 5m, start_within: 15m, job_takes: 4m, jobs_at_once: 2, boot_takes: 4m }}\n"
    );
    let loaded = policy::load("test.yaml", &text, start());
    let mut policy = loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    Filter::new(policy.fleets.remove(&FleetName::new("job").unwrap()).unwrap())
}

/// A stream of sightings, five minutes apart, of a shop that this test keeps the books of.
struct Shop {
    filter: Filter,
    minute: u64,
    servers: Vec<(SightedServer, u32)>,
    arrived: u64,
    completed: u64,
}

impl Shop {
    fn new(billing: &str) -> Self {
        let filter = filter(&format!("    billing: {billing}"));
        Self { filter, minute: 0, servers: Vec::new(), arrived: 0, completed: 0 }
    }

    fn at(minute: u64) -> Timestamp {
        time::after(start(), Duration::from_secs(minute * 60))
    }

    /// A server in service, launched so many minutes before the first sighting.
    fn server(mut self, up: u64, busy: u32) -> Self {
        let id = InstanceId::new(&format!("i-{}", self.servers.len()));
        let launched_at = time::before(start(), Duration::from_secs(up * 60));
        let state = SightedState::InService;
        self.servers.push((SightedServer { id, launched_at, state }, busy));
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
        let reading = Some(Reading { at: now, depth });
        let servers = self.servers.iter().map(|(server, _)| server.clone()).collect();
        self.filter.look(&Sighting { now, reading, servers })
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
    shop.servers[0].0.state = SightedState::Draining;
    let answer = shop.look(Some(0));
    assert_eq!(answer.reclaim, [InstanceId::new("i-0")]);
    assert_eq!(answer.terminate, [InstanceId::new("i-1")]);
    assert_eq!(answer.launch, 0);
}

#[test]
fn draining_servers_are_taken_back_before_any_is_launched() {
    let mut shop = Shop::new("second").server(30, 1);
    shop.servers[0].0.state = SightedState::Draining;
    shop.look(Some(0));
    let mut answers = (0..4).map(|_| shop.next(0, 2));
    let acted = answers.find(|answer| answer.launch + 1 > 1 || !answer.reclaim.is_empty()).unwrap();
    assert_eq!(acted.reclaim, [InstanceId::new("i-0")], "{acted:?}");
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
    let coming = SightedServer { id, launched_at, state: SightedState::Booting };
    shop.servers.push((coming, 0));
    let again = shop.look(Some(1));
    assert_eq!((again.launch, rules(&again)), (0, vec!["queue_answered"]));
}

/// A queue that tells its length alone: what is only reckoned to run must come to an end.
#[test]
fn an_idle_fleet_comes_down_though_the_queue_tells_only_its_length() {
    let mut filter = filter("    billing: second\n    drain: { via: tag, deadline: 30m }");
    let server = |n: u64| SightedServer {
        id: InstanceId::new(&format!("i-{n}")),
        launched_at: start(),
        state: SightedState::InService,
    };
    let mut servers: Vec<SightedServer> = (0..4).map(server).collect();
    let mut launched = 0;
    for minute in 0..200 {
        let now = time::after(start(), Duration::from_secs(minute * 60));
        let waiting = if minute < 5 { 9 } else { 0 };
        let reading = Some(Reading::known(now, waiting));
        let answer = filter.look(&Sighting { now, reading, servers: servers.clone() });
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

/// Seconds since the last sighting, jobs waiting, what else the queue tells, and of each server its
/// uptime and state.
type Seen = (u64, Option<u64>, [Option<u64>; 3], Vec<(u64, u8)>);

fn sighting() -> impl Strategy<Value = Seen> {
    let count = || prop_oneof![0..50_u64, Just(0), Just(u64::MAX)];
    let told = || prop::option::of(count());
    let servers = prop::collection::vec((0..10_000_u64, 0..3_u8), 0..8);
    (0..1000_u64, prop::option::of(count()), [told(), told(), told()], servers)
}

proptest! {
    /// Whatever is seen: no more than `max` is wanted, only servers in service are let go and only
    /// draining ones taken back, nobody goes on a reading that is none, and the next look is ahead.
    #[test]
    fn answers_are_sound(hour in any::<bool>(), seen in prop::collection::vec(sighting(), 1..12)) {
        let mut filter = filter(if hour { "    billing: hour" } else { "    billing: second" });
        let mut now = start();
        for (ahead, waiting, [running, arrived, completed], servers) in seen {
            now = time::after(now, Duration::from_secs(ahead));
            let servers: Vec<SightedServer> = servers.iter().enumerate().map(|(n, (up, state))| {
                SightedServer {
                    id: InstanceId::new(&format!("i-{n}")),
                    launched_at: time::before(now, Duration::from_secs(*up)),
                    state: [SightedState::Booting, SightedState::InService, SightedState::Draining]
                        [usize::from(*state)],
                }
            }).collect();
            let work = Work { running, arrived, completed, busy: None };
            let depth = waiting.map(|waiting| Depth { waiting, oldest: None, work });
            let reading = Reading { at: now, depth: depth.ok_or_else(String::new) };
            let answer = filter.look(&Sighting { now, reading: Some(reading), servers: servers.clone() });
            let state = |id: &InstanceId| servers.iter().find(|s| s.id == *id).unwrap().state;
            prop_assert!(answer.terminate.iter().all(|id| state(id) == SightedState::InService));
            prop_assert!(answer.reclaim.iter().all(|id| state(id) == SightedState::Draining));
            prop_assert!(waiting.is_some() || answer.terminate.is_empty());
            prop_assert!(answer.terminate.is_empty() || answer.launch == 0);
            prop_assert!(answer.launch <= 20);
            prop_assert!(answer.next_look > now);
            prop_assert!(!answer.decision.because.is_empty());
        }
    }
}
