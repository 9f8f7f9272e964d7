//! `tidegate backtest --last`: the recorded load, and how closely a backtest of the policy that ran
//! comes to what really was.

use std::time::Duration;

use serde_json::{Value, json};

use super::journal::Journal;
use super::out::say;
use super::{Failure, check, runtime};
use crate::settings::Settings;
use crate::sim::backtest::{Span, Waiting};
use crate::sim::recorded::recorded;
use crate::sim::trace::{self, Trace};
use tidegate_engine::evaluate::{Difference, Replayed, replay};
use tidegate_engine::model::boots::median;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::FleetHistory;
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{self, Policy};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The load that the daemon recorded, so far back; first says how well the policy that ran is
    /// reproduced. Instead of --trace
    #[arg(long, value_name = "SPAN", value_parser = super::span, conflicts_with = "trace")]
    pub last: Option<Duration>,
    /// Where --last counts back from [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = super::instant, requires = "last")]
    until: Option<Timestamp>,
}

/// A fleet's past, and the policy that it ran under.
pub(super) struct Past {
    pub history: FleetHistory,
    pub policy: Policy,
    /// How many other policies were in force before it.
    others: usize,
}

impl Args {
    /// `None`: the load is not a recorded one.
    pub(super) fn read(
        &self,
        settings: &Settings,
        fleet: &FleetName,
    ) -> Result<Option<Past>, Failure> {
        let Some(last) = self.last else { return Ok(None) };
        let now = check::now();
        let until = self.until.unwrap_or(now);
        let journal = Journal::of(settings)?;
        let failed = |why: String| journal.failed(&why);
        let span = (time::before(until, last), until);
        let history = runtime()?.block_on(journal.history()?.of_fleet(fleet, span));
        let history = journal.answer(history)?;
        if history.readings.is_empty() {
            let span = time::text(last);
            return Err(failed(format!(
                "no queue of fleet {fleet} was read in the {span} before {until}; a longer --last looks further back"
            )));
        }
        let Some(ran) = history.policies.last() else {
            let why = "it does not say which policy ran: no daemon of this version has started yet";
            return Err(failed(why.to_owned()));
        };
        let policy = policy::load("the policy that ran", &ran.text, ran.since).policy;
        let policy = policy.filter(|policy| policy.fleets.contains_key(fleet));
        let policy = policy.ok_or_else(|| {
            failed(format!(
                "policy {}, which ran, has no fleet {fleet} that can be used",
                ran.digest
            ))
        })?;
        let others = history.policies.len().saturating_sub(1);
        Ok(Some(Past { history, policy, others }))
    }
}

impl Past {
    /// What really was, in the terms of a backtest.
    pub(super) fn span(&self) -> Span {
        let FleetHistory { readings, servers, .. } = &self.history;
        let ends = readings.first().zip(readings.last());
        let (from, to) = ends.map_or((self.history.from, self.history.to), |(f, l)| (f.at, l.at));
        let mut waiting = Waiting::default();
        readings
            .iter()
            .flat_map(|reading| &reading.depth)
            .for_each(|depth| waiting.add(depth.waiting));
        let mut span = Span { waiting, ..Span::default() };
        for server in servers.iter().filter(|server| server.instance().is_some()) {
            let launched = server.launched_at.unwrap_or(server.planned_at);
            let ended = server.gone.as_ref().map_or(to, |gone| gone.at.min(to));
            span.server_time += time::since(ended, launched.max(from));
            span.launches += u64::from(launched >= from && launched <= to);
        }
        span
    }

    /// The load that was recorded; `None`: nobody came.
    pub(super) fn trace(&self, how: trace::Reading) -> Option<Trace> {
        recorded(&self.history.readings, how)
    }

    /// The middle one of the boots that were watched.
    pub(super) fn boot(&self) -> Option<Duration> {
        let launched = |server: &ServerRecord| server.launched_at.unwrap_or(server.planned_at);
        let watched = self.history.servers.iter().filter(|server| server.request.is_some());
        let boots =
            watched.filter_map(|server| Some(time::since(server.in_service_at?, launched(server))));
        median(boots)
    }

    pub(super) fn replayed(&self) -> Replayed {
        replay(&self.policy, &self.history)
    }

    /// How far what follows can be trusted: `imagined` is the backtest of the policy that ran.
    pub(super) fn print(&self, imagined: &Span) -> Result<(), Failure> {
        let FleetHistory { fleet, readings, .. } = &self.history;
        let unread = readings.iter().filter(|reading| reading.depth.is_err()).count();
        let zone = &self.policy.zone;
        let ends = readings.first().zip(readings.last());
        let (from, to) = ends.map_or((self.history.from, self.history.to), |(f, l)| (f.at, l.at));
        say!(
            "Recorded of fleet {fleet}, {} to {}: {} readings, {unread} of them not readable.",
            time::local(from, zone),
            time::local(to, zone),
            readings.len()
        )?;
        let policy = printable(&self.policy.digest, 20);
        match self.others {
            0 => say!("Policy {policy} ran.")?,
            others => say!(
                "Policy {policy} ran last, {others} other before it: what those decided differs."
            )?,
        }
        let Replayed { looks, same, first } = self.replayed();
        say!("Its rules, asked again at each reading: {same} of {looks} decisions are the same.")?;
        if let Some(Difference { at, desired, replayed }) = first {
            let at = time::local(at, zone);
            let (now, why) = (replayed.desired, replayed.text(zone));
            say!("  First otherwise at {at}: {desired} then, {now} now: {why}")?;
        }
        let real = self.span();
        let hours = |span: &Span| span.server_time.as_secs_f64() / 3600.0;
        say!("\n{:<20}  {:>10}  {:>10}", "", "it was", "backtest")?;
        say!("{:<20}  {:>10.1}  {:>10.1}", "server-hours", hours(&real), hours(imagined))?;
        say!("{:<20}  {:>10}  {:>10}", "launches", real.launches, imagined.launches)?;
        let mean = |span: &Span| span.waiting.mean();
        say!("{:<20}  {:>10.1}  {:>10.1}", "waiting, mean", mean(&real), mean(imagined))?;
        let most = |span: &Span| span.waiting.most;
        say!("{:<20}  {:>10}  {:>10}\n", "waiting, most", most(&real), most(imagined))?;
        Ok(())
    }

    pub(super) fn json(&self, imagined: &Span) -> Value {
        let Replayed { looks, same, first } = self.replayed();
        let told = |span: &Span| {
            json!({
                "server_seconds": span.server_time.as_secs(),
                "launches": span.launches,
                "waiting_mean": span.waiting.mean(),
                "waiting_most": span.waiting.most,
            })
        };
        json!({
            "fleet": self.history.fleet.as_str(),
            "readings": self.history.readings.len(),
            "policy": self.policy.digest,
            "other_policies": self.others,
            "decisions": looks,
            "decisions_same": same,
            "first_difference": first.map(|first| json!({
                "at": first.at.to_string(),
                "desired": first.desired,
                "replayed": first.replayed.desired,
                "because": first.replayed.text(&self.policy.zone),
            })),
            "really": told(&self.span()),
            "backtest": told(imagined),
        })
    }
}
