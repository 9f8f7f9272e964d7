//! The few kinds of failure the program acts on, whatever said no.

use std::borrow::Cow;
use std::fmt;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// What a failed call means for what may be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Too many requests: slow down; says nothing about the request itself.
    Throttled,
    /// No answer, or one that does not tell: the call may have taken effect.
    Ambiguous,
    /// EC2 has no room for this type in this zone; another pool may have.
    NoCapacity,
    /// The subnet has no free address; another subnet may have. The type is not to blame.
    SubnetFull,
    /// The account's quota is used up; another zone cannot help.
    Quota,
    /// Not allowed to.
    Permission,
    /// The credentials are missing, expired, or the clock is wrong.
    Credentials,
    /// The request can never succeed as it is: a missing image, subnet, key pair…
    Config,
    /// The client token was used before with another request.
    TokenMismatch,
    /// The client token's instance was launched and has been terminated.
    TokenSpent,
    /// The instance does not exist, or is not visible yet.
    InstanceNotFound,
    /// The load balancer or target group does not exist.
    BalancerNotFound,
    /// Termination protection, or a state that forbids the call.
    Refused,
}

impl FaultKind {
    pub const ALL: [Self; 13] = [
        Self::Throttled,
        Self::Ambiguous,
        Self::NoCapacity,
        Self::SubnetFull,
        Self::Quota,
        Self::Permission,
        Self::Credentials,
        Self::Config,
        Self::TokenMismatch,
        Self::TokenSpent,
        Self::InstanceNotFound,
        Self::BalancerNotFound,
        Self::Refused,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Ambiguous => "ambiguous",
            Self::NoCapacity => "no capacity",
            Self::SubnetFull => "subnet full",
            Self::Quota => "quota",
            Self::Permission => "permission",
            Self::Credentials => "credentials",
            Self::Config => "configuration",
            Self::TokenMismatch => "token mismatch",
            Self::TokenSpent => "token spent",
            Self::InstanceNotFound => "instance not found",
            Self::BalancerNotFound => "load balancer not found",
            Self::Refused => "refused",
        }
    }
}

/// A failed call: what it means, and what was said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    pub kind: FaultKind,
    /// The service's error code, or our word where there is none (`Timeout`).
    pub code: String,
    /// The service's message, made safe to print.
    pub message: String,
}

impl Fault {
    pub fn new(kind: FaultKind, code: impl Into<String>, message: &str) -> Self {
        Self { kind, code: printable(&code.into(), 80), message: printable(message, 300) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Text from outside, safe for a log or a terminal: control and invisible characters escaped, length
/// capped.
pub fn printable(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.trim().chars().enumerate() {
        if count >= most {
            out.push('…');
            break;
        }
        if c.is_control() || is_hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns `text` with every character escaped that takes no place of its own, reorders text or
/// breaks a line, besides control characters. The escapes are those of JSON, so a document of JSON
/// stays one.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether `c` is a format character, a separator of lines or paragraphs, or a character that Unicode
/// has not assigned; or a letter or mark without a glyph.
pub fn is_hidden(c: char) -> bool {
    use GeneralCategory::{Format, LineSeparator, ParagraphSeparator, Unassigned};
    let kind = || c.general_category();
    !c.is_ascii()
        && (matches!(kind(), Format | LineSeparator | ParagraphSeparator | Unassigned)
            || matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
            || matches!(c, '\u{3164}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'))
}

#[cfg(test)]
mod tests {
    use super::{is_hidden, printable, visible};

    #[test]
    fn foreign_text_is_escaped_and_capped() {
        assert_eq!(printable("a\u{1b}[31mb\nc", 100), "a\\u{1b}[31mb\\nc");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("\u{202e}gnp", 10), "\\u{202e}gnp");
    }

    #[test]
    fn characters_that_hide_or_reorder_are_escaped() {
        let hidden = [
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2065}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{ffff}',
            '\u{110bd}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0fff}',
            '\u{3164}',
            '\u{34f}',
        ];
        for c in hidden {
            let text = format!("a{c}b");
            assert!(is_hidden(c), "{:x}", u32::from(c));
            assert_eq!(printable(&text, 9), format!("a{}b", c.escape_default()));
            let shown = visible(&text);
            assert!(shown.starts_with("a\\u") && shown.ends_with('b'), "{shown}");
            assert!(!shown.contains(is_hidden), "{shown}");
        }
        for plain in ["grüße, 你好 👍🏽 – “ok” №7 עברית", "\u{1b}[31mred\u{1b}[0m\n"]
        {
            assert_eq!(visible(plain), plain);
        }
    }
}
