//! Queue readings, health checks and drains over HTTP. No redirects, no proxies, a time limit on everything,
//! a cap on every body, and never a metadata address.

mod ask;
mod check;
mod drain;
mod guard;
mod rounds;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::redirect::Policy as Redirects;
use tokio::sync::Mutex;

use self::rounds::Rounds;
use crate::ports::{HealthQuery, Probe, QueueQuery};
use crate::probe::body::Body;
use tidegate_engine::model::drain::DrainPost;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::{Depth, Health};
use tidegate_engine::model::time::{self, Timestamp};

pub use self::guard::{addresses, allowed};

const CONNECT: Duration = Duration::from_secs(3);

/// How long a tick waits for health checks. One that needs longer goes on beside the ticks.
const PATIENCE: Duration = Duration::from_secs(10);

/// Probes over HTTP.
#[derive(Debug)]
pub struct HttpProbe {
    client: reqwest::Client,
    /// Where secrets are looked for, in order.
    secret_dirs: Vec<PathBuf>,
    rounds: Mutex<Rounds>,
    /// There is no next tick: every check is waited for.
    once: bool,
}

impl HttpProbe {
    pub fn new(secret_dirs: Vec<PathBuf>) -> Result<Self, reqwest::Error> {
        Ok(Self { client: client()?, secret_dirs, rounds: Mutex::default(), once: false })
    }

    /// For one tick alone, in which whoever does not answer now never does.
    pub fn once(self) -> Self {
        Self { once: true, ..self }
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
        let longest = queries.iter().map(|query| query.timeout).max().unwrap_or_default();
        let patience = if self.once { longest.max(PATIENCE) } else { PATIENCE };
        self.rounds.lock().await.go_on(&self.client, queries, now, patience).await
    }

    async fn drain(&self, post: &DrainPost) -> Result<Option<u64>, String> {
        drain::post(&self.client, &self.secret_dirs, post).await
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
    tidegate_engine::model::fault::printable(&innermost.to_string(), 120)
}

/// A server whose answers never end, for tests: this head, and this piece again and again.
#[cfg(test)]
pub(crate) mod endless {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    /// Returns the server's URL, and where it says how many bytes each client took.
    pub(crate) fn server(
        head: &'static str,
        piece: &'static str,
    ) -> (String, mpsc::Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut client, mut asked) = (listener.accept().unwrap().0, [0; 4096]);
            assert_ne!(client.read(&mut asked).unwrap(), 0);
            let pieces = piece.repeat(1 << 14);
            let mut sent = 0;
            let mut more = client.write_all(head.as_bytes());
            while more.is_ok() {
                more = client.write_all(pieces.as_bytes());
                sent += pieces.len();
            }
            tell.send(sent).ok();
        });
        (url, told)
    }

    /// More than the kernel keeps between two sockets, and far less than memory.
    pub(crate) const BUFFERED: usize = 64 << 20;
}
