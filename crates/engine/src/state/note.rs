//! Durable facts from one observation: which launch became which instance, who became healthy or
//! sick, who is gone. Facts only; nothing is judged here that a later tick could not see again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{
    VANISHED_AFTER, balancer_of, blindness, handed_over_to, has_our_tag, is_old_news, is_ours,
    is_settled, known_since, lacks_many,
};
use super::{drain, teach};
use crate::model::balancer::{Balancer, Membership};
use crate::model::fleet::FleetName;
use crate::model::instance::{Instance, InstanceId, Lifecycle};
use crate::model::launch::Token;
use crate::model::ledger::{Change, Event, EventKind, FleetMemory, Ledger, SettingsRecord};
use crate::model::observation::Observation;
use crate::model::retirement::Retirement;
use crate::model::server::{Gone, GoneHow, LaunchState, ServerRecord};
use crate::model::time::{self, Clocks, Timestamp};
use crate::policy::{FleetPolicy, Mode, Policy};

/// How many health checks in a row must fail before a server that was healthy counts as sick: one
/// lost packet is not an illness.
const SICK_AFTER_FAILURES: u32 = 3;

/// How long a launch without an answer is watched for before it is given up: EC2 refuses a request
/// that is stamped more than 15 minutes ago, and a new instance may take minutes to be listed.
pub(super) const UNANSWERED_HORIZON: Duration = Duration::from_mins(25);

/// How long even an implausible list must say the same before it is believed: lists with missing
/// pages have been seen to last minutes, while a fleet that somebody ended during a weekend's pause
/// of the daemon stays gone.
const BELIEVED_AFTER: Duration = Duration::from_hours(1);

/// What `seen` adds to the journal. Applying the changes and noting the same again gives nothing.
pub fn note(policy: &Policy, ledger: &Ledger, seen: &Observation) -> Vec<Change> {
    let mut changes = Vec::new();
    if let (None, Some(account), Ok(_)) = (&ledger.account, &seen.account, &seen.instances) {
        changes.push(Change::Account(account.clone()));
    }
    if ledger.is_blank() {
        changes.push(Change::Begun(seen.now));
    }
    for (fleet, reading) in &seen.readings {
        changes.push(Change::Reading(fleet.clone(), reading.clone()));
    }
    let balancers = in_use(policy, ledger, seen);
    let mut memories = Memories { ledger, changed: BTreeMap::new() };
    if let Ok(listed) = &seen.instances {
        let plausible = blindness(ledger, seen).is_none();
        let complete = plausible && !is_partial(ledger, listed, seen.clocks());
        let note = Note { policy, ledger, seen, balancers: &balancers, plausible, complete };
        let unclaimed = note.unclaimed(listed);
        let open = ledger.servers.open().map(|record| {
            let instance = match record.instance() {
                Some(id) => listed.get(id),
                None => unclaimed.of_token(policy, record),
            };
            (record, instance)
        });
        for (record, instance) in open.chain(note.back(&unclaimed)) {
            let noted = note.record(record, instance);
            if record.retirement.is_some() {
                let drains = memories.known(&noted.fleet).map(|memory| &*memory.drains);
                let learned = drain::learn(drains, record, &noted, instance, seen.clocks().ec2);
                if let Some(learned) = learned {
                    memories.change(&noted.fleet).drains = Arc::new(learned);
                }
            }
            if noted.in_service_at.is_some() && record.in_service_at.is_none() {
                let grace = policy.fleets.get(&noted.fleet).map(|fleet| fleet.grace);
                note.boot(&noted, grace.unwrap_or_default(), &mut memories);
            }
            if noted != *record {
                changes.extend(story(record, &noted, seen.now).map(Change::Event));
                changes.push(Change::Server(Arc::new(noted)));
            }
        }
        changes.extend(note.found(&unclaimed));
    }
    fleets(policy, &balancers, &mut memories, seen.now);
    teach::teach(policy, seen, &changes, &mut memories);
    changes.extend(memories.changes());
    changes
}

/// What fleets remember, each changed once however much there is to note.
pub(super) struct Memories<'a> {
    pub(super) ledger: &'a Ledger,
    changed: BTreeMap<FleetName, Box<FleetMemory>>,
}

