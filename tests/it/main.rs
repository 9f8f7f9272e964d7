//! One binary for all integration tests: one link, one run. A suite is a module and a line here.

mod swarm;
mod tidy;
mod unit_files;
