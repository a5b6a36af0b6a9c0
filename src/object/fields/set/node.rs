//! A place in a set of fields, from which a walk goes on.

use std::collections::btree_map;

use serde_json::Value;

use super::{FieldSet, SEARCHED, SetNode};
use crate::object::fields::Element;
use crate::object::path::{PathStep, same_scalar};

/// A place in a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldNode<'a> {
    pub(super) set: &'a FieldSet,
    pub(super) at: usize,
}

impl<'a> FieldNode<'a> {
    fn place(self) -> &'a SetNode {
        &self.set.places[self.at]
    }

    pub(super) fn below(self) -> btree_map::Iter<'a, Element, usize> {
        self.place().below.iter()
    }

    pub(super) fn elements(self) -> impl Iterator<Item = &'a Element> {
        self.place().below.keys()
    }

    /// It is `{}`.
    pub(super) fn is_empty(self) -> bool {
        self.place().is_empty()
    }

    /// Nothing is below it.
    pub fn is_leaf(self) -> bool {
        self.place().below.is_empty()
    }

    /// It has a `.`.
    pub fn has_itself(self) -> bool {
        self.place().itself
    }

    /// The path that ends here is in the set.
    pub fn is_member(self) -> bool {
        self.is_leaf() || self.has_itself()
    }

    /// What is below it, in the order of the elements.
    pub fn children(self) -> impl Iterator<Item = (&'a Element, Self)> {
        self.below().map(move |(element, at)| (element, self.set.node(*at)))
    }

    pub fn child(self, element: &Element) -> Option<Self> {
        self.place().below.get(element).map(|at| self.set.node(*at))
    }

    pub fn field(self, name: &str) -> Option<Self> {
        self.child(&Element::field_of(name))
    }

    /// Where a step leads, in whatever notation. Not all of a large list is searched.
    pub(in crate::object) fn step(self, step: &PathStep) -> Option<Self> {
        self.find(step, SEARCHED).map(|(_, node)| node)
    }

    pub(in crate::object) fn member(self, member: &Value) -> Option<Self> {
        let written = self.place().below.get(&*format!("v:{member}")).map(|at| self.set.node(*at));
        written.or_else(|| {
            let is_it = |element: &Element| element.member().is_some_and(|found| same_scalar(found, member));
            self.children().take(SEARCHED).find(|(element, _)| is_it(element)).map(|(_, node)| node)
        })
    }

    pub(super) fn find(self, step: &PathStep, most: usize) -> Option<(&'a Element, Self)> {
        let written = self.place().below.get_key_value(&Element::of(step));
        let written = written.map(|(element, at)| (element, self.set.node(*at)));
        written.or_else(|| match step {
            PathStep::Field(_) => None,
            _ => self.children().take(most).find(|(element, _)| element.is(step)),
        })
    }
}
