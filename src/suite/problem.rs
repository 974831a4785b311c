//! Errors of a suite file: all of them at once, each with its place and what to do.

use super::tree::{Malformed, Mark, Node, Value};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Problems that are shown; more are counted.
const SHOWN: usize = 50;
/// Characters of a line quoted on either side of the place.
const CONTEXT: usize = 100;

/// A file and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    path: PathBuf,
    text: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    source: Arc<Source>,
    /// Bytes of the text that the caret marks; `None` when the whole file is meant.
    span: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// An earlier place that explains it.
    related: Option<(Range<usize>, String)>,
}

impl Problem {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// Line and column, both from 1, the column in characters; `None` when the whole file is meant.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.span.as_ref().map(|span| position(&self.source.text, span.start))
    }

    /// The marked text.
    #[must_use]
    pub fn marked(&self) -> &str {
        self.span.as_ref().and_then(|s| self.source.text.get(s.clone())).unwrap_or_default()
    }
}

/// Everything that is wrong with a suite, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteErrors {
    problems: Vec<Problem>,
    more: usize,
}

impl std::error::Error for SuiteErrors {}

impl fmt::Display for SuiteErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl SuiteErrors {
    /// The problems, at most 50.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many there are beyond [`problems`](Self::problems).
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }

    /// All problems with quoted lines and carets, with terminal colours when `color`.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut parts: Vec<String> = self.problems.iter().map(|p| render(p, &renderer)).collect();
        if self.more > 0 {
            parts.push(format!("and {} more; mend these first", self.more));
        }
        parts.join("\n\n")
    }

    /// A single problem that concerns a file as a whole.
    pub(super) fn whole_file(path: &Path, message: String, help: &str) -> Self {
        let mut report = Report::new(path, "");
        report.push(None, message, help.to_owned(), None);
        Self { problems: report.problems, more: 0 }
    }
}

fn render(problem: &Problem, renderer: &Renderer) -> String {
    let path = escaped(&problem.source.path.display().to_string());
    let text = &problem.source.text;
    let mut origin = Origin::path(path);
    if let Some((line, column)) = problem.position() {
        origin = origin.line(line).char_column(column);
    }
    let mut group: Group<'_> = Level::ERROR.primary_title(&problem.message).element(origin);
    if let Some(span) = &problem.span {
        let related = problem.related.as_ref().map(|(s, label)| (s, label.as_str(), AnnotationKind::Context));
        let mut marks: Vec<_> = related.into_iter().chain([(span, "", AnnotationKind::Primary)]).collect();
        marks.sort_by_key(|(s, ..)| s.start);
        for (span, label, kind) in marks {
            let (quote, inner) = clipped(text, span);
            let mark = kind.span(inner);
            let mark = if label.is_empty() { mark } else { mark.label(label.to_owned()) };
            group = group.element(Snippet::source(quote).line_start(position(text, span.start).0).annotation(mark));
        }
    }
    renderer.render(&[group.element(Level::HELP.message(&problem.help))])
}

/// The line around `span`, shortened, and the span inside it.
fn clipped<'t>(text: &'t str, span: &Range<usize>) -> (&'t str, Range<usize>) {
    let start = text[..span.start].rfind('\n').map_or(0, |n| n + 1);
    let end = text[span.start..].find('\n').map_or(text.len(), |n| span.start + n);
    let before = text[start..span.start].char_indices().rev().nth(CONTEXT - 1).map_or(start, |(n, _)| start + n);
    let stop = span.end.clamp(span.start, end);
    let after = text[span.start..end].char_indices().nth(2 * CONTEXT).map_or(end, |(n, _)| span.start + n);
    (&text[before..after], span.start - before..stop.min(after) - before)
}

fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..byte];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The text with everything escaped that could steer a terminal or reorder what is read.
pub(super) fn escaped(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// `text` in backticks, escaped and shortened for a message.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", escaped(&short))
}

/// Collects problems while a file is read.
pub(super) struct Report {
    source: Arc<Source>,
    problems: Vec<Problem>,
    more: usize,
}

impl Report {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        Self { source: Arc::new(source), problems: Vec::new(), more: 0 }
    }

    /// Number of problems so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    /// A problem at a node.
    pub(super) fn at(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        if self.full() {
            return;
        }
        let span = self.span(node);
        self.push(Some(span), message.into(), help.into(), None);
    }

    /// A problem at a node that an earlier node explains.
    pub(super) fn at_both(
        &mut self,
        node: &Node,
        message: impl Into<String>,
        help: impl Into<String>,
        earlier: (&Node, &str),
    ) {
        if self.full() {
            return;
        }
        let (span, related) = (self.span(node), self.span(earlier.0));
        self.push(Some(span), message.into(), help.into(), Some((related, earlier.1.to_owned())));
    }

    /// The text is no YAML at all: the only problem there can be.
    pub(super) fn malformed(mut self, error: Malformed) -> SuiteErrors {
        let span = error.mark.map(|mark| {
            let start = self.byte(mark);
            let len = self.source.text[start..].chars().next().map_or(0, char::len_utf8);
            start..start + len
        });
        self.push(span, error.message, error.help, None);
        SuiteErrors { problems: self.problems, more: self.more }
    }

    /// Takes over the problems of another file.
    pub(super) fn append(&mut self, other: SuiteErrors) {
        self.more += other.more;
        for problem in other.problems {
            if !self.full() {
                self.problems.push(problem);
            }
        }
    }

    /// `Ok` when there is no problem.
    pub(super) fn finish(mut self) -> Result<(), SuiteErrors> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let main = Arc::clone(&self.source);
        self.problems.sort_by_key(|p| (!Arc::ptr_eq(&p.source, &main), p.span.as_ref().map_or(0, |s| s.start)));
        Err(SuiteErrors { problems: self.problems, more: self.more })
    }

    /// Whether the report is full; counts the problem if so.
    fn full(&mut self) -> bool {
        let full = self.problems.len() >= SHOWN;
        self.more += usize::from(full);
        full
    }

    fn push(
        &mut self,
        span: Option<Range<usize>>,
        message: String,
        help: String,
        related: Option<(Range<usize>, String)>,
    ) {
        self.problems.push(Problem { source: Arc::clone(&self.source), span, message, help, related });
    }

    fn byte(&self, mark: Mark) -> usize {
        let text = &self.source.text;
        // The YAML scanner also breaks lines at a lone CR and at three Unicode separators.
        let (mut line, mut column, mut previous) = (1, 1, ' ');
        for (byte, c) in text.char_indices() {
            let second_half = previous == '\r' && c == '\n';
            if matches!(previous, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') && !second_half {
                (line, column) = (line + 1, 1);
            }
            if (line, column) >= (mark.line, mark.column) {
                return byte;
            }
            column += 1;
            previous = c;
        }
        text.len()
    }

    /// The bytes of a key or value. serde_yaml tells only where it begins.
    fn span(&self, node: &Node) -> Range<usize> {
        let start = self.byte(node.mark(&self.source.text));
        let rest = &self.source.text[start..];
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let len = match (line.chars().next(), &node.value) {
            (_, Value::List(_) | Value::Map(_)) => 1,
            (Some(quote @ ('"' | '\'')), _) => line[1..].find(quote).map_or(line.len(), |n| n + 2),
            (_, Value::Text(text)) if !text.is_empty() && line.starts_with(text.as_str()) => text.len(),
            _ => line.find([' ', ',', ']', '}', ':', '\t']).unwrap_or(line.len()),
        };
        start..start + len.max(line.chars().next().map_or(0, char::len_utf8))
    }
}
