//! Asks a queue once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};

use super::{body, cause, guard};
use crate::model::fault::printable;
use crate::model::reading::Depth;
use crate::ports::QueueQuery;
use crate::probe::queue::{BODY_AT_MOST, reading};

/// For the whole exchange.
const LIMIT: Duration = Duration::from_secs(10);

const SECRET_AT_MOST: u64 = 8192;

pub(super) async fn read(
    client: &reqwest::Client,
    secret_dirs: &[PathBuf],
    query: &QueueQuery,
) -> Result<Depth, String> {
    let url = guard::allowed(&query.url)?;
    let mut request = client.get(url).timeout(LIMIT).header("cache-control", "no-cache");
    if let Some((name, secret)) = &query.header {
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
    reading(&answer, query.json.as_deref())
}

/// A secret's value: `$CREDENTIALS_DIRECTORY/NAME`, `/etc/tidegate/secrets/NAME`, or a path. The
/// value never appears in a text.
fn header(dirs: &[PathBuf], secret: &str) -> Result<HeaderValue, String> {
    let path = if Path::new(secret).is_absolute() {
        PathBuf::from(secret)
    } else {
        let found = dirs.iter().map(|dir| dir.join(secret)).find(|path| path.is_file());
        found.ok_or_else(|| format!("secret {} is nowhere to be found", printable(secret, 60)))?
    };
    let failed = |why: String| format!("secret {}: {why}", printable(secret, 60));
    let length = std::fs::metadata(&path).map_err(|error| failed(error.to_string()))?.len();
    if length > SECRET_AT_MOST {
        return Err(failed(format!("larger than {SECRET_AT_MOST} bytes")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let mut value = HeaderValue::from_str(text.trim_end_matches(['\r', '\n']))
        .map_err(|_| failed("not a header's value".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
