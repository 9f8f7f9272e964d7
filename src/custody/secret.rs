//! Secrets: files that one name leads to, and that nobody else reads. A value is in no text of ours.

use std::fmt;
use std::path::{Path, PathBuf};

use super::named::{Accept, read_named};
use super::writers::{Rights, us};
use tidegate_engine::model::fault::printable;

/// No key or URL is longer.
const BYTES_AT_MOST: u64 = 8192;

const GROUP_WRITES: u32 = 0o020;
const ALL: u32 = 0o007;

/// The value of a secret. It prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The secret `name`: a file of that name in the first of `dirs` that has one, or an absolute path.
/// Refused while others than its owner and group can read it. Read anew each time, so that a changed
/// secret needs no restart.
pub fn secret(dirs: &[PathBuf], name: &str) -> Result<Secret, String> {
    let shown = printable(name, 60);
    let path = if Path::new(name).is_absolute() {
        PathBuf::from(name)
    } else {
        let places = || dirs.iter().map(|dir| dir.join(name));
        places().find(|path| path.exists()).ok_or_else(|| {
            let places: Vec<String> = places().map(|path| path.display().to_string()).collect();
            format!("secret {shown} is neither of {}", places.join(", "))
        })?
    };
    let failed = |why: String| format!("secret {shown}: {why}");
    let file = read_named(&path, BYTES_AT_MOST, Accept::RegularFiles)
        .map_err(|error| failed(format!("{}: {error}", path.display())))?;
    if let Some(why) = judge(&Rights::of(&file.metadata)) {
        return Err(failed(format!("{} {why}", path.display())));
    }
    let text =
        String::from_utf8(file.bytes).map_err(|_| failed("the file is not text".to_owned()))?;
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(failed("the file is empty".to_owned()));
    }
    if value.chars().any(char::is_control) {
        return Err(failed("the file has more than one line, or a control character".to_owned()));
    }
    Ok(Secret(value.to_owned()))
}

/// What is wrong with the rights to a secret's file.
fn judge(rights: &Rights) -> Option<&'static str> {
    let (owner, us) = (rights.owner.0, us().0);
    if rights.mode & ALL != 0 {
        return Some("can be read or written by anybody on this host: chmod 0640 it");
    }
    if rights.mode & GROUP_WRITES != 0 {
        return Some("can be written by its group: chmod 0640 it");
    }
    (owner != us && owner != 0).then_some("belongs to somebody else: chown it to root")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn put(dir: &Path, name: &str, text: &str, mode: u32) {
        std::fs::create_dir_all(dir).unwrap();
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_is_one_line_that_no_stranger_reads() {
        let dir = std::env::temp_dir().join(format!("tidegate-secret-{}", std::process::id()));
        let (first, second) = (dir.join("first"), dir.join("second"));
        let dirs = [first.clone(), second.clone()];
        let read = |name: &str| secret(&dirs, name).map(|secret| secret.reveal().to_owned());
        put(&second, "hook", "http://h/x\n", 0o640);
        assert_eq!(read("hook").unwrap(), "http://h/x");
        put(&first, "hook", "http://first/", 0o400);
        assert_eq!(read("hook").unwrap(), "http://first/", "the credentials directory comes first");
        assert_eq!(read(second.join("hook").to_str().unwrap()).unwrap(), "http://h/x");
        for (mode, why) in [(0o644, "anybody"), (0o642, "anybody"), (0o660, "its group")] {
            put(&second, "open", "geheim", mode);
            let error = read("open").unwrap_err();
            assert!(error.contains(why) && !error.contains("geheim"), "{mode:o}: {error}");
        }
        for (name, text, why) in [
            ("none", "\n", "empty"),
            ("two", "a\nb\n", "one line"),
            ("long", "", "larger than 8 KiB"),
        ] {
            let text = if name == "long" { "x".repeat(9000) } else { text.to_owned() };
            put(&second, name, &text, 0o600);
            let error = read(name).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        assert!(read("nowhere").unwrap_err().contains("second/nowhere"));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Some(Secret("geheim".to_owned()))), "Some(…)");
    }
}
