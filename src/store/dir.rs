//! The state directory: found behind links, closed to other users, held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::ground;
use crate::custody;
use crate::ports::StoreFault;

const LOCK: &str = "tidegate.lock";

/// Proof that no other process uses the state directory. The lock ends with the value, or with the
/// process, however that ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory if there is none, for its owner alone, and takes its lock.
    ///
    /// # Errors
    ///
    /// Fails for a directory on a network file system, one that other users may write, and one that
    /// another process holds; the error names that process.
    pub fn lock(path: &Path) -> Result<Self, StoreFault> {
        let shown = path.display();
        let failed = |what: &str, error: std::io::Error| {
            StoreFault::Failed(format!("{what} {shown}: {error}"))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
            match (error.kind(), std::fs::read_link(path)) {
                (ErrorKind::AlreadyExists, Ok(target)) => StoreFault::Failed(format!(
                    "{shown} is a symbolic link to {}, which is no directory: make that directory, \
                     or remove the link",
                    target.display()
                )),
                (_, _) => failed("failed to make", error),
            }
        })?;
        // systemd's StateDirectory= is a link for a dynamic user. SQLite opens no file behind a link,
        // so the directory is known by its real name from here on.
        let path = path.canonicalize().map_err(|error| failed("failed to find", error))?;
        ground::firm(&path).map_err(StoreFault::Failed)?;
        if let Some(writer) =
            custody::other_writer(&path).map_err(|error| failed("failed to look at", error))?
        {
            return Err(StoreFault::Failed(writer));
        }
        let file = path.join(LOCK);
        let mut lock = private_file(&file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).ok();
                return Err(StoreFault::Failed(format!(
                    "{shown} is in use by another tidegate (process {}); stop it first",
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed("failed to lock", error)),
        }
        let id = std::process::id().to_string();
        let named = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(id.as_bytes()));
        named.map_err(|error| failed("failed to write to", error))?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory itself, with no link in its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that holds the lock.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    /// Creates the file if there is none, and closes it to other users in any case. A file must be
    /// closed before it holds anything: SQLite gives its log the mode of the database.
    pub(super) fn close_to_others(&self, name: &str, create: bool) -> Result<(), StoreFault> {
        let path = self.path.join(name);
        if !create && path.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        private_file(&path).map(|_| ())
    }
}

/// Opens a file of the state directory, for its owner alone; creates it if there is none.
fn private_file(path: &Path) -> Result<File, StoreFault> {
    let shown = path.display();
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let file = opened.map_err(|error| {
        let target = std::fs::read_link(path);
        match (error.raw_os_error().map(Errno::from_raw), target) {
            (Some(Errno::ELOOP), Ok(target)) => StoreFault::Failed(format!(
                "{shown} is a symbolic link to {}, and is not followed: put the file itself there, \
                 or give --state-dir the directory that it is in",
                target.display()
            )),
            (_, _) => StoreFault::Failed(format!("failed to open {shown}: {error}")),
        }
    })?;
    let failed =
        |error: std::io::Error| StoreFault::Failed(format!("failed to protect {shown}: {error}"));
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(StoreFault::Failed(format!("{shown} is not a regular file: remove it")));
    }
    if metadata.permissions().mode() & 0o7777 != 0o600 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    }
    Ok(file)
}
