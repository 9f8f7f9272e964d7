//! The file in which it stands what was told and what waits. Replaced whole, for its owner alone.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::book::Book;
use super::outbox::Outbox;
use crate::custody::{Accept, read_named};

/// Its name in the state directory.
pub const FILE: &str = "notices.json";

const FORMAT_VERSION: u32 = 1;

/// Larger than any that is written.
const BYTES_AT_MOST: u64 = 16 << 20;

/// What outlives the process, of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) book: Book,
    pub(super) outbox: Outbox,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format_version: u32,
    routes: BTreeMap<String, Kept>,
}

/// What was kept; nothing if there is no such file. One that cannot be understood is an error, and
/// costs that open problems are told once more.
pub(super) async fn load(path: &Path) -> Result<BTreeMap<String, Kept>, String> {
    let path = path.to_owned();
    let read = move || read_named(&path, BYTES_AT_MOST, Accept::RegularFiles);
    let file = match tokio::task::spawn_blocking(read).await.map_err(io::Error::other).flatten() {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    let document: Document =
        serde_json::from_slice(&file.bytes).map_err(|error| error.to_string())?;
    if document.format_version != FORMAT_VERSION {
        return Err(format!("its format is {}, not {FORMAT_VERSION}", document.format_version));
    }
    Ok(document.routes)
}

pub(super) async fn save(path: &Path, routes: BTreeMap<String, Kept>) -> io::Result<()> {
    let document = Document { format_version: FORMAT_VERSION, routes };
    let bytes = serde_json::to_vec(&document)?;
    let beside: PathBuf = path.with_extension("json.new");
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&beside).await?;
    file.write_all(&bytes).await?;
    file.sync_all().await?;
    drop(file);
    tokio::fs::rename(&beside, path).await
}
