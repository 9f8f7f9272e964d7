//! The tag of a drain by the real SDK: against the simulated EC2, whose state is asserted, and against
//! moto, which others wrote.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::InstanceMetadataTagsState;
use tidegate::aws::{Asked, Aws, Verdict, preflight};
use tidegate::ports::Cloud as _;
use tidegate::sim::faults::{Trouble, Troubles};
use tidegate::sim::machine::Machine;
use tidegate_engine::model::fault::FaultKind;
use tidegate_engine::model::fleet::Pool;
use tidegate_engine::model::instance::{Instance, InstanceId, Lifecycle};
use tidegate_engine::model::launch::{Image, LaunchRequest, Token};
use tidegate_engine::model::time::Timestamp;
use tokio::runtime::Runtime;

use crate::support::binary::Daemon;
use crate::support::cloud::{Cloud, name};
use crate::support::moto::Moto;
use crate::support::wait_for;

const DEADLINES: [&str; 2] = ["2026-03-02T08:30:00Z", "2026-03-02T09:00:00Z"];

fn request(token: &str, image: Image, subnet: &str, drains: bool) -> LaunchRequest {
    let tags = [("tidegate:install", "main"), ("tidegate:fleet", "app"), ("team", "ops")];
    LaunchRequest {
        token: Token::from_stored(token),
        image,
        pool: Pool { instance_type: Some("t3.small".into()), subnet: Some(subnet.into()) },
        key_pair: None,
        security_groups: Vec::new(),
        instance_profile: None,
        user_data: String::new(),
        tags: Arc::new(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        drains,
    }
}

fn ami() -> Image {
    Image::Id("ami-0123456789abcdef0".to_owned())
}

/// Runs the SDK outside the runtime that serves the cloud.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

/// Launches, again as long as EC2's bucket of launches is empty.
async fn launched(aws: &Aws, request: &LaunchRequest) -> Instance {
    loop {
        match aws.launch(request).await {
            Err(fault) if fault.kind == FaultKind::Throttled => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            answer => return answer.unwrap(),
        }
    }
}

/// The tags of an instance in the simulated EC2, in truth.
fn tags(cloud: &Cloud, id: &InstanceId) -> BTreeMap<String, String> {
    cloud.front.state().world.machine(id).unwrap().tags().clone()
}

#[test]
fn launch_with_a_drain_shows_tags_and_terminates_on_shutdown() {
    let cloud = Cloud::new(Troubles::new());
    let template = Image::Template { name: "workers".to_owned(), version: "7".to_owned() };
    let cases = [
        ("t-1", ami(), true),
        ("t-2", ami(), false),
        ("t-3", template.clone(), true),
        ("t-4", template, false),
    ];
    block_on(async {
        let aws = Aws::imagined(&cloud.endpoint).await;
        for (token, image, drains) in cases {
            let request = request(token, image, "subnet-0a1", drains);
            let first = launched(&aws, &request).await;
            assert_eq!(first.metadata_tags, Some(drains), "{request:?}");
            let again = launched(&aws, &request).await;
            assert_eq!(again.id, first.id, "a repeat is the same request");
            let machine = cloud.front.state().world.machine(&first.id).unwrap().clone();
            assert_eq!(machine.request, request);
        }
        for row in aws.instances("main").await.unwrap() {
            let drains = matches!(row.token.as_deref(), Some("t-1" | "t-3"));
            assert_eq!(row.metadata_tags, Some(drains), "{row:?}");
        }
    });
    assert_eq!(cloud.launched(), 4);
}

#[test]
fn launch_whose_tags_cannot_be_shown_is_refused() {
    let cloud = Cloud::new(Troubles::new());
    let fault = block_on(async {
        let aws = Aws::imagined(&cloud.endpoint).await;
        let mut request = request("t-1", ami(), "subnet-0a1", true);
        Arc::make_mut(&mut request.tags).insert("Patch Group".to_owned(), "a".to_owned());
        aws.launch(&request).await.unwrap_err()
    });
    assert_eq!(fault.kind, FaultKind::Config, "{fault}");
    assert!(fault.message.contains("'Patch Group'"), "{fault}");
    assert_eq!(cloud.launched(), 0);
}

#[test]
fn drain_tag_is_set_changed_and_removed() {
    let cloud = Cloud::new(Troubles::new());
    block_on(async {
        let aws = Aws::imagined(&cloud.endpoint).await;
        let request = request("t-1", ami(), "subnet-0a1", true);
        let id = aws.launch(&request).await.unwrap().id;
        let second = LaunchRequest { token: Token::from_stored("t-2"), ..request };
        let other = aws.launch(&second).await.unwrap().id;
        let before = tags(&cloud, &id);
        for deadline in DEADLINES {
            // Setting it to the same again is fine.
            for _ in 0..2 {
                aws.tag_drain(&id, deadline).await.unwrap();
                let mut expected = before.clone();
                expected.insert("tidegate:drain".to_owned(), deadline.to_owned());
                assert_eq!(tags(&cloud, &id), expected);
            }
            let listed = aws.instances("main").await.unwrap();
            let row = listed.iter().find(|row| row.id == id).unwrap();
            assert_eq!(row.tags.drain.as_deref(), Some(deadline));
        }
        // An instance without it is fine.
        for _ in 0..2 {
            aws.untag_drain(&id).await.unwrap();
            assert_eq!(tags(&cloud, &id), before);
        }
        assert_eq!(tags(&cloud, &other), before, "no other instance is touched");
        let listed = aws.instances("main").await.unwrap();
        assert!(listed.iter().all(|row| row.tags.drain.is_none()), "{listed:?}");
    });
}

#[test]
fn unknown_instance_is_neither_tagged_nor_untagged() {
    let cloud = Cloud::new(Troubles::new());
    block_on(async {
        let aws = Aws::imagined(&cloud.endpoint).await;
        let id = InstanceId::new("i-0123456789abcdef0");
        let [set, removed] = [aws.tag_drain(&id, DEADLINES[0]).await, aws.untag_drain(&id).await];
        for fault in [set.unwrap_err(), removed.unwrap_err()] {
            assert_eq!(fault.kind, FaultKind::InstanceNotFound, "{fault}");
        }
    });
}

/// Whether and when a call is repeated is the journal's to say.
#[test]
fn throttled_tag_calls_are_sent_once() {
    let cloud = Cloud::new([Trouble::Throttling].into());
    let id = cloud.launch_by_hand(&[("tidegate:install", "main")]);
    let mut refused = [0, 0];
    block_on(async {
        let aws = Aws::imagined(&cloud.endpoint).await;
        for _ in 0..20 {
            let calls = [aws.tag_drain(&id, DEADLINES[0]).await, aws.untag_drain(&id).await];
            for (refused, call) in refused.iter_mut().zip(calls) {
                if let Err(fault) = call {
                    assert_eq!(fault.kind, FaultKind::Throttled, "{fault}");
                    *refused += 1;
                }
            }
        }
    });
    assert!(refused.iter().all(|refused| (1..20).contains(refused)), "{refused:?}");
    let calls = cloud.front.state().world.calls().clone();
    assert_eq!([calls["CreateTags"], calls["DeleteTags"]], [20, 20]);
}

#[test]
fn check_asks_whether_a_running_server_may_be_tagged() {
    let cloud = Cloud::new(Troubles::new());
    block_on(async {
        let aws = Aws::imagined(&cloud.endpoint).await;
        let request = request("t-1", ami(), "subnet-0a1", true);
        let asked = Asked {
            fleet: name("app"),
            requests: vec![request.clone()],
            balancer: None,
            launch_line: None,
            balancer_line: None,
        };
        let about_the_tag = |findings: Vec<tidegate::aws::Finding>| {
            assert!(findings.iter().all(|found| found.verdict == Verdict::Good), "{findings:?}");
            findings.into_iter().filter(|found| found.text.contains("tidegate:drain")).count()
        };
        let asked = [asked];
        assert_eq!(about_the_tag(preflight(&aws, &asked).await), 0, "no server runs");
        let id = aws.launch(&request).await.unwrap().id;
        wait_for("the server runs", || {
            let state = cloud.front.state();
            let machine = state.world.machine(&id).unwrap();
            (machine.lifecycle(Timestamp::now()) == Lifecycle::Running).then_some(())
        });
        assert_eq!(about_the_tag(preflight(&aws, &asked).await), 1);
        assert!(!tags(&cloud, &id).contains_key("tidegate:drain"), "a dry run sets nothing");
    });
}

/// What moto shows of one instance.
async fn described(moto: &Moto, id: &InstanceId) -> aws_sdk_ec2::types::Instance {
    let answer = moto.ec2.describe_instances().instance_ids(id.as_str()).send().await.unwrap();
    answer.reservations()[0].instances()[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_takes_launches_with_a_drain_and_its_tag() {
    let moto = Moto::start().await;
    let aws = Aws::imagined(&moto.endpoint).await;
    for drains in [true, false] {
        let image = Image::Id(moto.image.clone());
        let request = request(&format!("t-{drains}"), image, &moto.subnets[0], drains);
        let id = aws.launch(&request).await.unwrap().id;
        let options = described(&moto, &id).await.metadata_options.unwrap();
        assert_eq!(options.http_tokens().unwrap().as_str(), "required");
        let shown = options.instance_metadata_tags() == Some(&InstanceMetadataTagsState::Enabled);
        assert_eq!(shown, drains);
        let attribute = "instanceInitiatedShutdownBehavior";
        let attribute = moto
            .ec2
            .describe_instance_attribute()
            .instance_id(id.as_str())
            .attribute(attribute.into());
        let behaviour = attribute.send().await.unwrap();
        let behaviour = behaviour.instance_initiated_shutdown_behavior().unwrap();
        assert_eq!(behaviour.value(), Some("terminate"));
        let row = aws.instances_by_id(std::slice::from_ref(&id)).await.unwrap().remove(0);
        assert_eq!(row.metadata_tags, Some(drains));

        let drain = async || {
            let row = described(&moto, &id).await;
            let tag = row.tags().iter().find(|tag| tag.key() == Some("tidegate:drain"));
            let others = row.tags().iter().filter(|tag| tag.key() != Some("tidegate:drain"));
            assert_eq!(others.count(), 3, "{:?}", row.tags());
            tag.map(|tag| tag.value().unwrap().to_owned())
        };
        for deadline in DEADLINES {
            aws.tag_drain(&id, deadline).await.unwrap();
            assert_eq!(drain().await.as_deref(), Some(deadline));
            let row = aws.instances_by_id(std::slice::from_ref(&id)).await.unwrap().remove(0);
            assert_eq!(row.tags.drain.as_deref(), Some(deadline));
        }
        for _ in 0..2 {
            aws.untag_drain(&id).await.unwrap();
            assert_eq!(drain().await, None);
        }
    }
}

/// A policy whose `job` fleet drains.
fn draining(cloud: &Cloud, via: &str) -> String {
    let drain = format!("    max: 1\n    drain: {{ via: {via}, deadline: 30m }}\n    queue:");
    let shipped = "    max: 2\n    drain: { via: tag, deadline: 30m }\n    queue:";
    let text = cloud.policy("classic", (1, 2)).replace(shipped, &drain);
    assert!(text.contains("max: 1\n    drain: { via"), "{text}");
    text
}

fn machine(cloud: &Cloud, id: &InstanceId) -> Machine {
    cloud.front.state().world.machine(id).unwrap().clone()
}

/// The deadline that the tag of an instance names, once it has one.
fn tagged(cloud: &Cloud, id: &InstanceId) -> Timestamp {
    let tag = wait_for("the tag", || tags(cloud, id).remove("tidegate:drain"));
    tag.parse().unwrap()
}

#[test]
fn scale_in_tags_a_server_which_powers_off() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &draining(&cloud, "tag"));
    cloud.pin(21);
    daemon.start();
    let id = InstanceId::new(&daemon.wait_in_service("job", 1)[0]);
    daemon.wait_in_service("app", 1);
    assert!(cloud.alive("app").iter().all(|app| !app.request.drains));
    assert!(machine(&cloud, &id).request.drains);
    cloud.pin(4);
    assert!(tagged(&cloud, &id) > Timestamp::now(), "{}", daemon.log());
    wait_for("the server powers off", || cloud.alive("job").is_empty().then_some(()));
    let (_, why) = machine(&cloud, &id).ends.unwrap();
    assert!(why.starts_with("Client.InstanceInitiatedShutdown"), "{why}\n{}", daemon.log());
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn scale_in_posts_a_drain_and_terminates_an_idle_server() {
    let cloud = Cloud::new(Troubles::new());
    let via = format!("{{ http: \"{}/drain/{{instance_id}}\" }}", cloud.endpoint);
    let mut daemon = Daemon::new(&cloud.endpoint, &draining(&cloud, &via));
    cloud.pin(21);
    daemon.start();
    let id = InstanceId::new(&daemon.wait_in_service("job", 1)[0]);
    cloud.pin(4);
    wait_for("the server is terminated", || cloud.alive("job").is_empty().then_some(()));
    let machine = machine(&cloud, &id);
    assert!(machine.receiver.closed_at.is_some(), "the receiver was told: {}", daemon.log());
    let (_, why) = machine.ends.unwrap();
    assert!(why.starts_with("Client.UserInitiatedShutdown"), "{why}\n{}", daemon.log());
    assert!(tags(&cloud, &id).contains_key("tidegate:drain"), "the tag goes with the POST");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn terminate_waits_for_jobs_and_terminate_now_does_not() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &draining(&cloud, "tag"));
    cloud.fill(30, Duration::from_hours(1));
    daemon.start();
    let id = InstanceId::new(&daemon.wait_in_service("job", 1)[0]);
    daemon.order(&["terminate", id.as_str()]);
    tagged(&cloud, &id);
    daemon.wait_ticks(3);
    assert!(machine(&cloud, &id).ends.is_none(), "its jobs go on: {}", daemon.log());
    daemon.order(&["terminate", id.as_str(), "--now"]);
    let ends = wait_for("the server is terminated", || machine(&cloud, &id).ends);
    assert!(ends.1.starts_with("Client.UserInitiatedShutdown"), "{ends:?}\n{}", daemon.log());
    assert_eq!(daemon.stop(), 0);
}
