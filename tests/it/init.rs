//! From what runs to a watched fleet, on moto: the way of somebody who begins.

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, BlockDeviceMapping, EbsBlockDevice, HttpTokensState,
    InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, ResourceType,
    RunInstancesMonitoringEnabled, Tag, TagSpecification, VolumeType,
};
use aws_sdk_elasticloadbalancing::types::{HealthCheck, Instance, Listener};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Matcher, ProtocolEnum, TargetDescription,
};

use crate::support::binary::Daemon;
use crate::support::moto::Moto;
use crate::support::proxy::{Proxy, Trick};
use crate::support::{output, wait_for};

/// As the package brings it.
pub(crate) const IDLE: &str = include_str!("../../deploy/debian/policies.yaml");

/// So many servers alike, with this name.
pub(crate) async fn launch(moto: &Moto, count: i32, kind: &str, name: &str) -> Vec<String> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = TagSpecification::builder().resource_type(ResourceType::Instance);
    let tags = tags.tags(tag("Name", name)).tags(tag("team", "pay: roll"));
    let call = moto.ec2.run_instances().image_id(&moto.image).instance_type(kind.into());
    let call = call.subnet_id(&moto.subnets[0]).tag_specifications(tags.build());
    let made = call.min_count(count).max_count(count).send().await.unwrap();
    made.instances().iter().map(|row| row.instance_id().unwrap().to_owned()).collect()
}

pub(crate) async fn classic(moto: &Moto, name: &str, members: &[String], check: &str) {
    let listener = Listener::builder()
        .protocol("HTTP")
        .load_balancer_port(80)
        .instance_protocol("HTTP")
        .instance_port(8080)
        .build()
        .unwrap();
    let call = moto.elb.create_load_balancer().load_balancer_name(name).listeners(listener);
    call.availability_zones("us-east-1a").send().await.unwrap();
    let check = HealthCheck::builder().target(check).interval(30).timeout(5);
    let check = check.unhealthy_threshold(2).healthy_threshold(2).build().unwrap();
    let call = moto.elb.configure_health_check().load_balancer_name(name).health_check(check);
    call.send().await.unwrap();
    let members = members.iter().map(|id| Instance::builder().instance_id(id).build()).collect();
    let call = moto.elb.register_instances_with_load_balancer().load_balancer_name(name);
    call.set_instances(Some(members)).send().await.unwrap();
}

async fn group(moto: &Moto, name: &str, members: &[String]) {
    let call = moto.elbv2.create_target_group().name(name).protocol(ProtocolEnum::Http).port(3000);
    let made = call.vpc_id(&moto.vpc).health_check_path("/healthz").send().await.unwrap();
    let arn = made.target_groups()[0].target_group_arn().unwrap();
    let targets = members.iter().map(|id| TargetDescription::builder().id(id).build()).collect();
    let call = moto.elbv2.register_targets().target_group_arn(arn).set_targets(Some(targets));
    call.send().await.unwrap();
    let call = moto.elbv2.create_load_balancer().name(format!("front-{name}"));
    let made = call.set_subnets(Some(moto.subnets.to_vec())).send().await.unwrap();
    let front = made.load_balancers()[0].load_balancer_arn().unwrap();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(arn);
    let call = moto.elbv2.create_listener().load_balancer_arn(front).port(80);
    let call = call.protocol(ProtocolEnum::Http).default_actions(action.build());
    call.send().await.unwrap();
}

