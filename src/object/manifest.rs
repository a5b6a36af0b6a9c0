//! A desired object: validated, normalised and kept as canonical JSON.

mod ignored;

use std::sync::Arc;

use serde_json::Value;

use super::error::ManifestError;
use super::{Digest, DigestKey, FieldPath, GroupKind, ObjectId, Origin, canonical_json, names, normalise};
pub(super) use ignored::read as ignored_paths;

/// What a manifest directs the agent to do, mostly by its annotations.
#[allow(clippy::struct_excessive_bools, reason = "each is a directive of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Directives {
    /// Delete and create again when an immutable field changed.
    pub replace: bool,
    /// Never delete.
    pub detach: bool,
    /// Create it when it is missing, and never change it afterwards.
    pub create_only: bool,
    /// A Job that the API server deletes some time after its end (`ttlSecondsAfterFinished`).
    pub expires: bool,
    /// It is made once: neither changed nor made again afterwards (a hook of an install).
    pub once: bool,
    /// A Job that is replaced only when it has ended (a hook of an upgrade).
    pub run_to_end: bool,
    /// Its values are shown nowhere.
    pub sensitive: bool,
    /// A workload that rolls out anew when a `ConfigMap` or Secret that its pods use has changed.
    pub restart_on_change: bool,
    /// Objects that must be applied and healthy first.
    pub depends_on: Vec<ObjectId>,
    /// Set at the object's creation, and then left to whoever owns them.
    pub ignore_fields: Vec<FieldPath>,
}

/// One desired object. `canonical` is its canonical JSON in UTF-8, as it is applied apart from
/// the label and annotation of our own; a tree of values is only made when one is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Manifest {
    /// Its namespace is `None` where the manifest names none, until `in_namespace` gives it one.
    pub id: ObjectId,
    /// The version in `apiVersion`: `v1` of `apps/v1`.
    pub version: Arc<str>,
    /// Normalised; for a Secret, with its values.
    pub canonical: Arc<[u8]>,
    /// What its digest is made of where that is not all of `canonical`: a chart set some fields to values of chance,
    /// which are others at each render.
    pub stable: Option<Arc<[u8]>>,
    /// File and line that declare it.
    pub origin: Origin,
    /// What its annotations, its kind and its place in a chart direct the agent to do.
    pub directives: Directives,
    /// What git declares of it and what is not applied, a sentence each.
    pub warnings: Vec<String>,
}

impl Manifest {
    /// Reads one document.
    ///
    /// # Errors
    /// The document is no object of Kubernetes, has no name, or carries what is ours to set.
    pub fn from_value(mut object: Value, origin: Origin) -> Result<Self, ManifestError> {
        let api_version =
            text(&object, "/apiVersion", "apiVersion")?.ok_or(ManifestError::NotAManifest("apiVersion"))?;
        let (group, version) = group_version(&api_version)?;
        let kind = text(&object, "/kind", "kind")?.ok_or(ManifestError::NotAManifest("kind"))?;
        let name = text(&object, "/metadata/name", "metadata.name")?.ok_or_else(|| ManifestError::NoName {
            generate_name: object.pointer("/metadata/generateName").is_some_and(|name| !name.is_null()),
        })?;
        let namespace = text(&object, "/metadata/namespace", "metadata.namespace")?;
        let id = ObjectId::new(group, &kind, namespace.as_deref(), &name);
        let version = version.into();
        let warnings = normalise(&id.gk, &mut object)?;
        let mut directives = directives(&object)?;
        directives.expires = id.gk.is("batch", "Job")
            && object.pointer("/spec/ttlSecondsAfterFinished").is_some_and(|seconds| !seconds.is_null());
        let canonical = canonical_json(&object).into();
        Ok(Self { id, version, canonical, stable: None, origin, directives, warnings })
    }

