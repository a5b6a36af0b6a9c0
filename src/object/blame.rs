//! Who drifted an object, and in which fields.

mod added;
mod differ;
mod shown;
mod trace;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use added::blame_drift;
pub(super) use differ::differing;
pub use trace::{blame, rewritten};

/// What is known of a drift. Everything but the fields is a trace that others left in
/// `managedFields`, which whoever may write the object may also write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// What differs, the first [`Blame::MOST`] of it, in the order of the manifest's fields; then what was
    /// added, the first [`Blame::MOST_ADDED`] of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// One field that is no longer as git declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FieldChange {
    /// `spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// Who owns it now, where that is another than the blamed manager; `None` too where nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Arc<str>>,
    /// As git declares it: text as it is, all else as compact JSON, in either case without
    /// characters that deceive and cut to [`FieldChange::LONGEST`]; `None` for Secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// As it was found, likewise; `None` also where there was nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Git does not declare it: somebody added it by hand.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub added: bool,
}

/// How much of the paths of additions is named in one line, in bytes.
const LONGEST_LIST: usize = 1000;

impl Blame {
    /// How many changed fields are listed.
    pub const MOST: usize = 20;
    /// How many additions are: a heal says what it removes.
    pub const MOST_ADDED: usize = 100;
}

impl FieldChange {
    /// How many characters of a value are shown.
    pub const LONGEST: usize = 120;
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl fmt::Display for Blame {
    /// One line for people: who changed what, the first field in full.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.manager.as_deref().unwrap_or("somebody"))?;
        if let (Some(_), Some(subresource)) = (&self.manager, &self.subresource) {
            write!(out, " ({subresource})")?;
        }
        let Some((first, others)) = self.fields.split_first() else { return out.write_str(" changed it") };
        match (&self.manager, &first.wanted) {
            // Nobody owns it, and it is as it should be: `managedFields` were written to.
            (None, Some(_)) if first.manager.is_none() && first.wanted == first.found => {
                write!(out, " reset the ownership of {}", first.path)?;
            }
            _ => write!(out, " {first}")?,
        }
        // What was added is named, as far as anybody reads: a heal removes it.
        let added = others.iter().filter(|other| other.added);
        let (mut named, mut length) = (0, 0);
        for other in added {
            length += other.path.len();
            if length > LONGEST_LIST {
                break;
            }
            out.write_str(if named > 0 || first.added { ", " } else { "; added " })?;
            out.write_str(&other.path)?;
            if let Some(manager) = &other.manager {
                write!(out, " by {manager}")?;
            }
            named += 1;
        }
        match others.len() - named + self.more {
            0 => Ok(()),
            1 => out.write_str(" and 1 more field"),
            more => write!(out, " and {more} more fields"),
        }
    }
}

impl fmt::Display for FieldChange {
    /// What was done to the field: `changed spec.replicas from 3 to 5`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        let text = |value: &str| if value.is_empty() { "\"\"".to_owned() } else { value.to_owned() };
        if self.added {
            return match self.found.as_deref().map(text) {
                Some(found) => write!(out, "added {path} ({found})"),
                None => write!(out, "added {path}"),
            };
        }
        match (self.wanted.as_deref().map(text), self.found.as_deref().map(text)) {
            (Some(wanted), Some(found)) if wanted == found => {
                write!(out, "took over {path} with the same value ({found})")
            }
            (Some(wanted), Some(found)) => write!(out, "changed {path} from {wanted} to {found}"),
            (Some(wanted), None) => write!(out, "removed {path} (wanted {wanted})"),
            (None, Some(found)) => write!(out, "changed {path} to {found}"),
            (None, None) => write!(out, "changed {path}"),
        }
    }
}

#[cfg(test)]
mod tests;
