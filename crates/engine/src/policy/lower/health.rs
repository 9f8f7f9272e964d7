//! Health checks, and the URLs of both health checks and queues.

use std::time::Duration;

use url::Url;

use super::Context;
use super::section::{Section, default_span, nearest, text};
use crate::model::address;
use crate::policy::HealthPolicy;
use crate::policy::file::Entry;
use crate::policy::keys;
use crate::policy::problem::{Problem, Problems, quote};

/// What a health check's URL may leave open, to be filled in for each server.
const PLACEHOLDERS: &[&str] = &["private_ip", "public_ip", "private_dns", "instance_id"];

/// A URL with placeholders is judged with these in their place.
const SAMPLES: &[(&str, &str)] = &[
    ("{private_ip}", "10.0.0.1"),
    ("{public_ip}", "192.0.2.1"),
    ("{private_dns}", "ip-10-0-0-1.ec2.internal"),
    ("{instance_id}", "i-0"),
];

/// What servers say that have nothing of ours on them yet, in lower case.
const DEFAULT_PAGES: &[(&str, &str)] = &[
    (
        "nginx",
        "<!doctype html><html><head><title>welcome to nginx!</title></head><body>welcome to \
         nginx! if you see this page, the nginx web server is successfully installed and working. \
         further configuration is required. thank you for using nginx.</body></html>",
    ),
    ("Apache", "<html><body><h1>it works!</h1></body></html>"),
    (
        "Apache on Debian or Ubuntu",
        "apache2 debian default page: it works apache2 ubuntu default page",
    ),
    ("IIS", "iis windows server welcome internet information services"),
];

/// Reads `health`: the check, and the grace, which holds without a check too.
pub(super) fn read(
    fleet: &Section<'_>,
    context: &Context,
    out: &mut Problems,
) -> (Option<HealthPolicy>, Duration) {
    let Some(section) = fleet.section("health", keys::HEALTH, out) else {
        return (None, default_span(keys::HEALTH, "grace"));
    };
    let grace = section.span_or_default("grace", out);
    let timeout = section.span_or_default("timeout", out);
    let every = section.span_or_default("every", out);
    let expect = section.get("expect").and_then(|entry| expect(entry, out));
    let entry = if context.partial {
        section.get("http")
    } else {
        section.need("http", "add `http: \"http://{private_ip}/\"`", out)
    };
    let url = entry.and_then(|entry| url(entry, PLACEHOLDERS, out));
    (url.map(|url| HealthPolicy { url, expect, timeout, every }), grace)
}

fn expect(entry: &Entry, out: &mut Problems) -> Option<String> {
    let expect = text(entry, out)?;
    let lower = expect.to_lowercase();
    let weak = DEFAULT_PAGES.iter().find(|(_, page)| page.contains(&lower));
    if let Some((server, _)) = weak {
        let message = format!("{} does not tell your page from another", quote(expect));
        let label = format!("the default page of {server} has it too");
        let problem = Problem::warning(entry.value.at, message, label);
        out.push(problem.remedy("expect a text that only your application says"));
    }
    Some(expect.to_owned())
}

/// An `http` or `https` URL that may be asked without harm.
pub(super) fn url(entry: &Entry, placeholders: &[&str], out: &mut Problems) -> Option<String> {
    let text = text(entry, out)?;
    let Err(Fault(message, label, remedy)) = judge(text, placeholders) else {
        return Some(text.to_owned());
    };
    let message = format!("{}: {message}", quote(&entry.key));
    out.push(Problem::error(entry.value.at, message, label).remedy(remedy));
    None
}

/// Message, label and remedy.
struct Fault(&'static str, String, String);

fn judge(text: &str, placeholders: &[&str]) -> Result<(), Fault> {
    let wrong = |message, label: &str, remedy: &str| {
        Err(Fault(message, label.to_owned(), remedy.to_owned()))
    };
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else {
        return wrong(
            "not a URL",
            "should begin with `http://` or `https://`",
            "write the whole URL",
        );
    };
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) || text.contains('\\') {
        return wrong("not a URL", "has a space, a backslash or a control character", "encode it");
    }
    if text.contains('#') {
        return wrong("a fragment", "never sent to a server", "remove the `#` and what follows");
    }
    for open in rest.split('{').skip(1) {
        let name = open.split('}').next().unwrap_or_default();
        if !placeholders.contains(&name) {
            let label = match nearest(name, placeholders.iter().copied()) {
                Some(meant) => format!("did you mean `{{{meant}}}`?"),
                None => "no such placeholder".to_owned(),
            };
            let known: Vec<_> = placeholders.iter().map(|name| format!("{{{name}}}")).collect();
            let remedy = match known.as_slice() {
                [] => "write the URL out: nothing is filled in here".to_owned(),
                known => format!("the placeholders are {}", known.join(" ")),
            };
            return Err(Fault("an unknown placeholder", label, remedy));
        }
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        let remedy = "put the secret into a file, and name it as `header`";
        return wrong("a name or password in the URL", "would be in every log", remedy);
    }
    let filled = SAMPLES.iter().fold(text.to_owned(), |url, (name, with)| url.replace(name, with));
    let Some(url) = Url::parse(&filled).ok().filter(|url| url.port() != Some(0)) else {
        return wrong("not a URL", "has no host, or a bad port", "write `http://HOST:PORT/PATH`");
    };
    if let Some(why) = address::forbidden_url(&url) {
        let remedy = "name the server or service you mean";
        return wrong("an address that is never asked", why, remedy);
    }
    Ok(())
}
