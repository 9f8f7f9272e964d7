//! Any bytes as a queue's answer. The first line is the JSON pointer of the policy, several with blanks
//! between them for a map of fields, or empty for an answer that is the number; the rest is the answer.
//! Whatever count comes of it stands in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_engine::model::reading::{Depth, FieldMap, JsonFields};
use tidegate::probe::body::Body;
use tidegate::probe::queue::{BODY_AT_MOST, reading};
use tidegate_fuzz::{first_line, is_harmless};

fuzz_target!(|data: &[u8]| {
    let (pointer, answer) = first_line(data);
    let Ok(pointer) = std::str::from_utf8(pointer) else { return };
    let fields = fields(pointer);
    let fields = fields.as_ref();

    let read = reading(&taken(answer, answer.len()), fields);
    // However it is cut on its way.
    assert_eq!(read, reading(&taken(answer, 7), fields));
    match &read {
        Err(why) => assert!(!why.is_empty() && why.len() < 1000 && is_harmless(why), "{why:?}"),
        Ok(depth) => {
            let text = std::str::from_utf8(answer).expect("a reading is made of text alone");
            assert!(depth.waiting < 10_u64.pow(12));
            match fields {
                None => is_the_number(depth, text),
                Some(JsonFields::Named(_)) => {
                    stands_in(depth, text);
                    overlooks_nothing(depth, text);
                }
                Some(JsonFields::Mapped(map)) => {
                    stands_in(depth, text);
                    is_exact(depth, map);
                }
            }
            // White space changes nothing, until there is too much of it.
            let blank = BODY_AT_MOST.saturating_sub(answer.len());
            let full = [answer, &vec![b' '; blank]].concat();
            assert_eq!(reading(&taken(&full, 4096), fields).as_ref(), Ok(depth));
            let over = [full.as_slice(), b" "].concat();
            assert!(reading(&taken(&over, 4096), fields).is_err());
        }
    }
});

/// The fields that the first line names: one pointer, or those of a map in its order.
fn fields(line: &str) -> Option<JsonFields> {
    let mut pointers = line.split(' ').map(str::to_owned);
    let waiting = pointers.next().filter(|pointer| pointer.starts_with('/'))?;
    if !line.contains(' ') {
        return Some(JsonFields::Named(waiting));
    }
    let mut next = || pointers.next().filter(|pointer| pointer.starts_with('/'));
    Some(JsonFields::Mapped(FieldMap {
        waiting,
        running: next(),
        oldest_seconds: next(),
        busy: next(),
        arrived: next(),
        completed: next(),
    }))
}

fn taken(answer: &[u8], piece: usize) -> Body {
    let mut body = Body::at_most(BODY_AT_MOST);
    for piece in answer.chunks(piece.max(1)) {
        if !body.take(piece) {
            break;
        }
    }
    body
}

fn is_the_number(depth: &Depth, text: &str) {
    let digits = text.trim_matches([' ', '\t', '\r', '\n']);
    let value = digits.bytes().fold(0_u128, |sum, digit| {
        assert!(digit.is_ascii_digit(), "{text:?}");
        sum * 10 + u128::from(digit - b'0')
    });
    assert!(!digits.is_empty() && digits.len() <= 12, "{text:?}");
    assert_eq!(u128::from(depth.waiting), value);
    assert_eq!(*depth, Depth::of(depth.waiting));
}

/// Every count is a number of the answer, as JSON has it or in a string.
fn stands_in(depth: &Depth, text: &str) {
    let document: serde_json::Value = serde_json::from_str(text).expect("read before");
    let mut numbers = Vec::new();
    collect(&document, &mut numbers);
    let work = &depth.work;
    let jobs = work.busy.iter().flat_map(|busy| busy.values());
    let counts = [Some(depth.waiting), work.running, work.arrived, work.completed];
    for count in counts.into_iter().flatten().chain(jobs.map(|jobs| u64::from(*jobs))) {
        assert!(numbers.contains(&(count as f64)), "{count} in {text:?}");
    }
}

fn collect(value: &serde_json::Value, numbers: &mut Vec<f64>) {
    match value {
        serde_json::Value::Number(number) => numbers.extend(number.as_f64()),
        serde_json::Value::String(text) => numbers.extend(text.parse::<f64>()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, numbers)),
        serde_json::Value::Object(map) => map.values().for_each(|item| collect(item, numbers)),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}

/// Exactly the fields of a map are read. Only the age of an empty queue may be missing.
fn is_exact(depth: &Depth, map: &FieldMap) {
    let work = &depth.work;
    assert_eq!(work.running.is_some(), map.running.is_some());
    assert_eq!(work.busy.is_some(), map.busy.is_some());
    assert_eq!(work.arrived.is_some(), map.arrived.is_some());
    assert_eq!(work.completed.is_some(), map.completed.is_some());
    assert!(map.oldest_seconds.is_some() || depth.oldest.is_none());
    assert!(map.oldest_seconds.is_none() || depth.oldest.is_some() || depth.waiting == 0);
}

fn overlooks_nothing(depth: &Depth, text: &str) {
    let work = &depth.work;
    if work.busy.is_none() {
        // Nobody is idle because a key was overlooked.
        let document: serde_json::Value = serde_json::from_str(text).expect("read before");
        assert!(document.get("busy").is_none(), "{text:?}");
    }
}
