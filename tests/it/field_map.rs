//! A queue's map of fields over real HTTP: the answers of RabbitMQ's management API and of Prometheus,
//! read by the ticks of a daemon over a simulated EC2.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::ports::Ports;
use tidegate::probe::HttpProbe;
use tidegate::record::Journal;
use tidegate::sim::front::Front;
use tidegate::sim::world::{Settings, World};
use tidegate::store::memory::MemoryStore;
use tidegate::tick::tick;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::problem::ProblemKind;
use tidegate_engine::model::reading::{Depth, Work};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{Policy, load};

const RABBITMQ: &str = r#"{"name": "mail", "messages": 5, "messages_ready": 3,
    "messages_unacknowledged": 2, "consumers": 1, "busy": "no", "running": "many"}"#;

const PROMETHEUS: &str = r#"{"status": "success", "data": {"resultType": "vector",
    "result": [{"metric": {}, "value": [1772438400.123, "30"]}]}}"#;

/// Of a series that does not exist.
const NO_SERIES: &str = r#"{"status": "success", "data": {"resultType": "vector", "result": []}}"#;

/// A daemon over a simulated EC2, whose queue is a real HTTP server.
struct Shop {
    answer: Arc<Mutex<&'static str>>,
    policy: Policy,
    front: Front,
    ports: Ports,
    journal: Journal,
}

impl Shop {
    async fn open(path: &str, json: &str, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(answer));
        let answers = answer.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let answer = *answers.lock().unwrap();
                // A client that hangs up fails its own test.
                serve(&client, answer).ok();
            }
        });
        let text = format!(
            "version: 1\nmode: act\nfleets:\n  job:\n    launch: {{ template: job }}\n    min: 0\n    max: 2\n    queue: {{ read: {{ http: \"http://127.0.0.1:{port}{path}\", json: {json} }}, every: 1m, scale_out: {{ above: 2 }}, scale_in: {{ below: 1 }} }}\n"
        );
        let start: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        let policy = load("map.yaml", &text, start).policy.expect("the policy is valid");
        let front = Front::new(World::new(Settings::default(), start), BTreeMap::new());
        let store = Arc::new(MemoryStore::default());
        let ports = Ports {
            cloud: Arc::new(front.clone()),
            balancers: Arc::new(front.clone()),
            probe: Arc::new(HttpProbe::new(Vec::new()).unwrap()),
            store: store.clone(),
            clock: Arc::new(front.clone()),
        };
        let journal = Journal::open(store, start).await.unwrap();
        Self { answer, policy, front, ports, journal }
    }

    /// Ticks when the next reading is due. Returns what was read.
    async fn read(&mut self) -> Result<Depth, String> {
        let next = time::after(self.front.state().world.now(), Duration::from_mins(1));
        self.front.state().advance(next);
        tick(&self.ports, &self.policy, &mut self.journal, &[]).await.unwrap();
        let fleet = FleetName::new("job").unwrap();
        self.journal.ledger().fleets[&fleet].last_reading().unwrap().depth.clone()
    }

    fn problem(&self) -> Option<String> {
        self.journal
            .ledger()
            .problems
            .get(&ProblemKind::QueueUnreadable.about("job"))
            .map(|problem| problem.text.clone())
    }

    fn launched(&self) -> usize {
        self.front.state().world.machines().count()
    }
}

fn serve(mut client: &TcpStream, answer: &str) -> std::io::Result<()> {
    for line in BufReader::new(client).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let length = answer.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    client.write_all((head + answer).as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_read_by_its_own_names() {
    let json = "{ waiting: /messages_ready, running: /messages_unacknowledged }";
    let mut shop = Shop::open("/api/queues/%2F/mail", json, RABBITMQ).await;
    let work = Work { running: Some(2), ..Work::default() };
    assert_eq!(shop.read().await, Ok(Depth { waiting: 3, oldest: None, work }));
    assert_eq!((shop.launched(), shop.problem()), (1, None));
    // Another version of the application calls it otherwise.
    *shop.answer.lock().unwrap() = r#"{"messages_ready": 0, "unacknowledged": 2}"#;
    let why = "nothing at /messages_unacknowledged, where `running` should be";
    assert_eq!(shop.read().await, Err(why.to_owned()));
    assert_eq!(shop.problem(), Some(format!("the queue cannot be read: {why}")));
    assert_eq!(shop.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_is_read_by_a_pointer_into_its_vector() {
    let json = "{ waiting: /data/result/0/value/1 }";
    let path = "/api/v1/query?query=sum(jobs_waiting)";
    let mut shop = Shop::open(path, json, PROMETHEUS).await;
    assert_eq!(shop.read().await, Ok(Depth::of(30)));
    *shop.answer.lock().unwrap() = NO_SERIES;
    let why = "nothing at /data/result/0/value/1, where `waiting` should be";
    assert_eq!(shop.read().await, Err(why.to_owned()));
    *shop.answer.lock().unwrap() = PROMETHEUS;
    assert_eq!(shop.read().await, Ok(Depth::of(30)));
    assert_eq!(shop.problem(), None);
}
