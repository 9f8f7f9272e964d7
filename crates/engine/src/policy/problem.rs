//! What is wrong with a policy file, where, and what to do about it; and how that looks on a
//! terminal.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::model::fault::{is_hidden, printable};

/// Whether a file with this problem can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used, and `check` fails: jobs would be lost without the daemon's own safeguards.
    Risk,
    /// The file is used as it stands, and probably does not do what was meant.
    Warning,
    /// The file is right. The reader should know what it means.
    Note,
}

impl Severity {
    /// Returns the word for it in `check`. A risk is an error there, and nowhere else.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error | Self::Risk => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A piece of the file. Lines and columns count from one, columns in characters; `start..end` are
/// bytes of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub start: usize,
    pub end: usize,
}

impl Place {
    /// The very beginning of a file.
    pub(crate) const TOP: Self = Self { line: 1, column: 1, start: 0, end: 0 };
}

/// One thing that is wrong. Every text in it but `file` is safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// A sentence fragment in lower case: what is wrong.
    pub message: String,
    pub file: String,
    pub at: Place,
    /// What stands under the caret at `at`.
    pub label: String,
    /// Other places that the reader must see to understand.
    pub also: Vec<(Place, String)>,
    /// What to do.
    pub remedy: Option<String>,
}

impl Problem {
    pub(super) fn error(at: Place, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(Severity::Error, at, message.into(), label.into())
    }

    pub(super) fn risk(at: Place, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(Severity::Risk, at, message.into(), label.into())
    }

    pub(super) fn note(at: Place, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(Severity::Note, at, message.into(), label.into())
    }

    pub(super) fn warning(at: Place, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(Severity::Warning, at, message.into(), label.into())
    }

    fn new(severity: Severity, at: Place, message: String, label: String) -> Self {
        Self { severity, message, file: String::new(), at, label, also: Vec::new(), remedy: None }
    }

    pub(super) fn also(mut self, at: Place, label: impl Into<String>) -> Self {
        self.also.push((at, label.into()));
        self
    }

    pub(super) fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }
}

/// Problems on their way out of a file.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is an error among those after the first `known`.
    pub(super) fn has_error_since(&self, known: usize) -> bool {
        self.0.iter().skip(known).any(|problem| problem.severity == Severity::Error)
    }

    /// In the order of the file. What `defaults` or an anchor got wrong is found once for each use
    /// and told once.
    pub(super) fn finish(self, file: &str) -> Vec<Problem> {
        let mut all = self.0;
        all.sort_by(|a, b| (a.at, a.severity, &a.message).cmp(&(b.at, b.severity, &b.message)));
        all.dedup();
        for problem in &mut all {
            file.clone_into(&mut problem.file);
        }
        all
    }
}

/// Text of the file, quoted in a message.
pub(super) fn quote(text: &str) -> String {
    format!("`{}`", printable(text, 60))
}

/// The renderer reads the whole file for each problem, so it draws as many as come to this many
/// bytes, and at least ten. The rest is counted.
const RENDERED_BYTES_MAX: usize = 8 << 20;

/// The problems in rustc's look, each with its lines of `text`. Control characters from the file
/// never reach the terminal. Empty when there are none.
pub fn render(problems: &[Problem], path: &str, text: &str, color: bool) -> String {
    let path = printable(path, 4096);
    let text = &harmless(text);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    let most = RENDERED_BYTES_MAX.checked_div(text.len()).map_or(100, |most| most.clamp(10, 100));
    for problem in problems.iter().take(most) {
        let level = match problem.severity {
            Severity::Error | Severity::Risk => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let caret =
            AnnotationKind::Primary.span(range(problem.at, text)).label(problem.label.as_str());
        let others = problem.also.iter().map(|(place, label)| {
            AnnotationKind::Context.span(range(*place, text)).label(label.as_str())
        });
        let snippet =
            Snippet::source(text).path(path.as_str()).annotation(caret).annotations(others);
        let mut group: Group<'_> = level.primary_title(problem.message.as_str()).element(snippet);
        if let Some(remedy) = &problem.remedy {
            group = group.element(Level::HELP.message(remedy.as_str()));
        }
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    let rest = problems.len().saturating_sub(most);
    if rest > 0 {
        out.push_str(&format!("and {rest} more of the kind; `--json` has them all\n\n"));
    }
    out
}

/// `text` without what the renderer lets through: the second set of control characters (a terminal
/// may take U+009B for an escape), and what hides or reorders text. No byte moves.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c.len_utf8() {
        2 if c.is_control() || is_hidden(c) => '¿',
        3 if is_hidden(c) => '\u{fffd}',
        4 if is_hidden(c) => '🚫',
        _ => c,
    };
    text.chars().map(shown).collect()
}

/// The bytes under the caret: never past the end of the text or of the line they begin on, and
/// never inside a character.
fn range(place: Place, text: &str) -> Range<usize> {
    let start = floor(text, place.start);
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.find(['\r', '\n']).unwrap_or(rest.len());
    let end = floor(text, place.end).clamp(start, start.saturating_add(line));
    start..end
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
