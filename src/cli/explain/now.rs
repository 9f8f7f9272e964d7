//! What stands now, as the daemon's last tick saw it.

use serde_json::json;

use super::row;
use crate::admin::view::{FleetStatus, StatusView};
use crate::admin::words::{Teller, others, servers};
use crate::cli::out::say;
use crate::cli::{FAILED, Failure, client, runtime};
use crate::settings::Settings;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::policy::Mode;

pub(super) fn run(
    fleet: Option<&FleetName>,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let body = runtime()?.block_on(client::get(&settings.socket, "/status"))?;
    let mut view: StatusView = serde_json::from_str(&body).map_err(anyhow::Error::new)?;
    if let Some(name) = fleet {
        view.fleets.retain(|fleet| fleet.name == *name);
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
    let teller = Teller { zone: view.zone(), now: Some(view.last_tick) };
    for (n, fleet) in view.fleets.iter().enumerate() {
        if n > 0 {
            say!("")?;
        }
        tell(&teller, fleet)?;
    }
    Ok(())
}

fn tell(teller: &Teller, fleet: &FleetStatus) -> Result<(), Failure> {
    say!("{}", teller.headline(fleet))?;
    for order in teller.orders(fleet) {
        row("order", &order, None)?;
    }
    if let Some(reading) = &fleet.reading {
        row("measured", &teller.reading(reading), None)?;
    }
    row("servers", &servers(fleet), None)?;
    if let Some(others) = others(fleet) {
        row("beside", &others, None)?;
    }
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
        let name = if step.mode.is(Mode::Observe) { "would" } else { "did" };
        row(name, &step.text, None)?;
    }
    row("next", &teller.next(fleet), None)
}
