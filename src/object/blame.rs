//! Who drifted an object, and in which fields.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of a drift. Everything but the fields is a trace that others left in
/// `managedFields`, which whoever may write the object may also write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Blame {
    /// The field manager that took most of the fields; `None` when nobody signed for them (fields
    /// that were removed, an object that was deleted).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Arc<str>>,
    /// `scale`, `status`: the subresource by which it wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subresource: Option<Arc<str>>,
    /// When that manager wrote last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What differs, the first [`Blame::MOST`] of it, in the order of the manifest's fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// One field that is no longer as git declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FieldChange {
    /// `spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// Who owns it now, where that is another than the blamed manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Arc<str>>,
    /// As git declares it, cut to [`FieldChange::LONGEST`] characters; `None` for Secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// As it was found, likewise; `None` also where there was nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Blame {
    /// How many fields are listed.
    pub const MOST: usize = 20;
}

impl FieldChange {
    /// How many characters of a value are shown.
    pub const LONGEST: usize = 120;
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl std::fmt::Display for Blame {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.manager.as_deref().unwrap_or("somebody"))
    }
}
