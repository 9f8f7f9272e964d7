//! Health checks beside the ticks: pages that hang are waited for in the background, so many at once,
//! and who has answered is told meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use super::check::check;
use crate::ports::HealthQuery;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::{Health, Recent};
use tidegate_engine::model::time::{self, Timestamp};

/// Checks under way at once.
const AT_ONCE: usize = 64;

/// What was asked: another address, or another page to look for, is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    url: String,
    expect: Option<String>,
}

/// What the last check of each instance found, and the checks that are under way.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    known: BTreeMap<InstanceId, (Question, Health)>,
    under_way: BTreeMap<InstanceId, UnderWay>,
    checks: JoinSet<Option<Result<(), String>>>,
}

#[derive(Debug)]
struct UnderWay {
    task: Id,
    question: Question,
    begun: Timestamp,
}

impl Rounds {
    /// Begins the checks that are due, waits for answers as long as `patience` lasts, and tells what
    /// is known of those that are asked about. Dropped in the midst of waiting, it loses nothing.
    pub(super) async fn go_on(
        &mut self,
        client: &reqwest::Client,
        queries: &[HealthQuery],
        now: Timestamp,
        patience: Duration,
    ) -> BTreeMap<InstanceId, Health> {
        let asked: BTreeMap<&InstanceId, Question> =
            queries.iter().map(|query| (&query.instance, Question::of(query))).collect();
        self.known.retain(|id, (question, _)| asked.get(id) == Some(question));
        // An answer to what is asked no more is heard by nobody.
        self.under_way.retain(|id, check| asked.get(id) == Some(&check.question));
        let mut due = self.due(queries, now);
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            while self.checks.len() < AT_ONCE
                && let Some(query) = due.pop_front()
            {
                self.begin(client, query.clone(), now);
            }
            match tokio::time::timeout_at(deadline, self.checks.join_next_with_id()).await {
                Ok(Some(Ok((task, passed)))) => self.found(task, passed),
                // A check that fell over said nothing, and is begun anew when it is due.
                Ok(Some(Err(error))) => self.found(error.id(), None),
                Ok(None) | Err(_) => break,
            }
        }
        let late: BTreeSet<&InstanceId> = due.iter().map(|query| &query.instance).collect();
        let told = |query: &HealthQuery| {
            let (_, health) = self.known.get(&query.instance)?;
            let unanswered =
                late.contains(&query.instance) || self.under_way.contains_key(&query.instance);
            // Who is asked again and has not answered vouches for nobody any more.
            (!unanswered || health.passed.is_err())
                .then(|| (query.instance.clone(), health.clone()))
        };
        queries.iter().filter_map(told).collect()
    }

    /// Those whose time has come, who has waited longest first: what the time does not suffice for is
    /// next.
    fn due<'a>(&self, queries: &'a [HealthQuery], now: Timestamp) -> VecDeque<&'a HealthQuery> {
        let last = |query: &HealthQuery| self.known.get(&query.instance).map(|(_, last)| last.at);
        let is_due = |query: &&HealthQuery| {
            !self.under_way.contains_key(&query.instance)
                && last(query).is_none_or(|at| time::since(now, at) >= query.every || at > now)
        };
        let mut due: Vec<&HealthQuery> = queries.iter().filter(is_due).collect();
        due.sort_by_key(|query| last(query));
        due.into()
    }

    fn begin(&mut self, client: &reqwest::Client, query: HealthQuery, begun: Timestamp) {
        let client = client.clone();
        let (instance, question) = (query.instance.clone(), Question::of(&query));
        let task = self.checks.spawn(async move { check(&client, &query).await }).id();
        self.under_way.insert(instance, UnderWay { task, question, begun });
    }

    fn found(&mut self, task: Id, passed: Option<Result<(), String>>) {
        let of = self.under_way.iter().find(|(_, check)| check.task == task);
        let Some(instance) = of.map(|(instance, _)| instance.clone()) else { return };
        let Some(check) = self.under_way.remove(&instance) else { return };
        let Some(passed) = passed else {
            // What was known of it is out of date, and nothing has come in its place.
            self.known.remove(&instance);
            return;
        };
        let before = self.known.get(&instance).map_or_else(Recent::default, |(_, h)| h.recent);
        let recent = before.then(passed.is_ok());
        self.known.insert(instance, (check.question, Health { at: check.begun, passed, recent }));
    }
}

