//! URLs with places for what is known of a server: `http://{private_ip}/`.

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
