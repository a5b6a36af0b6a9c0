//! What depends on the place of things in a document, and is read in two ways: merge keys that come late, and signs in
//! flow notation. As in `ambiguous`, the other reader is go-yaml 2, which is kubectl's, and what it reads otherwise is
//! refused. One pass over the parser's events, without recursion.

use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use super::split::Position;
use crate::object::Readable;

/// The first construct of a document that is ambiguous, relative to its text, and why. The text is known to be valid and
/// within the bounds on merge keys. Time in proportion to the text with its merge keys written out; most documents
/// are not even parsed for it.
pub fn find(text: &str) -> Option<(Position, String)> {
    if !text.contains("<<") && !text.contains(NEXT_LINE) && !has_sign_in_flow(text) {
        return None;
    }
    let mut walk = Walk::default();
    Parser::new_from_str(text).map_while(Result::ok).find_map(|(event, span)| walk.event(&event, &span))
}

/// Ends a line in YAML 1.1 and not in 1.2.
const NEXT_LINE: char = '\u{85}';

/// Whether a `?` or a `:` may begin a scalar of a list or mapping in brackets.
fn has_sign_in_flow(text: &str) -> bool {
    let mut before = ' ';
    text.contains(['{', '['])
        && text.chars().any(|sign| {
            let begins = matches!(before, '{' | '[' | ',') || before.is_whitespace();
            before = sign;
            begins && matches!(sign, '?' | ':')
        })
}

/// With the value, where that is a scalar: plain or not, and its text.
type Fields = HashMap<String, Option<(bool, String)>>;
type Keys = Rc<Fields>;

#[derive(Default)]
struct Walk {
    /// The mappings and lists around the next event, the innermost last.
    open: Vec<Open>,
    /// The keys of each mapping with an anchor, merged ones included.
    anchors: HashMap<usize, Keys>,
}

struct Open {
    flow: bool,
    anchor: usize,
    /// It is, or is an item of, the value of a merge key.
    is_merged: bool,
    /// `None` for a list.
    mapping: Option<Mapping>,
}

#[derive(Default)]
struct Mapping {
    /// Those that are written in it.
    keys: Fields,
    merged: Fields,
    /// The last key that was read.
    key: Option<String>,
    /// A key was read, and its value is next.
    awaits_value: bool,
    /// Where the merge key stands whose value is next.
    merge: Option<Position>,
}

