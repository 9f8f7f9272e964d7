//! A backtest looks when something happens, and misses nothing by it.

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
    min: 0
    max: 9
    BILLING
    queue: { read: { http: "http://q.example/", json: /waiting }, RULE }
"#;

/// The list prices of us-east-1.
pub(super) fn list_prices() -> PriceList {
    PriceList::new(Some("us-east-1"), &BTreeMap::new())
}

fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

/// Bursts of jobs of very unlike lengths, and quiet between.
fn trace(seed: u64) -> Trace {
    let mut whims = Rng::new(seed, "a trace");
    let mut at = start();
    let mut jobs = Vec::new();
    for n in 0..1500 {
        let mean = if n % 300 < 150 { 60 } else { 900 };
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
        tells: Telling::ALL,
        interruption: Interruption::default(),
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
            let prices = list_prices();
            let backtest = Backtest {
                policy: &policy,
                fleet: &fleet,
                trace: &trace,
                setting: &setting,
                prices: &prices,
            };
            let told = |outcome: &Outcome| {
                let jobs = outcome.jobs.clone().unwrap();
                (outcome.launches, outcome.reversals, jobs.waits, jobs.interrupted, outcome.span)
            };
            let quick = backtest.run(&mut |_| ()).await.unwrap();
            let every = backtest.run_by(|_, _, record| record.next, &mut |_| ()).await.unwrap();
            assert!(quick.launches > 20, "{rule}: {quick:?}");
            assert_eq!(told(&quick), told(&every), "{rule} {billing}");
            adds_up(&quick);
            adds_up(&every);
        }
    }
}

/// What happened over time comes to what happened in all.
#[track_caller]
fn adds_up(outcome: &Outcome) {
    let Series { from, to, bins, .. } = &outcome.series;
    assert_eq!((from, to), (&outcome.from, &outcome.to));
    assert!(bins.len() <= series::BINS_AT_MOST);
    let jobs = outcome.jobs.as_ref().unwrap();
    let count = |of: fn(&series::Bin) -> u64| bins.iter().map(of).sum::<u64>();
    assert_eq!(count(|bin| bin.came), jobs.started + jobs.missed);
    assert_eq!(count(|bin| bin.late), jobs.over_goal);
    assert_eq!(bins.iter().filter_map(|bin| bin.longest).max(), jobs.waits.last().copied());
    let near = |is: f64, should: f64| assert!((is - should).abs() < 0.01, "{is} for {should}");
    let sum = |of: fn(&series::Bin) -> f64| bins.iter().map(of).sum::<f64>();
    near(sum(|bin| bin.by_hour), outcome.cost_by_hour.whole().unwrap());
    near(sum(|bin| bin.by_second), outcome.cost_by_second.whole().unwrap());
    near(sum(|bin| bin.servers.as_secs_f64()), outcome.server_time.as_secs_f64());
    near(sum(|bin| bin.idle.as_secs_f64()), outcome.idle.as_secs_f64());
    for (nth, bin) in bins.iter().enumerate() {
        let span = outcome.series.span(nth).as_secs_f64();
        let mean = bin.servers.as_secs_f64() / span.max(1.0);
        assert!(mean <= f64::from(u32::try_from(bin.most).unwrap()) + 1e-6, "{nth}: {bin:?}");
        assert!(bin.booting + bin.idle <= bin.servers + Duration::from_millis(1), "{nth}: {bin:?}");
    }
    // Whoever looked at the queue saw no more than the highest that is told.
    let highest = bins.iter().map(|bin| bin.waiting).max().unwrap();
    assert!(highest >= outcome.span.waiting.most, "{highest}: {:?}", outcome.span);
}

