//! Names that can stand in a request's path, and in a message.

use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use crate::object::{Manifest, ObjectId, Readable, is_deceptive};

/// A name that can stand in no request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NamingError {
    #[error("apiVersion \"{}\" is no group and version, such as v1 or apps/v1", Readable(.0))]
    ApiVersion(String),
    #[error("apiVersion or kind is too long")]
    TooLong,
    #[error("kind \"{}\" is no kind: letters and digits only", Readable(.0))]
    Kind(Arc<str>),
    /// `name` is the beginning of it.
    #[error("{field} \"{}\" {why}", Readable(.name))]
    Name { field: &'static str, name: String, why: &'static str },
}

/// Checks group, version, kind, namespace and name.
///
/// # Errors
/// The first of them that is wrong.
pub fn check(manifest: &Manifest) -> Result<(), NamingError> {
    let id = &manifest.id;
    let api_version = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if !api_version(&id.gk.group) || !api_version(&manifest.version) || manifest.version.is_empty() {
        return Err(NamingError::ApiVersion(manifest.api_version()));
    }
    if id.gk.group.len() > 253 || manifest.version.len() > 63 || id.gk.kind.len() > 63 {
        return Err(NamingError::TooLong);
    }
    if !id.gk.kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(NamingError::Kind(Arc::clone(&id.gk.kind)));
    }
    path_segment("metadata.name", &id.name)?;
    id.namespace.as_deref().map_or(Ok(()), |namespace| path_segment("metadata.namespace", namespace))
}

/// `apimachinery`, `IsValidPathSegmentName`, with the bound that every kind has on the length of names.
fn path_segment(field: &'static str, name: &str) -> Result<(), NamingError> {
    let why = if name.len() > 253 {
        "has more than 253 characters"
    } else if name == "." || name == ".." {
        "may not be . or .."
    } else if name.contains(['/', '%']) {
        "may not contain / or %"
    } else if name.chars().any(|character| is_deceptive(character) || character.is_whitespace()) {
        "contains control characters or white space"
    } else {
        return Ok(());
    };
    Err(NamingError::Name { field, name: name.chars().take(80).collect(), why })
}

/// What a document says it is, for an error about it; `None` unless all of it can be shown.
pub fn identity(object: &Value) -> Option<ObjectId> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| is_plain(text));
    let group = text("/apiVersion")?.split_once('/').map_or("", |(group, _)| group);
    let namespace = object.pointer("/metadata/namespace").filter(|namespace| !namespace.is_null());
    if namespace.is_some_and(|namespace| !namespace.as_str().is_some_and(is_plain)) {
        return None;
    }
    Some(ObjectId::new(group, text("/kind")?, namespace.and_then(Value::as_str), text("/metadata/name")?))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 317 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a file is that belongs to another tool, whose names and content need not say that they are Kubernetes'.
pub fn of_another_tool(path: &str, object: &Value) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let version = object.get("apiVersion").and_then(Value::as_str);
    let is_kustomize = version.is_some_and(|version| version.starts_with("kustomize.config.k8s.io/"));
    // `apiVersion` and `kind` may be left out of the first (kustomize, `KustomizationFileNames`).
    if is_kustomize || version.is_none() && ["kustomization.yaml", "kustomization.yml", "Kustomization"].contains(&name)
    {
        return Some(
            "a kustomization below the path of a sync of plain manifests: make its directory the path of a sync of its \
             own, or name it in .driftlessignore",
        );
    }
    if name == "Chart.yaml" && object.get("kind").is_none() {
        return Some(
            "a Helm chart below the path of a sync of plain manifests: make its directory the path of a sync of its own, \
             or name it in .driftlessignore",
        );
    }
    None
}
