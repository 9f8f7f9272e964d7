//! What needs a person, derived whole at each tick; the journal keeps since when, and each problem is
//! told once when it begins and once when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Journal;
use super::decisions::{decided, limit_kind};
use super::drains::drains;
use super::journal::FailingCall;
use super::launches::launches;
use tidegate_engine::model::balancer::Membership;
use tidegate_engine::model::decision::Decision;
use tidegate_engine::model::fault::FaultKind;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::Attachment;
use tidegate_engine::model::ledger::{
    Change, Event, EventKind, OpenProblem, Override, OverrideKey,
};
use tidegate_engine::model::placeholder::server_url;
use tidegate_engine::model::plan::Plan;
use tidegate_engine::model::problem::{Problem, ProblemKey, ProblemKind};
use tidegate_engine::model::roster::{BalancerView, Block, FleetView, Phase, Roster, Server};
use tidegate_engine::model::server::LaunchState;
use tidegate_engine::model::sight::{Blind, clock_text};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{FleetPolicy, Policy};

/// How long a launch may stay unanswered, or a termination without effect, before a person is told.
const PATIENCE: Duration = Duration::from_mins(10);

/// Returns every problem that the state at this tick shows.
pub fn find_problems(
    journal: &Journal,
    policy: &Policy,
    roster: &Roster,
    decisions: &BTreeMap<FleetName, Decision>,
    plan: &Plan,
) -> Vec<Problem> {
    let mut found = sight(roster);
    for (id, stranger) in &roster.strangers {
        let text = format!("{id} is left alone: {stranger}");
        found.push(Problem::new(ProblemKind::UnownedInstance.about(id), None, text));
    }
    found.extend(found_again(roster));
    found.extend(twin(policy, journal, roster.now));
    for (name, view) in &roster.unmanaged {
        let n = view.servers.len();
        let text = format!(
            "{n} servers run for fleet {name}, which is not in the policy; `tidegate retire {name}` ends them"
        );
        found.push(Problem::of_fleet(ProblemKind::Unmanaged, name, text));
        found.extend(drains(view, policy));
        for server in &view.servers {
            found.extend(attached_to(name, server));
            found.extend(told_to_go(journal, name, server, view.retire.as_ref(), policy));
        }
    }
    for (name, view) in &roster.fleets {
        found.extend(balancer(view));
        found.extend(balancer_changed(view, policy.fleets.get(name)));
        found.extend(launches(journal, view, decisions.get(name)));
        found.extend(drains(view, policy));
        if let Some(decision) = decisions.get(name) {
            found.extend(decided(journal, policy, decision, roster.blind.is_some()));
        }
        for server in &view.servers {
            found.extend(ailing(name, server, policy, roster.now));
            found.extend(flapping(journal, name, server));
            found.extend(attached_to(name, server));
            found.extend(told_to_go(journal, name, server, None, policy));
            found.extend(taken_out(name, server));
            found.extend(retagged(name, server));
        }
    }
    for left in &plan.left_out {
        if let Some(kind) = limit_kind(&left.why) {
            let text = left.why.text(&policy.zone);
            found.push(Problem::of_fleet(kind, &left.fleet, text));
        }
    }
    found.extend(credentials(journal));
    found.extend(calls(journal));
    found
}

/// Calls that fail, one problem for each.
fn calls(journal: &Journal) -> Vec<Problem> {
    let mut found = Vec::new();
    for (call, FailingCall { fleet, is_launch, fault }) in journal.failing() {
        let of_its_own = match fault.kind {
            FaultKind::Credentials => false,
            FaultKind::TokenMismatch => true,
            FaultKind::Throttled
            | FaultKind::Ambiguous
            | FaultKind::NoCapacity
            | FaultKind::SubnetFull
            | FaultKind::Quota
            | FaultKind::AccountQuota
            | FaultKind::Permission
            | FaultKind::Config
            | FaultKind::NotFound
            | FaultKind::SubnetNotFound
            | FaultKind::TokenSpent
            | FaultKind::InstanceNotFound
            | FaultKind::BalancerNotFound
            // A launch that is refused is a problem of the breaker and the offerings.
            | FaultKind::Refused => !is_launch,
        };
        if of_its_own {
            let text = format!("{call} fails: {fault}");
            found.push(Problem::new(ProblemKind::Call.about(call), Some(fleet), text));
        }
    }
    found
}

