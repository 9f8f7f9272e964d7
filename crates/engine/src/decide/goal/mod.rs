//! A waiting-time goal: 95 of 100 jobs start within a time, at the least cost. What the fleet has
//! learned of its work and what its servers do now, put into numbers for [`size`]; and what came of
//! it, put into reasons.

mod doubt;
mod size;

use std::time::Duration;

use self::doubt::doubted;
use self::size::{Due, Need, Supply, Terms};
use super::Proposal;
use crate::model::capacity::{Capacity, count};
use crate::model::decision::{GoalReason, Learned, Reason};
use crate::model::drain::BusyDrains;
use crate::model::reading::{Depth, Reading};
use crate::model::roster::{FleetView, Phase, Server};
use crate::model::time::{self, Timestamp};
use crate::model::work::WorkMemory;
use crate::policy::{Billing, FleetPolicy, Goal, QueuePolicy};

/// A cohort's jobs arrived one after the other: its quarters fall due one after the other.
const QUARTERS: f64 = 4.0;

/// Where in its piece of a cohort a job counts as arrived. A job that arrived alone may have done so just
/// after the reading before: in 95 of 100 cases it came later than this.
const FIRST_OF_PIECE: f64 = 0.05;

/// The fleet, its rule, and the reading to answer.
pub(super) struct Ask<'a> {
    pub fleet: &'a FleetPolicy,
    pub queue: &'a QueuePolicy,
    pub goal: &'a Goal,
    pub view: &'a FleetView,
    pub floor: Capacity,
    pub reading: &'a Reading,
    pub depth: &'a Depth,
}

