//! Variables in manifests, by the rules of Flux: `${NAME}`, `${NAME:=default}`, `${NAME:-default}`, and `$$` for `$`.
//! Comments are left alone. A value in quotes stays text; one without quotes becomes what it reads as, so that
//! `replicas: ${REPLICAS}` is a number. Renderers drop quotes that YAML does not need, so the fields that Kubernetes
//! knows as text (labels, data of a `ConfigMap`, values of variables) stay text without them. A variable without a value
//! is an error.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};
use thiserror::Error;

use super::inputs::Variable;
use super::split::Position;
use super::value::MAX_BYTES;
use crate::object::{Readable, names};

/// A document after substitution.
pub struct Substituted<'a> {
    pub text: Cow<'a, str>,
    /// The value of a secret variable was put into it.
    pub secret: bool,
}

/// A reference that cannot be replaced, relative to the document's text.
#[derive(Debug, PartialEq, Eq)]
pub struct ReferenceFault {
    pub place: Position,
    pub why: SubstituteError,
}

/// Why a reference cannot be replaced.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum SubstituteError {
    #[error("the document is too large with its variables replaced")]
    DocumentTooLarge,
    #[error("the text is too large with its variables replaced")]
    TextTooLarge,
    #[error("${{ is not closed by }}; write $${{ for the text itself")]
    NotClosed,
    #[error(
        "the variable {0} has no value; set it in render.substitute or in what render.substituteFrom names, give it a \
         default by ${{{0}:=…}}, write $${{{0}}} for the text itself, or leave the object alone by the annotation \
         driftless.dev/substitute: disabled"
    )]
    NoValue(String),
    /// Holds the beginning of what is in the braces.
    #[error(
        "${{{}}} is no variable that is known here; the forms are ${{NAME}}, ${{NAME:=default}} and ${{NAME:-default}}; \
         $${{ stands for the text ${{",
        Readable(.0)
    )]
    Form(String),
}

/// The documents in which something may have to be replaced.
pub fn has_references(text: &str) -> bool {
    text.contains("${") || text.contains("$$")
}

/// Whether an object says that its texts are to stay as they are, in Flux's words or ours.
pub fn is_disabled(object: &Value) -> bool {
    ["annotations", "labels"].iter().any(|held| {
        let entries = object.get("metadata").and_then(|metadata| metadata.get(held));
        [names::SUBSTITUTE, names::FLUX_SUBSTITUTE]
            .iter()
            .any(|name| entries.and_then(|entries| entries.get(name)).is_some_and(|value| value == "disabled"))
    })
}

/// Replaces the references in the scalars of one document of valid YAML.
///
/// # Errors
/// Every reference that has no value or is in a form that is not known.
pub fn substitute<'a>(
    text: &'a str,
    variables: &BTreeMap<String, Variable>,
) -> Result<Substituted<'a>, Vec<ReferenceFault>> {
    if !has_references(text) {
        return Ok(Substituted { text: text.into(), secret: false });
    }
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut secret = false;
    let mut faults = Vec::new();
    let mut trail = Trail::default();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let is_text = trail.follow(&event);
        let Event::Scalar(content, style, ..) = &event else { continue };
        let Some(range) = span.byte_range().filter(|range| range.start >= copied) else { continue };
        let Some(raw) = text.get(range.clone()) else { continue };
        if !has_references(content) {
            continue;
        }
        let plain = matches!(style, ScalarStyle::Plain);
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) || (plain && is_text);
        let expanded = expand(if quoted { content } else { raw }, variables, &mut secret, |value, before| {
            match style {
                // Further lines of a block belong to it only where they are indented like the first.
                ScalarStyle::Literal | ScalarStyle::Folded if value.contains('\n') => {
                    let line = before.rsplit('\n').next().unwrap_or_default();
                    let indent: String = line.chars().take_while(|sign| *sign == ' ').collect();
                    value.replace('\n', &format!("\n{indent}")).into()
                }
                _ => value.into(),
            }
        });
        match expanded {
            Ok(expanded) => {
                out.push_str(&text[copied..range.start]);
                // A JSON string is a YAML string in double quotes (YAML 1.2, section 1.3).
                out.push_str(&if quoted { Value::from(expanded).to_string() } else { expanded });
                copied = range.end;
            }
            Err(why) => faults.push(ReferenceFault { place: Position::of(&span), why }),
        }
        if out.len() > MAX_BYTES {
            return Err(vec![ReferenceFault { place: Position::of(&span), why: SubstituteError::DocumentTooLarge }]);
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    out.push_str(&text[copied..]);
    Ok(Substituted { text: out.into(), secret })
}

/// Where in a document the parser is.
#[derive(Default)]
struct Trail {
    /// The mappings and lists around the next node, the innermost last.
    open: Vec<Open>,
}

