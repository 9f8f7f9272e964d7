//! The HTTP client of every AWS call, credential providers included, with a limit on the memory that
//! an answer takes. The SDK itself reads any answer to its end and then parses it whole.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_sdk_ec2::error::BoxError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::weight;

/// The longest answer in bytes. A page of 1,000 usual instances has 4 to 6 MB.
const BYTES_AT_MOST: usize = 6 << 20;

/// The longest answer that reports an error, in bytes.
const ERROR_AT_MOST: usize = 256 << 10;

/// The memory that all answers in hand may take together, in KiB: their text and their rows.
const TOGETHER_KIB: usize = 16 << 10;

/// So much of an answer counts for nothing, in bytes. Few answers are longer.
const FREE: usize = 256 << 10;

/// An answer that takes more memory than any answer may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooLarge {
    Bytes(usize),
    /// Elements that take far more memory parsed than written.
    Rows,
    /// Other large answers are in hand.
    Together,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(most) => write!(f, "the answer is longer than {} KiB", most >> 10),
            Self::Rows => f.write_str("the answer has more rows than fit into memory"),
            Self::Together => f.write_str("too many large answers at once"),
        }
    }
}

impl Error for TooLarge {}

impl TooLarge {
    /// Finds it among the causes of `error`.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(*found);
            }
            cause = error.source();
        }
        None
    }
}

/// Returns the SDK's own default client, with the limits.
pub(super) fn client() -> SharedHttpClient {
    // As the SDK builds its default: rustls on aws-lc, and proxies from the environment.
    let inner = Builder::new().build_with_connector_fn(|settings, components| {
        let mut builder =
            ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder.set_proxy_config(Some(ProxyConfig::from_env()));
        builder.build()
    });
    SharedHttpClient::new(Bounded { inner, room: Arc::new(Semaphore::new(TOGETHER_KIB)) })
}

#[derive(Debug)]
struct Bounded<T> {
    inner: T,
    room: Arc<Semaphore>,
}

impl HttpClient for Bounded<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Bounded { inner, room: self.room.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

impl HttpConnector for Bounded<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.inner.call(request);
        let room = self.room.clone();
        HttpConnectorFuture::new(async move { Ok(bounded(answer.await?, room).await) })
    }
}

/// Reads the body of `answer` to its end. An answer that is too large, or breaks off, keeps its
/// status and has a body that fails.
async fn bounded(mut answer: HttpResponse, room: Arc<Semaphore>) -> HttpResponse {
    let most = if answer.status().is_success() { BYTES_AT_MOST } else { ERROR_AT_MOST };
    let body = match read(answer.take_body(), most, room).await {
        Ok(body) => SdkBody::from(body),
        Err(error) => {
            let failure: Result<Frame<Bytes>, BoxError> = Err(error);
            SdkBody::from_body_1_x(StreamBody::new(stream::iter([failure])))
        }
    };
    *answer.body_mut() = body;
    answer
}

async fn read(mut body: SdkBody, most: usize, room: Arc<Semaphore>) -> Result<Bytes, BoxError> {
    let announced = body.content_length().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > most) {
        return Err(TooLarge::Bytes(most).into());
    }
    let mut held = Held { bytes: Vec::new(), room: None };
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        let length = held.bytes.len().saturating_add(piece.len());
        if length > most {
            return Err(TooLarge::Bytes(most).into());
        }
        held.grow(length, &room)?;
        held.bytes.extend_from_slice(&piece);
    }
    let rows = weight::of(&held.bytes).filter(|rows| *rows <= weight::AT_MOST);
    let rows = rows.ok_or(TooLarge::Rows)?;
    held.grow(held.bytes.len().saturating_add(rows), &room)?;
    Ok(Bytes::from_owner(held))
}

/// An answer and its share of the memory, given back once the answer is parsed.
struct Held {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes what `bytes` of memory need beyond what is taken already.
    fn grow(&mut self, bytes: usize, room: &Arc<Semaphore>) -> Result<(), TooLarge> {
        let needed = bytes.saturating_sub(FREE).div_ceil(1 << 10);
        let taken = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(needed.saturating_sub(taken)).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        let more = room.clone().try_acquire_many_owned(more).map_err(|_| TooLarge::Together)?;
        match &mut self.room {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
