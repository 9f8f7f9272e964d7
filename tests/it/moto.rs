//! The built binary and the real SDK against moto, the independent referee: every request of ours is
//! well formed, every answer of theirs is understood. moto puts servers into service at once and
//! forgets client tokens, so only what it models is asked of it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_ec2::types::{AttributeBooleanValue, InstanceStateName};
use aws_sdk_elasticloadbalancing::types::Listener;
use tidegate_engine::model::time::Timestamp;

use crate::support::binary::Daemon;
use crate::support::moto::Moto;
use crate::support::{HANG, edge, wait_for};

/// A server for every instance's page and for the queue's length.
pub(crate) struct Pages {
    pub port: u16,
    waiting: Arc<AtomicU64>,
}

impl Pages {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let waiting = Arc::new(AtomicU64::new(10));
        let shown = waiting.clone();
        // Ends with the process: it waits for nothing but connections.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                let mut head = [0_u8; 2048];
                let read = stream.read(&mut head).unwrap_or(0);
                let body = if head[..read].starts_with(b"GET /queue") {
                    shown.load(Ordering::Relaxed).to_string()
                } else {
                    "<h1>Welcome to Smallpayroll</h1>".to_owned()
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        Self { port, waiting }
    }
}

fn policy(moto: &Moto, pages: &Pages, balancer: &str) -> String {
    let ([first, second], image, port) = (&moto.subnets, &moto.image, pages.port);
    format!(
        r#"
version: 1
region: us-east-1
timezone: UTC
mode: act
tick: 1s
limits: {{ instances: 10, terminate: 20 per 1m }}
defaults:
  launch: {{ image: {image}, subnets: [{first}, {second}], user_data: {{ DB: 10.126.17.1 }} }}
fleets:
  app:
    launch: {{ types: [t3.small], tags: {{ team: ops }} }}
    load_balancer: {{ {balancer}, drain: 1s }}
    health: {{ http: "http://127.0.0.1:{port}/{{instance_id}}", expect: smallpayroll, timeout: 1m, every: 1s }}
    min: 2
    max: 3
  job:
    launch: {{ types: [t3.small] }}
    min: 0
    max: 2
    drain: none
    queue: {{ read: {{ http: "http://127.0.0.1:{port}/queue/length" }}, every: 5s, job_takes: 1s, scale_out: {{ above: 20 }}, scale_in: {{ below: 5 }} }}
"#
    )
}

/// Instances that moto has running, by fleet tag; `None`: without one.
pub(crate) async fn running(moto: &Moto, fleet: Option<&str>) -> BTreeSet<String> {
    let answer = moto.ec2.describe_instances().send().await.unwrap();
    let rows = answer.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances);
    rows.filter(|row| row.state().unwrap().name() == Some(&InstanceStateName::Running))
        .filter(|row| {
            let tag = row.tags().iter().find(|tag| tag.key() == Some("tidegate:fleet"));
            tag.and_then(|tag| tag.value()) == fleet
        })
        .map(|row| row.instance_id().unwrap().to_owned())
        .collect()
}

/// What was asked for at launch, as EC2 keeps it.
async fn check_launch(moto: &Moto, id: &str) {
    let answer = moto.ec2.describe_instances().instance_ids(id).send().await.unwrap();
    let row = &answer.reservations()[0].instances()[0];
    assert_eq!(row.instance_type().unwrap().as_str(), "t3.small");
    assert!(row.client_token().unwrap().starts_with("tg1.main."));
    let tags: BTreeSet<(&str, &str)> =
        row.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
    for tag in
        [("tidegate:install", "main"), ("tidegate:role", "app"), ("team", "ops"), ("Name", "app")]
    {
        assert!(tags.contains(&tag), "{tag:?} in {tags:?}");
    }
    let options = row.metadata_options().unwrap();
    assert_eq!(options.http_tokens().unwrap().as_str(), "required");
    let attribute = |name: &str| {
        moto.ec2.describe_instance_attribute().instance_id(id).attribute(name.into()).send()
    };
    let data = attribute("userData").await.unwrap();
    let encoded = data.user_data().unwrap().value().unwrap().to_owned();
    // "DB=10.126.17.1;ROLE=app" in base64.
    assert_eq!(encoded, "REI9MTAuMTI2LjE3LjE7Uk9MRT1hcHA=");
    let behaviour = attribute("instanceInitiatedShutdownBehavior").await.unwrap();
    let behaviour = behaviour.instance_initiated_shutdown_behavior().unwrap();
    assert_eq!(behaviour.value(), Some("terminate"));
    let protected = attribute("disableApiTermination").await.unwrap();
    let protected = protected.disable_api_termination().and_then(AttributeBooleanValue::value);
    assert_ne!(protected, Some(true));
}

