//! Problems with drains, and with jobs that nothing protects.

use tidegate_engine::model::drain::DrainEnd;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::model::reading::jobs;
use tidegate_engine::model::roster::{FleetView, Server};
use tidegate_engine::model::time;
use tidegate_engine::policy::{FleetPolicy, JobsAtRisk, Policy};

/// So many servers are named.
const NAMED_AT_MOST: usize = 5;

/// The problems of one fleet.
pub(super) fn drains(view: &FleetView, policy: &Policy) -> Vec<Problem> {
    let fleet = policy.fleets.get(&view.name);
    let ignored = view.servers.iter().filter_map(|server| ignored(view, server));
    let of_fleet = [
        undelivered(view, policy),
        blocked(view),
        hidden(view),
        elsewhere(view),
        at_risk(view, fleet),
    ];
    ignored.chain(of_fleet.into_iter().flatten()).collect()
}

/// A server that ran on to its deadline, while it is there; with the jobs that its termination
/// interrupts.
fn ignored(view: &FleetView, server: &Server) -> Option<Problem> {
    let retirement = server.record.retirement.as_ref()?;
    let over = retirement.draining().is_some_and(|drain| drain.end == Some(DrainEnd::Deadline));
    if !over {
        return None;
    }
    let label = server.name();
    let lost = match server.busy {
        Some(0) => "it ran no job".to_owned(),
        Some(n) => {
            let verb = if n == 1 { "is" } else { "are" };
            format!("{} on it {verb} interrupted", jobs(u64::from(n)))
        }
        None => "jobs on it, if any, are interrupted".to_owned(),
    };
    let text = format!(
        "{label} ran on to the deadline of its drain and is terminated: {lost}; see on the server whether the receiver runs, or raise `deadline`"
    );
    Some(Problem::new(ProblemKind::DrainIgnored.about(label), Some(&view.name), text))
}

/// So many drains were ignored that the fleet shrinks no more.
fn blocked(view: &FleetView) -> Option<Problem> {
    let record = &view.memory.drains;
    record.is_ignored().then(|| {
        let text = format!(
            "no server of {name} goes: {n} in a row ran on to the deadlines of their drains; see whether the receiver runs, then drain one with `tidegate terminate ID`: once it ends by itself, scale-in goes on",
            name = view.name,
            n = record.ignored
        );
        Problem::of_fleet(ProblemKind::DrainIgnored, &view.name, text)
    })
}

fn undelivered(view: &FleetView, policy: &Policy) -> Option<Problem> {
    let last = view.memory.drains.undelivered.as_ref()?;
    let text = format!(
        "{} could not be told to finish its jobs at {}: {}; it goes on working, and the fleet does not shrink until a drain is received",
        last.instance,
        time::local(last.at, &policy.zone),
        last.why
    );
    Some(Problem::of_fleet(ProblemKind::DrainUndelivered, &view.name, text))
}

/// Servers whose metadata service does not show the tag.
fn hidden(view: &FleetView) -> Option<Problem> {
    let hidden = view.servers.iter().filter(|server| server.undrainable.is_some());
    let hidden: Vec<&InstanceId> = hidden.filter_map(Server::id).collect();
    let first = hidden.first()?;
    let named: Vec<&str> = hidden.iter().take(NAMED_AT_MOST).map(|id| id.as_str()).collect();
    let more = hidden.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!(
        "{}{more} cannot be told to finish jobs, since the metadata service does not show tags; call ModifyInstanceMetadataOptions: `aws ec2 modify-instance-metadata-options --instance-id {first} --instance-metadata-tags enabled`",
        named.join(", ")
    );
    Some(Problem::of_fleet(ProblemKind::NoMetadataTags, &view.name, text))
}

/// The queue tells of jobs on a server that is not known.
fn elsewhere(view: &FleetView) -> Option<Problem> {
    let told = view.elsewhere.as_ref()?;
    let n = jobs(told.jobs);
    let text = match &told.key {
        Some(key) => format!(
            "the queue tells of {n} on `{}`, which is no server of {name}: any server may run them, so none goes as idle; name servers by instance id, private address or private DNS name",
            printable(key, 60),
            name = view.name
        ),
        None => format!(
            "the queue tells of {n} more that run than it names servers for in `busy`: any server of {} may run them, so none goes as idle",
            view.name
        ),
    };
    Some(Problem::of_fleet(ProblemKind::BusyElsewhere, &view.name, text))
}

/// Nothing tells whether the servers that scale-in takes run jobs.
fn at_risk(view: &FleetView, fleet: Option<&FleetPolicy>) -> Option<Problem> {
    let risk = fleet?.jobs_at_risk()?;
    let last = view.memory.last_reading().and_then(|reading| reading.depth.as_ref().ok());
    let stands = match (risk, last) {
        (JobsAtRisk::LengthOnly, _) => true,
        // Nothing was read. A reading by a map tells what the map has.
        (JobsAtRisk::NotToldYet, None)
        | (JobsAtRisk::BusyUnread | JobsAtRisk::RunningUnread, _) => false,
        (JobsAtRisk::NotToldYet, Some(depth)) => {
            depth.work.busy.is_none() && depth.work.running.is_none()
        }
    };
    stands.then(|| {
        let text = format!(
            "no server of {} goes, since jobs on it could be interrupted: {}; write `drain: {{ via: tag, deadline: 30m }}`, let the queue tell `busy` or `running`, or accept it with `drain: none`",
            view.name,
            risk.as_str()
        );
        Problem::of_fleet(ProblemKind::JobsAtRisk, &view.name, text)
    })
}
