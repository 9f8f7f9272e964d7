//! Any bytes as a queue's answer. The first line is the JSON pointer of the policy, or empty for an
//! answer that is the number; the rest is the answer. Whatever count comes of it stands in it, digit
//! by digit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::model::reading::Depth;
use tidegate::probe::body::Body;
use tidegate::probe::queue::{BODY_AT_MOST, reading};
use tidegate_fuzz::{first_line, is_harmless};

fuzz_target!(|data: &[u8]| {
    let (pointer, answer) = first_line(data);
    let Ok(pointer) = std::str::from_utf8(pointer) else { return };
    let pointer = pointer.starts_with('/').then_some(pointer);

    let read = reading(&taken(answer, answer.len()), pointer);
    // However it is cut on its way.
    assert_eq!(read, reading(&taken(answer, 7), pointer));
    match &read {
        Err(why) => assert!(!why.is_empty() && why.len() < 1000 && is_harmless(why), "{why:?}"),
        Ok(depth) => {
            let text = std::str::from_utf8(answer).expect("a reading is made of text alone");
            assert!(depth.waiting < 10_u64.pow(12));
            match pointer {
                None => is_the_number(depth, text),
                Some(_) => stands_in(depth, text),
            }
            // White space changes nothing, until there is too much of it.
            let blank = BODY_AT_MOST.saturating_sub(answer.len());
            let full = [answer, &vec![b' '; blank]].concat();
            assert_eq!(reading(&taken(&full, 4096), pointer).as_ref(), Ok(depth));
            let over = [full.as_slice(), b" "].concat();
            assert!(reading(&taken(&over, 4096), pointer).is_err());
        }
    }
});

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

/// Every count is a number that is written out in the text, with nothing before or after it that would
/// make it another.
fn stands_in(depth: &Depth, text: &str) {
    let work = &depth.work;
    let jobs = work.busy.iter().flat_map(|busy| busy.values());
    let counts = [Some(depth.waiting), work.running, work.arrived, work.completed];
    for count in counts.into_iter().flatten().chain(jobs.map(|jobs| u64::from(*jobs))) {
        let written = count.to_string();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let alone = text.match_indices(&written).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + written.len()..].chars().next();
            !before.is_some_and(part) && !after.is_some_and(part)
        });
        assert!(alone, "{count} in {text:?}");
    }
    if work.busy.is_none() {
        // Nobody is idle because a key was overlooked.
        let document: serde_json::Value = serde_json::from_str(text).expect("read before");
        assert!(document.get("busy").is_none(), "{text:?}");
    }
}
