//! What the standard `OTEL_` variables ask for, and what is wrong with them. A value is never
//! repeated in a message: it may hold a key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;

/// The variables whose names begin with `OTEL_`, as they are set.
pub type Variables = BTreeMap<String, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub(super) const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// As its path has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// Where one signal goes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub url: Url,
    pub headers: BTreeMap<String, String>,
    pub timeout: Duration,
    pub gzip: bool,
}

/// Without the headers, which hold keys.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("at", &self.collector()).finish_non_exhaustive()
    }
}

impl Target {
    /// The collector as it may be named in a log: without user, password and path.
    pub(super) fn collector(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = self.url.host_str().unwrap_or_default();
        format!("{}://{host}{port}", self.url.scheme())
    }
}

/// How much waits in memory for the next sending, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queue {
    pub longest: usize,
    pub at_once: usize,
    pub delay: Duration,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub targets: BTreeMap<Signal, Target>,
    /// The variable where there is one: it outranks the same in OTEL_RESOURCE_ATTRIBUTES.
    pub service: Option<String>,
    pub metrics_every: Duration,
    pub spans: Queue,
    pub records: Queue,
    /// What cannot be taken as it stands, with its remedy.
    pub wrong: BTreeSet<String>,
}

impl Asked {
    pub(super) fn of(variables: &Variables) -> Self {
        let mut reader = Reader { variables, wrong: BTreeSet::new() };
        let mut targets = BTreeMap::new();
        if !reader.is("OTEL_SDK_DISABLED", "true") {
            for signal in Signal::ALL {
                targets.extend(reader.target(signal).map(|target| (signal, target)));
            }
        }
        // What nobody asks for cannot be wrong.
        if targets.is_empty() && reader.wrong.is_empty() {
            reader.variables = const { &Variables::new() };
        }
        Self {
            service: reader.value("OTEL_SERVICE_NAME").map(|(_, name)| name.to_owned()),
            metrics_every: reader.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000, 100..=86_400_000),
            spans: reader.queue("OTEL_BSP", 5_000),
            records: reader.queue("OTEL_BLRP", 1_000),
            targets,
            wrong: reader.wrong,
        }
    }
}

struct Reader<'a> {
    variables: &'a Variables,
    wrong: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// An empty value is none, says the specification.
    fn value<'n>(&self, name: &'n str) -> Option<(&'n str, &'a str)> {
        let value = self.variables.get(name)?.trim();
        (!value.is_empty()).then_some((name, value))
    }

    fn is(&self, name: &str, word: &str) -> bool {
        self.value(name).is_some_and(|(_, value)| value.eq_ignore_ascii_case(word))
    }

    /// `OTEL_EXPORTER_OTLP_TRACES_…`, else `OTEL_EXPORTER_OTLP_…`: the variable that counts, and
    /// its value.
    fn either(&self, signal: Signal, what: &str) -> Option<(String, &'a str)> {
        let signal = signal.as_str().to_ascii_uppercase();
        let narrow = format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
        let wide = format!("OTEL_EXPORTER_OTLP_{what}");
        [narrow, wide].into_iter().find_map(|name| {
            let (_, value) = self.value(&name)?;
            Some((name, value))
        })
    }

    fn target(&mut self, signal: Signal) -> Option<Target> {
        let (endpoint, at) = self.either(signal, "ENDPOINT")?;
        let exporter = format!("OTEL_{}_EXPORTER", signal.as_str().to_ascii_uppercase());
        if let Some((name, value)) = self.value(&exporter)
            && !value.split(',').any(|word| word.trim() == "otlp")
        {
            if value != "none" {
                self.wrong.insert(format!("{name} is neither `otlp` nor `none`"));
            }
            return None;
        }
        if let Some((name, protocol)) = self.either(signal, "PROTOCOL")
            && protocol != "http/protobuf"
        {
            self.wrong.insert(format!(
                "{name} is not http/protobuf, the one protocol that tidegate speaks: take it out, \
                 and have {endpoint} name the collector's port for HTTP, which mostly is 4318"
            ));
            return None;
        }
        let wide = !endpoint.contains(&signal.as_str().to_ascii_uppercase());
        let path = if wide { format!("/v1/{}", signal.as_str()) } else { String::new() };
        let at = if wide { at.trim_end_matches('/') } else { at };
        let url = Url::parse(&format!("{at}{path}")).ok();
        let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let Some(url) = url else {
            self.wrong.insert(format!("{endpoint} is no URL: write http://collector:4318, say"));
            return None;
        };
        for what in ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"] {
            if let Some((name, _)) = self.either(signal, what) {
                self.wrong.insert(format!(
                    "{name} is not honoured: the authorities that this host trusts are trusted"
                ));
            }
        }
        Some(Target {
            url,
            headers: self.headers(signal),
            timeout: self.timeout(signal),
            gzip: self.gzip(signal),
        })
    }

    fn headers(&mut self, signal: Signal) -> BTreeMap<String, String> {
        let Some((name, list)) = self.either(signal, "HEADERS") else { return BTreeMap::new() };
        let mut headers = BTreeMap::new();
        for (at, entry) in list.split_terminator(',').enumerate() {
            let parts = entry.split_once('=').map(|(key, value)| (key.trim(), decoded(value)));
            let parts = parts.filter(|(key, value)| legal(key, value.as_deref()));
            if let Some((key, Some(value))) = parts {
                headers.insert(key.to_ascii_lowercase(), value);
            } else {
                let place = at.saturating_add(1);
                self.wrong
                    .insert(format!("{name}: entry {place} is not `name=value`, and is left out"));
            }
        }
        headers
    }

    fn timeout(&mut self, signal: Signal) -> Duration {
        let name = self.either(signal, "TIMEOUT").map(|(name, _)| name);
        self.millis(&name.unwrap_or_default(), 10_000, 1..=600_000)
    }

    fn gzip(&mut self, signal: Signal) -> bool {
        let Some((name, value)) = self.either(signal, "COMPRESSION") else { return false };
        let (gzip, none) = (value.eq_ignore_ascii_case("gzip"), value.eq_ignore_ascii_case("none"));
        if !gzip && !none {
            self.wrong
                .insert(format!("{name} is neither `gzip` nor `none`: nothing is compressed"));
        }
        gzip
    }

    fn queue(&mut self, of: &str, delay: u64) -> Queue {
        // The batches' threads would spin on a delay of nothing, and a queue is made whole.
        let delay = self.millis(&format!("{of}_SCHEDULE_DELAY"), delay, 10..=3_600_000);
        let longest = self.number(&format!("{of}_MAX_QUEUE_SIZE"), 2048, 1..=65_536);
        let at_once = self.number(&format!("{of}_MAX_EXPORT_BATCH_SIZE"), 512, 1..=65_536);
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Queue { longest: size(longest), at_once: size(at_once.min(longest)), delay }
    }

    fn millis(&mut self, name: &str, usual: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(name, usual, range))
    }

    fn number(&mut self, name: &str, usual: u64, range: RangeInclusive<u64>) -> u64 {
        let Some((name, text)) = self.value(name) else { return usual };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.unwrap_or_else(|| {
            self.wrong.insert(format!(
                "{name} is no whole number from {} to {}: {usual} it is",
                range.start(),
                range.end()
            ));
            usual
        })
    }
}

