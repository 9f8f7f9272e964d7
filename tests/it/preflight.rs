//! What `tidegate check` finds in things that exist and cannot work, by the built binary on moto.

use aws_sdk_ec2::types::{
    InstanceType, LaunchTemplateInstanceMarketOptionsRequest as MarketOptions,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest as Interface,
    LaunchTemplateSpotMarketOptionsRequest as SpotOptions, MarketType, RequestLaunchTemplateData,
    SpotInstanceType,
};
use aws_sdk_elasticloadbalancing::types::Listener;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, LoadBalancerAttribute, LoadBalancerTypeEnum, ProtocolEnum,
    TargetTypeEnum,
};

use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::moto::Moto;
use crate::support::proxy::{Proxy, Trick};

/// A fleet of the file. `launch` and `more` are YAML.
fn fleet(name: &str, launch: &str, more: &str) -> String {
    format!("  {name}:\n    launch: {{ {launch} }}\n    max: 1\n    mode: observe\n{more}")
}

/// A launch of moto's image in both of its subnets, with these keys beside them.
fn usual(moto: &Moto) -> String {
    let [first, second] = &moto.subnets;
    format!("image: {}, types: [t3.small], subnets: [{first}, {second}]", moto.image)
}

/// Verdicts and texts of `tidegate check --json`, and its exit code.
fn checked(endpoint: &str, fleets: &[String]) -> (Option<i32>, Vec<(String, String)>) {
    let text = format!("version: 1\nregion: us-east-1\nfleets:\n{}", fleets.concat());
    let daemon = Daemon::new(endpoint, &text);
    let output = daemon.ask(&["check", "--json"]);
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("`check --json` prints a document");
    assert_eq!(said["valid"], true, "{said}");
    let found = said["aws"].as_array().unwrap().iter();
    let text = |found: &serde_json::Value| found.as_str().unwrap().to_owned();
    let found = found.map(|found| (text(&found["verdict"]), text(&found["text"])));
    (output.status.code(), found.collect())
}

/// The texts of one verdict that are about the fleet.
fn about<'a>(found: &'a [(String, String)], verdict: &str, fleet: &str) -> Vec<&'a str> {
    let prefix = format!("{fleet}: ");
    let ours = found.iter().filter(|(is, text)| is == verdict && text.starts_with(&prefix));
    ours.map(|(_, text)| text.as_str()).collect()
}

/// The fleet has just this problem, with a remedy and a line; `None`: it has none.
#[track_caller]
fn problem(found: &[(String, String)], fleet: &str, part: Option<&str>) {
    let problems = about(found, "problem", fleet);
    match part {
        None => assert!(problems.is_empty(), "{problems:#?}"),
        Some(part) => {
            assert!(problems.len() == 1 && problems[0].contains(part), "{part}\n{found:#?}");
            assert!(problems[0].contains("; ") && problems[0].contains("(line "), "{problems:?}");
        }
    }
}

/// Another VPC with one subnet.
async fn elsewhere(moto: &Moto) -> (String, String) {
    let made = moto.ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
    let vpc = made.vpc().unwrap().vpc_id().unwrap().to_owned();
    let call = moto.ec2.create_subnet().vpc_id(&vpc).cidr_block("10.9.1.0/24");
    let made = call.availability_zone("us-east-1a").send().await.unwrap();
    (vpc, made.subnet().unwrap().subnet_id().unwrap().to_owned())
}

async fn security_group(moto: &Moto, vpc: &str) -> String {
    let call = moto.ec2.create_security_group().group_name(format!("of-{vpc}"));
    let made = call.description("servers").vpc_id(vpc).send().await.unwrap();
    made.group_id().unwrap().to_owned()
}

async fn target_group(moto: &Moto, name: &str, kind: TargetTypeEnum, vpc: &str) -> String {
    let call = moto.elbv2.create_target_group().name(name).target_type(kind).vpc_id(vpc);
    // Network load balancers have groups of their own protocols.
    let protocol = if name.starts_with("tcp") { ProtocolEnum::Tcp } else { ProtocolEnum::Http };
    let made = call.protocol(protocol).port(80).send().await.unwrap();
    made.target_groups()[0].target_group_arn().unwrap().to_owned()
}

