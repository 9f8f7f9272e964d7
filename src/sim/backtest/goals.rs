//! Tests of waiting-time goals on made-up loads: jobs that come alone, and bursts of jobs of very unlike
//! lengths, by what the queue tells.

use super::tests::list_prices;
use super::*;
use crate::sim::load::Job;
use crate::sim::rng::Rng;
use tidegate_engine::policy::load;

const POLICY: &str = r#"
version: 1
timezone: UTC
fleets:
  job:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
    max: 100
    billing: BILLING
    DRAIN
    queue:
      read: { http: "http://q.example/"JSON }
      every: 5m
      start_within: 15m
      job_takes: TAKES
      jobs_at_once: 2
"#;

/// What the queue tells, as it stands in `read`.
const EVERYTHING: &str = ", json: /waiting";
const LENGTH: &str = "";
const RUNNING: &str = ", json: { waiting: /messages_ready, running: /messages_unacknowledged }";

fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

/// One job at a time, at any moment between two readings.
fn lone_jobs() -> Trace {
    let mut whims = Rng::new(11, "lone jobs");
    let mut at = start();
    let jobs = (0..300).map(|_| {
        at = time::after(at, Duration::from_mins(25) + whims.exponential(Duration::from_mins(15)));
        Job { arrives: at, takes: Duration::from_mins(4) }
    });
    Trace::Jobs(jobs.collect())
}

/// Bursts of up to forty jobs that take alike, minutes or hours, and some that come alone.
fn bursts() -> Trace {
    let mut whims = Rng::new(5, "bursts");
    let mut at = start();
    let mut jobs = Vec::new();
    while jobs.len() < 3000 {
        at = time::after(at, whims.exponential(Duration::from_mins(50)));
        let burst = if whims.chance(0.3) { 1 + whims.up_to(39) } else { 1 };
        let mean = if whims.chance(0.25) { 75 } else { 6 };
        let takes = whims.exponential(Duration::from_mins(mean));
        for nth in 0..burst {
            let arrives = time::after(at, Duration::from_secs(u64::try_from(nth).unwrap() * 4));
            let takes = takes.mul_f64(0.8) + whims.exponential(takes.mul_f64(0.2));
            jobs.push(Job { arrives, takes });
        }
        at = jobs.last().map_or(at, |job| job.arrives);
    }
    Trace::Jobs(jobs)
}

struct Shop {
    billing: &'static str,
    tells: &'static str,
    job_takes: &'static str,
    boot: Duration,
}

impl Shop {
    async fn run(&self, trace: &Trace) -> Outcome {
        let told = self.tells == EVERYTHING;
        let drain = if told { "" } else { "drain: { via: tag, deadline: 48h }" };
        let text = POLICY.replace("BILLING", self.billing).replace("DRAIN", drain);
        let text = text.replace("JSON", self.tells).replace("TAKES", self.job_takes);
        let policy = load("test.yaml", &text, start()).policy.expect("the policy is valid");
        let fleet = FleetName::new("job").unwrap();
        let setting = Setting {
            seed: 1,
            boot: self.boot,
            jobs_at_once: 2,
            tells: Telling::of(&policy.fleets[&fleet].queue.as_ref().unwrap().source),
            interruption: Interruption::Lost,
            goal: Duration::from_mins(15),
        };
        let prices = list_prices();
        let backtest =
            Backtest { policy: &policy, fleet: &fleet, trace, setting: &setting, prices: &prices };
        backtest.run(&mut |_| ()).await.unwrap()
    }
}

/// Asserts that the goal is kept, and returns the server time in multiples of the work.
#[track_caller]
fn kept(outcome: &Outcome, trace: &Trace, what: &str) -> f64 {
    let jobs = outcome.jobs.as_ref().unwrap();
    let late = jobs.share_over();
    assert!(late <= 0.05, "{what}: {:.1} of 100 jobs are late", late * 100.0);
    assert_eq!((jobs.interrupted, jobs.unfinished), (0, 0), "{what}");
    let Trace::Jobs(all) = trace else { panic!("a trace of jobs") };
    let work: Duration = all.iter().map(|job| job.takes).sum();
    outcome.server_time.as_secs_f64() / (work.as_secs_f64() / 2.0)
}

#[tokio::test]
async fn lone_jobs_start_in_time_for_every_boot() {
    let trace = lone_jobs();
    for boot in [60, 90, 120, 150, 180, 200, 240, 300, 360, 420, 480, 540] {
        for billing in ["hour", "second"] {
            for tells in [EVERYTHING, LENGTH] {
                let boot = Duration::from_secs(boot);
                let shop = Shop { billing, tells, job_takes: "4m", boot };
                let what = format!("boot {boot:?}, billed by the {billing}, told: {tells}");
                kept(&shop.run(&trace).await, &trace, &what);
            }
        }
    }
}

#[tokio::test]
async fn goal_is_kept_by_the_length_alone() {
    let trace = bursts();
    for billing in ["hour", "second"] {
        for job_takes in ["20m", "2m", "3h"] {
            let boot = Duration::from_mins(5);
            let shop = |tells| Shop { billing, tells, job_takes, boot };
            let what = format!("billed by the {billing}, job_takes: {job_takes}");
            let told = kept(&shop(EVERYTHING).run(&trace).await, &trace, &what);
            let length = kept(&shop(LENGTH).run(&trace).await, &trace, &what);
            assert!(length < told * 1.6, "{what}: {length:.2} where {told:.2} is enough");
        }
    }
}

/// A broker tells its running jobs, and no totals by which a wrong run time would show.
#[tokio::test]
async fn wrong_run_time_is_learned_without_totals() {
    let trace = bursts();
    for billing in ["hour", "second"] {
        for job_takes in ["20m", "2m", "3h"] {
            let shop = Shop { billing, tells: RUNNING, job_takes, boot: Duration::from_mins(5) };
            let jobs = shop.run(&trace).await.jobs.unwrap();
            assert_eq!((jobs.interrupted, jobs.unfinished), (0, 0));
            let late = jobs.share_over();
            assert!(late < 0.15, "{billing}, job_takes: {job_takes}: {late:.3} are late");
        }
    }
}

/// A queue that is always a few jobs long turns over as fast as its jobs run.
#[tokio::test]
async fn steady_backlog_is_no_standing_queue() {
    let jobs = (0..2000_u64).map(|nth| Job {
        arrives: time::after(start(), Duration::from_secs(nth * 60)),
        takes: Duration::from_mins(4),
    });
    let trace = Trace::Jobs(jobs.collect());
    for billing in ["hour", "second"] {
        let shop = |tells| Shop { billing, tells, job_takes: "4m", boot: Duration::from_mins(5) };
        let told = kept(&shop(EVERYTHING).run(&trace).await, &trace, billing);
        let length = kept(&shop(LENGTH).run(&trace).await, &trace, billing);
        assert!(length < told * 1.5, "{billing}: {length:.2} where {told:.2} is enough");
    }
}