/// How well EC2 is seen.
fn sight(roster: &Roster) -> Vec<Problem> {
    let blind = match &roster.blind {
        Some(blind @ Blind::WrongClock(_)) => {
            Some(Problem::new(ProblemKind::Clock, None, blind.to_string()))
        }
        Some(blind) => Some(Problem::new(ProblemKind::InventoryUnusable, None, blind.to_string())),
        None => clock(roster),
    };
    let doubt = roster.doubt.as_ref().filter(|_| roster.blind.is_none()).map(|doubt| {
        let text = format!("{doubt}: nobody is ended meanwhile, and servers are launched");
        Problem::new(ProblemKind::InventoryDegraded, None, text)
    });
    blind.into_iter().chain(doubt).collect()
}

/// One problem, however many calls it refuses. A launch that it refused is asked again ever more
/// rarely, so what it was refused for is read off its record and not off the last calls alone.
fn credentials(journal: &Journal) -> Option<Problem> {
    let calls = journal.failing().values().map(|call| &call.fault);
    let asked = journal.ledger().servers.open();
    let refused = asked.filter_map(|record| match &record.launch {
        LaunchState::Asked(asked) => asked.last_fault.as_ref(),
        LaunchState::Launched(_) | LaunchState::Refused(_) => None,
    });
    let fault = calls.chain(refused).find(|fault| fault.kind == FaultKind::Credentials)?;
    let text = format!(
        "AWS refuses the credentials: {fault}; what was asked for is asked again, and no launch twice: see that the host's role or profile gives fresh ones, and that its clock is right"
    );
    Some(Problem::new(ProblemKind::Credentials, None, text))
}

/// Above what a late answer may look like, and what a schedule may be off by without a word.
const CLOCK_OFF: Duration = Duration::from_mins(1);

fn clock(roster: &Roster) -> Option<Problem> {
    let ahead = roster.clock_ahead.filter(|ahead| ahead.unsigned_abs() >= CLOCK_OFF)?;
    let text = format!("{}: schedules are off by as much; set it by NTP", clock_text(ahead));
    Some(Problem::new(ProblemKind::Clock, None, text))
}

/// How long the finding of unknown servers is told.
const FOUND_TOLD: Duration = Duration::from_hours(24);

/// Servers that the journal did not know stand for a journal that was lost, or is an old copy.
fn found_again(roster: &Roster) -> Option<Problem> {
    let servers = roster.fleets.values().chain(roster.unmanaged.values()).flat_map(|v| &v.servers);
    let found = servers.filter(|server| {
        let age = time::since(roster.now, server.record.planned_at);
        let launched_by_us = !server.record.token.is_adopted();
        server.record.request.is_none() && launched_by_us && age < FOUND_TOLD
    });
    let n = found.count();
    (n > 0).then(|| {
        let text = format!(
            "{n} servers of ours were in EC2 and not in the journal: it was lost, or is an old copy; they are counted again, overrides are lost"
        );
        Problem::new(ProblemKind::ServersFound, None, text)
    })
}

/// How far the clocks of this host and of EC2 may differ without anybody being suspected.
const CLOCKS_DIFFER: Duration = Duration::from_secs(15);

/// How long the last sign of a twin is told.
const TWIN_TOLD: Duration = Duration::from_hours(1);

