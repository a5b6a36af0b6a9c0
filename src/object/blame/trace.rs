//! Reading a drift off a live object.

use jiff::Timestamp;
use serde_json::Value;

use super::differ::differing;
use super::{Blame, FieldChange, shown};
use crate::object::fields::{FieldSet, Lost, ManagedFieldsEntry, entries, lost_places};
use crate::object::project;

/// For so many fields it is asked who owns them, which is more than anybody reads.
const ASKED: usize = 100;
/// The API server keeps ten entries of updates (`managedfields`, `DefaultMaxUpdateManagers`), and
/// appliers are few. Whoever forges more gets no more of them read.
const OTHERS: usize = 32;

/// Who changed which fields of an object. `desired` is what was applied, with our label and
/// annotation; `live` the whole object before it is healed, `None` when it was deleted, of which
/// nothing can be said. With `secret`, no value gets into the answer.
///
/// The fields are those that our Apply entry does not own any more, in the order of `desired`; a
/// map or list that was lost as a whole is reported by what differs in it. A field that was lost with
/// its value unchanged is among them, since somebody else decides over it now. Only where nothing
/// was lost are values compared alone: a change that left no trace, such as one behind the
/// server's back. A field that is still ours may well differ, in a notation that only its
/// controller understands, and that is no drift.
///
/// Blamed is who owns most of the fields, the newest of equals. Who removes a field leaves no
/// trace; then it is the one manager, status aside, that wrote after us, if there is just one.
#[must_use]
pub fn blame(desired: &Value, live: Option<&Value>, secret: bool) -> Blame {
    let Some(live) = live else { return Blame::default() };
    let (ours, mut others): (Vec<_>, Vec<_>) = entries(live).into_iter().partition(ManagedFieldsEntry::is_ours);
    let ours = ours.first();
    others.truncate(OTHERS);
    let theirs: Vec<&FieldSet> = others.iter().filter_map(ManagedFieldsEntry::fields).collect();
    let projected = project(live, desired);
    let seen = Seen { desired, live, projected: &projected };
    let mut changed = merged(
        lost_places(desired, ours.and_then(ManagedFieldsEntry::fields), &theirs),
        differing(desired, &projected),
    );
    let mut owned: Vec<Vec<usize>> = changed.iter().take(ASKED).map(|lost| owners_of(&others, lost)).collect();
    keep_reported(&mut changed, &mut owned, &seen);
    let blamed = most(&others, &owned).or_else(|| latest(&others, ours.and_then(|entry| entry.time)));
    let blamed = blamed.map(|index| &others[index]);
    let fields = changed.iter().zip(owned.iter().map(Some).chain(std::iter::repeat(None))).take(Blame::MOST);
    let fields = fields.map(|(lost, owners)| {
        let owners = || owners.into_iter().flatten().map(|owner| &others[*owner]);
        let is_blamed = |entry: &ManagedFieldsEntry<'_>| blamed.is_some_and(|blamed| blamed.manager == entry.manager);
        let other = if owners().any(is_blamed) { None } else { owners().max_by_key(|entry| entry.time) };
        let (wanted, found) = if secret { (None, None) } else { seen.shown(lost) };
        let manager = other.and_then(|entry| shown::name(entry.manager));
        FieldChange { path: shown::path(&lost.path.to_string()), manager, wanted, found, added: false }
    });
    Blame {
        manager: blamed.and_then(|entry| shown::name(entry.manager)),
        subresource: blamed.and_then(|entry| shown::name(entry.subresource)),
        at: blamed.and_then(|entry| entry.time),
        fields: fields.collect(),
        more: changed.len().saturating_sub(Blame::MOST),
    }
}

/// The declared fields whose value is another in `live`, an object that was just applied: an admission webhook or
/// the API server has rewritten them, or they are unknown to it. The paths of the first [`Blame::MOST`] of them, in the order of
/// `desired`. By the comparison of [`project`], which knows no schema.
#[must_use]
pub fn rewritten(desired: &Value, live: &Value) -> Vec<String> {
    let projected = project(live, desired);
    let differing = differing(desired, &projected);
    differing.iter().take(Blame::MOST).map(|field| shown::path(&field.path.to_string())).collect()
}

