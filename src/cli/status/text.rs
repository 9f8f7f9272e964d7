//! The fleets in words, line by line.

use jiff::tz::TimeZone;

use crate::admin::view::{FleetStatus, InstanceView, ProblemView, ReadingView};
use crate::admin::words::{Teller, mark, others};
use tidegate_engine::model::time;

pub(super) fn problem(problem: &ProblemView, zone: &TimeZone) -> String {
    let fleet = problem.fleet.as_ref().map(|fleet| format!("{fleet}: ")).unwrap_or_default();
    format!("PROBLEM since {}  {fleet}{}", time::local(problem.since, zone), problem.text)
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
    let at = time::local(reading.at, zone);
    match (reading.waiting, &reading.unreadable) {
        (Some(waiting), _) => {
            let oldest =
                reading.oldest.map(|oldest| format!(", the oldest for {}", time::text(oldest)));
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
    parts.extend(instance.uptime.map(|up| format!("up {}", time::text(up))));
    parts.extend(instance.paid_until.map(|at| format!("paid until {}", time::local(at, zone))));
    parts.extend(instance.balancer.as_ref().map(|said| format!("balancer: {said}")));
    parts.extend(instance.ailing.as_ref().map(|why| format!("check: {why}")));
    parts.extend(instance.drain.as_ref().map(|said| format!("drain: {said}")));
    parts.extend(instance.blocked.as_ref().map(|why| format!("stays: {why}")));
    parts.join("  ")
}
