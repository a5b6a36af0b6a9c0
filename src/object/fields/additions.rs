//! What others own of a live object beyond what we own: what people add by hand, which git does not
//! declare, is drift. Seen in `managedFields` alone, so that it costs no request.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::{is_leaf, overlap, split_off, unite};
use super::{Entry, item_keys};
use crate::object::managers::{Client, Managers};
use crate::object::manifest::ignored_paths;
use crate::object::path::{FieldPath, Step, is_scalar, same_scalar};
use crate::object::{GroupKind, Short, canonical_json, names};

/// Fields of any object that are left to whoever writes them. What `metadata` holds of it is above.
const OF_ANY: [&[&str]; 3] = [&["f:metadata"], &["f:status"], &["f:spec", "f:replicas"]];

/// Fields of one kind from which the server lets nothing be removed.
const OF_KIND: [(&str, &str, &[&str]); 3] = [
    ("batch", "Job", &["f:spec", "f:selector"]),
    ("", "PersistentVolumeClaim", &["f:spec"]),
    ("", "PersistentVolume", &["f:spec"]),
];

/// The same of the metadata within an object, such as that of the Pods which it makes.
const OF_INNER_METADATA: [&str; 5] =
    ["f:labels", "f:annotations", "f:finalizers", "f:ownerReferences", "f:creationTimestamp"];

/// What a watch remembers of the fields that others own of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// Stands for all that people have added; `None` where they have added nothing.
    pub added: Option<Short>,
    /// People, or nobody who is known, own some of what we own.
    pub shared: bool,
    /// Managers on neither list who own something that we do not.
    pub unknown: Box<[Arc<str>]>,
}

/// A field that somebody has added.
#[derive(Clone, Debug)]
pub struct Addition {
    /// Path of the field in the live object.
    pub path: FieldPath,
    /// Field manager that owns it: a person's client.
    pub manager: Arc<str>,
    /// When that manager wrote last.
    pub at: Option<Timestamp>,
}

/// What one manager owns beyond what is kept.
struct Beyond<'a> {
    entry: Entry<'a>,
    client: Client,
    fields: Value,
}

/// Reduces the `managedFields` of an object's metadata to what is remembered of others.
#[must_use]
pub fn foreign(gk: &GroupKind, metadata: &Value, managers: &Managers) -> Foreign {
    let all = entries_of(metadata);
    // Most objects have no other writer than a controller of their status.
    if all.iter().all(|entry| entry.is_ours() || !entry.subresource.is_empty()) {
        return Foreign::default();
    }
    let ours = all.iter().find(|entry| entry.is_ours()).and_then(|entry| entry.fields);
    let others = all.iter().filter(|entry| !entry.is_ours() && entry.subresource.is_empty());
    let shared = ours.is_some_and(|ours| {
        let owns = |entry: &Entry<'_>| entry.fields.is_some_and(|theirs| overlap(theirs, ours));
        others.into_iter().any(|entry| is_released(entry, managers) && owns(entry))
    });
    let mut unknown: Vec<Arc<str>> = Vec::new();
    let mut added: Vec<Vec<u8>> = Vec::new();
    for Beyond { entry, client, fields } in beyond_ours(gk, metadata, &all, managers) {
        match client {
            // In an order of its own: the server sorts entries by their time.
            Client::Person => added.push(canonical_json(&json!([entry.manager, fields]))),
            _ if !unknown.iter().any(|known| **known == *entry.manager) => unknown.push(entry.manager.into()),
            _ => {}
        }
    }
    added.sort_unstable();
    let text = || String::from_utf8_lossy(&added.concat()).into_owned();
    Foreign { added: (!added.is_empty()).then(|| Short::of(&text())), shared, unknown: unknown.into() }
}

/// The fields that people have added to a live object and `declared`, where given, does not hold. In
/// the order of the entries.
#[must_use]
pub fn additions(gk: &GroupKind, live: &Value, managers: &Managers, declared: Option<&Value>) -> Vec<Addition> {
    let metadata = live.get("metadata").unwrap_or(&Value::Null);
    let all = entries_of(metadata);
    let mut additions = Vec::new();
    for Beyond { entry, client, fields } in beyond_ours(gk, metadata, &all, managers) {
        if client == Client::Person {
            let manager: Arc<str> = entry.manager.into();
            // `null` declares that there is none.
            let not_declared =
                |path: &FieldPath| declared.and_then(|declared| path.get(declared)).is_none_or(Value::is_null);
            additions.extend(paths(&fields).into_iter().filter(not_declared).map(|path| Addition {
                path,
                manager: Arc::clone(&manager),
                at: entry.time,
            }));
        }
    }
    additions
}

/// What an apply of an object of ours takes over of others: what they share with us, so that it goes when it
/// leaves git, and where asked for, what people have added.
pub(crate) struct Released<'m> {
    managers: &'m Managers,
    ours: Value,
    added: Value,
}