impl Question {
    fn of(query: &HealthQuery) -> Self {
        Self { url: query.url.clone(), expect: query.expect.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    /// A page that answers each request when it is let go, with the status that it is given.
    fn page() -> (HealthQuery, mpsc::Sender<u16>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (let_go, go) = mpsc::channel::<u16>();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut asked) = (stream.unwrap(), [0; 1024]);
                assert_ne!(stream.read(&mut asked).unwrap(), 0);
                let Ok(status) = go.recv() else { break };
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
            }
        });
        let query = HealthQuery {
            instance: InstanceId::new(&format!("i-{port:08x}")),
            url: format!("http://127.0.0.1:{port}/"),
            expect: None,
            timeout: Duration::from_mins(1),
            every: Duration::from_secs(1),
        };
        (query, let_go)
    }

    /// Goes on until there is news of the quick one, however slow this host is.
    async fn until_heard(
        rounds: &mut Rounds,
        queries: &[HealthQuery],
        now: Timestamp,
    ) -> BTreeMap<InstanceId, Health> {
        let client = crate::probe::http::client().unwrap();
        for _ in 0..1000 {
            let found = rounds.go_on(&client, queries, now, PATIENCE).await;
            if found.get(&queries[0].instance).is_some_and(|health| health.at == now) {
                return found;
            }
        }
        panic!("the quick one never answered");
    }

    fn at(second: u64) -> Timestamp {
        time::after("2026-03-02T08:00:00Z".parse().unwrap(), Duration::from_secs(second))
    }

    #[tokio::test]
    async fn a_page_that_hangs_keeps_nobody_waiting_and_its_answer_is_not_lost() {
        let client = crate::probe::http::client().unwrap();
        let (quick, answer) = page();
        let (slow, let_go) = page();
        let queries = [quick.clone(), slow.clone()];
        let mut rounds = Rounds::default();
        answer.send(200).unwrap();
        let found = until_heard(&mut rounds, &queries, at(0)).await;
        assert_eq!(found[&quick.instance].passed, Ok(()));
        assert!(!found.contains_key(&slow.instance), "unknown, and not sick");
        // The one that hangs is asked once, and what it says is of the time when it was asked.
        answer.send(500).unwrap();
        let found = until_heard(&mut rounds, &queries, at(5)).await;
        assert_eq!(found[&quick.instance].failures(), 1);
        let_go.send(200).unwrap();
        answer.send(200).unwrap();
        let found = rounds.go_on(&client, &queries, at(10), Duration::from_mins(1)).await;
        assert_eq!(found[&quick.instance].failures(), 0);
        assert_eq!(
            found[&slow.instance],
            Health { at: at(0), passed: Ok(()), recent: Recent::default().then(true) }
        );
        // It was well, and hangs again: no witness, though its last word was good.
        answer.send(200).unwrap();
        let found = until_heard(&mut rounds, &queries, at(15)).await;
        assert!(!found.contains_key(&slow.instance));
        // A failure stands until there is better news.
        let_go.send(500).unwrap();
        answer.send(200).unwrap();
        let found = rounds.go_on(&client, &queries, at(20), Duration::from_mins(1)).await;
        assert_eq!(found[&slow.instance].failures(), 1);
        answer.send(200).unwrap();
        let found = until_heard(&mut rounds, &queries, at(25)).await;
        assert_eq!(found[&slow.instance].failures(), 1);
    }
}
