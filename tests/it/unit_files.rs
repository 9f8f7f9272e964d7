//! The systemd unit, judged by systemd itself.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Tenths of systemd's exposure score, of which 100 is the worst.
const EXPOSURE_AT_MOST: &str = "--threshold=15";

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tidegate.service")
}

fn analyze(arguments: &[&str]) -> Output {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!(
            "systemd-analyze cannot be run ({error}); on Debian and Ubuntu it is in the package \
             `systemd`: apt-get install systemd"
        ),
    }
}

#[track_caller]
fn passes(output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
}

/// A directive's value.
fn says(key: &str) -> Option<String> {
    let text = fs::read_to_string(unit()).unwrap();
    let mut lines = text.lines();
    lines.find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
}

#[test]
fn systemd_understands_the_unit() {
    // systemd looks for the program too, which an uninstalled one fails: ours stands in for it.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unit");
    fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("tidegate.service");
    let text = fs::read_to_string(unit()).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/tidegate run\n"));
    fs::write(&copy, text.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"))).unwrap();
    let output = analyze(&["verify", copy.to_str().unwrap()]);
    passes(&output);
    // Of a key it does not know, it only warns.
    let said = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<&str> =
        said.lines().filter(|line| line.contains("tidegate.service")).collect();
    assert!(about_us.is_empty(), "{about_us:#?}");
}

#[test]
fn the_unit_is_hardened() {
    passes(&analyze(&["security", "--offline=true", EXPOSURE_AT_MOST, unit().to_str().unwrap()]));
}

#[test]
fn the_unit_and_the_daemon_agree() {
    assert_eq!(says("Type").as_deref(), Some("notify"));
    assert_eq!(says("NotifyAccess").as_deref(), Some("main"));
    assert_eq!(says("StateDirectory").as_deref(), Some("tidegate"));
    assert_eq!(says("RuntimeDirectory").as_deref(), Some("tidegate"));
    // The exit code of an invalid policy, as `--help` and docs/operations.md have it.
    assert_eq!(says("RestartPreventExitStatus").as_deref(), Some("78"));
    // The daemon gives its last calls 15 seconds.
    let stop: u32 = says("TimeoutStopSec").unwrap().parse().unwrap();
    assert!(stop > 15, "TimeoutStopSec={stop} would cut the last calls off");
}
