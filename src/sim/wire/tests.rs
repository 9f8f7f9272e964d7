//! The wire, spoken to with plain TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::ToSpan as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::sim::faults::{Trouble, Troubles};
use crate::sim::telling::Telling;
use crate::sim::world::{Settings, World};
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::Depth;

/// A served world whose clock stands until it is moved.
struct Stage {
    at: SocketAddr,
    clock: Arc<AtomicI64>,
    front: Front,
    server: tokio::task::JoinHandle<io::Result<()>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stage {
    async fn new(troubles: &[Trouble], pages: Option<u16>) -> Self {
        let troubles = troubles.iter().copied().collect::<Troubles>();
        let settings = Settings { troubles, ..Settings::default() };
        let mut world = World::new(settings, Timestamp::UNIX_EPOCH);
        world.add_balancer(Balancer::Classic("web".into()), Duration::from_mins(1));
        world.add_balancer(Balancer::TargetGroup("jobs".into()), Duration::from_mins(1));
        let front = Front::new(world, BTreeMap::new());
        let clock = Arc::new(AtomicI64::new(0));
        let hands = clock.clone();
        let now = move || Timestamp::UNIX_EPOCH + hands.load(Ordering::SeqCst).seconds();
        let mut wire = WireWorld::new(front.clone(), now);
        if let Some(port) = pages {
            wire = wire.with_pages(port);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, wire));
        Self { at, clock, front, server }
    }

    fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn raw(&self, method: &str, path: &str, kind: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        talk(self.at, &request).await
    }

    async fn get(&self, path: &str) -> String {
        self.raw("GET", path, "text/plain", "").await
    }

    async fn ec2(&self, form: &str) -> String {
        let form = format!("Version=2016-11-15&Action={form}");
        self.raw("POST", "/", "application/x-www-form-urlencoded", &form).await
    }

    async fn elb(&self, form: &str) -> String {
        let form = format!("Version=2012-06-01&Action={form}");
        self.raw("POST", "/", "application/x-www-form-urlencoded", &form).await
    }

    async fn elbv2(&self, form: &str) -> String {
        let form = format!("Version=2015-12-01&Action={form}");
        self.raw("POST", "/", "application/x-www-form-urlencoded", &form).await
    }

    async fn launch(&self, token: &str) -> String {
        self.ec2(&launch(token)).await
    }
}

async fn talk(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is one of the answers that are looked for: what came before it counts.
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

fn launch(token: &str) -> String {
    format!(
        "RunInstances&MinCount=1&MaxCount=1&ImageId=ami-1&InstanceType=t3.small\
         &SubnetId=subnet-a&ClientToken={token}&TagSpecification.1.ResourceType=instance\
         &TagSpecification.1.Tag.1.Key=tidegate%3Ainstall&TagSpecification.1.Tag.1.Value=main"
    )
}

/// The texts of all elements of this name.
fn texts<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<{name}>");
    xml.split(&open).skip(1).filter_map(|rest| rest.split('<').next()).collect()
}

#[tokio::test]
async fn the_same_token_twice_is_one_instance() {
    let stage = Stage::new(&[], None).await;
    let (first, again) = (stage.launch("t-1").await, stage.launch("t-1").await);
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    assert_eq!(texts(&first, "instanceId"), texts(&again, "instanceId"));
    assert_eq!(texts(&first, "clientToken"), ["t-1"]);
    let other = stage.ec2(&launch("t-1").replace("ami-1", "ami-2")).await;
    assert!(other.starts_with("HTTP/1.1 400"), "{other}");
    assert_eq!(texts(&other, "Code"), ["IdempotentParameterMismatch"]);
    let dry = stage.ec2(&format!("{}&DryRun=true", launch("t-2"))).await;
    assert_eq!(texts(&dry, "Code"), ["DryRunOperation"]);
    assert_eq!(stage.front.state().world.machines().count(), 1);
}

