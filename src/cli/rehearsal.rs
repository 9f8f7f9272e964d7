//! What the rehearsals of a policy share: what they assume of its queues, and how they report.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::money;
use crate::prices::{Cost, PriceList};
use crate::sim::load::Interruption;
use crate::sim::report::FleetReport;
use crate::sim::telling::Telling;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::reading::QueueSource;
#[cfg(any(test, feature = "aws"))]
use tidegate_engine::model::reading::{FieldMap, JsonFields};
use tidegate_engine::model::time;
use tidegate_engine::policy::Policy;

#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Rehearsal {
    /// What the queue tells besides its length: oldest, running, totals and busy with commas, or
    /// all, or none [default: what the policy maps; all where it reads JSON without a map, none where it
    /// reads a number]
    #[arg(long, value_name = "FIELDS", value_parser = fields)]
    pub assume: Option<Telling>,
    /// What becomes of a job whose server ends: lost, at-once, or back when its lock times out, so
    /// long after its start
    #[arg(long, value_name = "lost|at-once|SPAN", default_value_t)]
    pub interrupted: Interruption,
}

fn fields(text: &str) -> Result<Telling, String> {
    let mut telling = Telling::NONE;
    for name in text.split(',').map(str::trim) {
        match name {
            "oldest" => telling.oldest = true,
            "running" => telling.running = true,
            "totals" => (telling.arrived, telling.completed) = (true, true),
            "busy" => telling.busy = true,
            "all" => telling = Telling::ALL,
            "none" if text.trim() == "none" => {}
            _ => {
                let known = "write `oldest`, `running`, `totals` and `busy` with commas, or `all`, or `none`";
                return Err(known.to_owned());
            }
        }
    }
    Ok(telling)
}

/// What a queue tells without an option, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The policy reads a plain number.
    Plain,
    /// By the policy's own `read`, which is of JSON.
    Policy(Telling),
    /// A daemon recorded it.
    Recorded(Telling),
    /// The load is the queue's length over time.
    Length,
}

impl Known {
    pub(super) fn of(source: &QueueSource) -> Self {
        if source.json.is_none() { Self::Plain } else { Self::Policy(Telling::of(source)) }
    }

    fn telling(self) -> Telling {
        match self {
            Self::Policy(telling) | Self::Recorded(telling) => telling,
            Self::Plain | Self::Length => Telling::NONE,
        }
    }
}

impl Rehearsal {
    /// Returns what the queue tells the policy.
    pub(super) fn telling(&self, known: Known) -> Telling {
        self.assume.unwrap_or(known.telling())
    }

    /// Returns the lines that an output begins with: what is assumed of each named queue, once where
    /// it is the same of all, and of interrupted jobs where `jobs` are simulated.
    pub(super) fn lines(&self, queues: &[(String, Known)], jobs: bool) -> Vec<String> {
        let Some((_, first)) = queues.first() else { return Vec::new() };
        let mut lines = Vec::new();
        if queues.iter().all(|(_, known)| known == first) {
            lines.push(self.queue(*first, ""));
        } else {
            lines.extend(queues.iter().map(|(name, known)| self.queue(*known, name)));
        }
        if jobs {
            lines.push(self.interruption());
        }
        lines
    }

    fn queue(&self, known: Known, name: &str) -> String {
        let (own, of) = (known.telling(), if name.is_empty() { "" } else { " of " });
        let Some(assumed) = self.assume.filter(|assumed| *assumed != own) else {
            return match known {
                Known::Plain => format!(
                    "Assumed of the queue{of}{name}: it answers a plain number, its length alone."
                ),
                Known::Policy(_) => {
                    format!("Assumed of the queue{of}{name}: it answers JSON with {}.", listed(own))
                }
                Known::Recorded(_) => {
                    format!("As recorded, the queue{of}{name} tells {}.", beside(own))
                }
                Known::Length => {
                    format!(
                        "The load is a length over time: the queue{of}{name} tells nothing else."
                    )
                }
            };
        };
        let side = if assumed.and(own) == assumed { "short of" } else { "beyond" };
        let what = match known {
            Known::Plain | Known::Policy(_) => "the policy",
            Known::Recorded(_) | Known::Length => "the recording",
        };
        format!("Assumed {side} {what}: the queue{of}{name} tells {}.", beside(assumed))
    }

