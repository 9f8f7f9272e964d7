//! `tidegate check`: every problem of a policy at once.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::out::{counted, raw, say};
use super::{FAILED, Failure, POLICY_INVALID};
use crate::custody::{self, Accept};
use crate::model::time::Timestamp;
use crate::notices;
use crate::policy::notify::Route;
use crate::policy::{self, FleetPolicy, Loaded, Policy, Problem, Severity};
use crate::settings::Settings;

/// A policy file larger than this is not read: it is not a policy file.
const FILE_AT_MOST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The policy file; instead of --config
    file: Option<PathBuf>,
    /// Ask AWS nothing
    #[arg(long)]
    offline: bool,
    /// Exit with 3 on warnings too, and on what could not be verified
    #[arg(long)]
    strict: bool,
}

/// A file, read and loaded.
pub(crate) struct Read {
    pub path: String,
    pub text: String,
    pub loaded: Loaded,
}

impl Read {
    pub(crate) fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    fn count(&self, severity: Severity) -> usize {
        self.loaded.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    pub(crate) fn rendered(&self, color: bool) -> String {
        policy::render(&self.loaded.problems, &self.path, &self.text, color)
    }
}

/// Reads a policy file whole, once.
pub(crate) fn read(path: &Path, accept: Accept, now: Timestamp) -> anyhow::Result<Read> {
    let shown = path.display().to_string();
    let text = custody::read_named_text(path, FILE_AT_MOST, accept).with_context(|| {
        format!("failed to read the policy {shown} (name another with --config)")
    })?;
    let loaded = policy::load(&shown, &text, now);
    Ok(Read { path: shown, text, loaded })
}

/// Loads the policy for a command that runs once, or prints every error of the file on stderr.
pub(crate) fn usable(path: &Path, settings: &Settings) -> Result<Policy, Failure> {
    usable_from(path, Accept::RegularFilesAndPipes, settings)
}

/// Loads the policy from a file of an accepted kind, or prints every error of the file on stderr.
pub(crate) fn usable_from(
    path: &Path,
    accept: Accept,
    settings: &Settings,
) -> Result<Policy, Failure> {
    let read = read(path, accept, now()).map_err(|error| Failure::Error(POLICY_INVALID, error))?;
    if read.loaded.policy.is_none() {
        let color = std::io::stderr().is_terminal() && !settings.plain;
        eprint!("{}", read.rendered(color));
    }
    read.loaded.policy.ok_or(Failure::Told(POLICY_INVALID))
}

#[expect(clippy::disallowed_methods, reason = "a command is run now")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) fn run(check: &Check, settings: &Settings, json: bool) -> Result<(), Failure> {
    let path = check.file.as_ref().unwrap_or(&settings.config);
    let read = read(path, Accept::RegularFilesAndPipes, now())?;
    let writers = custody::writers(path);
    let (errors, warnings) = (read.errors(), read.count(Severity::Warning) + writers.len());
    let aws = match &read.loaded.policy {
        Some(policy) if !check.offline => preflight(policy)?,
        Some(_) | None => Vec::new(),
    };
    let routes = match &read.loaded.policy {
        // Secrets are on the host that the daemon runs on, and nowhere else.
        Some(policy) if !check.offline => routes(policy, settings),
        Some(_) | None => Vec::new(),
    };
    let queues = match &read.loaded.policy {
        Some(policy) if !check.offline => queues(policy, settings),
        Some(_) | None => Vec::new(),
    };
    let found = || aws.iter().chain(&routes).chain(&queues);
    let failed = errors + found().filter(|finding| finding.verdict == "problem").count();
    if json {
        let found = [("aws", &aws), ("notify", &routes), ("queues", &queues)];
        print_json(&read, &writers, &found)?;
    } else {
        let color = std::io::stdout().is_terminal() && !settings.plain;
        raw(&read.rendered(color))?;
        if let Some(policy) = &read.loaded.policy {
            let worst: u64 =
                policy.fleets.values().map(|fleet| u64::from(fleet.bounds.max())).sum();
            say!(
                "policy   ok       {} ({}), {}, {} at most",
                read.path,
                policy.digest,
                counted(policy.fleets.len(), "fleet"),
                counted(worst, "server"),
            )?;
        }
        for way in &writers {
            say!("file     warning  {way}: chown it to root, and chmod go-w")?;
        }
        for finding in &aws {
            say!("aws      {:<8} {}", finding.verdict, finding.text)?;
        }
        for finding in &routes {
            say!("notify   {:<8} {}", finding.verdict, finding.text)?;
        }
        for finding in &queues {
            say!("queue    {:<8} {}", finding.verdict, finding.text)?;
        }
        if errors + warnings > 0 {
            say!("{}, {}", counted(errors, "error"), counted(warnings, "warning"))?;
        }
    }
    let unsaid = found().filter(|finding| finding.verdict == "unknown").count();
    match (failed, warnings + unsaid) {
        (0, doubts) if doubts > 0 && check.strict => Err(Failure::Told(super::FINDING)),
        (0, _) => Ok(()),
        (_, _) => Err(Failure::Told(FAILED)),
    }
}