#[tokio::test]
async fn a_lost_reply_cuts_the_connection_and_leaves_the_instance() {
    let stage = Stage::new(&[Trouble::LostReplies], None).await;
    for n in 0..100 {
        let token = format!("t-{n}");
        if stage.launch(&token).await.is_empty() {
            let named = "DescribeInstances&Filter.1.Name=client-token&Filter.1.Value.1=";
            let found = stage.ec2(&format!("{named}{token}")).await;
            assert_eq!(texts(&found, "clientToken"), [token]);
            return;
        }
    }
    panic!("no reply was lost");
}

#[tokio::test]
async fn pages_cover_every_instance_exactly_once() {
    let stage = Stage::new(&[], None).await;
    let form = launch("TOKEN");
    for n in 0..10_000 {
        let request = Form::parse(form.replace("TOKEN", &format!("t-{n}")).as_bytes());
        stage.front.state().world.add_foreign(&request.launch().unwrap()).unwrap();
    }
    let mut seen = BTreeSet::new();
    let mut token = String::new();
    for page in 1.. {
        let answer = stage
            .ec2(&format!(
                "DescribeInstances&MaxResults=1000&Filter.1.Name=tag%3Atidegate%3Ainstall\
                 &Filter.1.Value.1=main{token}"
            ))
            .await;
        for id in texts(&answer, "instanceId") {
            assert!(seen.insert(id.to_owned()), "{id} twice");
        }
        let Some(next) = texts(&answer, "nextToken").first().copied() else {
            assert_eq!(page, 10);
            break;
        };
        token = format!("&NextToken={next}");
    }
    assert_eq!(seen.len(), 10_000);
    let none = "DescribeInstances&Filter.1.Name=tag%3Atidegate%3Ainstall&Filter.1.Value.1=other";
    assert!(texts(&stage.ec2(none).await, "instanceId").is_empty());
}

#[tokio::test]
async fn drain_tag_is_set_changed_and_removed() {
    let stage = Stage::new(&[], None).await;
    let more = "&MetadataOptions.InstanceMetadataTags=enabled\
        &InstanceInitiatedShutdownBehavior=terminate";
    let launched = stage.ec2(&format!("{}{more}", launch("t-1"))).await;
    let id = texts(&launched, "instanceId")[0].to_owned();
    assert_eq!(texts(&launched, "instanceMetadataTags"), ["enabled"]);
    let tag = format!("Tags&ResourceId.1={id}&Tag.1.Key=tidegate%3Adrain");
    let value = || {
        let state = stage.front.state();
        let machine = state.world.machine(&InstanceId::new(&id)).unwrap();
        machine.tags().get("tidegate:drain").cloned()
    };
    for deadline in ["2026-03-02T08:30:00Z", "2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z"] {
        let dry = stage.ec2(&format!("Create{tag}&Tag.1.Value=x&DryRun=true")).await;
        assert_eq!(texts(&dry, "Code"), ["DryRunOperation"]);
        let set = stage.ec2(&format!("Create{tag}&Tag.1.Value={deadline}")).await;
        assert_eq!(texts(&set, "return"), ["true"]);
        assert_eq!(value().as_deref(), Some(deadline));
    }
    let other = stage.ec2(&format!("Delete{tag}&Tag.1.Value=")).await;
    assert_eq!(texts(&other, "return"), ["true"]);
    assert!(value().is_some(), "the tag has another value");
    for _ in 0..2 {
        assert_eq!(texts(&stage.ec2(&format!("Delete{tag}")).await, "return"), ["true"]);
        assert_eq!(value(), None);
    }
    for (from, to, code) in [
        (id.as_str(), "i-0", "InvalidInstanceID.NotFound"),
        ("drain", "keep", "InvalidParameterValue"),
        ("Tag.1.Key", "Tag.1.Name", "MissingParameter"),
    ] {
        let refused = stage.ec2(&format!("Create{}", tag.replace(from, to))).await;
        assert_eq!(texts(&refused, "Code"), [code]);
    }
    assert_eq!(value(), None);
}

