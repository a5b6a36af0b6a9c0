//! What others own of a live object beyond what we own: what people add by hand, which git does not
//! declare, is drift. Seen in `managedFields` alone, so that it costs no request.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Choice, Element, FieldSet, ManagedFieldsEntry};
use crate::object::managers::{Client, Managers};
use crate::object::manifest::ignored_paths;
use crate::object::path::{FieldPath, PathStep};
use crate::object::{GroupKind, Short, canonical_json, names};

/// Fields of any object that are left to whoever writes them. What `metadata` holds of it is above.
const OF_ANY: [&[&str]; 3] = [&["metadata"], &["status"], &["spec", "replicas"]];

/// Fields of one kind from which the server lets nothing be removed.
const OF_KIND: [(&str, &str, &[&str]); 3] = [
    ("batch", "Job", &["spec", "selector"]),
    ("", "PersistentVolumeClaim", &["spec"]),
    ("", "PersistentVolume", &["spec"]),
];

/// The same of the metadata within an object, such as that of the Pods which it makes.
const OF_INNER_METADATA: [&str; 5] = ["labels", "annotations", "finalizers", "ownerReferences", "creationTimestamp"];

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
struct Beyond<'e, 'a> {
    entry: &'e ManagedFieldsEntry<'a>,
    client: Client,
    fields: FieldSet,
}

