//! Errors of a YAML file (suite, profile, policy, table): all of them at once, each with its place and what to do.

use super::tree::{self, Malformed, Mark, Node, Value};
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Problems that are shown; more are counted.
const SHOWN: usize = 50;
/// Characters of a line quoted before the place; twice as many behind it.
const CONTEXT: usize = 100;
/// Bytes of a file that are read again, in all, to find places: all of them in any file of a usual
/// size, a few in a huge one, so that no file makes its errors slow.
const REREADS: usize = 4 << 20;
/// Bytes between two places that are still quoted together.
const NEAR: usize = 16 << 10;

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

/// Everything that is wrong with a suite, a profile, a policy or a table, in the order of the file.
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
    pub(crate) fn whole_file(path: &Path, message: String, help: &str) -> Self {
        let mut report = Report::new(path, "");
        report.push(None, message, help.to_owned(), None);
        Self { problems: report.problems, more: 0 }
    }
}

fn render(problem: &Problem, renderer: &Renderer) -> String {
    let path = escaped(&problem.source.path.display().to_string());
    let title = Level::ERROR.primary_title(&problem.message);
    let text = &problem.source.text;
    let group = match &problem.span {
        None => title.element(Origin::path(path)),
        Some(span) => {
            let related = problem.related.as_ref().filter(|(r, _)| span.start.abs_diff(r.start) <= NEAR);
            let first = related.map_or(span.start, |(r, _)| r.start.min(span.start));
            let last = related.map_or(span.start, |(r, _)| r.start.max(span.start));
            let quote = quote(text, first, last);
            let inside =
                |r: &Range<usize>| r.start - quote.start..r.end.clamp(r.start, quote.end.max(r.start)) - quote.start;
            let mut snippet = Snippet::source(&text[quote.clone()])
                .line_start(position(text, first).0)
                .annotation(AnnotationKind::Primary.span(inside(span)));
            if let Some((r, label)) = related {
                snippet = snippet.annotation(AnnotationKind::Context.span(inside(r)).label(label));
            }
            let (line, column) = position(text, span.start);
            if position(text, quote.start).1 == 1 {
                title.element(snippet.path(path))
            } else {
                // The renderer would count the column from the cut.
                title.element(Origin::path(path).line(line).char_column(column)).element(snippet)
            }
        }
    };
    renderer.render(&[group.element(Level::HELP.message(&problem.help))])
}

/// The lines from `first` to `last` without a final line break; very long ones are cut.
fn quote(text: &str, first: usize, last: usize) -> Range<usize> {
    let start = text[..first].rfind('\n').map_or(0, |n| n + 1);
    let end = text[last..].find('\n').map_or(text.len(), |n| last + n);
    let end = if text[last..end].ends_with('\r') { end - 1 } else { end };
    let cut = text[start..first].char_indices().rev().nth(CONTEXT - 1);
    let stop = text[last..end].char_indices().nth(2 * CONTEXT);
    cut.map_or(start, |(n, _)| start + n)..stop.map_or(end, |(n, _)| last + n)
}

fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..byte];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The text with everything escaped that could steer a terminal or reorder what is read.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().map(|c| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Whether a terminal would obey it, or a reader see another order than there is.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` in backticks, escaped and shortened for a message.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", escaped(&short))
}

/// Collects problems while a file is read.
pub(crate) struct Report {
    source: Arc<Source>,
    problems: Vec<Problem>,
    more: usize,
    /// Bytes that may still be read again to find where lists and maps begin.
    rereads: usize,
}

impl Report {
    /// Begins the report of a file and reads its tree; a byte order mark is no part of it.
    ///
    /// # Errors
    /// The place where the text is no YAML.
    pub(crate) fn open(path: &Path, text: &str) -> Result<(Self, Node), SuiteErrors> {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let report = Self::new(path, body);
        match tree::parse(body) {
            Ok(root) => Ok((report, root)),
            Err(malformed) => Err(report.malformed(malformed)),
        }
    }

    pub(crate) fn new(path: &Path, text: &str) -> Self {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        Self { source: Arc::new(source), problems: Vec::new(), more: 0, rereads: REREADS }
    }

    /// Number of problems so far.
    pub(crate) fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    /// A problem at a node.
    pub(crate) fn at(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        if self.full() {
            return;
        }
        let span = self.span(node);
        self.push(span, message.into(), help.into(), None);
    }

    /// A problem at a node that an earlier node explains.
    pub(crate) fn at_both(
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
        self.push(span, message.into(), help.into(), related.map(|r| (r, earlier.1.to_owned())));
    }

    /// The text is no YAML at all: the only problem there can be.
    pub(crate) fn malformed(mut self, error: Malformed) -> SuiteErrors {
        let span = error.mark.map(|mark| {
            let start = self.byte(mark);
            let len = self.source.text[start..].chars().next().map_or(0, char::len_utf8);
            start..start + len
        });
        self.push(span, error.message, error.help, None);
        SuiteErrors { problems: self.problems, more: self.more }
    }

    /// Takes over the problems of another file.
    pub(crate) fn append(&mut self, other: SuiteErrors) {
        self.more += other.more;
        for problem in other.problems {
            if !self.full() {
                self.problems.push(problem);
            }
        }
    }

    /// `Ok` when there is no problem.
    pub(crate) fn finish(mut self) -> Result<(), SuiteErrors> {
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
    fn span(&mut self, node: &Node) -> Option<Range<usize>> {
        let text = &self.source.text;
        let mark = match node.mark() {
            Some(mark) => mark,
            None if self.rereads >= text.len() => {
                self.rereads -= text.len();
                node.located(text)?
            }
            None => node.near()?,
        };
        let start = self.byte(mark);
        let rest = &self.source.text[start..];
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let len = match (line.chars().next(), &node.value) {
            (_, Value::List(_) | Value::Map(_)) => 1,
            (Some(quote @ ('"' | '\'')), _) => line[1..].find(quote).map_or(line.len(), |n| n + 2),
            (_, Value::Text(text)) if !text.is_empty() && line.starts_with(text.as_str()) => text.len(),
            _ => line.find([' ', ',', ']', '}', ':', '\t']).unwrap_or(line.len()),
        };
        Some(start..start + len.max(line.chars().next().map_or(0, char::len_utf8)))
    }
}