#[tokio::test]
async fn termination_tells_both_states_and_spares_all_for_one_unknown() {
    let stage = Stage::new(&[], None).await;
    let id = texts(&stage.launch("t-1").await, "instanceId")[0].to_owned();
    let unknown = format!("TerminateInstances&InstanceId.1={id}&InstanceId.2=i-0");
    let refused = stage.ec2(&unknown).await;
    assert_eq!(texts(&refused, "Code"), ["InvalidInstanceID.NotFound"]);
    let done = stage.ec2(&format!("TerminateInstances&InstanceId.1={id}")).await;
    assert_eq!(texts(&done, "name"), ["shutting-down", "pending"]);
    stage.wait(60);
    let described = stage.ec2(&format!("DescribeInstances&InstanceId.1={id}")).await;
    assert_eq!(texts(&described, "name"), ["terminated"]);
    assert!(texts(&described, "privateIpAddress").is_empty());
    assert_eq!(texts(&stage.launch("t-1").await, "Code"), ["IdempotentInstanceTerminated"]);
}

#[tokio::test]
async fn a_classic_balancer_drains_in_aws_words() {
    let stage = Stage::new(&[], None).await;
    let id = texts(&stage.launch("t-1").await, "instanceId")[0].to_owned();
    stage.wait(600);
    let on = format!("&LoadBalancerName=web&Instances.member.1.InstanceId={id}");
    let health = || stage.elb("DescribeInstanceHealth&LoadBalancerName=web");
    stage.elb(&format!("RegisterInstancesWithLoadBalancer{on}")).await;
    let said = health().await;
    assert_eq!(texts(&said, "Description"), ["Instance registration is still in progress."]);
    assert_eq!(texts(&said, "State"), ["OutOfService"]);
    stage.wait(30);
    assert_eq!(texts(&health().await, "State"), ["InService"]);
    stage.elb(&format!("DeregisterInstancesFromLoadBalancer{on}")).await;
    let said = health().await;
    assert_eq!(texts(&said, "Description"), ["Instance deregistration currently in progress."]);
    assert_eq!(texts(&said, "State"), ["InService"]);
    stage.wait(90);
    assert!(texts(&health().await, "State").is_empty());
    let said = stage.elb(&format!("DescribeInstanceHealth{on}")).await;
    let gone = "Instance is not currently registered with the LoadBalancer.";
    assert_eq!(texts(&said, "Description"), [gone]);
    let missing = stage.elb("DescribeInstanceHealth&LoadBalancerName=nobody").await;
    assert!(missing.starts_with("HTTP/1.1 400"), "{missing}");
    assert_eq!(texts(&missing, "Code"), ["LoadBalancerNotFound"]);
    assert_eq!(texts(&missing, "Type"), ["Sender"]);
}

#[tokio::test]
async fn a_target_group_goes_by_arn_and_drains_too() {
    let stage = Stage::new(&[], None).await;
    let id = texts(&stage.launch("t-1").await, "instanceId")[0].to_owned();
    let found = stage.elbv2("DescribeTargetGroups&Names.member.1=jobs").await;
    let arn = texts(&found, "TargetGroupArn")[0].to_owned();
    assert_eq!(arn, super::arn("jobs"));
    let on = format!("&TargetGroupArn={arn}&Targets.member.1.Id={id}");
    let early = stage.elbv2(&format!("RegisterTargets{on}")).await;
    assert_eq!(texts(&early, "Code"), ["InvalidTarget"]);
    stage.wait(600);
    stage.elbv2(&format!("RegisterTargets{on}")).await;
    let describe = format!("DescribeTargetHealth&TargetGroupArn={arn}");
    assert_eq!(texts(&stage.elbv2(&describe).await, "State"), ["initial"]);
    stage.wait(30);
    assert_eq!(texts(&stage.elbv2(&describe).await, "State"), ["healthy"]);
    stage.elbv2(&format!("DeregisterTargets{on}&Targets.member.1.Port=80")).await;
    let said = stage.elbv2(&describe).await;
    assert_eq!(texts(&said, "State"), ["draining"]);
    assert_eq!(texts(&said, "Reason"), ["Target.DeregistrationInProgress"]);
    stage.raw("POST", "/_world/delete-balancer/jobs", "text/plain", "").await;
    assert_eq!(texts(&stage.elbv2(&describe).await, "Code"), ["TargetGroupNotFound"]);
}

