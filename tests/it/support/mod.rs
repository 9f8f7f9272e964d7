//! What the suites share: the built binary as a process, an imagined cloud to run it against, and
//! moto.

pub(crate) mod binary;
pub(crate) mod cloud;
pub(crate) mod http;
pub(crate) mod moto;
pub(crate) mod proxy;
#[cfg(feature = "aws")]
pub(crate) mod terminal;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_engine::model::time::Timestamp;

pub(crate) use crate::hang::{HANG, output, output_of, wait_for, wait_or_tell};

/// A folder of its own for each test, gone with it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidegate-it-{}-{n}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A schedule by the wall clock of `zone`: `before` stands now, and `after` from an edge 20 to 80
/// seconds away. Returns the schedule and the edge.
pub(crate) fn edge(zone: &str, before: u32, after: u32) -> (String, Timestamp) {
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::get(zone).unwrap());
    let minute = now.with().second(0).subsec_nanosecond(0).build().unwrap();
    let minute_at = |ahead: i64| minute.checked_add(jiff::Span::new().minutes(ahead)).unwrap();
    let edge = minute_at(if now.second() < 40 { 1 } else { 2 });
    let mut lines = "    schedule:\n".to_owned();
    for (at, capacity) in [(minute_at(-1), before), (edge.clone(), after)] {
        let (minute, hour) = (at.minute(), at.hour());
        lines += &format!("      - {{ cron: \"{minute} {hour} * * *\", capacity: {capacity} }}\n");
    }
    (lines, edge.timestamp())
}