impl Memories<'_> {
    fn known(&self, fleet: &FleetName) -> Option<&FleetMemory> {
        self.changed.get(fleet).map(Box::as_ref).or_else(|| self.ledger.fleets.get(fleet))
    }

    pub(super) fn change(&mut self, fleet: &FleetName) -> &mut FleetMemory {
        let known = || Box::new(self.ledger.fleets.get(fleet).cloned().unwrap_or_default());
        self.changed.entry(fleet.clone()).or_insert_with(known)
    }

    fn changes(self) -> impl Iterator<Item = Change> {
        self.changed.into_iter().map(|(name, mut memory)| {
            // Readings have a change of their own; held here too, they would have to be copied.
            memory.readings = Arc::default();
            Change::Fleet(name, memory)
        })
    }
}

struct Note<'a> {
    policy: &'a Policy,
    ledger: &'a Ledger,
    seen: &'a Observation,
    /// The balancer that each fleet's servers are in.
    balancers: &'a BTreeMap<FleetName, Balancer>,
    /// Whether the list has most of the servers that are to stay.
    plausible: bool,
    /// Whether it also has most of those that EC2 should still show while they end. Only then is the
    /// absence of a server that is to stay soon evidence of its end.
    complete: bool,
}

impl Note<'_> {
    fn record(&self, record: &ServerRecord, instance: Option<&Instance>) -> ServerRecord {
        let now = self.seen.now;
        let mut noted = record.clone();
        let Some(instance) = instance else {
            // Of a list with gaps nobody is missing.
            if self.seen.gap.is_none() {
                self.absent(&mut noted);
            }
            return noted;
        };
        if !record.is_open() {
            // Given up, or long missing from the list, and there after all: it is ours, it is paid,
            // and it is back in the books.
            noted.gone = None;
            noted.cleared_at = None;
        }
        noted.absent_since = None;
        noted.launch = LaunchState::Launched(instance.id.clone());
        // A list that is out of date makes nobody older.
        noted.launched_at = instance.launched_at.max(record.launched_at);
        if started_again(record, &noted) {
            (noted.healthy_at, noted.sick_since) = (None, None);
            noted.restarted_at = noted.launched_at;
        }
        drain::note(&mut noted, instance, self.ledger, self.seen);
        noted.private_ip = instance.private_ip.clone().or_else(|| record.private_ip.clone());
        if instance.lifecycle == Lifecycle::Terminated {
            noted.gone = Some(Gone { at: now, how: how_it_ended(record, instance) });
            noted.cleared_at = None;
            return noted;
        }
        if instance.lifecycle == Lifecycle::Running
            && let Some(fleet) = self.policy.fleets.get(&record.fleet)
        {
            self.health(&mut noted, fleet, instance);
        }
        noted
    }

    /// EC2's list does not have it.
    fn absent(&self, noted: &mut ServerRecord) {
        // A host's clock that is set meanwhile must not make an absence longer than it was.
        let (now, ec2_now) = (self.seen.now, self.seen.clocks().ec2);
        let since = *noted.absent_since.get_or_insert(ec2_now);
        match &noted.launch {
            LaunchState::Launched(_) => {
                let known_since = known_since(noted).max(since);
                let member = noted.instance().and_then(|id| self.membership(&noted.fleet, id));
                if member == Some(&Membership::InService) {
                    // Its balancer sees it at work: the list is wrong.
                    return;
                }
                let ended = noted.retirement.as_ref().is_some_and(Retirement::may_have_ended);
                let trusted = if ended { self.plausible } else { self.complete };
                let enough = if trusted { VANISHED_AFTER } else { BELIEVED_AFTER };
                if time::since(ec2_now, known_since) >= enough {
                    let how = if ended { GoneHow::Retired } else { GoneHow::Vanished };
                    noted.gone = Some(Gone { at: now, how });
                    noted.cleared_at = None;
                }
            }
            LaunchState::Asked(_)
                if self.complete && time::since(ec2_now, since) >= UNANSWERED_HORIZON =>
            {
                noted.gone = Some(Gone { at: now, how: GoneHow::NeverWas });
            }
            LaunchState::Asked(_) | LaunchState::Refused(_) => {}
        }
    }

    fn health(&self, noted: &mut ServerRecord, fleet: &FleetPolicy, instance: &Instance) {
        let now = self.seen.now;
        let passed = match (&fleet.health, self.seen.health.get(&instance.id)) {
            (None, _) => Some(true),
            (Some(_), Some(health)) if health.passed.is_ok() => Some(true),
            (Some(_), Some(health)) if health.failures() >= SICK_AFTER_FAILURES => Some(false),
            (Some(_), _) => None,
        };
        match passed {
            Some(true) => {
                noted.healthy_at.get_or_insert(now);
                noted.sick_since = None;
            }
            Some(false) if noted.healthy_at.is_some() || self.had_its_time(noted, fleet) => {
                noted.sick_since.get_or_insert(now);
            }
            Some(false) | None => {}
        }
        let serving = match self.balancers.get(&fleet.name) {
            None => true,
            Some(_) => self.membership(&fleet.name, &instance.id) == Some(&Membership::InService),
        };
        if serving && noted.healthy_at.is_some() && noted.sick_since.is_none() {
            (noted.restarted_at, noted.cleared_at) = (None, None);
            noted.in_service_at.get_or_insert(now);
        }
    }

    /// A server that was old when it was found, or handed over, is known to have served by nobody's
    /// word, and one that was started again has served before: each has had `grace` to pass its check
    /// since.
    fn had_its_time(&self, record: &ServerRecord, fleet: &FleetPolicy) -> bool {
        let over = |since| time::since(self.seen.now, since) >= fleet.grace;
        let found = !record.was_watched(fleet.grace) && over(record.planned_at);
        let started = record.launched_at.map(|at| self.seen.by_host(at));
        found || (record.in_service_at.is_some() && started.is_some_and(over))
    }

    fn membership(&self, fleet: &FleetName, id: &InstanceId) -> Option<&Membership> {
        let balancer = self.balancers.get(fleet)?;
        self.seen.balancers.get(balancer)?.as_ref().ok()?.get(id)
    }

    /// Launch to in service, for a launch of our own that was watched from the start.
    fn boot(&self, noted: &ServerRecord, grace: Duration, memories: &mut Memories<'_>) {
        if let (Some(at), Some(_)) = (noted.in_service_at, &noted.request) {
            let launched = noted.launched_at.map(|at| self.seen.by_host(at));
            let took = time::since(at, launched.unwrap_or(noted.planned_at));
            // Longer than any launch is given: the daemon was away, or the balancer, not the boot.
            if took <= grace {
                memories.change(&noted.fleet).boots.learn(took);
            }
        }
    }

    fn unclaimed<'b>(&'b self, listed: &'b BTreeMap<InstanceId, Instance>) -> Unclaimed<'b> {
        let servers = &self.ledger.servers;
        let unclaimed = listed.values().filter_map(|instance| {
            // Of one that is ending nothing is asked but what it was launched for.
            if instance.lifecycle.is_ending() {
                return Some((instance, None));
            }
            let record = servers.of_instance(&instance.id);
            if record.is_some_and(ServerRecord::is_open) {
                return None;
            }
            Some((instance, record.or_else(|| servers.get(instance.token.as_deref()?))))
        });
        Unclaimed(unclaimed.collect())
    }

    /// Servers that were taken as gone, and are there.
    fn back<'b>(
        &self,
        unclaimed: &'b Unclaimed<'_>,
    ) -> impl Iterator<Item = (&'b ServerRecord, Option<&'b Instance>)> {
        let alive = unclaimed.0.iter().filter(|(instance, _)| instance.lifecycle.is_alive());
        alive.filter_map(|(instance, record)| {
            let record = (*record)?;
            let this = record.instance().is_none_or(|id| *id == instance.id);
            let old = is_old_news(record, instance, self.seen.now);
            let back = this && !record.is_open() && !old && belongs(self.policy, record, instance);
            back.then_some((record, Some(*instance)))
        })
    }

    /// Servers of ours that the journal does not know: it was lost, or restored from an old copy.
    fn found(&self, unclaimed: &Unclaimed<'_>) -> Vec<Change> {
        let now = self.seen.now;
        let alive = unclaimed.0.iter().map(|(instance, _)| *instance).filter(|instance| {
            !instance.lifecycle.is_ending() && !instance.tags.auto_scaling_group
        });
        // One for each token, should EC2 ever give one to two.
        let by_token: BTreeMap<Token, (&Instance, FleetName)> = alive
            .filter_map(|instance| {
                let (token, fleet) = self.unknown_server(instance)?;
                Some((token, (instance, fleet)))
            })
            .collect();
        let mut changes = Vec::new();
        for (token, (instance, fleet)) in by_token {
            if self.ledger.servers.get(token.as_str()).is_some() {
                continue;
            }
            let text =
                format!("found {}, a server of ours that the journal did not know", instance.id);
            changes.push(Change::Event(Event {
                at: now,
                kind: EventKind::Seen,
                fleet: Some(fleet.clone()),
                instance: Some(instance.id.clone()),
                text,
            }));
            let terms = self.policy.fleets.get(&fleet).and_then(FleetPolicy::drain_terms);
            let mut record = ServerRecord::running(token, fleet, instance, now);
            record.retirement = drain::found(instance, terms, self.seen);
            changes.push(Change::Server(Arc::new(record)));
        }
        changes
    }

    /// Returns the token and the fleet of a server of ours. By its tag alone, an instance that an operator
    /// once handed over counts only while the journal is new.
    fn unknown_server(&self, instance: &Instance) -> Option<(Token, FleetName)> {
        if is_ours(self.policy, instance) {
            let token = Token::from_stored(instance.token.as_deref()?);
            return Some((token, instance.tags.fleet.clone()?));
        }
        let fleet = handed_over_to(self.policy, instance).filter(|_| {
            let known = self.ledger.servers.of_instance(&instance.id);
            known.is_none() && self.ledger.is_new(self.seen.now)
        })?;
        Some((Token::adopted(&self.policy.install, &instance.id), fleet))
    }
}

