//! Whoever may write the policy file, or replace it in its folder, may launch and end servers. That
//! is to be root and the daemon's own user, and nobody else.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const ROOT: u32 = 0;
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;
/// In such a folder nobody replaces what is somebody else's.
const STICKY: u32 = 0o1000;

/// More links than that are a circle, and the file cannot be read anyhow.
const LINKS_AT_MOST: usize = 16;

/// Each way in which others can write the policy file at `path`, in words: the file, the folder it is
/// in, and the same again behind each link. Empty when there is none, or no such file.
pub fn writers(path: &Path) -> Vec<String> {
    let us = us();
    let mut found = Vec::new();
    let mut place = path.to_owned();
    for _ in 0..LINKS_AT_MOST {
        if let Ok(meta) = std::fs::metadata(folder(&place)) {
            found.extend(judge(&folder(&place), &Rights::of(&meta), us));
        }
        let Ok(next) = std::fs::read_link(&place) else { break };
        place = folder(&place).join(next);
    }
    if let Ok(meta) = std::fs::metadata(path) {
        found.extend(judge(&place, &Rights::of(&meta), us));
    }
    found.dedup();
    found
}

/// Names the first way in which another user may write in the directory at `path`, with the remedy.
///
/// The owner must be this user or root. A sticky bit or the owner's own group is no excuse: the files
/// in the directory decide over servers.
///
/// # Errors
///
/// Fails where the directory cannot be looked at.
pub fn other_writer(path: &Path) -> std::io::Result<Option<String>> {
    let rights = Rights::of(&std::fs::metadata(path)?);
    Ok(judge_private(path, &rights, us().0))
}

fn judge_private(path: &Path, rights: &Rights, us: u32) -> Option<String> {
    let (owner, shown) = (rights.owner.0, path.display());
    let mode = rights.mode & 0o7777;
    if owner != ROOT && owner != us {
        Some(format!(
            "{shown} belongs to user {owner}: run tidegate as that user, or chown the directory"
        ))
    } else if mode & (GROUP_WRITES | ALL_WRITE) != 0 {
        let writers = if mode & ALL_WRITE != 0 { "every user" } else { "its group" };
        Some(format!(
            "{shown} can be written by {writers} (mode {mode:04o}), so its journal cannot be trusted: \
             chmod go-w {shown}"
        ))
    } else {
        None
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    }
}

/// A user and a group by number.
pub(super) type Owner = (u32, u32);

pub(super) struct Rights {
    pub(super) owner: Owner,
    pub(super) mode: u32,
    is_folder: bool,
}

impl Rights {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self { owner: (meta.uid(), meta.gid()), mode: meta.mode(), is_folder: meta.is_dir() }
    }
}

/// This process; where the kernel does not tell, root, so that rather too much is told than too
/// little.
pub(super) fn us() -> Owner {
    std::fs::metadata("/proc/self").map_or((ROOT, ROOT), |meta| (meta.uid(), meta.gid()))
}