    fn interruption(&self) -> String {
        let what = match self.interrupted {
            Interruption::Lost => "it is lost, and counts as late".to_owned(),
            Interruption::BackAfter(lock) => format!(
                "its lock times out {} after its start, and it waits again",
                time::text(lock)
            ),
            Interruption::AtOnce => "it waits again at once".to_owned(),
        };
        format!("Assumed of a job whose server ends: {what}.")
    }

    /// Returns the assumptions for `--json`.
    pub(super) fn json(&self, known: Known) -> Value {
        let from = match (self.assume, known) {
            (Some(_), _) => "option",
            (None, Known::Plain | Known::Policy(_)) => "policy",
            (None, Known::Recorded(_)) => "recording",
            (None, Known::Length) => "length",
        };
        let telling = self.telling(known);
        json!({
            "queue_tells": telling.fields(),
            "queue_tells_by": from,
            "beyond_policy": telling.and(known.telling()) != telling,
            "interrupted_jobs": self.interrupted.to_string(),
        })
    }
}

/// Returns the queues of a policy and what is known of each.
pub(super) fn queues(policy: &Policy) -> Vec<(String, Known)> {
    let fleets = policy.fleets.values();
    fleets
        .filter_map(|fleet| {
            Some((fleet.name.to_string(), Known::of(&fleet.queue.as_ref()?.source)))
        })
        .collect()
}

fn beside(telling: Telling) -> String {
    match telling {
        Telling::NONE => "its length alone".to_owned(),
        _ => format!("its length with {}", listed(telling)),
    }
}

