//! A folder for the journal of an imagined world, gone with it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Failure;

pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(what: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("tidegate-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind at worst: a folder in the folder for temporary things.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
