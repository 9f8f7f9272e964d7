//! EC2's own word on our servers: a check of its own that fails, and what it is going to do.

use crate::model::ledger::Ledger;
use crate::model::warning::{Sign, Warning};
use crate::record::Concern;

/// Those that are about servers of ours which stay.
pub(super) fn told(warnings: &[Warning], ledger: &Ledger) -> Vec<Concern> {
    let concern = |warning: &Warning| {
        let record = ledger.servers.of_instance(&warning.instance)?;
        let stays = record.is_open() && record.retirement.is_none();
        let Warning { instance, sign } = warning;
        let (key, advice) = match sign {
            Sign::Impaired { .. } => (
                format!("impaired:{instance}"),
                "our own health check decides whether it is replaced; without one, or sooner",
            ),
            Sign::Event { .. } => (
                format!("event:{instance}"),
                "when AWS has ended it, it is replaced; at a time of your own",
            ),
        };
        let text = format!("{instance}: {sign}; {advice}, `tidegate terminate {instance}`");
        stays.then(|| Concern::new(key, Some(&record.fleet), text))
    };
    warnings.iter().filter_map(concern).collect()
}
