//! A picture over the whole terminal: drawn over itself, and gone at the end as if it had never been.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context as _;

use super::Failure;
use tidegate_engine::model::fault::visible;

/// The terminal's alternate screen while it is drawn on. Given back at the latest when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    begun: bool,
}

impl Canvas {
    /// The terminal's columns and lines now.
    pub(super) fn size() -> (usize, usize) {
        let known = terminal_size::terminal_size();
        // A terminal that does not know its own size says 0.
        known
            .map(|(columns, lines)| (usize::from(columns.0), usize::from(lines.0)))
            .filter(|(columns, lines)| *columns > 0 && *lines > 0)
            .unwrap_or((80, 24))
    }

    /// One picture in place of the last, cut at the edges of the terminal.
    pub(super) fn draw(&mut self, lines: &[String]) -> Result<(), Failure> {
        let (width, height) = Self::size();
        let mut out = String::new();
        if !self.begun {
            // The alternate screen, without a cursor: the shell's own lines come back at the end.
            out.push_str("\u{1b}[?1049h\u{1b}[?25l");
            self.begun = true;
        }
        out.push_str("\u{1b}[H");
        for line in lines.iter().take(height.saturating_sub(1)) {
            writeln!(out, "{}\u{1b}[0m\u{1b}[K", clip(line, width)).context("failed to draw")?;
        }
        out.push_str("\u{1b}[J");
        Ok(written(&out).context("failed to draw")?)
    }

    /// Gives the terminal back as it was.
    pub(super) fn leave(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.begun) {
            written("\u{1b}[?25h\u{1b}[?1049l").context("failed to draw")?;
        }
        Ok(())
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        self.leave().ok();
    }
}

fn written(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(visible(text).as_bytes())?;
    stdout.flush()
}

pub(super) fn bold(text: &str) -> String {
    format!("\u{1b}[1m{text}\u{1b}[0m")
}

pub(super) fn dim(text: &str) -> String {
    format!("\u{1b}[2m{text}\u{1b}[0m")
}

/// Cuts a line at the terminal's width, so that a long reason does not break the picture.
fn clip(line: &str, width: usize) -> String {
    let mut shown = 0;
    let mut escape = false;
    let mut out = String::new();
    for c in line.chars() {
        match (escape, c) {
            (false, '\u{1b}') => escape = true,
            (true, c) if c.is_ascii_alphabetic() => escape = false,
            (true, _) => {}
            (false, _) => {
                shown += 1;
                if shown >= width {
                    out.push('…');
                    break;
                }
            }
        }
        out.push(c);
    }
    out
}

/// A line without colours in as many as the terminal's width needs, the later ones set in.
#[cfg(any(test, feature = "aws"))]
pub(super) fn fold(line: &str, width: usize) -> Vec<String> {
    let columns = |text: &str| text.chars().count();
    let set_in = " ".repeat(columns(line).saturating_sub(columns(line.trim_start())) + 4);
    let (mut lines, mut last) = (Vec::new(), String::new());
    for word in line.split_inclusive(' ') {
        let wide = columns(word.trim_end());
        // The last column is left free, as where a line is cut. A word that no line has room for stays.
        let full = wide > 0 && columns(&last) + wide >= width && columns(&set_in) + wide < width;
        if full && !last.trim().is_empty() {
            lines.push(last.trim_end().to_owned());
            last.clone_from(&set_in);
        }
        last.push_str(word);
    }
    lines.push(last);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_folded_between_words_and_set_in() {
        let folded = |line, width| fold(line, width).join("|");
        assert_eq!(folded("  because  one two", 40), "  because  one two");
        assert_eq!(folded("  because  one two three", 19), "  because  one two|      three");
        assert_eq!(folded("  aaaaaaaaaaaaaaaaaaaaaaaa", 10), "  aaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(folded("ääää öö ü", 8), "ääää öö|    ü");
    }

    #[test]
    fn a_long_line_is_cut_where_the_terminal_ends_and_its_colours_are_not_counted() {
        assert_eq!(clip("abcdef", 10), "abcdef");
        assert_eq!(clip("abcdef", 4), "abc…");
        assert_eq!(clip(&bold("abcdef"), 4), "\u{1b}[1mabc…");
        assert_eq!(clip(&bold("ab"), 4), bold("ab"));
    }
}
