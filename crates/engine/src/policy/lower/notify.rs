//! The routes of `notify`.

use std::collections::{BTreeMap, BTreeSet};

use super::health::url;
use super::section::{Section, formed, items, map, nearest, text, word};
use crate::model::address;
use crate::policy::file::{Entry, Kind, Node};
use crate::policy::keys;
use crate::policy::notify::{Address, Email, Notify, Route, SecretName, Target, Tls, Topic};
use crate::policy::problem::{Place, Problem, Problems, quote};

/// The keys of which a route has one, and what else may stand beside it.
const TARGETS: &[(&str, &[&str])] = &[
    ("slack", &["send"]),
    ("webhook", &["send"]),
    ("pagerduty", &["send", "url"]),
    ("email", &["send", "from", "via", "tls", "user", "password"]),
    ("sns", &["send"]),
    ("ping", &["every"]),
];

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

const TLS: &[(&str, Tls)] =
    &[("starttls", Tls::Upgraded), ("implicit", Tls::Implicit), ("none", Tls::Off)];

const NAME_MAX: usize = 32;

/// More mouths than that are a mailing list's business.
const ADDRESSES_MAX: usize = 20;

pub(super) fn read(top: &Section<'_>, out: &mut Problems) -> Notify {
    let Some(entry) = top.get("notify") else { return Notify::default() };
    let mut routes = BTreeMap::new();
    for entry in map("notify", &entry.value, out) {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=NAME_MAX).contains(&entry.key.len()) || !entry.key.chars().all(legal) {
            let message = format!("{} is not a name for a route", quote(&entry.key));
            let problem = Problem::error(entry.at, message, "not a name");
            out.push(problem.remedy("1 to 32 of a-z, 0-9 and `-`"));
        }
        if let Some(route) = route(entry, out) {
            routes.insert(entry.key.clone(), route);
        }
    }
    Notify { routes }
}

fn route(entry: &Entry, out: &mut Problems) -> Option<Route> {
    let section = Section::of("notify", entry.at, &entry.value, keys::NOTIFY, out);
    if !matches!(entry.value.kind, Kind::Map(_)) {
        return None;
    }
    let mut named = TARGETS.iter().filter_map(|(key, beside)| Some((section.get(key)?, *beside)));
    let Some((target, beside)) = named.next() else {
        let message = format!("the route {} leads nowhere", quote(&entry.key));
        let problem = Problem::error(entry.at, message, "to whom?");
        out.push(
            problem
                .remedy("name one of `slack`, `webhook`, `pagerduty`, `email`, `sns` and `ping`"),
        );
        return None;
    };
    if let Some((other, _)) = named.next() {
        let message = format!("both {} and {}", quote(&target.key), quote(&other.key));
        let problem = Problem::error(other.at, message, "this").also(target.at, "and this");
        out.push(problem.remedy("give each a route of its own"));
        return None;
    }
    let names = keys::NOTIFY.iter().map(|key| key.name);
    for key in names.filter(|key| !beside.contains(key) && *key != target.key) {
        if let Some(stray) = section.get(key) {
            let message = format!("{} does not go with {}", quote(key), quote(&target.key));
            let problem = Problem::error(stray.at, message, "means nothing here");
            out.push(problem.remedy(format!("beside it go {}", beside.join(", "))));
        }
    }
    let at_line = entry.at.line;
    let send = send(&section, target, out);
    let target = match target.key.as_str() {
        "slack" => Target::Slack { url: secret(target, out)? },
        "webhook" => Target::Webhook { url: address(target, out)? },
        "pagerduty" => {
            let url = section.get("url").map(|entry| url(entry, &[], out));
            let url = url.unwrap_or_else(|| Some(PAGERDUTY.to_owned()));
            Target::PagerDuty { key: secret(target, out)?, url: url? }
        }
        "email" => Target::Email(email(&section, target, out)?),
        "sns" => Target::Sns { topic: formed(target, TOPIC, is_topic, out)? },
        _ => {
            let every = section.span_or_default("every", out);
            Target::Ping { url: address(target, out)?, every }
        }
    };
    Some(Route { target, send, at_line })
}

