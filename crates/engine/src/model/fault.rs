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
    /// A quota that types of the same family and market share is used up.
    Quota,
    /// A quota of the whole account is used up; no other type or zone can help.
    AccountQuota,
    /// Not allowed to.
    Permission,
    /// The credentials are missing, expired, or the clock is wrong.
    Credentials,
    /// The request can never succeed as it is.
    Config,
    /// An image, key pair, group, instance profile or template does not exist, or EC2 does not show it
    /// yet. Every offering has the same.
    NotFound,
    /// The subnet does not exist.
    SubnetNotFound,
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
    pub const ALL: [Self; 16] = [
        Self::Throttled,
        Self::Ambiguous,
        Self::NoCapacity,
        Self::SubnetFull,
        Self::Quota,
        Self::AccountQuota,
        Self::Permission,
        Self::Credentials,
        Self::Config,
        Self::NotFound,
        Self::SubnetNotFound,
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
            Self::AccountQuota => "account quota",
            Self::Permission => "permission",
            Self::Credentials => "credentials",
            Self::Config => "configuration",
            Self::NotFound => "not found",
            Self::SubnetNotFound => "subnet not found",
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
    /// The service's message, made safe to print. Shown shortened, see [`Fault::whole`].
    pub message: String,
}

/// The longest message that is kept. An encoded authorization message has a few thousand characters,
/// and is of no use in part.
const MESSAGE_AT_MOST: usize = 16_384;
/// The longest message of any other kind, and what is shown of any.
const SHOWN_AT_MOST: usize = 300;

impl Fault {
    pub fn new(kind: FaultKind, code: impl Into<String>, message: &str) -> Self {
        let most = if is_encoded(message) { MESSAGE_AT_MOST } else { SHOWN_AT_MOST };
        Self { kind, code: printable(&code.into(), 80), message: printable(message, most) }
    }

    /// Returns the code and the message with nothing left out, for a reader who decodes it by
    /// `aws sts decode-authorization-message`.
    pub fn whole(&self) -> String {
        format!("{}: {}", self.code, self.message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, printable(&self.message, SHOWN_AT_MOST))?;
        let cut = self.message.chars().count() > SHOWN_AT_MOST && is_encoded(&self.message);
        if cut { f.write_str(" (whole in `tidegate check`)") } else { Ok(()) }
    }
}

/// Whether EC2 says why it refused only in a form that the account's administrator can decode.
fn is_encoded(message: &str) -> bool {
    message.contains("Encoded authorization failure message")
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
pub(crate) fn is_hidden(c: char) -> bool {
    use GeneralCategory::{Format, LineSeparator, ParagraphSeparator, Unassigned};
    let kind = || c.general_category();
    !c.is_ascii()
        && (matches!(kind(), Format | LineSeparator | ParagraphSeparator | Unassigned)
            || matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
            || matches!(c, '\u{3164}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'))
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultKind, is_hidden, printable, visible};

    #[test]
    fn foreign_text_is_escaped_and_capped() {
        assert_eq!(printable("a\u{1b}[31mb\nc", 100), "a\\u{1b}[31mb\\nc");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("\u{202e}gnp", 10), "\\u{202e}gnp");
    }

    #[test]
    fn encoded_authorization_message_is_kept_whole() {
        let encoded = "x".repeat(1500);
        let message = format!("Not authorized. Encoded authorization failure message: {encoded}");
        let fault = Fault::new(FaultKind::Permission, "UnauthorizedOperation", &message);
        assert!(fault.whole().ends_with(&encoded));
        let shown = fault.to_string();
        assert!(shown.len() < 400 && shown.ends_with("… (whole in `tidegate check`)"), "{shown}");
        let plain = Fault::new(FaultKind::Config, "InvalidParameterValue", &"y".repeat(1500));
        assert!(plain.whole().len() < 400);
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