fn listed(telling: Telling) -> String {
    match telling.fields().as_slice() {
        [] => "its length alone".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Returns where a rehearsal over HTTP reads the queue of a fleet: with the policy's own pointers, and
/// as a plain number where the policy reads one, unless `assumed` has more than that can tell.
#[cfg(any(test, feature = "aws"))]
pub(super) fn simulated(
    source: &QueueSource,
    (fleet, port): (&FleetName, u16),
    assumed: Option<Telling>,
) -> QueueSource {
    let url = format!("http://127.0.0.1:{port}/queue/{fleet}");
    let more = assumed.is_some_and(|assumed| assumed != Telling::NONE);
    let json = match &source.json {
        Some(JsonFields::Mapped(map)) => {
            let map = assumed.map_or_else(|| map.clone(), |assumed| limited(map, assumed));
            Some(JsonFields::Mapped(map))
        }
        Some(JsonFields::Named(pointer)) => Some(JsonFields::Named(pointer.clone())),
        None => more.then(|| JsonFields::Named("/waiting".to_owned())),
    };
    let query = |pairs: &[(&str, &str)]| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        format!("{url}.json?{}", query.extend_pairs(pairs).finish())
    };
    let url = match &json {
        None => url,
        Some(JsonFields::Named(pointer)) if pointer == "/waiting" => format!("{url}.json"),
        Some(JsonFields::Named(pointer)) => query(&[("at", pointer)]),
        Some(JsonFields::Mapped(map)) => query(&map.fields().collect::<Vec<_>>()),
    };
    QueueSource { url, json, header: None }
}

/// Returns a map of the fields that are assumed, each where `map` has it.
#[cfg(any(test, feature = "aws"))]
fn limited(map: &FieldMap, assumed: Telling) -> FieldMap {
    let at = |told: bool, known: &Option<String>, usual: &str| {
        told.then(|| known.clone().unwrap_or_else(|| usual.to_owned()))
    };
    FieldMap {
        waiting: map.waiting.clone(),
        running: at(assumed.running, &map.running, "/running"),
        oldest_seconds: at(assumed.oldest, &map.oldest_seconds, "/oldest_seconds"),
        busy: at(assumed.busy, &map.busy, "/busy"),
        arrived: at(assumed.arrived, &map.arrived, "/arrived"),
        completed: at(assumed.completed, &map.completed, "/completed"),
    }
}

/// Returns what became of each fleet's servers and jobs, for people. `period` says how long `hours`
/// are: `all day`.
pub(super) fn summary(
    fleets: &BTreeMap<FleetName, FleetReport>,
    (policy, prices): (&Policy, &PriceList),
    (period, hours): (&str, f64),
) -> Vec<String> {
    let line = |(name, fleet): (&FleetName, &FleetReport)| {
        let served = fleet.server_time.as_secs_f64() / 3600.0;
        let max = policy.fleets.get(name).map_or(0, |fleet| fleet.bounds.max());
        let mut line = format!(
            "  {name:<5} {} launched, {} terminated, {served:.1} server-hours, {} ({max} servers {period}: {:.0} server-hours)",
            fleet.launches,
            fleet.terminations,
            fleet.cost,
            f64::from(max) * hours,
        );
        if let Some(jobs) = &fleet.jobs {
            line.push_str(&format!(
                "\n        {} jobs done, {} interrupted, {} lost; they waited {} (half of them), {} (95 of 100), {} at most; {:.1} % over {} or lost",
                jobs.done,
                jobs.interrupted,
                jobs.lost,
                time::text(jobs.wait(50)),
                time::text(jobs.wait(95)),
                time::text(jobs.wait(100)),
                jobs.share_late() * 100.0,
                time::text(jobs.goal),
            ));
        }
        line
    };
    let mut lines: Vec<String> = fleets.iter().map(line).collect();
    lines.push(format!("  in all, {}: {}.", total(fleets), prices.source()));
    for (name, fleet) in fleets {
        let missing = prices.missing(&fleet.cost);
        lines.extend(missing.into_iter().map(|line| format!("  fleet {name}: {line}")));
    }
    lines
}

/// Returns what all fleets together cost.
pub(super) fn total(fleets: &BTreeMap<FleetName, FleetReport>) -> Cost {
    let mut total = Cost::default();
    for fleet in fleets.values() {
        total.join(&fleet.cost);
    }
    total
}

/// Returns the same for `--json`, an object for each fleet.
pub(super) fn summary_json(
    fleets: &BTreeMap<FleetName, FleetReport>,
    policy: &Policy,
    rehearsal: &Rehearsal,
) -> Vec<Value> {
    let row = |(name, fleet): (&FleetName, &FleetReport)| {
        let queue = policy.fleets.get(name).and_then(|fleet| fleet.queue.as_ref());
        json!({
            "fleet": name.as_str(),
            "launches": fleet.launches,
            "terminations": fleet.terminations,
            "server_seconds": fleet.server_time.as_secs(),
            "cost_dollars": money::cents(&fleet.cost),
            "types_without_price": money::without_price(&fleet.cost),
            "assumed": queue.map(|queue| rehearsal.json(Known::of(&queue.source))),
            "jobs": fleet.jobs.as_ref().map(|jobs| json!({
                "done": jobs.done,
                "waiting": jobs.waiting,
                "interrupted": jobs.interrupted,
                "lost": jobs.lost,
                "wait_p50_seconds": jobs.wait(50).as_secs(),
                "wait_p95_seconds": jobs.wait(95).as_secs(),
                "wait_max_seconds": jobs.wait(100).as_secs(),
                "late_share": jobs.share_late(),
                "goal_seconds": jobs.goal.as_secs(),
            })),
        })
    };
    fleets.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped() -> QueueSource {
        let (waiting, running) = ("/ready".to_owned(), Some("/q/unacked".to_owned()));
        let map = FieldMap { waiting, running, ..FieldMap::default() };
        QueueSource { json: Some(JsonFields::Mapped(map)), ..source(None) }
    }

    fn source(json: Option<&str>) -> QueueSource {
        QueueSource {
            url: "http://q.example/".to_owned(),
            json: json.map(|pointer| JsonFields::Named(pointer.to_owned())),
            header: None,
        }
    }

    #[test]
    fn drill_reads_a_queue_as_the_policy_does() {
        let job = FleetName::new("job").unwrap();
        let told = |json, assumed| {
            let read = simulated(&source(json), (&job, 80), assumed);
            let pointer = read.json.map(|fields| match fields {
                JsonFields::Named(pointer) => pointer,
                JsonFields::Mapped(map) => format!("{map:?}"),
            });
            (read.url.replace("http://127.0.0.1:80/queue/", ""), pointer)
        };
        assert_eq!(told(None, None), ("job".to_owned(), None));
        assert_eq!(told(None, Some(Telling::NONE)), ("job".to_owned(), None));
        let nested = ("job.json?at=%2Fq%2Fn".to_owned(), Some("/q/n".to_owned()));
        assert_eq!(told(Some("/q/n"), None), nested);
        assert_eq!(told(Some("/q/n"), Some(Telling::NONE)), nested);
        let more = ("job.json".to_owned(), Some("/waiting".to_owned()));
        assert_eq!(told(None, Some(Telling::ALL)), more);
    }

    #[test]
    fn drill_reads_the_fields_of_a_map_and_no_others() {
        let job = FleetName::new("job").unwrap();
        let told = |assumed| {
            let read = simulated(&mapped(), (&job, 80), assumed);
            (Telling::of(&read), read.url.replace("http://127.0.0.1:80/queue/", ""))
        };
        let running = Telling { running: true, ..Telling::NONE };
        let url = "job.json?waiting=%2Fready&running=%2Fq%2Funacked";
        assert_eq!(told(None), (running, url.to_owned()));
        assert_eq!(
            told(Some(Telling::NONE)),
            (Telling::NONE, "job.json?waiting=%2Fready".to_owned())
        );
        let busy = Telling { busy: true, ..running };
        assert_eq!(told(Some(busy)), (busy, format!("{url}&busy=%2Fbusy")));
    }

    #[test]
    fn assumptions_are_named() {
        let (plain, json) = (Known::of(&source(None)), Known::of(&source(Some("/n"))));
        let said = |assume: Option<&str>, known| {
            let assume = assume.map(|text| fields(text).unwrap());
            let rehearsal = Rehearsal { assume, ..Rehearsal::default() };
            rehearsal.lines(&[("job".to_owned(), known)], true).remove(0)
        };
        assert!(said(None, plain).contains("a plain number"));
        assert!(said(None, json).ends_with(
            "it answers JSON with oldest_seconds, running, arrived, completed and busy."
        ));
        assert_eq!(said(Some("all"), json), said(None, json));
        let map = Known::of(&mapped());
        assert!(said(None, map).ends_with("it answers JSON with running."));
        assert_eq!(
            said(Some("running,busy"), map),
            "Assumed beyond the policy: the queue tells its length with running and busy."
        );
        let length = FieldMap { waiting: "/n".to_owned(), ..FieldMap::default() };
        let json_alone = QueueSource { json: Some(JsonFields::Mapped(length)), ..source(None) };
        let said_alone = said(None, Known::of(&json_alone));
        assert!(said_alone.ends_with("it answers JSON with its length alone."), "{said_alone}");
        assert_eq!(
            said(Some("running,busy"), plain),
            "Assumed beyond the policy: the queue tells its length with running and busy."
        );
        assert_eq!(
            said(Some("none"), json),
            "Assumed short of the policy: the queue tells its length alone."
        );
        for bad in ["", "none,busy", "age", "busy,"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}
