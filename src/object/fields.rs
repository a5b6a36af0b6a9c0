//! Who owns which fields of a live object: `metadata.managedFields` (KEP-555).
//!
//! An entry's `fieldsV1` is a set of paths as structured-merge-diff writes it
//! (`fieldpath/serialize.go`): `f:name` is a field, `k:{"name":"web"}` an item of a list by its
//! keys, `v:"x"` a member of a set, `i:0` an item by place; `{}` below a step, or `.` among others,
//! says that the path which ends there is in the set itself. Whoever may write the object may
//! write anything there, so nothing here trusts its form, its depth or its size.

mod additions;
mod lost;
mod set;
mod siblings;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::names;
use super::path::{FieldPath, Step, is_scalar, same_scalar};
pub(crate) use additions::Released;
pub use additions::{Addition, Foreign, additions, foreign};
pub use lost::lost;
pub(super) use lost::{Lost, Place, Trail, is_identity, lost_places};
pub(crate) use set::{is_empty, is_leaf, unite};
pub use siblings::{Objection, owned_siblings, unowned_siblings};
pub(crate) use siblings::{set_of, take_paths};

/// How many items of one list are searched for a key in another notation than the server's.
const SEARCHED: usize = 100;

/// One entry of `managedFields`, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// Empty when there is none.
    pub manager: &'a str,
    /// `Apply` or `Update`.
    pub operation: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
    /// In which version its fields are named: `autoscaling/v2`.
    pub version: &'a str,
    /// When this manager last changed what it owns. Fields that others take from it do not move
    /// it; writes by the scale subresource leave it out.
    pub time: Option<Timestamp>,
    /// `fieldsV1`.
    pub fields: Option<&'a Value>,
}

/// The entries of a live object, in the server's order.
#[must_use]
pub fn entries(object: &Value) -> Vec<Entry<'_>> {
    let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    list.into_iter().flatten().map(Entry::of).collect()
}

impl<'a> Entry<'a> {
    /// Reads one entry; what it lacks is empty.
    #[must_use]
    pub fn of(entry: &'a Value) -> Self {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        Self {
            manager: text("manager"),
            operation: text("operation"),
            subresource: text("subresource"),
            version: text("apiVersion"),
            time: text("time").parse().ok(),
            fields: entry.get("fieldsV1"),
        }
    }

    /// Whether it is what we applied.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.manager == names::FIELD_MANAGER && self.operation == "Apply" && self.subresource.is_empty()
    }

    /// How many fields it owns: those that hold no others which it owns.
    #[must_use]
    pub fn count(&self) -> usize {
        let root = self.fields.map(Node).filter(|root| !root.is_leaf());
        root.map_or(0, Node::leaves)
    }

    /// Whether it owns the field, or the atomic field that holds it.
    #[must_use]
    pub fn owns(&self, path: &FieldPath) -> bool {
        self.claim(path) == Some(Claim::Field)
    }

    /// Whether it owns the field or something in it.
    #[must_use]
    pub fn owns_within(&self, path: &FieldPath) -> bool {
        self.claim(path).is_some()
    }

    /// Whether it owns the field only as a part of an atomic one, which is written whole or not at all.
    #[must_use]
    pub fn owns_whole(&self, path: &FieldPath) -> bool {
        let mut node = self.fields.map(Node);
        let mut before: Option<&Step> = None;
        for step in path.steps() {
            let Some(place) = node else { return false };
            if place.is_leaf() {
                return matches!(before, Some(Step::Field(_)));
            }
            node = place.step(step);
            before = Some(step);
        }
        false
    }

    fn claim(&self, path: &FieldPath) -> Option<Claim> {
        let mut node = Node(self.fields?);
        let mut before: Option<&Step> = None;
        for step in path.steps() {
            if node.is_leaf() {
                // The end of a field is an atomic value, the end of an item says only that it is there.
                return matches!(before, Some(Step::Field(_))).then_some(Claim::Field);
            }
            node = node.step(step)?;
            before = Some(step);
        }
        Some(if node.is_member() { Claim::Field } else { Claim::Within })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Field,
    Within,
}

/// Those among entries that own a field or something in it.
pub fn owners<'e, 'a>(entries: &'e [Entry<'a>], path: &FieldPath) -> impl Iterator<Item = &'e Entry<'a>> {
    entries.iter().filter(|entry| entry.owns_within(path))
}

/// A step as `fieldsV1` writes it.
fn written(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("f:{name}"),
        Step::Item(keys) => format!("k:{}", Value::Object(keys.iter().cloned().collect())),
        Step::Index(index) => format!("i:{index}"),
        Step::Member(member) => format!("v:{member}"),
    }
}

/// A place in `fieldsV1`.
#[derive(Clone, Copy, Debug)]
struct Node<'a>(&'a Value);

impl<'a> Node<'a> {
    fn child(self, key: &str) -> Option<Self> {
        self.0.get(key).map(Self)
    }

    /// Nothing is below it.
    fn is_leaf(self) -> bool {
        self.0.as_object().is_none_or(|fields| fields.keys().all(|key| key == "."))
    }

    /// The path that ends here is in the set.
    fn is_member(self) -> bool {
        self.is_leaf() || self.child(".").is_some()
    }

    fn children(self) -> impl Iterator<Item = (&'a String, Self)> {
        self.0.as_object().into_iter().flatten().map(|(key, child)| (key, Self(child)))
    }

    /// As deep as a JSON parser goes, and no deeper.
    fn leaves(self) -> usize {
        if self.is_leaf() {
            return 1;
        }
        self.children().filter(|(key, _)| *key != ".").map(|(_, child)| child.leaves()).sum()
    }

    fn step(self, step: &Step) -> Option<Self> {
        match step {
            Step::Field(_) | Step::Index(_) => self.child(&written(step)),
            Step::Member(member) => self.member(member),
            Step::Item(keys) => self.child(&written(step)).or_else(|| {
                self.children().take(SEARCHED).find_map(|(key, child)| {
                    let theirs = item_keys(key)?;
                    let has = |(field, value): &(String, Value)| {
                        theirs.iter().any(|(name, other)| name == field && same_scalar(value, other))
                    };
                    keys.iter().all(has).then_some(child)
                })
            }),
        }
    }

    fn member(self, member: &Value) -> Option<Self> {
        self.child(&format!("v:{member}")).or_else(|| {
            let is_it = |key: &str| {
                let value = key.strip_prefix("v:").and_then(|json| serde_json::from_str::<Value>(json).ok());
                value.is_some_and(|value| same_scalar(&value, member))
            };
            self.children().take(SEARCHED).find(|(key, _)| is_it(key)).map(|(_, child)| child)
        })
    }
}

/// The keys in `k:{"name":"web"}`, sorted by field; `None` for anything else.
fn item_keys(key: &str) -> Option<Vec<(String, Value)>> {
    let keys: Map<String, Value> = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_by(|left, right| left.0.cmp(&right.0));
    (!keys.is_empty() && keys.iter().all(|(_, value)| is_scalar(value))).then_some(keys)
}

#[cfg(test)]
mod tests;
