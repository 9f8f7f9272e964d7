//! One seed: a world with troubles, the daemon's spine in it, and people who meddle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate::sim::Simulation;
use tidegate::sim::disk::Disk;
use tidegate::sim::load::{Interruption, Load};
use tidegate::sim::rng::Rng;
use tidegate::sim::world::Settings;
use tidegate::tick::TickRecord;
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token, tag};
use tidegate_engine::model::ledger::{Change, Override, OverrideKey};
use tidegate_engine::model::plan::Limit;
use tidegate_engine::model::roster::{Phase, Server};
use tidegate_engine::model::time::{self, Timestamp};

use super::drains::Drains;
use super::hours::Hours;
use super::options::Options;
use super::search::Story;

pub(super) fn name(text: &str) -> FleetName {
    FleetName::new(text).unwrap()
}

/// Demands that something holds, or fails with the seed, the moment and what it drew.
macro_rules! demand {
    ($run:expr, $holds:expr, $($what:tt)+) => {
        if !$holds {
            $run.fail(&format!($($what)+));
        }
    };
}
pub(super) use demand;

pub(super) struct Run {
    pub options: Options,
    pub simulation: Simulation,
    pub disk: Arc<Disk>,
    whims: Rng,
    /// Somebody else's instance, with our tags on it.
    pub foreign: InstanceId,
    /// When each launch was planned, by the world's clock.
    pub planned: BTreeMap<Token, Timestamp>,
    /// Launches and retirements so far, for the brakes on them, by the world's clock.
    pub launched: Vec<(Token, Timestamp)>,
    pub retired: Vec<(InstanceId, Timestamp)>,
    /// The instance of each token that was ever seen.
    pub tokens: BTreeMap<Token, InstanceId>,
    /// When the journal last lost something.
    pub lost_at: Option<Timestamp>,
    /// Launches that could not be found for a while.
    pub lost: BTreeSet<InstanceId>,
    /// Since when EC2's list has lacked an instance that is alive.
    pub hidden_since: BTreeMap<InstanceId, Timestamp>,
    /// How many of each fleet were alive when the world was last looked at.
    pub alive_before: BTreeMap<String, u32>,
    /// What the schedule's fleet should have, by a calendar of our own.
    pub hours: Hours,
    /// Servers that were told to finish their jobs.
    pub drains: Drains,
    /// The latest events, for the report of a failure.
    story: Story,
}

