//! Values and names for people: harmless to a terminal, and not too long.

use std::sync::Arc;

use serde_json::Value;

use super::FieldChange;
use crate::object::{canonical_json, is_deceptive};

/// Names of field managers are 128 bytes at most (apimachinery, `ValidateFieldManager`), and
/// anything in an object that somebody wrote without that check.
const LONGEST_NAME: usize = 128;
/// Room for any path of Kubernetes' own types and a long key.
const LONGEST_PATH: usize = 1000;
/// How much that both sides have in common is shown before they differ.
const COMMON: usize = 20;

/// `None` for a name that is empty.
pub fn name(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| cut(text.chars(), LONGEST_NAME).into())
}

pub fn path(text: &str) -> String {
    cut(text.chars(), LONGEST_PATH)
}

/// A value, shortened.
pub fn value(value: &Value) -> String {
    cut(plain(value).chars(), FieldChange::LONGEST)
}

/// Both values, shortened so that they do not read the same unless they are.
pub fn values(wanted: &Value, found: Option<&Value>) -> (String, Option<String>) {
    let (wanted, found) = (plain(wanted), found.map(plain));
    let begin = |text: &str| cut(text.chars(), FieldChange::LONGEST);
    let Some(found) = found else { return (begin(&wanted), None) };
    let (first, second) = (begin(&wanted), begin(&found));
    if first != second || wanted == found {
        return (first, Some(second));
    }
    let common = wanted.chars().zip(found.chars()).take_while(|(left, right)| left == right).count();
    let from = |text: &str| {
        let rest = text.chars().skip(common.saturating_sub(COMMON));
        cut(std::iter::once('…').chain(rest), FieldChange::LONGEST)
    };
    (from(&wanted), Some(from(&found)))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => String::from_utf8(canonical_json(other)).unwrap_or_default(),
    }
}

/// Escapes what deceives, and cuts to so many characters.
fn cut(characters: impl Iterator<Item = char>, longest: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for character in characters {
        let shown = if is_deceptive(character) { character.escape_default().to_string() } else { character.into() };
        length += shown.chars().count();
        if length > longest {
            out.push('…');
            break;
        }
        out.push_str(&shown);
    }
    out
}