/// A server with a token of ours that was launched after this process began, and not by it: somebody
/// else runs under the same name, and the two undo one another's work. Its end does not clear it.
fn twin(policy: &Policy, journal: &Journal, now: Timestamp) -> Option<Problem> {
    let since = time::after(journal.opened_at(), CLOCKS_DIFFER);
    let foreign = journal.ledger().servers.found().filter(|record| {
        let of_late = time::since(now, record.planned_at) < TWIN_TOLD;
        let by_tidegate = !record.token.is_adopted();
        by_tidegate && of_late && record.launched_at.is_some_and(|at| at > since)
    });
    let last = foreign.max_by_key(|record| record.launched_at)?;
    let id = last.instance().map_or_else(String::new, ToString::to_string);
    let text = format!(
        "another tidegate with `install: {}` is at work in this account and region: {id} was launched after this one had started, and not by it; stop one of the two, or give it an `install` of its own",
        policy.install
    );
    Some(Problem::new(ProblemKind::DuplicateDaemon, None, text))
}

/// The file names another balancer than the servers are in.
fn balancer_changed(view: &FleetView, fleet: Option<&FleetPolicy>) -> Option<Problem> {
    let asked = fleet?.balancer.as_ref().map(|entry| &entry.balancer);
    let (BalancerView::Readable(held) | BalancerView::Unreadable(held, _)) = &view.balancer else {
        return None;
    };
    if asked == Some(held) {
        return None;
    }
    let asked = asked.map_or_else(|| "no load balancer".to_owned(), ToString::to_string);
    let text = format!(
        "the policy names {asked}, and its servers are in {held}: there they stay and are drained; to move, give {asked} to a new fleet and retire this one"
    );
    Some(Problem::of_fleet(ProblemKind::BalancerChanged, &view.name, text))
}

fn balancer(view: &FleetView) -> Option<Problem> {
    let (balancer, text) = match &view.balancer {
        BalancerView::None | BalancerView::Readable(_) => return None,
        BalancerView::Missing(balancer, fault) => {
            (balancer, format!("{balancer} is gone: {fault}"))
        }
        BalancerView::Unreadable(balancer, fault) => {
            (balancer, format!("{balancer} cannot be asked: {fault}"))
        }
    };
    let text = format!("{text}; no server is taken out meanwhile");
    let key = ProblemKind::Balancer.about(format_args!("{}:{balancer}", view.name));
    Some(Problem::new(key, Some(&view.name), text))
}

/// Somebody works with it, and it costs for as long as nobody takes off what was attached.
fn attached_to(name: &FleetName, server: &Server) -> Option<Problem> {
    let Block::Attached(Attachment { id, .. }) = server.kept.as_ref()? else { return None };
    let label = server.name();
    let text = format!(
        "{label} is never ended: somebody attached {id} to it; take that off when it is not needed any more"
    );
    Some(Problem::new(ProblemKind::Attached.about(label), Some(name), text))
}

/// A person ordered its end, and it stays all the same.
fn told_to_go(
    journal: &Journal,
    name: &FleetName,
    server: &Server,
    whole: Option<&Override>,
    policy: &Policy,
) -> Option<Problem> {
    let id = server.id()?;
    let single = journal.ledger().overrides.get(&OverrideKey::Terminate(id.clone()));
    let order = single.or(whole)?;
    if server.record.retirement.is_some() || server.phase == Phase::Terminating {
        return None;
    }
    let why = match &server.kept {
        Some(kept) => kept.text(&policy.zone),
        None if server.instance.is_none() => "EC2 does not show it".to_owned(),
        None if !order.at_once
            && let Some(why) = server.undrainable =>
        {
            format!("it cannot be told to finish its jobs, as {why}; `--now` does without")
        }
        None => return None,
    };
    let until = time::local(order.until, &policy.zone);
    let text = format!(
        "{id} is not ended, as {} ordered: {why}; the order stands until {until}",
        order.owner
    );
    Some(Problem::new(ProblemKind::OrderWaits.about(id), Some(name), text))
}

