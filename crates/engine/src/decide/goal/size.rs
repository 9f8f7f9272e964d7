//! The arithmetic of a waiting-time goal, in plain numbers: how many servers to launch so that the
//! jobs that wait start in time, and how many can go. Spans are seconds from now.
//!
//! Jobs start in the order they came, whenever a place comes free. By when how many will have
//! started is reckoned from the free places, the servers that are booting, and the pace at which
//! running jobs end; less a margin that grows with how unevenly they have ended so far.

use crate::model::capacity::Capacity;
use crate::policy::Billing;

/// What the reckoning takes as given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// From launch to in service.
    pub boot: f64,
    /// From one reading to the next.
    pub every: f64,
    /// How long a job may wait.
    pub within: f64,
    /// How long a job runs.
    pub job: f64,
    /// Jobs at once on one server.
    pub places: f64,
    /// See `WorkMemory::surprise`.
    pub surprise: f64,
    /// The share of jobs that have started late, and how many have started.
    pub late_share: f64,
    pub started: f64,
    pub billing: Billing,
    /// Whether since when the jobs wait is inferred, for want of totals.
    pub inferred: bool,
}

/// Up to so many waiting jobs, counted from the oldest, must have started by a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub by: f64,
    pub jobs: f64,
}

/// What servers offer: places free now, places that come free as jobs end, and servers to come.
#[derive(Debug, Clone, Default)]
pub(super) struct Supply {
    pub free: f64,
    pub serving: f64,
    /// In how many seconds each booting server is in service.
    pub booting: Vec<f64>,
}

/// How many of a shortage must be launched now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Need {
    pub launch: Capacity,
    /// Jobs that would start late with what there is.
    pub late: f64,
}

/// Late jobs that are aimed at: well under the 5 of 100 that a goal allows.
const LATE_AIMED_AT: f64 = 0.02;

/// From `LATE_AIMED_AT` to here, caution grows from none to all.
const LATE_AT_MOST: f64 = 0.04;

/// Standard deviations of the number of starts that are not counted on; thrice as many when too
/// many jobs have been late.
const MARGIN: f64 = 0.35;

/// Of one interval between readings, how much earlier than due jobs are to start when too many have
/// been late.
const EARLIER: f64 = 2.0 / 3.0;

/// The same where since when the jobs wait is inferred.
const EARLIER_INFERRED: f64 = 0.2;

/// How much later than due a reading and the launches for it may be: a tick, and the calls.
const LAUNCHED_LATE: f64 = 20.0;

/// Of the goal, how much longer than the goal a late job may wait before it is given a server
/// without regard to places that will come free: they have disappointed.
const PATIENCE: f64 = 2.0 / 3.0;

/// No job is knowingly let wait for longer than so many times the goal.
const LATE_JOBS_START_WITHIN: f64 = 3.0;

/// The part of the late jobs still allowed that one decision may spend: saving a launch now is not
/// worth having no allowance left tomorrow.
const SPENT_AT_ONCE: f64 = 0.1;

/// What is left of a job in the arithmetic of fractions.
const NOTHING: f64 = 1e-6;

/// Launches are reckoned up to here.
const LAUNCHES_AT_MOST: Capacity = 10_000;

impl Terms {
    /// 0 while few jobs have been late, 1 when nearly too many have.
    fn caution(&self) -> f64 {
        ((self.late_share - LATE_AIMED_AT) / (LATE_AT_MOST - LATE_AIMED_AT)).clamp(0.0, 1.0)
    }

    /// How far to look ahead of a deadline.
    pub(super) fn earlier(&self) -> f64 {
        let inferred = if self.inferred { EARLIER_INFERRED } else { 0.0 };
        (self.caution() * EARLIER + inferred) * self.every
    }

    /// The pace at which a taken place comes free. With full caution it is not counted on.
    fn pace(&self) -> f64 {
        (1.0 - self.caution()) / self.job
    }

    /// Jobs that will surely have started by `by`.
    fn starts(&self, supply: &Supply, by: f64, pace: f64) -> f64 {
        let ready = supply.booting.iter().filter(|ready| **ready <= by);
        let coming: f64 = ready.map(|ready| self.places * (1.0 + (by - ready) * pace)).sum();
        let mean = supply.free + supply.serving * self.places * by * pace + coming;
        let margin = MARGIN * (1.0 + 2.0 * self.caution());
        (mean - margin * (self.surprise * mean).sqrt()).max(0.0)
    }

    /// When a server serves that is launched upon the next reading.
    fn served_next(&self) -> f64 {
        self.every + LAUNCHED_LATE + self.boot
    }

    /// Jobs that one server starts by `by` if it is launched `later` from now.
    fn one_launched(&self, later: f64, by: f64, pace: f64) -> f64 {
        self.places * (1.0 + (by - later - self.boot).max(0.0) * pace)
    }

