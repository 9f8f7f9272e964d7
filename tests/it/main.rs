//! One binary for all integration tests: one link, one run. A suite is a module and a line here.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests of processes wait by the real clock")]

mod adopted;
#[cfg(feature = "aws")]
mod ask;
#[cfg(feature = "aws")]
mod attended;
#[cfg(feature = "aws")]
mod cli;
#[cfg(feature = "aws")]
mod disk;
#[cfg(feature = "aws")]
mod documents;
mod drain;
mod evaluator;
#[cfg(feature = "aws")]
mod failing_launches;
#[cfg(feature = "net")]
mod field_map;
mod hang;
#[cfg(feature = "aws")]
mod init;
#[cfg(feature = "aws")]
mod metrics;
#[cfg(feature = "aws")]
mod moto;
#[cfg(feature = "aws")]
mod named_files;
#[cfg(feature = "aws")]
mod network;
#[cfg(feature = "aws")]
mod process;
#[cfg(feature = "aws")]
mod scale;
mod next;
#[cfg(feature = "net")]
mod notices;
#[cfg(feature = "otlp")]
mod otlp;
mod offerings;
mod page;
#[cfg(feature = "aws")]
mod patrol;
#[cfg(feature = "aws")]
mod preflight;
mod policy_tests;
mod prices;
mod recorded;
mod browser;
mod crash;
mod dashboard;
mod door;
#[cfg(feature = "aws")]
mod endless;
mod scenario;
mod schema;
#[cfg(feature = "aws")]
mod shadow;
#[cfg(feature = "aws")]
mod sockets;
#[cfg(feature = "aws")]
mod support;
mod swarm;
#[cfg(feature = "aws")]
mod tagging;
mod tidy;
mod tidy_imports;
mod tidy_metrics;
mod tidy_documents;
mod tidy_reliability;
#[cfg(feature = "aws")]
mod told;
#[cfg(feature = "aws")]
mod topics;
mod unit_files;
#[cfg(feature = "aws")]
mod wire;
