//! tidegate keeps the right number of EC2 servers running: by the clock for app servers, by the
//! queue for job servers.
//!
//! One tick: observe, decide, plan, record the intent, act, record the outcome. The modules below
//! stand in reading order; `docs/architecture.md` is the map.

pub mod ports;
pub mod observe;
pub mod record;
pub mod act;
pub mod tick;
#[cfg(feature = "aws")]
pub mod aws;
pub mod probe;
pub mod store;
pub mod prices;
pub mod sim;
pub mod shadow;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod chart;
pub mod story;
pub mod custody;
pub mod notices;
pub mod daemon;
pub mod door;
pub mod admin;
pub mod web;
pub mod telemetry;
pub mod settings;
pub mod cli;
