//! What commands print: results to stdout. A reader that goes away (`| head`) ends the command
//! without a word, with the exit code that a shell shows for any program it happens to.

use std::fmt;
use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

use super::Failure;
use tidegate_engine::model::fault::visible;

/// 128 and the number of SIGPIPE.
const READER_GONE: u8 = 141;

/// Prints a line: `say!("{n} fleets")?`.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::out::line(format_args!($($part)*)) };
}
pub(crate) use say;

pub(crate) fn line(text: fmt::Arguments<'_>) -> Result<(), Failure> {
    let text = text.to_string();
    written(writeln!(std::io::stdout(), "{}", visible(&text)))
}

/// Prints as it is, at once.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    written(stdout.write_all(visible(text).as_bytes()).and_then(|()| stdout.flush()))
}

fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Told(READER_GONE)),
        result => Ok(result.context("failed to write to stdout")?),
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(n: impl TryInto<u64>, what: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_json_says_the_same() {
        let text = "a\u{61c}\u{2028}\u{e0041}\n\"b\"".to_owned();
        let shown = visible(&serde_json::json!([text]).to_string()).into_owned();
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [text]);
    }
}
