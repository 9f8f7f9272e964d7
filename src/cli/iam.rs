//! `tidegate iam-policy`: the least IAM policy for this very policy file. Made of
//! `deploy/iam-policy.json`, which a test holds to the calls that are made, by leaving out what the
//! file has no use for and naming what it names.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::out::raw;
use super::{FAILED, Failure, USAGE, check};
use crate::model::balancer::Balancer;
use crate::model::launch::Image;
use crate::policy::notify::Target;
use crate::policy::{LaunchPolicy, Policy};
use crate::settings::Settings;

const WHOLE: &str = include_str!("../../deploy/iam-policy.json");

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
            Some("Look") => look(statement, !classic.is_empty(), !groups.is_empty()),
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

/// Asks only of the kinds of balancers that there are.
fn look(statement: &mut Value, classic: bool, groups: bool) {
    let Some(actions) = statement["Action"].as_array_mut() else { return };
    actions.retain(|action| match action.as_str() {
        Some("elasticloadbalancing:DescribeInstanceHealth") => classic,
        Some(action) if action.contains(":DescribeTarget") => groups,
        _ => true,
    });
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
mod tests {
    use super::*;
    use crate::model::launch::tag;
    use crate::model::time::Timestamp;

    const FILE: &str = "\
version: 1
region: eu-west-1
install: blue
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-1, subnet-2], security_groups: [sg-1], key_pair: main, instance_profile: app-server }
    load_balancer: { classic: web }
    max: 3
