//! Why a document is no desired object.

use thiserror::Error;

use super::path::{FieldPath, ParsePathError};

/// A document that cannot be a desired object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// `apiVersion` or `kind` is missing, null or empty. Holds its name.
    #[error("not a Kubernetes manifest: {0} is missing; if this file is something else, name it in .driftlessignore")]
    NotAManifest(&'static str),
    /// A field has another JSON type than Kubernetes gives it.
    #[error("{field} must be {expected}")]
    Type {
        /// Path of the field, such as `metadata.labels`.
        field: &'static str,
        /// The type that it has to have, as a noun.
        expected: &'static str,
    },
    /// `apiVersion` is neither `VERSION` nor `GROUP/VERSION`. Holds its text.
    #[error("apiVersion {0:?} is neither VERSION nor GROUP/VERSION, such as v1 or apps/v1")]
    ApiVersion(String),
    /// `metadata.name` is missing, null or empty.
    #[error("metadata.name is missing{}", if *.generate_name { " (generateName gives another object at every sync; set a name)" } else { "" })]
    NoName {
        /// Whether `metadata.generateName` is set.
        generate_name: bool,
    },
    /// A label, an annotation, or a Secret's `data` or `stringData` is not made of strings. Holds the field's path.
    #[error("{0} must be text; put numbers and booleans in quotes")]
    NotText(String),
    /// The manifest has a label or an annotation that driftless sets on what it applies. Holds its name.
    #[error("it carries {0}, which driftless sets itself; remove it from the manifest")]
    Reserved(&'static str),
    /// An entry of the annotation is not an object reference (cli-utils, `object/dependson`). Holds the entry.
    #[error(
        "the annotation config.kubernetes.io/depends-on names {0:?}; write group/namespaces/NAMESPACE/Kind/name or group/Kind/name"
    )]
    DependsOn(String),
    /// A path in the annotation cannot be read, or names a field that cannot be left to others.
    #[error("the annotation driftless.dev/ignore-fields: {0}")]
    IgnoreFields(IgnoreFieldsError),
}

/// Why a field cannot be ignored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IgnoreFieldsError {
    /// The text is not a path.
    #[error(transparent)]
    Path(#[from] ParsePathError),
    /// The field identifies the object or one of its list items, or is set by driftless.
    #[error(
        "{0} cannot be left to others, since it identifies the object or is driftless's own; write for example spec.replicas"
    )]
    Ours(FieldPath),
    /// The path names a list item by its index and not by its keys.
    #[error(
        "{0} names an item of a list by its place, which cannot be left to others; name the list, or the item by its key, for example spec.template.spec.containers[name=web].image"
    )]
    ByPlace(FieldPath),
}
