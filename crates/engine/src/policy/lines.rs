//! Where the file says what, for whoever explains a decision by it.

use std::collections::BTreeMap;

use super::file::{Entry, Kind};

/// Lines of the file by what stands there: `queue.scale_out` is at 41.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<String, usize>);

impl Lines {
    pub(super) fn of(fleet: &Entry) -> Self {
        let mut lines = BTreeMap::new();
        collect(fleet, "", &mut lines);
        Self(lines)
    }

    /// Returns the line of a key of the fleet's section, as in `load_balancer`. `None`: the key is not
    /// in it, and may be in `defaults`.
    pub fn of_key(&self, key: &str) -> Option<usize> {
        self.0.get(key).copied()
    }

    /// The line that the rule of a decision's reason goes back to; `None`: it stands nowhere in the
    /// file, or its reason names the line itself.
    pub fn of_rule(&self, rule: &str) -> Option<usize> {
        let keys: &[&str] = match rule {
            "minimum" => &["min"],
            "queue_above" | "queue_between" => &["queue.scale_out"],
            "queue_below" => &["queue.scale_in"],
            "stabilising" => &["queue.scale_in.after", "queue.scale_in"],
            "queue_unreadable" => &["queue.if_unreadable", "queue"],
            "queue_unread" | "queue_answered" | "lost_not_missed" => &["queue"],
            "goal_missed" | "goal_can_wait" | "goal_kept" | "goal_spare" | "goal_doubted"
            | "goal_foreseen" | "taken_back" => &["queue.start_within"],
            "goal_terms" => &["queue.job_takes", "queue.jobs_at_once", "queue.start_within"],
            "bounded" => &["max", "min"],
            "kept" => &["minimum_uptime", "billing"],
            "jobs_at_risk" | "jobs_run" | "jobs_elsewhere" => &["queue.read", "queue"],
            "jobs_may_run" => &["queue.job_takes", "drain"],
            "drains_ignored" | "drain_undelivered" | "drains_one_by_one" => &["drain"],
            _ => &[],
        };
        keys.iter().find_map(|key| self.0.get(*key)).copied()
    }
}

fn collect(entry: &Entry, path: &str, lines: &mut BTreeMap<String, usize>) {
    let Kind::Map(entries) = &entry.value.kind else { return };
    for entry in entries {
        let path =
            if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        collect(entry, &path, lines);
        lines.insert(path, entry.at.line);
    }
}
