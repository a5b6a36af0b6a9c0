//! The difference between two versions of one object, for people: lines of YAML, and the paths
//! of the fields that changed. Values of Secrets never get past `masked`.

mod fields;
mod present;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::object::masked;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Beyond this product of line counts the two texts are shown one after the other: comparing
/// them line by line takes time by that product, and no person would read the result.
const COMPARABLE: usize = 100_000_000;

/// What differs between two versions of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectDiff {
    /// Lines of YAML: the changes, with up to three unchanged lines on either side of each.
    pub lines: Vec<DiffLine>,
    /// Paths of changed fields, such as `spec.template.spec.containers[name=web].image`; empty for
    /// an object that is made or removed as a whole. For a Secret whose values alone differ, `data`;
    /// where something else differs too, nothing shows whether they do.
    pub fields: Vec<String>,
}

/// One line, without its break and without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// Whether the line is in both versions, in one, or stands for lines that are left out.
    pub kind: DiffKind,
    /// Without the sign (`+`, `-`) that its kind is shown as.
    pub text: String,
}

/// What a line of a diff says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffKind {
    /// The same on both sides, or a note that begins with `#`.
    Context,
    /// In the version before alone.
    Removed,
    /// In the version after alone.
    Added,
    /// Stands for unchanged lines that are left out; the text says how many.
    Gap,
}

/// Compares two versions of an object; `None` when they are equal. A missing side is an object
/// that does not exist. What only a server writes (`status`, `managedFields`, …) is left out on
/// both sides. With `secret`, neither values nor their length nor which of them changed show.
#[must_use]
pub fn diff(before: Option<&Value>, after: Option<&Value>, secret: bool) -> Option<ObjectDiff> {
    let [old, new] = [before, after].map(|side| side.map(present::cleaned));
    if old == new {
        return None;
    }
    let [shown_old, shown_new] = [&old, &new].map(|side| match side {
        Some(object) if secret => Some(masked(object)),
        side => side.clone(),
    });
    let mut fields = match (&shown_old, &shown_new) {
        (Some(old), Some(new)) => fields::changed(old, new),
        _ => Vec::new(),
    };
    let [old_text, new_text] =
        [&shown_old, &shown_new].map(|side| side.as_ref().map(present::yaml).unwrap_or_default());
    let mut lines = lines(&old_text, &new_text);
    if let Some(object) = shown_new.as_ref().or(shown_old.as_ref()).filter(|_| secret) {
        let keys = present::secret_keys(object);
        lines.push(DiffLine {
            kind: DiffKind::Context,
            text: format!("# values are not shown; {keys} {} declared", if keys == 1 { "key" } else { "keys" }),
        });
        if fields.is_empty() && before.is_some() && after.is_some() {
            fields.push("data".into());
        }
    }
    Some(ObjectDiff { lines, fields })
}

fn lines(old: &str, new: &str) -> Vec<DiffLine> {
    let (old_count, new_count) = (old.lines().count(), new.lines().count());
    if old_count.saturating_mul(new_count) > COMPARABLE {
        let side = |text: &str, kind| text.lines().map(|line| shown(kind, line)).collect::<Vec<_>>();
        return [side(old, DiffKind::Removed), side(new, DiffKind::Added)].concat();
    }
    let text = TextDiff::from_lines(old, new);
    let mut out = Vec::new();
    let mut seen = 0;
    for group in text.grouped_ops(CONTEXT) {
        let Some(first) = group.first() else { continue };
        out.extend(gap(first.old_range().start - seen));
        for change in group.iter().flat_map(|op| text.iter_changes(op)) {
            let kind = match change.tag() {
                ChangeTag::Equal => DiffKind::Context,
                ChangeTag::Delete => DiffKind::Removed,
                ChangeTag::Insert => DiffKind::Added,
            };
            out.push(shown(kind, change.value()));
        }
        seen = group.last().map_or(seen, |op| op.old_range().end);
    }
    if !out.is_empty() {
        out.extend(gap(old_count - seen));
    }
    out
}

fn gap(count: usize) -> Option<DiffLine> {
    let text = format!("{count} unchanged {}", if count == 1 { "line" } else { "lines" });
    (count > 0).then_some(DiffLine { kind: DiffKind::Gap, text })
}

fn shown(kind: DiffKind, line: &str) -> DiffLine {
    DiffLine { kind, text: present::escaped(line.strip_suffix('\n').unwrap_or(line)) }
}

#[cfg(test)]
mod tests;