";

    fn made(text: &str, args: &IamPolicy) -> (Value, Vec<String>) {
        let policy = crate::policy::load("t", text, Timestamp::UNIX_EPOCH).policy.unwrap();
        let region = policy.region.clone().unwrap();
        let account = args.account.clone().unwrap_or_else(|| "*".to_owned());
        least(&policy, &Place { region: &region, account: &account }, args).unwrap()
    }

    #[test]
    fn arns_name_the_partition_of_the_region() {
        for (region, partition) in [
            ("us-gov-west-1", "aws-us-gov"),
            ("cn-northwest-1", "aws-cn"),
            ("us-isob-east-1", "aws-iso-b"),
            ("us-west-2", "aws"),
        ] {
            let file = FILE.replace("eu-west-1", region);
            let (made, _) = made(&file, &with(Some("123456789012")));
            let text = made.to_string();
            let arns = text.matches("\"arn:").count();
            let right = text.matches(&format!("\"arn:{partition}:")).count();
            assert!(arns > 10 && arns == right, "{region}: {text}");
            let service = if region.starts_with("cn-") {
                "ec2.amazonaws.com.cn"
            } else {
                "ec2.amazonaws.com"
            };
            assert!(text.contains(&format!("\"{service}\"")), "{region}: {text}");
        }
    }

    fn with(account: Option<&str>) -> IamPolicy {
        let account = account.map(str::to_owned);
        IamPolicy { account, region: None, server_role: Vec::new(), observe: false }
    }

    fn statement<'a>(document: &'a Value, sid: &str) -> Option<&'a Value> {
        document["Statement"].as_array().unwrap().iter().find(|s| s["Sid"] == sid)
    }

    #[test]
    fn it_names_what_the_file_names_and_leaves_out_what_it_has_no_use_for() {
        let (document, remarks) = made(FILE, &with(Some("123456789012")));
        assert_eq!(
            statement(&document, "LaunchFrom").unwrap()["Resource"],
            json!([
                "arn:aws:ec2:eu-west-1:123456789012:key-pair/main",
                "arn:aws:ec2:eu-west-1:123456789012:security-group/sg-1",
                "arn:aws:ec2:eu-west-1:123456789012:subnet/subnet-1",
                "arn:aws:ec2:eu-west-1:123456789012:subnet/subnet-2",
                "arn:aws:ec2:eu-west-1::image/ami-0123456789abcdef0",
                "arn:aws:ec2:eu-west-1::snapshot/*",
            ])
        );
        let classic = &statement(&document, "ClassicLoadBalancers").unwrap()["Resource"];
        let web = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/web";
        assert_eq!(*classic, json!([web]));
        assert_eq!(statement(&document, "TargetGroups"), None);
        assert_eq!(statement(&document, "TellPeople"), None);
        let role = &statement(&document, "GiveServersTheirRole").unwrap()["Resource"];
        assert_eq!(*role, json!(["arn:aws:iam::123456789012:role/app-server"]));
        let text = document.to_string();
        assert!(text.contains("\"aws:RequestTag/tidegate:install\":\"blue\""), "{text}");
        assert!(!text.contains("DescribeTarget"), "{text}");
        for placeholder in ["PARTITION", "SUFFIX", "REGION", "ACCOUNT", "INSTALL", "SERVER_ROLE"] {
            assert!(!text.contains(placeholder), "{placeholder}: {text}");
        }
        assert_eq!(remarks.len(), 1, "{remarks:?}");
    }

    #[test]
    fn drain_needs_one_tag_of_own_instances() {
        let draining = format!("{FILE}    drain: {{ via: tag, deadline: 30m }}\n");
        let (document, _) = made(&draining, &with(Some("123456789012")));
        let tags = statement(&document, "TagOnlyDrainOfOwn").unwrap();
        assert_eq!(tags["Action"], json!(["ec2:CreateTags", "ec2:DeleteTags"]));
        assert_eq!(tags["Resource"], json!("arn:aws:ec2:eu-west-1:123456789012:instance/*"));
        let condition = json!({
            "StringEquals": { "aws:ResourceTag/tidegate:install": "blue" },
            "ForAllValues:StringEquals": { "aws:TagKeys": [tag::DRAIN] },
            "Null": { "aws:TagKeys": "false" },
        });
        assert_eq!(tags["Condition"], condition);
        let observing = IamPolicy { observe: true, ..with(None) };
        for (text, args) in [(FILE, &with(None)), (&*draining, &observing)] {
            let (document, _) = made(text, args);
            assert_eq!(statement(&document, "TagOnlyDrainOfOwn"), None);
        }
        // The right to tag a launch stays bound to the launch.
        let launch = statement(&document, "TagOnlyAtLaunch").unwrap()["Condition"].to_string();
        assert!(launch.contains(r#""ec2:CreateAction":"RunInstances""#), "{launch}");
    }

    #[test]
    fn who_is_told_over_sns_is_told_in_observe_mode_too() {
        let topic = "arn:aws:sns:eu-west-1:123456789012:ops";
        let text = format!("{FILE}notify: {{ ops: {{ sns: \"{topic}\" }} }}\n");
        for observe in [false, true] {
            let (document, _) = made(&text, &IamPolicy { observe, ..with(None) });
            let tell = statement(&document, "TellPeople").unwrap();
            assert_eq!(
                (&tell["Action"], &tell["Resource"]),
                (&json!("sns:Publish"), &json!([topic]))
            );
        }
    }

    #[test]
    fn what_the_file_leaves_open_stays_open() {
        let more = "  job:\n    launch: { template: \"workers:7\" }\n    max: 1\n    \
                    load_balancer: { target_group: pages }\n";
        let (document, remarks) = made(&format!("{FILE}{more}"), &with(None));
        let from = statement(&document, "LaunchFrom").unwrap()["Resource"].to_string();
        for any in ["image/*", "subnet/*", "security-group/*", "launch-template/*", "key-pair/*"] {
            assert!(from.contains(any), "{any}: {from}");
        }
        let groups = &statement(&document, "TargetGroups").unwrap()["Resource"];
        let pages = "arn:aws:elasticloadbalancing:eu-west-1:*:targetgroup/pages/*";
        assert_eq!(*groups, json!([pages]));
        assert_eq!(remarks.len(), 3, "{remarks:?}");
    }

    #[test]
    fn images_by_parameter_need_the_parameter() {
        let text = FILE.replace("ami-0123456789abcdef0", "\"resolve:ssm:/golden/app:3\"");
        let (document, _) = made(&text, &with(Some("123456789012")));
        let resolve = &statement(&document, "ResolveImages").unwrap()["Resource"];
        assert_eq!(*resolve, json!(["arn:aws:ssm:eu-west-1:123456789012:parameter/golden/app"]));
        let from = statement(&document, "LaunchFrom").unwrap()["Resource"].to_string();
        assert!(from.contains("::image/*"), "{from}");
    }

    #[test]
    fn to_observe_is_to_look() {
        let args = IamPolicy { observe: true, ..with(None) };
        let (document, _) = made(FILE, &args);
        assert_eq!(document["Statement"].as_array().unwrap().len(), 1);
        assert!(statement(&document, "Look").is_some());
    }
}
