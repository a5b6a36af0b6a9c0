//! Reading `driftless.dev/ignore-fields`.

use crate::object::error::IgnoreFieldsError;
use crate::object::names;
use crate::object::path::{FieldPath, PathStep};

/// Annotations that are directives to the agent.
const OUR_ANNOTATIONS: [&str; 8] = [
    names::DIGEST,
    names::IGNORE_FIELDS,
    names::REPLACE,
    names::DEPENDS_ON,
    names::DELETION,
    names::HELM_POLICY,
    names::MUTATION,
    names::SENSITIVE,
];

/// Reads a list of paths between commas.
pub(in crate::object) fn read(text: &str) -> Result<Vec<FieldPath>, IgnoreFieldsError> {
    let mut paths = Vec::new();
    for part in split(text).into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let path: FieldPath = part.parse()?;
        if path.steps().iter().any(|step| matches!(step, PathStep::Index(_))) {
            return Err(IgnoreFieldsError::ByPlace(path));
        }
        if is_ours(&path) {
            return Err(IgnoreFieldsError::Ours(path));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Splits at commas outside of brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut in_brackets, mut in_quotes, mut escaped) = (false, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            ',' if !in_brackets => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Whether the field identifies the object or one of its list items, or is ours or holds what is.
fn is_ours(path: &FieldPath) -> bool {
    let name = |step: &PathStep| match step {
        PathStep::Field(name) => Some(name.clone()),
        _ => None,
    };
    let names: Vec<Option<String>> = path.steps().iter().take(3).map(name).collect();
    let names: Vec<&str> = names.iter().map(|name| name.as_deref().unwrap_or_default()).collect();
    let is_key = path.steps().windows(2).any(|pair| match pair {
        [PathStep::Item(keys), PathStep::Field(name)] => keys.iter().any(|(key, _)| key == name),
        _ => false,
    });
    is_key
        || match names[..] {
            ["metadata", "labels", label, ..] => label == names::PART_OF,
            ["metadata", "annotations", annotation, ..] => OUR_ANNOTATIONS.contains(&annotation),
            ["metadata", field, ..] => !["finalizers", "ownerReferences"].contains(&field) || path.steps().len() == 2,
            [first, ..] => ["", "apiVersion", "kind", "metadata"].contains(&first),
            [] => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        read(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paths_stand_between_commas() {
        assert_eq!(shown(""), Vec::<String>::new());
        assert_eq!(shown("spec.replicas, spec.paused,"), ["spec.replicas", "spec.paused"]);
        assert_eq!(
            shown(r#"spec.ports[port=80,protocol=TCP].nodePort,data["a,]\",b"],metadata.annotations["e.com/x"]"#),
            ["spec.ports[port=80,protocol=TCP].nodePort", r#"data["a,]\",b"]"#, r#"metadata.annotations["e.com/x"]"#]
        );
    }

    #[test]
    fn what_identifies_an_object_and_what_is_ours_cannot_be_left_to_others() {
        for text in [
            "apiVersion",
            "kind",
            "metadata",
            "metadata.name",
            "metadata.namespace",
            "metadata.labels",
            "metadata.annotations",
            "metadata.managedFields",
            r#"metadata.labels["applyset.kubernetes.io/part-of"]"#,
            r#"metadata.annotations["driftless.dev/digest"]"#,
            r#"metadata.annotations["driftless.dev/ignore-fields"]"#,
            "spec.template.spec.containers[name=web].name",
        ] {
            assert!(matches!(read(text), Err(IgnoreFieldsError::Ours(_))), "{text}");
        }
        assert!(matches!(read("spec.args[0]"), Err(IgnoreFieldsError::ByPlace(_))));
        assert!(matches!(read("spec..x"), Err(IgnoreFieldsError::Path(_))));
    }
}