async fn count(moto: &Moto) -> usize {
    let answer = moto.ec2.describe_instances().send().await.unwrap();
    answer.reservations().iter().map(|one| one.instances().len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_what_runs_to_a_watched_fleet() {
    let moto = Moto::start().await;
    let web = launch(&moto, 2, "t3.small", "web").await;
    let api = launch(&moto, 1, "t3.micro", "api").await;
    let jobs = launch(&moto, 3, "c5.large", "job-1").await;
    let db = launch(&moto, 1, "m5.large", "db").await;
    classic(&moto, "smallpayroll-http", &web, "HTTP:8080/up?from=lb").await;
    group(&moto, "api-http", &api).await;

    let mut daemon = Daemon::new(&moto.endpoint, IDLE);
    let said = daemon.order(&["init"]);
    assert!(said.contains("3 fleets of 6 servers in observe mode"), "{said}");
    assert!(said.contains(&format!("{} (db)", db[0])) && said.contains("alone"), "{said}");
    let kept = std::fs::read_to_string(daemon.policy().with_extension("yaml.before-init")).unwrap();
    assert_eq!(kept, IDLE, "what was there is beside it");
    let text = std::fs::read_to_string(daemon.policy()).unwrap();
    for id in web.iter().chain(&api).chain(&jobs).chain(&db) {
        assert!(text.contains(id.as_str()), "{id} is not accounted for:\n{text}");
    }
    for part in [
        "load_balancer: { classic: smallpayroll-http, deregistration_delay: 30s }",
        "health: { http: \"http://{private_ip}:8080/up?from=lb\" }",
        "load_balancer: { target_group: api-http, deregistration_delay: 30s }",
        "health: { http: \"http://{private_ip}:3000/healthz\" }",
        "tags: { Name: web, team: \"pay: roll\" }",
        "types: [c5.large]",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }

    // AWS knows everything in it, and would launch it.
    let checked = daemon.order(&["check"]);
    let allowed = checked.matches("is allowed (dry run)").count();
    assert_eq!(allowed, 3, "{checked}");
    let planned = daemon.order(&["plan"]);
    assert!(planned.contains("job"), "{planned}");

    // It watches.
    daemon.start();
    let status = wait_for("the first tick", || daemon.status());
    let fleets = status["fleets"].as_array().unwrap();
    assert_eq!(fleets.len(), 3, "{status}");
    assert!(fleets.iter().all(|fleet| fleet["mode"] == "observe"), "{status}");
    assert!(fleets.iter().all(|fleet| fleet["wanted"] == fleet["min"]), "{status}");
    let why = daemon.order(&["explain", "web"]);
    assert!(why.contains("in observe mode: nothing is done"), "{why}");
    // What runs is not its own, and it says where it is and how it would be.
    let beside = "2 more in its load balancer are no servers of its own: not counted, never touched; \
                  `tidegate adopt web ";
    let status = daemon.order(&["status"]);
    assert!(why.contains(beside) && status.contains(beside), "{why}\n{status}");
    assert_eq!(count(&moto).await, 7, "nothing was launched");
    assert_eq!(daemon.stop(), 0);

    // A file with fleets is nobody's to write over.
    let again = daemon.ask(&["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is left as it is"), "{again:?}");
    assert_eq!(std::fs::read_to_string(daemon.policy()).unwrap(), text);
    let printed = daemon.ask(&["init", "-"]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_could_be_a_fleet_it_says_why_and_writes_nothing() {
    let moto = Moto::start().await;
    let daemon = Daemon::new(&moto.endpoint, IDLE);
    let alone = launch(&moto, 1, "m5.large", "db").await;
    let said = daemon.ask(&["init"]);
    assert_eq!(said.status.code(), Some(1));
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(told.contains("nothing in us-east-1 could be a fleet") && told.contains(&alone[0]));
    assert_eq!(std::fs::read_to_string(daemon.policy()).unwrap(), IDLE);
    let nowhere = output(daemon.command(&["init"]).env_remove("AWS_REGION"));
    let told = String::from_utf8_lossy(&nowhere.stderr);
    assert!(told.contains("no AWS region is known") && told.contains("--region"), "{told}");
    assert!(!told.contains("NoConnection"), "{told}");
    let nobody = Daemon::new("http://127.0.0.1:1", IDLE);
    let told = nobody.ask(&["init"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&told.stderr).contains("what runs cannot be listed"),
        "{told:?}"
    );
}

/// One server of the fleet `app`, with these settings beside the usual ones.
async fn one(
    moto: &Moto,
    with: impl FnOnce(RunInstancesFluentBuilder) -> RunInstancesFluentBuilder,
) -> String {
    let tag = Tag::builder().key("Name").value("app-1").build();
    let tags = TagSpecification::builder().resource_type(ResourceType::Instance).tags(tag).build();
    let options = InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required);
    let call = moto.ec2.run_instances().instance_type("t3.small".into()).min_count(1).max_count(1);
    let call = call.metadata_options(options.build()).tag_specifications(tags);
    let call = with(call.image_id(&moto.image).subnet_id(&moto.subnets[0]));
    let made = call.send().await.unwrap();
    made.instances()[0].instance_id().unwrap().to_owned()
}

/// The draft of what runs, by a command that must succeed; and what it said.
fn drafted(endpoint: &str) -> (String, String) {
    let daemon = Daemon::new(endpoint, IDLE);
    let said = daemon.order(&["init"]);
    (std::fs::read_to_string(daemon.policy()).unwrap(), said)
}

/// The text without the breaks of its comments.
fn unbroken(text: &str) -> String {
    text.replace("\n  #     ", " ").replace("\n# ", " ")
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_a_fleet_does_not_take_over_are_named() {
    let moto = Moto::start().await;
    let images = moto.ec2.describe_images().owners("amazon").send().await.unwrap();
    let images = images.images().iter().filter_map(|image| image.image_id());
    let other = images.into_iter().find(|id| *id != moto.image).unwrap();
    let options = |tokens, hops| {
        InstanceMetadataOptionsRequest::builder()
            .http_tokens(tokens)
            .http_put_response_hop_limit(hops)
            .build()
    };
    let disk = |device: &str, size| {
        let ebs = EbsBlockDevice::builder().volume_size(size).volume_type(VolumeType::Gp3).build();
        BlockDeviceMapping::builder().device_name(device).ebs(ebs).build()
    };
    let plain = one(&moto, |call| call).await;
    let open =
        one(&moto, |call| call.metadata_options(options(HttpTokensState::Optional, 5))).await;
    let large = one(&moto, |call| call.instance_type("m5.large".into()).image_id(other)).await;
    let wide = one(&moto, |call| call.block_device_mappings(disk("/dev/sdf", 500))).await;
    let watched = one(&moto, |call| {
        call.monitoring(RunInstancesMonitoringEnabled::builder().enabled(true).build())
            .ebs_optimized(true)
            .key_name("ops")
    })
    .await;
    let ids = [&plain, &open, &large, &wide, &watched].map(Clone::clone);
    classic(&moto, "web", &ids, "TCP:8080").await;
    group(&moto, "more", &ids[..1]).await;
    let (text, said) = drafted(&moto.endpoint);
    let text = unbroken(&text);
    for part in [
        format!("metadata HttpTokens: optional on {open}"),
        format!("metadata HttpPutResponseHopLimit: 5 on {open}"),
        format!("{large} has m5.large"),
        format!("disk /dev/sdf: 500 GiB gp3 on {wide}"),
        format!("detailed monitoring: enabled on {watched}"),
        format!("EbsOptimized: true on {watched}"),
        format!("target group more: {plain} is in it too"),
        "health check: load balancer web asks by TCP".to_owned(),
        "Not taken over of these servers. A launch template".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
    // One of the two is the newest server's; launches within a second are in the order of ids.
    assert!(text.contains(&format!("has {other}")) || text.contains(&format!("image: {other} is")));
    assert!(text.contains("key pair: ") && text.contains("root disk: "), "{text}");
    assert!(said.contains("differences are not taken over"), "{said}");
    assert!(!text.contains("Not compared"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn group_with_another_matcher_and_ports_is_named() {
    let moto = Moto::start().await;
    let ids = launch(&moto, 2, "t3.small", "api-1").await;
    let call = moto.elbv2.create_target_group().name("api").protocol(ProtocolEnum::Http).port(3000);
    let matcher = Matcher::builder().http_code("200-399").build();
    let made = call.vpc_id(&moto.vpc).matcher(matcher).send().await.unwrap();
    let arn = made.target_groups()[0].target_group_arn().unwrap();
    for (id, port) in [(&ids[0], 3000), (&ids[1], 3001)] {
        let target = TargetDescription::builder().id(id).port(port).build();
        let call = moto.elbv2.register_targets().target_group_arn(arn).targets(target);
        call.send().await.unwrap();
    }
    let (text, said) = drafted(&moto.endpoint);
    let text = unbroken(&text);
    for part in [
        "health check: target group api accepts HTTP 200-399, and `health` 200 alone".to_owned(),
        format!("target group api: port 3001 for {}; tidegate registers with port 3000", ids[1]),
    ] {
        assert!(text.contains(&part), "{part}\n{text}\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn public_address_of_one_server_is_named() {
    let moto = Moto::start().await;
    let call = moto.ec2.modify_subnet_attribute().subnet_id(&moto.subnets[0]);
    let off = AttributeBooleanValue::builder().value(false).build();
    call.map_public_ip_on_launch(off).send().await.unwrap();
    let interface = InstanceNetworkInterfaceSpecification::builder().device_index(0);
    let interface = interface.associate_public_ip_address(true).subnet_id(&moto.subnets[0]).build();
    let with = one(&moto, |call| call.set_subnet_id(None).network_interfaces(interface)).await;
    let without = one(&moto, |call| call).await;
    classic(&moto, "web", &[with.clone(), without], "HTTP:80/").await;
    let (text, _) = drafted(&moto.endpoint);
    // Every public address of moto belongs to the account, as an Elastic IP does.
    let part = format!("Elastic IP: {with} has one; a launch gets none");
    assert!(unbroken(&text).contains(&part), "{part}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_only_comparison_needs_may_be_missing() {
    let moto = Moto::start().await;
    launch(&moto, 2, "t3.small", "web-1").await;
    let whole = drafted(&moto.endpoint).0;
    assert!(whole.contains("root disk: "), "{whole}");
    for (call, what) in [
        ("DescribeVolumes", "volumes"),
        ("DescribeImages", "images"),
        ("DescribeSubnets", "subnets"),
    ] {
        let proxy = Proxy::new(&moto.endpoint, 1);
        proxy.on(call, Trick::Refused(403, "UnauthorizedOperation"), 100);
        let (text, said) = drafted(&proxy.endpoint);
        let part = format!("Not compared: the {what} of these servers, since ec2:{call} failed");
        assert!(unbroken(&text).contains(&part) && said.contains(&part), "{text}\n{said}");
        assert!(text.contains("types: [t3.small]"), "{text}");
        assert!(!text.contains("does not exist any more"), "what is not read is not gone: {text}");
    }
}