/// The balancer, as the one test or the other made it.
trait Front {
    fn policy(&self) -> String;
    async fn members(&self) -> BTreeSet<String>;
    /// What is told of how it drains, as moto makes it.
    fn drains(&self) -> &'static str;
    async fn delete(&self);

    /// Until the balancer has just these.
    async fn wait_members(&self, expected: &BTreeSet<String>) {
        let begun = Instant::now();
        while begun.elapsed() < HANG && self.members().await != *expected {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(self.members().await, *expected);
    }
}

/// A life on moto, with a restart, a lost journal and a death in it.
async fn a_life(moto: &Moto, front: &impl Front) {
    // Somebody else's, and it stays untouched throughout.
    moto.ec2.run_instances().image_id(&moto.image).min_count(1).max_count(1).send().await.unwrap();
    let foreign = running(moto, None).await;
    let pages = Pages::start();
    let text = policy(moto, &pages, &front.policy());
    let mut daemon = Daemon::new(&moto.endpoint, &text);
    let checked = daemon.order(&["check"]);
    assert!(checked.contains("is allowed (dry run)"), "{checked}");
    daemon.start();
    let first: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    assert_eq!(running(moto, Some("app")).await, first);
    assert_eq!(front.members().await, first);
    for id in &first {
        check_launch(moto, id).await;
    }
    // Its looks beside the ticks are understood: either balancer drains otherwise than the policy says.
    daemon.wait_log(front.drains());
    assert_eq!(daemon.says("failed to look"), 0, "{}", daemon.log());
    pages.waiting.store(25, Ordering::Relaxed);
    daemon.wait_in_service("job", 1);
    pages.waiting.store(0, Ordering::Relaxed);
    daemon.wait_in_service("job", 0);
    assert!(running(moto, Some("job")).await.is_empty());

    // A restart in the middle of a hold: it survives.
    daemon.order(&["hold", "app", "3", "--for", "1h", "launch day"]);
    daemon.kill_9();
    daemon.start();
    let three: BTreeSet<String> = daemon.wait_in_service("app", 3).into_iter().collect();
    assert!(three.is_superset(&first));
    daemon.order(&["resume", "app"]);
    let two: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    wait_for("the third is out", || (daemon.says("is terminated") >= 2).then_some(()));
    front.wait_members(&two).await;
    assert_eq!(running(moto, Some("app")).await, two);

    // The journal is lost: the servers are not.
    assert_eq!(daemon.stop(), 0);
    std::fs::remove_dir_all(daemon.state()).unwrap();
    daemon.start();
    assert_eq!(BTreeSet::from_iter(daemon.wait_in_service("app", 2)), two);
    assert_eq!(running(moto, Some("app")).await, two);

    // One dies behind our back.
    let victim = two.first().unwrap();
    moto.ec2.terminate_instances().instance_ids(victim).send().await.unwrap();
    daemon.wait_log(&format!("{victim} was terminated, not by us"));
    let after: BTreeSet<String> = daemon.wait_in_service("app", 2).into_iter().collect();
    assert!(!after.contains(victim));
    front.wait_members(&after).await;
    on_the_clock(moto, front, &daemon, &text).await;
    without_a_fleet_and_a_balancer(moto, front, &daemon, &text).await;
    assert_eq!(running(moto, None).await, foreign, "somebody else's instance is untouched");
}

/// The schedule's edges, up and down, by the real clock.
async fn on_the_clock(moto: &Moto, front: &impl Front, daemon: &Daemon, text: &str) {
    for (before, after) in [(2, 3), (3, 2)] {
        let (lines, at) = edge("UTC", before, after);
        daemon.write_policy(&text.replacen("    max: 3\n", &format!("    max: 3\n{lines}"), 1));
        let begun = Instant::now();
        while running(moto, Some("app")).await.len() != usize::try_from(after).unwrap() {
            assert!(begun.elapsed() < HANG, "never {after}:\n{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(Timestamp::now() >= at, "before its time: {}", daemon.log());
    }
    let changes = ["2 -> 3: schedule", "3 -> 2: schedule"].map(|change| daemon.says(change));
    assert_eq!(changes, [1, 1], "{}", daemon.log());
    front.wait_members(&running(moto, Some("app")).await).await;
    daemon.write_policy(text);
}

/// A fleet that leaves the file, and a balancer that is deleted: both are told, and no server is
/// lost by either.
async fn without_a_fleet_and_a_balancer(
    moto: &Moto,
    front: &impl Front,
    daemon: &Daemon,
    text: &str,
) {
    let kept = BTreeSet::from_iter(daemon.wait_in_service("app", 2));
    let (before, fleets) = text.split_once("  app:\n").unwrap();
    let (_, job) = fleets.split_once("  job:\n").unwrap();
    daemon.write_policy(&format!("{before}  job:\n{job}"));
    daemon.wait_log("which is not in the policy");
    assert_eq!(front.members().await, kept);
    assert_eq!(running(moto, Some("app")).await, kept);
    daemon.write_policy(text);
    assert_eq!(BTreeSet::from_iter(daemon.wait_in_service("app", 2)), kept);

    front.delete().await;
    daemon.wait_log(" is gone: ");
    // One too many now, and the balancer cannot say who is still in traffic.
    daemon.write_policy(&text.replacen("    min: 2\n", "    min: 1\n", 1));
    daemon.wait_log("min is 1; 1 more than wanted, 0 may go now");
    assert_eq!(running(moto, Some("app")).await, kept);
}

struct Classic<'a>(&'a Moto);

impl Front for Classic<'_> {
    fn policy(&self) -> String {
        "classic: smallpayroll-http".to_owned()
    }

    fn drains(&self) -> &'static str {
        "connection draining of load balancer smallpayroll-http is off"
    }

