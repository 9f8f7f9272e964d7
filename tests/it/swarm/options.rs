//! What a seed draws: the policy, the day, the troubles and how often they come, and the habits of
//! the disk.

use std::fmt;
use std::time::Duration;

use tidegate::sim::faults::{Severity, Trouble, Troubles};
use tidegate::sim::rng::Rng;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::{Policy, load};

const POLICY: &str = r#"
version: 1
timezone: America/Winnipeg
mode: act
tick: TICK
limits: { instances: 10, launch: 12 per 1h, terminate: 5 per 10m }
defaults:
  launch: { image: ami-0123456789abcdef0, subnets: [subnet-0a1, subnet-0b2] }
fleets:
  app:
    launch: { types: [t3.small, t3a.small] }
    load_balancer: { BALANCER, deregistration_delay: DELAY }
    health: { http: "http://{private_ip}/", expect: welcome, every: EVERY, grace: 10m }
    min: 2
    max: 3
    schedule:
      - { cron: "0 8 * * mon-fri", capacity: 3 }
      - { cron: "0 21 * * mon-fri", capacity: 2 }
NIGHT
  job:
    launch: { types: [t3.small, t3a.small] }
    health: { http: "http://{private_ip}/", expect: welcome, every: EVERY, grace: 10m }
    min: 1
    max: 4
    minimum_uptime: 45m
    drain: JOB_DRAIN
    queue: { read: { http: "http://q.example/" }, job_takes: 2m, scale_out: { above: 20, add: 2 }, scale_in: { below: 5, remove: 1 } }
  work:
    launch: { types: [t3.small, t3a.small] }
    health: { http: "http://{private_ip}/", expect: welcome, every: EVERY, grace: 10m }
    min: 0
    max: 5
    minimum_uptime: 10m
    billing: BILLING
    WORK_DRAIN
    queue: { read: { http: "http://q.example/", json: /waiting }, every: POLL, start_within: 15m, jobs_at_once: 2 }
"#;

/// Lines that fire in hours which a change of clock skips or repeats around.
const NIGHT: &str = r#"      - { cron: "30 1 * * *", capacity: 3 }
      - { cron: "30 3 * * *", capacity: 2 }"#;

/// The brakes of the policy above.
pub(super) const INSTANCES_AT_MOST: u32 = 10;
pub(super) const LAUNCHES: (usize, Duration) = (12, Duration::from_hours(1));
pub(super) const RETIREMENTS: (usize, Duration) = (5, Duration::from_mins(10));

/// Noon in Winnipeg on a Thursday, on a Friday, and on the days before the clocks go forward, before
/// they go back, and before a plain Monday.
const STARTS: [&str; 5] = [
    "2026-03-05T18:00:00Z",
    "2026-06-12T17:00:00Z",
    "2026-03-07T18:00:00Z",
    "2026-10-31T17:00:00Z",
    "2026-03-01T18:00:00Z",
];

/// Seeds that were drawn among so few troubles drew nothing else either.
const TROUBLES_ALONE: usize = 16;

/// How many troubles there were when their severities began to be drawn: those of later ones are drawn
/// last, so that the seeds that are kept draw what they drew.
const TROUBLES_AT_FIRST: usize = 25;

/// How many troubles there were before fleets drained.
const TROUBLES_WITHOUT_DRAINS: usize = 27;

/// One draw.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
pub(super) struct Options {
    pub seed: u64,
    pub start: Timestamp,
    pub troubles: Troubles,
    pub severity: Severity,
    /// A job of the fleet with a goal.
    pub job_takes: Duration,
    /// For five minutes of every two hours the journal cannot be written.
    pub full_disk: bool,
    /// What was written within the last minute does not outlive the daemon.
    pub forgetful_disk: bool,
    /// Somebody puts an old copy of the state directory back now and then.
    pub old_copies: bool,
    /// While troubles last, EC2 refuses every change of a tag.
    pub refuses_tags: bool,
    tick: &'static str,
    every: &'static str,
    poll: &'static str,
    balancer: &'static str,
    delay: &'static str,
    job_drain: &'static str,
    work_drain: &'static str,
    billing: &'static str,
    night: bool,
    early: bool,
}

