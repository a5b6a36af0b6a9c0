//! Which object, by group, kind, namespace and name, and where git declares it. The API version is no part of an
//! identity, since the server converts between versions of one object.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Displayed, Readable};

/// An API group and a kind in it; the core group is the empty string.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupKind {
    /// API group without a version; empty for the core group.
    pub group: Arc<str>,
    /// Kind as in a manifest, such as `Deployment`.
    pub kind: Arc<str>,
}

/// Groups with a dot that Kubernetes itself serves.
const BUILT_IN: [&str; 18] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

impl GroupKind {
    /// Makes an identity of a group, empty for the core group, and a kind. Neither is checked.
    #[must_use]
    pub fn new(group: &str, kind: &str) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }

    /// Parses `Kind` or `Kind.group`, as `ApplySet` annotations write it (KEP-3659).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        Self::new(group, kind)
    }

    /// Whether this is `kind` of the API group `group`.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        &*self.group == group && &*self.kind == kind
    }

    /// Whether a `CustomResourceDefinition` may define it: its group has a dot, and is none of Kubernetes itself.
    #[must_use]
    pub fn may_be_custom(&self) -> bool {
        self.group.contains('.') && !BUILT_IN.contains(&&*self.group)
    }
}

/// `Kind` in the core group, else `Kind.group`.
impl fmt::Display for GroupKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(out, ".{}", self.group) }
    }
}

impl fmt::Debug for GroupKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// One object in a cluster. `namespace` is `None` for cluster-scoped kinds, and for a manifest
/// that names none as long as nobody has asked the API server for the scope of its kind.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId {
    /// Group and kind; in JSON, the keys `group` and `kind` stand beside the others.
    #[serde(flatten)]
    pub gk: GroupKind,
    /// `metadata.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectId {
    /// Makes an identity of its parts, none of which is checked; the core group is the empty string.
    #[must_use]
    pub fn new(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self { gk: GroupKind::new(group, kind), namespace: namespace.map(Into::into), name: name.into() }
    }

    /// The name alone, or `namespace/name`.
    #[must_use]
    pub fn path(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.to_string(),
        }
    }
}

/// `Deployment shop/web`, `Namespace shop`. What the inventory or a live object says may hold any
/// character, which cannot steer a terminal from here.
impl fmt::Display for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", Displayed(&self.gk.kind))?;
        if let Some(namespace) = &self.namespace {
            write!(out, "{}/", Displayed(namespace))?;
        }
        Displayed(&self.name).fmt(out)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Where a manifest stands: a file of the snapshot, relative to the repository, and the line,
/// counted from 1, on which its document begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Path relative to the repository's root; for a file of another host, its URL without credentials.
    pub file: Arc<str>,
    /// Counted from 1; 0 where it is about the whole file or the line is not known.
    pub line: u32,
}

/// `apps/web.yaml:12`, or `apps/web.yaml` for the whole of it. A file name may hold anything but a slash and a
/// zero byte.
impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => Readable(&self.file).fmt(out),
            line => write!(out, "{}:{line}", Readable(&self.file)),
        }
    }
}

/// What the API server (or a CRD in the same commit) says of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The kind is served, and its objects are in namespaces.
    Namespaced,
    /// The kind is served, and its objects are in no namespace.
    Cluster,
    /// No such kind.
    Missing,
    /// The kind is served, in these versions, and not in this one.
    OtherVersions(Vec<String>),
    /// The API that serves the kind does not answer, so nothing is known of it.
    Unreachable(String),
}

/// One commit of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Commit {
    /// 40 hexadecimal digits.
    pub id: String,
    /// Committer time, to the second.
    pub time: Timestamp,
    /// First line of the message, at most [`Commit::SUBJECT`] characters of it.
    pub subject: String,
}

impl Commit {
    /// The longest subject: it goes into logs and into a `ConfigMap`.
    pub const SUBJECT: usize = 200;

    /// The first 12 digits of the id.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_written_as_people_name_them() {
        assert_eq!(ObjectId::new("apps", "Deployment", Some("shop"), "web").to_string(), "Deployment shop/web");
        assert_eq!(ObjectId::new("", "Namespace", None, "shop").to_string(), "Namespace shop");
        assert_eq!(GroupKind::new("apps", "Deployment").to_string(), "Deployment.apps");
        assert_eq!(GroupKind::parse("Ingress.networking.k8s.io"), GroupKind::new("networking.k8s.io", "Ingress"));
        assert_eq!(GroupKind::parse("Secret"), GroupKind::new("", "Secret"));
    }
}
