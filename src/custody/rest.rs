//! A file that is being written may be a valid one at any moment: half of a list of fleets is a list
//! of fleets. So it is read once nobody has written to it for a while.

use std::path::Path;
use std::time::{Duration, SystemTime};

use std::os::unix::fs::MetadataExt as _;

/// How long a file must look the same to be at rest. A copy over a network pauses for less.
const STILL: Duration = Duration::from_secs(1);

/// How often to look meanwhile.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often to look for changes that no event tells of: a link that leads elsewhere, a folder that was
/// replaced.
pub const CHECK_EVERY: Duration = Duration::from_secs(2);

/// After so long without rest a person is told.
pub const AT_MOST: Duration = Duration::from_secs(30);

/// What a file looks like from outside. Whoever writes to it changes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    length: u64,
    written: Option<SystemTime>,
    device: u64,
    inode: u64,
}

impl Look {
    /// Looks at the file behind all links; `None` where there is none.
    pub fn at(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            length: meta.len(),
            written: meta.modified().ok(),
            device: meta.dev(),
            inode: meta.ino(),
        })
    }
}

/// What one more look at the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    AtRest,
    Moving,
    /// For so long that somebody must be told. It may come to rest all the same.
    Restless,
}

/// Looks at a file until it is at rest. It has no clock: whoever looks says how much later.
#[derive(Debug, Clone)]
pub struct Rest {
    last: Option<Look>,
    still: Duration,
    waited: Duration,
}

impl Rest {
    pub fn begin(look: Option<Look>) -> Self {
        Self { last: look, still: Duration::ZERO, waited: Duration::ZERO }
    }

    /// How it looks `later` than at the last look.
    pub fn look(&mut self, look: Option<Look>, later: Duration) -> Watched {
        self.waited = self.waited.saturating_add(later);
        self.still = if look == self.last {
            self.still.saturating_add(later)
        } else {
            self.last = look;
            Duration::ZERO
        };
        if self.still >= STILL {
            Watched::AtRest
        } else if self.waited >= AT_MOST {
            Watched::Restless
        } else {
            Watched::Moving
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;

    fn look(length: u64, at: u64) -> Look {
        let written = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        Look { length, written, device: 1, inode: 1 }
    }

    /// What each look says, and how long it took until the last of them.
    fn watch(looks: impl IntoIterator<Item = Option<Look>>) -> (Watched, Duration) {
        let mut looks = looks.into_iter();
        let mut rest = Rest::begin(looks.next().unwrap());
        let mut took = Duration::ZERO;
        let mut said = Watched::Moving;
        for look in looks {
            assert_ne!(said, Watched::AtRest, "it is read at the first rest");
            took += LOOK_EVERY;
            said = rest.look(look, LOOK_EVERY);
        }
        (said, took)
    }

    #[test]
    fn a_file_is_at_rest_once_it_has_looked_the_same_for_a_second() {
        let second = Duration::from_secs(1);
        assert_eq!(watch([Some(look(7, 0)); 6]), (Watched::AtRest, second));
        assert_eq!(watch([Some(look(7, 0)); 5]).0, Watched::Moving);
        // Gone, and it stays gone.
        assert_eq!(watch([None; 6]), (Watched::AtRest, second));
        // It grows, and then it is written over without growing: the second begins anew each time.
        let grows = [look(7, 0), look(8, 0), look(8, 0), look(8, 0), look(8, 0), look(8, 1)];
        let still = |n| watch(grows.into_iter().chain(repeat_n(look(8, 1), n)).map(Some)).0;
        assert_eq!(still(4), Watched::Moving);
        assert_eq!(still(5), Watched::AtRest);
    }

    #[test]
    fn a_file_that_is_written_for_ever_is_told_of_and_read_when_it_rests() {
        let looks = |n: u64| (0..=n).map(|n| Some(look(n, n)));
        assert_eq!(watch(looks(149)).0, Watched::Moving);
        assert_eq!(watch(looks(150)), (Watched::Restless, AT_MOST));
        let rests = looks(160).chain([Some(look(160, 160)); 5]);
        assert_eq!(watch(rests).0, Watched::AtRest);
    }

    #[test]
    fn whoever_writes_to_a_file_changes_its_look() {
        let path = std::env::temp_dir().join(format!("tidegate-look-{}", std::process::id()));
        assert_eq!(Look::at(&path), None);
        std::fs::write(&path, "a").unwrap();
        let first = Look::at(&path);
        assert!(first.is_some() && first == Look::at(&path));
        std::fs::write(&path, "ab").unwrap();
        let second = Look::at(&path);
        assert_ne!(first, second);
        // Replaced by one of the same length and time.
        let other = path.with_extension("new");
        std::fs::write(&other, "cd").unwrap();
        let file = std::fs::File::options().write(true).open(&other).unwrap();
        file.set_modified(second.unwrap().written.unwrap()).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(second, Look::at(&path));
        std::fs::remove_file(&path).unwrap();
    }
}
