//! YAML text → a tree in which every node knows where it stands.
//!
//! serde_yaml keeps positions to itself except in errors: an error that a visitor returns is
//! stamped with the line and column of the node being visited. Scalars use that on purpose. Their
//! visitor stores the value and fails; the list or map above catches the error, reads the stamp and
//! goes on, because the scalar's event is already consumed. Containers cannot fail and go on, so
//! their position is looked up only when an error needs it ([`locate`]).

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Longest YAML file that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Nodes and bytes that aliases may add to what is written out in the file.
const ALIAS_NODES: usize = 10_000;
const ALIAS_BYTES: usize = 1 << 20;
/// Open brackets at any point.
const MAX_BRACKETS: usize = 128;

/// Line and column as serde_yaml counts them: from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// One YAML node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Number in the order of visiting, by which [`locate`] finds a container again.
    number: usize,
    /// Where a scalar stands; `None` for lists and maps.
    mark: Option<Mark>,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Real(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Where a scalar stands; `None` for a list or a map.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Where a list or a map begins, by reading the text again up to it.
    pub(crate) fn located(&self, text: &str) -> Option<Mark> {
        self.mark.or_else(|| locate(text, self.number))
    }

    /// Where the first scalar inside stands: near the beginning, and known without reading again.
    pub(crate) fn near(&self) -> Option<Mark> {
        match &self.value {
            Value::List(items) => items.iter().find_map(Self::near),
            Value::Map(entries) => entries.iter().find_map(|(key, value)| key.near().or_else(|| value.near())),
            _ => self.mark,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; any other node counts as a list of itself.
    pub(crate) fn one_or_many(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// What it is, for messages: `a list`, `the number 3`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(b) => format!("the truth value `{b}`"),
            Value::Integer(n) => format!("the number {n}"),
            Value::Real(x) => format!("the number {x}"),
            Value::Text(text) => super::problem::quoted(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// What keeps a text from being a tree.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) mark: Option<Mark>,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Malformed {
    fn new(mark: Option<Mark>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { mark, message: message.into(), help: help.into() }
    }
}

/// Parses one YAML document.
pub(crate) fn parse(text: &str) -> Result<Node, Malformed> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than the {MAX_BYTES} that are read", text.len());
        return Err(Malformed::new(None, message, "split it into several suites"));
    }
    screen(text)?;
    let mut state = State::new(text, None);
    match (Seed { state: &mut state }).deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(node) => Ok(node),
        // A document that is one scalar fails like every scalar, and nothing above it catches.
        Err(error) => match state.take_scalar(&error) {
            Some(node) => Ok(node),
            None => Err(explain(&error, &state, text)),
        },
    }
}

/// Where the container with this number begins.
fn locate(text: &str, number: usize) -> Option<Mark> {
    let mut state = State::new(text, Some(number));
    let error = Seed { state: &mut state }.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    state.stopped.then(|| stamped(&error))
}

/// Refuses what the scanner below serde_yaml handles badly: it answers a control character without a
/// place and takes quadratic time in the number of open brackets.
fn screen(text: &str) -> Result<(), Malformed> {
    let (mut open, mut line, mut column) = (0usize, 1, 0);
    for c in text.chars() {
        column += 1;
        match c {
            // Brackets inside strings and comments count too: the bound is far above what a suite
            // holds, and a second idea of where YAML strings end would be a source of errors.
            '[' | '{' => open += 1,
            ']' | '}' => open = open.saturating_sub(1),
            '\n' => (line, column) = (line + 1, 0),
            '\t' | '\r' | '\u{85}' => {}
            c if c.is_control() => {
                let message = format!("the control character U+{:04X} stands here", u32::from(c));
                return Err(Malformed::new(Some(Mark { line, column }), message, "remove it"));
            }
            _ => {}
        }
        if open > MAX_BRACKETS {
            let message = format!("more than {MAX_BRACKETS} brackets are open here");
            let help = "a suite needs three levels of brackets at most";
            return Err(Malformed::new(Some(Mark { line, column }), message, help));
        }
    }
    Ok(())
}

/// Line and column at the end of serde_yaml's message. [`de::Error`] hides the type behind a trait
/// inside a visitor, so the text is the only way; a test holds its form. At the very beginning of
/// the text serde_yaml prints no position.
fn stamped(error: &impl fmt::Display) -> Mark {
    let text = error.to_string();
    let place = text.rsplit_once(" at line ").and_then(|(_, place)| place.split_once(" column "));
    let number = |digits: &str| digits.parse().unwrap_or(1);
    place.map_or(Mark { line: 1, column: 1 }, |(line, column)| Mark { line: number(line), column: number(column) })
}

fn explain(error: &serde_yaml::Error, state: &State, text: &str) -> Malformed {
    let mark = error
        .location()
        .and_then(|l| Some(Mark { line: u32::try_from(l.line()).ok()?, column: u32::try_from(l.column()).ok()? }));
    if let Some((message, help)) = state.refused {
        return Malformed::new(mark.filter(|_| !text.is_empty()), message, help);
    }
    let full = error.to_string();
    let brief = full.split(" at line ").next().unwrap_or_default();
    let at_tab = mark.is_some_and(|m| {
        let line = text.lines().nth(m.line as usize - 1).unwrap_or_default();
        line.chars().nth(m.column as usize - 1) == Some('\t')
    });
    if brief.contains("EOF while parsing") {
        Malformed::new(None, "the file holds no YAML document", "begin it with `version: 1`")
    } else if brief.contains("more than one document") {
        // The separator is the first `---` with content above it.
        let content = |l: &str| !(l.is_empty() || l.starts_with('#') || l.starts_with("---") || l.starts_with('%'));
        let first = text.lines().position(content).unwrap_or(0);
        let line = text.lines().skip(first).position(|l| l.starts_with("---")).map_or(1, |n| first + n + 1);
        let mark = u32::try_from(line).ok().map(|line| Mark { line, column: 1 });
        Malformed::new(mark, "a second YAML document begins here", "put each document into a file of its own")
    } else if brief.contains("repetition limit") {
        Malformed::new(mark, ALIAS_BOMB.0, ALIAS_BOMB.1)
    } else if brief.contains("recursion limit") {
        Malformed::new(mark, "the nesting is too deep", "a suite needs five levels at most")
    } else if at_tab {
        Malformed::new(mark, "a tab where YAML wants spaces", "indent with spaces")
    } else {
        let context = full.split_once(", ").map(|(_, c)| format!(" ({c})")).unwrap_or_default();
        let help = "check indentation, quotes and brackets around this place";
        Malformed::new(mark, format!("this is not valid YAML: {brief}{context}"), help)
    }
}

const ALIAS_BOMB: (&str, &str) =
    ("aliases blow the file up beyond any use", "write the values out, or use fewer aliases");

struct State {
    next: usize,
    stop_at: Option<usize>,
    stopped: bool,
    scalar: Option<(usize, Value)>,
    bytes: usize,
    max_nodes: usize,
    max_bytes: usize,
    refused: Option<(&'static str, &'static str)>,
}

impl State {
    fn new(text: &str, stop_at: Option<usize>) -> Self {
        // Without aliases a node takes at least one byte of text, and a scalar at least its own.
        let (max_nodes, max_bytes) = (text.len() + ALIAS_NODES, text.len() + ALIAS_BYTES);
        Self { next: 0, stop_at, stopped: false, scalar: None, bytes: 0, max_nodes, max_bytes, refused: None }
    }

    /// Counts a node; `Err` when aliases have multiplied too much.
    fn enter<E: de::Error>(&mut self, bytes: usize) -> Result<usize, E> {
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        if self.next > self.max_nodes || self.bytes > self.max_bytes {
            self.refused = Some(ALIAS_BOMB);
            return Err(E::custom(""));
        }
        if self.stop_at == Some(number) {
            self.stopped = true;
            return Err(E::custom(""));
        }
        Ok(number)
    }

    /// The scalar whose visitor failed with `error`, `None` when the error is a real one.
    fn take_scalar(&mut self, error: &impl fmt::Display) -> Option<Node> {
        let (number, value) = self.scalar.take()?;
        Some(Node { number, mark: Some(stamped(error)), value })
    }
}

struct Seed<'s> {
    state: &'s mut State,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn scalar<E: de::Error>(self, value: Value) -> Result<Node, E> {
        let bytes = if let Value::Text(text) = &value { text.len() } else { 0 };
        let number = self.state.enter(bytes)?;
        self.state.scalar = Some((number, value));
        Err(E::custom(""))
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.scalar(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.state.refused = Some(("the file holds no YAML document", "begin it with `version: 1`"));
        Err(E::custom(""))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(Value::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(Value::Integer(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.scalar(Value::Integer(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.scalar(Value::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(Value::Real(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.scalar(Value::Text(value.to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        self.state.refused = Some(("tags such as `!x` are not part of the format", "remove the tag"));
        Err(de::Error::custom(""))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let number = self.state.enter(0)?;
        let mut items = Vec::new();
        loop {
            match access.next_element_seed(Seed { state: self.state }) {
                Ok(Some(node)) => items.push(node),
                Ok(None) => return Ok(Node { number, mark: None, value: Value::List(items) }),
                Err(error) => items.push(self.state.take_scalar(&error).ok_or(error)?),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let number = self.state.enter(0)?;
        let mut entries = Vec::new();
        loop {
            let key = match access.next_key_seed(Seed { state: self.state }) {
                Ok(Some(node)) => node,
                Ok(None) => return Ok(Node { number, mark: None, value: Value::Map(entries) }),
                Err(error) => self.state.take_scalar(&error).ok_or(error)?,
            };
            let value = match access.next_value_seed(Seed { state: self.state }) {
                Ok(node) => node,
                Err(error) => self.state.take_scalar(&error).ok_or(error)?,
            };
            entries.push((key, value));
        }
    }
}