#[tokio::test]
async fn throttling_is_told_in_each_services_words() {
    let stage = Stage::new(&[Trouble::Throttling], None).await;
    let mut codes = BTreeSet::new();
    for _ in 0..30 {
        for answer in
            [stage.ec2("DescribeInstances").await, stage.elb("DescribeLoadBalancers").await]
        {
            codes.extend(texts(&answer, "Code").into_iter().map(str::to_owned));
        }
    }
    assert!(codes.into_iter().eq(["RequestLimitExceeded", "Throttling"]));
}

/// Waits until the page is there, or until it is gone; only a hang takes as long as this waits.
async fn wait_for_page(page: SocketAddr, there: bool) {
    let found = async {
        while TcpStream::connect(page).await.is_ok() != there {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(4), found).await;
    assert!(waited.is_ok(), "the page at {page} is not as it should be: {there}");
}

#[tokio::test]
async fn levers_pages_and_queues() {
    // Any port will do: each page has an address of its own.
    let stage = Stage::new(&[], Some(47_080)).await;
    let body = r#"{"tags":{"tidegate:fleet":"app"}}"#;
    let made = stage.raw("POST", "/_world/foreign", "application/json", body).await;
    assert!(made.contains("\"id\":\"i-"), "{made}");
    let id = stage.front.state().world.machines().next().unwrap().id.to_string();
    assert!(stage.get(&format!("/{id}")).await.starts_with("HTTP/1.1 503"));
    stage.wait(600);
    assert!(stage.get(&format!("/{id}")).await.ends_with(&format!("Welcome to {id}\n")));
    let rows = stage.get("/_world/instances").await;
    assert!(rows.contains("\"fleet\":\"app\",\"token\":\"\",\"serves\":true"), "{rows}");

    let page = SocketAddr::from(([127, 77, 0, 3], 47_080));
    wait_for_page(page, true).await;
    let answer = talk(page, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with(&format!("Welcome to {id}\n")), "{answer}");
    stage.raw("POST", &format!("/_world/terminate/{id}"), "text/plain", "").await;
    wait_for_page(page, false).await;

    assert!(stage.get("/queue/jobs").await.starts_with("HTTP/1.1 404"));
    stage.raw("POST", "/_world/queue/jobs/25", "text/plain", "").await;
    stage.wait(7);
    assert!(stage.get("/queue/jobs").await.ends_with("\r\n\r\n25\n"));
    let json = stage.get("/queue/jobs.json").await;
    assert!(json.ends_with(r#"{"oldest_seconds":7,"waiting":25}"#), "{json}");
    let depth = stage.front.state().queue(&FleetName::new("jobs").unwrap(), Telling::NONE).unwrap();
    assert_eq!(depth, Depth::of(25));
    let nested = stage.get("/queue/jobs.json?at=/queues/0/a~1b").await;
    assert!(nested.ends_with(r#"{"oldest_seconds":7,"queues":{"0":{"a/b":25}}}"#), "{nested}");
    let mapped = stage.get("/queue/jobs.json?waiting=/n&running=/r&oldest_seconds=/q/age").await;
    assert!(mapped.ends_with(r#"{"n":25,"q":{"age":7}}"#), "{mapped}");
    assert!(stage.get("/_world/calls").await.contains("{}"), "levers are no calls");
}

#[tokio::test]
async fn receiver_of_drains_answers_with_running_jobs() {
    let stage = Stage::new(&[], None).await;
    let id = texts(&stage.launch("t-1").await, "instanceId")[0].to_owned();
    stage.wait(600);
    for drain in [true, false] {
        let body = format!(r#"{{"instance":"{id}","drain":{drain},"reason":"scale-in"}}"#);
        let answer = stage.raw("POST", &format!("/drain/{id}"), "application/json", &body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with(r#"{"running":0}"#), "{answer}");
        let missing = stage.raw("POST", "/drain/i-0", "application/json", &body).await;
        assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    }
    let nothing = stage.raw("POST", &format!("/drain/{id}"), "application/json", "{}").await;
    assert!(nothing.starts_with("HTTP/1.1 422"), "{nothing}");
}

#[tokio::test]
async fn others_cannot_reach_it() {
    let front = Front::new(World::new(Settings::default(), Timestamp::UNIX_EPOCH), BTreeMap::new());
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, WireWorld::new(front, || Timestamp::UNIX_EPOCH)).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}
