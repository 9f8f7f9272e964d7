//! The command line. Results go to stdout, talk to stderr; every command has `--json`.
#![expect(clippy::print_stderr, reason = "the command line is where things are printed")]

mod backtest;
mod canvas;
mod check;
#[cfg(feature = "aws")]
mod client;
mod decide;
mod demo;
#[cfg(feature = "aws")]
mod drill;
#[cfg(feature = "aws")]
mod hand;
mod explain;
mod export;
mod folder;
mod history;
mod iam;
#[cfg(feature = "aws")]
mod init;
mod journal;
mod listen;
mod moment;
mod money;
mod next;
#[cfg(feature = "net")]
mod notify;
mod out;
mod papers;
mod past;
#[cfg(feature = "aws")]
mod plan;
mod rehearsal;
#[cfg(feature = "aws")]
mod run;
mod shadow;
mod test;
#[cfg(feature = "aws")]
mod status;
#[cfg(feature = "aws")]
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::settings::Settings;
use tidegate_engine::model::fault::{printable, visible};

/// Keeps the right number of EC2 servers running: by the clock for app servers, by the queue for
/// job servers.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 fine; 1 failed; 2 wrong usage; 3 an asked-for finding; \
                  69 daemon not reachable; 78 policy invalid."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The policy file [default: /etc/tidegate/policies.yaml, else ./policies.yaml]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the journal is kept [default: $STATE_DIRECTORY, else /var/lib/tidegate, else the XDG
    /// state folder]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The daemon's socket [default: in $RUNTIME_DIRECTORY, else /run/tidegate, else in the state
    /// directory]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// One JSON document, or JSON lines, instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A first policy from what runs in EC2 and behind its load balancers, in observe mode
    #[cfg(feature = "aws")]
    Init(init::Init),
    /// Is the policy right? Every error at once, with place and remedy
    Check(check::Check),
    /// The daemon: keep the fleets as the policy says
    #[cfg(feature = "aws")]
    Run(run::Run),
    /// What would the next tick do? Changes nothing
    #[cfg(feature = "aws")]
    Plan(plan::PlanArgs),
    /// The fleets and their servers now, from the daemon
    #[cfg(feature = "aws")]
    Status(status::Status),
    /// Why it did, or why it did not: now, or at any moment before
    Explain(explain::Explain),
    /// What happened: one line for each change, cause first
    History(history::History),
    /// The schedule as it will be held, day by day
    Next(next::Next),
    /// A test notice over each route of `notify`, or over one, and what came of it
    #[cfg(feature = "net")]
    Notify(notify::Notify),
    /// What would a policy have cost, and who would have waited? Over a load trace
    Backtest(backtest::Backtest),
    /// What would the second policy of `run --shadow` have done, and what would it have cost?
    Shadow(shadow::Shadow),
    /// The recorded load of a fleet as CSV, for `backtest`
    Export(export::Export),
    /// Unit tests of a policy: what it asks for at an instant, and as a queue goes
    Test(test::Test),
    /// The engine as a filter: one observation a line in, one decision a line out
    Decide(decide::Decide),
    /// A day of an imagined EC2 on the real engine: no AWS account, no network
    Demo(demo::Demo),
    /// The real daemon and your own policy against an imagined EC2 on loopback, with chosen faults
    #[cfg(feature = "aws")]
    Drill(drill::Drill),
    #[cfg(feature = "aws")]
    #[command(flatten)]
    Hand(hand::Hand),
    /// The least IAM policy for this very policy file
    IamPolicy(iam::IamPolicy),
    /// The policy file as a JSON Schema, for editors
    Schema,
    /// Completions for a shell
    Completions(papers::Completions),
    /// Manual pages, for packages
    #[command(hide = true)]
    ManPages(papers::ManPages),
    #[cfg(not(feature = "aws"))]
    #[command(flatten)]
    Absent(Absent),
}

/// Commands that this build lacks; named, so that nobody takes them for misspelt.
#[cfg(not(feature = "aws"))]
#[derive(Debug, Subcommand)]
enum Absent {
    #[command(hide = true)]
    Init(Rest),
    #[command(hide = true)]
    Run(Rest),
    #[command(hide = true)]
    Plan(Rest),
    #[command(hide = true)]
    Status(Rest),
    #[command(hide = true)]
    Drill(Rest),
    #[command(hide = true)]
    Launch(Rest),
    #[command(hide = true)]
    Terminate(Rest),
    #[command(hide = true)]
    Hold(Rest),
    #[command(hide = true)]
    Pause(Rest),
    #[command(hide = true)]
    Resume(Rest),
    #[command(hide = true)]
    Keep(Rest),
    #[command(hide = true)]
    Unkeep(Rest),
    #[command(hide = true)]
    Retire(Rest),
    #[command(hide = true)]
    Approve(Rest),
    #[command(hide = true)]
    Adopt(Rest),
    #[command(hide = true)]
    Reload(Rest),
    #[cfg(not(feature = "net"))]
    #[command(hide = true)]
    Notify(Rest),
}

