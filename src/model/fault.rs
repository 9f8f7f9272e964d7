//! The few kinds of failure the program acts on, whatever said no.

use std::fmt;

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
        Self { kind, code: code.into(), message: printable(message, 300) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Text from outside, safe for a log or a terminal: control characters escaped, length capped.
pub fn printable(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.trim().chars().enumerate() {
        if count >= most {
            out.push('…');
            break;
        }
        // Besides control characters: the marks that reorder text, used to disguise it.
        if c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn foreign_text_is_escaped_and_capped() {
        assert_eq!(printable("a\u{1b}[31mb\nc", 100), "a\\u{1b}[31mb\\nc");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("\u{202e}gnp", 10), "\\u{202e}gnp");
    }
}