impl Ask<'_> {
    /// What the goal asks for, at least `floor`. Each reading is answered once.
    pub(super) fn answer(&self) -> Proposal {
        let unlearned = WorkMemory::default();
        let work = self.view.memory.work.as_deref().unwrap_or(&unlearned);
        let terms = self.terms(work);
        let waiting = dues(work, self.goal, self.reading.at, terms.earlier());
        let coming = self.foreseen(work, &terms);
        let dues = followed(&waiting, &coming);
        let mut at_work = AtWork::of(self, work, &terms);
        let (mut cancelled, draining): (Vec<&Server>, Vec<&Server>) =
            self.view.cancellable().into_iter().partition(|server| server.hour_to_spare);
        for server in &cancelled {
            at_work.resume(server);
        }
        let mut draining = draining.into_iter();
        let mut need = size::need(&terms, &dues, &at_work.supply);
        while need.launch > 0
            && let Some(server) = draining.next()
        {
            at_work.resume(server);
            cancelled.push(server);
            need = size::need(&terms, &dues, &at_work.supply);
        }
        let kept = self.own_capacity().saturating_add(count(&cancelled));
        let expected = coming.last().map_or(0, |last| size::ceil(last.jobs));
        let spare = if need.launch == 0 { at_work.spare(&terms, &waiting, &coming) } else { 0 };
        let spare = spare.min(kept.saturating_sub(self.floor));
        let doubted = doubted(self, &terms).filter(|_| spare > 0);
        let spare = if doubted.is_some() { 0 } else { spare };
        let asked = kept.saturating_add(need.launch).saturating_sub(spare);
        let mut proposal = Proposal::new(
            asked.max(self.floor),
            Reason::Goal(self.reason(need, kept, spare, expected)),
        );
        if let Some(before) = doubted {
            let waiting = self.depth.waiting;
            proposal.because.push(Reason::Goal(GoalReason::Doubted { before, waiting }));
        }
        if expected > 0 {
            let jobs = expected;
            let within = self.goal.blind_for(self.queue.every, &self.view.memory.boots);
            proposal.because.push(Reason::Goal(GoalReason::Foreseen { jobs, within }));
        }
        if !cancelled.is_empty() {
            let back = GoalReason::TakenBack { servers: count(&cancelled) };
            proposal.because.push(Reason::Goal(back));
            let tokens = cancelled.into_iter().map(|server| server.record.token.clone());
            proposal.cancel = tokens.collect();
        }
        let drains = &self.view.memory.drains.busy;
        proposal.because.push(Reason::Goal(terms_told(&terms, work, drains)));
        proposal.steps_on = Some(self.reading.at);
        proposal
    }

    /// Servers without those that a person added on top, as far as they are there already: they
    /// help, and are not the goal's to let go.
    fn own_capacity(&self) -> Capacity {
        let capacity = self.view.capacity();
        let extra = self.view.extra.as_ref().map_or(0, |extra| extra.capacity);
        let own = self.view.memory.target.unwrap_or(capacity);
        capacity.saturating_sub(extra.min(capacity.saturating_sub(own)))
    }

    fn terms(&self, work: &WorkMemory) -> Terms {
        Terms {
            boot: self.goal.boot(&self.view.memory.boots).as_secs_f64(),
            every: self.queue.every.as_secs_f64(),
            within: self.goal.start_within.as_secs_f64(),
            job: work.job_takes(self.goal.job_takes),
            places: f64::from(self.goal.jobs_at_once),
            surprise: work.surprise,
            late_share: work.late_share(),
            started: work.started,
            billing: self.fleet.billing,
            inferred: work.is_inferred(),
        }
    }

    /// Jobs that weeks before had at this hour, as far as a launch at the next reading would come too
    /// late for them. A goal that is long enough to wait and see has none.
    fn foreseen(&self, work: &WorkMemory, terms: &Terms) -> Vec<Due> {
        let Some(season) = &work.season else { return Vec::new() };
        let now = self.reading.at;
        let blind = self.goal.blind_for(self.queue.every, &self.view.memory.boots).as_secs_f64();
        let mut jobs = 0.0;
        let mut dues = Vec::new();
        let mut quarter = 0.0;
        while quarter < QUARTERS {
            let (from, to) = (blind * quarter / QUARTERS, blind * (quarter + 1.0) / QUARTERS);
            jobs += season.expect(time::after(now, span(from)), time::after(now, span(to)));
            let by = f64::midpoint(from, to) + terms.within - terms.earlier();
            dues.push(Due { by, jobs });
            quarter += 1.0;
        }
        // Less than one job is no job: a server for it would stand idle most of the time.
        if jobs < 1.0 { Vec::new() } else { dues }
    }

    fn reason(&self, need: Need, capacity: Capacity, spare: Capacity, expected: u32) -> GoalReason {
        let (waiting, within) = (self.depth.waiting, self.goal.start_within);
        let late = size::ceil(need.late);
        if need.launch > 0 {
            GoalReason::Missed { waiting, expected, late, within, capacity, add: need.launch }
        } else if spare > 0 {
            GoalReason::Spare { waiting, capacity, remove: spare }
        } else if late > 0 {
            GoalReason::CanWait { waiting, expected, late, within, capacity }
        } else {
            GoalReason::Kept { waiting, within, capacity }
        }
    }
}

fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Those that wait, and behind them those that come.
fn followed(waiting: &[Due], coming: &[Due]) -> Vec<Due> {
    let before = waiting.last().map_or(0.0, |due| due.jobs);
    let coming = coming.iter().map(|due| Due { jobs: before + due.jobs, ..*due });
    waiting.iter().copied().chain(coming).collect()
}

fn terms_told(terms: &Terms, work: &WorkMemory, drains: &BusyDrains) -> GoalReason {
    let learned = if terms.inferred {
        Learned::Drains(size::ceil(drains.ended.floor()))
    } else {
        Learned::Completions(size::ceil(work.completed))
    };
    GoalReason::Terms {
        job_takes: span(terms.job.round()),
        learned,
        boot: span(terms.boot.round()),
        late_per_mille: size::ceil(terms.late_share * 1000.0),
    }
}

/// When how many of the waiting jobs are due to have started, oldest first.
fn dues(work: &WorkMemory, goal: &Goal, now: Timestamp, earlier: f64) -> Vec<Due> {
    let within = goal.start_within.as_secs_f64();
    let age = |at: Timestamp| now.duration_since(at).as_secs_f64();
    let mut dues = Vec::new();
    let mut jobs = 0.0;
    for cohort in &work.cohorts {
        let (first, last) = (age(cohort.from), age(cohort.to));
        let pieces = cohort.jobs.ceil().clamp(1.0, QUARTERS);
        let mut piece = 0.0;
        while piece < pieces {
            jobs += cohort.jobs / pieces;
            let waited = first - (first - last) * (piece + FIRST_OF_PIECE) / pieces;
            dues.push(Due { by: within - waited - earlier, jobs });
            piece += 1.0;
        }
    }
    dues
}

