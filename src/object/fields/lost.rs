//! Which of the fields that a manifest declares are not ours any more.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::set::SEARCHED;
use super::{Element, FieldNode, FieldSet};
use crate::object::path::{FieldPath, PathStep, is_scalar, may_be};
use crate::object::{canonical_json, is_server_metadata};

/// Lists have one set of key fields; whoever writes others gets no more of them examined.
const KEY_SETS: usize = 4;

/// The fields that `desired` declares and that `ours`, what our own Apply entry owns, does not
/// hold, in the order of `desired`; `None` where we have no entry. `others` are what the other
/// entries own: they show what the keys of a list are, and how finely to report. Where they
/// own something in a field that is lost, those parts are named; else the field as a whole.
///
/// What identifies an object is never in `fieldsV1` and so never lost, and neither is an empty
/// map or list that nobody owns: an empty list with keys leaves no trace there.
#[must_use]
pub fn lost(desired: &Value, ours: Option<&FieldSet>, others: &[&FieldSet]) -> Vec<FieldPath> {
    lost_places(desired, ours, others).into_iter().map(|lost| lost.path).collect()
}

/// One step into the manifest. Ordered as the manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::object) enum ManifestStep<'a> {
    Key(&'a str),
    Index(usize),
}

/// A field, and where in the manifest it stands.
#[derive(Clone, Debug)]
pub(in crate::object) struct Lost<'a> {
    pub path: FieldPath,
    pub place: Vec<ManifestStep<'a>>,
}

pub(in crate::object) fn lost_places<'a>(
    desired: &'a Value,
    ours: Option<&FieldSet>,
    others: &[&FieldSet],
) -> Vec<Lost<'a>> {
    let mut trail = Trail::default();
    let others: Vec<FieldNode<'_>> = others.iter().map(|fields| fields.root()).collect();
    walk(&mut trail, desired, ours.map(FieldSet::root), &others);
    trail.found
}

/// Whether a field identifies the object or is the server's alone. structured-merge-diff takes
/// these out of every set (`managedfields/internal/stripmeta.go`).
pub(in crate::object) fn is_identity(place: &[ManifestStep<'_>], key: &str) -> bool {
    match place {
        [] => ["apiVersion", "kind"].contains(&key),
        [ManifestStep::Key("metadata")] => ["name", "namespace"].contains(&key) || is_server_metadata(key),
        _ => false,
    }
}

/// A walk through the manifest, and what it has found.
#[derive(Debug, Default)]
pub(in crate::object) struct Trail<'a> {
    steps: Vec<PathStep>,
    pub place: Vec<ManifestStep<'a>>,
    pub found: Vec<Lost<'a>>,
}

impl<'a> Trail<'a> {
    pub fn within(&mut self, step: PathStep, place: ManifestStep<'a>, then: impl FnOnce(&mut Self)) {
        self.steps.push(step);
        self.place.push(place);
        then(self);
        self.steps.pop();
        self.place.pop();
    }

    pub fn within_field(&mut self, key: &'a str, then: impl FnOnce(&mut Self)) {
        self.within(PathStep::Field(key.into()), ManifestStep::Key(key), then);
    }

    pub fn is_deepest(&self) -> bool {
        self.steps.len() >= FieldPath::DEEPEST
    }

    /// Notes the field that was reached. A map of one entry is that entry: `data.key` says more
    /// than `data`.
    pub fn note(&mut self, value: &'a Value) {
        if let (Value::Object(fields), Some(PathStep::Field(_)), false) = (value, self.steps.last(), self.is_deepest())
            && let (1, Some((key, child))) = (fields.len(), fields.iter().next())
        {
            return self.within_field(key, |trail| trail.note(child));
        }
        if let Some(path) = FieldPath::new(self.steps.clone()) {
            self.found.push(Lost { path, place: self.place.clone() });
        }
    }

    /// Whether fields are examined one by one, whoever owns them: the object and its metadata
    /// hold what identifies it, so they are never lost as a whole.
    pub fn is_open(&self) -> bool {
        matches!(self.place[..], [] | [ManifestStep::Key("metadata")])
    }

    pub fn is_item_key(&self, key: &str) -> bool {
        matches!(self.steps.last(), Some(PathStep::Item(keys)) if keys.iter().any(|(field, _)| field == key))
    }
}

fn walk<'a>(trail: &mut Trail<'a>, desired: &'a Value, ours: Option<FieldNode<'_>>, others: &[FieldNode<'_>]) {
    // Where nobody else has an opinion on what is inside, a field is ours or lost as a whole.
    let is_split = trail.is_open() || others.iter().any(|node| !node.is_leaf());
    match (desired, ours) {
        _ if trail.is_deepest() && ours.is_some() => {}
        _ if trail.is_deepest() => trail.note(desired),
        (Value::Object(fields), _) if fields.is_empty() && (ours.is_some() || others.is_empty()) => {}
        (Value::Array(items), _) if items.is_empty() && (ours.is_some() || others.is_empty()) => {}
        (Value::Object(_) | Value::Array(_), None) if !is_split => trail.note(desired),
        // Somebody made the item anew.
        (Value::Object(_), None)
            if matches!(trail.place.last(), Some(ManifestStep::Index(_)))
                && others.iter().any(|node| node.is_member()) =>
        {
            trail.note(desired);
        }
        (Value::Object(_) | Value::Array(_), Some(node)) if node.is_leaf() && !is_split => {}
        (Value::Object(fields), _) => walk_fields(trail, fields, ours, others),
        (Value::Array(items), _) => walk_items(trail, desired, items, ours, others),
        (_, None) => trail.note(desired),
        (_, Some(_)) => {}
    }
}

