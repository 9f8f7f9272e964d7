//! Posts a drain to its receiver once.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::ask::{LIMIT, with_secret};
use super::{body, cause, guard};
use crate::probe::queue::BODY_AT_MOST;
use tidegate_engine::model::drain::{DrainPost, tag_value};
use tidegate_engine::model::placeholder::fill;

/// Posts `drain`, and returns how many jobs run on the server, where a 2xx answer says so. `Err`: why
/// it was not received, or may not have been.
pub(super) async fn post(
    client: &reqwest::Client,
    secret_dirs: &[PathBuf],
    drain: &DrainPost,
) -> Result<Option<u64>, String> {
    let url = guard::allowed(&filled(drain)?)?;
    let told = json!({
        "instance": drain.instance.as_str(),
        "private_ip": drain.private_ip.as_deref(),
        "private_dns": drain.private_dns.as_deref(),
        "deadline": tag_value(drain.deadline),
        "reason": drain.reason,
        "drain": drain.drain,
    });
    let request = client.post(url).timeout(LIMIT).json(&told);
    let request = with_secret(request, secret_dirs, drain.receiver.header.as_ref())?;
    let response = request.send().await.map_err(|error| cause(&error, LIMIT))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("HTTP {}: redirects are not followed", status.as_u16()));
    }
    if !status.is_success() {
        return Err(format!("HTTP {}", status.as_u16()));
    }
    // The status alone says that the drain was received. An answer that breaks off says no more.
    let answer = body(response, BODY_AT_MOST).await.ok();
    Ok(answer.as_ref().and_then(|answer| running(answer.whole()?)))
}

/// Returns the receiver's URL for this server; `Err` while an address that it needs is unknown.
fn filled(drain: &DrainPost) -> Result<String, String> {
    let unknown = |what: &str| format!("the {what} of {} is not known", drain.instance);
    fill(&drain.receiver.url, |name| {
        let (known, what) = match name {
            "instance_id" => (Some(drain.instance.as_str()), "id"),
            "private_ip" => (drain.private_ip.as_deref(), "private IP address"),
            "private_dns" => (drain.private_dns.as_deref(), "private DNS name"),
            _ => return None,
        };
        Some(known.ok_or_else(|| unknown(what)))
    })
}

