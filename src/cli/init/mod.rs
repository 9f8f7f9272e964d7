//! `tidegate init`: a first policy from what runs in EC2 and ELB today.

mod differences;
mod draft;
mod file;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use self::draft::Draft;
use self::file::Place;
use super::out::{counted, raw, say};
use super::{FAILED, Failure, check, runtime};
use crate::aws::{Aws, Inventory};
use crate::custody::Accept;
use crate::settings::Settings;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::policy;

#[derive(Debug, Args)]
#[command(after_help = "\
It only looks, with the rights of whoever runs it: ec2:DescribeInstances,
elasticloadbalancing:DescribeLoadBalancers, elasticloadbalancing:DescribeTargetGroups and
elasticloadbalancing:DescribeTargetHealth. It compares servers with a launch where it also has
ec2:DescribeImages, ec2:DescribeSubnets and ec2:DescribeVolumes. Comments in the file name what a
fleet does not take over of its servers.

Servers in one load balancer become a fleet, as do two or more whose role or name is alike. What an
Auto Scaling group or a cluster looks after, and what is alone, is left out and told. The file
observes: nothing is launched or terminated by it.")]
pub(crate) struct Init {
    /// The file to write; `-` prints it, as YAML in any case. One that has fleets already is left as it is [default: the
    /// policy file]
    file: Option<PathBuf>,
    /// The AWS region [default: that of the AWS settings of this host]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

pub(crate) fn run(init: &Init, settings: &Settings, json: bool) -> Result<(), Failure> {
    let path = init.file.as_deref().unwrap_or(&settings.config);
    let print = path == Path::new("-");
    let before = if print { Before::Nothing } else { before(path)? };
    let inventory = runtime()?.block_on(look(init.region.as_deref()))?;
    let region = inventory.region.as_deref();
    let draft = Draft::of(&inventory);
    if draft.fleets.is_empty() {
        return Err(nothing_found(&draft, region));
    }
    let zone = TimeZone::system();
    let zone = zone.iana_name().unwrap_or("UTC");
    let text = file::text(&draft, &Place { region, zone, now: check::now() });
    if print {
        raw(&text)?;
    } else {
        write(path, &text, &before).with_context(|| {
            format!("failed to write {} (`tidegate init FILE` writes elsewhere)", path.display())
        })?;
        if json { as_json(path, &draft) } else { tell(path, &draft, &before) }?;
    }
    let loaded = policy::load(&path.display().to_string(), &text, check::now());
    if loaded.policy.is_some() {
        return Ok(());
    }
    let told = policy::render(&loaded.problems, &path.display().to_string(), &text, false);
    let what = "what runs could not be put into a policy without an error; mend the file by hand";
    Err(Failure::Error(FAILED, anyhow!("{what}:\n{told}")))
}

/// What is at the place where the file goes.
enum Before {
    Nothing,
    /// A policy that keeps nothing running, such as the package brings.
    Idle(String),
}

fn before(path: &Path) -> Result<Before, Failure> {
    if !path.try_exists().with_context(|| format!("failed to look at {}", path.display()))? {
        return Ok(Before::Nothing);
    }
    let read = check::read(path, Accept::RegularFiles, check::now())?;
    if read.loaded.policy.is_some_and(|policy| policy.fleets.is_empty()) {
        return Ok(Before::Idle(read.text));
    }
    let shown = path.display();
    let why = anyhow!(
        "{shown} has fleets or errors already, and is left as it is; \
         `tidegate init -` prints a policy, `tidegate init FILE` writes another file"
    );
    Err(Failure::Error(FAILED, why))
}

async fn look(region: Option<&str>) -> Result<Inventory, Failure> {
    let aws = Aws::connect(region, None).await;
    aws.inventory().await.map_err(|fault| Failure::Error(FAILED, unseen(&fault)))
}

fn unseen(fault: &Fault) -> anyhow::Error {
    let remedy = if fault.kind == FaultKind::Permission {
        "; `tidegate init --help` has the rights that it needs"
    } else if fault.kind == FaultKind::Credentials {
        "; it takes them as the AWS command line does"
    } else if fault.code == "NoRegion" {
        "; or name it with --region"
    } else {
        "; --region names another region"
    };
    anyhow!("what runs cannot be listed: {fault}{remedy}")
}

fn nothing_found(draft: &Draft, region: Option<&str>) -> Failure {
    let region = region.unwrap_or("the region");
    let mut text = format!("nothing in {region} could be a fleet, and nothing was written");
    for (server, why) in &draft.left_out {
        text.push_str(&format!("\n  {}: {why}", file::label(server)));
    }
    text.push_str(
        "\n`tidegate init --region REGION` looks elsewhere; docs/policies.md has every key",
    );
    Failure::Error(FAILED, anyhow!(text))
}

/// In one step, and what was there before beside it.
fn write(path: &Path, text: &str, before: &Before) -> std::io::Result<()> {
    let beside = |what: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(what);
        path.with_file_name(name)
    };
    if let Before::Idle(old) = before {
        std::fs::write(beside(".before-init"), old)?;
    }
    let new = beside(".new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

fn tell(path: &Path, draft: &Draft, before: &Before) -> Result<(), Failure> {
    let servers = draft.fleets.iter().map(|group| group.servers.len()).sum::<usize>();
    say!(
        "{}: {} of {} in observe mode, which changes nothing",
        path.display(),
        counted(draft.fleets.len(), "fleet"),
        counted(servers, "server")
    )?;
    if matches!(before, Before::Idle(_)) {
        say!("The file that was there, without fleets, is beside it: .before-init")?;
    }
    say!("")?;
    let names = draft.fleets.iter().map(|group| group.name.as_str().len());
    let labels = draft.left_out.iter().map(|(server, _)| file::label(server).chars().count());
    let wide = names.chain(labels).max().unwrap_or_default();
    for group in &draft.fleets {
        let count = counted(group.servers.len(), "server");
        let differences = match group.differences.len() {
            0 => String::new(),
            1 => "; 1 difference is not taken over".to_owned(),
            count => format!("; {count} differences are not taken over"),
        };
        say!("  {:<wide$}  {count} {}{differences}", group.name, group.because)?;
    }
    for unread in &draft.unread {
        say!("\n{}", file::not_compared(unread))?;
    }
    if !draft.left_out.is_empty() {
        say!("\nleft out:")?;
    }
    for (server, why) in &draft.left_out {
        say!("  {:<wide$}  {why}", file::label(server))?;
    }
    let usual = ["/etc/tidegate/policies.yaml", "policies.yaml"].map(Path::new).contains(&path);
    let config = if usual { String::new() } else { format!(" -c {}", path.display()) };
    say!("\nnext:")?;
    for (what, why) in [
        ("edit it", "its comments say what only you know"),
        (&*format!("tidegate check{config}"), "is it right, and may tidegate do what it needs?"),
        (&*format!("tidegate plan{config}"), "what would the next tick do? changes nothing"),
    ] {
        say!("  {what:<40} {why}")?;
    }
    Ok(())
}

fn as_json(path: &Path, draft: &Draft) -> Result<(), Failure> {
    let fleets = draft.fleets.iter().map(|group| {
        let ids: Vec<&str> = group.servers.iter().map(|server| server.id.as_str()).collect();
        json!({
            "name": group.name.as_str(),
            "because": group.because,
            "instances": ids,
            "not_taken_over": group.differences,
        })
    });
    let left_out = draft.left_out.iter();
    let left_out = left_out.map(|(server, why)| json!({ "instance": server.id, "why": why }));
    say!(
        "{}",
        json!({
            "format_version": 1,
            "file": path.display().to_string(),
            "fleets": fleets.collect::<Vec<_>>(),
            "left_out": left_out.collect::<Vec<_>>(),
            "not_compared": draft.unread.iter().map(file::not_compared).collect::<Vec<_>>(),
        })
    )
}
