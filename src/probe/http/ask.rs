//! Asks a queue once.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{AGE, HeaderMap, HeaderName, HeaderValue};

use super::{body, cause, guard};
use crate::custody;
use crate::ports::QueueQuery;
use crate::probe::queue::{BODY_AT_MOST, reading};
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::reading::{Depth, SecretHeader};
use tidegate_engine::model::time;

/// For the whole exchange.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// From this age on an answer says what the queue was, and not what it is.
const STALE: Duration = Duration::from_mins(1);

pub(super) async fn read(
    client: &reqwest::Client,
    secret_dirs: &[PathBuf],
    query: &QueueQuery,
) -> Result<Depth, String> {
    let url = guard::allowed(&query.source.url)?;
    let request = client.get(url).timeout(LIMIT).header("cache-control", "no-cache");
    let request = with_secret(request, secret_dirs, query.source.header.as_ref())?;
    let response = request.send().await.map_err(|error| cause(&error, LIMIT))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("HTTP {}: redirects are not followed", status.as_u16()));
    }
    if status != reqwest::StatusCode::OK {
        return Err(format!("HTTP {}", status.as_u16()));
    }
    if let Some(age) = age(response.headers()).filter(|age| *age >= STALE) {
        return Err(format!("an answer that a cache has kept for {}", time::text(age)));
    }
    let answer = body(response, BODY_AT_MOST).await.map_err(|error| cause(&error, LIMIT))?;
    reading(&answer, query.source.json.as_ref())
}

/// How long ago the answer was made, as a cache on the way tells it (RFC 9111, section 5.1).
fn age(headers: &HeaderMap) -> Option<Duration> {
    headers.get(AGE)?.to_str().ok()?.trim().parse().map(Duration::from_secs).ok()
}

/// Adds the header whose value is a secret, where there is one.
pub(super) fn with_secret(
    request: RequestBuilder,
    secret_dirs: &[PathBuf],
    wanted: Option<&SecretHeader>,
) -> Result<RequestBuilder, String> {
    let Some(SecretHeader { name, secret }) = wanted else { return Ok(request) };
    let name: HeaderName = name.parse().map_err(|_| "the header's name is no name".to_owned())?;
    Ok(request.header(name, header(secret_dirs, secret)?))
}

/// The secret `name` as a header's value.
fn header(dirs: &[PathBuf], name: &str) -> Result<HeaderValue, String> {
    let secret = custody::secret(dirs, name)?;
    let mut value = HeaderValue::from_str(secret.reveal())
        .map_err(|_| format!("secret {}: not a header's value", printable(name, 60)))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::super::endless;
    use super::*;
    use tidegate_engine::model::fleet::FleetName;
    use tidegate_engine::model::reading::QueueSource;

    /// What is read of a queue whose answer has these headers.
    async fn answered_with(headers: &'static str) -> Result<Depth, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, mut asked) = (listener.accept().unwrap().0, [0; 1024]);
            assert_ne!(stream.read(&mut asked).unwrap(), 0);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n{headers}\r\n7");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        asked(format!("http://127.0.0.1:{port}/")).await
    }

    async fn asked(url: String) -> Result<Depth, String> {
        let source = Arc::new(QueueSource { url, json: None, header: None });
        let query = QueueQuery { fleet: FleetName::new("job").unwrap(), source };
        read(&super::super::client().unwrap(), &[], &query).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn endless_answers_of_a_queue_are_cut() {
        let head = "HTTP/1.1 200 OK\r\n";
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        for (head, piece) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "1"),
            ("HTTP/1.1 200 OK\r\n\r\n", " "),
            (chunks, "1\r\n1\r\n"),
            (packed, "\0"),
            (head, "a: b\r\n"),
            (head, "a"),
        ] {
            let (url, taken) = endless::server(head, piece);
            assert!(asked(url).await.is_err(), "{head} {piece}");
            assert!(taken.recv().unwrap() < endless::BUFFERED, "{head} {piece}");
        }
    }

    #[tokio::test]
    async fn what_a_cache_has_kept_is_no_reading() {
        assert_eq!(answered_with("").await, Ok(Depth::of(7)));
        assert_eq!(answered_with("age: 59\r\n").await, Ok(Depth::of(7)));
        assert_eq!(answered_with("age: soon\r\n").await, Ok(Depth::of(7)));
        let why = answered_with("Age: 600\r\n").await.unwrap_err();
        assert_eq!(why, "an answer that a cache has kept for 10m");
    }
}