/// A person looks at it.
fn taken_out(name: &FleetName, server: &Server) -> Option<Problem> {
    let label = server.name();
    let text = format!(
        "{label} is kept and was taken out of its load balancer: it stays out until the keep ends"
    );
    server.is_kept_out().then(|| Problem::new(ProblemKind::TakenOut.about(label), Some(name), text))
}

/// It serves, and its check fails ever so often: never so long that it counts as sick.
fn flapping(journal: &Journal, name: &FleetName, server: &Server) -> Option<Problem> {
    let serves = matches!(server.phase, Phase::InService | Phase::Disputed);
    // One that is well by the laxer measure is by the other: nearly every server, at every tick.
    server.checks.flaps(true).filter(|_| serves)?;
    let label = server.name();
    let key = ProblemKind::Flapping.about(&label);
    let still = journal.ledger().problems.contains_key(&key);
    let (failed, checks) = server.checks.flaps(still)?;
    // Rounded to tens, so that not each check is news.
    let percent = failed.saturating_mul(100).checked_div(checks)?;
    let percent = percent.saturating_add(5).div_euclid(10).saturating_mul(10);
    let text = format!("{label} comes and goes: {percent} % of its health checks fail");
    Some(Problem::new(key, Some(name), text))
}

/// Returns why no health check was made of a server.
fn unchecked(name: &FleetName, server: &Server, policy: &Policy) -> String {
    let health = policy.fleets.get(name).and_then(|fleet| fleet.health.as_ref());
    let missing = health
        .zip(server.instance.as_ref())
        .and_then(|(health, instance)| server_url(&health.url, &server.record, instance).err());
    missing.map_or_else(
        || "no check could be made".to_owned(),
        |missing| format!("no check could be made: EC2 shows no {missing} of it, and `health.http` names {{{missing}}}"),
    )
}

/// Returns what is said of a launch without a certain answer. Refused credentials are one problem of
/// their own, for all that they refuse.
fn unanswered(server: &Server) -> Option<String> {
    let fault = match &server.record.launch {
        LaunchState::Asked(asked) => asked.last_fault.as_ref(),
        LaunchState::Launched(_) | LaunchState::Refused(_) => None,
    };
    if fault.is_some_and(|fault| fault.kind == FaultKind::Credentials) {
        return None;
    }
    let said = fault.map_or_else(|| "no answer".to_owned(), ToString::to_string);
    Some(format!("launch {} has no certain answer yet: {said}", server.name()))
}

