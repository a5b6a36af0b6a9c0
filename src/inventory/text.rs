//! The inventory as people read it with `kubectl get configmap`:
//!
//! ```text
//! # driftless inventory 1: 3 objects
//! Namespace -: shop
//! Deployment.apps shop: api,
//!   web
//! ```
//!
//! Grouped by kind and namespace (`-` for cluster-scoped kinds), in the order of the identities.
//! What is not plain is written as `%` and two hexadecimal digits: names of RBAC objects may hold
//! blanks and commas, but never a `%` (`ValidatePathSegmentName`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use thiserror::Error;

use crate::object::{GroupKind, ObjectId};
use crate::plan::Inventory;

const HEADER: &str = "# driftless inventory ";
/// The only version there is of this form.
const VERSION: &str = "1";
const CLUSTER_SCOPED: &str = "-";
/// Where lines are broken, in characters.
const WIDTH: usize = 100;

/// A text that cannot be trusted to list every object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TextError {
    #[error("data.inventory is missing")]
    Missing,
    #[error("it does not begin with {HEADER:?}")]
    NoHeader,
    #[error("it has the form {0:?}, which this version of driftless does not know")]
    Version(String),
    #[error("line {0} is not of the form KIND.GROUP NAMESPACE: NAME, NAME")]
    Line(usize),
    #[error("it is cut off after line {0}")]
    CutOff(usize),
    #[error("its first line announces {announced} objects, but it lists {listed}")]
    Fewer { announced: usize, listed: usize },
}

pub(super) fn encode(inventory: &Inventory) -> String {
    let count = inventory.len();
    let mut out = format!("{HEADER}{VERSION}: {count} object{}\n", if count == 1 { "" } else { "s" });
    let mut width = 0;
    let mut group: Option<&ObjectId> = None;
    for id in inventory.keys() {
        let name = escape(&id.name);
        if group.is_some_and(|group| group.gk == id.gk && group.namespace == id.namespace) {
            let fits = width + name.len() + 3 <= WIDTH;
            out.push_str(if fits { ", " } else { ",\n  " });
            width = if fits { width + 2 } else { 2 };
        } else {
            let namespace = match id.namespace.as_deref() {
                None | Some("") => CLUSTER_SCOPED.into(),
                // No namespace can be called so, but then what is written must not say another thing.
                Some(CLUSTER_SCOPED) => "%2d".into(),
                Some(namespace) => escape(namespace),
            };
            // The first dot begins the group, and a colon ends the heading. No kind and no group has
            // one that is not to be; it must not shift the border.
            let kind = escape(&id.gk.kind).replace('.', "%2e").replace(':', "%3a");
            let head = match &*id.gk.group {
                "" => format!("{kind} {namespace}: "),
                group => format!("{kind}.{} {namespace}: ", escape(group).replace(':', "%3a")),
            };
            if group.is_some() {
                out.push('\n');
            }
            out.push_str(&head);
            width = head.len();
        }
        width += name.len();
        out.push_str(&name);
        group = Some(id);
    }
    if group.is_some() {
        out.push('\n');
    }
    out
}

/// Reads a text that may have been edited: blank lines and comments are passed over, but what could
/// hide an object (a line of another form, an end in the middle of a list, fewer objects than the
/// first line announces) is an error.
pub(super) fn decode(text: &str) -> Result<Vec<ObjectId>, TextError> {
    let announced = announced(text.lines().next().unwrap_or_default())?;
    let cut_off = TextError::CutOff(text.lines().count());
    // Every list ends with its line; a text without that end has lost a part of it.
    if !text.ends_with('\n') {
        return Err(cut_off);
    }

    let mut ids = Vec::new();
    // The group whose list goes on in the next line.
    let mut open: Option<Group> = None;
    for (number, line) in (1..).zip(text.lines()).skip(1) {
        let line = line.trim_end();
        if open.is_none() && (line.is_empty() || line.starts_with('#')) {
            continue;
        }
        let bad = || TextError::Line(number);
        let (group, names) = if let Some(group) = open.take() {
            (group, line)
        } else {
            let (head, names) = line.split_once(": ").ok_or_else(bad)?;
            (heading(head).ok_or_else(bad)?, names)
        };
        let (names, goes_on) = names.strip_suffix(',').map_or((names, false), |names| (names, true));
        for name in names.split(',') {
            let name = unescape(name.trim()).ok_or_else(bad)?;
            ids.push(ObjectId { gk: group.0.clone(), namespace: group.1.clone(), name: name.into() });
        }
        open = goes_on.then_some(group);
    }
    if open.is_some() {
        return Err(cut_off);
    }
    let distinct = ids.iter().collect::<BTreeSet<_>>().len();
    if distinct < announced { Err(TextError::Fewer { announced, listed: distinct }) } else { Ok(ids) }
}

/// How many objects the first line says there are.
fn announced(first: &str) -> Result<usize, TextError> {
    let (version, count) = first.strip_prefix(HEADER).ok_or(TextError::NoHeader)?.split_once(':').unwrap_or_default();
    if version != VERSION {
        return Err(TextError::Version(version.chars().take(20).collect()));
    }
    count.split_whitespace().next().and_then(|count| count.parse().ok()).ok_or(TextError::Line(1))
}

/// A kind and a namespace.
type Group = (GroupKind, Option<Arc<str>>);

/// `Kind.group namespace`.
fn heading(text: &str) -> Option<Group> {
    let (gk, namespace) = text.split_once(' ')?;
    let (kind, group) = match gk.split_once('.') {
        Some((kind, group)) => (kind, unescape(group)?),
        None => (gk, String::new()),
    };
    let namespace = match namespace {
        CLUSTER_SCOPED => None,
        namespace => Some(unescape(namespace)?.into()),
    };
    Some((GroupKind::new(&group, &unescape(kind)?), namespace))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02x}")),
        }
    }
    out
}

/// `None` for what [`escape`] never writes: nothing, a blank, a broken escape.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' => out.push(byte),
            _ => return None,
        }
    }
    (!out.is_empty()).then(|| String::from_utf8(out).ok()).flatten()
}
