//! The imagined cloud on a port of its own, and its truth at hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate::sim::faults::Troubles;
use tidegate::sim::front::Front;
use tidegate::sim::load::{Interruption, Job, Load, Queue};
use tidegate::sim::machine::Machine;
use tidegate::sim::wire::{self, WireWorld};
use tidegate::sim::world::{Settings, World};
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token};
use tidegate_engine::model::time::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) struct Cloud {
    pub front: Front,
    pub endpoint: String,
    _runtime: Runtime,
}

pub(crate) fn name(text: &str) -> FleetName {
    FleetName::new(text).unwrap()
}

impl Cloud {
    /// A quick cloud: instances serve after a second, balancers after half of one.
    pub(crate) fn new(troubles: Troubles) -> Self {
        let settings = Settings {
            seed: 1,
            troubles,
            start: (Duration::from_millis(200), Duration::from_millis(400)),
            deploy: (Duration::from_millis(300), Duration::from_millis(600)),
            register: Duration::from_millis(500),
            ..Settings::default()
        };
        let now = Timestamp::now();
        let mut world = World::new(settings, now);
        world.add_balancer(Balancer::Classic("web".to_owned()), Duration::from_secs(2));
        world.add_balancer(Balancer::TargetGroup("web".to_owned()), Duration::from_secs(2));
        let load = Load {
            per_hour: vec![0.0],
            start: now,
            job_takes: Duration::from_mins(1),
            jobs_at_once: 1,
            interruption: Interruption::default(),
        };
        let queues: BTreeMap<_, _> = [(name("job"), Queue::new(load, 1, "job"))].into();
        let front = Front::new(world, queues);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(wire::serve(listener, WireWorld::new(front.clone(), Timestamp::now)));
        Self { front, endpoint, _runtime: runtime }
    }

    /// A policy for this cloud: the two fleets of the article at a quick pace. A slow machine
    /// must not make a server look sick: what the policy waits for has long time-outs.
    pub(crate) fn policy(&self, balancer: &str, app: (u32, u32)) -> String {
        let (endpoint, (min, max)) = (&self.endpoint, app);
        format!(
            r#"
version: 1
timezone: America/Winnipeg
mode: act
tick: 1s
limits: {{ instances: 10, terminate: 20 per 1m }}
defaults:
  launch: {{ image: ami-0123456789abcdef0, subnets: [subnet-0a1, subnet-0b2], user_data: {{ DB: 10.126.17.1 }} }}
fleets:
  app:
    launch: {{ types: [t3.small, t3a.small], tags: {{ team: ops }} }}
    load_balancer: {{ {balancer}: web, drain: 2s }}
    health: {{ http: "{endpoint}/{{instance_id}}", expect: WELCOME, timeout: 1m, every: 1s, grace: 1h }}
    min: {min}
    max: {max}
  job:
    launch: {{ types: [t3.small, t3a.small] }}
    min: 0
    max: 2
    drain: {{ via: tag, deadline: 30m }}
    queue: {{ read: {{ http: "{endpoint}/queue/job" }}, every: 5s, scale_out: {{ above: 20 }}, scale_in: {{ below: 5 }} }}
"#
        )
    }

    /// The instances that a fleet has alive, in truth.
    pub(crate) fn alive(&self, fleet: &str) -> Vec<Machine> {
        let state = self.front.state();
        let now = Timestamp::now();
        let machines = state.world.machines();
        machines
            .filter(|m| m.lifecycle(now).is_alive() && m.fleet() == Some(&name(fleet)))
            .cloned()
            .collect()
    }

    pub(crate) fn launched(&self) -> usize {
        self.front.state().world.machines().count()
    }

    /// How many calls of the API were made.
    pub(crate) fn calls(&self) -> u64 {
        self.front.state().world.calls().values().sum()
    }

    pub(crate) fn pin(&self, waiting: u64) {
        self.front.state().pin(name("job"), waiting);
    }

    /// Replaces the queue of `job` by one that so many jobs enter in a second; two run at once.
    pub(crate) fn fill(&self, jobs: usize, takes: Duration) {
        let now = Timestamp::now();
        let job = Job { arrives: now + Duration::from_secs(1), takes };
        let queue = Queue::given(vec![job; jobs], 2, Interruption::default(), now);
        self.front.state().queues.insert(name("job"), queue);
    }

    pub(crate) fn console_terminate(&self, id: &str) {
        self.front.state().world.console_terminate(&InstanceId::new(id)).unwrap();
    }

    /// An instance that a person launched, with these tags.
    pub(crate) fn launch_by_hand(&self, tags: &[(&str, &str)]) -> InstanceId {
        let request = LaunchRequest {
            token: Token::from_stored("made-by-hand"),
            image: Image::Id("ami-0123456789abcdef0".to_owned()),
            pool: Pool { instance_type: None, subnet: None },
            key_pair: None,
            security_groups: Vec::new(),
            instance_profile: None,
            user_data: String::new(),
            drains: false,
            tags: Arc::new(tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        };
        self.front.state().world.add_foreign(&request).unwrap()
    }

    /// Members of a balancer, in truth.
    pub(crate) fn members(&self, balancer: &Balancer) -> Vec<String> {
        let state = self.front.state();
        let members = state.world.members.describe(balancer, Timestamp::now()).unwrap();
        members.into_keys().map(|id| id.to_string()).collect()
    }
}
