//! Why a document is no desired object.

use thiserror::Error;

use super::path::{FieldPath, ParsePathError};

/// A document that cannot be a desired object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    #[error("not a Kubernetes manifest: {0} is missing; if this file is something else, name it in .driftlessignore")]
    NotAManifest(&'static str),
    #[error("{field} must be {expected}")]
    Type { field: &'static str, expected: &'static str },
    #[error("apiVersion {0:?} is neither VERSION nor GROUP/VERSION, such as v1 or apps/v1")]
    ApiVersion(String),
    #[error("metadata.name is missing{}", if *.generate_name { " (generateName gives another object at every sync; set a name)" } else { "" })]
    NoName { generate_name: bool },
    #[error("{0} must be text; put numbers and booleans in quotes")]
    NotText(String),
    #[error("it carries {0}, which driftless sets itself; remove it from the manifest")]
    Reserved(&'static str),
    #[error(
        "the annotation config.kubernetes.io/depends-on names {0:?}; write group/namespaces/NAMESPACE/Kind/name or group/Kind/name"
    )]
    DependsOn(String),
    #[error("the annotation driftless.dev/ignore-fields: {0}")]
    IgnoreFields(IgnoreFieldsError),
}

/// Why a field cannot be ignored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IgnoreFieldsError {
    #[error(transparent)]
    Path(#[from] ParsePathError),
    #[error(
        "{0} cannot be left to others, since it identifies the object or is driftless's own; write for example spec.replicas"
    )]
    Ours(FieldPath),
    #[error(
        "{0} names an item of a list by its place, which cannot be left to others; name the list, or the item by its key, for example spec.template.spec.containers[name=web].image"
    )]
    ByPlace(FieldPath),
}
