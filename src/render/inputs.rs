//! What a rendering depends on that is not in git: the cluster's versions, values and variables in it, and what
//! templates look up. Some of it is secret, so none of it can be printed for debugging.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::{Fetched, split, taint, yaml};
use crate::object::DigestKey;

/// Everything that was read for one rendering.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Of the cluster; `None` where there is none, as with `driftless render --local`.
    pub capabilities: Option<Capabilities>,
    /// Values of a chart, in the order in which later ones win.
    pub values: Vec<ExtraValues>,
    /// By name; empty where the configuration has neither `substitute` nor `substituteFrom`.
    pub variables: BTreeMap<String, Variable>,
    /// Answers to what templates asked so far.
    pub lookups: Vec<LookupAnswer>,
    /// What came from other hosts.
    pub fetched: Vec<Fetched>,
    /// Texts in decrypted files.
    pub decrypted: Vec<String>,
    /// For digests of what pods use; `None` where nothing is applied.
    pub key: Option<DigestKey>,
}

impl Inputs {
    /// Whether something decides about the rendering that is neither in the repository nor in the configuration.
    #[must_use]
    pub fn reads_outside_git(&self) -> bool {
        self.capabilities.is_some()
            || self.fetched.iter().any(|fetched| !fetched.want.pinned)
            || !self.values.is_empty()
            || !self.lookups.is_empty()
            || self.variables.values().any(|variable| variable.in_cluster)
    }

    /// Texts that make whatever they come to stand in as secret as a Secret.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let values = self.values.iter().filter(|extra| extra.secret).flat_map(|extra| texts(&extra.yaml));
        let found = self.lookups.iter().filter(|answer| answer.question.kind == "Secret");
        let found = found.flat_map(|answer| answer.object.iter().chain(&answer.items)).flat_map(in_secret);
        let variables =
            self.variables.values().filter(|variable| variable.secret).map(|variable| variable.value.clone());
        values.chain(found).chain(variables).chain(self.decrypted.iter().cloned()).collect()
    }
}

/// The scalars in YAML documents that are values and no keys, as text; the text as a whole where it is no YAML.
#[must_use]
pub fn texts(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for document in split::documents(text) {
        match yaml::parse(document.text) {
            Ok(node) => collect(node.value, &mut found),
            Err(_) => found.push(document.text.to_owned()),
        }
    }
    found
}

/// The values of a Secret, which a template decodes or passes on as they are.
fn in_secret(secret: &Value) -> Vec<String> {
    let data = secret.get("data").and_then(Value::as_object).into_iter().flatten();
    let decoded = data.filter_map(|(_, value)| STANDARD.decode(value.as_str()?).ok());
    let texts = decoded.filter_map(|bytes| String::from_utf8(bytes).ok());
    // Among what a chart finds are names of users and switches, which stand in many objects.
    texts.filter(|text| text.chars().count() >= taint::SEARCHED).collect()
}

fn collect(value: Value, found: &mut Vec<String>) {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(fields) => pending.extend(fields.into_iter().map(|(_, value)| value)),
            Value::Array(items) => pending.extend(items),
            Value::String(text) => found.push(text),
            Value::Number(number) => found.push(number.to_string()),
            Value::Bool(_) | Value::Null => {}
        }
    }
}

/// What a chart finds in `.Capabilities`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `v1.36.0`.
    pub kube_version: String,
    /// `v1`, `apps/v1`, `apps/v1/Deployment`; sorted.
    pub api_versions: Vec<String>,
    /// Those of which the API server says that they are registered and do not answer.
    pub stale: Vec<String>,
}

/// Values out of a `ConfigMap` or Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ExtraValues {
    /// For errors: `the Secret shop, key values.yaml`.
    pub name: String,
    /// The values as YAML text.
    pub yaml: String,
    /// Whether they come out of a Secret: whatever they are put into is as secret.
    pub secret: bool,
}

/// The value of a variable.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// Text that takes the place of a reference.
    pub value: String,
    /// Whatever it is put into is as secret as a Secret.
    pub secret: bool,
    /// It was read in the cluster, and does not stand in the configuration.
    pub in_cluster: bool,
}

/// One question of a template's `lookup`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LookupQuestion {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// Kind as in a manifest, such as `Deployment`.
    pub kind: String,
    /// Empty for all namespaces, and for cluster-scoped kinds.
    #[serde(default)]
    pub namespace: String,
    /// Empty for all of them.
    #[serde(default)]
    pub name: String,
}

/// Its answer: an object or its absence for a question with a name, items for one without, or an error.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct LookupAnswer {
    /// The question, as the template asked it.
    #[serde(flatten)]
    pub question: LookupQuestion,
    /// `None` where it does not exist, and for a question without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
    /// Objects that a question without a name found; empty for one with a name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Value>,
    /// Why there is no answer, for the template to fail with; empty where there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl LookupAnswer {
    /// Its size as JSON.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.object.iter().chain(&self.items).map(|value| value.to_string().len()).sum()
    }
}
