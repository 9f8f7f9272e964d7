//! Goals: what they take for granted where the file does not say.

use super::*;

#[test]
fn measured_boots_outvote_a_short_declaration() {
    let minutes = Duration::from_mins;
    let goal = |boot_takes| Goal {
        start_within: minutes(15),
        job_takes: None,
        jobs_at_once: 1,
        boot_takes,
    };
    let boots = |times: &[u64]| times.iter().copied().map(minutes).collect::<Boots>();
    assert_eq!(goal(None).boot(&boots(&[])), minutes(5), "nothing is known");
    assert_eq!(goal(None).boot(&boots(&[9])), minutes(9));
    assert_eq!(goal(Some(minutes(5))).boot(&boots(&[])), minutes(5));
    assert_eq!(goal(Some(minutes(5))).boot(&boots(&[9, 9])), minutes(5), "two are few");
    assert_eq!(goal(Some(minutes(5))).boot(&boots(&[9, 8, 10])), minutes(9));
    assert_eq!(goal(Some(minutes(5))).boot(&boots(&[1, 2, 3])), minutes(5), "never shorter");
}

#[test]
fn goal_reads_its_queue_every_minute_by_default() {
    let every = |rule: &str| {
        let text = format!(
            "version: 1\nfleets:\n  job:\n    launch: {{ template: job }}\n    max: 2\n    drain: none\n    queue: {{ read: {{ http: 'http://q.example/' }}, {rule} }}\n"
        );
        let loaded = load("test.yaml", &text, Timestamp::UNIX_EPOCH);
        let policy = loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems));
        policy.fleets.values().next().unwrap().queue.as_ref().unwrap().every
    };
    assert_eq!(every("start_within: 15m, jobs_at_once: 2"), Duration::from_mins(1));
    assert_eq!(every("start_within: 15m, jobs_at_once: 2, every: 2m"), Duration::from_mins(2));
    let thresholds = "scale_out: { above: 9 }, scale_in: { below: 2 }";
    assert_eq!(every(thresholds), Duration::from_mins(5));
}
