//! `tidegate iam-policy`: the least IAM policy for this very policy file. Made of
//! `deploy/iam-policy.json`, which a test holds to the calls that are made, by leaving out what the
//! file has no use for and naming what it names.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::out::raw;
use crate::cli::{FAILED, Failure, USAGE, check};
use crate::settings::Settings;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::launch::Image;
use tidegate_engine::policy::notify::Target;
use tidegate_engine::policy::{LaunchPolicy, Policy};

const WHOLE: &str = include_str!("../../../deploy/iam-policy.json");

/// The partitions beside `aws`, by how the names of their regions begin.
///
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("us-iso-", "aws-iso"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
];

/// EC2's way to name an image by a parameter of Systems Manager.
const PARAMETER: &str = "resolve:ssm:";

#[derive(Debug, Args)]
#[command(after_help = "\
For IAM to bind to the role of the host that the daemon runs on:

    tidegate iam-policy --account 123456789012 > tidegate-policy.json
    aws iam create-policy --policy-name tidegate --policy-document file://tidegate-policy.json

Print it again when the policy file names other images, subnets, load balancers or profiles, or
begins to drain.")]
pub(crate) struct IamPolicy {
    /// The number of the AWS account [default: any, which is all that the role can reach]
    #[arg(long, value_name = "NUMBER", value_parser = account)]
    account: Option<String>,
    /// The region, where the policy file names none
    #[arg(long, env = "AWS_REGION", value_name = "REGION")]
    region: Option<String>,
    /// A role that servers get [default: the name of each `instance_profile`]; may be repeated
    #[arg(long, value_name = "NAME")]
    server_role: Vec<String>,
    /// Only to look: enough for `mode: observe`
    #[arg(long)]
    observe: bool,
}

fn account(text: &str) -> Result<String, String> {
    let fits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err("an account is twelve digits".to_owned()) }
}

pub(crate) fn run(args: &IamPolicy, settings: &Settings) -> Result<(), Failure> {
    let policy = check::usable(&settings.config, settings)?;
    let region = policy.region.clone().or_else(|| args.region.clone());
    let region = region.ok_or_else(|| {
        let why = anyhow!("the policy file names no region: give it with --region");
        Failure::Error(USAGE, why)
    })?;
    let account = args.account.as_deref().unwrap_or("*");
    let place = Place { region: &region, account };
    let (made, remarks) = least(&policy, &place, args).map_err(|e| Failure::Error(FAILED, e))?;
    for remark in remarks {
        eprintln!("note: {remark}");
    }
    let text = serde_json::to_string_pretty(&made).context("failed to write JSON")?;
    raw(&format!("{text}\n"))
}

struct Place<'a> {
    region: &'a str,
    account: &'a str,
}

impl Place<'_> {
    /// Returns the partition of the region, which is the second part of each ARN.
    fn partition(&self) -> &'static str {
        let of = PARTITIONS.iter().find(|(prefix, _)| self.region.starts_with(prefix));
        of.map_or("aws", |(_, partition)| partition)
    }

    /// Returns the domain that the names of services end with.
    fn suffix(&self) -> &'static str {
        if self.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    /// Returns the ARN of something that belongs to no account.
    fn of_aws(&self, service: &str, what: &str) -> String {
        format!("arn:{}:{service}:{}::{what}", self.partition(), self.region)
    }

    fn of_ours(&self, service: &str, what: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{what}", self.partition(), self.region, self.account)
    }
}

