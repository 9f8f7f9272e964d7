//! What a queue's answer says. Whatever is not plainly a count is unreadable, with its cause.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::body::Body;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::{Depth, FieldMap, JsonFields, Work};

/// A count takes a dozen bytes; a JSON answer may name a thousand servers.
pub const BODY_AT_MOST: usize = 65_536;

/// More digits are no count of jobs.
const DIGITS_AT_MOST: usize = 12;

/// The reading in an answer, all of it: the answer itself, or the fields of its JSON.
pub fn reading(answer: &Body, fields: Option<&JsonFields>) -> Result<Depth, String> {
    let bytes =
        answer.whole().ok_or_else(|| format!("the answer is longer than {BODY_AT_MOST} bytes"))?;
    let text = std::str::from_utf8(bytes).map_err(|_| "the answer is not text".to_owned())?;
    let Some(fields) = fields else { return plain(text) };
    let document: Value =
        serde_json::from_str(text).map_err(|_| format!("not JSON: {}", printable(text, 60)))?;
    match fields {
        JsonFields::Named(pointer) => named(&document, pointer),
        JsonFields::Mapped(map) => mapped(&document, map),
    }
}

/// The count that a body is.
fn plain(text: &str) -> Result<Depth, String> {
    let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
    let digits = !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit());
    if digits && trimmed.len() <= DIGITS_AT_MOST {
        let waiting = trimmed.parse().map_err(|_| not_a_count(trimmed))?;
        return Ok(Depth::of(waiting));
    }
    if trimmed.starts_with('{') {
        return Err("a JSON object: say where the number is, with `json: /path`".to_owned());
    }
    Err(not_a_count(trimmed))
}

/// The count that `pointer` leads to, with the fields that have their usual names.
fn named(document: &Value, pointer: &str) -> Result<Depth, String> {
    let found = document
        .pointer(pointer)
        .ok_or_else(|| format!("nothing at {}", printable(pointer, 60)))?;
    let waiting = count(found).ok_or_else(|| not_a_count(&found.to_string()))?;
    Ok(Depth { waiting, oldest: oldest(document, pointer), work: work(document, pointer)? })
}

/// Reads the fields of a map, and no others. A pointer that leads nowhere makes the answer unreadable,
/// because a missing field would look like a field that the map does not have.
fn mapped(document: &Value, map: &FieldMap) -> Result<Depth, String> {
    let counted = |name: &str, pointer: Option<&String>| {
        pointer.map(|pointer| Field { name, pointer }.count(document)).transpose()
    };
    let waiting = Field { name: "waiting", pointer: &map.waiting }.count(document)?;
    let oldest = map.oldest_seconds.as_ref().map(|pointer| {
        let field = Field { name: "oldest_seconds", pointer };
        field.age(document, waiting)
    });
    let busy = map.busy.as_ref().map(|pointer| {
        let field = Field { name: "busy", pointer };
        busy(field.value(document)?, &field.text())
    });
    Ok(Depth {
        waiting,
        oldest: oldest.transpose()?.flatten(),
        work: Work {
            running: counted("running", map.running.as_ref())?,
            arrived: counted("arrived", map.arrived.as_ref())?,
            completed: counted("completed", map.completed.as_ref())?,
            busy: busy.transpose()?,
        },
    })
}

/// A field of a map.
struct Field<'a> {
    name: &'a str,
    pointer: &'a str,
}

impl Field<'_> {
    fn text(&self) -> String {
        format!("`{}` at {}", self.name, printable(self.pointer, 60))
    }

    fn missing(&self) -> String {
        format!("nothing at {}, where `{}` should be", printable(self.pointer, 60), self.name)
    }

    fn wrong(&self, what: &str, value: &Value) -> String {
        format!("{} is not {what}: {}", self.text(), printable(&value.to_string(), 60))
    }

    fn value<'d>(&self, document: &'d Value) -> Result<&'d Value, String> {
        document.pointer(self.pointer).ok_or_else(|| self.missing())
    }

    fn count(&self, document: &Value) -> Result<u64, String> {
        let value = self.value(document)?;
        count(value).ok_or_else(|| self.wrong("a count of jobs", value))
    }

    /// The age of the oldest waiting job. Of an empty queue many job systems answer `null`.
    fn age(&self, document: &Value, waiting: u64) -> Result<Option<Duration>, String> {
        match document.pointer(self.pointer).filter(|value| !value.is_null()) {
            None if waiting == 0 => Ok(None),
            None => Err(self.missing()),
            Some(value) => {
                let age = seconds(value);
                age.map(Some).ok_or_else(|| self.wrong("a number of seconds", value))
            }
        }
    }
}

