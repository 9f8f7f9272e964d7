//! Promtool's notation for a series of samples: `4`, `_` for one that could not be read, `0x3` for a
//! sample and three more like it, `10+5x3` and `10-5x3` for one and three more that each differ by
//! five, `_x3` for three that could not be read.
//!
//! As in Prometheus's documentation of unit tests for rules.

/// More than this is no test of a policy.
const SAMPLES_AT_MOST: usize = 100_000;

/// A queue's length at each step; `None`: unreadable.
pub(super) fn samples(text: &str) -> Result<Vec<Option<u64>>, String> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let more = expand(word).ok_or_else(|| {
            format!(
                "`{word}` is no sample: write `4`, `_` for unreadable, `0x3` for a sample and three \
                 more like it, `10+5x3` for one and three more, each greater by five, or `_x3`"
            )
        })?;
        out.extend(more);
        if out.len() > SAMPLES_AT_MOST {
            return Err(format!("`{word}` makes more than {SAMPLES_AT_MOST} samples"));
        }
    }
    if out.is_empty() { Err("a series has a sample at least".to_owned()) } else { Ok(out) }
}

fn expand(word: &str) -> Option<Vec<Option<u64>>> {
    let (head, times) = match word.split_once('x') {
        Some((head, times)) => (head, Some(times.parse::<usize>().ok()?)),
        None => (word, None),
    };
    let most = times.is_none_or(|times| times <= SAMPLES_AT_MOST);
    if head == "_" {
        return most.then(|| vec![None; times.unwrap_or(1)]);
    }
    let (first, step) = stepped(head)?;
    // A step without a count is half a word.
    if !most || (step != 0 && times.is_none()) {
        return None;
    }
    let mut values = Vec::new();
    let mut value = first;
    for _ in 0..=times.unwrap_or(0) {
        // A queue is not shorter than empty.
        values.push(Some(u64::try_from(value.max(0)).ok()?));
        value = value.checked_add(step)?;
    }
    Some(values)
}

/// `10+5`: the first value, and by how much each next one differs.
fn stepped(head: &str) -> Option<(i64, i64)> {
    let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
    if let Some((first, step)) = head.split_once('+') {
        return Some((number(first)?, number(step)?));
    }
    if let Some((first, step)) = head.split_once('-') {
        return Some((number(first)?, number(step)?.checked_neg()?));
    }
    Some((number(head)?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_of_promtool() {
        let some = |values: &[u64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(samples("4"), Ok(some(&[4])));
        assert_eq!(samples("1x4"), Ok(some(&[1, 1, 1, 1, 1])));
        assert_eq!(samples("1+2x4"), Ok(some(&[1, 3, 5, 7, 9])));
        assert_eq!(samples("5-2x3"), Ok(some(&[5, 3, 1, 0])), "never less than empty");
        assert_eq!(samples("1 _x3 5"), Ok(vec![Some(1), None, None, None, Some(5)]));
        assert_eq!(samples("_ 0x0"), Ok(vec![None, Some(0)]));
        for bad in ["", "x3", "1x", "1+2", "a", "-1", "1.5", "1x-2", "1x999999999999", "_+1x2"] {
            assert!(samples(bad).is_err(), "{bad}");
        }
    }
}