/// Listed instances that are ending, or that no open record names: these with the record that knows
/// them by their ids or by their tokens.
struct Unclaimed<'a>(Vec<(&'a Instance, Option<&'a ServerRecord>)>);

impl Unclaimed<'_> {
    /// What the launch of a record without an instance has become.
    fn of_token(&self, policy: &Policy, record: &ServerRecord) -> Option<&Instance> {
        let mut instances = self.0.iter().map(|(instance, _)| *instance);
        instances.rfind(|instance| {
            instance.token.as_deref() == Some(record.token.as_str()) && is_ours(policy, instance)
        })
    }
}

/// Ours by its token, or by the word of the person who handed it over.
fn belongs(policy: &Policy, record: &ServerRecord, instance: &Instance) -> bool {
    is_ours(policy, instance) || (record.token.is_adopted() && has_our_tag(policy, instance))
}

/// Whether the list lacks so many servers that a single missing one proves nothing: those that were
/// asked to end count as well, and those that were taken as gone by their absence alone.
fn is_partial(ledger: &Ledger, listed: &BTreeMap<InstanceId, Instance>, clocks: Clocks) -> bool {
    let from = time::before(clocks.host, BELIEVED_AFTER);
    let mut expected = ledger.servers.since(from).filter(|record| {
        let retirement = record.retirement.as_ref().filter(|one| one.may_have_ended());
        let asked_at = retirement.and_then(|one| Some(one.termination()?.last_asked_at));
        let shown = asked_at.is_none_or(|at| at > from);
        let seen_to_end = !record.is_open() && record.absent_since.is_none();
        shown && !seen_to_end && is_settled(record, clocks.ec2)
    });
    lacks_many(&mut expected, listed).is_some()
}