enum Open {
    /// With the key whose value is next.
    Mapping(Option<String>),
    List,
}

impl Trail {
    /// Follows one event; whether it is a value that is text whatever it reads as.
    fn follow(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::MappingStart(..) => self.open.push(Open::Mapping(None)),
            Event::SequenceStart(..) => self.open.push(Open::List),
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
                self.end_value();
            }
            Event::Scalar(content, ..) => {
                if let Some(Open::Mapping(key @ None)) = self.open.last_mut() {
                    *key = Some(content.to_string());
                    return false;
                }
                let is_text = self.is_text();
                self.end_value();
                return is_text;
            }
            Event::Alias(_) => self.end_value(),
            _ => {}
        }
        false
    }

    /// The value of a key has ended; the next scalar is a key.
    fn end_value(&mut self) {
        if let Some(Open::Mapping(key)) = self.open.last_mut() {
            *key = None;
        }
    }

    fn is_text(&self) -> bool {
        let key = |open: &Open| match open {
            Open::Mapping(key) => key.clone(),
            Open::List => Some("[]".to_owned()),
        };
        let path: Vec<String> = self.open.iter().filter_map(key).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        matches!(
            path[..],
            ["data" | "stringData" | "binaryData", _]
                | [.., "metadata", "labels" | "annotations", _]
                | [.., "matchLabels" | "nodeSelector", _]
                | [.., "env", "[]", "value"]
                | [.., "args" | "command", "[]"]
        )
    }
}

