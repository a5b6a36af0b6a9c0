//! Reading a path that a person wrote.

use std::str::FromStr;

use serde_json::{Number, Value};
use thiserror::Error;

use super::{FieldPath, PathStep, is_plain_character, quoted};
use crate::object::is_deceptive;

/// In bytes; keys of maps are a few hundred at most.
const LONGEST: usize = 4096;

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} is not a path to a field: at character {at}, {problem}; write for example {example}", shown(.text))]
pub struct ParsePathError {
    text: String,
    /// Counted from 1.
    at: usize,
    problem: &'static str,
    example: &'static str,
}

fn shown(text: &str) -> String {
    const SHOWN: usize = 200;
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{}{}", quoted(&cut), if cut.len() < text.len() { "…" } else { "" })
}

impl FromStr for FieldPath {
    type Err = ParsePathError;

    /// # Errors
    /// What is wrong with the text, where, and an example of how it is written.
    fn from_str(text: &str) -> Result<Self, ParsePathError> {
        let mut reader = Reader { text, rest: text };
        reader.path().map(|steps| Self { steps }).map_err(|(problem, example)| ParsePathError {
            text: text.into(),
            at: text[..text.len() - reader.rest.len()].chars().count() + 1,
            problem,
            example,
        })
    }
}

/// What is wrong where the reader stands, and an example.
type Problem = (&'static str, &'static str);

const FIELD: &str = "spec.replicas";
const KEY: &str = r#"metadata.annotations["example.com/x"]"#;
const ITEM: &str = "containers[name=web].image";
const MEMBER: &str = r#"finalizers[="example.com/x"]"#;

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn path(&mut self) -> Result<Vec<PathStep>, Problem> {
        if self.text.len() > LONGEST {
            return Err(("it is longer than 4096 bytes", FIELD));
        }
        let mut steps = Vec::new();
        loop {
            let step = match self.rest.chars().next() {
                None if steps.is_empty() => return Err(("the name of a field is missing", FIELD)),
                None => return Ok(steps),
                Some('[') => self.bracket()?,
                Some('.') if steps.is_empty() => return Err(("a path does not begin with a dot", FIELD)),
                Some('.') => {
                    self.skip(1);
                    self.name()?
                }
                Some(_) if steps.is_empty() => self.name()?,
                Some('/') => return Err(("keys with slashes or dots stand in brackets and quotes", KEY)),
                Some(_) => return Err(("a dot or a bracket is missing", ITEM)),
            };
            if steps.len() == FieldPath::DEEPEST {
                return Err(("it has more than 64 steps", FIELD));
            }
            steps.push(step);
        }
    }

    fn name(&mut self) -> Result<PathStep, Problem> {
        match self.take_while(is_plain_character) {
            "" if self.rest.starts_with('[') => Err(("no dot stands before a bracket", KEY)),
            "" if self.rest.is_empty() || self.rest.starts_with('.') => Err(("the name of a field is missing", FIELD)),
            "" => Err(("this character stands in brackets and quotes only", KEY)),
            name => Ok(PathStep::Field(name.into())),
        }
    }

    fn bracket(&mut self) -> Result<PathStep, Problem> {
        self.skip(1);
        if self.accept('=') {
            let member = self.value(MEMBER)?;
            return if self.accept(']') { Ok(PathStep::Member(member)) } else { Err(("a ] is missing", MEMBER)) };
        }
        let mut keys: Vec<(String, Value)> = Vec::new();
        loop {
            let before = self.rest;
            let is_quoted = before.starts_with('"');
            let name = if is_quoted { self.string()? } else { self.take_while(is_plain_character).to_owned() };
            if keys.is_empty() && self.rest.starts_with(']') {
                let step = if is_quoted { Some(PathStep::Field(name)) } else { name.parse().ok().map(PathStep::Index) };
                let Some(step) = step.filter(|_| is_quoted || before.starts_with(|first: char| first.is_ascii_digit()))
                else {
                    self.rest = before;
                    return Err(("an item needs its key, a key of a map its quotes", r#"[name=web], [0] or ["key"]"#));
                };
                self.skip(1);
                return Ok(step);
            }
            if name.is_empty() && !is_quoted {
                return Err(("the name of a key is missing", ITEM));
            }
            if keys.iter().any(|(key, _)| *key == name) {
                self.rest = before;
                return Err(("a key is there twice", "ports[port=80,protocol=TCP]"));
            }
            if !self.accept('=') {
                return Err(("a = or ] is missing", ITEM));
            }
            keys.push((name, self.value(ITEM)?));
            if self.accept(']') {
                keys.sort_by(|left, right| left.0.cmp(&right.0));
                return Ok(PathStep::Item(keys));
            }
            if !self.accept(',') {
                return Err(("a comma or ] is missing", "ports[port=80,protocol=TCP]"));
            }
        }
    }

    /// A scalar: a JSON string, or text up to a comma or bracket that may be a number or boolean.
    fn value(&mut self, example: &'static str) -> Result<Value, Problem> {
        if self.rest.starts_with('"') {
            return self.string().map(Value::String);
        }
        let text = self.take_while(is_bare);
        if text.is_empty() {
            return Err(("a value is missing, or needs quotes", example));
        }
        Ok(literal(text).unwrap_or_else(|| text.into()))
    }

    fn string(&mut self) -> Result<String, Problem> {
        let mut texts = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        match texts.next() {
            Some(Ok(text)) => {
                let length = texts.byte_offset();
                self.skip(length);
                Ok(text)
            }
            _ => Err(("the text in quotes does not end, or is no JSON string", KEY)),
        }
    }

    fn accept(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !is_wanted(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

fn is_bare(character: char) -> bool {
    !character.is_whitespace() && !is_deceptive(character) && !"[],=\"".contains(character)
}

fn literal(text: &str) -> Option<Value> {
    match text {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        text => serde_json::from_str::<Number>(text).ok().map(Value::Number),
    }
}

/// Whether a value without quotes is this very text.
pub(super) fn reads_as_text(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_bare) && literal(text).is_none()
}
