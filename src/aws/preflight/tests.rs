//! What is judged of facts, without AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::{
    Front, FrontKind, Fronts, ImageFacts, Interface, Protection, Subnet, TargetGroup, Template,
    TypeFacts,
};
use super::*;
use tidegate_engine::model::fleet::Pool;
use tidegate_engine::model::launch::{Image, Token};

fn request(image: &Image, kind: &str, subnet: Option<&str>, group: Option<&str>) -> LaunchRequest {
    let kind = (!kind.is_empty()).then(|| kind.into());
    LaunchRequest {
        token: Token::from_stored("t"),
        image: image.clone(),
        pool: Pool { instance_type: kind, subnet: subnet.map(Into::into) },
        key_pair: None,
        security_groups: group.map(str::to_owned).into_iter().collect(),
        instance_profile: None,
        user_data: String::new(),
        tags: Arc::default(),
        drains: false,
    }
}

/// A fleet in two zones, of an image.
fn fleet() -> Asked {
    let image = Image::Id("ami-1".to_owned());
    let each = ["subnet-a", "subnet-b"];
    Asked {
        fleet: FleetName::new("app").unwrap(),
        requests: each.map(|subnet| request(&image, "t3.small", Some(subnet), Some("sg-1"))).into(),
        balancer: None,
        launch_line: Some(7),
        balancer_line: Some(9),
    }
}

fn templated(subnet: Option<&str>, group: Option<&str>) -> Asked {
    let image = Image::Template { name: "web".to_owned(), version: "$Latest".to_owned() };
    Asked { requests: vec![request(&image, "", subnet, group)], ..fleet() }
}

fn subnet(id: &str, zone: &str, vpc: &str) -> (String, Subnet) {
    let text = |text: &str| text.to_owned();
    (text(id), Subnet { id: text(id), zone: text(zone), vpc: text(vpc) })
}

/// A region in which everything fits.
fn facts() -> Facts {
    let image = |architecture: &str| ImageFacts {
        name: Some("golden".to_owned()),
        architecture: Some(architecture.to_owned()),
        virtualization: Some("hvm".to_owned()),
        state: Some("available".to_owned()),
    };
    let kind = |architecture: &str| TypeFacts {
        architectures: vec![architecture.to_owned()],
        virtualizations: vec!["hvm".to_owned()],
    };
    Facts {
        subnets: Ok([
            subnet("subnet-a", "z-a", "vpc-1"),
            subnet("subnet-b", "z-b", "vpc-1"),
            subnet("subnet-x", "z-a", "vpc-2"),
        ]
        .into()),
        groups: Ok([("sg-1".to_owned(), "vpc-1".to_owned())].into()),
        images: Ok(
            [("ami-1".to_owned(), image("x86_64")), ("ami-arm".to_owned(), image("arm64"))].into()
        ),
        types: Ok([
            ("t3.small".to_owned(), kind("x86_64")),
            ("t4g.small".to_owned(), kind("arm64")),
        ]
        .into()),
        templates: BTreeMap::new(),
        fronts: Fronts {
            classic: Ok(BTreeMap::new()),
            groups: Ok(Vec::new()),
            balancers: Ok(BTreeMap::new()),
        },
    }
}

fn texts(facts: &Facts, asked: &Asked, verdict: Verdict) -> Vec<String> {
    let found = judge(facts, asked).into_iter().filter(|found| found.verdict == verdict);
    found.map(|found| found.text).collect()
}

/// The problems are just these: each has its part of the text, in order.
#[track_caller]
fn problems(facts: &Facts, asked: &Asked, expected: &[&str]) {
    let found = texts(facts, asked, Verdict::Problem);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (text, part) in found.iter().zip(expected) {
        assert!(text.starts_with("app: ") && text.contains(part), "{part}\n{text}");
        assert!(text.contains("; ") && text.contains(" (line "), "a remedy and a line: {text}");
    }
}

fn with_template(template: Template) -> Facts {
    let named = ("web".to_owned(), "$Latest".to_owned());
    Facts { templates: [(named, Ok(Some(template)))].into(), ..facts() }
}

fn plain() -> Template {
    Template {
        version: Some(7),
        image: Some("ami-1".to_owned()),
        instance_type: Some("t3.small".to_owned()),
        ..Template::default()
    }
}

#[test]
fn fitting_fleet_has_no_problem() {
    problems(&facts(), &fleet(), &[]);
    let good = texts(&facts(), &fleet(), Verdict::Good);
    assert!(good.contains(&"app: subnet-b in z-b".to_owned()), "{good:?}");
    assert!(good.contains(&"app: t3.small boots ami-1 (x86_64)".to_owned()), "{good:?}");
    problems(&with_template(plain()), &templated(Some("subnet-a"), Some("sg-1")), &[]);
}