/// `%20` and the like are what they stand for; `None` where that is no text.
fn decoded(value: &str) -> Option<String> {
    // A plus sign stands for itself here, unlike in a form.
    let form = format!("={}", value.trim().replace('+', "%2B").replace('&', "%26"));
    let value = form_urlencoded::parse(form.as_bytes()).next()?.1.into_owned();
    (!value.contains(char::REPLACEMENT_CHARACTER)).then_some(value)
}

fn legal(key: &str, value: Option<&str>) -> bool {
    let name = reqwest::header::HeaderName::from_bytes(key.as_bytes());
    let value = value.map(reqwest::header::HeaderValue::from_str);
    name.is_ok() && value.is_some_and(|value| value.is_ok_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ann:geheim@collector:4318/x/");

    fn asked(more: &[(&str, &str)]) -> Asked {
        let all = [AT].iter().chain(more);
        Asked::of(&all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_signal_has_its_place_and_what_is_narrower_counts() {
        let told = asked(&[
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs.example/otlp/"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "3000"),
            ("OTEL_METRICS_EXPORTER", "console, otlp"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "GZIP"),
        ]);
        assert_eq!(told.wrong, BTreeSet::new());
        let of = |signal| &told.targets[&signal];
        assert_eq!(of(Signal::Traces).url.path(), "/x/v1/traces");
        assert_eq!(of(Signal::Metrics).url.path(), "/x/v1/metrics");
        assert_eq!(of(Signal::Logs).url.as_str(), "https://logs.example/otlp/");
        assert_eq!(of(Signal::Traces).timeout, Duration::from_secs(2));
        assert_eq!(of(Signal::Logs).timeout, Duration::from_secs(3));
        assert!(of(Signal::Metrics).gzip && !of(Signal::Traces).gzip);
        assert_eq!(
            format!("{:?}", of(Signal::Traces)),
            "Target { at: \"http://collector:4318\", .. }"
        );
    }

    #[test]
    fn numbers_that_would_hurt_are_not_taken() {
        for (name, wrong) in [
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "9999999999"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "-1"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1m"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ] {
            let told = asked(&[(name, wrong)]);
            let said: Vec<&String> = told.wrong.iter().collect();
            assert!(said.len() == 1 && said[0].starts_with(name), "{said:?}");
            let usual = Queue { longest: 2048, at_once: 512, delay: Duration::from_secs(5) };
            assert_eq!(told.spans, usual);
        }
        let told = asked(&[("OTEL_BSP_MAX_QUEUE_SIZE", "100")]);
        assert_eq!((told.spans.longest, told.spans.at_once), (100, 100));
    }

    #[test]
    fn headers_are_read_as_they_are_written_and_never_repeated() {
        let told =
            asked(&[("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b%2C+&=c, geheim ,b b=1,c=")]);
        let headers = &told.targets[&Signal::Traces].headers;
        assert_eq!(
            headers.iter().collect::<Vec<_>>(),
            [(&"api-key".to_owned(), &"a b,+&=c".to_owned())]
        );
        assert_eq!(told.wrong.len(), 3, "{:?}", told.wrong);
        assert!(!format!("{told:?}").contains("geheim"), "{told:?}");
    }

    #[test]
    fn what_nobody_asks_for_is_not_wrong() {
        let off = asked(&[("OTEL_SDK_DISABLED", "true"), ("OTEL_BSP_MAX_QUEUE_SIZE", "many")]);
        assert!(off.targets.is_empty() && off.wrong.is_empty(), "{off:?}");
    }
}
