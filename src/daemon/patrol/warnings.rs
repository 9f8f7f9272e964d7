//! EC2's own word on our servers: a check of its own that fails, and what it is going to do.

use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::Ledger;
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::model::warning::{Sign, Warning};
use tidegate_engine::policy::Policy;

/// Those that are about servers of ours which stay.
pub(super) fn told(warnings: &[Warning], ledger: &Ledger, policy: &Policy) -> Vec<Problem> {
    let is_checked =
        |fleet: &FleetName| policy.fleets.get(fleet).is_some_and(|fleet| fleet.health.is_some());
    let problem = |warning: &Warning| {
        let record = ledger.servers.of_instance(&warning.instance)?;
        let stays = record.is_open() && record.retirement.is_none();
        let Warning { instance, sign } = warning;
        let (key, then) = match sign {
            Sign::Impaired { part, .. } => (
                ProblemKind::Impaired.about(format_args!("{part:?}:{instance}")),
                if is_checked(&record.fleet) {
                    "Our own health check decides whether it is replaced"
                } else {
                    "It is not replaced for that, as its fleet has no `health`"
                },
            ),
            Sign::Event { code, .. } => (
                ProblemKind::ScheduledEvent.about(format_args!("{code}:{instance}")),
                match code.as_str() {
                    "instance-stop" | "instance-retirement" => "Once it is gone it is replaced",
                    _ => "Meanwhile it may fail its health check",
                },
            ),
        };
        let sign = sign.text(&policy.zone);
        let text =
            format!("{instance}: {sign}. {then}; `tidegate terminate {instance}` replaces it now");
        stays.then(|| Problem::new(key, Some(&record.fleet), text))
    };
    warnings.iter().filter_map(problem).collect()
}
