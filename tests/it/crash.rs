//! A crash at every point of a server's life: before and after each commit and each call, with the
//! call in flight having taken effect or not, once and twice. Whatever happens, the life ends as it
//! does without a crash: one server, in its balancer while it is wanted, drained and gone after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tidegate::ports::{Balancers, Cloud, Ports, Store, StoreFault};
use tidegate::record::Journal;
use tidegate::sim::front::Front;
use tidegate::sim::world::{Settings, World};
use tidegate::store::memory::MemoryStore;
use tidegate::tick::tick;
use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::instance::{Instance, InstanceId, Lifecycle};
use tidegate_engine::model::launch::LaunchRequest;
use tidegate_engine::model::ledger::{Change, Ledger};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::model::volume::Volume;
use tidegate_engine::model::warning::Warning;
use tidegate_engine::policy::{Policy, load};

const POLICY: &str = r#"
version: 1
timezone: UTC
mode: act
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
    BALANCER
    health: { http: "http://{private_ip}/", grace: 10m }
    min: 0
    max: 1
    schedule:
      - { cron: "0 8 * * *", capacity: 1 }
      - { cron: "20 8 * * *", capacity: 0 }
"#;

fn at(minutes: u64) -> Timestamp {
    time::after("2026-03-02T08:00:00Z".parse().unwrap(), Duration::from_mins(minutes))
}

/// Where the process dies: at which of its effects, and whether that one still happens.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Blow {
    nth: usize,
    happens: bool,
}

/// Counts effects, and kills the process at one of them: from then on nothing happens any more.
#[derive(Debug, Default)]
struct Fuse {
    effects: usize,
    blow: Option<Blow>,
    blown: bool,
    /// What has gone wrong in the world, in words.
    wrong: Vec<String>,
}

impl Fuse {
    /// Whether the next effect happens, and whether its answer arrives.
    fn next(&mut self) -> (bool, bool) {
        if self.blown {
            return (false, false);
        }
        let nth = self.effects;
        self.effects += 1;
        match self.blow {
            Some(blow) if blow.nth == nth => {
                self.blown = true;
                (blow.happens, false)
            }
            Some(_) | None => (true, true),
        }
    }
}

/// The world and the disk, as a process sees them that may die at any moment.
#[derive(Clone)]
struct Mortal {
    front: Front,
    disk: Arc<MemoryStore>,
    fuse: Arc<Mutex<Fuse>>,
}

fn dead() -> Fault {
    Fault::new(FaultKind::Ambiguous, "Dead", "there is nobody to hear the answer")
}

impl Mortal {
    fn fuse(&self) -> MutexGuard<'_, Fuse> {
        self.fuse.lock().unwrap()
    }

    fn alive(&self) -> Result<(), Fault> {
        if self.fuse().blown { Err(dead()) } else { Ok(()) }
    }

    fn ports(&self) -> Ports {
        Ports {
            cloud: Arc::new(self.clone()),
            balancers: Arc::new(self.clone()),
            probe: Arc::new(self.front.clone()),
            store: Arc::new(self.clone()),
            clock: Arc::new(self.front.clone()),
        }
    }
}

#[async_trait]
impl Cloud for Mortal {
    async fn instances(&self, install: &str) -> Result<Vec<Instance>, Fault> {
        self.alive()?;
        self.front.instances(install).await
    }

    async fn account(&self) -> Option<Account> {
        self.front.account().await
    }

    async fn instances_named(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        self.front.instances_named(ids).await
    }

    async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        self.alive()?;
        self.front.instances_by_id(ids).await
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, Fault> {
        let (happens, heard) = self.fuse().next();
        let answer = if happens { self.front.launch(request).await } else { Err(dead()) };
        if heard { answer } else { Err(dead()) }
    }

    async fn free_volumes(&self, install: &str) -> Result<Vec<Volume>, Fault> {
        self.alive()?;
        self.front.free_volumes(install).await
    }

    async fn warnings(&self) -> Result<Vec<Warning>, Fault> {
        self.alive()?;
        self.front.warnings().await
    }

    async fn tag_drain(&self, id: &InstanceId, value: &str) -> Result<(), Fault> {
        let (happens, heard) = self.fuse().next();
        let answer = if happens { self.front.tag_drain(id, value).await } else { Err(dead()) };
        if heard { answer } else { Err(dead()) }
    }

