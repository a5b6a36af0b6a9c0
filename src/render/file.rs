//! One file: its documents, and the objects of those that are lists.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::collect::Collector;
use super::split::{self, Position};
use super::value::Node;
use super::{json, yaml};
use crate::object::names;
use crate::source::SourceFile;

/// Lists inside of lists.
const MAX_LISTS: usize = 8;

/// Reads a file's documents into the collector. Files of other names are no manifests.
pub fn read(source: &SourceFile, into: &mut Collector) {
    let extension = Path::new(&*source.path).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is = |other: &str| extension.eq_ignore_ascii_case(other);
    if !(is("yaml") || is("yml") || is("json")) {
        return;
    }
    let text = match std::str::from_utf8(&source.bytes) {
        Ok(text) => text.strip_prefix('\u{FEFF}').unwrap_or(text),
        Err(error) => {
            let place = place_after(&source.bytes[..error.valid_up_to()]);
            into.refuse(&source.path, place, "not UTF-8 text", None);
            return;
        }
    };
    if is("json") { read_json(&source.path, text, into) } else { read_yaml(&source.path, text, into) }
}

fn read_yaml(path: &Arc<str>, text: &str, into: &mut Collector) {
    for document in split::documents(text) {
        if into.is_full() {
            return;
        }
        let shift = |place: Position| Position { line: place.line.saturating_add(document.first_line - 1), ..place };
        match yaml::parse(document.text) {
            Ok(node) => {
                let items = || yaml::item_places(document.text).into_iter().map(shift).collect();
                take(node, path, document.content, items, into);
            }
            Err(fault) => into.refuse(path, fault.place.map_or(document.content, shift), &fault.message, None),
        }
    }
}

fn read_json(path: &Arc<str>, text: &str, into: &mut Collector) {
    for (place, found) in json::values(text) {
        if into.is_full() {
            return;
        }
        let shift = |item: Position| match item.line {
            1 => Position { line: place.line, column: item.column.saturating_add(place.column - 1) },
            line => Position { line: line.saturating_add(place.line - 1), ..item },
        };
        let exact = |(node, text)| {
            let node =
                yaml::exact(node, text).map_err(|fault| yaml::Fault { place: fault.place.map(shift), ..fault })?;
            Ok((node, text))
        };
        match found.and_then(exact) {
            Ok((node, text)) => {
                // JSON is almost YAML: enough so to find lines.
                let items = || yaml::item_places(text).into_iter().map(shift).collect();
                take(node, path, place, items, into);
            }
            Err(fault) => into.refuse(path, fault.place.unwrap_or(place), &fault.message, None),
        }
    }
}

/// Takes a document; `items` says where its items stand, should it be a list.
fn take(node: Node, path: &Arc<str>, place: Position, items: impl FnOnce() -> Vec<Position>, into: &mut Collector) {
    into.count_bytes(node.bytes, path, place);
    match list_items(node.value) {
        Ok(list) => {
            let places = items();
            for (index, item) in list.into_iter().enumerate() {
                take_nested(item, path, places.get(index).copied().unwrap_or(place), 1, into);
            }
        }
        Err(object) => take_object(object, path, place, into),
    }
}

fn take_nested(value: Value, path: &Arc<str>, place: Position, lists: usize, into: &mut Collector) {
    match list_items(value) {
        Ok(_) if lists >= MAX_LISTS => into.refuse(path, place, "lists inside of lists, too deep", None),
        Ok(list) => list.into_iter().for_each(|item| take_nested(item, path, place, lists + 1, into)),
        Err(object) => take_object(object, path, place, into),
    }
}

fn take_object(object: Value, path: &Arc<str>, place: Position, into: &mut Collector) {
    // A document that says nothing, such as `null`, is skipped by kubectl too.
    if object.is_null() || is_local(&object) {
        into.skip(path, place);
    } else if !into.is_full() {
        into.take(object, path, place);
    }
}

/// For tools on a person's machine (`config.kubernetes.io/local-config`).
fn is_local(object: &Value) -> bool {
    let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.and_then(|annotations| annotations.get(names::LOCAL_CONFIG)).is_some_and(|value| value == "true")
}

/// The items of a list, `v1` `List` or a typed one such as `kubectl get` prints; else the object again.
/// An object with a name is no list, whatever its kind is called. Items of typed lists need not
/// say what they are (apimachinery, `UnstructuredList`).
fn list_items(mut value: Value) -> Result<Vec<Value>, Value> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(item_kind) = kind.strip_suffix("List") else { return Err(value) };
    let named = value.pointer("/metadata/name").is_some();
    let empty = kind == "List" && value.get("items").is_none_or(Value::is_null);
    if named || is_local(&value) || !(empty || value.get("items").is_some_and(Value::is_array)) {
        return Err(value);
    }
    let mut items = match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    if !item_kind.is_empty() {
        for fields in items.iter_mut().filter_map(Value::as_object_mut) {
            if !fields.contains_key("apiVersion") && !fields.contains_key("kind") {
                fields.insert("apiVersion".into(), api_version.as_str().into());
                fields.insert("kind".into(), item_kind.into());
            }
        }
    }
    Ok(items)
}

/// The place behind some bytes, all of them UTF-8.
fn place_after(bytes: &[u8]) -> Position {
    let text = String::from_utf8_lossy(bytes);
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
}