fn judge(path: &Path, rights: &Rights, us: Owner) -> Option<String> {
    let Rights { owner: (user, group), mode, is_folder } = *rights;
    let safe = is_folder && mode & STICKY != 0;
    let who = if user != ROOT && user != us.0 {
        format!("user {user}, whose it is")
    } else if mode & ALL_WRITE != 0 && !safe {
        "everybody".to_owned()
    } else if mode & GROUP_WRITES != 0 && !safe && group != ROOT && group != us.1 {
        format!("group {group}")
    } else {
        return None;
    };
    let (mode, path) =
        (mode & 0o7777, tidegate_engine::model::fault::printable(&path.to_string_lossy(), 200));
    Some(format!("{path} can be written by {who} (mode {mode:04o})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_our_own_user_and_group_are_to_write() {
        let us = (500, 600);
        let told = |owner, mode, is_folder| {
            judge(Path::new("p"), &Rights { owner, mode, is_folder }, us).unwrap_or_default()
        };
        for good in [
            ((0, 0), 0o100_664, false),
            ((500, 600), 0o100_660, false),
            ((0, 600), 0o100_660, false),
            ((500, 0), 0o40_770, true),
            // Readable by all, and by a strange group.
            ((0, 7), 0o100_644, false),
            // As /tmp is.
            ((0, 0), 0o41_777, true),
        ] {
            assert_eq!(told(good.0, good.1, good.2), "");
        }
        let bad = [
            (((0, 0), 0o100_646, false), "p can be written by everybody (mode 0646)"),
            (((0, 0), 0o40_777, true), "p can be written by everybody (mode 0777)"),
            (((0, 7), 0o100_664, false), "p can be written by group 7 (mode 0664)"),
            (((500, 7), 0o40_775, true), "p can be written by group 7 (mode 0775)"),
            (((7, 0), 0o100_400, false), "p can be written by user 7, whose it is (mode 0400)"),
            (((7, 0), 0o41_755, true), "p can be written by user 7, whose it is (mode 1755)"),
            // A sticky bit on a file means nothing.
            (((0, 0), 0o101_666, false), "p can be written by everybody (mode 1666)"),
        ];
        for ((owner, mode, is_folder), expected) in bad {
            assert_eq!(told(owner, mode, is_folder), expected);
        }
    }

    #[test]
    fn private_directory_is_written_by_owner_only() {
        let (us, path) = (500, Path::new("p"));
        let told = |owner, mode| {
            judge_private(path, &Rights { owner, mode, is_folder: true }, us).unwrap_or_default()
        };
        for (owner, mode) in [((500, 7), 0o40_700), ((0, 0), 0o40_755), ((500, 500), 0o40_750)] {
            assert_eq!(told(owner, mode), "");
        }
        for (owner, mode, expected) in [
            (
                (500, 500),
                0o40_775,
                "p can be written by its group (mode 0775), so its journal cannot be trusted: chmod go-w p",
            ),
            (
                (0, 0),
                0o41_777,
                "p can be written by every user (mode 1777), so its journal cannot be trusted: chmod go-w p",
            ),
            (
                (500, 0),
                0o40_702,
                "p can be written by every user (mode 0702), so its journal cannot be trusted: chmod go-w p",
            ),
            (
                (7, 500),
                0o40_700,
                "p belongs to user 7: run tidegate as that user, or chown the directory",
            ),
        ] {
            assert_eq!(told(owner, mode), expected);
        }
    }

    #[test]
    fn the_file_its_folder_and_what_is_behind_a_link_are_looked_at() {
        use std::fs::{Permissions, create_dir_all, set_permissions, write};
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let base = std::env::temp_dir().join(format!("tidegate-writers-{}", std::process::id()));
        let (near, far) = (base.join("near"), base.join("far"));
        let (link, file) = (near.join("policies.yaml"), far.join("real.yaml"));
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        create_dir_all(&near).unwrap();
        create_dir_all(&far).unwrap();
        write(&file, "version: 1\n").unwrap();
        symlink("../far/real.yaml", &link).unwrap();
        mode(&near, 0o755);
        mode(&far, 0o755);
        mode(&file, 0o644);
        assert_eq!(writers(&link), Vec::<String>::new());
        assert_eq!(writers(&base.join("none")), Vec::<String>::new());
        for (opened, shut) in [(&near, 0o755), (&far, 0o755), (&file, 0o644)] {
            mode(opened, shut | 0o002);
            let found = writers(&link);
            assert_eq!(found.len(), 1, "{found:?}");
            let name = opened.file_name().unwrap().to_str().unwrap();
            let expected = format!("{name} can be written by everybody");
            assert!(found[0].contains(&expected), "{found:?}");
            mode(opened, shut);
        }
        std::fs::remove_dir_all(&base).unwrap();
    }
}