/// What the servers at work offer.
struct AtWork<'a> {
    view: &'a FleetView,
    billing: Billing,
    supply: Supply,
    /// Jobs that run on the servers in service.
    running: f64,
    places: f64,
    /// Jobs on a server of which the queue does not say.
    each: f64,
    /// Whether the queue tells its length alone.
    by_length: bool,
}

impl<'a> AtWork<'a> {
    fn of(ask: &Ask<'a>, work: &WorkMemory, terms: &Terms) -> Self {
        let servers: Vec<&Server> = ask.view.servers.iter().filter(|s| s.is_capacity()).collect();
        let serves = |server: &&&Server| !is_coming(server);
        let serving = f64::from(count(servers.iter().filter(serves)));
        let told = work.last.map_or(0.0, |last| last.running);
        let each = if serving > 0.0 { (told / serving).min(terms.places) } else { 0.0 };
        let mut at_work = Self {
            view: ask.view,
            billing: ask.fleet.billing,
            supply: Supply::default(),
            running: 0.0,
            places: terms.places,
            each,
            by_length: work.is_by_length(),
        };
        for server in servers {
            if is_coming(server) {
                let since = server.record.launched_at.unwrap_or(server.record.planned_at);
                let up = time::since(ask.reading.at, since).as_secs_f64();
                at_work.supply.booting.push((terms.boot - up).max(0.0));
            } else {
                at_work.serve(server);
            }
        }
        at_work
    }

    fn busy(&self, server: &Server) -> f64 {
        server.busy.map_or(self.each, f64::from)
    }

    fn serve(&mut self, server: &Server) {
        self.add(self.busy(server));
    }

    /// Adds a server whose drain is cancelled.
    fn resume(&mut self, server: &Server) {
        // What it still runs is not known where the queue tells its length alone.
        let busy = if self.by_length { self.places } else { self.busy(server) };
        self.add(busy);
    }

    /// Adds a server in service that runs so many jobs.
    fn add(&mut self, busy: f64) {
        self.supply.serving += 1.0;
        self.supply.free += (self.places - busy).max(0.0);
        self.running += busy;
    }

    /// How many servers the goal can do without.
    fn spare(&self, terms: &Terms, waiting: &[Due], coming: &[Due]) -> Capacity {
        match self.billing {
            // Their hours end before the next reading: those go without which nobody is late.
            Billing::Hour => self.not_missed(terms, &followed(waiting, coming)),
            // Work off what waits before anything goes: a server that comes back pays its boot.
            Billing::Second if !waiting.is_empty() => 0,
            Billing::Second => {
                let needed = size::ceil(self.running / self.places);
                let idle = size::ceil(self.supply.serving).saturating_sub(needed);
                let free = count(self.releasable()).min(idle);
                if coming.is_empty() { free } else { free.min(self.not_missed(terms, coming)) }
            }
        }
    }

    fn releasable(&self) -> impl Iterator<Item = &Server> {
        self.view.eligible().into_iter().filter(|server| !is_coming(server))
    }

    /// How many can go before somebody would be late.
    fn not_missed(&self, terms: &Terms, dues: &[Due]) -> Capacity {
        let mut left = self.supply.clone();
        let mut spare: Capacity = 0;
        for server in self.releasable() {
            left.serving -= 1.0;
            left.free -= (self.places - self.busy(server)).max(0.0);
            let all_run = !self.by_length || self.running <= self.places * left.serving;
            if !all_run || size::need(terms, dues, &left).launch > 0 {
                break;
            }
            spare = spare.saturating_add(1);
        }
        spare
    }
}

/// Launched and not in service yet.
fn is_coming(server: &Server) -> bool {
    matches!(server.phase, Phase::Launching | Phase::Booting | Phase::Registering)
}