    /// The object as a tree of values; null should the canonical form ever not be JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_slice(&self.canonical).unwrap_or_default()
    }

    /// The same object in a namespace, or in none.
    #[must_use]
    pub fn in_namespace(&self, namespace: Option<&str>) -> Self {
        if self.id.namespace.as_deref() == namespace {
            return self.clone();
        }
        Self {
            id: ObjectId { namespace: namespace.map(Into::into), ..self.id.clone() },
            canonical: placed(&self.canonical, namespace),
            stable: self.stable.as_ref().map(|stable| placed(stable, namespace)),
            ..self.clone()
        }
    }

    /// The same object with a change to its fields. What it is to do stays, whether an annotation or its place in a
    /// chart says so, except that the change may mark it sensitive or name other fields to be ignored.
    ///
    /// # Errors
    /// After the change it is no object of Kubernetes any more.
    pub fn edited(&self, change: impl Fn(&mut Value)) -> Result<Self, ManifestError> {
        let edit = |json: &[u8]| {
            let mut object: Value = serde_json::from_slice(json).unwrap_or_default();
            change(&mut object);
            object
        };
        let read = Self::from_value(edit(&self.canonical), self.origin.clone())?;
        let directives = Directives {
            sensitive: read.directives.sensitive,
            ignore_fields: read.directives.ignore_fields.clone(),
            ..self.directives.clone()
        };
        let stable = self.stable.as_ref().map(|stable| canonical_json(&edit(stable)).into());
        Ok(Self { stable, directives, warnings: self.warnings.clone(), ..read })
    }

    /// `apps/v1`, or `v1` in the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        match &*self.id.gk.group {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The content hash that goes into the annotation `driftless.dev/digest`.
    #[must_use]
    pub fn digest(&self, key: &DigestKey) -> Digest {
        let content = self.stable.as_ref().unwrap_or(&self.canonical);
        if self.is_secret() { key.digest(content) } else { Digest::of(content) }
    }

    /// Whether its values must never be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.directives.sensitive || self.id.gk.is("", "Secret")
    }

    /// Whether its values and those of the live object are shown nowhere. What was secret at its last apply is so still, whatever
    /// git says of it now.
    #[must_use]
    pub fn is_secret_beside(&self, live: &Value) -> bool {
        self.is_secret() || names::is_secret(&self.id.gk, live)
    }

    /// For a `CustomResourceDefinition`: the kind that it defines and whether that is namespaced.
    #[must_use]
    pub fn defines(&self) -> Option<(GroupKind, bool)> {
        if !self.id.gk.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            return None;
        }
        let object = self.to_value();
        let group = object.pointer("/spec/group")?.as_str()?;
        let kind = object.pointer("/spec/names/kind")?.as_str()?;
        Some((GroupKind::new(group, kind), object.pointer("/spec/scope")?.as_str()? == "Namespaced"))
    }

    /// For a `CustomResourceDefinition`: the versions in which it serves its kind.
    #[must_use]
    pub fn serves(&self) -> Vec<String> {
        let object = self.to_value();
        let versions = object.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
        let served = versions.filter(|version| version["served"] == true);
        served.filter_map(|version| version["name"].as_str()).map(ToOwned::to_owned).collect()
    }
}

/// Canonical JSON of an object with another namespace, or none.
fn placed(canonical: &[u8], namespace: Option<&str>) -> Arc<[u8]> {
    let mut object: Value = serde_json::from_slice(canonical).unwrap_or_default();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        match namespace {
            Some(namespace) => metadata.insert("namespace".into(), namespace.into()),
            None => metadata.remove("namespace"),
        };
    }
    canonical_json(&object).into()
}

/// Splits an `apiVersion`: a version, or a group (RFC 1123 subdomain) and a version (RFC 1035 label). The API
/// server reads `/v1` as `v1`, so one object would have two names here.
fn group_version(api_version: &str) -> Result<(&str, &str), ManifestError> {
    let (group, version) = match api_version.split_once('/') {
        None => ("", api_version),
        Some((group, version)) if !group.is_empty() => (group, version),
        Some(_) => return Err(ManifestError::ApiVersion(api_version.into())),
    };
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
    let valid =
        !version.is_empty() && version.chars().all(is_plain) && group.chars().all(|sign| is_plain(sign) || sign == '.');
    valid.then_some((group, version)).ok_or_else(|| ManifestError::ApiVersion(api_version.into()))
}

fn text(object: &Value, pointer: &str, field: &'static str) -> Result<Option<String>, ManifestError> {
    match object.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ManifestError::Type { field, expected: "text" }),
    }
}

fn directives(object: &Value) -> Result<Directives, ManifestError> {
    let strings = |pointer: &str, field: &'static str| match object.pointer(pointer) {
        None => Ok(None),
        Some(Value::Object(fields)) => match fields.iter().find(|(_, value)| !value.is_string()) {
            Some((key, _)) => Err(ManifestError::NotText(format!("{field}.{key}"))),
            None => Ok(Some(fields)),
        },
        Some(_) => Err(ManifestError::Type { field, expected: "a map of text to text" }),
    };
    let labels = strings("/metadata/labels", "metadata.labels")?;
    if labels.is_some_and(|labels| labels.contains_key(names::PART_OF)) {
        return Err(ManifestError::Reserved(names::PART_OF));
    }
    let Some(annotations) = strings("/metadata/annotations", "metadata.annotations")? else {
        return Ok(Directives::default());
    };
    if annotations.contains_key(names::DIGEST) {
        return Err(ManifestError::Reserved(names::DIGEST));
    }
    let annotation = |name: &str| annotations.get(name).and_then(Value::as_str);
    Ok(Directives {
        replace: annotation(names::REPLACE) == Some("true"),
        detach: names::is_kept(&annotation),
        create_only: annotation(names::MUTATION) == Some(names::IGNORE),
        expires: false,
        once: false,
        run_to_end: false,
        sensitive: annotation(names::SENSITIVE) == Some("true"),
        restart_on_change: annotation(names::RESTART_ON_CHANGE) == Some("true"),
        depends_on: annotation(names::DEPENDS_ON)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| dependency(text).ok_or_else(|| ManifestError::DependsOn(text.into())))
            .collect::<Result<_, _>>()?,
        ignore_fields: ignored::read(annotation(names::IGNORE_FIELDS).unwrap_or_default())
            .map_err(ManifestError::IgnoreFields)?,
    })
}