/// Returns the `running` of an answer: a count, or nothing is known. Zero ends the drain, so that
/// whatever is not plainly a count does not pass for one.
fn running(answer: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(answer).ok()?.get("running")?.as_u64()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::super::endless;
    use super::*;
    use tidegate_engine::model::drain::Receiver;
    use tidegate_engine::model::instance::InstanceId;
    use tidegate_engine::model::reading::SecretHeader;

    fn order(url: &str) -> DrainPost {
        DrainPost {
            receiver: Receiver { url: url.to_owned(), header: None },
            instance: InstanceId::new("i-0123456789abcdef0"),
            private_ip: Some("127.0.0.1".into()),
            private_dns: Some("localhost".into()),
            deadline: "2026-03-02T08:30:00.5Z".parse().unwrap(),
            reason: "scale-in".to_owned(),
            drain: true,
        }
    }

    async fn posted(order: &DrainPost) -> Result<Option<u64>, String> {
        post(&super::super::client().unwrap(), &[], order).await
    }

    /// A receiver that answers once; its port, and the request that it took.
    fn receiver(status: &str, more: &str, body: &str) -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{more}\r\n{body}");
        let took = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"}") {
                let read = stream.read(&mut piece).unwrap();
                assert_ne!(read, 0, "{}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&piece[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (port, took)
    }

    #[tokio::test]
    async fn receiver_is_told_the_server_and_its_deadline() {
        let (port, took) = receiver("202 Accepted", "", r#"{"running": 3}"#);
        let order = order(&format!("http://{{private_ip}}:{port}/drain?of={{instance_id}}"));
        assert_eq!(posted(&order).await, Ok(Some(3)));
        let request = took.join().unwrap();
        assert!(request.starts_with("POST /drain?of=i-0123456789abcdef0 HTTP/1.1"), "{request}");
        assert!(request.contains("content-type: application/json"), "{request}");
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        let expected = json!({
            "instance": "i-0123456789abcdef0",
            "private_ip": "127.0.0.1",
            "private_dns": "localhost",
            "deadline": "2026-03-02T08:30:00Z",
            "reason": "scale-in",
            "drain": true,
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn cancelled_drain_is_posted_without_unknown_addresses() {
        let (port, took) = receiver("204 No Content", "", "");
        let url = format!("http://127.0.0.1:{port}/{{instance_id}}");
        let order = DrainPost { private_dns: None, private_ip: None, drain: false, ..order(&url) };
        assert_eq!(posted(&order).await, Ok(None));
        let request = took.join().unwrap();
        assert!(request.contains(r#""drain":false"#), "{request}");
        assert!(request.contains(r#""private_ip":null"#), "{request}");
    }

    #[tokio::test]
    async fn only_a_plain_count_of_running_jobs_counts() {
        let cases = [
            (r#"{"running": 0}"#, Some(0)),
            (r#"{"running": 12, "more": []}"#, Some(12)),
            (r#"{"running": 0.0}"#, None),
            (r#"{"running": -1}"#, None),
            (r#"{"running": "0"}"#, None),
            (r#"{"running": null}"#, None),
            ("{}", None),
            ("0", None),
            ("ok", None),
            (r#"{"running": 0"#, None),
            ("", None),
        ];
        for (body, running) in cases {
            let (port, _took) = receiver("200 OK", "", body);
            assert_eq!(posted(&order(&format!("http://127.0.0.1:{port}/"))).await, Ok(running));
        }
        let long = format!(r#"{{"running": 0, "x": "{}"}}"#, "x".repeat(BODY_AT_MOST));
        let (port, _took) = receiver("200 OK", "", &long);
        assert_eq!(posted(&order(&format!("http://127.0.0.1:{port}/"))).await, Ok(None));
    }

    #[tokio::test]
    async fn other_statuses_are_no_receipt() {
        let moved = "location: http://127.0.0.1:1/\r\n";
        for (status, more, why) in [
            ("503 Service Unavailable", "", "HTTP 503"),
            ("404 Not Found", "", "HTTP 404"),
            ("307 Temporary Redirect", moved, "HTTP 307: redirects are not followed"),
        ] {
            let (port, _took) = receiver(status, more, r#"{"running": 0}"#);
            let answer = posted(&order(&format!("http://127.0.0.1:{port}/"))).await;
            assert_eq!(answer, Err(why.to_owned()));
        }
    }

    #[tokio::test]
    async fn unknown_addresses_and_metadata_addresses_are_never_asked() {
        let unknown = DrainPost { private_dns: None, private_ip: None, ..order("") };
        for (url, why) in [
            ("http://{private_ip}/", "the private IP address of i-0123456789abcdef0 is not known"),
            ("http://{private_dns}/", "the private DNS name of i-0123456789abcdef0 is not known"),
        ] {
            let receiver = Receiver { url: url.to_owned(), header: None };
            let order = DrainPost { receiver, ..unknown.clone() };
            assert_eq!(posted(&order).await, Err(why.to_owned()));
        }
        let metadata = DrainPost {
            private_ip: Some("169.254.169.254".into()),
            ..order("http://{private_ip}/latest/")
        };
        let why = posted(&metadata).await.unwrap_err();
        assert!(why.contains("never asked"), "{why}");
        let header = SecretHeader { name: "X-Token".to_owned(), secret: "nowhere".to_owned() };
        let receiver = Receiver { url: "http://127.0.0.1:1/".to_owned(), header: Some(header) };
        let why = posted(&DrainPost { receiver, ..order("") }).await.unwrap_err();
        assert!(why.contains("nowhere"), "{why}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn endless_answers_of_a_receiver_are_cut() {
        let (url, taken) = endless::server("HTTP/1.1 200 OK\r\n\r\n", "1");
        assert_eq!(posted(&order(&url)).await, Ok(None));
        assert!(taken.recv().unwrap() < endless::BUFFERED);
    }
}
