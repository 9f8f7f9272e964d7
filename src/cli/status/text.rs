//! The fleets in words, line by line.

use jiff::tz::TimeZone;

use crate::admin::view::{FleetStatus, InstanceView, ProblemView, ReadingView, StatusView};
use crate::admin::words::{Teller, mark, others};
use tidegate_engine::model::time::{self, Timestamp};

/// The zone that its times are told in.
pub(super) fn zone(view: &StatusView) -> TimeZone {
    let known = view.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
    known.unwrap_or(TimeZone::UTC)
}

pub(super) fn problem(problem: &ProblemView, zone: &TimeZone) -> String {
    let fleet = problem.fleet.as_deref().map(|fleet| format!("{fleet}: ")).unwrap_or_default();
    format!("PROBLEM since {}  {fleet}{}", local(&problem.since, zone), problem.text)
}

/// One fleet's part of the screen.
pub(in crate::cli) fn fleet(fleet: &FleetStatus, zone: &TimeZone) -> Vec<String> {
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let by_hand = mark(fleet).map_or_else(String::new, |mark| format!(", {mark}"));
    let mut lines = vec![format!(
        "{}   {}{by_hand}   desired {}   capacity {}   in service {}   min {}   max {}",
        fleet.name,
        fleet.mode,
        number(fleet.desired),
        fleet.capacity,
        fleet.in_service,
        number(fleet.min),
        number(fleet.max)
    )];
    let teller = Teller { zone: zone.clone(), now: None };
    lines.extend(teller.orders(fleet).iter().map(|order| format!("  order    {order}")));
    lines.extend(fleet.because.iter().map(|reason| format!("  because  {}", reason.text)));
    lines.extend(fleet.left_out.iter().map(|limit| format!("  held up  {limit}")));
    lines.extend(fleet.reading.as_ref().map(|read| format!("  queue    {}", reading(read, zone))));
    lines.extend(others(fleet).map(|others| format!("  beside   {others}")));
    lines.extend(fleet.instances.iter().map(|one| format!("  {}", instance(one, zone))));
    lines
}

fn reading(reading: &ReadingView, zone: &TimeZone) -> String {
    let at = local(&reading.at, zone);
    match (reading.waiting, &reading.unreadable) {
        (Some(waiting), _) => {
            let oldest =
                reading.oldest_seconds.map(|secs| format!(", the oldest for {}", span(secs)));
            format!("{waiting} waiting{} at {at}", oldest.unwrap_or_default())
        }
        (None, why) => {
            format!("unreadable at {at}: {}", why.as_deref().unwrap_or("no cause known"))
        }
    }
}

fn instance(instance: &InstanceView, zone: &TimeZone) -> String {
    let mut parts = vec![format!("{:<20} {:<12}", instance.id, instance.phase)];
    parts.extend(instance.instance_type.clone());
    parts.extend(instance.subnet.clone());
    parts.extend(instance.uptime_seconds.map(|secs| format!("up {}", span(secs))));
    parts.extend(instance.paid_until.as_ref().map(|at| format!("paid until {}", local(at, zone))));
    parts.extend(instance.balancer.as_ref().map(|said| format!("balancer: {said}")));
    parts.extend(instance.ailing.as_ref().map(|why| format!("check: {why}")));
    parts.extend(instance.drain.as_ref().map(|said| format!("drain: {said}")));
    parts.extend(instance.blocked.as_ref().map(|why| format!("stays: {why}")));
    parts.join("  ")
}

fn span(secs: u64) -> String {
    time::text(std::time::Duration::from_secs(secs))
}

pub(super) fn local(at: &str, zone: &TimeZone) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| time::local(at, zone))
}