fn ailing(name: &FleetName, server: &Server, policy: &Policy, now: Timestamp) -> Option<Problem> {
    let grace = policy.fleets.get(name).map_or(PATIENCE, |fleet| fleet.grace);
    let label = server.name();
    let age = time::since(now, server.record.planned_at);
    let ailing = server.ailing.clone().unwrap_or_else(|| unchecked(name, server, policy));
    let (kind, text) = match &server.phase {
        Phase::Stopped => (
            ProblemKind::Stopped,
            format!("{label} was stopped by somebody, and still costs its volumes"),
        ),
        Phase::Sick { since } => (
            ProblemKind::Unhealthy,
            format!(
                "{label} fails its health check since {}: {ailing}",
                time::local(*since, &policy.zone)
            ),
        ),
        // While our own check fails too, the two are about to agree; and where it fails ever so often,
        // that is the news.
        Phase::Disputed if server.ailing.is_none() && server.checks.flaps(true).is_none() => {
            let said = server.membership.as_ref().map(ToString::to_string).unwrap_or_default();
            (
                ProblemKind::HealthConflict,
                format!("{label} passes its health check, but its load balancer says {said}"),
            )
        }
        // One that has served is given its time anew, unless its balancer says itself that it asks for
        // nothing.
        Phase::Registering
            if age >= grace
                && (server.record.in_service_at.is_none()
                    || matches!(server.membership, Some(Membership::Unused(_)))) =>
        {
            let said = server.membership.as_ref().map(ToString::to_string);
            let said = said.unwrap_or_else(|| "it is not a member".to_owned());
            (
                ProblemKind::NotInService,
                format!("{label} is healthy, but its load balancer says {said}"),
            )
        }
        // One that was stopped and started has its time anew.
        Phase::Booting if server.uptime.map_or(age, |uptime| uptime.min(age)) >= grace => {
            (ProblemKind::Booting, format!("{label} is not yet healthy: {ailing}"))
        }
        Phase::Launching if age >= PATIENCE => (ProblemKind::Unanswered, unanswered(server)?),
        Phase::Terminating if is_stuck(server, now) => (
            ProblemKind::ShuttingDown,
            format!(
                "{label} was terminated and is shutting down for long: EC2 does not bring it to its end"
            ),
        ),
        Phase::Terminating => {
            let asks = server.record.retirement.as_ref()?.termination()?.asks;
            if asks < 4 {
                return None;
            }
            (ProblemKind::Termination, format!("{label} is still there after {asks} terminations"))
        }
        Phase::Launching
        | Phase::Booting
        | Phase::Registering
        | Phase::InService
        | Phase::Disputed
        | Phase::Unclear
        | Phase::Overdue
        | Phase::Resuming
        | Phase::Draining => return None,
    };
    Some(Problem::new(kind.about(label), Some(name), text))
}

/// An instance takes a minute or two to shut down.
const SHUTS_DOWN_WITHIN: Duration = Duration::from_mins(30);

fn is_stuck(server: &Server, now: Timestamp) -> bool {
    let retirement = server.record.retirement.as_ref();
    let asked = retirement.and_then(|retirement| Some(retirement.termination()?.last_asked_at));
    let ending = server.instance.as_ref().is_some_and(|i| i.lifecycle.is_ending());
    ending && asked.is_some_and(|at| time::since(now, at) >= SHUTS_DOWN_WITHIN)
}

/// Its tag names another fleet than the journal, whose word counts: until it is lost.
fn retagged(name: &FleetName, server: &Server) -> Option<Problem> {
    let said = server.instance.as_ref()?.tags.fleet.as_ref().filter(|said| *said != name)?;
    let label = server.name();
    let text = format!(
        "the tag tidegate:fleet of {label} says {said}, and it is a server of {name}: put the tag right, since it counts if the journal is lost"
    );
    Some(Problem::new(ProblemKind::Retagged.about(label), Some(name), text))
}

/// What begins and what ends, against the problems that were open. One that stands is told once, and
/// kept in the words of now.
pub(super) fn diff(
    open: &BTreeMap<ProblemKey, OpenProblem>,
    found: Vec<Problem>,
    now: Timestamp,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let told = |kind, fleet: &Option<FleetName>, text: String| {
        Change::Event(Event { at: now, kind, fleet: fleet.clone(), instance: None, text })
    };
    let mut seen = std::collections::BTreeSet::new();
    for problem in found {
        if !seen.insert(problem.key.clone()) {
            continue;
        }
        let known = open.get(&problem.key);
        if known.is_none() {
            changes.push(told(EventKind::Problem, &problem.fleet, problem.text.clone()));
        }
        if known.is_none_or(|known| known.text != problem.text) {
            let Problem { key, fleet, text } = problem;
            let since = known.map_or(now, |known| known.since);
            changes.push(Change::Problem(OpenProblem { key, fleet, since, text }));
        }
    }
    for problem in open.values().filter(|problem| !seen.contains(&problem.key)) {
        let lasted = time::text(time::since(now, problem.since));
        let text = format!("over after {lasted}: {}", problem.text);
        changes.push(told(EventKind::Recovered, &problem.fleet, text));
        changes.push(Change::ProblemEnded(problem.key.clone()));
    }
    changes
}
