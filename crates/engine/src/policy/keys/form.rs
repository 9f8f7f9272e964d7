//! The forms of texts, as regular expressions, and shapes that several keys have.

use super::Shape::{self, AnySpan, Either, Formed, Words};

pub const SPAN: &str = "^ *([0-9]+ *d)? *([0-9]+ *h)? *([0-9]+ *m)? *([0-9]+ *s)? *$";
pub const TYPE: &str = "^[a-z0-9-]+\\.[a-z0-9-]+$";
pub const NAME: &str = "^[a-z][a-z0-9-]{0,31}$";
pub const ROUTE: &str = "^[a-z0-9-]{1,32}$";
pub const INSTALL: &str = "^[a-z0-9-]{1,16}$";
pub const IMAGE: &str = "^(ami-[0-9A-Fa-f]{8,17}|resolve:ssm:\\S+)$";
pub(crate) const CRON: &str = "^\\s*\\S+(\\s+\\S+){4}\\s*$";
pub(crate) const DATES: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}( *\\.\\. *[0-9]{4}-[0-9]{2}-[0-9]{2})?$";
pub(crate) const TOPIC: &str = "^arn:aws(-[a-z]+)*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$";

pub(crate) const RATE: Shape =
    Formed("^[0-9]+ per ([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "rate");
pub const SUBNET: Shape = Formed("^subnet-\\S+$", "`subnet-…`");
pub(crate) const GROUP: Shape = Formed("^sg-\\S+$", "`sg-…`");
pub const URL: Shape = Formed("^https?://", "URL");
pub const SECRET: Shape = Formed("^secret:[A-Za-z0-9/_][A-Za-z0-9._/-]*$", "secret");
pub(crate) const PLACE: Shape = Formed("^(https?://|secret:[A-Za-z0-9/_])", "URL or secret");
pub const MAIL: Shape = Formed("^[^@\\s]+@[^@\\s]+$", "address");
pub(crate) const POINTER: Shape = Formed("^/", "JSON pointer");
pub const MODES: Shape = Words(&["observe", "act"]);
pub(crate) const SENT: Shape =
    Words(&["scaled", "problem", "recovered", "emergency", "override", "policy", "all"]);
pub(crate) const LEARNED: Shape = Either(&[AnySpan, Words(&["auto"])]);

/// The most jobs that a threshold can name.
pub(crate) const JOBS_MAX: u64 = 1_000_000_000;