fn how_it_ended(record: &ServerRecord, instance: &Instance) -> GoneHow {
    if record.retirement.as_ref().is_some_and(Retirement::may_have_ended) {
        GoneHow::Retired
    } else {
        let said = instance.state_reason.as_deref().unwrap_or("EC2 gives no reason");
        GoneHow::BehindOurBack(crate::model::fault::printable(said, 200))
    }
}

/// The balancer that each fleet's servers are in.
fn in_use(policy: &Policy, ledger: &Ledger, seen: &Observation) -> BTreeMap<FleetName, Balancer> {
    let left = ledger.fleets.keys().filter(|name| !policy.fleets.contains_key(*name));
    let mut in_use = BTreeMap::new();
    for name in policy.fleets.keys().chain(left) {
        let memory = ledger.fleets.get(name);
        let held = memory.and_then(|memory| memory.balancer.as_ref()).map(|(held, _)| held);
        let open = ledger.servers.has_open(name);
        if let Some(balancer) = balancer_of(policy.fleets.get(name), held, open, seen) {
            in_use.insert(name.clone(), balancer.clone());
        }
    }
    in_use
}

/// What is remembered of each fleet for the day it leaves the policy, or changes in it: the balancer
/// its servers are in, and whether it acts.
fn fleets(
    policy: &Policy,
    in_use: &BTreeMap<FleetName, Balancer>,
    memories: &mut Memories<'_>,
    now: Timestamp,
) {
    // One that left the policy and has no servers is new when it comes back.
    let left = memories.ledger.fleets.iter().filter(|(name, memory)| {
        let over = !policy.fleets.contains_key(*name) && !memories.ledger.servers.has_open(name);
        over && (memory.target.is_some() || memory.decided_by.is_some())
    });
    let left: Vec<FleetName> = left.map(|(name, _)| name.clone()).collect();
    for name in left {
        let memory = memories.change(&name);
        (memory.target, memory.asked, memory.decided_by) = (None, None, None);
    }
    for (name, fleet) in &policy.fleets {
        let entry = fleet.balancer.as_ref();
        let asked = entry.map(|entry| (entry.balancer.clone(), entry.deregistration_delay));
        let known = memories.known(name).and_then(|memory| memory.balancer.as_ref());
        let follows = in_use.get(name) == entry.map(|entry| &entry.balancer);
        if follows && known != asked.as_ref() {
            memories.change(name).balancer = asked;
        }
        let terms = fleet.drain_terms();
        if memories.known(name).and_then(|memory| memory.drains.terms.as_ref()) != terms {
            let memory = memories.change(name);
            Arc::make_mut(&mut memory.drains).adopt(terms);
        }
        let known = memories.known(name).and_then(|memory| memory.settings.as_ref());
        // A record from the future was written before the host's clock was set back, and would hide
        // the failures that come until then.
        if known.is_none_or(|known| known.digest != fleet.settings || known.since > now) {
            let settings = SettingsRecord { digest: Arc::clone(&fleet.settings), since: now };
            memories.change(name).settings = Some(settings);
        }
        let acting = Some(fleet.mode == Mode::Act);
        let before = memories.known(name).and_then(|memory| memory.acting);
        if before != acting {
            let memory = memories.change(name);
            memory.acting = acting;
            if before == Some(false) {
                // What observe mode decided was never done: the rules start from the servers that run.
                (memory.target, memory.asked, memory.stepped_at_reading) = (None, None, None);
            }
        }
    }
}

