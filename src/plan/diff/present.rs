//! An object in the form in which people compare it: without what servers write, without the
//! values of Secrets, with its fields in the order in which people write them.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::object::{canonical_json, is_deceptive, names, remove_server_metadata};

/// The middle one holds the whole object as kubectl applied it, for a Secret with its values.
const NOISY_ANNOTATIONS: [&str; 3] =
    [names::DIGEST, "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"];

/// The object without what only a server or a tool writes, its numbers in one notation.
pub fn cleaned(object: &Value) -> Value {
    let mut object = serde_json::from_slice(&canonical_json(object)).unwrap_or_else(|_| object.clone());
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        remove_server_metadata(metadata);
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !NOISY_ANNOTATIONS.contains(&name.as_str()));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

/// How many keys a Secret has.
pub fn secret_keys(secret: &Value) -> usize {
    ["data", "stringData"].iter().filter_map(|field| secret.get(field)?.as_object()).map(Map::len).sum()
}

/// The object as YAML, several lines of text as block scalars and no line wrapped.
pub fn yaml(object: &Value) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let mut text = String::new();
    let written =
        serde_saphyr::to_fmt_writer_with_options(&mut text, &Ordered { value: object, first: OBJECT }, options);
    // JSON is YAML as well, should the writer ever refuse a value.
    if written.is_ok() { text } else { serde_json::to_string_pretty(object).unwrap_or_default() }
}

/// A line that can neither move the cursor nor change a colour.
pub fn escaped(line: &str) -> String {
    let harmless = |character: char| character == '\t' || !is_deceptive(character);
    let mut out = String::with_capacity(line.len());
    for character in line.chars() {
        if harmless(character) { out.push(character) } else { out.extend(character.escape_default()) }
    }
    out
}

/// A mapping whose fields of these names come first; the others follow by name.
struct Ordered<'a> {
    value: &'a Value,
    first: &'static [&'static str],
}

const OBJECT: &[&str] = &["apiVersion", "kind", "metadata"];
const METADATA: &[&str] = &["name", "namespace", "labels", "annotations"];

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(fields) => {
                let mut sorted: Vec<_> = fields.iter().collect();
                let rank = |key: &str| self.first.iter().position(|first| *first == key).unwrap_or(self.first.len());
                sorted.sort_unstable_by_key(|(key, _)| (rank(key), *key));
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (key, value) in sorted {
                    let first = if self.first == OBJECT && key == "metadata" { METADATA } else { &[] };
                    map.serialize_entry(key, &Ordered { value, first })?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(|value| Ordered { value, first: &[] })),
            leaf => leaf.serialize(serializer),
        }
    }
}
