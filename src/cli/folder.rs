//! A temporary folder for the journal of a simulated world, removed with its value.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use tempfile::TempDir;

use super::Failure;

/// Makes a folder that only this user can look into. Its name cannot be foreseen, so another user
/// of the host cannot make it first.
pub(super) fn private(purpose: &str) -> Result<TempDir, Failure> {
    let made = tempfile::Builder::new()
        .prefix(&format!("tidegate-{purpose}-"))
        .permissions(Permissions::from_mode(0o700))
        .tempdir();
    Ok(made.context("failed to make a temporary folder")?)
}
