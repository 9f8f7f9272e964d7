//! The addresses that are never asked: EC2's metadata services hand out the host's credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Returns why `url` may not be asked, judged by the host that an HTTP client would connect to.
///
/// Names are judged only by themselves: the caller also judges each address that DNS gives for them.
pub fn forbidden_url(url: &Url) -> Option<&'static str> {
    match url.host()? {
        Host::Domain(name) => forbidden_name(name),
        Host::Ipv4(ip) => forbidden(ip.into()),
        Host::Ipv6(ip) => forbidden(ip.into()),
    }
}

/// Returns why `host`, a name or an address as resolvers take it, may not be connected to.
pub(crate) fn forbidden_host(host: &str) -> Option<&'static str> {
    if let Ok(ip) = host.parse() {
        return forbidden(ip);
    }
    match Host::parse(host).ok()? {
        Host::Domain(name) => forbidden_name(&name),
        Host::Ipv4(ip) => forbidden(ip.into()),
        Host::Ipv6(ip) => forbidden(ip.into()),
    }
}

/// Returns why `ip` may not be connected to. Loopback and private addresses are allowed: the queues
/// are there.
pub fn forbidden(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => forbidden_v4(ip),
        IpAddr::V6(ip) if ip.is_loopback() => None,
        IpAddr::V6(ip) => forbidden_v6(ip).or_else(|| embedded(ip).find_map(forbidden_v4)),
    }
}

const METADATA: &str = "EC2's metadata service is there";
const LINK_LOCAL: &str = "link-local addresses lead to EC2's metadata service";
const NO_HOST: &str = "the address is not a host's";

/// The names that Amazon's resolver has for the metadata service.
fn forbidden_name(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_metadata = name == "instance-data"
        || name.ends_with(".internal") && name.starts_with("instance-data.");
    is_metadata.then_some(METADATA)
}

fn forbidden_v4(ip: Ipv4Addr) -> Option<&'static str> {
    if ip.is_link_local() {
        return Some(LINK_LOCAL);
    }
    let this_network = ip.octets().starts_with(&[0]);
    (this_network || ip.is_multicast() || ip.is_broadcast()).then_some(NO_HOST)
}

fn forbidden_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        // Metadata, credentials of pods, time and DNS of the VPC.
        [0xfd00, 0xec2, ..] => Some(METADATA),
        _ if ip.is_unicast_link_local() => Some(LINK_LOCAL),
        _ if ip.is_multicast() || ip.is_unspecified() => Some(NO_HOST),
        _ => None,
    }
}

/// Returns every IPv4 address to which a gateway may translate `ip`.
fn embedded(ip: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let bytes = ip.octets();
    let byte = |place: usize| bytes.get(place).copied().unwrap_or_default();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(byte));
    let last = at([12, 13, 14, 15]);
    let found = match ip.segments() {
        // Local NAT64 (RFC 8215), with the prefix lengths of RFC 6052 that fit into it.
        [0x64, 0xff9b, 1, ..] => {
            vec![at([6, 7, 9, 10]), at([7, 9, 10, 11]), at([9, 10, 11, 12]), last]
        }
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // Teredo (RFC 4380): its server, and the client with every bit flipped.
        [0x2001, 0, ..] => vec![at([4, 5, 6, 7]), Ipv4Addr::from_bits(!last.to_bits())],
        // IPv4-compatible, IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        // ISATAP (RFC 5214).
        | [.., 0 | 0x200, 0x5efe, _, _] => vec![last],
        _ => Vec::new(),
    };
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_forbidden_in_every_spelling() {
        let hosts = [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "0xA9.0376.43518",
            "169.254.43518",
            "169.16689662",
            // Full-width digits and dots, circled digits, percent-encoding.
            "１６９.２５４.１６９.２５４",
            "169。254。169。254",
            "169．254．169．254",
            "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
            "%31%36%39.254.169.254",
            "169%2e254%2E169.254",
            "%EF%BC%91%EF%BC%96%EF%BC%99.254.169.254",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[FD00:0EC2:0:0::254]",
            "[fe80::1]",
            "[febf::a9fe:a9fe]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[::ffff:0:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[64:ff9b:1:a9fe:a9:fe00::]",
            "[64:ff9b:1:12a9:fe:a9fe::]",
            "[64:ff9b:1:1234:a9:fea9:fe00::]",
            "[2002:a9fe:a9fe::1]",
            "[2001:0:a9fe:a9fe::1]",
            "[2001:0:102:304::5601:5601]",
            "[2001:db8::5efe:169.254.169.254]",
            "instance-data",
            "INSTANCE-DATA.ec2.internal.",
            "ｉｎｓｔａｎｃｅ-data",
            "0.0.0.0",
            "[::]",
            "224.0.0.1",
            "[ff02::1]",
            "255.255.255.255",
        ];
        for host in hosts {
            let url = Url::parse(&format!("http://{host}:80/latest")).expect(host);
            assert!(forbidden_url(&url).is_some(), "{host}");
            assert!(forbidden_host(host).is_some(), "{host}");
        }
        assert!(forbidden_host("fd00:ec2::254").is_some() && forbidden_host("fe80::1").is_some());
    }

    #[test]
    fn hosts_of_queues_and_servers_are_allowed() {
        let hosts = [
            "127.0.0.1",
            "10.0.0.1",
            "169.253.169.254",
            "app.example",
            "localhost",
            "instance-data.example",
            "[::1]",
            "[fd00:ec3::254]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::1]",
            "[2001:db8::1]",
        ];
        for host in hosts {
            let url = Url::parse(&format!("http://{host}:80/")).expect(host);
            assert_eq!(forbidden_url(&url), None, "{host}");
            assert_eq!(forbidden_host(host), None, "{host}");
        }
    }
}
