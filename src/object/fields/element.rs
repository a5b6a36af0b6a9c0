//! One element of a path in `fieldsV1`, as structured-merge-diff writes it (`fieldpath/serialize-pe.go`).

use std::borrow::Borrow;
use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::object::path::{PathStep, is_scalar, same_scalar};

/// An element with the text that stands for it: `f:name`, `k:{"name":"web"}`, `v:"x"`, `i:0`.
///
/// Elements of two sets are the same where their texts are: one server writes all the entries of an object, in one
/// notation, and what is given back to it is what it wrote. A [`PathStep`] comes from a manifest or a person, whose
/// notation may be another, so it is compared by meaning ([`Element::is`]).
#[derive(Clone, Debug)]
pub(crate) struct Element {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The name is what follows `f:`.
    Field,
    /// At least one key, sorted by field; the values are scalars.
    Item(Box<[(String, Value)]>),
    /// A scalar.
    Member(Box<Value>),
    Index(usize),
    /// Not in the format, or of a later one: it is kept, and leads nowhere.
    Unknown,
}

impl Element {
    pub(in crate::object) fn parse(text: &str) -> Self {
        let kind = match text.split_once(':') {
            Some(("f", _)) => Some(Kind::Field),
            Some(("k", json)) => keys(json).map(Kind::Item),
            Some(("v", json)) => {
                serde_json::from_str(json).ok().filter(is_scalar).map(|member| Kind::Member(Box::new(member)))
            }
            Some(("i", index)) => index.parse().ok().map(Kind::Index),
            _ => None,
        };
        Self { text: text.into(), kind: kind.unwrap_or(Kind::Unknown) }
    }

    /// In the notation of the server.
    pub(in crate::object) fn of(step: &PathStep) -> Self {
        let (text, kind) = match step {
            PathStep::Field(name) => (format!("f:{name}"), Kind::Field),
            PathStep::Item(keys) => {
                let text = format!("k:{}", Value::Object(keys.iter().cloned().collect()));
                (text, Kind::Item(keys.as_slice().into()))
            }
            PathStep::Index(index) => (format!("i:{index}"), Kind::Index(*index)),
            PathStep::Member(member) => (format!("v:{member}"), Kind::Member(Box::new(member.clone()))),
        };
        Self { text: text.into(), kind }
    }

    pub(in crate::object) fn field_of(name: &str) -> Self {
        Self { text: format!("f:{name}").into(), kind: Kind::Field }
    }

    pub(in crate::object) fn text(&self) -> &str {
        &self.text
    }

    /// `None` where it leads nowhere.
    pub(in crate::object) fn step(&self) -> Option<PathStep> {
        match &self.kind {
            Kind::Field => self.field().map(|name| PathStep::Field(name.to_owned())),
            Kind::Item(keys) => Some(PathStep::Item(keys.to_vec())),
            Kind::Member(member) => Some(PathStep::Member(Value::clone(member))),
            Kind::Index(index) => Some(PathStep::Index(*index)),
            Kind::Unknown => None,
        }
    }

    /// The name, if it is a field.
    pub fn field(&self) -> Option<&str> {
        if matches!(self.kind, Kind::Field) { self.text.strip_prefix("f:") } else { None }
    }

    /// Field and value of each key, if it is an item of a list that is known by its keys.
    pub fn keys(&self) -> Option<&[(String, Value)]> {
        if let Kind::Item(keys) = &self.kind { Some(keys) } else { None }
    }

    /// The member of a set, if it is one.
    pub fn member(&self) -> Option<&Value> {
        if let Kind::Member(member) = &self.kind { Some(member) } else { None }
    }

    /// Whether it is this step, whatever the notation. An item may have more keys than are asked for.
    pub(in crate::object) fn is(&self, step: &PathStep) -> bool {
        match (&self.kind, step) {
            (Kind::Field, PathStep::Field(name)) => self.field() == Some(name),
            (Kind::Item(theirs), PathStep::Item(keys)) => {
                let has = |(name, value): &(String, Value)| {
                    theirs.iter().any(|(other, found)| name == other && same_scalar(value, found))
                };
                keys.iter().all(has)
            }
            (Kind::Member(theirs), PathStep::Member(member)) => same_scalar(theirs, member),
            (Kind::Index(theirs), PathStep::Index(index)) => theirs == index,
            _ => false,
        }
    }

    /// Whether these elements are fields of these names.
    pub fn are_fields(path: &[&Self], names: &[&str]) -> bool {
        path.len() == names.len() && path.iter().zip(names).all(|(element, name)| element.field() == Some(name))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Element {}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Borrow<str> for Element {
    fn borrow(&self) -> &str {
        &self.text
    }
}

/// The keys in `{"name":"web"}`, sorted by field.
fn keys(json: &str) -> Option<Box<[(String, Value)]>> {
    let keys: Map<String, Value> = serde_json::from_str(json).ok()?;
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_by(|left, right| left.0.cmp(&right.0));
    (!keys.is_empty() && keys.iter().all(|(_, value)| is_scalar(value))).then(|| keys.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_element_is_what_structured_merge_diff_writes() {
        for (text, step) in [
            ("f:replicas", PathStep::Field("replicas".into())),
            ("f:", PathStep::Field(String::new())),
            ("f:a:b", PathStep::Field("a:b".into())),
            (
                r#"k:{"containerPort":80,"protocol":"TCP"}"#,
                PathStep::Item(vec![("containerPort".into(), json!(80)), ("protocol".into(), json!("TCP"))]),
            ),
            (r#"v:"a/b""#, PathStep::Member(json!("a/b"))),
            ("v:true", PathStep::Member(json!(true))),
            ("i:3", PathStep::Index(3)),
        ] {
            assert_eq!(Element::parse(text).step().as_ref(), Some(&step), "{text}");
            assert_eq!(Element::of(&step).text(), text);
            assert!(Element::parse(text).is(&step));
        }
    }

    #[test]
    fn what_is_not_in_the_format_leads_nowhere_and_keeps_its_text() {
        let deep = format!("v:{}", "[".repeat(100_000));
        for text in
            ["", "f", "x:a", "k:", "k:{}", "k:5", r#"k:{"a":{}}"#, r#"k:{"a":null}"#, "v:", "v:null", "v:{}", "i:-1"]
                .into_iter()
                .chain(["i:99999999999999999999", deep.as_str()])
        {
            let element = Element::parse(text);
            assert_eq!((element.step(), element.text()), (None, text));
            assert_eq!((element.field(), element.keys(), element.member()), (None, None, None), "{text}");
        }
    }

    #[test]
    fn a_step_is_found_in_another_notation() {
        let named = |name: &str| PathStep::Item(vec![("name".into(), name.into())]);
        assert!(Element::parse(r#"k:{"name" : "a\u003cb"}"#).is(&named("a<b")));
        assert!(Element::parse(r#"k:{"name":"a","zone":1}"#).is(&named("a")));
        assert!(!Element::parse(r#"k:{"zone":1}"#).is(&named("a")));
        assert!(Element::parse("v:1.0").is(&PathStep::Member(json!(1))));
        assert!(!Element::parse("f:0").is(&PathStep::Index(0)));
    }
}
