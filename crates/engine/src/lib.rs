//! The engine of tidegate: from what is known to what should be done.
//!
//! One evaluation takes the policy, the journal's picture and an observation. `state` computes what is
//! true now, `decide` how many servers each fleet should have and which of them go, and `plan` which
//! calls that takes. All of it is pure: no I/O, no clock and no randomness, so that the daemon, the
//! simulator and the command line decide alike.

pub mod model;
pub mod policy;
pub mod state;
mod defect;
pub mod decide;
pub mod plan;
pub mod evaluate;