    async fn untag_drain(&self, id: &InstanceId) -> Result<(), Fault> {
        let (happens, heard) = self.fuse().next();
        let answer = if happens { self.front.untag_drain(id).await } else { Err(dead()) };
        if heard { answer } else { Err(dead()) }
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), Fault> {
        let (happens, heard) = self.fuse().next();
        if happens && self.front.state().world.members.carries_traffic(id) {
            self.fuse().wrong.push(format!("{id} is terminated while it carries traffic"));
        }
        let answer = if happens { self.front.terminate(id).await } else { Err(dead()) };
        if heard { answer } else { Err(dead()) }
    }
}

#[async_trait]
impl Balancers for Mortal {
    async fn members(
        &self,
        balancer: &Balancer,
    ) -> Result<BTreeMap<InstanceId, Membership>, Fault> {
        self.alive()?;
        self.front.members(balancer).await
    }

    async fn drain(&self, balancer: &Balancer) -> Result<Option<Duration>, Fault> {
        self.alive()?;
        self.front.drain(balancer).await
    }

    async fn register(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault> {
        let (happens, heard) = self.fuse().next();
        let answer = if happens { self.front.register(balancer, id).await } else { Err(dead()) };
        if heard { answer } else { Err(dead()) }
    }

    async fn deregister(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault> {
        let (happens, heard) = self.fuse().next();
        let answer = if happens { self.front.deregister(balancer, id).await } else { Err(dead()) };
        if heard { answer } else { Err(dead()) }
    }
}

#[async_trait]
impl Store for Mortal {
    async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
        self.disk.load(now).await
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
        let (happens, heard) = self.fuse().next();
        let answer = if happens { self.disk.commit(changes).await } else { Ok(()) };
        if heard {
            answer
        } else {
            Err(StoreFault::Failed("there is nobody to hear the answer".to_owned()))
        }
    }
}

/// What is so in the world and in the journal at one time of a life.
#[derive(Debug, PartialEq)]
struct State {
    launched: usize,
    running: usize,
    in_service: usize,
    members: usize,
    /// Records that are not closed.
    open: usize,
}

#[derive(Debug)]
struct Life {
    wanted: State,
    after: State,
    /// Effects from each start of the process to its death, or to the end.
    effects: Vec<usize>,
    wrong: Vec<String>,
}

struct Run {
    mortal: Mortal,
    journal: Journal,
    policy: Policy,
    balancer: Option<Balancer>,
}

impl Run {
    fn state(&self) -> State {
        let state = self.mortal.front.state();
        let now = state.world.now();
        let members = self.balancer.as_ref().map(|balancer| {
            state.world.members.describe(balancer, now).unwrap().into_values().collect()
        });
        let members: Vec<Membership> = members.unwrap_or_default();
        let machines = || state.world.machines();
        let running = |machine: &&_| lifecycle(machine, now) == Lifecycle::Running;
        State {
            launched: machines().count(),
            running: machines().filter(running).count(),
            in_service: members.iter().filter(|member| **member == Membership::InService).count(),
            members: members.len(),
            open: self.journal.ledger().servers.open().count(),
        }
    }