/// Reads an object reference of `config.kubernetes.io/depends-on` (cli-utils, object/dependson).
pub(super) fn dependency(text: &str) -> Option<ObjectId> {
    let parts: Vec<&str> = text.split('/').map(str::trim).collect();
    let (group, namespace, kind, name) = match parts[..] {
        [group, "namespaces", namespace, kind, name] if !namespace.is_empty() => (group, Some(namespace), kind, name),
        [group, kind, name] => (group, None, kind, name),
        _ => return None,
    };
    (!kind.is_empty() && !name.is_empty()).then(|| ObjectId::new(group, kind, namespace, name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Manifest, ManifestError> {
        Manifest::from_value(value, Origin { file: "a.yaml".into(), line: 1 })
    }

    #[test]
    fn identity_and_directives_come_out_of_a_manifest() {
        let manifest = read(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "annotations": {
                "driftless.dev/replace": "true",
                "client.lifecycle.config.k8s.io/deletion": "detach",
                "config.kubernetes.io/depends-on": "apps/namespaces/shop/StatefulSet/db, /Namespace/shop",
            }},
        }))
        .unwrap();
        assert_eq!(manifest.id, ObjectId::new("apps", "Deployment", Some("shop"), "web"));
        assert_eq!(manifest.api_version(), "apps/v1");
        assert!(manifest.directives.replace && manifest.directives.detach);
        assert_eq!(
            manifest.directives.depends_on,
            [ObjectId::new("apps", "StatefulSet", Some("shop"), "db"), ObjectId::new("", "Namespace", None, "shop")]
        );
    }

    #[test]
    fn what_cannot_be_applied_is_refused_with_what_to_do() {
        let refused = |value| read(value).unwrap_err().to_string();
        assert!(refused(json!({"replicas": 3})).contains(".driftlessignore"));
        assert!(refused(json!([1])).contains("apiVersion"));
        assert!(
            refused(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}}))
                .contains("generateName")
        );
        assert!(refused(json!({"apiVersion": 1, "kind": "Pod"})).contains("apiVersion must be text"));
        let marked =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": {names::PART_OF: "y"}}});
        assert!(refused(marked).contains(names::PART_OF));
        let numeric = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": {"a": 1}}});
        assert_eq!(refused(numeric), "metadata.labels.a must be text; put numbers and booleans in quotes");
    }

    #[test]
    fn an_api_version_has_one_spelling() {
        for wrong in ["/v1", "v1/", "//v1", " v1", "v1 ", "apps//v1", "apps/v1/", "/apps/v1", "v1\n", "a b/v1", "/"] {
            let secret =
                json!({"apiVersion": wrong, "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "aHVudGVy"}});
            let text = read(secret).unwrap_err().to_string();
            assert!(text.contains("GROUP/VERSION") && !text.contains("aHVudGVy"), "{text}");
        }
        for right in ["v1", "apps/v1", "x.example.com/v1alpha1"] {
            assert!(read(json!({"apiVersion": right, "kind": "X", "metadata": {"name": "s"}})).is_ok(), "{right}");
        }
    }

    #[test]
    fn fields_can_be_left_to_others() {
        let annotated = |paths: &str| {
            read(json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "annotations": {names::IGNORE_FIELDS: paths}}}))
        };
        let manifest = annotated("spec.replicas, spec.paused").unwrap();
        assert_eq!(manifest.directives.ignore_fields.len(), 2);
        for wrong in ["spec..replicas", "metadata.name", "args[0]"] {
            let text = annotated(wrong).unwrap_err().to_string();
            assert!(text.contains(names::IGNORE_FIELDS) && text.contains("for example"), "{text}");
        }
    }

    #[test]
    fn only_secrets_are_digested_under_the_key() {
        let (one, two) = (DigestKey::new([1; 32]), DigestKey::new([2; 32]));
        let secret = read(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})).unwrap();
        assert_ne!(secret.digest(&one), secret.digest(&two));
        let map = read(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}})).unwrap();
        assert_eq!(map.digest(&one), map.digest(&two));
    }

    #[test]
    fn a_namespace_can_be_given_later() {
        let manifest = read(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})).unwrap();
        let placed = manifest.in_namespace(Some("shop"));
        assert_eq!(placed.to_value()["metadata"]["namespace"], "shop");
        assert_eq!(placed.id.to_string(), "ConfigMap shop/c");
        assert_eq!(placed.in_namespace(None).canonical, manifest.canonical);
    }

    #[test]
    fn a_crd_shows_what_it_defines() {
        let crd = read(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "xs.e.com"},
            "spec": {"group": "e.com", "names": {"kind": "X"}, "scope": "Cluster"},
        }))
        .unwrap();
        assert_eq!(crd.defines(), Some((GroupKind::new("e.com", "X"), false)));
    }
}
