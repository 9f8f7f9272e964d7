//! URLs with places for what is known of a server: `http://{private_ip}/`.

use super::instance::Instance;
use super::server::ServerRecord;

/// Returns `pattern` with its placeholders filled. `value` gives what a name stands for; `None`: it is
/// no placeholder, and the brace is the URL's own.
pub fn fill<'a, E>(
    pattern: &str,
    value: impl Fn(&str) -> Option<Result<&'a str, E>>,
) -> Result<String, E> {
    let mut filled = String::with_capacity(pattern.len().saturating_add(32));
    let mut rest = pattern;
    while let Some((before, from)) = rest.split_once('{') {
        filled.push_str(before);
        let named = from.split_once('}').and_then(|(name, after)| Some((value(name)?, after)));
        let (text, after) = match named {
            Some((value, after)) => (value?, after),
            None => ("{", from),
        };
        filled.push_str(text);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Returns the URL of a server, with its addresses and its id filled in. Fails with the name of a
/// placeholder that nothing is known for.
pub fn server_url(
    pattern: &str,
    record: &ServerRecord,
    instance: &Instance,
) -> Result<String, &'static str> {
    let private_ip = instance.private_ip.as_deref().or(record.private_ip.as_deref());
    fill(pattern, |name| {
        Some(match name {
            "private_ip" => private_ip.ok_or("private_ip"),
            "public_ip" => instance.public_ip.as_deref().ok_or("public_ip"),
            "private_dns" => instance.private_dns.as_deref().ok_or("private_dns"),
            "instance_id" => Ok(instance.id.as_str()),
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_names_and_leaves_other_braces() {
        let value = |name: &str| match name {
            "ip" => Some(Ok("10.0.0.1")),
            "dns" => Some(Err("unknown")),
            _ => None,
        };
        assert_eq!(fill("http://{ip}/{x}/{ip", value), Ok("http://10.0.0.1/{x}/{ip".to_owned()));
        assert_eq!(fill("{{ip}}", value), Ok("{10.0.0.1}".to_owned()));
        assert_eq!(fill("http://{dns}/", value), Err("unknown"));
    }
}