#[test]
fn subnets_and_groups_are_of_one_vpc() {
    let facts = facts();
    let mut asked = fleet();
    let image = Image::Id("ami-1".to_owned());
    asked.requests.push(request(&image, "t3.small", Some("subnet-x"), Some("sg-1")));
    problems(
        &facts,
        &asked,
        &["subnet-b in vpc-1 and subnet-x in vpc-2", "sg-1 is of vpc-1, and subnet-x of vpc-2"],
    );
    let gone = request(&image, "t3.small", Some("subnet-0"), Some("sg-0"));
    asked.requests = vec![gone];
    problems(&facts, &asked, &["there is no subnet subnet-0", "there is no security group sg-0"]);
}

#[test]
fn types_boot_the_image_of_policy_or_template() {
    let facts = facts();
    let arm = Image::Id("ami-arm".to_owned());
    let one = |image: &Image, kind| {
        let requests = vec![request(image, kind, Some("subnet-a"), Some("sg-1"))];
        Asked { requests, ..fleet() }
    };
    problems(&facts, &one(&arm, "t4g.small"), &[]);
    problems(
        &facts,
        &one(&arm, "t3.small"),
        &["t3.small boots images of x86_64, and ami-arm is arm64"],
    );
    problems(&facts, &one(&arm, "t9.huge"), &["no instance type t9.huge"]);
    problems(&facts, &one(&Image::Id("ami-0".to_owned()), "t3.small"), &["no image ami-0"]);
    // Nothing is known of what a parameter names.
    problems(&facts, &one(&Image::Id("resolve:ssm:/a".to_owned()), "t3.small"), &[]);
    let template = Template { image: Some("ami-arm".to_owned()), ..plain() };
    problems(
        &with_template(template),
        &templated(None, None),
        &["t3.small boots images of x86_64"],
    );
}

#[test]
fn templates_that_cannot_end_or_start_are_problems() {
    let single = |what: &str| Interface { single: Some(what.to_owned()), ..Interface::default() };
    let cases = [
        (Template { persistent_spot: true, ..plain() }, "persistent spot requests"),
        (
            Template { protections: vec![Protection::Termination], ..plain() },
            "DisableApiTermination",
        ),
        (Template { protections: vec![Protection::Stop], ..plain() }, "DisableApiStop"),
        (Template { requirements: true, ..plain() }, "InstanceRequirements"),
        (Template { image: None, ..plain() }, "has no image"),
        (Template { interfaces: vec![single("private address 10.0.0.9")], ..plain() }, "10.0.0.9"),
    ];
    for (template, part) in cases {
        problems(&with_template(template), &templated(None, None), &[part]);
    }
    let facts = Facts {
        templates: [(("web".to_owned(), "$Latest".to_owned()), Ok(None))].into(),
        ..facts()
    };
    problems(&facts, &templated(None, None), &["there is no launch template web, version $Latest"]);
}

#[test]
fn template_interfaces_exclude_subnets_and_groups() {
    let interface = Interface { subnet: Some("subnet-a".to_owned()), ..Interface::default() };
    let facts = with_template(Template { interfaces: vec![interface], ..plain() });
    problems(&facts, &templated(None, None), &[]);
    problems(&facts, &templated(Some("subnet-b"), None), &["refuses `subnets` beside them"]);
    problems(&facts, &templated(None, Some("sg-1")), &["refuses `security_groups` beside them"]);
    let placed = with_template(Template { zone: Some("z-a".to_owned()), ..plain() });
    problems(&placed, &templated(Some("subnet-a"), None), &[]);
    let mut both = templated(Some("subnet-a"), None);
    both.requests.extend(templated(Some("subnet-b"), None).requests);
    problems(&placed, &both, &["in z-a, and subnet-b is in z-b"]);
}

#[test]
fn unread_template_leaves_its_fleet_unverified() {
    let refused = Fault::new(FaultKind::Permission, "UnauthorizedOperation", "no");
    let named = ("web".to_owned(), "$Latest".to_owned());
    let facts = Facts { templates: [(named, Err(refused))].into(), ..facts() };
    let mut asked = templated(None, None);
    asked.balancer = Some(Balancer::Classic("web".to_owned()));
    assert_eq!(texts(&facts, &asked, Verdict::Problem), [] as [String; 0]);
    assert_eq!(texts(&facts, &asked, Verdict::Good), [] as [String; 0]);
    let unknown = texts(&facts, &asked, Verdict::Unknown);
    assert!(unknown.len() == 1 && unknown[0].contains(template::RIGHT), "{unknown:?}");
}