impl<'m> Released<'m> {
    /// `metadata`: that of the live object.
    pub fn new(gk: &GroupKind, metadata: &Value, managers: &'m Managers, additions: bool) -> Self {
        let all = entries_of(metadata);
        let mut added = json!({});
        if additions {
            let of_people = |beyond: &Beyond<'_>| beyond.client == Client::Person;
            for beyond in beyond_ours(gk, metadata, &all, managers).into_iter().filter(of_people) {
                unite(&mut added, &beyond.fields);
            }
        }
        let ours = all.iter().find(|entry| entry.is_ours()).and_then(|entry| entry.fields);
        Self { managers, ours: ours.cloned().unwrap_or_default(), added }
    }

    /// Takes it out of an entry of the object.
    pub fn take(&self, entry: &mut Value) -> Value {
        let theirs = Entry::of(entry);
        if theirs.is_ours() || !theirs.subresource.is_empty() || !is_released(&theirs, self.managers) {
            return Value::Null;
        }
        let is_person = self.managers.client(theirs.manager) == Client::Person;
        let Some(fields) = entry.get_mut("fieldsV1") else { return Value::Null };
        let mut taken = if is_person { split_off(fields, &self.added) } else { json!({}) };
        unite(&mut taken, &split_off(fields, &self.ours));
        taken
    }
}

/// Whether an entry holds nothing on purpose against us: that of a person, and what nobody recorded.
fn is_released(entry: &Entry<'_>, managers: &Managers) -> bool {
    entry.manager == names::UNRECORDED || managers.client(entry.manager) == Client::Person
}

fn entries_of(metadata: &Value) -> Vec<Entry<'_>> {
    metadata.get("managedFields").and_then(Value::as_array).into_iter().flatten().map(Entry::of).collect()
}

/// What people, and managers on neither list, own of the object itself beyond what we and controllers own.
fn beyond_ours<'a>(gk: &GroupKind, metadata: &Value, all: &[Entry<'a>], managers: &Managers) -> Vec<Beyond<'a>> {
    let clients: Vec<Client> = all.iter().map(|entry| managers.client(entry.manager)).collect();
    // What a person wrote into a subresource is asked for by that, and no addition.
    let is_kept = |entry: &Entry<'_>, client: Client, by: Client| {
        !entry.subresource.is_empty()
            || client == Client::Controller
            || client == Client::Unknown && by == Client::Person
    };
    let kept_from = |by: Client| {
        let mut kept = json!({});
        for (entry, _) in all.iter().zip(&clients).filter(|(entry, client)| is_kept(entry, **client, by)) {
            unite(&mut kept, entry.fields.unwrap_or(&Value::Null));
        }
        kept
    };
    // Once each, however many entries somebody forges.
    let (mut from_people, mut from_unknown) = (None, None);
    let ignored = ignored(metadata, all);
    let vessel = is_vessel(gk, all);
    let mut found = Vec::new();
    for (entry, client) in all.iter().zip(&clients) {
        let applies = matches!(entry.operation, "Apply" | "Update") && entry.subresource.is_empty();
        if *client == Client::Controller || !applies {
            continue;
        }
        let Some(fields) = entry.fields else { continue };
        let kept = if *client == Client::Person { &mut from_people } else { &mut from_unknown };
        let kept = kept.get_or_insert_with(|| kept_from(*client));
        let mut fields = Value::Object(beyond(gk, &mut Vec::new(), fields, Some(kept)));
        for path in &ignored {
            remove(&mut fields, path.steps());
        }
        if let Some(fields) = fields.as_object_mut().filter(|_| vessel) {
            fields.retain(|key, _| !CONTENT.contains(&key.as_str()));
        }
        // What cannot be read as a path can neither be reported nor removed.
        if !paths(&fields).is_empty() {
            found.push(Beyond { entry: *entry, client: *client, fields });
        }
    }
    found
}

/// The content of a `ConfigMap` or Secret.
const CONTENT: [&str; 3] = ["f:data", "f:binaryData", "f:stringData"];

