//! The socket's file: opened where no other daemon answers, made again when it is deleted, and
//! removed at the end only if it is still this daemon's.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::serve::Listener;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long another daemon may take to accept a connection.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Only the owner and the group may connect.
const MODE: u32 = 0o660;

/// A listening socket, and the file by which clients find it.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
    look: Interval,
}

/// The file of this daemon's socket. It is removed when the value is dropped, unless another file
/// took its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// What was last reported of a file that is gone or replaced.
    reported: Option<String>,
}

impl AdminSocket {
    /// Opens the socket at `path`, and replaces a file that a killed daemon left behind.
    ///
    /// # Errors
    ///
    /// Fails where another daemon answers, and where the path leads to anything but a socket.
    pub async fn bind(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("failed to make the folder of {shown}"))?;
        }
        remove_stale(path).await?;
        let (listener, identity) = open(path).with_context(|| format!("failed to open {shown}"))?;
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let file = SocketFile { path: path.to_owned(), identity, reported: None };
        Ok(Self { listener, file, look })
    }

    /// Makes the file again if it is gone, and reports what happened to it, once.
    async fn look(&mut self) {
        let shown = self.file.path.display();
        match std::fs::symlink_metadata(&self.file.path) {
            Ok(found) if identity(&found) == self.file.identity => self.file.reported = None,
            Ok(_) => {
                let text = format!(
                    "{shown} was replaced by another file: `tidegate status` and orders do not \
                     reach this daemon; remove that file, and the socket is made again"
                );
                self.file.report(text);
            }
            Err(_) => match Self::bind(&self.file.path).await {
                Ok(anew) => {
                    info!("{shown} was deleted, and is made again");
                    // The old file is gone, so dropping its value removes nothing.
                    *self = anew;
                }
                Err(error) => {
                    let text = format!("{shown} was deleted, and cannot be made again: {error:#}");
                    self.file.report(text);
                }
            },
        }
    }
}

impl Listener for AdminSocket {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = Listener::accept(&mut self.listener) => return accepted,
                _ = self.look.tick() => {}
            }
            self.look().await;
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl SocketFile {
    fn report(&mut self, text: String) {
        if self.reported.as_ref() != Some(&text) {
            warn!("{text}");
            self.reported = Some(text);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |found: &Metadata| identity(found) == self.identity;
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| ours(&found)) {
            // A file that stays behind is found to be stale by the next start.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Listens at a path where there is no file.
fn open(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    Ok((listener, identity(&std::fs::symlink_metadata(path)?)))
}

/// Removes the file of a daemon that is gone.
async fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("failed to look at {shown}")),
    };
    if !found.file_type().is_socket() {
        return Err(anyhow!(
            "{shown} is not a socket, so it is left alone: remove it, or name another path with \
             --socket"
        ));
    }
    match timeout(ANSWERS_WITHIN, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {}
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // A queue of connections that is full has a listener behind it.
        Ok(Err(error)) if error.kind() != ErrorKind::WouldBlock => {
            return Err(error).with_context(|| {
                format!(
                    "failed to ask whether another daemon answers at {shown} (name another path \
                     with --socket)"
                )
            });
        }
        Ok(_) | Err(_) => {
            return Err(anyhow!(
                "another daemon answers at {shown}: stop it first, or name another path with \
                 --socket"
            ));
        }
    }
    let still = std::fs::symlink_metadata(path).map(|now| identity(&now));
    if still.is_ok_and(|still| still == identity(&found)) {
        std::fs::remove_file(path).with_context(|| format!("failed to replace {shown}"))?;
    }
    Ok(())
}
