//! Telemetry over OTLP, as a collector sees it: the library, and the built binary.

mod collector;
#[cfg(feature = "aws")]
mod daemon;
mod samples;
mod tick;