impl Run {
    /// `among`: how many of the troubles there were when the seed was drawn first.
    pub(super) async fn new(seed: u64, among: usize, story: Story) -> Self {
        let mut whims = Rng::new(seed, "whims");
        let options = Options::draw(seed, among, &mut whims);
        // First of all, so that it is told even if the process dies of it.
        println!("{options}");
        let troubles = options.troubles.clone();
        let severity = options.severity.clone();
        let settings = Settings { seed, troubles, severity, ..Settings::default() };
        let disk = Arc::new(Disk::default());
        disk.forget(options.forgetful_disk);
        let policy = options.policy();
        let simulation =
            Simulation::new(policy, settings, loads(&options), disk.clone(), options.start)
                .await
                .unwrap();
        simulation.front.state().world.refuses_tags = options.refuses_tags;
        let foreign = somebody_elses(&simulation);
        let hours = Hours::new(&options);
        Self {
            options,
            simulation,
            disk,
            whims,
            foreign,
            planned: BTreeMap::new(),
            launched: Vec::new(),
            retired: Vec::new(),
            tokens: BTreeMap::new(),
            lost_at: None,
            lost: BTreeSet::new(),
            hidden_since: BTreeMap::new(),
            alive_before: BTreeMap::new(),
            hours,
            drains: Drains::default(),
            story,
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a law is broken")]
    pub(super) fn fail(&self, what: &str) -> ! {
        panic!("{what}, at {} in {}", self.simulation.now(), self.options)
    }

    fn hear(&mut self, record: &TickRecord) {
        for event in &record.events {
            let fleet = event.fleet.as_ref().map(ToString::to_string).unwrap_or_default();
            self.story.tell(format!("{} {fleet:<4} {}", event.at, event.text));
        }
    }

    /// A daemon's turn, and the time until the next one.
    pub(super) async fn step(&mut self) -> Option<TickRecord> {
        let carrying = self.carrying();
        let fill = self.options.full_disk && spell(self.simulation.now(), 300, 24);
        self.disk.fill(fill);
        let ticked = self.simulation.tick().await;
        let record = match ticked {
            Ok(record) => record,
            Err(fault) => {
                demand!(self, fill, "the journal fails: {fault}");
                self.drains.interrupted();
                self.check_world();
                self.restart_now_and_then().await;
                self.simulation.advance(time::after(self.simulation.now(), MOMENT));
                return None;
            }
        };
        self.hear(&record);
        self.check(&record, &carrying);
        self.restart_now_and_then().await;
        self.simulation.wait(record.next);
        Some(record)
    }

    /// A crash forgets everything that is not on disk.
    async fn restart_now_and_then(&mut self) {
        let now = self.simulation.now();
        if self.options.forgetful_disk && !spell(now, 60, 2) {
            self.disk.sync();
        }
        if self.options.old_copies && spell(now, 600, 12) {
            self.disk.copy();
        }
        if !self.whims.chance(0.02) {
            return;
        }
        let cut = self.disk.cut_power();
        let back = self.options.old_copies && spell(now, 600, 7) && self.disk.restore();
        if cut || back {
            self.lost_at = Some(now);
            // What was begun is not known any more, so it is not counted either.
            self.launched.clear();
            self.retired.clear();
        }
        self.simulation.restart().await.unwrap();
    }

    /// What a person orders now and then, while troubles last.
    pub(super) async fn meddle(&mut self) {
        if !self.whims.chance(0.005) {
            return;
        }
        let now = self.simulation.now();
        let (key, lasts) = if self.whims.chance(0.5) {
            (OverrideKey::Hold(name("app")), 90)
        } else {
            let view = self.simulation.journal.ledger().servers.open();
            let serving = view.filter(|record| record.in_service_at.is_some());
            let ids: Vec<InstanceId> =
                serving.filter_map(|record| record.instance().cloned()).collect();
            if ids.is_empty() {
                return;
            }
            let id = ids[self.whims.up_to(ids.len() - 1)].clone();
            // Later troubles' seeds know of pauses too; earlier ones stay the stories they were.
            let pause = !self.options.is_early() && self.whims.chance(0.4);
            if pause { (OverrideKey::Pause(name("job")), 30) } else { (OverrideKey::Keep(id), 90) }
        };
        let order = Override {
            key,
            capacity: 3,
            owner: "ann".to_owned(),
            reason: "a whim".to_owned(),
            since: now,
            until: time::after(now, Duration::from_mins(lasts)),
            at_once: false,
        };
        // On a full disk the order is refused, and the person told.
        drop(self.simulation.journal.commit(&[Change::Override(order)]).await);
    }

    /// What only a person can decide: that servers which look sick, most of a fleet of them, are so. One
    /// who was told of it an hour ago ends them by hand.
    pub(super) async fn look_after(&mut self, record: &TickRecord) {
        self.empty_by_hand(record).await;
        let now = self.simulation.now();
        let held = record.survey.plan.left_out.iter();
        let held = held.filter(|left| matches!(left.why, Limit::MostlySick { .. }));
        let servers = held.flat_map(|left| &record.survey.roster.fleets[&left.fleet].servers);
        let an_hour = Duration::from_hours(1);
        let long_sick = servers.filter(|server| {
            matches!(server.phase, Phase::Sick { since } if time::since(now, since) > an_hour)
        });
        let ids = long_sick.filter_map(Server::id).cloned();
        let orders: Vec<Change> = ids
            .map(|id| {
                let (owner, reason) = ("ann".to_owned(), "it is sick".to_owned());
                let until = time::after(now, Duration::from_hours(24));
                let key = OverrideKey::Terminate(id);
                Change::Override(Override {
                    key,
                    capacity: 0,
                    owner,
                    reason,
                    since: now,
                    until,
                    at_once: false,
                })
            })
            .collect();
        self.simulation.journal.commit(&orders).await.unwrap();
    }

    /// Where drains are ignored, a person ends what is not wanted.
    async fn empty_by_hand(&mut self, record: &TickRecord) {
        let now = self.simulation.now();
        let mut orders = Vec::new();
        for (fleet, decision) in &record.survey.decisions {
            let blocked = decision.because.iter().any(|why| why.rule() == "drains_ignored");
            if blocked && !self.has_jobs() {
                let surplus = decision.capacity.saturating_sub(decision.wanted);
                let view = &record.survey.roster.fleets[fleet];
                let free = view.eligible().into_iter().filter_map(Server::id).cloned();
                orders.extend(free.take(usize::try_from(surplus).unwrap()));
            }
        }
        let orders: Vec<Change> = orders
            .into_iter()
            .map(|id| {
                let (owner, reason) = ("ann".to_owned(), "its receiver is broken".to_owned());
                let until = time::after(now, Duration::from_hours(24));
                let key = OverrideKey::Terminate(id);
                let (since, at_once) = (now, true);
                Change::Override(Override {
                    key,
                    capacity: 0,
                    owner,
                    reason,
                    since,
                    until,
                    at_once,
                })
            })
            .collect();
        self.simulation.journal.commit(&orders).await.unwrap();
    }

    pub(super) fn order(&self, key: &OverrideKey) -> bool {
        let orders = &self.simulation.journal.ledger().overrides;
        orders.get(key).is_some_and(|order| order.until > self.simulation.now())
    }

    /// The instances that traffic may reach at this instant.
    fn carrying(&self) -> BTreeSet<InstanceId> {
        let state = self.simulation.front.state();
        let shown = state.world.shown().map(|machine| &machine.id);
        shown.filter(|id| state.world.members.carries_traffic(id)).cloned().collect()
    }

    /// The journal lost something so short a time ago that it may not know all again.
    pub(super) fn recovers(&self) -> bool {
        let now = self.simulation.now();
        self.lost_at.is_some_and(|at| time::since(now, at) < Duration::from_mins(90))
    }

    /// Whether some job waits or runs.
    pub(super) fn has_jobs(&self) -> bool {
        let state = self.simulation.front.state();
        state.queues.values().any(|queue| queue.done < queue.arrived)
    }

    /// From here on nothing goes wrong.
    pub(super) fn calm(&mut self) {
        self.simulation.front.state().world.calm();
        self.options.full_disk = false;
        self.options.forgetful_disk = false;
        self.options.old_copies = false;
        self.disk.fill(false);
        self.disk.forget(false);
    }
}

/// Between two tries while the journal cannot be written.
const MOMENT: Duration = Duration::from_secs(15);

/// Whether it is the last of `of` spans of so many seconds.
fn spell(now: Timestamp, seconds: i64, of: i64) -> bool {
    now.as_second().div_euclid(seconds).rem_euclid(of) == of - 1
}

fn loads(options: &Options) -> BTreeMap<FleetName, Load> {
    // Busy hours, then none, so that at the end no job server is wanted.
    let mut per_hour = vec![10.0, 200.0, 400.0, 30.0, 0.0, 100.0];
    per_hour.resize(24, 0.0);
    let start = options.start;
    let job_takes = Duration::from_mins(2);
    let interruption = Interruption::default();
    let load = Load { per_hour, start, job_takes, jobs_at_once: 2, interruption };
    let fewer = load.job_takes.as_secs_f64() / options.job_takes.as_secs_f64();
    let per_hour = load.per_hour.iter().map(|jobs| jobs * fewer).collect();
    let work = Load { job_takes: options.job_takes, per_hour, ..load.clone() };
    [(name("job"), load), (name("work"), work)].into()
}

/// An instance that a person launched, with our tags copied onto it.
fn somebody_elses(simulation: &Simulation) -> InstanceId {
    let tags = [(tag::INSTALL, "main"), (tag::FLEET, "app")];
    let request = LaunchRequest {
        token: Token::from_stored("made-by-hand"),
        image: Image::Id("ami-0123456789abcdef0".to_owned()),
        pool: Pool { instance_type: None, subnet: None },
        key_pair: None,
        security_groups: Vec::new(),
        instance_profile: None,
        user_data: String::new(),
        drains: false,
        tags: Arc::new(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
    };
    simulation.front.state().world.add_foreign(&request).unwrap()
}
