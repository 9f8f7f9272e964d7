//! Interrupted jobs of the simulated queue.

use std::time::Duration;

use super::load::{Interruption, Job, Queue, Started};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::time::{self, Timestamp};

const HOUR: u64 = 60;

fn at(minute: u64) -> Timestamp {
    time::after("2026-03-02T08:00:00Z".parse().unwrap(), Duration::from_mins(minute))
}

/// Two jobs of half an hour that arrive at minutes 1 and 2, one at a time on a server. The server
/// ends at minute 11, in the first run; another one serves from minute 21 on.
fn interrupted(interruption: Interruption) -> (Queue, InstanceId) {
    let job = |minute| Job { arrives: at(minute), takes: Duration::from_mins(30) };
    let mut queue = Queue::given([job(1), job(2)], 1, interruption, at(0));
    let (first, second) = (InstanceId::new("i-1"), InstanceId::new("i-2"));
    queue.advance(at(11), [first].iter(), |_| false);
    queue.advance(at(21), [].iter(), |_| false);
    assert_eq!(queue.interrupted, 1);
    (queue, second)
}

fn started(arrived: u64, waited: u64) -> Started {
    Started { arrived: at(arrived), waited: Duration::from_mins(waited) }
}

#[test]
fn interrupted_job_returns_when_its_lock_times_out() {
    let (mut queue, server) = interrupted(Interruption::default());
    let depth = queue.depth();
    assert_eq!((depth.waiting, depth.oldest), (1, Some(Duration::from_mins(19))));
    assert_eq!(depth.work.running, Some(1), "a locked job counts as running");
    assert_eq!(depth.work.busy, Some([].into()), "and no server is busy with it");
    queue.advance(at(4 * HOUR), [server.clone()].iter(), |_| false);
    assert_eq!(queue.started().collect::<Vec<_>>(), [started(2, 19)]);
    assert!(!queue.is_over());
    let missed = |goal| queue.missed(Duration::from_mins(goal)).collect::<Vec<_>>();
    assert_eq!((missed(15), missed(4 * HOUR)), (vec![at(1)], vec![]), "it is late already");
    // The lock was taken at minute 1.
    queue.advance(at(4 * HOUR + 1), [].iter(), |_| false);
    let oldest = queue.depth().oldest;
    assert_eq!(oldest, Some(Duration::from_hours(4)), "it waits since its first arrival");
    queue.advance(at(4 * HOUR + 11), [].iter(), |_| false);
    queue.advance(at(6 * HOUR), [server].iter(), |_| false);
    let waits = [started(1, 4 * HOUR + 10), started(2, 19)];
    assert_eq!(queue.started().collect::<Vec<_>>(), waits);
    assert_eq!((queue.arrived, queue.done, queue.lost, queue.interrupted), (2, 2, 0, 1));
    assert!(queue.is_over());
    let span = |from, to| (at(from), Some(at(to)));
    let mut visible: Vec<_> = queue.waits().collect();
    visible.sort_unstable();
    assert_eq!(visible, [span(1, 1), span(2, 21), span(4 * HOUR + 1, 4 * HOUR + 11)]);
}

#[test]
fn interrupted_job_waits_again_at_once() {
    let (mut queue, server) = interrupted(Interruption::AtOnce);
    let depth = queue.depth();
    assert_eq!((depth.waiting, depth.oldest), (2, Some(Duration::from_mins(20))));
    assert_eq!(depth.work.running, Some(0));
    queue.advance(at(3 * HOUR), [server].iter(), |_| false);
    // First come, first served.
    assert_eq!(queue.started().collect::<Vec<_>>(), [started(1, 20), started(2, 49)]);
    assert_eq!((queue.arrived, queue.done, queue.interrupted), (2, 2, 1));
    assert!(queue.is_over());
}

#[test]
fn lost_job_never_runs_again() {
    let (mut queue, server) = interrupted(Interruption::Lost);
    assert_eq!((queue.depth().waiting, queue.depth().work.running), (1, Some(0)));
    queue.advance(at(9 * HOUR), [server].iter(), |_| false);
    assert_eq!(queue.started().collect::<Vec<_>>(), [started(2, 19)]);
    assert_eq!(queue.missed(Duration::MAX).collect::<Vec<_>>(), [at(1)]);
    assert_eq!((queue.arrived, queue.done, queue.lost), (2, 1, 1));
    assert!(queue.is_over());
}

#[test]
fn long_run_outlasts_its_lock() {
    let (queue, _) = interrupted(Interruption::BackAfter(Duration::from_mins(5)));
    assert_eq!(queue.depth().waiting, 2, "the lock timed out during the run");
}

#[test]
fn interruptions_are_read_as_written() {
    for text in ["lost", "at-once", "4h", "1h30m"] {
        assert_eq!(text.parse::<Interruption>().unwrap().to_string(), text);
    }
    assert!("never".parse::<Interruption>().unwrap_err().contains("at-once"));
}