/// What was found of one thing that the policy names.
pub(crate) struct Finding {
    /// `ok`, `problem` or `unknown`.
    pub verdict: &'static str,
    pub text: String,
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as with AWS")]
fn preflight(_: &Policy) -> Result<Vec<Finding>, Failure> {
    Ok(vec![Finding {
        verdict: "unknown",
        text: "this build has no AWS; nothing was asked".to_owned(),
    }])
}

#[cfg(feature = "aws")]
fn preflight(policy: &Policy) -> Result<Vec<Finding>, Failure> {
    super::runtime()?.block_on(super::plan::preflight(policy))
}

/// Whether each route of `notify` could be used.
fn routes(policy: &Policy, settings: &Settings) -> Vec<Finding> {
    let inspect = |(name, route): (&String, &Route)| {
        let kind = route.target.as_str();
        match notices::inspect(&route.target, &settings.secret_dirs) {
            Ok(()) => Finding { verdict: "ok", text: format!("{name}: {kind}") },
            Err(why) => Finding {
                verdict: "problem",
                text: format!("{name}: {kind}: {why} (line {})", route.at_line),
            },
        }
    };
    policy.notify.routes.iter().map(inspect).collect()
}

/// Whether the secret of each queue's header is there, for nobody else to read.
fn queues(policy: &Policy, settings: &Settings) -> Vec<Finding> {
    let inspect = |fleet: &FleetPolicy| {
        let header = fleet.queue.as_ref()?.source.header.as_ref()?;
        let name = &fleet.name;
        Some(match custody::secret(&settings.secret_dirs, &header.secret) {
            Ok(_) => Finding { verdict: "ok", text: format!("{name}: header {}", header.name) },
            Err(why) => Finding { verdict: "problem", text: format!("{name}: {why}") },
        })
    };
    policy.fleets.values().filter_map(inspect).collect()
}

fn print_json(
    read: &Read,
    writers: &[String],
    found: &[(&str, &Vec<Finding>)],
) -> Result<(), Failure> {
    let problems: Vec<_> = read.loaded.problems.iter().map(problem_json).collect();
    let mut document = json!({
        "format_version": 1,
        "file": read.path,
        "valid": read.errors() == 0,
        "digest": read.loaded.policy.as_ref().map(|policy| policy.digest.clone()),
        "problems": problems,
        "writable": writers,
    });
    for (key, findings) in found {
        let findings = findings.iter();
        let findings =
            findings.map(|found| json!({ "verdict": found.verdict, "text": found.text }));
        if let Some(document) = document.as_object_mut() {
            document.insert((*key).to_owned(), findings.collect());
        }
    }
    say!("{document}")
}

fn problem_json(problem: &Problem) -> serde_json::Value {
    json!({
        "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": problem.message,
        "file": problem.file,
        "line": problem.at.line,
        "column": problem.at.column,
        "label": problem.label,
        "remedy": problem.remedy,
    })
}
