//! From what runs to a watched fleet, on moto: the way of somebody who begins.

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use aws_sdk_elasticloadbalancing::types::{HealthCheck, Instance, Listener};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ProtocolEnum, TargetDescription,
};

use crate::support::binary::Daemon;
use crate::support::moto::Moto;
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
