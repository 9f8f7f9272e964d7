//! What the program says of itself, for shells, editors and `man`: made from the command line and the
//! reference of the policy file, so that none of it can be out of date.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::out::raw;
use super::{Cli, Failure};
use tidegate_engine::policy::keys::Key;
use tidegate_engine::policy::reference::{plain, sections};
use tidegate_engine::policy::schema::schema;

#[derive(Debug, Args)]
#[command(after_help = "\
The package installs them. By hand:

    tidegate completions bash > /etc/bash_completion.d/tidegate
    tidegate completions fish > ~/.config/fish/completions/tidegate.fish
    tidegate completions zsh > \"${fpath[1]}/_tidegate\"")]
pub(crate) struct Completions {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManPages {
    /// The folder to write them into
    folder: PathBuf,
}

/// The schema of the policy file.
pub(crate) fn print_schema() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&schema()).context("failed to write JSON")?;
    raw(&format!("{text}\n"))
}

pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    raw(&String::from_utf8_lossy(&script))
}

/// Writes `tidegate.1`, a page for each command, and `policies.yaml.5`.
pub(crate) fn man_pages(args: &ManPages) -> Result<(), Failure> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("failed to make {}", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder).context("failed to draw the manual pages")?;
    write(folder, "policies.yaml.5", &policy_page())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    let failed = || format!("failed to write {}", path.display());
    Ok(std::fs::write(&path, text).with_context(failed)?)
}

/// The reference of the policy file for `man`.
fn policy_page() -> String {
    let mut roff = Roff::new();
    let version = concat!("tidegate ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["policies.yaml", "5", "", version, "tidegate"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("policies.yaml - what servers tidegate keeps running")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([
        roman("A YAML file, by default "),
        italic("/etc/tidegate/policies.yaml"),
        roman(". The daemon reads it at its start and whenever it changes. "),
        bold("tidegate check"),
        roman(
            " reports every problem at once, with its place and what to do about it; unknown keys \
             are errors. Spans of time are whole numbers with units, the largest first: 40s, 5m, \
             1h30m, 2d.",
        ),
    ]);
    for (section, keys) in sections() {
        let title = if section == "file" { "THE FILE".to_owned() } else { section.to_uppercase() };
        roff.control("SH", [title.as_str()]);
        for key in keys {
            entry(&mut roff, key);
        }
    }
    roff.control("SH", ["EXAMPLES"]);
    roff.text([italic("/usr/share/doc/tidegate/docs/policies.md")]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("tidegate"), roman("(1)")]);
    roff.render()
}

fn entry(roff: &mut Roff, key: &Key) {
    roff.control("TP", []);
    let head: [Inline; 3] = [bold(key.name), roman(": "), italic(plain(&key.kind()))];
    roff.text(head);
    roff.text([roman(key.described())]);
}
