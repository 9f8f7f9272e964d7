//! Asks a queue once.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};

use super::{body, cause, guard};
use crate::custody;
use crate::model::fault::printable;
use crate::model::reading::{Depth, SecretHeader};
use crate::ports::QueueQuery;
use crate::probe::queue::{BODY_AT_MOST, reading};

/// For the whole exchange.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn read(
    client: &reqwest::Client,
    secret_dirs: &[PathBuf],
    query: &QueueQuery,
) -> Result<Depth, String> {
    let url = guard::allowed(&query.source.url)?;
    let mut request = client.get(url).timeout(LIMIT).header("cache-control", "no-cache");
    if let Some(SecretHeader { name, secret }) = &query.source.header {
        let name: HeaderName =
            name.parse().map_err(|_| "the header's name is no name".to_owned())?;
        request = request.header(name, header(secret_dirs, secret)?);
    }
    let response = request.send().await.map_err(|error| cause(&error, LIMIT))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("HTTP {}: redirects are not followed", status.as_u16()));
    }
    if status != reqwest::StatusCode::OK {
        return Err(format!("HTTP {}", status.as_u16()));
    }
    let answer = body(response, BODY_AT_MOST).await.map_err(|error| cause(&error, LIMIT))?;
    reading(&answer, query.source.json.as_deref())
}

/// The secret `name` as a header's value.
fn header(dirs: &[PathBuf], name: &str) -> Result<HeaderValue, String> {
    let secret = custody::secret(dirs, name)?;
    let mut value = HeaderValue::from_str(secret.reveal())
        .map_err(|_| format!("secret {}: not a header's value", printable(name, 60)))?;
    value.set_sensitive(true);
    Ok(value)
}