impl Options {
    /// `among`: how many of the troubles there were when the seed was drawn first.
    pub(super) fn draw(seed: u64, among: usize, whims: &mut Rng) -> Self {
        // Some seeds are gentle, some hell: each trouble is on or off for a whole run.
        let share = whims.unit();
        let troubles: Troubles =
            Trouble::ALL.into_iter().take(among).filter(|_| whims.chance(share)).collect();
        // From half a minute to a quarter of an hour, beyond the uptime that lets a server go.
        let job_takes = whims.between(Duration::from_secs(30), Duration::from_mins(15));
        let billing = if whims.chance(0.5) { "hour" } else { "second" };
        let mut options = Self {
            seed,
            start: STARTS[0].parse().unwrap(),
            troubles,
            severity: Severity::default(),
            job_takes,
            full_disk: false,
            forgetful_disk: false,
            old_copies: false,
            refuses_tags: false,
            tick: "15s",
            every: "5s",
            poll: "1m",
            balancer: "classic: web",
            delay: "30s",
            job_drain: "none",
            work_drain: "",
            billing,
            night: false,
            early: among <= TROUBLES_ALONE,
        };
        if !options.early {
            options.vary(share, &mut Rng::new(seed, "options"));
        }
        if among > TROUBLES_WITHOUT_DRAINS {
            options.drain(&mut Rng::new(seed, "drains"));
        }
        options
    }

    fn drain(&mut self, whims: &mut Rng) {
        let post = r#"{ via: { http: "http://q.example/drain/{instance_id}" }, deadline: 20m }"#;
        let tag = "{ via: tag, deadline: 20m }";
        let no_way_back = "{ via: tag, deadline: 20m, cancel: false }";
        self.job_drain = ["none", tag, tag, post][whims.up_to(3)];
        self.work_drain = ["", tag, post, no_way_back][whims.up_to(3)];
        self.refuses_tags = whims.chance(0.1);
    }

    fn vary(&mut self, share: f64, whims: &mut Rng) {
        self.start = STARTS[whims.up_to(STARTS.len() - 1)].parse().unwrap();
        // Mostly as seldom as may be: more days in a minute, and more that happens unseen.
        self.tick = if whims.chance(0.15) { "15s" } else { "1m" };
        self.every = if whims.chance(0.15) { "5s" } else { "1m" };
        self.poll = ["1m", "5m", "5m"][whims.up_to(2)];
        self.balancer = ["classic: web", "target_group: web"][whims.up_to(1)];
        self.delay = ["0s", "30s", "5m"][whims.up_to(2)];
        self.night = whims.chance(0.5);
        let severity = |whims: &mut Rng| 0.3 + 1.2 * whims.unit();
        for trouble in Trouble::ALL.into_iter().take(TROUBLES_AT_FIRST) {
            self.severity.set(trouble, severity(whims));
        }
        self.full_disk = whims.chance(share / 2.0);
        self.forgetful_disk = whims.chance(share / 3.0);
        self.old_copies = whims.chance(share / 3.0);
        for trouble in Trouble::ALL.into_iter().skip(TROUBLES_AT_FIRST) {
            self.severity.set(trouble, severity(whims));
        }
    }

    pub(super) fn policy(&self) -> Policy {
        let work_drain = self.work_drain();
        let text = [
            ("TICK", self.tick),
            ("EVERY", self.every),
            ("POLL", self.poll),
            ("BALANCER", self.balancer),
            ("DELAY", self.delay),
            ("JOB_DRAIN", self.job_drain),
            ("WORK_DRAIN", work_drain.as_str()),
            ("BILLING", self.billing),
            ("NIGHT", if self.night { NIGHT } else { "" }),
        ];
        let text = text
            .into_iter()
            .fold(POLICY.to_owned(), |policy, (place, value)| policy.replace(place, value));
        load("swarm.yaml", &text, self.start).policy.expect("the policy is valid")
    }

    fn work_drain(&self) -> String {
        if self.work_drain.is_empty() {
            return String::new();
        }
        format!("drain: {}", self.work_drain)
    }

    pub(super) fn has_edges_at_night(&self) -> bool {
        self.night
    }

    /// Drawn among so few troubles that it drew nothing else.
    pub(super) fn is_early(&self) -> bool {
        self.early
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, start, tick, every, poll, balancer, delay, billing, .. } = self;
        write!(
            f,
            "seed {seed}: from {start}, tick {tick}, checks every {every}, polls every {poll}, "
        )?;
        write!(f, "{balancer}, delay {delay}, billing {billing}, ")?;
        write!(f, "job {}, work {}", self.job_drain, self.work_drain)?;
        let habits = [
            (self.night, "edges at night"),
            (self.full_disk, "full disk"),
            (self.forgetful_disk, "forgetful disk"),
            (self.old_copies, "old copies"),
            (self.refuses_tags, "tags refused"),
        ];
        for (_, habit) in habits.into_iter().filter(|(on, _)| *on) {
            write!(f, ", {habit}")?;
        }
        for trouble in &self.troubles {
            write!(f, ", {trouble} x{:.1}", self.severity.of(*trouble))?;
        }
        Ok(())
    }
}