/// Nine to ten o'clock of every working day: a job a minute. Otherwise nobody.
fn mornings(weeks: u64) -> Trace {
    let mut jobs = Vec::new();
    let days = (0..weeks * 7).filter(|day| day % 7 < 5);
    for day in days {
        for minute in 0..60 {
            let at = Duration::from_mins((day * 24 + 9) * 60 + minute) + Duration::from_secs(20);
            jobs.push(Job { arrives: time::after(start(), at), takes: Duration::from_mins(2) });
        }
    }
    Trace::Jobs(jobs)
}

#[tokio::test]
async fn mornings_like_those_before_are_met_with_servers() {
    let rule = "every: 5m, start_within: 5m, jobs_at_once: 2";
    let text = POLICY.replace("RULE", rule).replace("BILLING", "billing: second");
    let policy = load("test.yaml", &text, start()).policy.expect("the policy is valid");
    let fleet = FleetName::new("job").unwrap();
    let setting = Setting {
        seed: 1,
        boot: Duration::from_mins(4),
        jobs_at_once: 2,
        tells: Telling::ALL,
        interruption: Interruption::default(),
        goal: Duration::from_mins(5),
    };
    let mut weeks = Vec::new();
    for n in [2, 5] {
        let trace = mornings(n);
        let prices = list_prices();
        let backtest = Backtest {
            policy: &policy,
            fleet: &fleet,
            trace: &trace,
            setting: &setting,
            prices: &prices,
        };
        weeks.push(backtest.run(&mut |_| ()).await.unwrap());
    }
    let [two, five] = weeks.as_slice() else { panic!("two runs") };
    let late = |outcome: &Outcome| outcome.jobs.as_ref().unwrap().over_goal;
    assert!(late(two) >= 20, "the goal is too short to wait and see: {}", late(two));
    assert_eq!(late(five), late(two), "from the third week on nobody is late");
    let a_morning =
        |weeks: f64, outcome: &Outcome| outcome.cost_by_second.whole().unwrap() / (weeks * 5.0);
    assert!(a_morning(5.0, five) < a_morning(2.0, two) * 1.2, "{two:?} {five:?}");
}

/// For two days a job of four minutes every 72 seconds: work for two servers of two places, less a
/// sixth.
fn steady() -> Trace {
    let jobs = (0..2400).map(|n| Job {
        arrives: time::after(start(), Duration::from_secs(72 * n)),
        takes: Duration::from_mins(4),
    });
    Trace::Jobs(jobs.collect())
}

/// Whoever grows and shrinks in turn under a load that never changes does so for nothing.
#[tokio::test]
async fn under_a_steady_load_nobody_comes_and_goes() {
    let fleet = FleetName::new("job").unwrap();
    let trace = steady();
    let setting = Setting {
        seed: 1,
        boot: Duration::from_mins(5),
        jobs_at_once: 2,
        tells: Telling::ALL,
        interruption: Interruption::default(),
        goal: Duration::from_mins(15),
    };
    for billing in ["billing: hour", "billing: second"] {
        let rule = "start_within: 15m, jobs_at_once: 2, job_takes: 4m";
        let text = POLICY.replace("RULE", rule).replace("BILLING", billing);
        let policy = load("test.yaml", &text, start()).policy.expect("the policy is valid");
        let prices = list_prices();
        let backtest = Backtest {
            policy: &policy,
            fleet: &fleet,
            trace: &trace,
            setting: &setting,
            prices: &prices,
        };
        let outcome = backtest.run(&mut |_| ()).await.unwrap();
        let turns = (outcome.launches, outcome.reversals);
        assert!(turns.0 <= 3 && turns.1 <= 1, "{billing}: {turns:?}");
        assert!(outcome.jobs.unwrap().over_goal <= 1, "{billing}");
    }
}