    /// Ticks until `end`; each death is followed by a start from what is on disk, with the next of
    /// `blows` ahead.
    async fn live(&mut self, end: Timestamp, blows: &mut Vec<Blow>, effects: &mut Vec<usize>) {
        let ports = self.mortal.ports();
        while self.mortal.front.state().world.now() < end {
            let record = tick(&ports, &self.policy, &mut self.journal, &[]).await;
            let now = self.mortal.front.state().world.now();
            let mut next = record.map_or(time::after(now, Duration::from_secs(15)), |r| r.next);
            let blown = self.mortal.fuse().blown;
            if blown {
                {
                    let mut fuse = self.mortal.fuse();
                    effects.push(fuse.effects);
                    let wrong = std::mem::take(&mut fuse.wrong);
                    *fuse = Fuse { blow: pop(blows), wrong, ..Fuse::default() };
                }
                self.journal = Journal::open(ports.store.clone(), now).await.unwrap();
                // systemd takes a few seconds to start it again.
                next = time::after(now, Duration::from_secs(5));
            }
            self.mortal.front.state().advance(next);
        }
    }
}

fn lifecycle(machine: &tidegate::sim::machine::Machine, now: Timestamp) -> Lifecycle {
    machine.lifecycle(now)
}

fn pop(blows: &mut Vec<Blow>) -> Option<Blow> {
    if blows.is_empty() { None } else { Some(blows.remove(0)) }
}

/// A server's life from eight o'clock on, with the process dying where `blows` say, one after the
/// other; `drain`: the line of the policy that says how it drains.
async fn life(balancer: Option<&Balancer>, drain: &str, blows: &[Blow]) -> Life {
    let key = match balancer {
        Some(Balancer::Classic(name)) => {
            format!("load_balancer: {{ classic: {name}, drain: 30s }}")
        }
        Some(Balancer::TargetGroup(name)) => {
            format!("load_balancer: {{ target_group: {name}, drain: 30s }}")
        }
        None => "minimum_uptime: 1m".to_owned(),
    };
    let text = POLICY.replace("BALANCER", &format!("{key}\n    {drain}"));
    let policy = load("crash.yaml", &text, at(0)).policy.unwrap();
    let mut world = World::new(Settings::default(), at(0));
    if let Some(balancer) = balancer {
        world.add_balancer(balancer.clone(), Duration::from_secs(30));
    }
    let mut blows = blows.to_vec();
    let mortal = Mortal {
        front: Front::new(world, BTreeMap::new()),
        disk: Arc::new(MemoryStore::default()),
        fuse: Arc::new(Mutex::new(Fuse { blow: pop(&mut blows), ..Fuse::default() })),
    };
    let journal = Journal::open(Arc::new(mortal.clone()), at(0)).await.unwrap();
    let mut run = Run { mortal, journal, policy, balancer: balancer.cloned() };
    let mut effects = Vec::new();
    run.live(at(19), &mut blows, &mut effects).await;
    let wanted = run.state();
    run.live(at(40), &mut blows, &mut effects).await;
    let after = run.state();
    let mut fuse = run.mortal.fuse();
    effects.push(fuse.effects);
    let wrong = std::mem::take(&mut fuse.wrong);
    drop(fuse);
    Life { wanted, after, effects, wrong }
}

#[track_caller]
fn demand(life: &Life, uncrashed: &Life, blows: &[Blow]) {
    assert_eq!(life.wrong, [""; 0], "{blows:?}");
    assert_eq!(life.wanted, uncrashed.wanted, "{blows:?}");
    assert_eq!(life.after, uncrashed.after, "{blows:?}");
}

async fn die_everywhere(balancer: Option<&Balancer>, drain: &str) {
    let uncrashed = life(balancer, drain, &[]).await;
    let wanted = State { launched: 1, running: 1, open: 1, ..uncrashed.after };
    let members = usize::from(balancer.is_some());
    assert_eq!(uncrashed.wanted, State { in_service: members, members, ..wanted });
    let over = State { launched: 1, running: 0, in_service: 0, members: 0, open: 0 };
    assert_eq!(uncrashed.after, over);
    let effects = uncrashed.effects[0];
    assert!(effects > 8, "a life has many effects: {effects}");
    for nth in 0..effects {
        for happens in [false, true] {
            let first = Blow { nth, happens };
            let once = life(balancer, drain, &[first]).await;
            demand(&once, &uncrashed, &[first]);
            for nth in 0..once.effects[1] {
                for happens in [false, true] {
                    let blows = [first, Blow { nth, happens }];
                    demand(&life(balancer, drain, &blows).await, &uncrashed, &blows);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_server_behind_a_classic_balancer_outlives_every_crash() {
    die_everywhere(Some(&Balancer::Classic("web".to_owned())), "").await;
}

#[tokio::test]
async fn a_server_in_a_target_group_outlives_every_crash() {
    die_everywhere(Some(&Balancer::TargetGroup("web".to_owned())), "").await;
}

#[tokio::test]
async fn a_server_behind_nothing_outlives_every_crash() {
    die_everywhere(None, "").await;
}

#[tokio::test]
async fn drained_server_outlives_every_crash() {
    die_everywhere(None, "drain: { via: tag, deadline: 10m }").await;
}

#[tokio::test]
async fn drained_server_behind_a_balancer_outlives_every_crash() {
    let http = "drain: { via: { http: \"http://q.example/drain/{instance_id}\" }, deadline: 10m }";
    die_everywhere(Some(&Balancer::Classic("web".to_owned())), http).await;
}