/// What goes over the route; a word, a list of them, or `all`.
fn send(section: &Section<'_>, target: &Entry, out: &mut Problems) -> BTreeSet<Topic> {
    let pager = target.key == "pagerduty";
    let usual = match target.key.as_str() {
        "ping" => return BTreeSet::new(),
        "pagerduty" => BTreeSet::from([Topic::Emergency]),
        _ => BTreeSet::from([Topic::Problem, Topic::Recovered]),
    };
    let Some(entry) = section.get("send") else { return usual };
    let words: Vec<&Node> = match &entry.value.kind {
        Kind::Text(_) => vec![&entry.value],
        Kind::List(_) | Kind::Map(_) | Kind::Nothing => items(entry, out).iter().collect(),
    };
    if words.is_empty() {
        let problem = Problem::error(entry.at, "the route carries nothing", "says nothing");
        out.push(problem.remedy("write `send: [problem, recovered]`, or remove the route"));
    }
    let mut topics = BTreeSet::new();
    for node in words {
        let word = if let Kind::Text(word) = &node.kind { word.as_str() } else { "" };
        let topic = Topic::ALL.into_iter().find(|topic| topic.as_str() == word);
        match topic {
            Some(topic @ (Topic::Scaled | Topic::Override | Topic::Policy)) if pager => {
                let message = format!("PagerDuty is not told of {}", quote(topic.as_str()));
                let problem = Problem::error(node.at, message, "nobody can resolve it");
                out.push(problem.remedy("write `send: [emergency]`, or `send: [problem]`"));
            }
            Some(topic) => {
                topics.insert(topic);
            }
            None if word == "all" => topics.extend(Topic::ALL),
            None => out.push(unknown(word, node.at)),
        }
    }
    topics
}

fn unknown(word: &str, at: Place) -> Problem {
    let known: Vec<&str> = Topic::ALL.into_iter().map(Topic::as_str).chain(["all"]).collect();
    let label = match nearest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "no such choice".to_owned(),
    };
    let problem = Problem::error(at, format!("{} cannot be sent", quote(word)), label);
    problem.remedy(format!("`send` knows: {}", known.join(", ")))
}

const SECRET: &str = "the secret itself would stand in the file, for all who read it";

/// `secret:NAME`. What stands there instead may be the secret itself, so no message repeats it.
fn secret(entry: &Entry, out: &mut Problems) -> Option<SecretName> {
    let written = text(entry, out)?;
    let named = named(written);
    if named.is_none() {
        let message = format!("{} is not `secret:NAME`", quote(&entry.key));
        let problem = Problem::error(entry.value.at, message, SECRET);
        out.push(problem.remedy(format!(
            "put it into /etc/tidegate/secrets/NAME, and write `{}: secret:NAME`",
            entry.key
        )));
    }
    named
}

fn named(text: &str) -> Option<SecretName> {
    let name = text.strip_prefix("secret:")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let whole = !name.is_empty() && name.chars().all(plain) && !name.starts_with('.');
    let hidden = name.split('/').any(|part| part == "..");
    let place = !name.contains('/') || name.starts_with('/');
    (whole && !hidden && place).then(|| SecretName(name.to_owned()))
}

/// A URL, or the name of the file that has it.
fn address(entry: &Entry, out: &mut Problems) -> Option<Address> {
    if text(entry, out)?.starts_with("secret:") {
        return secret(entry, out).map(Address::Secret);
    }
    url(entry, &[], out).map(Address::Open)
}

const TOPIC: &str = "the ARN of a standard topic, like arn:aws:sns:eu-west-1:123456789012:ops";

