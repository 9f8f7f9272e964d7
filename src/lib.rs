//! tidegate keeps the right number of EC2 servers running: by the clock for app servers, by the
//! queue for job servers.
//!
//! One tick: observe, decide, plan, record the intent, act, record the outcome. The modules below
//! stand in reading order; `docs/architecture.md` is the map.

pub mod model;
pub mod policy;
pub mod ports;
