//! One test binary: a suite a line.

mod swarm;