/// Leaves out the fields that nobody owns and that are as they should be, unless there are no
/// others: somebody wiped `managedFields`, and what else they did says more.
fn keep_reported(changed: &mut Vec<Lost<'_>>, owned: &mut Vec<Vec<usize>>, seen: &Seen<'_>) {
    let is_reported = |(lost, owners): (&Lost<'_>, &Vec<usize>)| !owners.is_empty() || seen.differs(lost);
    let reported: Vec<bool> = changed.iter().zip(owned.iter()).map(is_reported).collect();
    if reported.contains(&true) {
        let (mut of_fields, mut of_owners) = (reported.iter(), reported.iter());
        changed.retain(|_| of_fields.next().copied().unwrap_or(true));
        owned.retain(|_| of_owners.next().copied().unwrap_or(true));
    }
}

/// What was lost, in place of a map or list what differs in it; where nothing was lost, what
/// differs. Both are in the order of the manifest.
fn merged<'a>(mut lost: Vec<Lost<'a>>, mut differing: Vec<Lost<'a>>) -> Vec<Lost<'a>> {
    // They are sorted already, unless a dependency switches on serde_json's insertion order.
    for fields in [&mut lost, &mut differing] {
        fields.sort_by(|left, right| left.place.cmp(&right.place));
    }
    if lost.is_empty() {
        return differing;
    }
    let mut changed = Vec::with_capacity(lost.len());
    for whole in lost {
        let begin = differing.partition_point(|part| part.place < whole.place);
        let parts = differing[begin..].iter().take_while(|part| part.place.starts_with(&whole.place));
        match parts.clone().next() {
            Some(first) if first.place != whole.place => changed.extend(parts.cloned()),
            _ => changed.push(whole),
        }
    }
    changed
}

fn owners_of(others: &[ManagedFieldsEntry<'_>], lost: &Lost<'_>) -> Vec<usize> {
    (0..others.len()).filter(|index| others[*index].owns_within(&lost.path)).collect()
}

/// The entry that owns most of the fields; the newest of equals.
fn most(others: &[ManagedFieldsEntry<'_>], owned: &[Vec<usize>]) -> Option<usize> {
    let mut counts = vec![0_usize; others.len()];
    for owner in owned.iter().flatten() {
        counts[*owner] += 1;
    }
    let best =
        (0..others.len()).max_by_key(|index| (counts[*index], others[*index].time, std::cmp::Reverse(*index)))?;
    (counts[best] > 0).then_some(best)
}

/// The one entry that is newer than ours, if there is just one.
fn latest(others: &[ManagedFieldsEntry<'_>], ours: Option<Timestamp>) -> Option<usize> {
    let ours = ours?;
    let is_newer =
        |entry: &ManagedFieldsEntry<'_>| entry.subresource != "status" && entry.time.is_some_and(|time| time > ours);
    let mut newer = (0..others.len()).filter(|index| is_newer(&others[*index]));
    newer.next().filter(|_| newer.next().is_none())
}

/// The object as it was declared and as it was found.
struct Seen<'a> {
    desired: &'a Value,
    live: &'a Value,
    projected: &'a Value,
}

impl Seen<'_> {
    /// The declared and the live value of a field.
    fn values(&self, lost: &Lost<'_>) -> (Option<&Value>, Option<&Value>) {
        // The projection leaves out what a list has more of when its items suggest that others could
        // add to them, and so would hide what was added to an atomic list.
        let found = match (lost.path.get(self.live), lost.path.get(self.projected)) {
            (Some(whole @ Value::Array(all)), Some(Value::Array(some))) if all.len() != some.len() => Some(whole),
            (_, projected) => projected,
        };
        (lost.path.get(self.desired), found)
    }

    fn differs(&self, lost: &Lost<'_>) -> bool {
        let (wanted, found) = self.values(lost);
        wanted != found
    }

    fn shown(&self, lost: &Lost<'_>) -> (Option<String>, Option<String>) {
        match self.values(lost) {
            (Some(wanted), found) => {
                let (wanted, found) = shown::values(wanted, found);
                (Some(wanted), found)
            }
            (None, _) => (None, None),
        }
    }
}
