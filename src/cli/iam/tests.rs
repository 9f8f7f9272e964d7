//! The policy that is printed for a policy file.

use super::*;
use tidegate_engine::model::launch::tag;
use tidegate_engine::model::time::Timestamp;

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
    let policy = tidegate_engine::policy::load("t", text, Timestamp::UNIX_EPOCH).policy.unwrap();
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
        let service =
            if region.starts_with("cn-") { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" };
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
fn policy_has_the_rights_that_the_file_needs() {
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
fn look_names_reads_of_what_the_file_uses() {
    let plain = "\
version: 1
region: eu-west-1
fleets:
  job:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-1] }
    max: 1
";
    let template = plain.replace("image: ami-0123456789abcdef0", "template: \"jobs:7\"");
    let grouped = format!("{plain}    load_balancer: {{ target_group: web }}\n");
    let templates = "ec2:DescribeLaunchTemplateVersions";
    let groups = "ec2:DescribeSecurityGroups";
    let balancers = "elasticloadbalancing:DescribeLoadBalancers";
    for (text, expected) in [
        (plain, [false, false, false]),
        (&*template, [true, true, false]),
        (&*grouped, [false, false, true]),
        (FILE, [false, true, true]),
    ] {
        let (document, _) = made(text, &with(None));
        let look = statement(&document, "Look").unwrap()["Action"].to_string();
        let found =
            [templates, groups, balancers].map(|right| look.contains(&format!("{right}\"")));
        assert_eq!(found, expected, "{text}{look}");
        assert!(look.contains("ec2:DescribeInstanceTypes"), "{look}");
    }
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
        assert_eq!((&tell["Action"], &tell["Resource"]), (&json!("sns:Publish"), &json!([topic])));
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