    async fn members(&self) -> BTreeSet<String> {
        let answer =
            self.0.elb.describe_instance_health().load_balancer_name("smallpayroll-http").send();
        let answer = answer.await.unwrap();
        answer.instance_states().iter().map(|row| row.instance_id().unwrap().to_owned()).collect()
    }

    async fn delete(&self) {
        let call = self.0.elb.delete_load_balancer().load_balancer_name("smallpayroll-http");
        call.send().await.unwrap();
    }
}

struct Group<'a> {
    moto: &'a Moto,
    arn: String,
    listener: String,
}

impl Front for Group<'_> {
    fn policy(&self) -> String {
        "target_group: web-http".to_owned()
    }

    fn drains(&self) -> &'static str {
        "target group web-http leaves connections 5m, and `drain` is 1s"
    }

    async fn members(&self) -> BTreeSet<String> {
        let call = self.moto.elbv2.describe_target_health().target_group_arn(&self.arn);
        let answer = call.send().await.unwrap();
        let rows = answer.target_health_descriptions().iter();
        rows.filter(|row| row.target_health().unwrap().state().unwrap().as_str() != "unused")
            .map(|row| row.target().unwrap().id().unwrap().to_owned())
            .collect()
    }

    async fn delete(&self) {
        // A group that a listener forwards to cannot be deleted.
        self.moto.elbv2.delete_listener().listener_arn(&self.listener).send().await.unwrap();
        self.moto.elbv2.delete_target_group().target_group_arn(&self.arn).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_on_moto_behind_a_classic_load_balancer() {
    let moto = Moto::start().await;
    let listener =
        Listener::builder().protocol("HTTP").load_balancer_port(80).instance_port(80).build();
    moto.elb
        .create_load_balancer()
        .load_balancer_name("smallpayroll-http")
        .listeners(listener.unwrap())
        .availability_zones("us-east-1a")
        .availability_zones("us-east-1b")
        .send()
        .await
        .unwrap();
    a_life(&moto, &Classic(&moto)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_on_moto_behind_a_target_group() {
    let moto = Moto::start().await;
    let group = moto
        .elbv2
        .create_target_group()
        .name("web-http")
        .protocol("HTTP".into())
        .port(80)
        .vpc_id(&moto.vpc)
        .send()
        .await
        .unwrap();
    let arn = group.target_groups()[0].target_group_arn().unwrap().to_owned();
    let load_balancer = moto.elbv2.create_load_balancer().name("front");
    let load_balancer =
        load_balancer.set_subnets(Some(moto.subnets.to_vec())).send().await.unwrap();
    let action = aws_sdk_elasticloadbalancingv2::types::Action::builder()
        .r#type("forward".into())
        .target_group_arn(&arn)
        .build();
    let listener = moto
        .elbv2
        .create_listener()
        .load_balancer_arn(load_balancer.load_balancers()[0].load_balancer_arn().unwrap())
        .protocol("HTTP".into())
        .port(80)
        .default_actions(action)
        .send()
        .await
        .unwrap();
    let listener = listener.listeners()[0].listener_arn().unwrap().to_owned();
    a_life(&moto, &Group { moto: &moto, arn, listener }).await;
}