/// Reduces the `managedFields` of an object's metadata to what is remembered of others.
#[must_use]
pub fn foreign(gk: &GroupKind, metadata: &Value, managers: &Managers) -> Foreign {
    let all = entries_of(metadata);
    // Most objects have no other writer than a controller of their status.
    if all.iter().all(|entry| entry.is_ours() || !entry.subresource.is_empty()) {
        return Foreign::default();
    }
    let ours = all.iter().find(|entry| entry.is_ours()).and_then(ManagedFieldsEntry::fields);
    let others = all.iter().filter(|entry| !entry.is_ours() && entry.subresource.is_empty());
    let shared = ours.is_some_and(|ours| {
        let owns = |entry: &ManagedFieldsEntry<'_>| entry.fields().is_some_and(|theirs| theirs.overlaps(ours));
        others.into_iter().any(|entry| is_released(entry, managers) && owns(entry))
    });
    let mut unknown: Vec<Arc<str>> = Vec::new();
    let mut added: Vec<Vec<u8>> = Vec::new();
    for Beyond { entry, client, fields } in beyond_ours(gk, metadata, &all, managers) {
        match client {
            // In an order of its own: the server sorts entries by their time.
            Client::Person => added.push(canonical_json(&json!([entry.manager, fields.to_json()]))),
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
            additions.extend(fields.paths().into_iter().filter(not_declared).map(|path| Addition {
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
    ours: FieldSet,
    added: FieldSet,
}

impl<'m> Released<'m> {
    /// `metadata`: that of the live object.
    pub fn new(gk: &GroupKind, metadata: &Value, managers: &'m Managers, additions: bool) -> Self {
        let all = entries_of(metadata);
        let mut added = FieldSet::default();
        if additions {
            let of_people = |beyond: &Beyond<'_, '_>| beyond.client == Client::Person;
            for beyond in beyond_ours(gk, metadata, &all, managers).into_iter().filter(of_people) {
                added.unite(&beyond.fields);
            }
        }
        let ours = all.iter().find(|entry| entry.is_ours()).and_then(ManagedFieldsEntry::fields);
        Self { managers, ours: ours.cloned().unwrap_or_default(), added }
    }

    /// Takes it out of what an entry of the object owns.
    pub fn take(&self, entry: &Value, fields: &mut FieldSet) -> FieldSet {
        let theirs = ManagedFieldsEntry::of(entry);
        if theirs.is_ours() || !theirs.subresource.is_empty() || !is_released(&theirs, self.managers) {
            return FieldSet::default();
        }
        let is_person = self.managers.client(theirs.manager) == Client::Person;
        let mut taken = if is_person { fields.split_off(&self.added) } else { FieldSet::default() };
        taken.unite(&fields.split_off(&self.ours));
        taken
    }
}

/// Whether an entry holds nothing on purpose against us: that of a person, and what nobody recorded.
fn is_released(entry: &ManagedFieldsEntry<'_>, managers: &Managers) -> bool {
    entry.manager == names::UNRECORDED || managers.client(entry.manager) == Client::Person
}

fn entries_of(metadata: &Value) -> Vec<ManagedFieldsEntry<'_>> {
    metadata.get("managedFields").and_then(Value::as_array).into_iter().flatten().map(ManagedFieldsEntry::of).collect()
}

/// What people, and managers on neither list, own of the object itself beyond what we and controllers own.
fn beyond_ours<'e, 'a>(
    gk: &GroupKind,
    metadata: &Value,
    all: &'e [ManagedFieldsEntry<'a>],
    managers: &Managers,
) -> Vec<Beyond<'e, 'a>> {
    let clients: Vec<Client> = all.iter().map(|entry| managers.client(entry.manager)).collect();
    // What a person wrote into a subresource is asked for by that, and no addition.
    let is_kept = |entry: &ManagedFieldsEntry<'_>, client: Client, by: Client| {
        !entry.subresource.is_empty()
            || client == Client::Controller
            || client == Client::Unknown && by == Client::Person
    };
    let kept_from = |by: Client| {
        let mut kept = FieldSet::default();
        let of_kept = all.iter().zip(&clients).filter(|(entry, client)| is_kept(entry, **client, by));
        for fields in of_kept.filter_map(|(entry, _)| entry.fields()) {
            kept.unite(fields);
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
        let Some(fields) = entry.fields() else { continue };
        let kept = if *client == Client::Person { &mut from_people } else { &mut from_unknown };
        let kept = kept.get_or_insert_with(|| kept_from(*client));
        let mut fields = beyond(gk, fields, Some(kept), if vessel { &CONTENT } else { &[] });
        for path in &ignored {
            fields.take(path);
        }
        // What cannot be read as a path can neither be reported nor removed.
        if !fields.paths().is_empty() {
            found.push(Beyond { entry, client: *client, fields });
        }
    }
    found
}

/// The content of a `ConfigMap` or Secret.
const CONTENT: [&str; 3] = ["data", "binaryData", "stringData"];

/// Whether it is a `ConfigMap` or Secret of which we declare no content: git made it for others to fill, and what they
/// put there may be nowhere else.
fn is_vessel(gk: &GroupKind, all: &[ManagedFieldsEntry<'_>]) -> bool {
    let ours = || all.iter().find(|entry| entry.is_ours()).and_then(ManagedFieldsEntry::fields);
    (gk.is("", "Secret") || gk.is("", "ConfigMap"))
        && ours().is_some_and(|fields| CONTENT.iter().all(|content| fields.root().field(content).is_none()))
}

/// More paths than anybody names by hand.
const MOST_IGNORED: usize = 100;

/// What the object itself says is left to others, where it is we who say so: anybody may write an annotation.
fn ignored(metadata: &Value, all: &[ManagedFieldsEntry<'_>]) -> Vec<FieldPath> {
    let text = metadata.get("annotations").and_then(|annotations| annotations.get(names::IGNORE_FIELDS)?.as_str());
    // Almost no object has it, and this is done for each event of a watch.
    let Some(text) = text else { return Vec::new() };
    let steps = ["metadata", "annotations", names::IGNORE_FIELDS].map(|name| PathStep::Field(name.into()));
    let is_ours =
        FieldPath::new(steps.into()).is_some_and(|path| all.iter().any(|entry| entry.is_ours() && entry.owns(&path)));
    let paths = if is_ours { ignored_paths(text).unwrap_or_default() } else { Vec::new() };
    paths.into_iter().take(MOST_IGNORED).collect()
}

/// The part of a set that `kept` does not hold, without these fields of the object and what is left alone.
pub(super) fn beyond(gk: &GroupKind, set: &FieldSet, kept: Option<&FieldSet>, without: &[&str]) -> FieldSet {
    set.select(kept.map(FieldSet::root), |path, node, kept| {
        let Some(element) = path.last().filter(|_| !is_left_alone(gk, path, without)) else { return Choice::Leave };
        let is_item = element.keys().is_some();
        match kept.and_then(|kept| kept.child(element)) {
            Some(_) if node.is_leaf() => Choice::Leave,
            Some(kept) => Choice::Within { context: Some(kept), itself: false },
            None if node.is_leaf() => Choice::Whole,
            // An item that somebody else added, and of which this one only changed something.
            None if is_item && !node.has_itself() => Choice::Leave,
            None if is_item => Choice::Whole,
            None => Choice::Within { context: None, itself: true },
        }
    })
}

fn is_left_alone(gk: &GroupKind, path: &[&Element], without: &[&str]) -> bool {
    let name = path.last().and_then(|element| element.field());
    let is_in = |names: &[&str]| name.is_some_and(|name| names.contains(&name));
    OF_ANY.iter().any(|left| Element::are_fields(path, left))
        || OF_KIND.iter().any(|(group, kind, left)| gk.is(group, kind) && Element::are_fields(path, left))
        // An authority is put there by whoever makes the certificate, a Job with kubectl included; without it every
        // request that the webhook sees fails.
        || name == Some("caBundle")
        || path.len() == 1 && is_in(without)
        || matches!(path, [.., metadata, _] if metadata.field() == Some("metadata") && is_in(&OF_INNER_METADATA))
}

#[cfg(test)]
mod tests;
