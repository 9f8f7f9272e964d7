//! Where things are: flags and environment, read once. Nothing here is policy.
#![expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

#[derive(Clone)]
pub struct Settings {
    pub config: PathBuf,
    pub state_dir: PathBuf,
    pub socket: PathBuf,
    /// The socket that `--socket` names, where it does.
    pub socket_named: Option<PathBuf>,
    /// The AWS region of the environment, for policies that name none.
    pub region: Option<String>,
    /// Where secrets are looked for, in order.
    pub secret_dirs: Vec<PathBuf>,
    /// Who is at the keyboard, for the record of overrides.
    pub user: String,
    /// Whether stderr goes to the journal.
    pub under_systemd: bool,
    /// Colour is not wanted.
    pub plain: bool,
    /// The terminal can only be written to, line by line.
    pub dumb: bool,
    /// The standard variables of OpenTelemetry that are set, by name.
    pub otel: BTreeMap<String, String>,
}

/// Without the values of `OTEL_` variables, which hold keys.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Settings {
    /// Flags win over the environment, the environment over what is usual.
    pub fn resolve(
        config: Option<PathBuf>,
        state_dir: Option<PathBuf>,
        socket: Option<PathBuf>,
    ) -> Self {
        let installed = PathBuf::from("/etc/tidegate/policies.yaml");
        let config = config.unwrap_or_else(|| {
            if installed.exists() { installed } else { PathBuf::from("policies.yaml") }
        });
        let state_dir = state_dir.unwrap_or_else(default_state_dir);
        let socket_named = socket.clone();
        let socket = socket.unwrap_or_else(|| default_socket(&state_dir));
        let mut secret_dirs: Vec<PathBuf> = path("CREDENTIALS_DIRECTORY").into_iter().collect();
        secret_dirs.push(PathBuf::from("/etc/tidegate/secrets"));
        let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
        Self {
            config,
            state_dir,
            socket,
            socket_named,
            region: region(),
            secret_dirs,
            user: who(),
            under_systemd: env::var_os("JOURNAL_STREAM").is_some(),
            plain: dumb || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb,
            otel: otel(),
        }
    }
}

/// As the AWS SDK reads it.
fn region() -> Option<String> {
    let named = |name| env::var(name).ok().filter(|region| !region.is_empty());
    ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(named)
}

fn otel() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with("OTEL_")).collect()
}

/// The login name, else the user's number.
fn who() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let number = || {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").ok().map(|meta| format!("uid {}", meta.uid()))
    };
    named.filter(|name| !name.is_empty()).or_else(number).unwrap_or_else(|| "somebody".to_owned())
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn default_state_dir() -> PathBuf {
    if let Some(dirs) = env::var("STATE_DIRECTORY").ok().filter(|value| !value.is_empty()) {
        // systemd separates several with colons; ours is the first.
        return PathBuf::from(dirs.split(':').next().unwrap_or(&dirs));
    }
    let usual = PathBuf::from("/var/lib/tidegate");
    // A link whose target this user may not look at is the service's folder all the same.
    if usual.symlink_metadata().is_ok_and(|found| found.is_dir() || found.is_symlink()) {
        return usual;
    }
    let home = path("XDG_STATE_HOME")
        .or_else(|| path("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| PathBuf::from("."));
    home.join("tidegate")
}

fn default_socket(state_dir: &Path) -> PathBuf {
    let usual = PathBuf::from("/run/tidegate");
    let runtime = path("RUNTIME_DIRECTORY").or_else(|| usual.is_dir().then_some(usual));
    runtime.unwrap_or_else(|| state_dir.to_owned()).join("tidegate.sock")
}
