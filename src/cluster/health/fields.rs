//! Reading single fields of an object of any shape. What is missing, or of another type than
//! Kubernetes gives it, reads as absent: a malformed status must not stop anybody.

use serde_json::Value;

use crate::object::{Health, HealthStatus};

/// A text that is not empty.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

pub(super) fn integer(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// An integer of the status, which leaves out what is zero.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    integer(object, pointer).unwrap_or(0)
}

pub(super) fn items<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn texts<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    items(object, pointer).filter_map(Value::as_str)
}

/// An annotation; its key need not be escaped.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// One entry of `status.conditions`.
pub(super) struct Condition<'a>(&'a Value);

/// The first condition of a type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    items(object, "/status/conditions").find(|found| text(found, "/type") == Some(kind)).map(Condition)
}

impl Condition<'_> {
    /// Whether its status is `True`, `False` or `Unknown`.
    pub(super) fn is(&self, status: &str) -> bool {
        text(self.0, "/status") == Some(status)
    }

    pub(super) fn reason(&self) -> &str {
        text(self.0, "/reason").unwrap_or_default()
    }

    /// Its message, else its reason.
    pub(super) fn words(&self) -> Option<String> {
        text(self.0, "/message").or_else(|| text(self.0, "/reason")).map(|words| words.trim().into())
    }
}

pub(super) fn in_progress(message: impl Into<Box<str>>) -> Health {
    Health::new(HealthStatus::InProgress, message)
}

pub(super) fn failed(message: impl Into<Box<str>>) -> Health {
    Health::new(HealthStatus::Failed, message)
}

/// Current, with something that people should know of it.
pub(super) fn current(message: impl Into<Box<str>>) -> Health {
    Health::new(HealthStatus::Current, message)
}

/// Current when nothing is lacking.
pub(super) fn settled(lack: Option<String>) -> Health {
    lack.map_or_else(Health::current, in_progress)
}
