//! Objects that are declared more than once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{RenderError, Rendered, Settings};
use crate::object::Manifest;

/// Places named in one error.
const NAMED: usize = 5;

/// Takes out every object that is declared more than once, with one error for each.
///
/// Objects are the same that have group, kind, name and effective namespace in common. Whether a
/// kind is namespaced is not known here: a cluster-scoped object that wrongly names a namespace in
/// one of two places is found when it is planned.
pub fn refuse(rendered: Rendered, settings: &Settings) -> Rendered {
    let Rendered { manifests, mut errors, warnings, .. } = rendered;
    let default = settings.target_namespace.as_deref().unwrap_or("default");
    let mut first = HashMap::with_capacity(manifests.len());
    let mut twice: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, manifest) in manifests.iter().enumerate() {
        let id = &manifest.id;
        let key = (&id.gk, id.namespace.as_deref().unwrap_or(default), &id.name);
        match first.entry(key) {
            Entry::Vacant(entry) => _ = entry.insert(index),
            Entry::Occupied(entry) => twice.entry(*entry.get()).or_default().push(index),
        }
    }
    drop(first);
    if !twice.is_empty() {
        errors.extend(twice.iter().map(|(first, again)| error(&manifests, *first, again)));
        errors.sort_by(|one, other| (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column)));
    }
    let mut refused = vec![false; manifests.len()];
    for (first, again) in &twice {
        again.iter().chain([first]).for_each(|index| refused[*index] = true);
    }
    let kept = manifests.into_iter().zip(refused).filter(|(_, refused)| !refused).map(|(manifest, _)| manifest);
    Rendered { manifests: kept.collect(), errors, warnings, ..Rendered::default() }
}

fn error(manifests: &[Arc<Manifest>], first: usize, again: &[usize]) -> RenderError {
    let places = std::iter::once(&first).chain(again).take(NAMED).map(|index| manifests[*index].origin.to_string());
    let named = places.collect::<Vec<_>>().join(" and ");
    let unnamed = (again.len() + 1).saturating_sub(NAMED);
    let more = if unnamed > 0 { format!(" and {unnamed} more places") } else { String::new() };
    let last = &manifests[again.last().copied().unwrap_or(first)];
    let message =
        format!("{} is declared more than once, at {named}{more}; none of them is applied, keep one", last.id);
    RenderError { column: 1, ..RenderError::of(last, message) }
}
