//! Lists of EC2 and the load balancers that come in pages. A list is whole, or a fault: bounded in
//! pages and in the memory of what is kept of them.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Filter;

use tidegate_engine::model::fault::{Fault, FaultKind, printable};

/// More pages than this is a list that never ends.
const PAGES_AT_MOST: usize = 100;

/// The most memory that a list may take over all its pages, in bytes: some 20,000 instances.
const KEPT_AT_MOST: usize = 16 << 20;

/// The most values that one filter takes.
pub(super) const FILTER_AT_MOST: usize = 200;

/// Longer ids and names than AWS gives.
const NAME_AT_MOST: usize = 1024;

/// What was read of a list so far.
#[derive(Debug)]
pub(super) struct Listing {
    /// For messages: `instances`.
    what: &'static str,
    tokens: BTreeSet<String>,
    pages: usize,
    kept: usize,
}

impl Listing {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, tokens: BTreeSet::new(), pages: 0, kept: 0 }
    }

    /// Counts a page.
    pub(super) fn page(&mut self) -> Result<(), Fault> {
        self.pages += 1;
        if self.pages > PAGES_AT_MOST { Err(self.endless()) } else { Ok(()) }
    }

    /// Counts `bytes` of memory for what is kept of a row.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Fault> {
        self.kept = self.kept.saturating_add(bytes);
        if self.kept > KEPT_AT_MOST { Err(self.endless()) } else { Ok(()) }
    }

    /// Returns the token of the next page; `None` at the end of the list.
    pub(super) fn next(&mut self, token: Option<&str>) -> Result<Option<String>, Fault> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        self.keep(token.len())?;
        if self.tokens.insert(token.to_owned()) {
            Ok(Some(token.to_owned()))
        } else {
            Err(self.endless())
        }
    }

    fn endless(&self) -> Fault {
        let text = format!("the list of {} does not end, or is too large to be one", self.what);
        Fault::new(FaultKind::Ambiguous, "EndlessList", &text)
    }
}

/// Returns EC2 filters on these values: a question by id fails as a whole if one id does not exist.
pub(super) fn filters(name: &str, values: BTreeSet<String>) -> Vec<Filter> {
    let values: Vec<String> = values.into_iter().collect();
    let filter =
        |some: &[String]| Filter::builder().name(name).set_values(Some(some.to_vec())).build();
    values.chunks(FILTER_AT_MOST).map(filter).collect()
}

/// Refuses an id or a name that is longer than any of AWS, or would change what is printed.
pub(super) fn named(text: &str) -> Result<&str, Fault> {
    if text.len() <= NAME_AT_MOST
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return Ok(text);
    }
    let text = format!("an id or a name of {} bytes: {}", text.len(), printable(text, 40));
    Err(Fault::new(FaultKind::Ambiguous, "BadAnswer", &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Fault>) -> String {
        result.err().map_or_else(String::new, |fault| fault.code)
    }

    #[test]
    fn endless_lists_are_faults() {
        let mut listing = Listing::new("instances");
        (0..PAGES_AT_MOST).for_each(|_| listing.page().unwrap());
        assert_eq!(code(listing.page()), "EndlessList");
        let mut listing = Listing::new("instances");
        assert_eq!(listing.next(None), Ok(None));
        assert_eq!(listing.next(Some("")), Ok(None));
        assert_eq!(listing.next(Some("a")), Ok(Some("a".to_owned())));
        assert_eq!(code(listing.next(Some("a"))), "EndlessList", "it goes round");
        listing.keep(KEPT_AT_MOST.div_euclid(2)).unwrap();
        assert_eq!(code(listing.next(Some(&"b".repeat(KEPT_AT_MOST)))), "EndlessList");
        assert_eq!(code(named(&"i".repeat(2000))), "BadAnswer");
        assert_eq!(code(named("i-\u{2028}")), "BadAnswer");
        assert_eq!(named("i-0123"), Ok("i-0123"));
    }
}
