//! The way to one field of an object, as people write it:
//! `spec.template.spec.containers[name=web].image`.
//!
//! | step | written |
//! | --- | --- |
//! | a field, or a key of a map | `spec`, `.replicas`; any other text quoted: `["example.com/x"]` |
//! | an item of a list by its keys | `[name=web]`, `[port=80,protocol=TCP]` |
//! | an item by its place | `[0]` |
//! | a member of a set | `[="example.com/finalizer"]` |
//!
//! These are the path elements of structured-merge-diff (`fieldpath/element.go`): field name, key,
//! index and value. Quoted text is a JSON string, and text is quoted wherever it would not read
//! as itself, so that what is shown has no character that deceives and can be parsed again.

mod only;
mod parse;

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::is_deceptive;
pub use only::only;
pub use parse::ParsePathError;

/// A path with at least one step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    steps: Vec<PathStep>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PathStep {
    Field(String),
    /// Field and value of each key, at least one, sorted by field; the values are scalars.
    Item(Vec<(String, Value)>),
    Index(usize),
    /// A scalar.
    Member(Value),
}

impl FieldPath {
    /// More steps than any schema has; what is deeper counts as one with what holds it.
    pub(super) const DEEPEST: usize = 64;

    /// `None` without a step.
    pub(super) fn new(steps: Vec<PathStep>) -> Option<Self> {
        (!steps.is_empty()).then_some(Self { steps })
    }

    pub(super) fn steps(&self) -> &[PathStep] {
        &self.steps
    }

    /// The value of the field.
    #[must_use]
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(object, |value, step| step.get(value))
    }

    /// The list item in which the field is, the innermost; `None` where it is in none.
    #[must_use]
    pub fn item(&self) -> Option<Self> {
        let before = self.steps.split_last()?.1;
        let last = before.iter().rposition(|step| !matches!(step, PathStep::Field(_)))?;
        Self::new(before.get(..=last)?.to_vec())
    }

    /// Takes the field out of the object, and what held it where that has become `{}` or `[]`,
    /// save the object itself. A list item that still has other fields stays, even if these
    /// are only its keys. `false` when there was no such field, and then nothing is changed.
    pub fn remove(&self, object: &mut Value) -> bool {
        remove(object, &self.steps)
    }
}

fn remove(value: &mut Value, steps: &[PathStep]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return false };
    match (step, value) {
        (PathStep::Field(key), Value::Object(fields)) => {
            if rest.is_empty() {
                return fields.remove(key).is_some();
            }
            let Some(child) = fields.get_mut(key).filter(|child| is_container(child)) else { return false };
            let removed = remove(child, rest);
            if removed && is_empty(child) {
                fields.remove(key);
            }
            removed
        }
        (step, Value::Array(items)) => {
            let Some(place) = step.place(items) else { return false };
            let removed = rest.is_empty() || remove(&mut items[place], rest);
            if removed && (rest.is_empty() || is_empty(&items[place])) {
                items.remove(place);
            }
            removed
        }
        _ => false,
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// What can be the value of a key or the member of a set.
pub(super) fn is_scalar(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

/// Equal, whatever the notation of numbers.
pub(super) fn same_scalar(left: &Value, right: &Value) -> bool {
    left == right || (left.is_f64() || right.is_f64()) && left.as_f64().is_some() && left.as_f64() == right.as_f64()
}

impl PathStep {
    pub(super) fn get<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match (self, value) {
            (Self::Field(key), Value::Object(fields)) => fields.get(key),
            (step, Value::Array(items)) => items.get(step.place(items)?),
            _ => None,
        }
    }

    /// Which item of a list is meant.
    pub(super) fn place(&self, items: &[Value]) -> Option<usize> {
        match self {
            Self::Field(_) => None,
            Self::Index(index) => (*index < items.len()).then_some(*index),
            Self::Member(member) => items.iter().position(|item| same_scalar(item, member)),
            // A manifest may leave out a key that has a default, the server never does.
            Self::Item(keys) => items
                .iter()
                .position(|item| keys.iter().all(|(field, wanted)| has(item, field, wanted)))
                .or_else(|| items.iter().position(|item| may_be(item, keys))),
        }
    }
}

fn has(item: &Value, field: &str, wanted: &Value) -> bool {
    item.get(field).is_some_and(|value| same_scalar(value, wanted))
}

/// Whether an item agrees with every key that it has, and has one. The one default that is known
/// here is the protocol of a port.
pub(super) fn may_be(item: &Value, keys: &[(String, Value)]) -> bool {
    keys.iter().any(|(field, wanted)| has(item, field, wanted))
        && keys.iter().all(|(field, wanted)| match item.get(field) {
            None => field != "protocol" || wanted == "TCP",
            Some(_) => has(item, field, wanted),
        })
}

impl fmt::Display for FieldPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                PathStep::Field(key) if is_plain(key) && index == 0 => out.write_str(key)?,
                PathStep::Field(key) if is_plain(key) => write!(out, ".{key}")?,
                PathStep::Field(key) => write!(out, "[{}]", quoted(key))?,
                PathStep::Index(index) => write!(out, "[{index}]")?,
                PathStep::Member(Value::String(text)) => write!(out, "[={}]", quoted(text))?,
                PathStep::Member(member) => write!(out, "[={member}]")?,
                PathStep::Item(keys) => {
                    for (index, (field, value)) in keys.iter().enumerate() {
                        out.write_char(if index == 0 { '[' } else { ',' })?;
                        out.write_str(&if is_plain(field) { field.clone() } else { quoted(field) })?;
                        match value {
                            Value::String(text) if parse::reads_as_text(text) => write!(out, "={text}")?,
                            Value::String(text) => write!(out, "={}", quoted(text))?,
                            other => write!(out, "={other}")?,
                        }
                    }
                    out.write_char(']')?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a key can stand without quotes.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(is_plain_character)
}

fn is_plain_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '-'
}

/// A JSON string without characters that deceive.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for character in Value::from(text).to_string().chars() {
        if is_deceptive(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests;
