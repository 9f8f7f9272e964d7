//! Addresses that a URL of the policy must never lead to: the metadata services, which hand out the
//! host's credentials. Checked inside the resolver of the connection itself, so that a name cannot
//! change its mind between check and use; a literal address never reaches a resolver and is checked
//! apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver, less what must not be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (allowed, forbidden): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|address| !is_forbidden(address.ip()));
            if allowed.is_empty() && !forbidden.is_empty() {
                return Err("the name leads to a metadata address, which is never asked".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Refuses a URL whose host is a forbidden address as it stands.
pub fn allowed(url: &str) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https are asked".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if literal.is_ok_and(is_forbidden) {
        return Err("a metadata address is never asked".to_owned());
    }
    Ok(url)
}

/// The addresses of a host that is spoken to in another way than HTTP, less what must not be reached.
/// Whoever asks connects to one of these, and looks up no name again.
pub async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    let allowed: Vec<SocketAddr> = found.filter(|address| !is_forbidden(address.ip())).collect();
    if allowed.is_empty() {
        return Err("it has no address, or one that is never asked".to_owned());
    }
    Ok(allowed)
}

/// Link-local, where the metadata services live, in all its spellings; and addresses that are no
/// host's. Loopback and private addresses are fine: that is where the queues are.
fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_forbidden_v4(ip),
        IpAddr::V6(ip) => {
            let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            let embedded =
                ip.to_ipv4_mapped().or_else(|| ip.to_ipv4()).is_some_and(is_forbidden_v4);
            ip == metadata
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
                || (embedded && !ip.is_loopback())
        }
    }
}

fn is_forbidden_v4(ip: Ipv4Addr) -> bool {
    ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.octets().first() == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_refused_in_every_spelling() {
        let refused = [
            "http://169.254.169.254/latest/meta-data/",
            "http://[fd00:ec2::254]/latest/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[fe80::1]/",
            "http://0.0.0.0/",
            // Shorthands of the same address, which URL parsing spells out.
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "ftp://10.0.0.1/",
        ];
        for url in refused {
            assert!(allowed(url).is_err(), "{url}");
        }
        for url in
            ["http://127.0.0.1:8000/", "http://10.0.0.1/", "https://app.example/", "http://[::1]/"]
        {
            assert!(allowed(url).is_ok(), "{url}");
        }
    }
}
