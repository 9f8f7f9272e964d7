//! What a queue's answer says. Whatever is not plainly a count is unreadable, with its cause.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::body::Body;
use crate::model::fault::printable;
use crate::model::instance::InstanceId;
use crate::model::reading::{Depth, Work};

/// A count takes a dozen bytes; a JSON answer may name a thousand servers.
pub const BODY_AT_MOST: usize = 65_536;

/// More digits are no count of jobs.
const DIGITS_AT_MOST: usize = 12;

/// The reading in an answer, all of it: the answer itself, or what the JSON pointer points at.
pub fn reading(answer: &Body, pointer: Option<&str>) -> Result<Depth, String> {
    let bytes =
        answer.whole().ok_or_else(|| format!("the answer is longer than {BODY_AT_MOST} bytes"))?;
    let text = std::str::from_utf8(bytes).map_err(|_| "the answer is not text".to_owned())?;
    parse(text, pointer)
}

/// The count in a body: the body itself, or what `pointer` points at.
fn parse(text: &str, pointer: Option<&str>) -> Result<Depth, String> {
    let Some(pointer) = pointer else {
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        let digits = !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit());
        if digits && trimmed.len() <= DIGITS_AT_MOST {
            let waiting = trimmed.parse().map_err(|_| not_a_count(trimmed))?;
            return Ok(Depth::of(waiting));
        }
        if trimmed.starts_with('{') {
            return Err("a JSON object: say where the number is, with `json: /path`".to_owned());
        }
        return Err(not_a_count(trimmed));
    };
    let document: Value =
        serde_json::from_str(text).map_err(|_| format!("not JSON: {}", printable(text, 60)))?;
    let found = document
        .pointer(pointer)
        .ok_or_else(|| format!("nothing at {}", printable(pointer, 60)))?;
    let waiting = count(found).ok_or_else(|| not_a_count(&found.to_string()))?;
    Ok(Depth { waiting, oldest: oldest(&document, pointer), work: work(&document, pointer)? })
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
    let seconds = beside(document, pointer, "oldest_seconds")?.as_f64()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// `running`, `arrived` and `completed` are left out unless they are counts.
fn work(document: &Value, pointer: &str) -> Result<Work, String> {
    let count = |key| beside(document, pointer, key).and_then(count);
    Ok(Work {
        running: count("running"),
        arrived: count("arrived"),
        completed: count("completed"),
        busy: beside(document, pointer, "busy").map(busy).transpose()?,
    })
}

/// Jobs by server. One entry that is no count makes the whole answer unreadable: a server that is
/// left out counts as idle, and may be terminated.
fn busy(told: &Value) -> Result<BTreeMap<InstanceId, u32>, String> {
    let told = told.as_object().ok_or("`busy` is not an object of job counts by instance id")?;
    let entry = |(id, jobs): (&String, &Value)| {
        let count = count(jobs).and_then(|jobs| u32::try_from(jobs).ok());
        let count = count.ok_or_else(|| {
            let (id, jobs) = (printable(id, 40), printable(&jobs.to_string(), 40));
            format!("`busy` of {id} is not a count of jobs: {jobs}")
        })?;
        Ok((InstanceId::new(id), count))
    };
    told.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn causes_are_safe_to_print() {
        let said = parse("\u{1b}]0;owned\u{7}", None).unwrap_err();
        assert!(!said.contains('\u{1b}'), "{said}");
        let said = parse("{}", Some("/\u{1b}[31m")).unwrap_err();
        assert_eq!(said, "nothing at /\\u{1b}[31m");
    }
}
