//! Who owns which fields of a live object: `metadata.managedFields` (KEP-555).
//!
//! What an entry owns (`fieldsV1`) is a [`FieldSet`]. Whoever may write the object may write anything there, so nothing
//! here trusts its form, its depth or its size.

mod additions;
mod element;
mod lost;
mod set;
mod siblings;

use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::Value;

use super::names;
use super::path::FieldPath;
pub(crate) use additions::Released;
pub use additions::{Addition, Foreign, additions, foreign};
pub(crate) use element::Element;
pub use lost::lost;
pub(super) use lost::{Lost, ManifestStep, Trail, is_identity, lost_places};
pub use set::FieldSet;
pub(crate) use set::{Choice, FieldNode};
pub(crate) use siblings::take_paths;
pub use siblings::{Objection, owned_siblings, unowned_siblings};

/// One entry of `managedFields`, as far as it can be read.
#[derive(Clone, Debug)]
pub struct ManagedFieldsEntry<'a> {
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
    written: Option<&'a Value>,
    /// Most entries are read for their manager alone.
    fields: OnceLock<FieldSet>,
}

/// The entries of a live object, in the server's order.
#[must_use]
pub fn entries(object: &Value) -> Vec<ManagedFieldsEntry<'_>> {
    let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    list.into_iter().flatten().map(ManagedFieldsEntry::of).collect()
}

impl<'a> ManagedFieldsEntry<'a> {
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
            written: entry.get("fieldsV1"),
            fields: OnceLock::new(),
        }
    }

    /// What it owns, parsed when it is first asked for; `None` where the entry says nothing of it.
    #[must_use]
    pub fn fields(&self) -> Option<&FieldSet> {
        self.written.map(|fields| self.fields.get_or_init(|| FieldSet::from_json(fields)))
    }

    /// Whether it is what we applied.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.manager == names::FIELD_MANAGER && self.operation == "Apply" && self.subresource.is_empty()
    }

    /// How many fields it owns: those that hold no others which it owns.
    #[must_use]
    pub fn count(&self) -> usize {
        self.fields().map_or(0, FieldSet::count)
    }

    /// Whether it owns the field, or the atomic field that holds it.
    #[must_use]
    pub fn owns(&self, path: &FieldPath) -> bool {
        self.fields().is_some_and(|fields| fields.contains(path))
    }

    /// Whether it owns the field or something in it.
    #[must_use]
    pub fn owns_within(&self, path: &FieldPath) -> bool {
        self.fields().is_some_and(|fields| fields.contains_within(path))
    }

    /// Whether it owns the field only as a part of an atomic one, which is written whole or not at all.
    #[must_use]
    pub fn owns_whole(&self, path: &FieldPath) -> bool {
        self.fields().is_some_and(|fields| fields.contains_whole(path))
    }
}

/// Those among entries that own a field or something in it.
pub fn owners<'e, 'a>(
    entries: &'e [ManagedFieldsEntry<'a>],
    path: &FieldPath,
) -> impl Iterator<Item = &'e ManagedFieldsEntry<'a>> {
    entries.iter().filter(|entry| entry.owns_within(path))
}

#[cfg(test)]
mod tests;