/// A load balancer in front of a group, in these subnets; its ARN.
async fn front(moto: &Moto, kind: LoadBalancerTypeEnum, group: &str, subnets: &[String]) -> String {
    let application = kind == LoadBalancerTypeEnum::Application;
    let protocol = if application { ProtocolEnum::Http } else { ProtocolEnum::Tcp };
    let name = format!("front-{}-{}", kind.as_str(), group.rsplit('/').nth(1).unwrap());
    let call = moto.elbv2.create_load_balancer().name(name).r#type(kind);
    let made = call.set_subnets(Some(subnets.to_vec())).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap().to_owned();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group);
    let call = moto.elbv2.create_listener().load_balancer_arn(&arn).port(80);
    let call = call.protocol(protocol).default_actions(action.build());
    call.send().await.unwrap();
    arn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_groups_that_take_no_instance_are_problems() {
    let moto = Moto::start().await;
    let (other, _) = elsewhere(&moto).await;
    let application = || LoadBalancerTypeEnum::Application;
    let fits = target_group(&moto, "fits", TargetTypeEnum::Instance, &moto.vpc).await;
    front(&moto, application(), &fits, &moto.subnets).await;
    let by_ip = target_group(&moto, "by-ip", TargetTypeEnum::Ip, &moto.vpc).await;
    front(&moto, application(), &by_ip, &moto.subnets).await;
    let afar = target_group(&moto, "afar", TargetTypeEnum::Instance, &other).await;
    front(&moto, application(), &afar, &moto.subnets).await;
    target_group(&moto, "idle", TargetTypeEnum::Instance, &moto.vpc).await;
    let each = ["fits", "by-ip", "afar", "idle"];
    let fleets = each.map(|name| {
        let more = format!("    load_balancer: {{ target_group: {name} }}\n");
        fleet(name, &usual(&moto), &more)
    });
    let by_arn = format!("    load_balancer: {{ target_group: \"{by_ip}\" }}\n");
    let fleets = [&fleets[..], &[fleet("by-arn", &usual(&moto), &by_arn)]].concat();
    let (code, found) = checked(&moto.endpoint, &fleets);
    assert_eq!(code, Some(1), "{found:#?}");
    problem(&found, "fits", None);
    let zones = "target group fits takes instances in us-east-1a and us-east-1b";
    assert!(about(&found, "ok", "fits").iter().any(|text| text.ends_with(zones)), "{found:#?}");
    problem(&found, "by-ip", Some("takes targets of type ip, and tidegate registers instances"));
    problem(&found, "by-arn", Some("takes targets of type ip, and tidegate registers instances"));
    problem(&found, "afar", Some(&format!("target group afar is of {other}")));
    problem(&found, "idle", Some("no load balancer forwards to target group idle"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zones_without_their_load_balancer_are_problems() {
    let moto = Moto::start().await;
    let [first, second] = &moto.subnets;
    let listener = || {
        let listener = Listener::builder().protocol("HTTP").load_balancer_port(80);
        listener.instance_port(80).build().unwrap()
    };
    for (name, zones) in [("narrow", &["us-east-1a"][..]), ("wide", &["us-east-1a", "us-east-1b"])]
    {
        let call = moto.elb.create_load_balancer().load_balancer_name(name).listeners(listener());
        let zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        call.set_availability_zones(Some(zones)).send().await.unwrap();
    }
    let one = std::slice::from_ref(first);
    let mut fleets = Vec::new();
    for (name, kind) in [
        ("app", LoadBalancerTypeEnum::Application),
        ("tcp", LoadBalancerTypeEnum::Network),
        ("tcp-crossing", LoadBalancerTypeEnum::Network),
    ] {
        let group = target_group(&moto, name, TargetTypeEnum::Instance, &moto.vpc).await;
        let arn = front(&moto, kind, &group, one).await;
        let on = LoadBalancerAttribute::builder().key("load_balancing.cross_zone.enabled");
        let on = on.value(if name == "tcp-crossing" { "true" } else { "false" }).build();
        let call = moto.elbv2.modify_load_balancer_attributes().load_balancer_arn(arn);
        call.attributes(on).send().await.unwrap();
        let more = format!("    load_balancer: {{ target_group: {name} }}\n");
        fleets.push(fleet(name, &usual(&moto), &more));
    }
    for name in ["narrow", "wide"] {
        let more = format!("    load_balancer: {{ classic: {name} }}\n");
        fleets.push(fleet(name, &usual(&moto), &more));
    }
    let anywhere = format!("image: {}, types: [t3.small]", moto.image);
    fleets.push(fleet("anywhere", &anywhere, "    load_balancer: { classic: wide }\n"));
    let (code, found) = checked(&moto.endpoint, &fleets);
    assert_eq!(code, Some(1), "{found:#?}");
    let missing = format!(
        "is not enabled in us-east-1b, the zone of {second}, so that instances there get no traffic"
    );
    problem(
        &found,
        "app",
        Some(&format!("application load balancer front-application-app {missing}")),
    );
    problem(&found, "tcp", Some(&format!("network load balancer front-network-tcp {missing}")));
    problem(&found, "narrow", Some(&format!("classic load balancer narrow {missing}")));
    problem(&found, "wide", None);
    problem(&found, "tcp-crossing", None);
    let unknown = about(&found, "unknown", "tcp-crossing");
    assert!(unknown.len() == 1 && unknown[0].contains("not enabled in us-east-1b"), "{unknown:?}");
    let unknown = about(&found, "unknown", "anywhere");
    assert!(unknown.len() == 1 && unknown[0].contains("name `subnets`"), "{unknown:?}");
}

/// A launch template whose versions hold these, the first being the default.
async fn template(moto: &Moto, name: &str, versions: Vec<RequestLaunchTemplateData>) {
    for (n, data) in versions.into_iter().enumerate() {
        if n == 0 {
            let call = moto.ec2.create_launch_template().launch_template_name(name);
            call.launch_template_data(data).send().await.unwrap();
        } else {
            let call = moto.ec2.create_launch_template_version().launch_template_name(name);
            call.launch_template_data(data).send().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_that_cannot_work_are_problems() {
    let moto = Moto::start().await;
    let subnet = &moto.subnets[0];
    let data = || {
        let data = RequestLaunchTemplateData::builder().image_id(&moto.image);
        data.instance_type(InstanceType::T3Small)
    };
    let spot = SpotOptions::builder().spot_instance_type(SpotInstanceType::Persistent).build();
    let market = MarketOptions::builder().market_type(MarketType::Spot).spot_options(spot).build();
    let interface = Interface::builder().device_index(0).subnet_id(subnet).build();
    let versions = vec![
        data().build(),
        data().disable_api_termination(true).build(),
        data().disable_api_stop(true).build(),
        data().network_interfaces(interface).build(),
        RequestLaunchTemplateData::builder().instance_type(InstanceType::T3Small).build(),
        data().instance_market_options(market).build(),
    ];
    template(&moto, "web", versions).await;
    let named = |name: &str, version: &str, subnets: &str| {
        fleet(name, &format!("template: \"web{version}\"{subnets}"), "")
    };
    let subnets = format!(", subnets: [{subnet}]");
    let fleets = [
        named("unsaid", "", &subnets),
        named("default", ":$Default", &subnets),
        named("protected", ":2", &subnets),
        named("unstopped", ":3", &subnets),
        named("wired", ":4", ""),
        named("twice", ":4", &subnets),
        named("blank", ":5", &subnets),
        named("latest", ":$Latest", &subnets),
        named("later", ":9", &subnets),
        fleet("gone", "template: no-such, types: [t3.small]", ""),
    ];
    let (code, found) = checked(&moto.endpoint, &fleets);
    assert_eq!(code, Some(1), "{found:#?}");
    for (fleet, part) in [
        ("unsaid", None),
        ("default", None),
        ("protected", Some("DisableApiTermination")),
        ("unstopped", Some("DisableApiStop")),
        ("wired", None),
        ("twice", Some("RunInstances refuses `subnets` beside them")),
        ("blank", Some("has no image")),
        ("latest", Some("persistent spot requests")),
        ("later", Some("there is no launch template web, version 9")),
    ] {
        // moto's own refusal of a dry run is not of interest here.
        let found: Vec<_> =
            found.iter().filter(|(_, text)| !text.contains(": launching ")).cloned().collect();
        problem(&found, fleet, part);
    }
    let gone = about(&found, "problem", "gone");
    let why = "there is no launch template no-such, version $Default (InvalidLaunchTemplateName";
    assert!(gone.iter().any(|text| text.contains(why)), "{gone:?}");
    let ok = "launch template web, version $Default (now 1) can be launched and terminated";
    assert!(about(&found, "ok", "unsaid").iter().any(|text| text.ends_with(ok)), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_cannot_boot_the_image_are_problems() {
    let moto = Moto::start().await;
    let images = moto.ec2.describe_images().owners("amazon").send().await.unwrap();
    let arm = images.images().iter().find(|image| image.architecture() == Some(&"arm64".into()));
    let arm = arm.and_then(|image| image.image_id()).unwrap();
    let data = RequestLaunchTemplateData::builder().image_id(arm).instance_type("t3.small".into());
    template(&moto, "arm", vec![data.build()]).await;
    let subnet = &moto.subnets[0];
    let launch =
        |image: &str, kind: &str| format!("image: {image}, types: [{kind}], subnets: [{subnet}]");
    let fleets = [
        fleet("x86", &launch(&moto.image, "t3.small, m5.large"), ""),
        fleet("arm", &launch(arm, "t4g.small"), ""),
        fleet("mixed", &launch(arm, "t4g.small, t3.small"), ""),
        fleet("huge", &launch(&moto.image, "t9.huge"), ""),
        fleet("gone", &launch("ami-00000000000000000", "t3.small"), ""),
        fleet("made", &format!("template: arm, subnets: [{subnet}]"), ""),
    ];
    let (code, found) = checked(&moto.endpoint, &fleets);
    assert_eq!(code, Some(1), "{found:#?}");
    let found: Vec<_> =
        found.into_iter().filter(|(_, text)| !text.contains(": launching ")).collect();
    problem(&found, "x86", None);
    problem(&found, "arm", None);
    let misfit = format!("t3.small boots images of x86_64, and {arm} is arm64");
    problem(&found, "mixed", Some(&misfit));
    problem(&found, "made", Some(&misfit));
    problem(&found, "huge", Some("EC2 has no instance type t9.huge in this region"));
    problem(&found, "gone", Some("there is no image ami-00000000000000000"));
    let boots = format!("m5.large and t3.small boot {} (x86_64)", moto.image);
    assert!(about(&found, "ok", "x86").iter().any(|text| text.ends_with(&boots)), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subnets_and_groups_that_do_not_fit_are_problems() {
    let moto = Moto::start().await;
    let (other, afar) = elsewhere(&moto).await;
    let (ours, theirs) =
        (security_group(&moto, &moto.vpc).await, security_group(&moto, &other).await);
    let [first, second] = &moto.subnets;
    let launch = |subnets: &str, groups: &str| {
        let image = &moto.image;
        format!(
            "image: {image}, types: [t3.small], subnets: [{subnets}], security_groups: [{groups}]"
        )
    };
    let fleets = [
        fleet("fits", &launch(&format!("{first}, {second}"), &ours), ""),
        fleet("gone", &launch("subnet-0123456789abcdef0", &ours), ""),
        fleet(
            "split",
            &format!("image: {}, types: [t3.small], subnets: [{first}, {afar}]", moto.image),
            "",
        ),
        fleet("foreign", &launch(first, &theirs), ""),
        fleet("nameless", &launch(first, "sg-0123456789abcdef0"), ""),
    ];
    let (code, found) = checked(&moto.endpoint, &fleets);
    assert_eq!(code, Some(1), "{found:#?}");
    let found: Vec<_> =
        found.into_iter().filter(|(_, text)| !text.contains(": launching ")).collect();
    problem(&found, "fits", None);
    problem(&found, "gone", Some("there is no subnet subnet-0123456789abcdef0"));
    problem(&found, "split", Some("its subnets are of 2 VPCs"));
    problem(
        &found,
        "foreign",
        Some(&format!("security group {theirs} is of {other}, and {first} of")),
    );
    problem(&found, "nameless", Some("there is no security group sg-0123456789abcdef0"));
    assert!(found.iter().all(|(verdict, _)| verdict != "unknown"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_is_named_and_hides_no_other_finding() {
    let moto = Moto::start().await;
    let group = target_group(&moto, "web", TargetTypeEnum::Instance, &moto.vpc).await;
    front(&moto, LoadBalancerTypeEnum::Application, &group, &moto.subnets).await;
    let data = RequestLaunchTemplateData::builder().image_id(&moto.image);
    template(&moto, "web", vec![data.instance_type(InstanceType::T3Small).build()]).await;
    let ours = security_group(&moto, &moto.vpc).await;
    let launch = format!("{}, security_groups: [{ours}]", usual(&moto));
    let subnet = &moto.subnets[0];
    let fleets = [
        fleet("app", &launch, "    load_balancer: { target_group: web }\n"),
        fleet("made", &format!("template: web, subnets: [{subnet}]"), ""),
    ];
    let whole = checked(&moto.endpoint, &fleets).1;
    assert!(whole.iter().all(|(verdict, _)| verdict == "ok"), "{whole:#?}");
    for (call, service) in [
        ("DescribeSubnets", "ec2"),
        ("DescribeSecurityGroups", "ec2"),
        ("DescribeImages", "ec2"),
        ("DescribeInstanceTypes", "ec2"),
        ("DescribeLaunchTemplateVersions", "ec2"),
        ("DescribeTargetGroups", "elasticloadbalancing"),
        ("DescribeLoadBalancers", "elasticloadbalancing"),
    ] {
        let proxy = Proxy::new(&moto.endpoint, 1);
        proxy.on(call, Trick::Refused(403, "UnauthorizedOperation"), 100);
        let (_, found) = checked(&proxy.endpoint, &fleets);
        let right = format!("{service}:{call}");
        let unknown: Vec<_> = found.iter().filter(|(verdict, _)| verdict == "unknown").collect();
        assert!(unknown.len() == 1 && unknown[0].1.contains(&right), "{call}: {found:#?}");
        // Nothing counts as good that is not so with the right.
        let good = found.iter().filter(|(verdict, _)| verdict == "ok");
        assert!(good.clone().all(|one| whole.contains(one)), "{call}: {found:#?}");
        assert!(good.count() < whole.len(), "{call}: {found:#?}");
        // The daemon itself asks for target groups, so that their right is a problem besides.
        let problems = found.iter().filter(|(verdict, _)| verdict == "problem").count();
        assert_eq!(problems, usize::from(call == "DescribeTargetGroups"), "{call}: {found:#?}");
    }
}

/// The drill's AWS answers everything that `check` asks, so that a policy can be tried on it.
#[test]
fn simulated_aws_answers_what_check_asks() {
    let cloud = Cloud::new(Troubles::new());
    for balancer in ["classic", "target_group"] {
        let policy = cloud.policy(balancer, (1, 2));
        let daemon = Daemon::new(&cloud.endpoint, &policy);
        let said = daemon.order(&["check"]);
        let unlike = said.lines().filter(|line| line.starts_with("aws ") && !line.contains(" ok "));
        assert_eq!(unlike.count(), 0, "{said}");
        let zones = "web takes instances in ";
        assert!(said.contains(zones) && said.contains("boot ami-0123456789abcdef0"), "{said}");
    }
}
