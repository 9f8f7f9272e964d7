//! Many seeds over the imagined cloud: while troubles last, nothing wrong may happen in the world;
//! once they end, everything must come right within a stated time and then rest.
//!
//! One seed is everything: the day, the policy, the load, the troubles and how often they come, the
//! habits of the disk, and what people do. A failure names all that was drawn; `TIDEGATE_SEEDS=A..B`
//! runs just those, and `tests/run swarm SECONDS` fresh ones. Seeds that fail are written to a file at
//! once, and reported at the end.

mod drains;
mod hours;
mod options;
mod run;
mod safety;
mod search;

use std::time::Duration;

use tidegate::sim::faults::Trouble;
use tidegate_engine::model::plan::Limit;
use tidegate_engine::model::roster::Server;
use tidegate_engine::model::time::{self, Timestamp};

use self::run::{Run, demand, name};
use self::search::{Search, Story};

/// How long troubles last.
const TROUBLED: Duration = Duration::from_hours(12);

/// By then the fleet that goes by the clock has what it should have: after the hour that an implausible
/// list takes to be believed, a breaker's probe, a boot and its grace, and two hours more where the
/// daemon's clock was that far ahead.
const SERVED_AFTER: Duration = Duration::from_hours(4);

/// By then the jobs that piled up are done too: the longest ones may have been put off for all of the
/// troubled hours.
const DONE_AFTER: Duration = Duration::from_hours(12);

/// How long a server that has nothing to do is kept: a paid hour, its end, and a few ticks.
const KEPT_FOR: Duration = Duration::from_mins(80);

/// At least so long after the troubles it is looked whether all rests: beyond what EC2 shows of the dead.
const SETTLED_AFTER: Duration = Duration::from_hours(6);

/// A fleet whose capacity has just risen may take so long to have it.
const BOOTS_WITHIN: Duration = Duration::from_mins(20);

/// One seed: safety for twelve hours of troubles, then liveness. How long it all took in the world.
async fn run(seed: u64, among: usize, story: Story) -> Duration {
    let mut run = Run::new(seed, among, story).await;
    let end = time::after(run.options.start, TROUBLED);
    while run.simulation.now() < end {
        run.meddle().await;
        run.step().await;
    }
    run.calm();
    let mut served = time::after(end, SERVED_AFTER);
    let mut settled = time::after(end, SETTLED_AFTER);
    while run.simulation.now() < settled {
        let now = run.simulation.now();
        if run.has_jobs() {
            settled = settled.max(time::after(now, KEPT_FOR));
            demand!(run, now < time::after(end, DONE_AFTER), "there are jobs that nobody does");
        }
        let Some(record) = run.step().await else { continue };
        run.look_after(&record).await;
        let least = run.hours.fewest(now, BOOTS_WITHIN);
        let serve = record.survey.roster.fleets[&name("app")].in_service();
        // What jobs that are waited for took of `limits` while it could not launch, it has to wait for.
        let left_out = &record.survey.plan.left_out;
        if left_out.iter().any(|left| matches!(left.why, Limit::Instances { .. })) {
            served = served.max(time::after(now, BOOTS_WITHIN));
        }
        demand!(run, now < served || serve >= least, "{serve} serve, and {least} should");
    }
    // Between the edges of the schedule: what rests does so for a hundred ticks.
    let noon = time::after(run.options.start, Duration::from_hours(22));
    if settled > time::after(end, SETTLED_AFTER) {
        while run.simulation.now() < noon {
            run.step().await;
        }
    }
    for _ in 0..100 {
        let now = run.simulation.now();
        let Some(record) = run.step().await else { continue };
        let (app, wanted) = (&record.survey.roster.fleets[&name("app")], run.hours.at(now));
        demand!(run, app.in_service() == wanted, "{} of {wanted} in service", app.in_service());
        for (fleet, least) in [(name("job"), 1), (name("work"), 0)] {
            // One that was ended late may take EC2 two hours to go.
            let servers = &record.survey.roster.fleets[&fleet].servers;
            let ends = |server: &&Server| {
                server.instance.as_ref().is_some_and(|one| one.lifecycle.is_ending())
            };
            let servers = servers.iter().filter(|server| !ends(server)).count();
            let why = || record.survey.decisions[&fleet].text(&run.simulation.policy.zone);
            demand!(run, servers == least, "{servers} of {fleet} without jobs: {}", why());
        }
        demand!(run, record.calls.is_empty(), "it does not rest: {:?}", record.calls);
    }
    let strays = {
        let state = run.simulation.front.state();
        let now = state.world.now();
        let ours = state.world.shown().filter(|machine| machine.id != run.foreign);
        ours.filter(|machine| machine.lifecycle(now).is_alive()).count()
    };
    let wanted = usize::try_from(run.hours.at(run.simulation.now())).unwrap() + 1;
    demand!(run, strays == wanted, "{strays} instances run, {wanted} are wanted");
    time::since(run.simulation.now(), run.options.start)
}

/// The seeds that were asked for.
pub(crate) fn asked() -> Option<std::ops::Range<u64>> {
    let asked = std::env::var("TIDEGATE_SEEDS").ok()?;
    let (from, to) = asked.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// Seeds that have found something, and what.
const KEPT: &str = include_str!("../../seeds.txt");

fn kept() -> impl Iterator<Item = (u64, usize)> {
    KEPT.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse::<u64>().ok();
        let (seed, among) = (number().expect("a seed"), number().expect("how many troubles"));
        (seed, usize::try_from(among).unwrap())
    })
}

/// `tests/run swarm SECONDS`: fresh seeds for so long.
fn fresh_for() -> Option<Duration> {
    let seconds = std::env::var("TIDEGATE_SWARM_FOR").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("TIDEGATE_SWARM_FOR is a number of seconds")))
}

#[test]
fn nothing_is_lost_leaked_or_wrongly_killed_and_all_comes_right() {
    let begun = std::time::Instant::now();
    let all = Trouble::ALL.len();
    let with_all = |seeds: std::ops::Range<u64>| seeds.map(move |seed| (seed, all));
    let seeds: Vec<_> = match asked() {
        Some(seeds) => with_all(seeds).collect(),
        None => kept().chain(with_all(0..60)).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut search = Search::new(Search::failures_file());
    let mut live = |seed, among| {
        search.run(seed, among, |story| runtime.block_on(run(seed, among, story)));
    };
    for (seed, among) in seeds {
        live(seed, among);
    }
    if let Some(span) = fresh_for() {
        let first = u64::try_from(Timestamp::now().as_microsecond()).unwrap();
        for seed in first.. {
            if begun.elapsed() >= span {
                break;
            }
            live(seed, all);
        }
    }
    match search.conclude(begun.elapsed()) {
        Ok(sum) => println!("{sum}"),
        Err(failures) => panic!("{failures}"),
    }
}

/// Byte for byte, whatever is drawn.
#[tokio::test]
async fn the_same_seed_is_the_same_story() {
    for seed in [7, 8, 9] {
        let mut stories = Vec::new();
        for _ in 0..2 {
            let mut run = Run::new(seed, Trouble::ALL.len(), Story::default()).await;
            let mut story = String::new();
            for _ in 0..700 {
                run.meddle().await;
                let Some(record) = run.step().await else { continue };
                for event in record.events {
                    story.push_str(&format!("{} {}\n", event.at, event.text));
                }
            }
            stories.push(story);
        }
        assert!(!stories[0].is_empty());
        assert_eq!(stories[0], stories[1]);
    }
}
