//! Files that matter by who else may touch them: the policy, when it is at rest and may be read, and
//! who besides us may write it; secrets, and who besides us may read them.

mod named;
mod rest;
mod secret;
mod writers;

use nix::sys::stat::{Mode, umask};

pub use self::named::{Accept, NamedFile, read_named, read_named_text};
pub use self::rest::{AT_MOST, CHECK_EVERY, LOOK_EVERY, Look, Rest, Watched};
pub use self::secret::{Secret, secret};
pub use self::writers::{other_writer, writers};

/// Makes every file that this process creates from now on private to its user. State files hold
/// user data of instances, and SQLite creates some of them itself.
pub fn close_new_files() {
    umask(Mode::from_bits_truncate(0o077));
}
