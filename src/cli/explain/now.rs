//! What stands now, as the daemon's last tick saw it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::json;

use super::row;
use crate::admin::view::{FleetStatus, ReadingView, StatusView};
use crate::cli::out::say;
use crate::cli::{FAILED, Failure, client, runtime};
use crate::model::fleet::FleetName;
use crate::model::time::{self, Timestamp};
use crate::settings::Settings;

pub(super) fn run(
    fleet: Option<&FleetName>,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let body = runtime()?.block_on(client::get(&settings.socket, "/status"))?;
    let mut view: StatusView = serde_json::from_str(&body).map_err(anyhow::Error::new)?;
    if let Some(name) = fleet {
        view.fleets.retain(|fleet| fleet.name == name.as_str());
        if view.fleets.is_empty() {
            let why = anyhow::anyhow!("the daemon knows no fleet `{name}`");
            return Err(Failure::Error(FAILED, why));
        }
    }
    if json {
        let told = json!({
            "format_version": 1,
            "at": view.last_tick,
            "policy": view.policy,
            "fleets": view.fleets,
        });
        return say!("{told}");
    }
    let zone = view.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let teller = Teller { zone: zone.unwrap_or(TimeZone::UTC), now: at(&view.last_tick) };
    for (n, fleet) in view.fleets.iter().enumerate() {
        if n > 0 {
            say!("")?;
        }
        teller.tell(fleet)?;
    }
    Ok(())
}

fn at(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

struct Teller {
    zone: TimeZone,
    /// When the daemon looked.
    now: Option<Timestamp>,
}

impl Teller {
    fn tell(&self, fleet: &FleetStatus) -> Result<(), Failure> {
        say!("{}", self.headline(fleet))?;
        if let Some(reading) = &fleet.reading {
            row("measured", &self.reading(reading), None)?;
        }
        row("servers", &servers(fleet), None)?;
        for (n, reason) in fleet.because.iter().enumerate() {
            let line = reason.line.filter(|line| !reason.text.contains(&format!("line {line}")));
            row(if n == 0 { "because" } else { "" }, &reason.text, line)?;
        }
        if let (Some(min), Some(max)) = (fleet.min, fleet.max) {
            row("range", &format!("{min} to {max}"), None)?;
        }
        for instance in &fleet.instances {
            if let Some(blocked) = &instance.blocked {
                row("stays", &format!("{}: {blocked}", instance.id), None)?;
            }
        }
        for left_out in &fleet.left_out {
            row("left out", left_out, None)?;
        }
        for step in &fleet.steps {
            let name = if step.mode == "observe" { "would" } else { "did" };
            row(name, &step.text, None)?;
        }
        row("next", &self.next(fleet), None)
    }

    /// What is aimed at, and whether that is what is wanted.
    fn headline(&self, fleet: &FleetStatus) -> String {
        let name = &fleet.name;
        let since = fleet.since.as_deref().and_then(at);
        let since = since.map_or_else(String::new, |since| {
            let ago = self.now.map(|now| time::text(time::since(now, since)));
            let ago = ago.map_or_else(String::new, |ago| format!(" ({ago})"));
            format!(" since {}{ago}", time::local(since, &self.zone))
        });
        let (Some(desired), Some(wanted)) = (fleet.desired, fleet.wanted) else {
            let capacity = fleet.capacity;
            return format!(
                "{name} is not in the policy: its {capacity} servers are left as they are"
            );
        };
        let observe =
            if fleet.mode == "observe" { ", in observe mode: nothing is done" } else { "" };
        if desired == fleet.capacity && wanted == desired {
            format!("{name} stays at {desired}{since}{observe}")
        } else if desired == fleet.capacity {
            let verb = if wanted < desired { "shrink" } else { "grow" };
            format!("{name} stays at {desired}{since}. It would {verb} to {wanted}, but{observe}:")
        } else {
            let more =
                if wanted == desired { String::new() } else { format!(", and then to {wanted}") };
            format!("{name} goes from {} to {desired}{more}{observe}", fleet.capacity)
        }
    }

    fn reading(&self, reading: &ReadingView) -> String {
        let read = at(&reading.at);
        let ago = read.zip(self.now).map(|(read, now)| time::text(time::since(now, read)));
        let when = ago.map_or_else(String::new, |ago| format!(", read {ago} ago"));
        match (reading.waiting, &reading.unreadable) {
            (Some(waiting), _) => {
                let oldest = reading.oldest_seconds.map(std::time::Duration::from_secs);
                let oldest =
                    oldest.map(|oldest| format!(", the oldest for {}", time::text(oldest)));
                format!("{waiting} jobs waiting{}{when}", oldest.unwrap_or_default())
            }
            (None, why) => {
                format!("not readable: {}{when}", why.as_deref().unwrap_or("no cause known"))
            }
        }
    }

    fn next(&self, fleet: &FleetStatus) -> String {
        let local = |text: &str| at(text).map(|at| time::local(at, &self.zone));
        let reading = fleet.next_reading.as_deref().and_then(local);
        let look = fleet.next_look.as_deref().and_then(local);
        match (reading, look) {
            (Some(reading), Some(look)) => {
                format!(
                    "the queue is read at {reading}; otherwise the answer may differ from {look} on"
                )
            }
            (Some(reading), None) => format!("the queue is read at {reading}"),
            (None, Some(look)) => format!("the answer may differ from {look} on"),
            (None, None) => {
                "nothing is due: only an edit, an order or a lost server changes this".to_owned()
            }
        }
    }
}

fn servers(fleet: &FleetStatus) -> String {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in &fleet.instances {
        let n = phases.entry(&instance.phase).or_default();
        *n = n.saturating_add(1);
    }
    let counts: Vec<String> = phases.iter().map(|(phase, n)| format!("{n} {phase}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
