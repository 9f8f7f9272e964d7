//! What carries requests to the collector. It has a thread of its own, so that neither a tick nor the
//! daemon's end ever waits for a collector, or for its name to be looked up.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::redirect::Policy as Redirects;
use tokio::runtime::Handle;

use super::asked::{Signal, Target};
use super::standing::Standing;
use crate::probe::http::cause;
use tidegate_engine::model::fault::printable;

const CONNECT: Duration = Duration::from_secs(3);

/// Of an answer, what says that a part was refused, and why.
const READ_AT_MOST: usize = 16 * 1024;

/// Starts the thread, which lasts as long as the process.
pub(super) fn begin() -> anyhow::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let forever = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("telemetry".to_owned()).spawn(forever)?;
    Ok(handle)
}

/// One signal's way to its collector.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    signal: Signal,
    target: Target,
    client: reqwest::Client,
    runtime: Handle,
    standing: Arc<Standing>,
}

impl Sender {
    pub(super) fn new(
        signal: Signal,
        target: Target,
        runtime: Handle,
        standing: Arc<Standing>,
    ) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(target.timeout)
            // The headers hold keys, which are for the collector that was named.
            .redirect(Redirects::none())
            .no_proxy()
            .build()
            .context("failed to prepare HTTP")?;
        Ok(Self { signal, target, client, runtime, standing })
    }

    /// Sends a body that nobody else has put into a request; once, since the next has it all.
    pub(super) async fn post(&self, body: Vec<u8>) -> Result<(), HttpError> {
        let mut request = Request::post(self.target.url.as_str())
            .header("content-type", "application/x-protobuf");
        for (name, value) in &self.target.headers {
            request = request.header(name, value);
        }
        let body = if self.target.gzip {
            request = request.header("content-encoding", "gzip");
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(&body)?;
            packed.finish()?
        } else {
            body
        };
        self.ask(request.body(Bytes::from(body))?).await?;
        Ok(())
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.answer(request).await;
        let why = match &answer {
            Ok(answer) => refused(answer),
            Err(error) => Some(
                error
                    .downcast_ref()
                    .map_or_else(|| error.to_string(), |error| cause(error, self.target.timeout)),
            ),
        };
        match why {
            Some(why) => self.standing.failed(self.signal, &self.target.collector(), &why),
            None => self.standing.arrived(self.signal),
        }
        answer
    }

    async fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.client.execute(request.try_into()?).await?;
        let mut whole = Response::builder().status(answer.status());
        if let Some(headers) = whole.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if body.len().saturating_add(piece.len()) > READ_AT_MOST {
                body.clear();
                break;
            }
            body.extend_from_slice(&piece);
        }
        Ok(whole.body(Bytes::from(body))?)
    }
}

/// The exporters ask from threads of their own, which have no runtime.
#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sender = self.clone();
        self.runtime.spawn(async move { sender.ask(request).await }).await?
    }
}

/// Why the collector did not take all of it.
fn refused(answer: &Response<Bytes>) -> Option<String> {
    if !answer.status().is_success() {
        return Some(format!("it answered {}", answer.status()));
    }
    // The answers to all three signals are alike on the wire.
    let part = ExportTraceServiceResponse::decode(answer.body().clone()).ok()?.partial_success?;
    (part.rejected_spans > 0).then(|| {
        let why = printable(&part.error_message, 120);
        format!("it refused {} of them: {why}", part.rejected_spans)
    })
}
