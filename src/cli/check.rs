//! `tidegate check`: every problem of a policy at once.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::out::{counted, raw, say};
use super::{FAILED, Failure, POLICY_INVALID};
use crate::custody::{self, Accept};
use crate::notices;
use crate::settings::Settings;
use tidegate_engine::model::drain::Carrier;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::launch::Image;
use tidegate_engine::model::reading::SecretHeader;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::notify::Route;
use tidegate_engine::policy::{self, FleetPolicy, Loaded, Policy, Problem, Severity};

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
    /// Returns how many problems `check` fails for.
    pub(crate) fn errors(&self) -> usize {
        self.count(Severity::Error) + self.count(Severity::Risk)
    }

    fn count(&self, severity: Severity) -> usize {
        self.loaded.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    pub(crate) fn rendered(&self, color: bool) -> String {
        policy::render(&self.loaded.problems, &self.path, &self.text, color)
    }

    /// Returns the risks alone, of a file that is used all the same.
    fn risks(&self, color: bool) -> String {
        let risk = |problem: &&Problem| problem.severity == Severity::Risk;
        let risks: Vec<Problem> = self.loaded.problems.iter().filter(risk).cloned().collect();
        policy::render(&risks, &self.path, &self.text, color)
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

/// As [`usable`], from a file of an accepted kind. The risks of a file that is used are printed too.
pub(crate) fn usable_from(
    path: &Path,
    accept: Accept,
    settings: &Settings,
) -> Result<Policy, Failure> {
    loaded(path, accept, settings, Read::risks)
}

/// As [`usable`], for the daemon: it opens a problem of its own for each risk.
#[cfg(feature = "aws")]
pub(crate) fn usable_in_daemon(path: &Path, settings: &Settings) -> Result<Policy, Failure> {
    loaded(path, Accept::RegularFiles, settings, |_, _| String::new())
}

fn loaded(
    path: &Path,
    accept: Accept,
    settings: &Settings,
    remarks: fn(&Read, bool) -> String,
) -> Result<Policy, Failure> {
    let read = read(path, accept, now()).map_err(|error| Failure::Error(POLICY_INVALID, error))?;
    let color = std::io::stderr().is_terminal() && !settings.plain;
    let usable = read.loaded.policy.is_some();
    eprint!("{}", if usable { remarks(&read, color) } else { read.rendered(color) });
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
    let groups = match &read.loaded.policy {
        Some(policy) => groups(policy, check.offline, settings)?,
        None => GROUPS.map(|_| Vec::new()),
    };
    let found = || groups.iter().flatten();
    let failed = errors + found().filter(|finding| finding.verdict == "problem").count();
    if json {
        print_json(&read, &writers, &groups)?;
    } else {
        let color = std::io::stdout().is_terminal() && !settings.plain;
        raw(&read.rendered(color))?;
        print(&read, &writers, &groups)?;
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

/// What findings are about: the word of the terminal, and the key of the JSON.
const GROUPS: [(&str, &str); 4] =
    [("aws", "aws"), ("notify", "notify"), ("queue", "queues"), ("drain", "drains")];

/// Returns the findings of each group.
fn groups(
    policy: &Policy,
    offline: bool,
    settings: &Settings,
) -> Result<[Vec<Finding>; GROUPS.len()], Failure> {
    if offline {
        return Ok([Vec::new(), Vec::new(), Vec::new(), drains(policy)]);
    }
    // Secrets are on the host that the daemon runs on, and nowhere else.
    let mut drains = drains(policy);
    drains.extend(receivers(policy, settings));
    Ok([preflight(policy)?, routes(policy, settings), queues(policy, settings), drains])
}

fn print(read: &Read, writers: &[String], groups: &[Vec<Finding>]) -> Result<(), Failure> {
    if let Some(policy) = &read.loaded.policy {
        let worst: u64 = policy.fleets.values().map(|fleet| u64::from(fleet.bounds.max())).sum();
        say!(
            "policy   ok       {} ({}), {}, {} at most",
            read.path,
            policy.digest,
            counted(policy.fleets.len(), "fleet"),
            counted(worst, "server"),
        )?;
    }
    for way in writers {
        say!("file     warning  {way}: chown it to root, and chmod go-w")?;
    }
    for ((word, _), findings) in GROUPS.iter().zip(groups) {
        for finding in findings {
            say!("{word:<8} {:<8} {}", finding.verdict, finding.text)?;
        }
    }
    Ok(())
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
        Some(header(&fleet.name, fleet.queue.as_ref()?.source.header.as_ref()?, settings))
    };
    policy.fleets.values().filter_map(inspect).collect()
}

/// What each drain asks of the launches of its fleet.
fn drains(policy: &Policy) -> Vec<Finding> {
    let inspect = |fleet: &FleetPolicy| {
        fleet.drain_terms()?;
        let template = match &fleet.launch.image {
            Image::Template { .. } => ", whatever the launch template says",
            Image::Id(_) => "",
        };
        let text = format!(
            "{}: launches ask for InstanceMetadataTags=enabled and InstanceInitiatedShutdownBehavior=terminate{template}",
            fleet.name
        );
        Some(Finding { verdict: "ok", text })
    };
    policy.fleets.values().filter_map(inspect).collect()
}

/// Whether the secret of each drain's header is there, for nobody else to read.
fn receivers(policy: &Policy, settings: &Settings) -> Vec<Finding> {
    let inspect = |fleet: &FleetPolicy| match &fleet.drain_terms()?.carrier {
        Carrier::Http(receiver) => Some(header(&fleet.name, receiver.header.as_ref()?, settings)),
        Carrier::Tag => None,
    };
    policy.fleets.values().filter_map(inspect).collect()
}

fn header(fleet: &FleetName, header: &SecretHeader, settings: &Settings) -> Finding {
    match custody::secret(&settings.secret_dirs, &header.secret) {
        Ok(_) => Finding { verdict: "ok", text: format!("{fleet}: header {}", header.name) },
        Err(why) => Finding { verdict: "problem", text: format!("{fleet}: {why}") },
    }
}

fn print_json(read: &Read, writers: &[String], groups: &[Vec<Finding>]) -> Result<(), Failure> {
    let problems: Vec<_> = read.loaded.problems.iter().map(problem_json).collect();
    let mut document = json!({
        "format_version": 1,
        "file": read.path,
        "valid": read.errors() == 0,
        "digest": read.loaded.policy.as_ref().map(|policy| policy.digest.clone()),
        "problems": problems,
        "writable": writers,
    });
    for ((_, key), findings) in GROUPS.iter().zip(groups) {
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
        "severity": problem.severity.as_str(),
        "message": problem.message,
        "file": problem.file,
        "line": problem.at.line,
        "column": problem.at.column,
        "label": problem.label,
        "remedy": problem.remedy,
    })
}
