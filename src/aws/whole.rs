//! An answer that breaks off is no answer. The SDK reads XML up to where it ends and takes the rest
//! for absent: a list of servers cut between two of them would read like a shorter list, and servers
//! in service like servers that have left their balancer. HTTP notices a body that is shorter than
//! announced; it cannot notice one that was cut before it was counted.

use aws_sdk_ec2::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;

/// Fails every call whose answer is not a whole document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "whole answers"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // An answer that could not be read has its own error, which says more.
        if context.output_or_error().is_err() {
            return Ok(());
        }
        let answer = context.response();
        // An error is told by its code, and one that cannot be read is ambiguous already.
        if !answer.status().is_success() || answer.body().bytes().is_some_and(is_whole) {
            return Ok(());
        }
        Err("the answer breaks off".into())
    }
}

/// Whether the document ends with the end of the element that it begins with.
fn is_whole(document: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(document) else { return false };
    let text = text.trim();
    let body = match text.strip_prefix("<?") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, body)| body).trim_start(),
        None => text,
    };
    let root = body.strip_prefix('<').unwrap_or_default();
    let name: &str = root.split([' ', '>', '/', '\n', '\t', '\r']).next().unwrap_or_default();
    let end = body.strip_suffix('>').map(str::trim_end).and_then(|rest| rest.strip_suffix(name));
    !name.is_empty() && end.is_some_and(|rest| rest.ends_with("</"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_is_what_ends_with_its_first_element() {
        let whole = "<?xml version=\"1.0\"?>\n<A xmlns=\"x\">\n<b>1</b>\n<b/></A >\n";
        assert!(is_whole(whole.as_bytes()));
        assert!(is_whole(b"<A></A>"));
        // Wherever it is cut, down to nothing.
        let end = whole.trim_end().len();
        for cut in 0..end {
            assert!(!is_whole(&whole.as_bytes()[..cut]), "cut at {cut}");
        }
        for other in ["<A><AA></AA>", "no document", "<html><p>Welcome</body>", "<A>\u{0}</B>"] {
            assert!(!is_whole(other.as_bytes()), "{other}");
        }
    }
}
