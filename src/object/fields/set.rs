//! A set of fields, as an entry of `managedFields` owns one: parsed once from `fieldsV1`, and written back to it.
//!
//! The format is that of structured-merge-diff (`fieldpath/serialize.go`): nested objects whose keys are path elements
//! ([`Element`]). `{}` below an element says that the path which ends there is in the set, and so does `.` among others.
//! The places of a set are numbered, and all walks have a list of what is to be done: whoever may write the object may
//! write anything here, so nothing depends on its form or its depth. Every operation takes time in proportion to the
//! sets that it is given, but for searches in the order of their elements.

mod node;

use std::collections::{BTreeMap, btree_map};

use serde_json::{Map, Value};

use super::element::Element;
use crate::object::path::{FieldPath, PathStep};
pub(crate) use node::FieldNode;

/// How many items of one list are searched for a key in another notation than the server's.
pub(super) const SEARCHED: usize = 100;

/// The key that stands for the path which ends where it is.
const ITSELF: &str = ".";

/// A set of fields.
#[derive(Clone, Debug)]
pub struct FieldSet {
    /// The first is the root. What is below a place comes after it. May hold places to which nothing leads any more.
    places: Vec<SetNode>,
}

#[derive(Clone, Debug, Default)]
struct SetNode {
    /// It has a `.`.
    itself: bool,
    below: BTreeMap<Element, usize>,
}

impl SetNode {
    fn is_empty(&self) -> bool {
        !self.itself && self.below.is_empty()
    }
}

/// What a part of a set has to do with a selection.
pub(crate) enum Choice<C> {
    /// None of it is selected.
    Leave,
    /// All of it is.
    Whole,
    /// What is selected below it is; the path that ends here only with `itself`. `context` goes with what is below.
    Within { context: C, itself: bool },
}

/// A part of a set under way.
struct Open<'a, C> {
    below: btree_map::Iter<'a, Element, usize>,
    into: usize,
    context: C,
}

impl Default for FieldSet {
    fn default() -> Self {
        Self { places: vec![SetNode::default()] }
    }
}

impl FieldSet {
    /// Reads `fieldsV1`. What is no object stands for `{}`, and elements that are not in the format stay what they are.
    #[must_use]
    pub fn from_json(fields: &Value) -> Self {
        let mut set = Self::default();
        let mut pending = vec![(0, fields)];
        while let Some((at, value)) = pending.pop() {
            for (key, below) in value.as_object().into_iter().flatten() {
                if key == ITSELF {
                    set.places[at].itself = true;
                } else {
                    pending.push((set.enter(at, Element::parse(key)), below));
                }
            }
        }
        set
    }