    /// Late jobs that the goal still allows.
    fn allowance(&self) -> f64 {
        let late = self.late_share * self.started;
        (LATE_AIMED_AT * self.started - late).max(0.0) * SPENT_AT_ONCE
    }
}

/// A deadline that would be missed.
struct Lack {
    by: f64,
    jobs: f64,
    pace: f64,
}

/// What must be launched now so that the jobs start when they are due. `dues` in order.
pub(super) fn need(terms: &Terms, dues: &[Due], supply: &Supply) -> Need {
    let lacks = lacks(terms, dues, supply);
    let late = lacks.iter().map(|lack| lack.jobs).fold(0.0, f64::max);
    let servers = |jobs: f64, each: f64| ceil(jobs / each);
    // All that is lacking, and the part of it that a launch at the next reading comes too late for.
    let all =
        lacks.iter().map(|lack| servers(lack.jobs, terms.one_launched(0.0, lack.by, lack.pace)));
    let all = all.max().unwrap_or(0);
    let next = terms.served_next();
    let urgent = lacks
        .iter()
        .filter(|lack| lack.by < next)
        .map(|lack| servers(lack.jobs, terms.one_launched(0.0, lack.by, lack.pace)))
        .max()
        .unwrap_or(0);
    let launch = match terms.billing {
        // An hour is paid whatever comes: the sooner it begins, the more of it is of use.
        Billing::Hour => all,
        // What can wait may turn out not to be needed, unless waiting makes it more.
        Billing::Second => fewest(terms, &lacks, urgent, all),
    };
    Need { launch: afford(terms, dues, supply, launch), late }
}

fn lacks(terms: &Terms, dues: &[Due], supply: &Supply) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for due in dues {
        let patient = due.by > -PATIENCE * terms.within;
        let pace = if patient { terms.pace() } else { 0.0 };
        // Sooner than after a boot nothing can be mended.
        let by = due.by.max(terms.boot + 1.0);
        let jobs = due.jobs - terms.starts(supply, by, pace);
        if jobs > NOTHING {
            lacks.push(Lack { by, jobs, pace });
        }
    }
    lacks
}

/// The number to launch now, between `urgent` and `all`, that makes the fewest launches together
/// with those of the next reading; of several, the least.
fn fewest(terms: &Terms, lacks: &[Lack], urgent: Capacity, all: Capacity) -> Capacity {
    let next = terms.served_next();
    let later = |now: Capacity| {
        let open = lacks.iter().filter(|lack| lack.by >= next);
        let servers = open.map(|lack| {
            let left = lack.jobs - f64::from(now) * terms.one_launched(0.0, lack.by, lack.pace);
            ceil((left - NOTHING).max(0.0) / terms.one_launched(terms.every, lack.by, lack.pace))
        });
        servers.max().unwrap_or(0)
    };
    let mut best = all;
    let mut least = all.saturating_add(later(all));
    for now in (urgent..all).rev() {
        let together = now.saturating_add(later(now));
        if together > least {
            break;
        }
        least = together;
        best = now;
    }
    best
}

/// Fewer launches, as far as the goal's allowance of late jobs pays for it: one late job for one
/// launch saved, and nobody waits for longer than three times the goal.
fn afford(terms: &Terms, dues: &[Due], supply: &Supply, launch: Capacity) -> Capacity {
    let allowance = terms.allowance();
    let longest = (LATE_JOBS_START_WITHIN - 1.0) * terms.within - terms.every - terms.boot;
    if launch == 0 || allowance < 1.0 || dues.iter().any(|due| due.by <= -longest) {
        return launch;
    }
    let pace = terms.pace();
    let late = |launched: Capacity| {
        let mut before = 0.0;
        let mut late = 0.0;
        for due in dues {
            let jobs = due.jobs - before;
            before = due.jobs;
            if due.by > 0.0 {
                let by = due.by.max(terms.boot + 1.0);
                let more = f64::from(launched) * terms.one_launched(0.0, by, pace);
                let started = terms.starts(supply, by, pace) + more;
                late += (due.jobs - started).clamp(0.0, jobs);
            }
        }
        late
    };
    let mut kept = launch;
    while kept > 0 {
        let fewer = kept.saturating_sub(1);
        let saved = launch.saturating_sub(fewer);
        if late(fewer) > allowance.min(f64::from(saved)) {
            break;
        }
        kept = fewer;
    }
    kept
}

/// The next whole number of servers.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits; there is no checked conversion from a float"
)]
pub(super) fn ceil(servers: f64) -> Capacity {
    servers.ceil().clamp(0.0, f64::from(LAUNCHES_AT_MOST)) as Capacity
}