/// A count in JSON: a whole number, also one that is written as a float or in a string, as Prometheus
/// answers.
fn count(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && *float < 1e12)?;
            format!("{whole:.0}")
        }
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.strip_suffix(".0").unwrap_or(text).to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits && text.len() <= DIGITS_AT_MOST)
}

fn not_a_count(text: &str) -> String {
    if text.is_empty() {
        return "the answer is empty".to_owned();
    }
    format!("not a count of jobs: {}", printable(text, 60))
}

/// A value beside the count, or at the top.
fn beside<'a>(document: &'a Value, pointer: &str, key: &str) -> Option<&'a Value> {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    let beside = document.pointer(parent).and_then(|object| object.get(key));
    beside.or_else(|| document.get(key))
}

fn oldest(document: &Value, pointer: &str) -> Option<Duration> {
    seconds(beside(document, pointer, "oldest_seconds")?)
}

/// Reads a duration in seconds, from a number or a string.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// `running`, `arrived` and `completed` are left out unless they are counts.
fn work(document: &Value, pointer: &str) -> Result<Work, String> {
    let count = |key| beside(document, pointer, key).and_then(count);
    Ok(Work {
        running: count("running"),
        arrived: count("arrived"),
        completed: count("completed"),
        busy: beside(document, pointer, "busy").map(|told| busy(told, "`busy`")).transpose()?,
    })
}

