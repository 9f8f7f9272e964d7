//! One evaluation: policy, ledger and observation in, decisions and plan out. Pure.
//!
//! The daemon's tick calls [`evaluate()`] on what it has observed. `tidegate decide`, the shadow, the
//! replay of a journal and the benches call it through an [`Evaluator`], which turns a [`Snapshot`]
//! into the same ledger and observation. There is no second path.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]

mod evaluator;
mod facts;
mod remember;
mod replay;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::decide;
use crate::model::decision::Decision;
use crate::model::fleet::FleetName;
use crate::model::ledger::{Change, Ledger};
use crate::model::observation::Observation;
use crate::model::plan::Plan;
use crate::model::roster::Roster;
use crate::plan::{audit, plan};
use crate::policy::Policy;
use crate::state;

pub use self::evaluator::{Answer, Evaluator};
pub use self::remember::remember;
pub use self::replay::{Difference, Replayed, reckoned_again, replay};
pub use self::snapshot::{FleetSnapshot, Inventory, ServerSnapshot, ServerState, Snapshot};

/// What follows from one observation.
#[derive(Debug)]
pub struct Evaluation {
    /// The facts that the observation adds to the journal. The ledger has them already.
    pub noted: Vec<Change>,
    pub roster: Roster,
    pub decisions: BTreeMap<FleetName, Decision>,
    /// The plan, without the steps of a fleet whose plan breaks a rule of the audit.
    pub plan: Plan,
}

/// Evaluates one observation. What it adds to the journal is applied to `ledger`.
pub fn evaluate(policy: &Policy, ledger: &mut Ledger, seen: &Observation) -> Evaluation {
    let noted = state::note(policy, ledger, seen);
    for change in &noted {
        ledger.apply(change);
    }
    let roster = state::derive(policy, ledger, seen);
    let decisions = decide::all(policy, &roster);
    let mut plan = plan(policy, &roster, &decisions);
    let violations = audit::audit(policy, &roster, &decisions, &plan);
    debug_assert!(violations.is_empty(), "a plan broke a rule: {violations:?}");
    audit::enforce(&mut plan, &violations);
    Evaluation { noted, roster, decisions, plan }
}
