//! Fields that a chart sets to values of chance (`randAlphaNum`, `genCA`, `now`), found by rendering it twice.

use serde_json::Value;

use super::blame::differing;
use super::path::PathStep;
use super::{FieldPath, Manifest, ManifestError, canonical_json, names};

/// Which fields of an object differ between two renders of it, each once, in the order of the object. An item that is
/// known by its place alone counts as its whole list, since its place is another one in the cluster.
#[must_use]
pub fn fields_of_chance(first: &Value, second: &Value) -> Vec<FieldPath> {
    let mut found: Vec<FieldPath> = Vec::new();
    for lost in differing(first, second) {
        let steps = lost.path.steps();
        let end = steps.iter().position(|step| matches!(step, PathStep::Index(_))).unwrap_or(steps.len());
        let path = steps.get(..end).and_then(|steps| FieldPath::new(steps.to_vec()));
        found.extend(path.filter(|path| !found.contains(path)));
    }
    found
}

impl Manifest {
    /// The same object with fields that are set at its creation and left alone afterwards, since every render gives
    /// them other values: they are named in `driftless.dev/ignore-fields`, and are no part of the digest.
    ///
    /// # Errors
    /// A field that cannot be left to others, such as an object's name.
    pub fn with_fields_of_chance(&self, paths: &[FieldPath]) -> Result<Self, ManifestError> {
        if paths.is_empty() {
            return Ok(self.clone());
        }
        let held = self.to_value();
        let known = held.pointer("/metadata/annotations").and_then(|held| held.get(names::IGNORE_FIELDS));
        let known = known.and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let texts = known.map(ToOwned::to_owned).into_iter().chain(paths.iter().map(ToString::to_string));
        let texts = texts.collect::<Vec<_>>().join(", ");
        let mut marked = self.edited(|object| {
            object["metadata"]["annotations"][names::IGNORE_FIELDS] = texts.as_str().into();
        })?;
        let mut stable = marked.to_value();
        for path in paths {
            path.remove(&mut stable);
        }
        marked.stable = Some(canonical_json(&stable).into());
        marked.warnings.push(format!(
            "the chart gives {} another value at each render; set when the object is created, and left alone afterwards",
            paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ));
        Ok(marked)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{DigestKey, Origin};

    fn manifest(password: &str, sum: &str) -> Manifest {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
            "template": {"metadata": {"annotations": {"checksum/secret": sum}}, "spec": {"containers": [
                {"name": "web", "image": "web:1", "args": ["--token", password],
                 "env": [{"name": "A", "value": "1"}, {"name": "TOKEN", "value": password}]},
            ]}},
        }});
        Manifest::from_value(object, Origin { file: "chart/templates/web.yaml".into(), line: 0 }).unwrap()
    }

    #[test]
    fn what_differs_between_two_renders_is_left_alone_and_is_no_part_of_the_digest() {
        let (first, second) = (manifest("a", "1"), manifest("b", "2"));
        let paths = fields_of_chance(&first.to_value(), &second.to_value());
        assert_eq!(
            paths.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                r#"spec.template.metadata.annotations["checksum/secret"]"#,
                "spec.template.spec.containers[name=web].args",
                "spec.template.spec.containers[name=web].env[name=TOKEN].value",
            ]
        );
        let [one, other] = [&first, &second].map(|manifest| manifest.with_fields_of_chance(&paths).unwrap());
        let key = DigestKey::new([1; 32]);
        assert_eq!(one.digest(&key), other.digest(&key));
        assert_ne!(first.digest(&key), second.digest(&key));
        assert_eq!(one.directives.ignore_fields, paths);
        // At its creation the object has all of them.
        assert_eq!(one.to_value()["spec"]["template"]["spec"]["containers"][0]["args"], json!(["--token", "a"]));
        assert!(one.warnings[0].contains("env[name=TOKEN].value"), "{:?}", one.warnings);
        let placed = one.in_namespace(Some("shop"));
        assert_eq!(placed.digest(&key), other.in_namespace(Some("shop")).digest(&key));
        assert_ne!(placed.digest(&key), one.digest(&key));
    }

    #[test]
    fn two_renders_that_agree_leave_no_trace() {
        let one = manifest("a", "1");
        assert!(fields_of_chance(&one.to_value(), &one.to_value()).is_empty());
        assert_eq!(one.with_fields_of_chance(&[]).unwrap(), one);
    }

    #[test]
    fn fields_that_were_left_alone_before_still_are() {
        let mut object = manifest("a", "1").to_value();
        object["metadata"]["annotations"] = json!({names::IGNORE_FIELDS: "spec.replicas"});
        let origin = Origin { file: "a.yaml".into(), line: 1 };
        let marked = Manifest::from_value(object, origin).unwrap();
        let marked = marked.with_fields_of_chance(&["spec.paused".parse().unwrap()]).unwrap();
        assert_eq!(marked.directives.ignore_fields.len(), 2);
    }
}