/// The document, and what its reader should know.
fn least(
    policy: &Policy,
    place: &Place<'_>,
    args: &IamPolicy,
) -> anyhow::Result<(Value, Vec<String>)> {
    let text = WHOLE
        .replace("PARTITION", place.partition())
        .replace("SUFFIX", place.suffix())
        .replace("REGION", place.region)
        .replace("ACCOUNT", place.account)
        .replace("\"INSTALL\"", &format!("\"{}\"", policy.install));
    let mut document: Value =
        serde_json::from_str(&text).context("failed to read the policy this is made of")?;
    let launches: Vec<&LaunchPolicy> = policy.fleets.values().map(|fleet| &fleet.launch).collect();
    let mut remarks = Vec::new();
    let roles = roles(&launches, args, &mut remarks);
    let (classic, groups) = balancers(policy, place);
    let topics = topics(policy);
    let drains = policy.fleets.values().any(|fleet| fleet.drain_terms().is_some());
    let Some(statements) = document["Statement"].as_array_mut() else {
        return Err(anyhow!("the policy this is made of has no statements"));
    };
    statements.retain(|statement| match statement["Sid"].as_str() {
        Some("Look") => true,
        // Notices are sent in observe mode too.
        Some("TellPeople") => !topics.is_empty(),
        _ if args.observe => false,
        Some("ClassicLoadBalancers") => !classic.is_empty(),
        Some("TargetGroups") => !groups.is_empty(),
        Some("GiveServersTheirRole") => !roles.is_empty(),
        Some("TagOnlyDrainOfOwn") => drains,
        _ => true,
    });
    for statement in statements.iter_mut() {
        match statement["Sid"].as_str() {
            Some("Look") => {
                look(statement, &unused(&launches, !classic.is_empty(), !groups.is_empty()));
            }
            Some("LaunchFrom") => statement["Resource"] = json!(launch_from(&launches, place)),
            Some("ClassicLoadBalancers") => statement["Resource"] = json!(classic),
            Some("TargetGroups") => statement["Resource"] = json!(groups),
            Some("TellPeople") => statement["Resource"] = json!(topics),
            Some("GiveServersTheirRole") => {
                let (partition, account) = (place.partition(), place.account);
                let arn = |role: &String| format!("arn:{partition}:iam::{account}:role/{role}");
                statement["Resource"] = json!(roles.iter().map(arn).collect::<Vec<_>>());
            }
            _ => {}
        }
    }
    let parameters = parameters(&launches, place);
    if !parameters.is_empty() && !args.observe {
        statements.push(json!({
            "Sid": "ResolveImages",
            "Effect": "Allow",
            "Action": "ssm:GetParameters",
            "Resource": parameters,
        }));
    }
    if place.account == "*" && document.to_string().contains(":*:") {
        remarks.push("no --account is given: `*` stands in its place".to_owned());
    }
    Ok((document, remarks))
}

/// The reads of things that the policy file does not name, by how their actions begin.
fn unused(launches: &[&LaunchPolicy], classic: bool, target_groups: bool) -> Vec<&'static str> {
    let template = |launch: &&LaunchPolicy| matches!(launch.image, Image::Template { .. });
    let templates = launches.iter().any(template);
    // A template may name security groups too.
    let groups = templates || launches.iter().any(|launch| !launch.security_groups.is_empty());
    let reads = [
        ("ec2:DescribeLaunchTemplateVersions", templates),
        ("ec2:DescribeSecurityGroups", groups),
        ("elasticloadbalancing:DescribeInstanceHealth", classic),
        ("elasticloadbalancing:DescribeTarget", target_groups),
        ("elasticloadbalancing:DescribeLoadBalancer", classic || target_groups),
    ];
    reads.into_iter().filter(|(_, used)| !used).map(|(action, _)| action).collect()
}

fn look(statement: &mut Value, unused: &[&str]) {
    let Some(actions) = statement["Action"].as_array_mut() else { return };
    let used = |action: &str| !unused.iter().any(|unused| action.starts_with(unused));
    actions.retain(|action| action.as_str().is_none_or(used));
}

fn balancers(policy: &Policy, place: &Place<'_>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut classic, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for balancer in policy.fleets.values().filter_map(|fleet| fleet.balancer.as_ref()) {
        match &balancer.balancer {
            Balancer::Classic(name) => {
                let named = format!("loadbalancer/{name}");
                classic.insert(place.of_ours("elasticloadbalancing", &named));
            }
            Balancer::TargetGroup(arn) if arn.starts_with("arn:") => {
                groups.insert(arn.clone());
            }
            Balancer::TargetGroup(name) => {
                let named = format!("targetgroup/{name}/*");
                groups.insert(place.of_ours("elasticloadbalancing", &named));
            }
        }
    }
    (classic, groups)
}

