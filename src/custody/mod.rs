//! Files that matter by who else may touch them: the policy, when it is at rest and may be read, and
//! who besides us may write it; secrets, and who besides us may read them.

mod rest;
mod secret;
mod writers;

pub use self::rest::{AT_MOST, LOOK_EVERY, Look, Rest, Watched};
pub use self::secret::{Secret, secret};
pub use self::writers::writers;
