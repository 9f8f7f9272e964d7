//! Addresses that a URL of the policy must never lead to: the metadata services, which hand out the
//! host's credentials. Checked inside the resolver of the connection itself, so that a name cannot
//! change its mind between check and use; a literal address never reaches a resolver and is checked
//! apart.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use tidegate_engine::model::address;

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
    if let Some(why) = address::forbidden_url(&url) {
        return Err(format!("an address that is never asked: {why}"));
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

fn is_forbidden(ip: IpAddr) -> bool {
    address::forbidden(ip).is_some()
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
            "http://１６９.２５４.１６９.２５４/",
            "http://%31%36%39.254.169.254/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://instance-data/",
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