/// The topics that notices go to.
fn topics(policy: &Policy) -> BTreeSet<&str> {
    let targets = policy.notify.routes.values().map(|route| &route.target);
    let topics = targets.filter_map(|target| match target {
        Target::Sns { topic } => Some(topic.as_str()),
        Target::Slack { .. }
        | Target::Webhook { .. }
        | Target::PagerDuty { .. }
        | Target::Email(_)
        | Target::Ping { .. } => None,
    });
    topics.collect()
}

/// What a launch may use: what the file names where it names all of it, else any.
fn launch_from(launches: &[&LaunchPolicy], place: &Place<'_>) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = BTreeSet::new();
    out.insert(place.of_aws("ec2", "snapshot/*"));
    // What a template leaves to be said is unknown here.
    let named = |named: &dyn Fn(&LaunchPolicy) -> Vec<String>| -> Vec<String> {
        let each: Vec<Vec<String>> = launches.iter().map(|launch| named(launch)).collect();
        let any = each.iter().any(Vec::is_empty);
        if any { vec!["*".to_owned()] } else { each.into_iter().flatten().collect() }
    };
    for image in named(&|launch| match &launch.image {
        Image::Id(id) if !id.starts_with(PARAMETER) => vec![id.clone()],
        Image::Id(_) | Image::Template { .. } => Vec::new(),
    }) {
        out.insert(place.of_aws("ec2", &format!("image/{image}")));
    }
    for subnet in named(&|launch| launch.subnets.clone()) {
        out.insert(place.of_ours("ec2", &format!("subnet/{subnet}")));
    }
    for group in named(&|launch| launch.security_groups.clone()) {
        out.insert(place.of_ours("ec2", &format!("security-group/{group}")));
    }
    for launch in launches {
        let pair = launch.key_pair.clone();
        match &launch.image {
            Image::Template { name, .. } => {
                let id = if name.starts_with("lt-") { name.as_str() } else { "*" };
                out.insert(place.of_ours("ec2", &format!("launch-template/{id}")));
                let pair = pair.unwrap_or_else(|| "*".to_owned());
                out.insert(place.of_ours("ec2", &format!("key-pair/{pair}")));
            }
            Image::Id(_) => {
                let arn = |pair| place.of_ours("ec2", &format!("key-pair/{pair}"));
                out.extend(pair.map(arn));
            }
        }
    }
    out
}

/// The roles that servers get. A profile mostly has the name of its role, and need not.
fn roles(
    launches: &[&LaunchPolicy],
    args: &IamPolicy,
    remarks: &mut Vec<String>,
) -> BTreeSet<String> {
    if !args.server_role.is_empty() || args.observe {
        return args.server_role.iter().cloned().collect();
    }
    let profiles = launches.iter().filter_map(|launch| launch.instance_profile.as_deref());
    let name = |profile: &str| profile.rsplit('/').next().unwrap_or(profile).to_owned();
    let roles: BTreeSet<String> = profiles.map(name).collect();
    if !roles.is_empty() {
        let listed = roles.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        remarks.push(format!(
            "taken for the names of roles: {listed}. A profile's role may have another name: give \
             it with --server-role"
        ));
    }
    let templated = launches.iter().any(|launch| {
        matches!(launch.image, Image::Template { .. }) && launch.instance_profile.is_none()
    });
    if templated {
        remarks.push(
            "a launch template may give servers a role, which nobody may do but with --server-role"
                .to_owned(),
        );
    }
    roles
}

/// The parameters by which EC2 is to find images.
fn parameters(launches: &[&LaunchPolicy], place: &Place<'_>) -> BTreeSet<String> {
    let named = launches.iter().filter_map(|launch| match &launch.image {
        Image::Id(id) => id.strip_prefix(PARAMETER),
        Image::Template { .. } => None,
    });
    // `NAME:VERSION` is one parameter; AWS's own, which begin with /aws, have no account.
    let arn = |name: &str| {
        let bare = name.split(':').next().unwrap_or(name).trim_start_matches('/');
        if bare.starts_with("aws/") {
            place.of_aws("ssm", &format!("parameter/{bare}"))
        } else {
            place.of_ours("ssm", &format!("parameter/{bare}"))
        }
    };
    named.map(arn).collect()
}

#[cfg(test)]
mod tests;