fn walk_fields<'a>(
    trail: &mut Trail<'a>,
    fields: &'a Map<String, Value>,
    ours: Option<FieldNode<'_>>,
    others: &[FieldNode<'_>],
) {
    for (key, value) in fields {
        if is_identity(&trail.place, key) || trail.is_item_key(key) {
            continue;
        }
        let element = Element::field_of(key);
        let below: Vec<FieldNode<'_>> = others.iter().filter_map(|node| node.child(&element)).collect();
        trail.within_field(key, |trail| walk(trail, value, ours.and_then(|node| node.child(&element)), &below));
    }
}

fn walk_items<'a>(
    trail: &mut Trail<'a>,
    list: &'a Value,
    items: &'a [Value],
    ours: Option<FieldNode<'_>>,
    others: &[FieldNode<'_>],
) {
    let nodes = || ours.iter().chain(others);
    let any = |which: fn(&Element) -> bool| nodes().any(|node| node.children().any(|(element, _)| which(element)));
    if any(|element| element.keys().is_some()) {
        let ours = ours.map(Keyed::of);
        let others: Vec<Keyed<'_>> =
            others.iter().copied().map(Keyed::of).filter(|keyed| !keyed.0.is_empty()).collect();
        let sets = key_sets(ours.iter().chain(&others));
        for (index, item) in items.iter().enumerate() {
            let all = || ours.iter().chain(&others);
            let keys = keys_of(item, &sets, all);
            let identity = keys.as_deref().map(identity);
            let below: Vec<FieldNode<'_>> = others.iter().filter_map(|keyed| keyed.get(identity.as_deref())).collect();
            let own = ours.as_ref().and_then(|keyed| keyed.get(identity.as_deref()));
            let step = keys.map_or(PathStep::Index(index), PathStep::Item);
            trail.within(step, ManifestStep::Index(index), |trail| walk(trail, item, own, &below));
        }
    } else if any(|element| element.member().is_some()) {
        let is_there = |item: &Value| nodes().any(|node| node.member(item).is_some());
        if ours.is_none() && !items.iter().any(is_there) {
            return trail.note(list);
        }
        for (index, item) in items.iter().enumerate().filter(|(_, item)| is_scalar(item)) {
            if ours.is_none_or(|node| node.member(item).is_none()) {
                trail.within(PathStep::Member(item.clone()), ManifestStep::Index(index), |trail| trail.note(item));
            }
        }
    } else if ours.is_none() {
        trail.note(list);
    }
}

/// Fields and values of the keys of an item.
type Keys = Vec<(String, Value)>;

/// The items of a list in one entry, by [`identity`].
struct Keyed<'a>(BTreeMap<Vec<u8>, KeyedItem<'a>>);

/// An item with its keys.
type KeyedItem<'a> = (&'a [(String, Value)], FieldNode<'a>);

impl<'a> Keyed<'a> {
    fn of(node: FieldNode<'a>) -> Self {
        let items = node.children().filter_map(|(element, child)| {
            let keys = element.keys()?;
            Some((identity(keys), (keys, child)))
        });
        Self(items.collect())
    }

    fn get(&self, identity: Option<&[u8]>) -> Option<FieldNode<'a>> {
        self.0.get(identity?).map(|(_, node)| *node)
    }
}

/// One text for one set of keys, whatever the notation of its numbers.
fn identity(keys: &[(String, Value)]) -> Vec<u8> {
    canonical_json(&Value::Object(keys.iter().cloned().collect()))
}

/// The names of the key fields that occur, in the order of the entries.
fn key_sets<'k>(lists: impl Iterator<Item = &'k Keyed<'k>>) -> Vec<Vec<&'k str>> {
    let mut sets: Vec<Vec<&str>> = Vec::new();
    for (keys, _) in lists.flat_map(|keyed| keyed.0.values()) {
        let is_known = |set: &Vec<&str>| set.iter().eq(keys.iter().map(|(field, _)| field));
        if sets.len() < KEY_SETS && !sets.iter().any(is_known) {
            sets.push(keys.iter().map(|(field, _)| field.as_str()).collect());
        }
    }
    sets
}

/// The keys of an item of the manifest, by which the server knows it.
fn keys_of<'k, I: Iterator<Item = &'k Keyed<'k>>>(
    item: &Value,
    sets: &[Vec<&str>],
    lists: impl Fn() -> I,
) -> Option<Keys> {
    let mut unowned = None;
    for set in sets {
        let keys = set.iter().map(|field| {
            // The server fills in what the manifest leaves out, before it reads keys.
            let default = (*field == "protocol").then(|| Value::from("TCP"));
            let value = item.get(*field).cloned().or(default).filter(is_scalar)?;
            Some(((*field).to_owned(), value))
        });
        if let Some(keys) = keys.collect::<Option<Vec<_>>>() {
            let identity = identity(&keys);
            if lists().any(|keyed| keyed.0.contains_key(&identity)) {
                return Some(keys);
            }
            unowned.get_or_insert(keys);
        }
    }
    // A default that is not known here: the item whose other keys agree.
    let similar = || {
        let all = lists().flat_map(|keyed| keyed.0.values()).take(SEARCHED);
        all.map(|(keys, _)| *keys)
            .filter(|keys| may_be(item, keys))
            .min_by_key(|keys| identity(keys))
            .map(<[_]>::to_vec)
    };
    unowned.or_else(similar)
}
