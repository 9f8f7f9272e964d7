//! What a state directory stands on. SQLite's journal needs locks and shared memory that hold, and over
//! a network they do not: two hosts might both have it.

use std::path::Path;

use nix::sys::statfs::statfs;

/// `statfs` numbers of file systems on other hosts, as Linux has them in `linux/magic.h` and beside
/// their drivers.
const ELSEWHERE: [(i64, &str); 8] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
];

/// Refuses a network file system.
pub(super) fn firm(dir: &Path) -> Result<(), String> {
    let on =
        statfs(dir).map_err(|error| format!("failed to look at {}: {error}", dir.display()))?;
    match elsewhere(on.filesystem_type().0) {
        Some(kind) => Err(format!(
            "{} is on a network file system ({kind}), where the journal is not safe: give --state-dir a directory on a disk of this host",
            dir.display()
        )),
        None => Ok(()),
    }
}

fn elsewhere(number: impl Into<i64>) -> Option<&'static str> {
    // The numbers have 32 bits, and some have the last of them set.
    let number = number.into() & 0xffff_ffff;
    ELSEWHERE.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_no_ground_for_a_journal() {
        assert_eq!(elsewhere(0x6969), Some("NFS"));
        assert_eq!(elsewhere(-11_317_950_i64), Some("CIFS"), "with its sign");
        for local in [0xef53_i64, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(elsewhere(local), None, "{local:x}");
        }
        firm(Path::new("/tmp")).unwrap();
        assert!(firm(Path::new("/nonexistent")).is_err());
    }
}
