//! Nouns: every value the stages of a tick pass to one another. Imports nothing of ours, does no
//! I/O, reads no clock; nothing here is serialisable (each border has its own shape).
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]

pub mod account;
pub mod address;
pub mod balancer;
pub mod boots;
pub mod busy;
pub mod capacity;
pub mod decision;
pub mod drain;
pub mod fault;
pub mod fleet;
pub mod history;
pub mod instance;
pub mod launch;
pub mod ledger;
pub mod observation;
pub mod offering;
pub mod phase;
pub mod placeholder;
pub mod plan;
pub mod problem;
pub mod rate;
pub mod reading;
pub mod retirement;
pub mod roster;
pub mod season;
pub mod server;
pub mod servers;
pub mod shadow;
pub mod sight;
pub mod time;
pub mod volume;
pub mod warning;
pub mod work;