#[cfg(not(feature = "aws"))]
#[derive(Debug, Args)]
struct Rest {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<std::ffi::OsString>,
}

/// How a command can fail, as an exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Said already.
    Told(u8),
    Error(u8, anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(FAILED, error)
    }
}

pub(crate) const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const FINDING: u8 = 3;
/// EX_UNAVAILABLE of sysexits.h.
#[cfg(feature = "aws")]
pub(crate) const UNREACHABLE: u8 = 69;
/// EX_CONFIG of sysexits.h.
pub(crate) const POLICY_INVALID: u8 = 78;

/// Parses the command line, runs the command, and says with what code to exit.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.global.json;
    let done = dispatch(cli);
    crate::telemetry::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told(code)) => ExitCode::from(code),
        Err(Failure::Error(code, error)) => {
            if json {
                let error =
                    serde_json::json!({ "format_version": 1, "error": format!("{error:#}") });
                eprintln!("{}", visible(&error.to_string()));
            } else {
                // A name of a file may hold control characters; our own texts have line breaks only.
                let error = format!("{error:#}");
                let lines: Vec<String> =
                    error.lines().map(|line| printable(line, usize::MAX)).collect();
                eprintln!("error: {}", lines.join("\n"));
            }
            ExitCode::from(code)
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let own_policy = cli.global.config.clone();
    let settings = Settings::resolve(cli.global.config, cli.global.state_dir, cli.global.socket);
    let json = cli.global.json;
    match cli.command {
        #[cfg(feature = "aws")]
        Command::Init(init) => init::run(&init, &settings, json),
        Command::Check(check) => check::run(&check, &settings, json),
        Command::Explain(args) => explain::run(&args, &settings, json),
        Command::History(args) => history::run(&args, &settings, json),
        Command::Next(args) => next::run(&args, &settings, json),
        #[cfg(feature = "net")]
        Command::Notify(args) => notify::run(&args, &settings, json),
        Command::Backtest(args) => backtest::run(&args, &settings, json),
        Command::Shadow(args) => shadow::run(&args, &settings, json),
        Command::Export(args) => export::run(&args, &settings),
        Command::Test(args) => test::run(&args, &settings, json),
        Command::Decide(args) => decide::run(&args, &settings),
        Command::IamPolicy(args) => iam::run(&args, &settings),
        Command::Schema => papers::print_schema(),
        Command::Completions(args) => papers::completions(&args),
        Command::ManPages(args) => papers::man_pages(&args),
        Command::Demo(demo) => demo::run(&demo, own_policy.as_deref(), &settings, json),
        #[cfg(feature = "aws")]
        Command::Run(run) => run::run(&run, &settings, json),
        #[cfg(feature = "aws")]
        Command::Plan(plan) => plan::run(&plan, &settings, json),
        #[cfg(feature = "aws")]
        Command::Status(status) => status::run(&status, &settings, json),
        #[cfg(feature = "aws")]
        Command::Drill(drill) => drill::run(&drill, &settings, json),
        #[cfg(feature = "aws")]
        Command::Hand(hand) => hand::run(&hand, &settings, json),
        #[cfg(not(feature = "aws"))]
        Command::Absent(_) => Err(Failure::Error(
            USAGE,
            anyhow::anyhow!(
                "this build has no AWS, and so no daemon and no drill; build it with `cargo build \
                 --release`, without --no-default-features"
            ),
        )),
    }
}

/// A runtime for the commands that need one.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(
        |error| Failure::Error(FAILED, anyhow::Error::new(error).context("failed to start")),
    )
}

/// An instant on the command line.
fn instant(text: &str) -> Result<tidegate_engine::model::time::Timestamp, String> {
    text.parse().map_err(|_| "write an instant in full: 2026-03-02T13:50:00Z".to_owned())
}

/// How long an override lasts: as a span, within what the daemon takes.
#[cfg(feature = "aws")]
fn while_it_lasts(text: &str) -> Result<std::time::Duration, String> {
    use crate::admin::order::LASTS_AT_MOST;

    let lasts = span(text)?;
    if lasts.is_zero() || lasts > LASTS_AT_MOST {
        let most = tidegate_engine::model::time::text(LASTS_AT_MOST);
        return Err(format!(
            "the longest is {most}; what is wanted for longer belongs into the policy"
        ));
    }
    Ok(lasts)
}

/// A span of time on the command line, spelled as in the policy file.
fn span(text: &str) -> Result<std::time::Duration, String> {
    tidegate_engine::policy::units::duration(text)
        .map_err(|error| format!("{error}: {}", error.remedy()))
}

#[cfg(all(test, not(feature = "aws")))]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_this_build_lacks_is_named_and_not_taken_for_misspelt() {
        for args in [&["drill", "--faults", "dead-queue"][..], &["hold", "app", "3"], &["run"]] {
            let cli = Cli::try_parse_from([&["tidegate"], args].concat()).unwrap();
            let Err(Failure::Error(code, error)) = dispatch(cli) else { panic!("{args:?}") };
            assert_eq!(code, USAGE);
            assert!(error.to_string().contains("this build has no AWS"), "{error}");
        }
    }
}