    /// Writes `fieldsV1`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut written: Vec<Value> = vec![Value::Null; self.places.len()];
        for (at, place) in self.places.iter().enumerate().rev() {
            let mut fields = Map::new();
            if place.itself {
                fields.insert(ITSELF.into(), Value::Object(Map::new()));
            }
            for (element, below) in &place.below {
                fields.insert(element.text().to_owned(), written[*below].take());
            }
            written[at] = Value::Object(fields);
        }
        written.swap_remove(0)
    }

    /// The set that holds these fields alone.
    #[must_use]
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p FieldPath>) -> Self {
        let mut set = Self::default();
        for path in paths {
            path.steps().iter().fold(0, |at, step| set.enter(at, Element::of(step)));
        }
        set
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places[0].is_empty()
    }

    /// Whether it holds the field, or the atomic field that holds it.
    #[must_use]
    pub fn contains(&self, path: &FieldPath) -> bool {
        self.end_of(path).is_some_and(|(end, rest)| !rest.is_empty() || end.is_member())
    }

    /// Whether it holds the field or something in it.
    #[must_use]
    pub fn contains_within(&self, path: &FieldPath) -> bool {
        self.end_of(path).is_some()
    }

    /// Whether it holds the field only as a part of an atomic one, which is written whole or not at all.
    #[must_use]
    pub fn contains_whole(&self, path: &FieldPath) -> bool {
        self.end_of(path).is_some_and(|(_, rest)| !rest.is_empty())
    }

    /// How far a path leads, with the steps that are left; `None` where the set holds nothing of the field. The end of
    /// a field is an atomic value, the end of an item says only that it is there.
    fn end_of<'p>(&self, path: &'p FieldPath) -> Option<(FieldNode<'_>, &'p [PathStep])> {
        let (mut node, mut rest) = (self.root(), path.steps());
        let mut before: Option<&PathStep> = None;
        while let Some((step, next)) = rest.split_first() {
            if node.is_leaf() {
                return matches!(before, Some(PathStep::Field(_))).then_some((node, rest));
            }
            node = node.step(step)?;
            (before, rest) = (Some(step), next);
        }
        Some((node, rest))
    }

    /// How many fields it holds: those that hold no others of it.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut count = 0;
        let mut pending: Vec<FieldNode<'_>> = self.root().children().map(|(_, node)| node).collect();
        while let Some(node) = pending.pop() {
            if node.is_leaf() {
                count += 1;
            }
            pending.extend(node.children().map(|(_, below)| below));
        }
        count
    }

    /// The paths in it, in its order: whole items where it holds them whole. Without what cannot be read as a path.
    #[must_use]
    pub fn paths(&self) -> Vec<FieldPath> {
        let mut out = Vec::new();
        let mut steps: Vec<PathStep> = Vec::new();
        let mut open = vec![self.root().below()];
        while let Some(below) = open.last_mut() {
            let Some((element, at)) = below.next() else {
                open.pop();
                steps.pop();
                continue;
            };
            let (Some(step), node) = (element.step(), self.node(*at)) else { continue };
            let whole = element.keys().is_some() && node.has_itself();
            steps.push(step);
            if whole || node.is_leaf() || steps.len() >= FieldPath::DEEPEST {
                out.extend(FieldPath::new(steps.clone()));
                steps.pop();
            } else {
                open.push(node.below());
            }
        }
        out
    }

    /// Adds what another set holds.
    pub fn unite(&mut self, other: &Self) {
        self.graft(0, other.root());
    }

    /// Takes away what another set holds; gives what was taken. What is left empty goes as well: an empty set would
    /// say that the field itself is owned.
    #[must_use = "what is taken away and not given to anybody is lost"]
    pub fn split_off(&mut self, other: &Self) -> Self {
        let taken =
            self.select(other.root(), |path, node, other| match path.last().and_then(|element| other.child(element)) {
                None => Choice::Leave,
                Some(_) if node.is_empty() => Choice::Whole,
                Some(other) => Choice::Within { context: other, itself: other.has_itself() },
            });
        self.subtract(&taken);
        taken
    }

    /// Takes away a part of it.
    pub(crate) fn subtract(&mut self, part: &Self) {
        let mut pairs = vec![(0, part.root())];
        let mut next = 0;
        while let Some((at, part)) = pairs.get(next).copied() {
            next += 1;
            let place = &mut self.places[at];
            place.itself &= !part.has_itself();
            pairs.extend(part.children().filter_map(|(element, below)| Some((*place.below.get(element)?, below))));
        }
        // What is below a place comes after it.
        for (at, part) in pairs.into_iter().rev() {
            for (element, _) in part.children() {
                if self.places[at].below.get(element).is_some_and(|below| self.places[*below].is_empty()) {
                    self.places[at].below.remove(element);
                }
            }
        }
    }

    /// Whether another set has a path in common with it.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut pending = vec![(self.root(), other.root())];
        while let Some((mine, theirs)) = pending.pop() {
            if mine.has_itself() && theirs.has_itself() {
                return true;
            }
            for (element, below) in mine.children() {
                let Some(other) = theirs.child(element) else { continue };
                if below.is_leaf() || other.is_leaf() {
                    return true;
                }
                pending.push((below, other));
            }
        }
        false
    }

    /// The part of it that is chosen. Asked for every element with the path to it, the element last; what is selected of
    /// nothing is left out.
    pub(crate) fn select<'s, C>(
        &'s self,
        context: C,
        mut choose: impl FnMut(&[&'s Element], FieldNode<'s>, &C) -> Choice<C>,
    ) -> Self {
        let mut out = Self::default();
        let mut path: Vec<&'s Element> = Vec::new();
        let mut open = vec![Open { below: self.root().below(), into: 0, context }];
        while let Some(Open { below, into, context }) = open.last_mut() {
            if let Some((element, at)) = below.next() {
                let node = self.node(*at);
                path.push(element);
                match choose(&path, node, context) {
                    Choice::Leave => _ = path.pop(),
                    Choice::Whole => {
                        let into = out.enter(*into, element.clone());
                        out.graft(into, node);
                        path.pop();
                    }
                    Choice::Within { context, itself } => {
                        let into = out.enter(*into, element.clone());
                        out.places[into].itself = itself && node.has_itself();
                        open.push(Open { below: node.below(), into, context });
                    }
                }
            } else {
                let empty = out.places[*into].is_empty();
                open.pop();
                if let (Some(element), Some(above), true) = (path.pop(), open.last(), empty) {
                    out.places[above.into].below.remove(element);
                }
            }
        }
        out
    }

    /// Takes a field away with all that is in it; gives what was taken, if it was there, with the way to it.
    pub(crate) fn take(&mut self, path: &FieldPath) -> Option<Self> {
        let mut way: Vec<(usize, Element)> = Vec::new();
        let mut at = 0;
        for step in path.steps() {
            let (element, below) = self.node(at).find(step, usize::MAX)?;
            way.push((at, element.clone()));
            at = below.at;
        }
        let mut taken = Self::default();
        let into = way.iter().fold(0, |at, (_, element)| taken.enter(at, element.clone()));
        taken.graft(into, self.node(at));
        for (depth, (above, element)) in way.iter().enumerate().rev() {
            let empty = self.places[*above].below.get(element).is_some_and(|below| self.places[*below].is_empty());
            if depth + 1 == way.len() || empty {
                self.places[*above].below.remove(element);
            }
        }
        Some(taken)
    }

    /// Has what it holds of one field of the object be of another one.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(at) = self.places[0].below.remove(&Element::field_of(from)) {
            let moved = self.clone();
            let to = self.enter(0, Element::field_of(to));
            self.graft(to, moved.node(at));
        }
    }

    pub(crate) fn root(&self) -> FieldNode<'_> {
        self.node(0)
    }

    fn node(&self, at: usize) -> FieldNode<'_> {
        FieldNode { set: self, at }
    }

    /// The place below another one, made where there is none.
    fn enter(&mut self, at: usize, element: Element) -> usize {
        let next = self.places.len();
        let below = *self.places[at].below.entry(element).or_insert(next);
        if below == next {
            self.places.push(SetNode::default());
        }
        below
    }

    fn graft(&mut self, into: usize, from: FieldNode<'_>) {
        let mut pending = vec![(into, from)];
        while let Some((into, from)) = pending.pop() {
            self.places[into].itself |= from.has_itself();
            for (element, below) in from.children() {
                pending.push((self.enter(into, element.clone()), below));
            }
        }
    }
}

impl PartialEq for FieldSet {
    fn eq(&self, other: &Self) -> bool {
        let mut pending = vec![(self.root(), other.root())];
        while let Some((mine, theirs)) = pending.pop() {
            if mine.has_itself() != theirs.has_itself() || !mine.elements().eq(theirs.elements()) {
                return false;
            }
            pending.extend(mine.children().zip(theirs.children()).map(|((_, mine), (_, theirs))| (mine, theirs)));
        }
        true
    }
}

impl Eq for FieldSet {}

#[cfg(test)]
mod tests;
