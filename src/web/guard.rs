//! Who is answered, and how a browser is to treat the answer. A page elsewhere can make a browser on
//! this host ask us under a name of its own that it lets resolve to 127.0.0.1; it is known by that
//! name.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Site;

/// No request takes longer, or somebody is told.
const WITHIN: Duration = Duration::from_secs(15);

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Refuses requests that were made under somebody else's name.
pub(super) async fn for_us(State(site): State<Site>, request: Request, next: Next) -> Response {
    if asks_for_us(request.uri(), request.headers(), site.address) {
        return next.run(request).await;
    }
    let ip = site.address.ip();
    let own = if ip.is_loopback() { String::new() } else { format!(", {ip}") };
    let told = format!(
        "this is tidegate, which answers to localhost, 127.0.0.1, [::1]{own} and to no other name: \
         a proxy in front of it has to set the Host header so\n"
    );
    (StatusCode::MISDIRECTED_REQUEST, told).into_response()
}

pub(super) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "this took too long\n").into_response(),
    }
}

/// Nothing of it runs, is framed, guessed at, kept or named elsewhere.
pub(super) async fn sealed(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let fresh = HeaderValue::from_static("no-store");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(fresh);
    response
}

fn asks_for_us(uri: &Uri, headers: &HeaderMap, ours: SocketAddr) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let named = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let ours = |authority: &Authority| is_ours(authority.host(), ours);
    named.as_ref().is_some_and(ours) && uri.authority().is_none_or(ours)
}

fn is_ours(host: &str, listens: SocketAddr) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let Ok(ip) = bare.parse::<IpAddr>() else {
        return bare.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    };
    // An address leads nowhere else, whoever says it; only names can be made to. On all addresses of
    // the host, each is ours.
    ip.is_loopback() || ip == listens.ip() || listens.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_to_its_own_names_only() {
        let loopback: SocketAddr = "127.0.0.1:8490".parse().unwrap();
        let asked = |host: &str, ours| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            asks_for_us(&"/metrics".parse().unwrap(), &headers, ours)
        };
        for good in ["localhost", "localhost:8490", "LOCALHOST.:1", "127.0.0.1:80", "[::1]:8490"] {
            assert!(asked(good, loopback), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8490",
            "10.0.0.7:8490",
            "user@evil.example",
            "evil.example\t",
            "[::1",
            "",
        ] {
            assert!(!asked(bad, loopback), "{bad}");
        }
        let elsewhere = "10.0.0.7:8490".parse().unwrap();
        assert!(asked("10.0.0.7", elsewhere) && asked("127.0.0.1", elsewhere));
        assert!(!asked("10.0.0.8", elsewhere));
        let everywhere = "0.0.0.0:8490".parse().unwrap();
        assert!(asked("10.0.0.8", everywhere) && !asked("evil.example", everywhere));
    }

    #[test]
    fn one_name_it_is_and_the_same_in_both_places() {
        let ours = "127.0.0.1:8490".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert!(!asks_for_us(&Uri::from_static("/"), &headers, ours), "no name at all");
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        assert!(asks_for_us(&Uri::from_static("http://localhost/"), &headers, ours));
        assert!(!asks_for_us(&Uri::from_static("http://evil.example/"), &headers, ours));
        headers.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(!asks_for_us(&Uri::from_static("/"), &headers, ours), "two names");
    }
}
