//! The state directory and its files: links, modes, and other users.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

#[tokio::test]
async fn files_are_for_the_owner_alone() {
    let folder = Folder::new("modes");
    let (_dir, opened) = folder.open();
    opened.store.commit(&[Change::Server(Arc::new(record("t-mode")))]).await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.0.clone()), 0o700);
    // The log holds what the database does.
    for name in [DATABASE, "state.db-wal", "state.db-shm", "tidegate.lock"] {
        assert_eq!(mode(folder.0.join(name)), 0o600, "{name}");
    }
}

#[test]
fn open_files_of_an_older_version_are_closed() {
    let folder = Folder::new("older-modes");
    let (dir, opened) = folder.open();
    let files = [DATABASE, "state.db-wal", "state.db-shm", "tidegate.lock"];
    for name in files {
        std::fs::set_permissions(folder.0.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    // Killed, so that SQLite leaves its log behind.
    drop(dir);
    let again = folder.open();
    for name in files {
        let mode = std::fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop((opened, again));
}

#[tokio::test]
async fn state_directory_behind_a_link_is_opened() {
    let folder = Folder::new("behind-a-link");
    // As systemd lays it for a dynamic user, and a link to a link.
    let (private, link, second) =
        (folder.0.join("private/tidegate"), folder.0.join("tidegate"), folder.0.join("second"));
    std::fs::create_dir_all(&private).unwrap();
    symlink("private/tidegate", &link).unwrap();
    symlink(&link, &second).unwrap();
    for path in [&link, &second] {
        let dir = StateDir::lock(path).unwrap();
        assert_eq!(dir.path(), private.canonicalize().unwrap());
        let opened = open(&dir, now()).unwrap();
        opened.store.commit(&[Change::Server(Arc::new(record("t-link")))]).await.unwrap();
    }
    assert!(private.join(DATABASE).exists());
}

#[test]
fn links_in_a_state_directory_are_named_and_refused() {
    let folder = Folder::new("planted");
    std::fs::create_dir_all(&folder.0).unwrap();
    let target = folder.0.join("target");
    std::fs::write(&target, "precious").unwrap();
    for name in ["tidegate.lock", DATABASE, "state.db-wal"] {
        let state = folder.0.join(format!("state-{name}"));
        std::fs::create_dir(&state).unwrap();
        symlink(&target, state.join(name)).unwrap();
        let refused = StateDir::lock(&state).and_then(|dir| open(&dir, now()).map(|_| ()));
        let why = refused.unwrap_err().to_string();
        let named = format!("{name} is a symbolic link to {}", target.display());
        assert!(why.contains(&named), "{why}");
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    }
    let dangling = folder.0.join("dangling");
    symlink("nowhere", &dangling).unwrap();
    let why = StateDir::lock(&dangling).unwrap_err().to_string();
    assert!(why.contains("dangling is a symbolic link to nowhere"), "{why}");
}

#[test]
fn state_directory_that_others_may_write_is_refused() {
    let folder = Folder::new("open-to-others");
    let set = |mode| std::fs::set_permissions(&folder.0, Permissions::from_mode(mode)).unwrap();
    std::fs::create_dir_all(&folder.0).unwrap();
    for mode in [0o770, 0o702, 0o1777] {
        set(mode);
        let why = StateDir::lock(&folder.0).unwrap_err().to_string();
        assert!(why.contains(&format!("mode {mode:04o}")) && why.contains("chmod go-w"), "{why}");
    }
    set(0o755);
    StateDir::lock(&folder.0).unwrap();
}
