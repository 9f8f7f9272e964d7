//! Queue readings and health checks over HTTP. No redirects, no proxies, a time limit on everything,
//! a cap on every body, and never a metadata address.

mod ask;
mod check;
mod guard;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::redirect::Policy as Redirects;

use crate::model::instance::InstanceId;
use crate::model::reading::{Depth, Health};
use crate::model::time::{self, Timestamp};
use crate::ports::{HealthQuery, Probe, QueueQuery};
use crate::probe::body::Body;

pub use self::guard::{addresses, allowed};

const CONNECT: Duration = Duration::from_secs(3);

/// Health checks under way at once.
const AT_ONCE: usize = 64;

/// How long one round of health checks may take, however many pages hang: a tick has other things to
/// do. Longer than any one check is given.
const ROUND: Duration = Duration::from_secs(40);

/// Probes over HTTP.
#[derive(Debug)]
pub struct HttpProbe {
    client: reqwest::Client,
    /// Where secrets are looked for, in order.
    secret_dirs: Vec<PathBuf>,
    /// The last check of each instance that is still asked about.
    checks: Mutex<BTreeMap<InstanceId, Health>>,
}

impl HttpProbe {
    pub fn new(secret_dirs: Vec<PathBuf>) -> Result<Self, reqwest::Error> {
        Ok(Self { client: client()?, secret_dirs, checks: Mutex::default() })
    }
}

/// A client for URLs of the policy. Each URL goes through [`allowed`] before it is asked.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(Redirects::none())
        .no_proxy()
        // A new connection each time: an answer that belongs to an earlier question cannot come
        // through.
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(guard::Resolver))
        .build()
}

#[async_trait]
impl Probe for HttpProbe {
    async fn queue(&self, query: &QueueQuery) -> Result<Depth, String> {
        ask::read(&self.client, &self.secret_dirs, query).await
    }

    async fn health(
        &self,
        queries: &[HealthQuery],
        now: Timestamp,
    ) -> BTreeMap<InstanceId, Health> {
        let known = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Collected first: a stream over borrowed queries is too much for the compiler's view of
        // lifetimes across threads.
        let mut due: Vec<HealthQuery> = queries
            .iter()
            .filter(|query| {
                let last = known.get(&query.instance);
                last.is_none_or(|last| time::since(now, last.at) >= query.every || last.at > now)
            })
            .cloned()
            .collect();
        // Those that have waited longest first: what the time does not suffice for is next.
        due.sort_by_key(|query| known.get(&query.instance).map(|last| last.at));
        let checked: Vec<_> = stream::iter(due)
            .map(|query| {
                let client = self.client.clone();
                async move { (query.instance.clone(), check::check(&client, &query).await) }
            })
            .buffer_unordered(AT_ONCE)
            .take_until(tokio::time::sleep(ROUND))
            .collect()
            .await;
        let mut checks: BTreeMap<InstanceId, Health> = queries
            .iter()
            .filter_map(|query| Some((query.instance.clone(), known.get(&query.instance)?.clone())))
            .collect();
        for (instance, passed) in checked {
            let Some(passed) = passed else {
                // What was known of it is out of date, and nothing has come in its place.
                checks.remove(&instance);
                continue;
            };
            let before = known.get(&instance).map_or(0, |health| health.failures);
            let failures = if passed.is_ok() { 0 } else { before.saturating_add(1) };
            checks.insert(instance, Health { at: now, passed, failures });
        }
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&checks);
        checks
    }
}

/// At most `most` bytes of a body.
async fn body(response: reqwest::Response, most: usize) -> Result<Body, reqwest::Error> {
    let mut response = response;
    let mut body = Body::at_most(most);
    while let Some(piece) = response.chunk().await? {
        if !body.take(&piece) {
            break;
        }
    }
    Ok(body)
}

/// Why a call failed, in few words and without the URL, which may be long.
pub fn cause(error: &reqwest::Error, limit: Duration) -> String {
    if error.is_timeout() {
        return format!("timed out after {}", time::text(limit));
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    crate::model::fault::printable(&innermost.to_string(), 120)
}
