//! How often EC2 may be asked: token buckets for each account and region, as EC2's developer guide
//! publishes them under "Request throttling for the Amazon EC2 API".

use std::collections::BTreeMap;

use tidegate_engine::model::time::{self, Timestamp};

/// A bucket's name, what it holds, and what it gains in a second.
type Figures = (&'static str, f64, f64);

const RUN: Figures = ("RunInstances", 5.0, 2.0);
/// One token for each instance asked for, beside the one for the request.
const RUN_RESOURCES: Figures = ("instances of RunInstances", 1000.0, 2.0);
const TERMINATE: Figures = ("TerminateInstances", 100.0, 5.0);
const TERMINATE_RESOURCES: Figures = ("instances of TerminateInstances", 1000.0, 20.0);
/// All that only look, with a filter or by pages, share one.
const LOOK: Figures = ("Describe", 100.0, 20.0);

#[derive(Debug, Clone, Default)]
pub(super) struct Buckets {
    levels: BTreeMap<&'static str, (f64, Timestamp)>,
}

impl Buckets {
    /// Takes what a call costs; `false`: a bucket is empty, and nothing was taken.
    pub(super) fn take(&mut self, call: &str, now: Timestamp) -> bool {
        let needed: &[Figures] = match call {
            "RunInstances" => &[RUN, RUN_RESOURCES],
            "TerminateInstances" => &[TERMINATE, TERMINATE_RESOURCES],
            "DescribeInstances"
            | "DescribeInstanceStatus"
            | "DescribeSubnets"
            | "DescribeImages"
            | "DescribeVolumes"
            | "DescribeLaunchTemplates" => &[LOOK],
            // Load balancers have buckets of their own, of which nothing is published.
            _ => &[],
        };
        let enough = needed.iter().all(|figures| self.level(*figures, now) >= 1.0);
        for figures in needed.iter().filter(|_| enough) {
            let level = self.level(*figures, now);
            self.levels.insert(figures.0, (level - 1.0, now));
        }
        enough
    }

    fn level(&self, (name, holds, gains): Figures, now: Timestamp) -> f64 {
        let Some((level, at)) = self.levels.get(name) else { return holds };
        holds.min(level + gains * time::since(now, *at).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn five_launches_at_once_then_two_a_second() {
        let start = Timestamp::UNIX_EPOCH;
        let mut buckets = Buckets::default();
        let mut taken = |seconds: u64| {
            let now = time::after(start, Duration::from_secs(seconds));
            (0..10).filter(|_| buckets.take("RunInstances", now)).count()
        };
        assert_eq!([taken(0), taken(0), taken(1), taken(100)], [5, 0, 2, 5]);
    }

    #[test]
    fn whoever_only_looks_shares_one_bucket() {
        let mut buckets = Buckets::default();
        let mut take = |call: &str| buckets.take(call, Timestamp::UNIX_EPOCH);
        assert_eq!((0..60).filter(|_| take("DescribeInstances")).count(), 60);
        assert_eq!((0..60).filter(|_| take("DescribeImages")).count(), 40);
        assert!(take("TerminateInstances"), "and not with others");
    }
}
