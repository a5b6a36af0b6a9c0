//! One file: its documents, and the objects of those that are lists.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::collect::Collector;
use super::inputs::Variable;
use super::split::{self, Position};
use super::value::Node;
use super::{json, substitute, yaml};
use crate::object::names;
use crate::source::SourceFile;

/// Lists inside of lists.
const MAX_LISTS: usize = 8;

/// What is read, and how.
pub struct Reader<'a> {
    pub path: &'a Arc<str>,
    /// `None`: references to variables are text.
    pub variables: Option<&'a BTreeMap<String, Variable>>,
    pub into: &'a mut Collector,
    /// The text is what a renderer made, so that a line of it is none of the file.
    pub rendered: bool,
    /// The document that is being read holds the value of a secret variable.
    secret: bool,
}

/// Reads a file's documents into the collector. Files of other names are no manifests.
pub fn read(source: &SourceFile, variables: Option<&BTreeMap<String, Variable>>, into: &mut Collector) {
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
    let mut reader = Reader::new(&source.path, variables, into);
    if is("json") { reader.read_json(text) } else { reader.read_yaml(text) }
}

impl<'a> Reader<'a> {
    pub fn new(path: &'a Arc<str>, variables: Option<&'a BTreeMap<String, Variable>>, into: &'a mut Collector) -> Self {
        Self { path, variables, into, rendered: false, secret: false }
    }

    fn read_yaml(&mut self, text: &str) {
        for document in split::documents(text) {
            if self.into.is_full() {
                return;
            }
            let shift =
                |place: Position| Position { line: place.line.saturating_add(document.first_line - 1), ..place };
            self.read_document(document.text, document.content, shift);
        }
    }

    /// Reads one document. `whole` is where it stands, and `shift` makes a place in the file of one in its text.
    pub fn read_document(&mut self, text: &str, whole: Position, shift: impl Fn(Position) -> Position) {
        let text = match self.substituted(text) {
            Ok(text) => text,
            Err(faults) => {
                for fault in faults {
                    let message = self.placed(&fault.why.to_string(), Some(fault.place));
                    self.into.refuse(self.path, shift(fault.place), &message, None);
                }
                return;
            }
        };
        match yaml::parse(&text) {
            Ok(node) => {
                let items = || yaml::item_places(&text).into_iter().map(shift).collect();
                self.take(node, whole, items);
            }
            Err(fault) => {
                let message = self.placed(&fault.message, fault.place);
                self.into.refuse(self.path, fault.place.map_or(whole, shift), &message, None);
            }
        }
    }

    /// The message with the line of what was rendered.
    fn placed(&self, message: &str, place: Option<Position>) -> String {
        match place.filter(|place| self.rendered && place.line > 0) {
            Some(place) => format!("{message} (line {} of what it renders to)", place.line),
            None => message.to_owned(),
        }
    }

    fn read_json(&mut self, text: &str) {
        for (place, found) in json::values(text) {
            if self.into.is_full() {
                return;
            }
            let shift = |item: Position| match item.line {
                1 => Position { line: place.line, column: item.column.saturating_add(place.column - 1) },
                line => Position { line: line.saturating_add(place.line - 1), ..item },
            };
            let exact = |(node, text)| {
                let node = yaml::exact(node, text)
                    .map_err(|fault| yaml::YamlFault { place: fault.place.map(shift), ..fault })?;
                Ok((node, text))
            };
            match found.and_then(exact) {
                // With variables replaced it is YAML, of which JSON is almost a part.
                Ok((_, text)) if self.variables.is_some() && substitute::has_references(text) => {
                    self.read_document(text, place, shift);
                }
                Ok((node, text)) => {
                    // JSON is almost YAML: enough so to find lines.
                    let items = || yaml::item_places(text).into_iter().map(shift).collect();
                    self.take(node, place, items);
                }
                Err(fault) => self.into.refuse(self.path, fault.place.unwrap_or(place), &fault.message, None),
            }
        }
    }

    /// The document with its variables replaced, unless it says that it is to stay as it is.
    fn substituted<'t>(&mut self, text: &'t str) -> Result<Cow<'t, str>, Vec<substitute::ReferenceFault>> {
        self.secret = false;
        let Some(variables) = self.variables.filter(|_| substitute::has_references(text)) else {
            return Ok(text.into());
        };
        if yaml::parse(text).is_ok_and(|node| substitute::is_disabled(&node.value)) {
            return Ok(text.into());
        }
        let done = substitute::substitute(text, variables)?;
        self.secret = done.secret;
        Ok(done.text)
    }

    /// Takes a document; `items` says where its items stand, should it be a list.
    fn take(&mut self, node: Node, place: Position, items: impl FnOnce() -> Vec<Position>) {
        self.into.count_bytes(node.bytes, self.path, place);
        match list_items(node.value) {
            Ok(list) => {
                let places = items();
                for (index, item) in list.into_iter().enumerate() {
                    self.take_nested(item, places.get(index).copied().unwrap_or(place), 1);
                }
            }
            Err(object) => self.take_object(object, place),
        }
    }

    fn take_nested(&mut self, value: Value, place: Position, lists: usize) {
        match list_items(value) {
            Ok(_) if lists >= MAX_LISTS => self.into.refuse(self.path, place, "lists inside of lists, too deep", None),
            Ok(list) => list.into_iter().for_each(|item| self.take_nested(item, place, lists + 1)),
            Err(object) => self.take_object(object, place),
        }
    }

    fn take_object(&mut self, mut object: Value, place: Position) {
        // A document that says nothing, such as `null`, is skipped by kubectl too.
        if object.is_null() || is_local(&object) {
            self.into.skip(self.path, place);
        } else if !self.into.is_full() {
            if self.secret {
                mark_sensitive(&mut object);
            }
            self.into.take(object, self.path, place);
        }
    }
}

/// Has an object treated as secret wherever it is shown.
pub fn mark_sensitive(object: &mut Value) {
    annotate(object, names::SENSITIVE, "true");
}

/// Sets an annotation, unless what holds it is no mapping: that is reported when the manifest is read.
pub fn annotate(object: &mut Value, name: &str, value: &str) {
    let Some(fields) = object.as_object_mut() else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if annotations.is_null() {
        *annotations = Value::Object(Map::new());
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(name.to_owned(), value.into());
    }
}

/// For tools on a person's machine (`config.kubernetes.io/local-config`).
fn is_local(object: &Value) -> bool {
    let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.and_then(|annotations| annotations.get(names::LOCAL_CONFIG)).is_some_and(|value| value == "true")
}

/// The items of a list, `v1` `List` or a typed one such as `kubectl get` prints; else the object again.
/// An object with a name is no typed list, whatever its kind is called. Items of typed lists need not
/// say what they are (apimachinery, `UnstructuredList`).
fn list_items(mut value: Value) -> Result<Vec<Value>, Value> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(item_kind) = kind.strip_suffix("List") else { return Err(value) };
    // The generic list is one with a name as well: charts give it one.
    let generic = kind == "List" && api_version == "v1";
    let named = !generic && value.pointer("/metadata/name").is_some();
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
