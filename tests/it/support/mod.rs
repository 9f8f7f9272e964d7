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
use std::time::{Duration, Instant};

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

/// How long an edge of [`edges`] may be away, with the tick that follows it.
pub(crate) const EDGE: Duration = Duration::from_secs(110);

/// A schedule by the wall clock of `zone`: the first capacity stands now, the second from an edge
/// 20 to 80 seconds away, the third a minute later.
pub(crate) fn edges(zone: &str, capacities: [u32; 3]) -> String {
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let now = tidegate::model::time::Timestamp::now().to_zoned(zone);
    let first = if now.second() < 40 { 1 } else { 2 };
    let mut lines = "    schedule:\n".to_owned();
    for (minutes, capacity) in [-1, first, first + 1].into_iter().zip(capacities) {
        let at = now.checked_add(jiff::Span::new().minutes(minutes)).unwrap();
        let (minute, hour) = (at.minute(), at.hour());
        lines += &format!("      - {{ cron: \"{minute} {hour} * * *\", capacity: {capacity} }}\n");
    }
    lines
}

/// Looks every 50 ms until `look` finds something, for a bounded time.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
