//! Many servers: how often AWS is asked must not grow with them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::sim::faults::Troubles;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fleet::Pool;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token, tag};
use tidegate_engine::model::time::Timestamp;

use crate::support::binary::Daemon;
use crate::support::cloud::{Cloud, name};
use crate::support::wait_for;

const FLEETS: usize = 1000;
const SERVERS: usize = 10;
const BALANCERS: usize = 10;

fn policy() -> String {
    let mut text = "version: 1\nmode: act\ntick: 1s\ndefaults:\n  launch: { image: ami-0123456789abcdef0, types: [t3.small] }\n  min: 10\n  max: 10\nfleets:\n".to_owned();
    for n in 0..FLEETS {
        let balancer = n % BALANCERS;
        writeln!(text, "  f{n}: {{ load_balancer: {{ classic: lb{balancer} }} }}").unwrap();
    }
    text
}

fn populate(cloud: &Cloud) {
    let mut state = cloud.front.state();
    for n in 0..BALANCERS {
        state.world.add_balancer(Balancer::Classic(format!("lb{n}")), Duration::ZERO);
    }
    let now = Timestamp::now();
    for fleet in 0..FLEETS {
        for server in 0..SERVERS {
            let fleet = format!("f{fleet}");
            let pool = Pool { instance_type: Some("t3.small".into()), subnet: None };
            let token = Token::derive("main", &name(&fleet), now, server, &pool);
            let tags = [(tag::INSTALL, "main"), (tag::FLEET, fleet.as_str()), (tag::ROLE, "f")];
            let request = LaunchRequest {
                token,
                image: Image::Id("ami-0123456789abcdef0".to_owned()),
                pool,
                key_pair: None,
                security_groups: Vec::new(),
                instance_profile: None,
                user_data: String::new(),
                drains: false,
                tags: Arc::new(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            };
            state.world.add_foreign(&request).unwrap();
        }
    }
    let balancer = |fleet: &str| {
        let n: usize = fleet.strip_prefix('f').unwrap().parse().unwrap();
        n % BALANCERS
    };
    let members: Vec<_> = state
        .world
        .machines()
        .map(|m| (m.id.clone(), balancer(m.fleet().unwrap().as_str())))
        .collect();
    for (id, balancer) in members {
        let balancer = Balancer::Classic(format!("lb{balancer}"));
        state.world.members.register(&balancer, &id, now).unwrap();
    }
}

/// Ten thousand servers in a thousand fleets: a tick asks for ten pages of instances and once for
/// each balancer, and finds nothing to do.
#[test]
fn calls_do_not_grow_with_the_servers() {
    let cloud = Cloud::new(Troubles::new());
    populate(&cloud);
    std::thread::sleep(Duration::from_secs(2));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy());
    // The first tick finds the servers in EC2, the second sees them in service; then all is quiet.
    for _ in 0..2 {
        let output = daemon.ask(&["run", "--once"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let calls = || cloud.front.state().world.calls().clone();
    let before = calls();
    let output = daemon.ask(&["run", "--once"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("INFO").count(), 1, "only that it starts: {said}");
    let after = calls();
    let made = |call: &str| after.get(call).unwrap_or(&0) - before.get(call).unwrap_or(&0);
    let pages = u64::try_from((FLEETS * SERVERS).div_ceil(1000)).unwrap();
    assert_eq!(made("DescribeInstances"), pages);
    assert_eq!(made("DescribeInstanceHealth"), u64::try_from(BALANCERS).unwrap());
    assert_eq!(made("RunInstances"), 0);
    assert_eq!(after.values().sum::<u64>() - before.values().sum::<u64>(), pages + 10, "{after:?}");

    // What a tick alone costs, without the start: told, not judged, since machines differ. A
    // slow one makes fewer ticks while it is looked at.
    let ticks = || calls()["DescribeInstanceHealth"].div_euclid(u64::try_from(BALANCERS).unwrap());
    let before = ticks();
    daemon.start();
    wait_for("the first ticks", || (ticks() > before + 1).then_some(()));
    let (from, used, begun) = (ticks(), daemon.cpu(), Instant::now());
    wait_for("a tick", || {
        let enough = ticks() >= from + 10 || begun.elapsed() > Duration::from_secs(20);
        (enough && ticks() > from).then_some(())
    });
    let (count, used) = (ticks() - from, daemon.cpu().saturating_sub(used));
    println!(
        "one quiet tick over {} servers in {FLEETS} fleets: {:?} of processor time (of {count})",
        FLEETS * SERVERS,
        used / u32::try_from(count).unwrap()
    );
}