#[test]
fn a_year_of_dense_readings_is_refused() {
    let length = |hours, waiting| {
        let at = time::after(start(), Duration::from_hours(hours));
        Length { at, waiting, oldest: None }
    };
    let trace = Trace::Lengths(vec![length(0, 1), length(365 * 24, 0)]);
    let setting = Setting {
        seed: 1,
        boot: Duration::from_mins(5),
        jobs_at_once: 2,
        tells: Telling::ALL,
        interruption: Interruption::default(),
        goal: Duration::from_mins(15),
    };
    let fleet = FleetName::new("job").unwrap();
    let too_long = |every: &str| {
        let rule = format!("every: {every}, start_within: 15m, jobs_at_once: 2");
        let text = POLICY.replace("RULE", &rule).replace("BILLING", "billing: hour");
        let policy = load("test.yaml", &text, start()).policy.expect("the policy is valid");
        let prices = list_prices();
        Backtest {
            policy: &policy,
            fleet: &fleet,
            trace: &trace,
            setting: &setting,
            prices: &prices,
        }
        .too_long()
    };
    // A year looked at every minute passes.
    assert_eq!((too_long("5m"), too_long("1m")), (None, None));
    let why = too_long("5s").unwrap();
    assert!(why.contains("6307200 readings") && why.contains("cut the trace"), "{why}");
}

/// The first server is interrupted with its jobs where the queue does not tell who is busy.
async fn interrupted(json: bool, drain: &str, interruption: Interruption) -> Jobs {
    let jobs = [0, 5, 10, 15, 20, 25].map(|minute| Job {
        arrives: time::after(start(), Duration::from_mins(minute)),
        takes: Duration::from_hours(3),
    });
    let trace = Trace::Jobs(jobs.to_vec());
    let rule = "every: 5m, start_within: 15m, job_takes: 1m, jobs_at_once: 2";
    let text = POLICY.replace("RULE", rule);
    let text = text.replace("BILLING", &format!("billing: second\n    {drain}"));
    let text = if json { text } else { text.replace(", json: /waiting", "") };
    let policy = load("test.yaml", &text, start()).policy.expect("the policy is valid");
    let fleet = FleetName::new("job").unwrap();
    let source = &policy.fleets[&fleet].queue.as_ref().unwrap().source;
    let setting = Setting {
        seed: 1,
        boot: Duration::from_mins(4),
        jobs_at_once: 2,
        tells: Telling::of(source),
        interruption,
        goal: Duration::from_mins(15),
    };
    let prices = list_prices();
    let backtest = Backtest {
        policy: &policy,
        fleet: &fleet,
        trace: &trace,
        setting: &setting,
        prices: &prices,
    };
    let outcome = backtest.run(&mut |_| ()).await.unwrap();
    adds_up(&outcome);
    outcome.jobs.unwrap()
}

#[tokio::test]
async fn plain_number_protects_no_busy_server() {
    let told = interrupted(true, "", Interruption::Lost).await;
    assert_eq!((told.interrupted, told.started), (0, 6), "who is busy is told");
    let plain = interrupted(false, "drain: none", Interruption::Lost).await;
    assert!(plain.interrupted > 0, "{plain:?}");
    assert_eq!(plain.lost, plain.interrupted, "each is lost at its first interruption");
    assert_eq!(plain.started + plain.lost, 6, "each job counts once");
    assert!(plain.over_goal >= plain.lost && plain.share_over() > 0.0, "a lost job is late");
    let back = interrupted(false, "drain: none", Interruption::default()).await;
    assert!(back.interrupted > 0 && back.lost == 0, "{back:?}");
    assert_eq!(back.started + back.missed, 6, "each job counts once");
    // Back and interrupted again until the end, they are late all the same.
    assert!(back.missed > 0 && back.over_goal >= back.missed, "{back:?}");
}

#[tokio::test]
async fn drained_servers_finish_their_jobs_in_a_backtest() {
    for json in [true, false] {
        let drain = "drain: { via: tag, deadline: 4h }";
        let jobs = interrupted(json, drain, Interruption::Lost).await;
        assert_eq!((jobs.interrupted, jobs.lost, jobs.started), (0, 0, 6), "json: {json}");
    }
}