/// Less than a stop and a start take, and more than EC2 rounds its times by.
const RESTART_AT_LEAST: Duration = Duration::from_secs(5);

/// EC2 has a later launch time for it: it was stopped and started.
fn started_again(before: &ServerRecord, after: &ServerRecord) -> bool {
    let (Some(before), Some(after)) = (before.launched_at, after.launched_at) else { return false };
    time::since(after, before) >= RESTART_AT_LEAST
}

/// What changed in a server's life, in one line.
fn story(before: &ServerRecord, after: &ServerRecord, now: Timestamp) -> Option<Event> {
    let name = after.instance().map_or_else(|| after.token.to_string(), ToString::to_string);
    let text = match (&before.gone, &after.gone) {
        (None, Some(gone)) => match &gone.how {
            GoneHow::Retired => format!("{name} is terminated"),
            GoneHow::BehindOurBack(why) => format!("{name} was terminated, not by us: {why}"),
            GoneHow::Vanished => {
                format!("{name} has not been in EC2's list for long: taken as gone")
            }
            GoneHow::NeverWas => format!("launch {name} never showed up: given up"),
        },
        (Some(_), None) => format!("{name} appeared after its launch had been given up"),
        (Some(_), Some(_)) => return None,
        (None, None) => {
            if before.in_service_at.is_none()
                && let Some(at) = after.in_service_at
            {
                let took = time::text(time::since(at, after.planned_at));
                match &after.request {
                    Some(_) => format!("{name} is in service, {took} after its launch was planned"),
                    None => format!("{name} is in service"),
                }
            } else if before.is_proven() && started_again(before, after) {
                format!("{name} was stopped and started again: it has yet to pass its check")
            } else if before.healthy_at.is_none() && after.healthy_at.is_some() {
                format!("{name} is healthy")
            } else if before.sick_since.is_none() && after.sick_since.is_some() {
                format!("{name} fails its health check")
            } else if before.sick_since.is_some() && after.sick_since.is_none() {
                format!("{name} is healthy again")
            } else if let Some(text) = drain::story(&name, before, after) {
                text
            } else if before.instance().is_none() && after.instance().is_some() {
                format!("{name} is the answer to launch {}", after.token)
            } else {
                return None;
            }
        }
    };
    Some(Event {
        at: now,
        kind: EventKind::Seen,
        fleet: Some(after.fleet.clone()),
        instance: after.instance().cloned(),
        text,
    })
}