/// Whether it is a `ConfigMap` or Secret of which we declare no content: git made it for others to fill, and what they
/// put there may be nowhere else.
fn is_vessel(gk: &GroupKind, all: &[Entry<'_>]) -> bool {
    let ours = || all.iter().find(|entry| entry.is_ours()).and_then(|entry| entry.fields);
    (gk.is("", "Secret") || gk.is("", "ConfigMap"))
        && ours().is_some_and(|fields| CONTENT.iter().all(|content| fields.get(content).is_none()))
}

/// More paths than anybody names by hand.
const MOST_IGNORED: usize = 100;

/// What the object itself says is left to others, where it is we who say so: anybody may write an annotation.
fn ignored(metadata: &Value, all: &[Entry<'_>]) -> Vec<FieldPath> {
    let text = metadata.get("annotations").and_then(|annotations| annotations.get(names::IGNORE_FIELDS)?.as_str());
    // Almost no object has it, and this is done for each event of a watch.
    let Some(text) = text else { return Vec::new() };
    let steps = ["metadata", "annotations", names::IGNORE_FIELDS].map(|name| Step::Field(name.into()));
    let is_ours =
        FieldPath::new(steps.into()).is_some_and(|path| all.iter().any(|entry| entry.is_ours() && entry.owns(&path)));
    let paths = if is_ours { ignored_paths(text).unwrap_or_default() } else { Vec::new() };
    paths.into_iter().take(MOST_IGNORED).collect()
}

/// The part of a set that `kept` does not hold, without what is left alone. As deep as a JSON parser goes.
pub(super) fn beyond<'s>(
    gk: &GroupKind,
    path: &mut Vec<&'s str>,
    set: &'s Value,
    kept: Option<&Value>,
) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, below) in set.as_object().into_iter().flatten().filter(|(key, _)| *key != ".") {
        path.push(key);
        if !is_left_alone(gk, path) {
            let part = match kept.and_then(|kept| kept.get(key)) {
                Some(_) if is_leaf(below) => None,
                Some(kept) => Some(beyond(gk, path, below, Some(kept))).filter(|part| !part.is_empty()),
                None if is_leaf(below) => below.as_object().cloned(),
                // An item that somebody else added, and of which this one only changed something.
                None if key.starts_with("k:") && below.get(".").is_none() => None,
                None if key.starts_with("k:") => below.as_object().cloned(),
                None => {
                    let mut part = beyond(gk, path, below, None);
                    if let Some(itself) = below.get(".") {
                        part.insert(".".into(), itself.clone());
                    }
                    Some(part).filter(|part| !part.is_empty())
                }
            };
            if let Some(part) = part {
                out.insert(key.clone(), Value::Object(part));
            }
        }
        path.pop();
    }
    out
}

fn is_left_alone(gk: &GroupKind, path: &[&str]) -> bool {
    OF_ANY.contains(&path)
        || OF_KIND.iter().any(|(group, kind, left)| gk.is(group, kind) && path == *left)
        // An authority is put there by whoever makes the certificate, a Job with kubectl included; without it every
        // request that the webhook sees fails.
        || path.last() == Some(&"f:caBundle")
        || matches!(path, [.., metadata, last] if *metadata == "f:metadata" && OF_INNER_METADATA.contains(last))
}

/// The paths of a set: whole items where it holds them whole.
pub(super) fn paths(set: &Value) -> Vec<FieldPath> {
    fn walk(set: &Value, steps: &mut Vec<Step>, out: &mut Vec<FieldPath>) {
        for (key, below) in set.as_object().into_iter().flatten().filter(|(key, _)| *key != ".") {
            let Some(step) = step(key) else { continue };
            let whole = matches!(step, Step::Item(_)) && below.get(".").is_some();
            steps.push(step);
            if whole || is_leaf(below) || steps.len() >= FieldPath::DEEPEST {
                out.extend(FieldPath::new(steps.clone()));
            } else {
                walk(below, steps, out);
            }
            steps.pop();
        }
    }
    let mut out = Vec::new();
    walk(set, &mut Vec::new(), &mut out);
    out
}

/// A path element (structured-merge-diff, `fieldpath/serialize-pe.go`).
fn step(key: &str) -> Option<Step> {
    match key.split_once(':')? {
        ("f", name) => Some(Step::Field(name.to_owned())),
        ("k", _) => item_keys(key).map(Step::Item),
        ("v", json) => serde_json::from_str(json).ok().filter(is_scalar).map(Step::Member),
        ("i", index) => index.parse().ok().map(Step::Index),
        _ => None,
    }
}

/// Whether a path element of a set is this step.
pub(super) fn same_step(key: &str, wanted: &Step) -> bool {
    match (step(key), wanted) {
        (Some(Step::Item(theirs)), Step::Item(keys)) => {
            let has = |(name, value): &(String, Value)| {
                theirs.iter().any(|(other, found)| name == other && same_scalar(value, found))
            };
            keys.iter().all(has)
        }
        (Some(Step::Member(theirs)), Step::Member(member)) => same_scalar(&theirs, member),
        (Some(theirs), wanted) => theirs == *wanted,
        (None, _) => false,
    }
}

/// Takes a field out of a set, with what is left empty above it.
fn remove(set: &mut Value, steps: &[Step]) {
    let (Some(fields), Some((first, rest))) = (set.as_object_mut(), steps.split_first()) else { return };
    let Some(key) = fields.keys().find(|key| same_step(key, first)).cloned() else { return };
    let Some(below) = fields.get_mut(&key) else { return };
    if !rest.is_empty() {
        if is_leaf(below) {
            return;
        }
        remove(below, rest);
    }
    if rest.is_empty() || super::set::is_empty(below) {
        fields.remove(&key);
    }
}

#[cfg(test)]
mod tests;
