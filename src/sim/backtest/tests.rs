//! A backtest looks when something happens, and misses nothing by it.

use super::*;
use crate::policy::load;
use crate::sim::load::Job;
use crate::sim::rng::Rng;

const POLICY: &str = r#"
version: 1
timezone: UTC
fleets:
  job:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
    min: 0
    max: 9
    BILLING
    queue: { read: { http: "http://q.example/", json: /waiting }, RULE }
"#;

fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

/// Bursts of jobs of very unlike lengths, and quiet between.
fn trace(seed: u64) -> Trace {
    let mut whims = Rng::new(seed, "a trace");
    let mut at = start();
    let mut jobs = Vec::new();
    for n in 0..1500 {
        let mean = if n / 150 % 2 == 0 { 60 } else { 900 };
        at = time::after(at, whims.exponential(Duration::from_secs(mean)));
        jobs.push(Job { arrives: at, takes: whims.exponential(Duration::from_mins(6)) });
    }
    Trace::Jobs(jobs)
}

#[tokio::test]
async fn looking_when_something_happens_misses_nothing() {
    let setting = Setting {
        seed: 1,
        boot: Duration::from_secs(250),
        jobs_at_once: 2,
        tells: true,
        goal: Duration::from_mins(15),
    };
    let rules = [
        "start_within: 15m, jobs_at_once: 2",
        "scale_out: { above: 8, add: 2 }, scale_in: { below: 3, remove: 1, after: 12m }",
    ];
    let fleet = FleetName::new("job").unwrap();
    for rule in rules {
        for billing in ["billing: hour", "minimum_uptime: 25m"] {
            let text = POLICY.replace("RULE", rule).replace("BILLING", billing);
            let policy = load("test.yaml", &text, start()).policy.expect("the policy is valid");
            let trace = trace(7);
            let backtest =
                Backtest { policy: &policy, fleet: &fleet, trace: &trace, setting: &setting };
            let told = |outcome: &Outcome| {
                let jobs = outcome.jobs.clone().unwrap();
                (outcome.launches, outcome.reversals, jobs.waits, jobs.interrupted, outcome.span)
            };
            let quick = backtest.run(&mut |_| ()).await.unwrap();
            let every = backtest.run_by(|_, _, record| record.next, &mut |_| ()).await.unwrap();
            assert!(quick.launches > 20, "{rule}: {quick:?}");
            assert_eq!(told(&quick), told(&every), "{rule} {billing}");
        }
    }
}