/// Those that end in `.fifo` keep messages in an order that each message would have to name.
fn is_topic(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let [arn, partition, service, region, account, name] = parts.as_slice() else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let place = |text: &str| !text.is_empty() && text.chars().all(|c| plain(c) && c != '_');
    *arn == "arn"
        && (*partition == "aws" || partition.starts_with("aws-"))
        && *service == "sns"
        && place(partition)
        && place(region)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=256).contains(&name.len())
        && name.chars().all(plain)
}

fn email(section: &Section<'_>, target: &Entry, out: &mut Problems) -> Option<Email> {
    let form = "an address like ops@example.com";
    let to = match &target.value.kind {
        Kind::List(_) => super::section::list(target, "ops@example.com", is_address, out),
        Kind::Text(_) | Kind::Map(_) | Kind::Nothing => {
            formed(target, form, is_address, out).into_iter().collect()
        }
    };
    if to.len() > ADDRESSES_MAX {
        let problem = Problem::error(target.at, "too many addresses", "twenty at most");
        out.push(problem.remedy("write to a mailing list"));
    }
    let from = section.need("from", "say from whom: `from: tidegate@example.com`", out);
    let from = from.and_then(|entry| formed(entry, form, is_address, out));
    let via = section.need("via", "say over which server: `via: smtp.example.com:587`", out);
    let via = via.and_then(|entry| server(entry, out));
    let tls = section.get("tls").map(|entry| word(entry, TLS, out));
    let tls = tls.unwrap_or(Some(Tls::Upgraded));
    let login = login(section, tls, out);
    let (host, port) = via?;
    if let Some(entry) = section.get("tls")
        && tls == Some(Tls::Off)
        && !["localhost", "127.0.0.1", "::1"].contains(&host.as_str())
    {
        let problem = Problem::warning(
            entry.value.at,
            "mail leaves this host in clear",
            "whoever is on the way reads it",
        );
        out.push(problem.remedy("write `tls: starttls`, or send over a relay on this host"));
    }
    if to.is_empty() {
        return None;
    }
    Some(Email { to, from: from?, host, port, tls: tls?, login })
}

/// `user` and `password`, both or neither; never in clear.
fn login(
    section: &Section<'_>,
    tls: Option<Tls>,
    out: &mut Problems,
) -> Option<(String, SecretName)> {
    let (user, password) = (section.get("user"), section.get("password"));
    let (Some(user), Some(password)) = (user, password) else {
        if let Some(half) = user.or(password) {
            let message = format!("{} by itself", quote(&half.key));
            let problem = Problem::error(half.at, message, "`user` and `password` go together");
            out.push(problem.remedy("write both, or neither"));
        }
        return None;
    };
    if tls == Some(Tls::Off) {
        let problem =
            Problem::error(password.at, "the password would go out in clear", "with `tls: none`");
        out.push(problem.remedy("write `tls: starttls` or `tls: implicit`"));
    }
    Some((text(user, out)?.to_owned(), secret(password, out)?))
}

fn server(entry: &Entry, out: &mut Problems) -> Option<(String, u16)> {
    let parts = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        let good = !host.is_empty() && host.chars().all(plain);
        Some((host.to_owned(), port.parse().ok().filter(|port: &u16| *port > 0 && good)?))
    };
    let form = "a host and a port like smtp.example.com:587";
    let (host, port) =
        formed(entry, form, |text| parts(text).is_some(), out).and_then(|text| parts(&text))?;
    if let Some(why) = address::forbidden_host(&host) {
        let message = format!("{}: an address that is never asked", quote(&entry.key));
        let problem = Problem::error(entry.value.at, message, why);
        out.push(problem.remedy("name the mail server you mean"));
        return None;
    }
    Some((host, port))
}

/// Rather too much than too little: a mail server has the last word.
fn is_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"<>(),;:\\\"[]@".contains(c);
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_domain = domain.split('.').all(|part| !part.is_empty() && part.chars().all(plain));
    (1..=64).contains(&local.len()) && local.chars().all(plain) && is_domain && text.len() <= 254
}
