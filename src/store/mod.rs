//! Ports in terms of SQL, and of memory.

pub mod memory;
