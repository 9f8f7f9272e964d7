//! Instances that an operator handed over to a fleet, and a journal that is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate::sim::Simulation;
use tidegate::sim::world::Settings;
use tidegate::store::memory::MemoryStore;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::launch::{Image, LaunchRequest, Token, tag};
use tidegate_engine::model::ledger::Change;
use tidegate_engine::model::problem::ProblemKind;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::load;
use tidegate_engine::state::{Handover, adopt};

const POLICY: &str = r"
version: 1
timezone: UTC
mode: act
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
    min: 2
    max: 4
";

fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn app() -> FleetName {
    FleetName::new("app").unwrap()
}

struct Shop(Simulation);

impl Shop {
    async fn open(policy: &str) -> Self {
        let policy = load("adopted.yaml", policy, start()).policy.expect("the policy is valid");
        let store = Arc::new(MemoryStore::default());
        let simulation =
            Simulation::new(policy, Settings::default(), BTreeMap::new(), store, start())
                .await
                .unwrap();
        Self(simulation)
    }

    /// Launches an instance by hand, with these tags.
    fn launch_by_hand(&self, nth: usize, tags: &[(&str, &str)]) -> InstanceId {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut request = LaunchRequest {
            token: Token::from_stored(&format!("made-by-hand-{nth}")),
            image: Image::Id("ami-0123456789abcdef0".to_owned()),
            pool: tidegate_engine::model::fleet::Pool { instance_type: None, subnet: None },
            key_pair: None,
            security_groups: Vec::new(),
            instance_profile: None,
            user_data: String::new(),
            drains: false,
            tags: Arc::default(),
        };
        request.tags = Arc::new(tags.collect());
        let id = self.0.front.state().world.add_foreign(&request).unwrap();
        // EC2's lists show a new instance only after a while.
        self.0.advance(time::after(self.0.now(), minutes(5)));
        id
    }

    async fn adopt(&mut self, ids: &[InstanceId]) -> Result<(), String> {
        let found = self.0.front.state().world.instances_by_id(ids).unwrap();
        let (fleet, asked) = (app(), ids.iter().cloned().collect());
        let handover = Handover { fleet: &fleet, asked: &asked, found: &found };
        let now = self.0.now();
        let records = adopt(&self.0.policy, self.0.journal.ledger(), handover, now)?;
        let changes: Vec<Change> =
            records.into_iter().map(|record| Change::Server(Arc::new(record))).collect();
        self.0.journal.commit(&changes).await.unwrap();
        Ok(())
    }

    async fn run(&mut self, lasts: Duration) {
        let end = time::after(self.0.now(), lasts);
        while self.0.now() < end {
            let record = self.0.tick().await.unwrap();
            self.0.wait(record.next);
        }
    }

    /// The daemon starts anew, and its state directory is gone.
    async fn lose_the_journal(&mut self) {
        self.0.restart_with(Arc::new(MemoryStore::default())).await.unwrap();
    }

    fn alive(&self) -> Vec<InstanceId> {
        let state = self.0.front.state();
        let now = state.world.now();
        let alive = state.world.machines().filter(|m| m.lifecycle(now) == Lifecycle::Running);
        let mut ids: Vec<_> = alive.map(|machine| machine.id.clone()).collect();
        ids.sort();
        ids
    }

    fn servers(&self) -> Vec<InstanceId> {
        let open = self.0.journal.ledger().servers.open();
        let mut ids: Vec<_> = open.filter_map(|record| record.instance().cloned()).collect();
        ids.sort();
        ids
    }
}

const HANDED_OVER: [(&str, &str); 3] =
    [(tag::INSTALL, "main"), (tag::FLEET, "app"), (tag::ADOPTED, "main/app")];

fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

#[tokio::test]
async fn lost_journal_loses_no_adopted_server() {
    let mut shop = Shop::open(POLICY).await;
    let adopted = [shop.launch_by_hand(0, &HANDED_OVER), shop.launch_by_hand(1, &HANDED_OVER)];
    shop.run(minutes(10)).await;
    for round in 0..3 {
        assert_eq!(shop.alive(), adopted, "round {round}: launched beside them, or terminated one");
        assert_eq!(shop.servers(), adopted, "round {round}");
        shop.lose_the_journal().await;
        shop.run(minutes(10)).await;
    }
}

#[tokio::test]
async fn adopted_tag_alone_does_nothing_once_the_journal_is_old() {
    let mut shop = Shop::open(POLICY).await;
    shop.run(minutes(90)).await;
    let launched = shop.alive();
    assert_eq!(launched.len(), 2);
    let tagged = shop.launch_by_hand(0, &HANDED_OVER);
    shop.run(minutes(30)).await;
    assert_eq!(shop.servers(), launched, "an order is needed");
    // A restart makes no journal new.
    shop.0.restart().await.unwrap();
    shop.run(minutes(30)).await;
    assert_eq!(shop.servers(), launched);
    shop.adopt(std::slice::from_ref(&tagged)).await.unwrap();
    shop.run(minutes(30)).await;
    assert_eq!(shop.servers().len(), 2, "`min` is 2, so that one of the three goes");
}

/// Tags of another install, of no install, and without the fleet's name are no word of the operator.
#[tokio::test]
async fn new_journal_counts_no_instance_with_other_tags() {
    let others: [&[(&str, &str)]; 5] = [
        &[(tag::INSTALL, "main"), (tag::FLEET, "app")],
        &[(tag::INSTALL, "main"), (tag::FLEET, "app"), (tag::ADOPTED, "other/app")],
        &[(tag::INSTALL, "other"), (tag::FLEET, "app"), (tag::ADOPTED, "main/app")],
        &[(tag::FLEET, "app"), (tag::ADOPTED, "main/app")],
        &[(tag::INSTALL, "main"), (tag::FLEET, "app"), (tag::ADOPTED, "main")],
    ];
    let mut shop = Shop::open(POLICY).await;
    let foreign: Vec<InstanceId> =
        others.iter().enumerate().map(|(nth, tags)| shop.launch_by_hand(nth, tags)).collect();
    shop.run(minutes(10)).await;
    let servers = shop.servers();
    assert_eq!(servers.len(), 2);
    assert!(servers.iter().all(|id| !foreign.contains(id)), "{servers:?}");
    let refused = shop.adopt(&foreign[..1]).await.unwrap_err();
    assert!(refused.contains("Key=tidegate:adopted,Value=main/app"), "{refused}");
}

/// A fleet that is not in the policy keeps its servers: they are reported, and nothing is done.
#[tokio::test]
async fn adopted_server_of_a_fleet_outside_the_policy_is_left_alone() {
    let mut shop = Shop::open(POLICY).await;
    let tags = [(tag::INSTALL, "main"), (tag::FLEET, "old"), (tag::ADOPTED, "main/old")];
    let old = shop.launch_by_hand(0, &tags);
    shop.run(minutes(10)).await;
    assert!(shop.alive().contains(&old));
    let problems = &shop.0.journal.ledger().problems;
    assert!(problems.contains_key(&ProblemKind::Unmanaged.about("old")), "{problems:?}");
}