#[test]
fn missing_rights_are_named_and_nothing_is_good() {
    let no = || Fault::new(FaultKind::Permission, "UnauthorizedOperation", "no");
    let fronts = Fronts { classic: Err(no()), groups: Err(no()), balancers: Err(no()) };
    let facts = Facts {
        subnets: Err(no()),
        groups: Err(no()),
        images: Err(no()),
        types: Err(no()),
        fronts,
        ..facts()
    };
    let mut asked = fleet();
    asked.balancer = Some(Balancer::TargetGroup("web".to_owned()));
    assert_eq!(judge(&facts, &asked), []);
    let unknown = unread(&facts);
    assert!(unknown.iter().all(|found| found.verdict == Verdict::Unknown));
    for right in [
        "ec2:DescribeSubnets",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeImages",
        "ec2:DescribeInstanceTypes",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeTargetGroups",
    ] {
        assert!(unknown.iter().any(|found| found.text.contains(right)), "{right}: {unknown:?}");
    }
}

fn front(kind: FrontKind, zones: &[&str], cross_zone: Option<bool>) -> Front {
    let zones: BTreeSet<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
    Front { name: "front".to_owned(), kind, vpc: Some("vpc-1".to_owned()), zones, cross_zone }
}

fn group(target_type: &str, vpc: &str, balancers: &[&str]) -> TargetGroup {
    TargetGroup {
        arn: "arn:web".to_owned(),
        name: "web".to_owned(),
        target_type: target_type.to_owned(),
        vpc: Some(vpc.to_owned()),
        balancers: balancers.iter().map(|arn| (*arn).to_owned()).collect(),
        cross_zone: None,
    }
}

fn behind(group: TargetGroup, front: Front) -> (Facts, Asked) {
    let balancers = [("arn:front".to_owned(), front)].into();
    let fronts = Fronts { groups: Ok(vec![group]), balancers: Ok(balancers), ..facts().fronts };
    let balancer = Some(Balancer::TargetGroup("web".to_owned()));
    (Facts { fronts, ..facts() }, Asked { balancer, ..fleet() })
}

#[test]
fn target_groups_take_instances_of_their_vpc() {
    let both = || front(FrontKind::Application, &["z-a", "z-b"], None);
    for (group, expected) in [
        (group("instance", "vpc-1", &["arn:front"]), &[][..]),
        (group("ip", "vpc-1", &["arn:front"]), &["targets of type ip"]),
        (group("alb", "vpc-1", &["arn:front"]), &["targets of type alb"]),
        (group("instance", "vpc-2", &["arn:front"]), &["is of vpc-2, and subnet-a of vpc-1"]),
        (group("instance", "vpc-1", &[]), &["no load balancer forwards to target group web"]),
    ] {
        let (facts, asked) = behind(group, both());
        problems(&facts, &asked, expected);
    }
    // Of a group that takes no instances nothing else counts.
    let narrow = front(FrontKind::Application, &["z-a"], None);
    let (facts, asked) = behind(group("ip", "vpc-2", &["arn:front"]), narrow);
    problems(&facts, &asked, &["targets of type ip"]);
}

#[test]
fn zones_that_are_not_enabled_get_no_traffic() {
    let one = &["z-a"][..];
    let group = || group("instance", "vpc-1", &["arn:front"]);
    let missing =
        "is not enabled in z-b, the zone of subnet-b, so that instances there get no traffic";
    for kind in [FrontKind::Application, FrontKind::Network] {
        // Cross-zone balancing is of no use to an application load balancer.
        let cross_zone = Some(kind == FrontKind::Application);
        let (region, asked) = behind(group(), front(kind, one, cross_zone));
        problems(&region, &asked, &[missing]);
    }
    let (region, asked) = behind(group(), front(FrontKind::Network, one, Some(true)));
    problems(&region, &asked, &[]);
    let unknown = texts(&region, &asked, Verdict::Unknown);
    assert!(unknown.len() == 1 && unknown[0].contains("not enabled in z-b"), "{unknown:?}");
    // The group's own setting goes before that of its load balancer.
    let own = TargetGroup { cross_zone: Some(false), ..group() };
    let (region, asked) = behind(own, front(FrontKind::Network, one, Some(true)));
    problems(&region, &asked, &[missing]);
    let classic = |zones| {
        let classic = Ok([("web".to_owned(), front(FrontKind::Classic, zones, None))].into());
        Facts { fronts: Fronts { classic, ..facts().fronts }, ..facts() }
    };
    let asked = Asked { balancer: Some(Balancer::Classic("web".to_owned())), ..fleet() };
    problems(&classic(one), &asked, &[missing]);
    problems(&classic(&["z-a", "z-b", "z-c"]), &asked, &[]);
    let good = texts(&classic(&["z-a", "z-b"]), &asked, Verdict::Good);
    assert!(
        good.contains(&"app: load balancer web takes instances in z-a and z-b".to_owned()),
        "{good:?}"
    );
}