/// Replaces the references in one text. `fit` makes a value fit for the text before it.
fn expand<'v>(
    text: &str,
    variables: &'v BTreeMap<String, Variable>,
    secret: &mut bool,
    fit: impl for<'t> Fn(&'t str, &str) -> Cow<'t, str>,
) -> Result<String, SubstituteError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
            continue;
        }
        let Some(inside) = after.strip_prefix('{') else {
            out.push('$');
            rest = after;
            continue;
        };
        let Some(end) = inside.find('}') else {
            return Err(SubstituteError::NotClosed);
        };
        let (name, default) = reference(&inside[..end])?;
        let variable: Option<&'v Variable> = variables.get(name);
        let value = match (variable, default) {
            (Some(variable), Some(default)) if variable.value.is_empty() => default,
            (None, Some(default)) => default,
            (Some(variable), _) => {
                *secret |= variable.secret;
                &variable.value
            }
            (None, None) => return Err(SubstituteError::NoValue(name.to_owned())),
        };
        let fitted = fit(value, &out).into_owned();
        out.push_str(&fitted);
        if out.len() > MAX_BYTES {
            return Err(SubstituteError::TextTooLarge);
        }
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Name and default of what stands in the braces.
fn reference(inside: &str) -> Result<(&str, Option<&str>), SubstituteError> {
    let length = inside.find(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_')).unwrap_or(inside.len());
    let (name, rest) = inside.split_at(length);
    let named = name.starts_with(|sign: char| sign.is_ascii_alphabetic() || sign == '_');
    let default = [":=", ":-", "="].iter().find_map(|mark| rest.strip_prefix(mark));
    match default {
        _ if !named => {}
        None if rest.is_empty() => return Ok((name, None)),
        // It would end at the first brace, and so in the middle.
        Some(default) if !default.contains("${") => return Ok((name, Some(default))),
        _ => {}
    }
    Err(SubstituteError::Form(inside.chars().take(40).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::yaml;

    fn variables() -> BTreeMap<String, Variable> {
        let open = |value: &str| Variable { value: value.into(), secret: false, in_cluster: false };
        [
            ("N", open("3")),
            ("NAME", open("shop")),
            ("LINES", open("a: 1\nb: 2")),
            ("EMPTY", open("")),
            ("QUOTE", open("it's \"so\"")),
            ("LIST", open("[a, b]")),
            ("PASSWORD", Variable { value: "hunter2".into(), secret: true, in_cluster: true }),
        ]
        .map(|(name, variable)| (name.to_owned(), variable))
        .into()
    }

    fn value(text: &str) -> Value {
        let done = substitute(text, &variables()).unwrap();
        yaml::parse(&done.text).unwrap().value
    }

    fn faults(text: &str) -> Vec<(u32, String)> {
        let faults = substitute(text, &variables()).err().unwrap();
        faults.into_iter().map(|fault| (fault.place.line, fault.why.to_string())).collect()
    }

    #[test]
    fn values_without_quotes_have_the_type_that_they_read_as_and_those_in_quotes_are_text() {
        assert_eq!(
            value("a: ${N}\nb: \"${N}\"\nc: '${N}'\nd: x-${N}\n${NAME}: ${LIST}\n"),
            serde_json::json!({"a": 3, "b": "3", "c": "3", "d": "x-3", "shop": ["a", "b"]})
        );
    }

    #[test]
    fn fields_that_are_text_stay_text_without_quotes() {
        let done = value(
            "metadata:\n  labels:\n    a: ${N}\ndata:\n  b: ${N}\n  c: x\nspec:\n  replicas: ${N}\n  template:\n    metadata:\n      \
             annotations:\n        d: ${N}\n    spec:\n      containers:\n      - args:\n        - ${N}\n        env:\n        - name: A\n          \
             value: ${N}\n        ports:\n        - containerPort: ${N}\n",
        );
        assert_eq!(done["metadata"]["labels"]["a"], "3");
        assert_eq!(done["data"]["b"], "3");
        assert_eq!(done["spec"]["replicas"], 3);
        let pod = &done["spec"]["template"];
        assert_eq!(pod["metadata"]["annotations"]["d"], "3");
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], "3");
        assert_eq!(pod["spec"]["containers"][0]["ports"][0]["containerPort"], 3);
    }

    #[test]
    fn defaults_stand_for_what_is_missing_or_empty() {
        assert_eq!(
            value("a: ${NO:=5}\nb: ${NO:-x y}\nc: ${EMPTY:=z}\nd: ${N:=9}\ne: '${NO:=}'\nf: ${NO=1}\n"),
            serde_json::json!({"a": 5, "b": "x y", "c": "z", "d": 3, "e": "", "f": 1})
        );
    }

    #[test]
    fn two_dollars_are_one_and_a_dollar_alone_stays() {
        assert_eq!(
            value("a: $${N}\nb: $$\nc: $N\nd: '5$'\ne: $$$${N}\n"),
            serde_json::json!({"a": "${N}", "b": "$", "c": "$N", "d": "5$", "e": "$${N}"})
        );
    }

    #[test]
    fn comments_are_left_alone() {
        assert_eq!(value("# ${NOBODY}\na: 1 # ${NOBODY}\n"), serde_json::json!({"a": 1}));
    }

    #[test]
    fn lines_in_a_block_stay_in_it_and_quotes_stay_closed() {
        assert_eq!(
            value("a: |\n  x\n  ${LINES}\n  y\nb: '${QUOTE}'\nc: \"${QUOTE} ${LINES}\"\n"),
            serde_json::json!({"a": "x\na: 1\nb: 2\ny\n", "b": "it's \"so\"", "c": "it's \"so\" a: 1\nb: 2"})
        );
    }

    #[test]
    fn every_reference_without_a_value_is_named_with_its_line() {
        let found = faults("a: ${NO}\nb:\n  - x\n  - \"${ALSO_NO}\"\n  - ${N}\n");
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4]);
        assert!(found[0].1.contains("the variable NO has no value"), "{found:?}");
        assert!(found[1].1.contains("ALSO_NO"), "{found:?}");
    }

    #[test]
    fn forms_that_are_not_known_are_refused() {
        for text in ["a: ${N:1:2}", "a: ${N^^}", "a: ${1}", "a: '${{ x }}'", "a: ${A:=${N}}", "a: \"${N\""] {
            let found = faults(text);
            assert!(found[0].1.contains("$${"), "{text}: {found:?}");
        }
    }

    #[test]
    fn it_is_known_whether_a_secret_went_in() {
        assert!(substitute("a: ${PASSWORD}", &variables()).unwrap().secret);
        assert!(!substitute("a: ${NAME}", &variables()).unwrap().secret);
        assert!(!substitute("a: $${PASSWORD}", &variables()).unwrap().secret);
    }

    #[test]
    fn objects_can_be_left_alone() {
        for held in ["labels", "annotations"] {
            for name in ["driftless.dev/substitute", "kustomize.toolkit.fluxcd.io/substitute"] {
                assert!(is_disabled(&serde_json::json!({"metadata": {held: {name: "disabled"}}})));
                assert!(!is_disabled(&serde_json::json!({"metadata": {held: {name: "enabled"}}})));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_replaced_or_refused(text in "[a-z:${}=N'\" \n|#-]{0,60}") {
            if let Ok(done) = substitute(&text, &variables()) {
                proptest::prop_assert!(has_references(&text) || done.text == text);
            }
        }

        #[test]
        fn a_value_in_quotes_comes_back_as_it_is(value in "\\PC{0,40}") {
            let variables = [("V".to_owned(), Variable { value: value.clone(), secret: false, in_cluster: false })].into();
            let done = substitute("a: \"${V}\"\n", &variables).unwrap();
            // Some characters are not allowed in YAML at all.
            if let Ok(node) = yaml::parse(&done.text) {
                proptest::prop_assert_eq!(&node.value["a"], &Value::from(value));
            }
        }
    }
}