/// Jobs by server; `name`: what the field is called in a cause. One entry that is no count makes the whole answer unreadable: a server that is
/// left out counts as idle, and may be terminated.
fn busy(told: &Value, name: &str) -> Result<BTreeMap<InstanceId, u32>, String> {
    let told = told
        .as_object()
        .ok_or_else(|| format!("{name} is not an object of job counts by instance id"))?;
    let entry = |(id, jobs): (&String, &Value)| {
        let count = count(jobs).and_then(|jobs| u32::try_from(jobs).ok());
        let count = count.ok_or_else(|| {
            let (id, jobs) = (printable(id, 40), printable(&jobs.to_string(), 40));
            format!("{name} of {id} is not a count of jobs: {jobs}")
        })?;
        Ok((InstanceId::new(id), count))
    };
    told.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, pointer: Option<&str>) -> Result<Depth, String> {
        read(text, pointer.map(|pointer| JsonFields::Named(pointer.to_owned())).as_ref())
    }

    fn read(text: &str, fields: Option<&JsonFields>) -> Result<Depth, String> {
        let mut body = Body::at_most(BODY_AT_MOST);
        body.take(text.as_bytes());
        reading(&body, fields)
    }

    /// What is read of `text` by a map of these fields.
    fn by_map(text: &str, fields: &[(&str, &str)]) -> Result<Depth, String> {
        let at = |name: &str| {
            fields.iter().find(|(field, _)| *field == name).map(|(_, at)| (*at).to_owned())
        };
        let map = FieldMap {
            waiting: at("waiting").unwrap(),
            running: at("running"),
            oldest_seconds: at("oldest_seconds"),
            busy: at("busy"),
            arrived: at("arrived"),
            completed: at("completed"),
        };
        read(text, Some(&JsonFields::Mapped(map)))
    }

    #[test]
    fn only_a_plain_count_is_a_count() {
        let counts = [("0", 0), ("21", 21), (" 7\r\n", 7), ("\t123\n", 123), ("007", 7)];
        for (text, waiting) in counts {
            assert_eq!(parse(text, None), Ok(Depth::of(waiting)), "{text:?}");
        }
        let unreadable = [
            "",
            "  ",
            "-5",
            "+5",
            "12.0",
            "1e9",
            "0x1F",
            "NaN",
            "inf",
            "null",
            "N/A",
            "{}",
            "1,234",
            "１２",
            "1234567890123",
            "5 jobs",
            "<html>login</html>",
            "\u{feff}5",
            "5\u{1b}[31m",
        ];
        for text in unreadable {
            assert!(parse(text, None).is_err(), "{text:?}");
        }
    }

    #[test]
    fn json_gives_an_integer_and_the_oldest_beside_it() {
        let body = r#"{"q": {"waiting": 12, "oldest_seconds": 90.5}}"#;
        let oldest = Some(Duration::from_millis(90_500));
        assert_eq!(
            parse(body, Some("/q/waiting")),
            Ok(Depth { waiting: 12, oldest, work: Work::default() })
        );
        let unreadable = [
            r#"{"n": -1}"#,
            r#"{"n": 1.5}"#,
            r#"{"n": "7.5"}"#,
            r#"{"n": "+7"}"#,
            r#"{"n": "NaN"}"#,
            r#"{"n": ""}"#,
            r#"{"n": -0.0}"#,
            r#"{"n": null}"#,
            r#"{"m": 1}"#,
            r#"{"n": 1e30}"#,
            r#"{"n": 1000000000000}"#,
            "7",
            "",
            "<html>",
        ];
        for body in unreadable {
            assert!(parse(body, Some("/n")).is_err(), "{body}");
        }
    }

    #[test]
    fn json_gives_a_count_in_a_string_or_a_whole_float() {
        for body in [r#"{"n": "42"}"#, r#"{"n": 42.0}"#, r#"{"n": "42.0"}"#, r#"{"n": 4.2e1}"#] {
            assert_eq!(parse(body, Some("/n")), Ok(Depth::of(42)), "{body}");
        }
        let prometheus = r#"{"data": {"result": [{"value": [1700000000, "7"]}]}}"#;
        assert_eq!(parse(prometheus, Some("/data/result/0/value/1")), Ok(Depth::of(7)));
        assert!(parse("42.0", None).is_err(), "a plain body is plain");
        let told = parse(r#"{"n": 1, "running": "3", "busy": {"a": 2.0}}"#, Some("/n")).unwrap();
        assert_eq!(told.work.running, Some(3));
        assert_eq!(told.work.busy.unwrap().into_values().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn who_is_busy_is_told_whole_or_not_at_all() {
        let busy = |body: &str| parse(body, Some("/n")).map(|depth| depth.work.busy);
        let known = [(InstanceId::new("i-1"), 2), (InstanceId::new("i-2"), 0)];
        let told = r#"{"n": 0, "busy": {"i-1": 2, "i-2": 0}}"#;
        assert_eq!(busy(told), Ok(Some(known.into())));
        assert_eq!(busy(r#"{"n": 0}"#), Ok(None));
        let halves = ["null", "3", "[]", r#"{"i-1": "two"}"#, r#"{"i-1": -1}"#, r#"{"i-1": null}"#];
        for half in halves {
            let body = format!(r#"{{"n": 0, "busy": {half}}}"#);
            assert!(busy(&body).unwrap_err().contains("busy"), "{half}");
        }
    }

    #[test]
    fn oldest_is_read_in_a_string_too() {
        let oldest = |value: &str| {
            let body = format!(r#"{{"n": 1, "oldest_seconds": {value}}}"#);
            parse(&body, Some("/n")).unwrap().oldest
        };
        assert_eq!(oldest("90.5"), Some(Duration::from_millis(90_500)));
        assert_eq!(oldest(r#""90.5""#), Some(Duration::from_millis(90_500)));
        assert_eq!(oldest(r#""12""#), Some(Duration::from_secs(12)));
        for bad in ["null", "-1", r#""-1""#, r#""NaN""#, r#""inf""#, r#""1 s""#, "[1]"] {
            assert_eq!(oldest(bad), None, "{bad}");
        }
    }

    #[test]
    fn map_reads_its_fields_and_no_others() {
        let rabbitmq = r#"{"messages_ready": 3, "messages_unacknowledged": 2, "running": 9,
            "busy": {"i-1": 1}, "message_stats": {"publish": 901, "ack": "896"},
            "oldest": 12.5, "consumers": {"i-2": 2.0}}"#;
        let ready = ("waiting", "/messages_ready");
        assert_eq!(by_map(rabbitmq, &[ready]), Ok(Depth::of(3)), "no other field is read");
        let all = [
            ready,
            ("running", "/messages_unacknowledged"),
            ("oldest_seconds", "/oldest"),
            ("busy", "/consumers"),
            ("arrived", "/message_stats/publish"),
            ("completed", "/message_stats/ack"),
        ];
        let told = by_map(rabbitmq, &all).unwrap();
        assert_eq!((told.waiting, told.oldest), (3, Some(Duration::from_millis(12_500))));
        let busy = Some([(InstanceId::new("i-2"), 2)].into());
        let work = Work { running: Some(2), arrived: Some(901), completed: Some(896), busy };
        assert_eq!(told.work, work);
        let prometheus = r#"{"data": {"result": [{"value": [1700000000.1, "7"]}]}}"#;
        let value = ("waiting", "/data/result/0/value/1");
        assert_eq!(by_map(prometheus, &[value]), Ok(Depth::of(7)));
    }

    #[test]
    fn mapped_field_that_is_missing_is_unreadable() {
        let body = r#"{"n": 3, "text": "two", "none": null, "busy": {"i-1": "two"}}"#;
        let cases = [
            ("running", "/nil", "nothing at /nil, where `running` should be"),
            ("running", "/text", r#"`running` at /text is not a count of jobs: "two""#),
            ("arrived", "/none", "`arrived` at /none is not a count of jobs: null"),
            ("completed", "/busy", r#"`completed` at /busy is not a count of jobs: {"i-1":"two"}"#),
            ("busy", "/nil", "nothing at /nil, where `busy` should be"),
            ("busy", "/none", "`busy` at /none is not an object of job counts by instance id"),
            ("busy", "/busy", r#"`busy` at /busy of i-1 is not a count of jobs: "two""#),
            ("oldest_seconds", "/none", "nothing at /none, where `oldest_seconds` should be"),
            ("oldest_seconds", "/nil", "nothing at /nil, where `oldest_seconds` should be"),
            (
                "oldest_seconds",
                "/text",
                r#"`oldest_seconds` at /text is not a number of seconds: "two""#,
            ),
        ];
        for (field, pointer, why) in cases {
            let read = by_map(body, &[("waiting", "/n"), (field, pointer)]);
            assert_eq!(read, Err(why.to_owned()), "{field} {pointer}");
        }
        let why = by_map(body, &[("waiting", "/text")]).unwrap_err();
        assert_eq!(why, r#"`waiting` at /text is not a count of jobs: "two""#);
    }

    #[test]
    fn empty_queue_needs_no_oldest_job() {
        let fields = [("waiting", "/n"), ("oldest_seconds", "/oldest")];
        for body in [r#"{"n": 0, "oldest": null}"#, r#"{"n": 0}"#] {
            assert_eq!(by_map(body, &fields), Ok(Depth::of(0)), "{body}");
        }
        assert!(by_map(r#"{"n": 0, "oldest": "never"}"#, &fields).is_err());
        let told = by_map(r#"{"n": 0, "oldest": 4}"#, &fields).unwrap();
        assert_eq!(told.oldest, Some(Duration::from_secs(4)));
    }

    #[test]
    fn causes_are_safe_to_print() {
        let said = parse("\u{1b}]0;owned\u{7}", None).unwrap_err();
        assert!(!said.contains('\u{1b}'), "{said}");
        let said = parse("{}", Some("/\u{1b}[31m")).unwrap_err();
        assert_eq!(said, "nothing at /\\u{1b}[31m");
    }
}
