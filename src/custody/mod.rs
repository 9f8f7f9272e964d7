//! The policy file as a file: when it is at rest and may be read, and who besides us may write it.

mod rest;
mod writers;

pub use self::rest::{AT_MOST, LOOK_EVERY, Look, Rest, Watched};
pub use self::writers::writers;