impl Walk {
    fn event(&mut self, event: &Event<'_>, span: &Span) -> Option<(Position, String)> {
        match event {
            Event::Scalar(text, style, ..) => self.scalar(text, *style == ScalarStyle::Plain, Position::of(span)),
            Event::Alias(anchor) => {
                let keys = self.anchors.get(anchor).cloned();
                let found = keys.filter(|_| self.is_merging()).and_then(|keys| self.merge(&keys));
                self.end_node();
                found
            }
            Event::MappingStart(style, anchor, _) => self.enter(*style, *anchor, Some(Mapping::default())),
            Event::SequenceStart(style, anchor, _) => self.enter(*style, *anchor, None),
            Event::MappingEnd | Event::SequenceEnd => self.leave(),
            _ => None,
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, place: Position) -> Option<(Position, String)> {
        if plain && text.starts_with(['?', ':']) && self.open.last().is_some_and(|open| open.flow) {
            let why = "inside of brackets, some readers of YAML take this sign for a part of the text, and others for the mark \
                       of a key or value; put the text in quotes";
            return Some((place, why.into()));
        }
        if text.contains(NEXT_LINE) {
            let why = "the text holds the character U+0085, which ends a line to some readers of YAML; in double quotes, write it \
                       as \\N";
            return Some((place, why.into()));
        }
        match self.open.last_mut().and_then(|open| open.mapping.as_mut()) {
            Some(mapping) if !mapping.awaits_value => {
                mapping.awaits_value = true;
                if plain && text == "<<" {
                    mapping.merge = Some(place);
                } else {
                    mapping.keys.insert(text.to_owned(), None);
                    mapping.key = Some(text.to_owned());
                }
            }
            mapping => {
                if let Some(mapping) = mapping
                    && let Some(key) = mapping.key.take()
                {
                    mapping.keys.insert(key, Some((plain, text.to_owned())));
                }
                self.end_node();
            }
        }
        None
    }

    /// Whether the next node is what a merge key stands for, or a part of it.
    fn is_merging(&self) -> bool {
        self.open.last().is_some_and(|open| match &open.mapping {
            Some(mapping) => mapping.merge.is_some(),
            None => open.is_merged,
        })
    }

    fn enter(&mut self, style: StructureStyle, anchor: usize, mapping: Option<Mapping>) -> Option<(Position, String)> {
        let is_merged = self.is_merging();
        self.open.push(Open { flow: style == StructureStyle::Flow, anchor, is_merged, mapping });
        None
    }

    fn leave(&mut self) -> Option<(Position, String)> {
        let left = self.open.pop()?;
        let mut found = None;
        if let Some(Mapping { mut keys, merged, .. }) = left.mapping
            && (left.anchor != 0 || left.is_merged)
        {
            for (key, value) in merged {
                keys.entry(key).or_insert(value);
            }
            let keys = Rc::new(keys);
            if left.is_merged {
                found = self.merge(&keys);
            }
            if left.anchor != 0 {
                self.anchors.insert(left.anchor, keys);
            }
        }
        self.end_node();
        found
    }

    /// Adds keys to the mapping whose merge key is being read: the innermost one, or the one around the list of them.
    fn merge(&mut self, keys: &Fields) -> Option<(Position, String)> {
        let mapping = self.open.iter_mut().rev().find_map(|open| open.mapping.as_mut())?;
        for (key, value) in keys {
            mapping.merged.entry(key.clone()).or_insert_with(|| value.clone());
        }
        // Whichever of two equal values is taken, the mapping is the same.
        let differs = |(key, value): &(&String, &Option<(bool, String)>)| {
            mapping.keys.get(*key).is_some_and(|written| written.is_none() || written != *value)
        };
        // The smallest, so that the same file always gives the same message.
        let (key, _) = keys.iter().filter(differs).min()?;
        let why = format!(
            "the merge key << comes after \"{}\", which it also holds: kubectl takes the merged value, other readers of YAML \
             the one that is written here; put << before it",
            Readable(key)
        );
        Some((mapping.merge?, why))
    }

    /// A node is complete; where it was the value of a key, the next one is a key.
    fn end_node(&mut self) {
        if let Some(mapping) = self.open.last_mut().and_then(|open| open.mapping.as_mut()) {
            mapping.awaits_value = !mapping.awaits_value;
            mapping.merge = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<(u32, u32)> {
        find(text).map(|(place, _)| (place.line, place.column))
    }

    #[test]
    fn a_merge_key_after_a_key_that_it_holds_is_found() {
        assert_eq!(at("x: &x {a: 1}\ny:\n  a: 2\n  <<: *x\n"), Some((4, 3)));
        assert_eq!(at("x: &x {a: 1}\ny:\n  a: 2\n  <<: [*x]\n"), Some((4, 3)), "in a list");
        assert_eq!(at("y: {a: 2, <<: {a: 1}}\n"), Some((1, 11)), "written out");
        assert_eq!(at("x: &x {a: '1'}\ny:\n  a: 1\n  <<: *x\n"), Some((4, 3)), "text and a number");
        assert_eq!(at("x: &x {a: [1]}\ny:\n  a: [1]\n  <<: *x\n"), Some((4, 3)), "lists are not compared");
        assert_eq!(at("x: &x {a: 1}\nz: &z {<<: *x}\ny:\n  a: 2\n  <<: *z\n"), Some((5, 3)), "merged itself");
        let (_, why) = find("y: {a: 2, <<: {a: 1}}\n").expect("it is ambiguous");
        assert!(why.contains("\"a\"") && why.contains("put << before"), "{why}");
    }

    #[test]
    fn a_merge_key_that_everybody_reads_alike_is_left() {
        for text in [
            "x: &x {a: 1}\ny:\n  <<: *x\n  a: 2\n",
            "x: &x {a: 1}\ny:\n  b: 2\n  <<: *x\n",
            "x: &x {a: 1}\nz: &z {a: 2}\ny:\n  b: {a: 1}\n  <<: [*x, *z]\n  a: 3\n",
            "x: &x {a: 1}\ny:\n  a: *x\n  b: *x\n",
            "a: 1\n\"<<\": {a: 2}\n",
            "x: &x {type: string}\ny:\n  type: string\n  <<: *x\n",
            "a: |\n  <<: 1\n",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn a_sign_at_the_beginning_of_a_scalar_in_brackets_is_found() {
        assert_eq!(at("a: {?b: 1}\n"), Some((1, 5)));
        assert_eq!(at("a: [b, ?c]\n"), Some((1, 8)));
        assert_eq!(at("a:\n  - [\n    ?c]\n"), Some((3, 5)));
        assert_eq!(at("a: b\nc: \"d\u{85}e\"\n"), Some((2, 4)), "a line break of YAML 1.1");
        for text in [
            "a: \"\\N\"\n",
            "?b: 1\n",
            "a: ?b\n",
            "a: [\"?b\", b?]\n",
            "a: [x, y]\nb: ?c\n",
            "a: {b: ':c'}\n",
            "a: {b: c:d}\n",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
